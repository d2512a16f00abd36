"""What was seen of a raster, held against what the inventory says of it: a pure decision."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orbitory.model import Finding, Level
from orbitory.rasters.sight import KINDS, ImageSight, Sight

#: Codes of findings that make a raster bad: stable, each explained in docs/findings.md.
CODES: dict[str, str] = {
    "missing": "storage has no such file",
    "zero": "it is empty",
    "size": "it has another length than the inventory or its own header says",
    "truncated": "it ends before what its header lays out",
    "unreadable": "it is no regular file, or its header is damaged, or reading it killed the parser or did not end",
    "driver": "its first bytes are another format than its name or the inventory says",
    "georeference": "neither the image nor polynomials beside it tell where it lies",
    "nodata": "not one pixel holds data",
    "bands": "it has another number of bands than its metadata say",
    "dimensions": "it has other rows or columns than its metadata say",
    "decode": "pixels cannot be decoded, or are others than they were",
}
_HINTS = {
    "missing": "restore it from a copy or deliver it again: docs/operations.md tells how",
    "zero": "restore it from a copy or deliver it again",
    "size": "reprocess --mode verify tells whether its bytes are those that were archived",
    "truncated": "restore it from a copy or deliver it again",
    "unreadable": "restore it from a copy or deliver it again; look at the disk",
    "driver": "is it the file that was delivered under this name?",
    "georeference": "order it again with its polynomials, or reprocess when they came later",
    "nodata": "order it again, or remove it",
    "bands": "is it the right metadata file?",
    "dimensions": "is it the right metadata file?",
    "decode": "restore it from a copy or deliver it again",
}
#: Sources of a strip's footprint that lie in the image itself (``extract.strips.placement``).
_WITHIN = ("igeolo", "raster")
_OWN = re.compile(r"\d+ x \d+ pixels")


class Verdict(StrEnum):
    """What a raster is worth. Only ``bad`` asks for a person."""

    GOOD = "good"
    BAD = "bad"
    #: Sound as far as we can tell: in a form that our libraries do not read, or with more pixels than we read of it.
    UNSUPPORTED = "unsupported"
    #: A valid NITF file without an image.
    NO_RASTER = "no_raster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the inventory says of a raster."""

    #: As it was delivered; empty when that is not known.
    name: str
    #: Of ``KINDS``; anything else: not known.
    kind: str
    #: Bytes; 0: not known.
    size: int = 0
    #: The same image as another file in another format.
    sibling: bool = False
    #: A satellite strip, with its facts under the names of ``StripFacts`` in ``search``; else another raster.
    strip: bool = False
    #: Its granule has a footprint.
    located: bool = False
    search: Mapping[str, Any]
    #: Findings of ingest about its unit; those about another file than the main one begin with its name.
    told: tuple[Mapping[str, Any], ...] = ()
    main: bool = True


def problem(code: str, reason: str) -> Finding:
    """A finding that makes a raster bad."""
    return Finding(level=Level.ERROR, code=code, reason=reason, hint=_HINTS[code])


def judge(expected: Expected, sight: Sight) -> tuple[Verdict, tuple[Finding, ...]]:
    """The verdict, and everything that speaks for it."""
    found = [problem(code if code in CODES else "unreadable", reason) for code, reason in sight.problems]
    if sight.size and expected.size not in (0, sight.size) and "size" not in {code for code, _ in sight.problems}:
        found.append(problem("size", f"it has {sight.size} bytes, archived were {expected.size}"))
    if not sight.problems and sight.kind in KINDS and expected.kind in KINDS and sight.kind != expected.kind:
        found.append(problem("driver", f"its first bytes are {sight.kind}, archived was {expected.kind}"))
    if sight.images and not sight.problems:
        found += _contradictions(expected, sight, sight.images[0])
    remarks = [Finding(level=Level.WARNING, code="unsupported", reason=reason) for reason in sight.unsupported]
    if sight.partly:
        reason = "too many images or pixels for its size: the rest was not read"
        remarks.append(Finding(level=Level.WARNING, code="not_fully_read", reason=reason))
    if found:
        return Verdict.BAD, (*found, *remarks)
    if remarks:
        return Verdict.UNSUPPORTED, tuple(remarks)
    if not sight.images:
        note = Finding(level=Level.INFO, code="no_raster", reason="a NITF file without image segment")
        return Verdict.NO_RASTER, (*remarks, note)
    return Verdict.GOOD, tuple(remarks)


def _contradictions(expected: Expected, sight: Sight, image: ImageSight) -> Iterator[Finding]:
    if not image.placed and (why := _place_owed(expected)):
        yield problem("georeference", why)
    if sight.blank == "declared":
        yield problem("nodata", "every pixel is nodata, as the file itself marks it")
    elif sight.blank == "zero" and expected.strip:
        yield problem("nodata", "every pixel is 0, with which vendors fill what was not seen")
    yield from _shape(expected, image)


def _place_owed(expected: Expected) -> str:
    """Why the image itself should tell where it lies; empty when it need not."""
    if expected.sibling:
        return ""
    if expected.strip:
        if expected.search.get("footprint_source") in _WITHIN:
            return "it tells no longer where it lies, as it did when it was archived"
        beside = expected.search.get("ref_height") is not None  # the height that polynomials beside it are centred on
        return "" if beside else "neither the image nor polynomials beside it tell where it lies"
    return "it tells no longer where it lies, as it did when it was archived" if expected.located else ""


def _shape(expected: Expected, image: ImageSight) -> Iterator[Finding]:
    told = {name: expected.search.get(name) for name in ("columns", "rows", "bands")}
    wanted = {name: value for name, value in told.items() if isinstance(value, int) and not isinstance(value, bool)}
    if wanted.get("bands", image.bands) != image.bands:
        yield problem("bands", f"{image.bands} bands, by its metadata {wanted['bands']}")
    size = (wanted.get("columns", image.columns), wanted.get("rows", image.rows))
    if size != (image.columns, image.rows):
        yield problem("dimensions", f"{image.columns} x {image.rows} pixels, by its metadata {size[0]} x {size[1]}")
    elif reason := _told_at_ingest(expected):
        yield problem("dimensions", reason)


def _told_at_ingest(expected: Expected) -> str:
    """What ingest found about its size: the vendor's metadata beside it speak of another one."""
    prefix = f"{posixpath.basename(expected.name)}: "
    for finding in expected.told:
        reason = str(finding.get("reason", ""))
        if finding.get("code") == "size_mismatch" and reason.startswith(prefix):
            return reason.removeprefix(prefix)
        if finding.get("code") == "size_mismatch" and expected.main and _OWN.match(reason):
            return reason
    return ""
