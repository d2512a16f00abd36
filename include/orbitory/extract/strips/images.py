"""What an image says of itself: size, bands, and where it lies; by its header alone when its bytes are vouched for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from orbitory.errors import DataError
from orbitory.extract import OpenFile, note, warning
from orbitory.extract.header import Header
from orbitory.extract.nitf import ImageSegment, corner_ring, image_segments
from orbitory.extract.raster import scan
from orbitory.extract.strips.facts import Ring
from orbitory.extract.structure import Bytes, tiff_end, tiff_walk
from orbitory.footprint import Footprint
from orbitory.model import Finding

#: Kinds of file that an image of a strip may be.
IMAGES = ("nitf", "geotiff", "jpeg2000")

_WIDTH, _LENGTH, _BITS, _SAMPLES = 256, 257, 258, 277  # TIFF 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The first image of a file; None and 0 are what its header does not tell."""

    columns: int | None = None
    rows: int | None = None
    bands: int = 0
    bits: int = 0
    #: Corners of a NITF in degrees.
    ring: Ring = None
    #: Corners of a NITF in metres, which only ``located`` resolves.
    projected: bool = False
    #: Footprint by geotransform, control points or polynomials, and what is doubtful about it. Opens the file by GDAL.
    located: Callable[[], tuple[Footprint | None, list[Finding]]]


def read_image(source: OpenFile, kind: str, header: Header, findings: list[Finding], *, vouched: bool) -> Image:
    """The image, its structure checked; every band read unless ``vouched``. Raises DataError for a bad file."""
    if vouched:
        located = cache(lambda: scan(source, kind, Header(), [], pixels=False))
    else:
        location = scan(source, kind, header, findings)
        located = cache(lambda: location)
    data = Bytes(source.descriptor, source.size)
    if kind == "nitf":
        image = _nitf(image_segments(data), source.size, located)
    elif kind == "geotiff":
        image = _tiff(data, located)
    else:
        return Image(located=located)
    if vouched:
        found = {"columns": image.columns, "rows": image.rows, "bands": image.bands, "bits": image.bits}
        header.add("/", {"driver": kind, **found, "corners": image.ring and list(zip(*image.ring, strict=True))})
        if kind == "nitf" and image.columns is None:
            findings.append(note("no_raster", "a NITF file without image segment"))
    return image


def _nitf(
    segments: list[ImageSegment], size: int, located: Callable[[], tuple[Footprint | None, list[Finding]]]
) -> Image:
    if any(segment.offset + segment.length > size for segment in segments):
        raise DataError("structure", "truncated: an image segment reaches behind the end of the NITF file")
    if not segments:
        return Image(located=located)
    first = segments[0]
    ring = corner_ring(first)
    return Image(
        columns=first.columns,
        rows=first.rows,
        bands=first.bands,
        bits=first.bits,
        ring=ring,
        projected=ring is None and bool(first.corners),
        located=located,
    )


def _tiff(data: Bytes, located: Callable[[], tuple[Footprint | None, list[Finding]]]) -> Image:
    tags = tiff_walk(data)[1]
    return Image(
        columns=next(iter(tags.get(_WIDTH, ())), None),
        rows=next(iter(tags.get(_LENGTH, ())), None),
        bands=next(iter(tags.get(_SAMPLES, ())), 1),
        bits=next(iter(tags.get(_BITS, ())), 1),
        located=located,
    )


def check_sibling(source: OpenFile, kind: str) -> list[Finding]:
    """Structure alone: the image is read in its other format. Raises DataError for a file that is cut off."""
    data = Bytes(source.descriptor, source.size)
    if kind == "nitf":
        image_segments(data)
    elif kind == "geotiff" and (end := tiff_end(data)) < source.size:
        return [warning("trailing_bytes", f"{source.size - end} bytes that no page refers to, from {end} on")]
    return []
