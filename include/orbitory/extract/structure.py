"""How far a container says it reaches: pure-Python walks over headers, never over pixels, every offset bounded.

C libraries pad what is missing (classic netCDF) or read only what they are asked for (TIFF overviews), so truncation
would go unseen. Each function takes ``Bytes`` and raises DataError("structure") for what is cut off.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orbitory.errors import DataError

_IFD_LIMIT = 10_000
_VALUE_LIMIT = 1 << 24  # strips or tiles of one page
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_TIFF_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_CDF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
_COG_TRAILER = b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED"


@dataclass(frozen=True, slots=True)
class Bytes:
    """A file by offset. Reading past its end is a DataError, not a short answer."""

    descriptor: int
    size: int

    def at(self, offset: int, count: int) -> bytes:
        """Exactly ``count`` bytes from ``offset``."""
        if offset < 0 or count < 0 or offset + count > self.size:
            raise DataError(
                "structure", f"truncated: bytes {offset} to {offset + count} lie behind the end ({self.size})"
            )
        data = os.pread(self.descriptor, count, offset)
        if len(data) != count:
            raise DataError("structure", f"truncated: {count} bytes at {offset} could not be read")
        return data


def tiff_end(data: Bytes) -> int:
    """Offset behind all that a page, overview, mask or tag of a TIFF refers to (TIFF 6.0, BigTIFF), or little more."""
    return tiff_walk(data)[0]


def tiff_walk(data: Bytes) -> tuple[int, Mapping[int, tuple[int, ...]]]:
    """``tiff_end``, and the integer tags of the first page."""
    head = data.at(0, 8)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack(order + "H", head[2:4])[0] == 43
    first = struct.unpack(order + "Q", data.at(8, 8))[0] if big else struct.unpack(order + "I", head[4:8])[0]
    pending, seen, end = [first], {0}, 8
    tags: Mapping[int, tuple[int, ...]] = {}
    while pending and len(seen) < _IFD_LIMIT:
        offset = pending.pop()
        if offset in seen:
            continue
        seen.add(offset)
        reach, following, values = _tiff_page(data, offset, order, big)
        tags = values if offset == first else tags
        end = max(end, reach)
        pending += following
    # a pad byte to an even length, or what a cloud-optimised GeoTIFF repeats behind its last block, mean nothing
    return end + 4 * (_COG_TRAILER in data.at(0, min(data.size, 512))) + end % 2, tags


def _tiff_page(data: Bytes, offset: int, order: str, big: bool) -> tuple[int, list[int], Mapping[int, tuple[int, ...]]]:
    counter, width, pointer = ("Q", 20, "Q") if big else ("H", 12, "I")
    word = struct.calcsize(order + pointer)
    head = struct.calcsize(order + counter)
    entries: int = struct.unpack(order + counter, data.at(offset, head))[0]
    end = offset + head + entries * width + word
    block = data.at(offset + head, entries * width + word)
    values: dict[int, tuple[int, ...]] = {}
    for position in range(0, entries * width, width):
        tag, kind, count = struct.unpack_from(order + "HH" + pointer, block, position)
        length = _TIFF_SIZES.get(kind, 0) * count
        field = block[position + 4 + word : position + 4 + 2 * word]
        if length > word:
            start = struct.unpack(order + pointer, field)[0]
            if kind in _TIFF_INTEGERS and count <= _VALUE_LIMIT:
                field = data.at(start, length)
            elif start + length > data.size:
                data.at(start, length)
            end = max(end, start + length)
        if kind in _TIFF_INTEGERS and 0 < count <= _VALUE_LIMIT:
            values[tag] = struct.unpack(f"{order}{count}{_TIFF_INTEGERS[kind]}", field[:length])
    for start, length in _tiff_blocks(values):
        if start and length:
            if start + length > data.size:
                data.at(start, length)
            end = max(end, start + length)
    following = [*values.get(330, ()), *values.get(34665, ()), *values.get(34853, ())]
    return end, [*following, struct.unpack(order + pointer, block[entries * width :])[0]], values


def _tiff_blocks(values: dict[int, tuple[int, ...]]) -> list[tuple[int, int]]:
    """Offset and length of each strip or tile. Readers know the length of uncompressed strips: a larger one is moot."""
    offsets = values.get(273) or values.get(324) or ()
    counts = values.get(279) or values.get(325) or ()
    blocks = list(zip(offsets, counts, strict=False))
    if 273 not in values or values.get(259, (1,))[0] != 1:
        return blocks
    height, columns = values.get(257, (0,))[0], values.get(256, (0,))[0]
    rows = max(1, min(values.get(278, (height,))[0], height))
    bits = values.get(258, (1,))
    row_bytes = (columns * (sum(bits) if values.get(284, (1,))[0] == 1 else max(bits)) + 7) // 8
    strips = max(1, -(-height // rows))
    return [
        (offset, min(count, min(rows, height - n % strips * rows) * row_bytes))
        for n, (offset, count) in enumerate(blocks)
    ]


class _Cdf:
    """Cursor over a classic netCDF header (NetCDF classic format specification, CDF-1, -2 and -5)."""

    def __init__(self, data: Bytes) -> None:
        self._data, self._at = data, 4
        version = data.at(3, 1)[0]
        self._count = 8 if version == 5 else 4
        self._offset = 4 if version == 1 else 8

    def integer(self, width: int) -> int:
        value = int.from_bytes(self._data.at(self._at, width), "big")
        self._at += width
        return value

    def count(self) -> int:
        return self.integer(self._count)

    def offset(self) -> int:
        return self.integer(self._offset)

    def entries(self) -> range:
        """What follows a list's tag. Each entry takes some bytes, so a count beyond the file is damage."""
        self.integer(4)
        count = self.count()
        if count > self._data.size:
            raise DataError("structure", f"netCDF header is damaged: a list of {count} entries")
        return range(count)

    def skip(self, length: int) -> None:
        self._at += length + -length % 4
        if self._at > self._data.size + 3:
            raise DataError("structure", "truncated: the netCDF header reaches behind the end of the file")

    def attributes(self) -> None:
        for _ in self.entries():
            self.skip(self.count())
            size = self.type_size()
            self.skip(size * self.count())

    def type_size(self) -> int:
        kind = self.integer(4)
        if kind not in _CDF_SIZES:
            raise DataError("structure", f"netCDF header is damaged: data type {kind}")
        return _CDF_SIZES[kind]

    @property
    def position(self) -> int:
        return self._at


def check_netcdf3(data: Bytes) -> None:
    """Refuse a classic netCDF file that ends before, or goes on behind, what its header lays out."""
    cdf = _Cdf(data)
    records = cdf.count()
    streaming = records in (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
    dimensions = []
    for _ in cdf.entries():
        cdf.skip(cdf.count())
        dimensions.append(cdf.count())
    cdf.attributes()
    fixed: list[tuple[int, int]] = []
    growing: list[tuple[int, int]] = []
    for _ in cdf.entries():
        cdf.skip(cdf.count())
        ids = [cdf.count() for _ in range(min(cdf.count(), 1024))]
        cdf.attributes()
        size = cdf.type_size()
        cdf.count()  # vsize: redundant, and wrong for large variables by design
        begin = cdf.offset()
        if any(i >= len(dimensions) for i in ids):
            raise DataError("structure", "netCDF header is damaged: a variable uses a dimension that does not exist")
        grows = bool(ids) and dimensions[ids[0]] == 0
        for i in ids[grows:]:
            size *= dimensions[i]
        (growing if grows else fixed).append((begin, size))
    end = max([cdf.position, *(begin + size for begin, size in fixed)])
    if growing and records and not streaming:
        step = growing[0][1] if len(growing) == 1 else sum(size + -size % 4 for _, size in growing)
        end = max([end, *(begin + (records - 1) * step + size for begin, size in growing)])
    if end > data.size:
        raise DataError("structure", f"truncated: the netCDF header lays out {end} bytes, the file has {data.size}")
    if end + -end % 4 < data.size and not (growing and streaming):
        raise DataError(
            "structure", f"followed by foreign bytes: the netCDF header lays out {end} of {data.size} bytes"
        )


def check_gif(data: Bytes) -> None:
    """Refuse a GIF without its trailer, with bytes behind it, or with more image data than its frames can hold."""
    flags = data.at(10, 1)[0]
    at = 13 + _palette(flags)
    while (mark := data.at(at, 1)[0]) != 0x3B:
        if mark == 0x2C:
            frame = data.at(at + 5, 5)
            width, height = struct.unpack("<HH", frame[:4])
            at, length = _sub_blocks(data, at + 11 + _palette(frame[4]))
            # LZW codes have at most 12 bits; clearing the table before each of them makes them shorter, not rarer.
            if length > 2.25 * width * height + 16:
                raise DataError("structure", f"GIF frame of {width} x {height} pixels carries {length} bytes of codes")
        elif mark == 0x21:
            at, _ = _sub_blocks(data, at + 2)
        else:
            raise DataError("structure", f"GIF is damaged: unknown block {mark:#x} at {at}")
    if at + 1 != data.size:
        raise DataError("structure", f"followed by foreign bytes: the GIF ends at {at + 1}, the file has {data.size}")


def _palette(flags: int) -> int:
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


def _sub_blocks(data: Bytes, at: int) -> tuple[int, int]:
    """Offset behind a chain of sub-blocks, and the bytes they carry."""
    total = 0
    while count := data.at(at, 1)[0]:
        total += count
        at += 1 + count
    return at + 1, total


def check_png(data: Bytes) -> None:
    """Refuse a PNG without its IEND chunk, or with bytes behind it."""
    at, name = 8, b""
    while name != b"IEND":
        length, name = struct.unpack(">I4s", data.at(at, 8))
        at += 12 + length
    if at != data.size:
        word = "followed by foreign bytes" if at < data.size else "truncated"
        raise DataError("structure", f"{word}: the PNG ends at {at}, the file has {data.size}")


def check_jpeg(data: Bytes) -> None:
    """Refuse a JPEG that does not end with its EOI marker (a pad byte or line end behind it is common)."""
    tail = data.at(max(data.size - 4, 0), min(data.size, 4))
    if b"\xff\xd9" not in tail:
        raise DataError(
            "structure", f"truncated, or followed by foreign bytes: the JPEG ends with {tail.hex()}, not ffd9"
        )


#: Checks that are exact for their kind.
CHECKS: dict[str, Callable[[Bytes], None]] = {
    "netcdf3": check_netcdf3,
    "gif": check_gif,
    "png": check_png,
    "jpeg": check_jpeg,
}
