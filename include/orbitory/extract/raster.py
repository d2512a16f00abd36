"""Rasters by GDAL, one driver per magic number: every band of every image is read, every reported error counts.

GDAL opens truncated files, recognises formats by content (a VRT or WMS under any name) and reads what lies beside a
file; so the driver is given, nothing beside the file is looked at, and opening proves nothing.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from orbitory.errors import DataError
from orbitory.extract import ExtractTask, OpenFile, note, sole_granule, warning
from orbitory.extract.container import nitf_length
from orbitory.extract.faults import FAULTS, fault
from orbitory.extract.georeference import by_polynomials, outline
from orbitory.extract.header import Header, text
from orbitory.extract.nitf import NEVER_READ, ImageSegment, codestream_unsupported, image_segments
from orbitory.extract.structure import Bytes, tiff_end
from orbitory.footprint import Footprint, UnusableRing
from orbitory.model import Extraction, Finding

#: Kind → the only driver that may open it.
DRIVERS = {"geotiff": "GTiff", "nitf": "NITF", "jpeg2000": "JP2OpenJPEG", "gif": "GIF", "png": "PNG", "jpeg": "JPEG"}
_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_CACHEMAX": 64 << 20,  # bytes, for rasterio hands it to GDALSetCacheMax64
    "GDAL_NUM_THREADS": "1",
    "GDAL_TIFF_INTERNAL_MASK": "YES",
}
_IMAGE_LIMIT = 1000
_BUDGET_BYTES = 4 << 30
_BUDGET_RATIO = 64
_WINDOW_ROWS = 256
# A codec that is known by name and not built in. A code without a name is damage, or nothing anyone registered.
_LACKS_CODEC = re.compile(r"missing codec [A-Z]|support is not configured|decoding is not implemented")


class _Errors(logging.Handler):
    """Errors that GDAL reports and rasterio only logs: a JPEG 2000 tile that fails to decode raises nothing."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or "signalled an error" in str(record.msg):
            self.seen.append(record.getMessage())


@cache
def _errors() -> _Errors:
    """Set GDAL up once in this process, and listen to what it reports."""
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    rasterio.Env(**_OPTIONS).__enter__()
    handler = _Errors()
    logger = logging.getLogger("rasterio")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    return handler


def reported() -> list[str]:
    """What GDAL reported since the dataset at hand was opened; what is taken from it does not count as failure."""
    return _errors().seen


class _Reported(RuntimeError):
    """GDAL reported an error and went on."""


@contextmanager
def opened(name: str, driver: str) -> Iterator[Any]:
    """The dataset; on leaving, what GDAL reported meanwhile counts as failure."""
    errors = _errors()
    errors.seen.clear()
    with rasterio.open(name, driver=driver) as image:
        yield image
    if errors.seen:
        raise _Reported(errors.seen[0])


def read_raster(task: ExtractTask, source: OpenFile, kind: str) -> Extraction:
    """Check structure and every band of every image; facts with footprint. Raises DataError for a bad file."""
    findings: list[Finding] = []
    header, granule = Header(), sole_granule(task, kind)
    place, doubts = scan(source, kind, header, findings)
    if place is not None:
        granule = replace(granule, footprint=place.ewkb, area_km2=place.area_km2)
    return Extraction(kind=kind, granules=(granule,), findings=(*findings, *doubts), header=header.packed())


def scan(
    source: OpenFile, kind: str, header: Header, findings: list[Finding], *, pixels: bool = True
) -> tuple[Footprint | None, list[Finding]]:
    """Check structure and every band of every image; where the first lies, with what is doubtful about that.

    Without ``pixels`` only the first image is opened, and nothing of it decoded. Raises DataError for a bad file.
    """
    data = Bytes(source.descriptor, source.size)
    if kind == "geotiff" and (end := tiff_end(data)) < source.size:
        findings.append(warning("trailing_bytes", f"{source.size - end} bytes that no page refers to, from {end} on"))
    segments = image_segments(data) if kind == "nitf" else []
    names = [source.path, *(f"NITF_IM:{index}:{source.path}" for index in range(1, len(segments) if pixels else 0))]
    left, index = _BUDGET_BYTES + _BUDGET_RATIO * source.size, 0
    place: tuple[Footprint | None, list[Finding]] = None, []
    while index < len(names) and left >= 0:
        try:
            with opened(names[index], DRIVERS[kind]) as image:
                if index == 0:
                    header.add("/", _metadata(image))
                    place = _place(image)
                    names += image.subdatasets[1:_IMAGE_LIMIT] if kind == "geotiff" and pixels else []
                left = _read_bands(image, left) if pixels else left
                if image.count == 0:
                    findings.append(_without_raster(segments))
        except (*FAULTS, CPLE_BaseError) as error:
            segment = segments[index] if segments else None
            findings.append(warning("unsupported", beyond_library(error, data, segment)))
        index += 1
    if left < 0 or len(names) >= _IMAGE_LIMIT:
        findings.append(warning("not_fully_read", "too many images or pixels for its size: the rest was not read"))
    if kind == "nitf" and nitf_length(source.head) not in (None, source.size):
        findings.append(note("trailing_bytes", "a stray byte behind the length that its header states"))
    return place


def _without_raster(segments: list[ImageSegment]) -> Finding:
    """A NITF of text, graphics or data segments alone is valid; one that announces images and shows none is not."""
    if segments:
        raise DataError("structure", f"its header announces {len(segments)} images, none of which can be opened")
    return note("no_raster", "a NITF file without image segment")


def _read_bands(image: Any, left: int) -> int:
    """Checksum every pixel of every band as far as ``left`` bytes go; what remains of them, negative when exceeded."""
    for band in image.indexes:
        volume = image.width * image.height * np.dtype(_numpy_type(image.dtypes[band - 1])).itemsize
        if volume <= left:
            image.checksum(band)
        else:
            rows = max(1, left * image.height // max(1, volume))
            for top in range(0, rows, _WINDOW_ROWS):
                image.checksum(band, window=Window(0, top, image.width, min(_WINDOW_ROWS, rows - top)))
        left -= volume
        if left < 0:
            break
    return left


def _numpy_type(name: str) -> str:
    return "complex64" if name.startswith("complex_") else name


def beyond_library(error: BaseException, data: Bytes, segment: ImageSegment | None) -> str:
    """Why a valid image is out of the library's reach. Raises the error of a damaged one."""
    said = " / ".join([str(error), *_errors().seen[:8]])
    if _LACKS_CODEC.search(said):
        return text(str(error))
    if segment is not None and segment.compression in NEVER_READ:
        return f"NITF image compression {segment.compression}, which the library at hand does not decode"
    if segment is not None and segment.compression in ("C8", "M8") and (why := codestream_unsupported(data, segment)):
        return why
    raise fault("the raster", error if isinstance(error, MemoryError) else _Reported(said)) from error


def _metadata(image: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "driver": image.driver,
        "width": image.width,
        "height": image.height,
        "bands": list(image.dtypes),
        "crs": image.crs.to_wkt() if image.crs else None,
        "transform": list(image.transform)[:6],
    }
    for space in [None, *image.tag_namespaces()]:
        with suppress(UnicodeDecodeError):  # NITF texts may be Latin-1; they are no reason to doubt the pixels
            found[space or "tags"] = image.tags(ns=space)
    return found


def _place(image: Any) -> tuple[Footprint | None, list[Finding]]:
    """Its footprint, if it can be told. What GDAL reports about projections is not damage of the file."""
    seen = _errors().seen
    before = len(seen)
    try:
        place = outline(image)
        about = place is not None and by_polynomials(image)
        return place, [note("approximate_footprint", "by rational polynomials at their mean height")] if about else []
    except UnusableRing as error:
        return None, [warning("bad_footprint", text(str(error)))]
    finally:
        del seen[before:]
