"""What comes with every file that a PGE made: from what, by what, for which period. Written when outputs are delivered.

It stands beside the file as ``<file>.meta.json`` and is archived with it, so that an archive explains itself without
its database. Read, as foreign bytes, in the isolated child alone (``extract.pge``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

#: ``<file name>.meta.json`` stands beside the file.
ENDING = ".meta.json"
#: Bytes of the largest that is read: about a hundred thousand inputs.
PROVENANCE_BYTES = 32 << 20
_FORMAT = 1
_INPUT_KEYS = ("input", "granule", "file", "blake3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredient:
    """One file that the PGE was given."""

    #: Name of the input in the PGE's definition.
    input: str
    #: Key of the granule; empty for a static file.
    granule: str
    #: Its path below storage; of a static file its name.
    file: str
    #: BLAKE3 of its bytes, in lower-case hexadecimal digits.
    blake3: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How one output file came to be. ValueError when it cannot be meant."""

    #: The output's own name, without folder.
    file: str
    #: Number of the PGE instance.
    instance: int
    pge: str
    version: str
    #: The instance's period as the planner names it; it identifies the granule.
    period: str
    #: When the instance got its inputs, or was started afresh: a later one for the same period is the newer edition.
    created: datetime
    #: Sensing time of the period; None where it has none.
    sensing_start: datetime | None = None
    sensing_end: datetime | None = None
    inputs: tuple[Ingredient, ...] = ()

    def __post_init__(self) -> None:
        """Refuse empty words, a name with a folder, naive times and an inverted interval."""
        for word in ("file", "pge", "version", "period"):
            value = getattr(self, word)
            if not value or len(value) > 500:
                raise ValueError(f"{word} has {len(value)} characters: expected 1 to 500")
        if "/" in self.file:
            raise ValueError(f"file is {self.file!r}: expected a name without folder")
        for name in ("created", "sensing_start", "sensing_end"):
            moment = getattr(self, name)
            if moment is not None and moment.utcoffset() is None:
                raise ValueError(f"{name} is {moment.isoformat()}: expected a time with its zone, such as Z")
        if (self.sensing_start is None) != (self.sensing_end is None):
            raise ValueError("sensing_start and sensing_end: expected both or neither")
        if self.sensing_start and self.sensing_end and self.sensing_end < self.sensing_start:
            raise ValueError(f"sensing ends {self.sensing_end} before it starts {self.sensing_start}")


def written(provenance: Provenance) -> bytes:
    """As JSON; the same provenance always gives the same bytes."""
    document = {
        "format": _FORMAT,
        "file": provenance.file,
        "instance": provenance.instance,
        "pge": provenance.pge,
        "version": provenance.version,
        "period": provenance.period,
        "created": _stamp(provenance.created),
        "sensing_start": _stamp(provenance.sensing_start),
        "sensing_end": _stamp(provenance.sensing_end),
        "inputs": [{key: getattr(each, key) for key in _INPUT_KEYS} for each in provenance.inputs],
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def read(data: bytes) -> Provenance:
    """The provenance in ``data``. Raises ValueError that names what is wrong."""
    document = json.loads(data)
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ValueError(f"expected an object with format {_FORMAT}")
    inputs = document.get("inputs")
    if not isinstance(inputs, list):
        raise ValueError("inputs: expected a list")
    instance = document.get("instance")
    if not isinstance(instance, int) or isinstance(instance, bool):
        raise ValueError(f"instance is {str(instance)[:80]}: expected a number")
    created = _moment(document, "created")
    if created is None:
        raise ValueError("created: expected a time such as 2024-02-10T12:00:00Z")
    return Provenance(
        file=_text(document, "file"),
        instance=instance,
        pge=_text(document, "pge"),
        version=_text(document, "version"),
        period=_text(document, "period"),
        created=created,
        sensing_start=_moment(document, "sensing_start"),
        sensing_end=_moment(document, "sensing_end"),
        inputs=tuple(_ingredient(each) for each in inputs),
    )


def _stamp(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key} is {str(value)[:80]}: expected text")
    return value


def _moment(table: Mapping[str, Any], key: str) -> datetime | None:
    return datetime.fromisoformat(_text(table, key)).astimezone(UTC) if table.get(key) is not None else None


def _ingredient(table: Any) -> Ingredient:
    if not isinstance(table, dict):
        raise ValueError(f"inputs hold {str(table)[:80]}: expected objects")
    return Ingredient(**{key: _text(table, key) for key in _INPUT_KEYS})
