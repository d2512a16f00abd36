"""NITF image segments as their subheaders describe them, in pure Python: what lies where, and how it is compressed.

Layouts: MIL-STD-2500C tables A-1 and A-3 (NITF 2.1, NSIF 1.0), MIL-STD-2500A (NITF 2.0). JPEG 2000 codestream: ISO/IEC
15444-1 annex A.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from orbitory.errors import DataError
from orbitory.extract.structure import Bytes

#: Values of IC that the standard knows and GDAL does not decode: down-sampled JPEG, lossless JPEG, complex SAR.
NEVER_READ = frozenset({"I1", "C0", "M0", "C5", "M5", "C6", "M6", "C7", "M7"})
_MARKERS_WITHOUT_LENGTH = range(0xFF30, 0xFF40)
_HEADER_MARKERS = 4096
_SEXAGESIMAL = re.compile(rb"(\d\d)([0-5]\d)([0-5]\d|60)([NS])(\d{3})([0-5]\d)([0-5]\d|60)([EW])")
_DECIMAL = re.compile(rb"([+-]\d\d\.\d{3})([+-]\d{3}\.\d{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSegment:
    """One image of a NITF file. ``offset`` and ``length`` are of its pixels."""

    compression: str
    rows: int
    columns: int
    #: Bands, and significant bits of a pixel in each; 0 where the subheader does not tell.
    bands: int
    bits: int
    offset: int
    length: int
    #: How its corners are given (ICORDS): degrees as ``G`` (sexagesimal) or ``D`` (decimal), other systems; or not.
    system: str = ""
    #: As written (IGEOLO); empty when there are none.
    corners: bytes = b""


def image_segments(data: Bytes) -> list[ImageSegment]:
    """The image segments of a NITF file. Raises DataError("structure") when its headers are cut off or damaged."""
    at = _file_length_at(data)
    header = _number(data, at + 12, 6)
    count = _number(data, at + 18, 3)
    table, start = at + 21, header
    segments = []
    for index in range(count):
        subheader = _number(data, table + 16 * index, 6)
        length = _number(data, table + 16 * index + 6, 10)
        segments.append(_segment(data, start, subheader, length))
        start += subheader + length
    return segments


def _file_length_at(data: Bytes) -> int:
    two_zero = data.at(0, 9) == b"NITF02.00"
    return 342 + 40 * (two_zero and data.at(280, 6) == b"999998")


def _number(data: Bytes, at: int, width: int) -> int:
    field = data.at(at, width)
    if not field.isdigit():
        raise DataError("structure", f"NITF header is damaged: expected {width} digits at {at}, got {field!r}")
    return int(field)


def _count(field: bytes) -> int:
    return int(field) if field.isdigit() else 0


def _segment(data: Bytes, start: int, subheader: int, length: int) -> ImageSegment:
    at = start + 2 + 10 + 14 + 17 + 80
    if data.at(0, 9) == b"NITF02.00":
        at += 1 + 40 + 40 + 40 + 20 + 20
        at += 6 + 40 * (data.at(at, 6) == b"999998")
        without_corners = b"N"
    else:
        at += 167
        without_corners = b" "
    at += 1 + 42
    rows, columns = _number(data, at, 8), _number(data, at + 8, 8)
    at += 16 + 3 + 8 + 8
    bits = data.at(at, 2)
    at += 2 + 1
    system, corners = data.at(at, 1), b""
    at += 1
    if system != without_corners:
        corners = data.at(at, 60)
        at += 60
    at += 1 + 80 * _number(data, at, 1)
    compression = data.at(at, 2).decode("ascii", "replace")
    offset = start + subheader
    if data.at(start, 2) != b"IM" or at > offset:
        raise DataError("structure", f"NITF image subheader at {start} is damaged")
    at += 2 + 4 * (compression not in ("NC", "NM"))
    bands = data.at(at, 6) if at + 6 <= offset else b""
    return ImageSegment(
        compression=compression,
        rows=rows,
        columns=columns,
        bands=_count(bands[:1]) or _count(bands[1:]),
        bits=_count(bits),
        offset=offset,
        length=length,
        system=system.decode("ascii", "replace") if corners else "",
        corners=corners,
    )


def corner_ring(segment: ImageSegment) -> tuple[list[float], list[float]] | None:
    """Longitudes and latitudes of the corners, from the upper left clockwise; None unless given in degrees.

    MIL-STD-2500C table A-3: ``ddmmssXdddmmssY`` (G; in NITF 2.0 also C) or ``±dd.ddd±ddd.ddd`` (D), four times.
    """
    longitudes, latitudes = [], []
    for at in range(0, len(segment.corners), 15):
        corner = segment.corners[at : at + 15]
        if segment.system in ("G", "C") and (match := _SEXAGESIMAL.fullmatch(corner)):
            y, x = (
                (int(d) + int(m) / 60 + int(s) / 3600) * (-1 if side in b"SW" else 1)
                for d, m, s, side in (match.groups()[:4], match.groups()[4:])
            )
        elif segment.system == "D" and (match := _DECIMAL.fullmatch(corner)):
            y, x = float(match[1]), float(match[2])
        else:
            return None
        longitudes.append(x)
        latitudes.append(y)
    return (longitudes, latitudes) if longitudes else None


def codestream_unsupported(data: Bytes, segment: ImageSegment) -> str:
    """Why a sound JPEG 2000 codestream is out of OpenJPEG's reach; empty when nothing speaks for that.

    OpenJPEG's GDAL driver takes only components of one sampling. A stream whose tile parts do not add up to its segment
    is damaged: DataError("structure").
    """
    end = segment.offset + segment.length
    if data.at(segment.offset, 2) != b"\xff\x4f":
        return ""
    at = segment.offset + 2
    sampling: tuple[bytes, ...] = ()
    for _ in range(_HEADER_MARKERS):
        marker = struct.unpack(">H", data.at(at, 2))[0]
        if marker == 0xFF90 or at >= end:  # SOT
            break
        if marker == 0xFF51:  # SIZ
            components = struct.unpack(">H", data.at(at + 38, 2))[0]
            sampling = tuple(data.at(at + 40 + 3 * i, 3)[1:] for i in range(components))
        at += 2 if marker in _MARKERS_WITHOUT_LENGTH else 2 + struct.unpack(">H", data.at(at + 2, 2))[0]
    _check_tile_parts(data, at, end)
    if any(each != b"\x01\x01" for each in sampling):
        steps = ", ".join(f"{each[0]}x{each[1]}" for each in sampling)
        return f"its JPEG 2000 components are sub-sampled ({steps}), which the decoder at hand refuses"
    return ""


def _check_tile_parts(data: Bytes, at: int, end: int) -> None:
    parts = 0
    while at + 12 <= end and data.at(at, 2) == b"\xff\x90":
        length = struct.unpack(">I", data.at(at + 6, 4))[0]
        parts += 1
        at = at + length if length else end - 2
    if not parts or at + 2 > end or data.at(at, 2) != b"\xff\xd9":
        raise DataError("structure", f"JPEG 2000 codestream is damaged or truncated at {at}, before its end at {end}")
