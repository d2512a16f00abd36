"""What the runner tells a PGE, and how a PGE answers.

The last argument names a JSON document: instance, pge, version, period, inputs (name → files), and the folders output
and temporary. A PGE reads its inputs, writes its products to the output folder and nothing else, and ends with status
0; with 1 and one line on standard error when the inputs cannot be used.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

#: Else GDAL writes side files beside the products, and looks around beside the inputs.
_GDAL = {"GDAL_PAM_ENABLED": "NO", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
_UNNAMED = re.compile(r"[^A-Za-z0-9_+-]+")
_LONGEST_PERIOD = 120


class Unusable(Exception):
    """The inputs do not allow the product; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granule:
    """One input file, or one of the granules in it."""

    path: Path
    #: Key of the granule in the inventory, for example ``NPP/VIIRS-M1-SDR/NPP000650598298``; empty for a plain file.
    key: str
    start: datetime | None
    end: datetime | None

    @property
    def number(self) -> str:
        """The last part of the key: what granules of all products of one time and satellite share."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One instance of a PGE."""

    pge: str
    version: str
    #: As the planner names it.
    period: str
    start: datetime | None
    end: datetime | None
    inputs: dict[str, tuple[Granule, ...]]
    output: Path
    temporary: Path

    def granules(self, name: str) -> tuple[Granule, ...]:
        """The files of an input. Raises Unusable when there is none."""
        found = self.inputs.get(name, ())
        if not found:
            raise Unusable(f"input {name!r} is empty: expected at least one file")
        return found

    def partner(self, name: str, granule: Granule) -> Granule:
        """The file of an input that belongs to the same granule of the satellite. Raises Unusable."""
        for each in self.granules(name):
            if each.number == granule.number:
                return each
        raise Unusable(f"input {name!r} has no file for granule {granule.number} of {granule.path.name}")

    def product(self, product_id: str, kind: str) -> Path:
        """Where the product goes: ``<product id>.<pge>.<version>.<period>.<kind>`` in the output folder."""
        period = _UNNAMED.sub("-", self.period).strip("-+_")[-_LONGEST_PERIOD:].lstrip("-+_")
        return self.output / f"{product_id}.{self.pge}.{self.version}.{period}.{kind}"


def read(file: Path) -> Run:
    """The run that the document describes. Raises Unusable."""
    try:
        told = json.loads(file.read_bytes())
        sensing = told.get("sensing") or {}
        return Run(
            pge=told["pge"],
            version=str(told["version"]),
            period=str(told["period"]),
            start=_moment(sensing.get("start")),
            end=_moment(sensing.get("end")),
            inputs={name: tuple(_granule(each) for each in files) for name, files in told["inputs"].items()},
            output=Path(told["output"]),
            temporary=Path(told["temporary"]),
        )
    except OSError as error:
        raise Unusable(f"cannot read the run configuration {file}: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise Unusable(f"{file} is not a run configuration: {type(error).__name__} {error}") from None


def _granule(told: dict[str, Any]) -> Granule:
    start, end = _moment(told.get("start")), _moment(told.get("end"))
    return Granule(path=Path(told["path"]), key=str(told.get("granule") or ""), start=start, end=end)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def answer(make: Callable[[Run], None], arguments: Sequence[str] = ()) -> int:
    """Make the products of the run that the last argument names; the exit status."""
    os.environ.update(_GDAL)
    try:
        *_, last = arguments or sys.argv[1:] or [""]
        if not last:
            raise Unusable("expected the run configuration as last argument")
        make(read(Path(last)))
    except Unusable as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        return 1
    return 0
