"""GeoPackage 1.4 (OGC 12-128r19): an SQLite file, so the standard library writes it.

Each layer has its geometry, an R-tree with the triggers that keep it true when people edit, and its bounds.
"""

from __future__ import annotations

import math
import sqlite3
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from orbitory.inventory import Row
from orbitory.mfp.report.columns import Column, Kind

_APPLICATION = 0x47504B47  # 'GPKG'
_VERSION = 10400
_SRS = 4326
_RTREE = "http://www.geopackage.org/spec120/#extension_rtree"
_TYPES = {
    Kind.TEXT: "TEXT",
    Kind.INTEGER: "INTEGER",
    Kind.REAL: "DOUBLE",
    Kind.FLAG: "BOOLEAN",
    Kind.DAY: "DATE",
    Kind.TIME: "DATETIME",
}
_WGS84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]],'
    'AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,'
    'AUTHORITY["EPSG","9122"]],AXIS["Latitude",NORTH],AXIS["Longitude",EAST],AUTHORITY["EPSG","4326"]]'
)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer to write. Its name is ours, a plain word."""

    name: str
    columns: Sequence[Column]
    #: ``MULTIPOLYGON`` or ``POINT``.
    geometry: str
    about: str

    def values(self, row: Row) -> list[Any]:
        """The attributes, as SQLite takes them."""
        values = [row[column.name] for column in self.columns]
        for place in self._moments:
            values[place] = _moment(values[place])
        return values

    @cached_property
    def _moments(self) -> list[int]:
        return [place for place, column in enumerate(self.columns) if column.kind in (Kind.DAY, Kind.TIME)]


class GeoPackage:
    """A new file; nothing of it is sure before the block ends, so it is written beside its place and renamed."""

    def __init__(self, path: Path) -> None:
        """Begin at ``path``, where there must be no file."""
        self._db = sqlite3.connect(path, isolation_level=None)
        self._inserts: dict[str, tuple[Layer, str]] = {}
        self._next: dict[str, int] = {}
        for pragma in (f"application_id = {_APPLICATION}", f"user_version = {_VERSION}", "journal_mode = OFF"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(_shipped("geopackage_tables.sql"))
        self._db.execute("BEGIN")
        self._db.executemany(
            "INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, ?)",
            [
                ("Undefined cartesian SRS", -1, "NONE", -1, "undefined", None),
                ("Undefined geographic SRS", 0, "NONE", 0, "undefined", None),
                ("WGS 84 geodetic", _SRS, "EPSG", _SRS, _WGS84, "longitude and latitude in degrees"),
            ],
        )

    def __enter__(self) -> Self:
        """Write layers and rows meanwhile."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the layers and the file."""
        try:
            if error is None:
                self._db.execute("COMMIT")
                for name in self._inserts:
                    self._db.executescript(_shipped("geopackage_triggers.sql").replace("LAYER", name))
        finally:
            self._db.close()

    def begin(self, layer: Layer) -> None:
        """Make an empty layer."""
        name = layer.name
        fields = "".join(f', "{column.name}" {_TYPES[column.kind]}' for column in layer.columns)
        self._db.execute(
            f'CREATE TABLE "{name}" (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom {layer.geometry}{fields})'
        )
        self._db.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, srs_id)"
            " VALUES (?, 'features', ?, ?, ?)",
            (name, name, layer.about, _SRS),
        )
        self._db.execute(
            "INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', ?, ?, 0, 0)", (name, layer.geometry, _SRS)
        )
        self._db.execute(
            "INSERT INTO gpkg_extensions VALUES (?, 'geom', 'gpkg_rtree_index', ?, 'write-only')", (name, _RTREE)
        )
        self._db.execute(f"CREATE VIRTUAL TABLE rtree_{name}_geom USING rtree(id, minx, maxx, miny, maxy)")
        marks = ", ".join("?" * (len(layer.columns) + 2))
        self._inserts[name] = (layer, f'INSERT INTO "{name}" VALUES ({marks})')  # noqa: S608 - the name is ours
        self._next[name] = 1

    def add(self, name: str, rows: Iterable[Row]) -> None:
        """Write rows with ``wkb`` and its bounds ``west``, ``south``, ``east``, ``north``."""
        layer, insert = self._inserts[name]
        fid = self._next[name]
        features, index = [], []
        for row in rows:
            bounds = _bounds(row)
            geometry = _geometry(row["wkb"], bounds, empty=row["west"] is None)
            features.append((fid, geometry, *layer.values(row)))
            if bounds:
                index.append((fid, *bounds))
            fid += 1
        self._next[name] = fid
        self._db.executemany(insert, features)
        self._db.executemany(f"INSERT INTO rtree_{name}_geom VALUES (?, ?, ?, ?, ?)", index)  # noqa: S608 - our name


def _shipped(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _bounds(row: Row) -> tuple[float, float, float, float] | None:
    """West, east, south, north, as GeoPackage orders them; None when there is nothing to enclose."""
    bounds = (row["west"], row["east"], row["south"], row["north"])
    return bounds if all(value is not None and math.isfinite(value) for value in bounds) else None


def _geometry(wkb: bytes | None, bounds: tuple[float, float, float, float] | None, *, empty: bool) -> bytes | None:
    """GeoPackageBinary: magic, version 0, flags (little endian, four or no bounds, empty), SRS, bounds, WKB."""
    if wkb is None:
        return None
    if bounds is None:
        return struct.pack("<2sBBi", b"GP", 0, 0b0000_0001 | empty << 4, _SRS) + wkb
    return struct.pack("<2sBBi4d", b"GP", 0, 0b0000_0011, _SRS, *bounds) + wkb


def _moment(value: date | None) -> str | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value.isoformat() if value is not None else None
