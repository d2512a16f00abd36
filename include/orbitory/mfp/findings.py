"""The findings of an evaluation: what each code means, and how they are gathered until they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orbitory.inventory import Inventory
from orbitory.model import Level

#: Stable codes (DOMAIN 4.6), each explained in docs/findings.md.
CODES: Mapping[str, str] = {
    "E01": "the file is missing, or an image that is held has no footprint",
    "E02": "a path is not that of the file, or cannot be told on Windows",
    "E03": "a required attribute is missing, or its value is none",
    "E04": "an attribute differs from the name or the metadata",
    "E05": "the footprint is missing, invalid, empty or off the Earth",
    "E06": "the footprint stands elsewhere than the metadata put it",
    "E07": "the same image stands in the master twice",
    "E08": "the row stands in the master and in the archive of footprints",
    "E09": "country or data zone differ from a fresh spatial join",
    "E10": "the footprint is not split at the antimeridian or the pole",
    "E11": "the size on disk is another",
    "E12": "the bytes on disk are others (a sample of files is hashed)",
    "E13": "a footprint that stood aside is better than the one preferred; it is preferred again",
    "E14": "a file that belongs to an image is missing, or one belongs to none",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One result of a check of a row or a file."""

    code: str
    level: Level
    reason: str
    hint: str = ""
    #: Number of the footprint; None for a file that has none.
    fpuid: int | None = None
    granule: int | None = None
    #: Path of such a file; None: the key of the granule.
    key: str | None = None


def add(inventory: Inventory, found: Iterable[Found]) -> int:
    """Put findings beside those of the statements ``mfp_check_*``; returns how many."""
    rows = ((f.fpuid, f.granule, f.key, f.code, f.level.value, _text(f.reason), f.hint) for f in found)
    return inventory.copy_in("mfp_copy_found", rows)


def _text(reason: str) -> str:
    """Short, and as the database can hold it."""
    return reason.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()[:2000]
