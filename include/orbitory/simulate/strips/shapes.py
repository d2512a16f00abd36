"""Shapefiles of one polygon: how vendors draw the outline of an order (ESRI Shapefile Technical Description, 1998)."""

from __future__ import annotations

import struct

from orbitory.simulate.strips.scene import Corners

_POLYGON = 5
_PRJ = (
    'GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],'
    'PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]'
)


def shapefile(corners: Corners, label: str) -> dict[str, bytes]:
    """Ending → content of the four files; ``label`` is the polygon's only attribute."""
    ring = [*corners, corners[0]]
    east, north = [x for x, _ in ring], [y for _, y in ring]
    bounds = struct.pack("<4d", min(east), min(north), max(east), max(north))
    points = b"".join(struct.pack("<2d", x, y) for x, y in ring)
    record = struct.pack("<i", _POLYGON) + bounds + struct.pack("<3i", 1, len(ring), 0) + points
    entry = struct.pack(">2i", 50, len(record) // 2)
    return {
        "shp": _head(108 + len(record), bounds) + struct.pack(">2i", 1, len(record) // 2) + record,
        "shx": _head(108, bounds) + entry,
        "dbf": _table(label),
        "prj": _PRJ.encode(),
    }


def _head(size: int, bounds: bytes) -> bytes:
    return struct.pack(">7i", 9994, 0, 0, 0, 0, 0, size // 2) + struct.pack("<2i", 1000, _POLYGON) + bounds + b"\0" * 32


def _table(label: str) -> bytes:
    """dBASE III with one row of one text."""
    width = 40
    field = b"ID".ljust(11, b"\0") + b"C" + b"\0" * 4 + bytes([width, 0]) + b"\0" * 14
    head = struct.pack("<4BIHH", 3, 115, 1, 1, 1, 32 + len(field) + 1, 1 + width) + b"\0" * 20
    return head + field + b"\r" + b" " + label.encode()[:width].ljust(width) + b"\x1a"
