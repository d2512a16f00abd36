"""Ways in which an archived raster can go wrong, each done to a stored file, and to its row if that belongs to it."""

from __future__ import annotations

import json
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import rasterio
from psycopg.rows import dict_row
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from orbitory.settings import Settings

_PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01H\xaf\xa4q"
    b"\0\0\0\0IEND\xaeB`\x82"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One archived raster, and the inventory that knows it."""

    settings: Settings
    id: int
    granule: int
    path: str

    @property
    def file(self) -> Path:
        return self.settings.storage / self.path

    def sql(self, statement: str, *values: object) -> None:
        with psycopg.connect(self.settings.database) as connection:
            connection.execute(statement.encode(), values)

    def write(self, content: bytes, *, as_archived: bool = False) -> None:
        """Put other bytes in its place; ``as_archived``: the inventory takes them for what was delivered."""
        self.file.chmod(0o644)
        self.file.write_bytes(content)
        if as_archived:
            self.sql("UPDATE asset SET size = %s WHERE id = %s", len(content), self.id)


def rasters(settings: Settings, condition: str = "true") -> list[Stored]:
    """The archived images of strips, in the order of their numbers."""
    statement = (
        "SELECT s.id, min(g.id) AS granule, s.path FROM asset s JOIN granule_asset l ON l.asset_id = s.id"
        " JOIN granule g ON g.id = l.granule_id WHERE s.state = 'archived' AND s.role = 'data'"
        f" AND s.kind IN ('geotiff', 'nitf') AND g.search ? 'image' AND ({condition}) GROUP BY s.id ORDER BY s.id"
    )
    with psycopg.connect(settings.database, row_factory=dict_row) as connection:
        return [Stored(settings=settings, **row) for row in connection.execute(statement.encode()).fetchall()]


def _again(stored: Stored, change: Callable[[dict[str, Any], Any], Any], **profile: object) -> bytes:
    """The same image, written again as TIFF after ``change``."""
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(stored.file) as image:
            pixels = image.read()
            kept = {"driver": "GTiff", "dtype": image.dtypes[0], "rpcs": image.rpcs}
            kept |= {"crs": image.crs, "transform": image.transform} if image.crs else {}
        pixels = change(kept, pixels)
        kept |= {"count": pixels.shape[0], "height": pixels.shape[1], "width": pixels.shape[2], **profile}
        with memory.open(**kept) as image:
            image.write(pixels)
        return bytes(memory.read())


def missing(stored: Stored) -> None:
    stored.file.unlink()


def zero(stored: Stored) -> None:
    stored.write(b"")


def size(stored: Stored) -> None:
    stored.write(stored.file.read_bytes() + b"\n-- appended --\n" * 8)


def truncated(stored: Stored) -> None:
    content = stored.file.read_bytes()
    stored.write(content[: len(content) * 2 // 3], as_archived=True)


def unreadable(stored: Stored) -> None:
    """Bits of the header turned over: GDAL refuses to open it, though nothing is cut off."""
    content = bytearray(stored.file.read_bytes())
    order = "<" if content[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", content, 4)
    (entries,) = struct.unpack_from(order + "H", content, at)
    for position in range(at + 2, at + 2 + 12 * entries, 12):
        (tag,) = struct.unpack_from(order + "H", content, position)
        if tag in (256, 257):  # width and length
            struct.pack_into(order + "HHII", content, position, tag, 4, 1, 0)
    stored.write(bytes(content))


def driver(stored: Stored) -> None:
    stored.write(_PNG.ljust(stored.file.stat().st_size, b"\0"))


def georeference(stored: Stored) -> None:
    def forget(kept: dict[str, Any], pixels: Any) -> Any:
        for name in ("rpcs", "crs", "transform"):
            kept.pop(name, None)
        return pixels

    stored.write(_again(stored, forget), as_archived=True)
    stored.sql(
        "UPDATE granule SET search = search - 'ref_height' || '{\"footprint_source\": \"corners\"}' WHERE id = %s",
        stored.granule,
    )


def nodata(stored: Stored) -> None:
    stored.write(_again(stored, lambda kept, pixels: np.zeros_like(pixels)), as_archived=True)


def bands(stored: Stored) -> None:
    stored.write(_again(stored, lambda kept, pixels: np.concatenate([pixels, pixels])), as_archived=True)


def dimensions(stored: Stored) -> None:
    stored.write(_again(stored, lambda kept, pixels: pixels[:, :-8, :]), as_archived=True)


def decode(stored: Stored) -> None:
    """A compressed block is damaged: the file opens, and its header says nothing."""
    content = bytearray(_again(stored, lambda kept, pixels: pixels, compress="deflate", blockysize=16))
    middle = len(content) // 2
    content[middle : middle + 64] = b"\xa5" * 64
    stored.write(bytes(content), as_archived=True)


#: Code of the finding → how it comes to be; all of them on TIFF files.
FAULTS: dict[str, Callable[[Stored], None]] = {
    each.__name__: each
    for each in (
        *(missing, zero, size, truncated, unreadable, driver),
        *(georeference, nodata, bands, dimensions, decode),
    )
}


def verdicts(settings: Settings) -> dict[int, tuple[str, set[str]]]:
    """What the inventory says of every raster that was checked: verdict, and codes of the findings that are errors."""
    with psycopg.connect(settings.database) as connection:
        rows = connection.execute("SELECT asset_id, verdict, findings FROM validation").fetchall()
    assert all(isinstance(json.dumps(findings), str) for _, _, findings in rows)
    return {
        number: (verdict, {each["code"] for each in findings if each["level"] == "error"})
        for number, verdict, findings in rows
    }
