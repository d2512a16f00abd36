"""Columns of a table for GIS, as the inventory has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from orbitory.site import Site


class Kind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    INTEGER = "integer"
    REAL = "real"
    FLAG = "flag"
    DAY = "day"
    TIME = "time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One attribute of a feature."""

    name: str
    kind: Kind


_KINDS: Mapping[str, Kind] = {
    "text": Kind.TEXT,
    "bigint": Kind.INTEGER,
    "integer": Kind.INTEGER,
    "double precision": Kind.REAL,
    "boolean": Kind.FLAG,
    "date": Kind.DAY,
    "timestamp with time zone": Kind.TIME,
}

#: Of a finding.
FINDING = tuple(Column(name=name, kind=Kind.TEXT) for name in ("level", "code", "sensor", "key", "reason", "hint"))


def of_footprints(site: Site) -> Sequence[Column]:
    """What view ``footprint_all`` knows, but its shape."""
    return [Column(name=row["name"], kind=_KINDS[row["type"]]) for row in site.inventory.all("mfp_report_columns")]
