"""In the child process: one raster, looked at as far as the mode says.

``gdalinfo`` is no proof: of 137 damaged public rasters 35 open and fail only when pixels are read, one reads and only
reports its broken tiles, and one has a sound first band and a truncated third.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.env
from rasterio._err import CPLE_BaseError
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from orbitory.errors import DataError, Transient
from orbitory.extract import ExtractTask, OpenFile, open_file, quick_check, sniff
from orbitory.extract.faults import FAULTS
from orbitory.extract.header import text
from orbitory.extract.nitf import ImageSegment, image_segments
from orbitory.extract.raster import DRIVERS, beyond_library, opened, reported
from orbitory.extract.structure import CHECKS, Bytes, tiff_end
from orbitory.model import Extraction, GranuleFacts
from orbitory.rasters.sight import ImageSight, Mode, RasterTask, Sight

_IMAGE_LIMIT = 1000
_CACHE_BYTES = 512 << 20
#: Bytes of pixels that all of a file may unfold to: this, and 64 times its size.
_BUDGET_BYTES = 4 << 30
_BUDGET_RATIO = 64
#: Bytes of pixels that a sample takes of all bands of an image; a block that is larger than its share is read in part.
_SAMPLE_BYTES = 64 << 20
_SAMPLE_BLOCKS = 4
_SAMPLED_IMAGES = 16  # of a file, at least
#: Lines that are read together where a block is but a line.
_LEAST_ROWS = 256
_WINDOW_ROWS = 256


def extract(task: ExtractTask) -> Extraction:
    """The sight, as header of an extraction without facts. Raises DataError, NotReady or Transient as ``open_file``."""
    assert isinstance(task, RasterTask)
    _prepare()
    with open_file(task) as source:
        sight = look(source, task)
    granule = GranuleFacts(product=sight.kind, key="raster", sensor="")
    return Extraction(kind=sight.kind, granules=(granule,), header=sight.packed())


@cache
def _prepare() -> None:
    """Set GDAL up, once, for this process, which checks and nothing else.

    It shall not find its dictionary of NITF extensions, 200 kB of XML that it parses whenever it opens a file: 0.4 ms
    instead of 2.9 for each NITF. Pixels and place do not depend on it; coordinate systems come from PROJ's own tables.
    Checksums are taken band by band, so blocks that hold all bands are kept, not decoded again for each.
    """
    os.environ["GDAL_DATA"] = str(Path(__file__).parent)
    reported()
    rasterio.env.setenv(GDAL_CACHEMAX=_CACHE_BYTES)


@dataclass(slots=True)
class _Notes:
    """What is being found out about one file."""

    mode: Mode
    seed: int
    #: Bytes of pixels that may still be read.
    left: int
    #: And of those the search for data may read.
    whole: int
    images: list[ImageSight] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)
    blank: str = ""
    #: Images or pixels were left out that the mode asks for.
    partly: bool = False

    def problem(self, code: str, reason: str) -> None:
        self.problems.append((code, text(reason)[:1000]))


def look(source: OpenFile, task: RasterTask) -> Sight:
    """Everything the mode asks for; what is wrong with the file is told, never raised."""
    most = _BUDGET_BYTES + _BUDGET_RATIO * source.size
    left = most if task.mode is Mode.FULL else _SAMPLED_IMAGES * _SAMPLE_BYTES
    notes = _Notes(mode=task.mode, seed=task.id, left=left, whole=most)
    kind, segments, sound = sniff(source.head), list[ImageSegment](), False
    try:
        kind = quick_check(task.name, source.head, source.size)
        if kind in DRIVERS:
            segments = _structure(Bytes(source.descriptor, source.size), kind)
            sound = True
        else:
            what = "unreadable" if kind == "opaque" else "driver"
            notes.problem(what, f"no raster: the first bytes are {kind} ({source.head[:8]!r})")
    except DataError as error:
        notes.problem(_code_of(error, kind), error.detail)
    if sound:
        _images(source, kind, segments, notes)
    return Sight(
        kind=kind,
        size=source.size,
        images=tuple(notes.images),
        problems=tuple(notes.problems[:32]),
        unsupported=tuple(notes.unsupported[:8]),
        blank=notes.blank,
        partly=notes.partly,
        gdal=rasterio.__gdal_version__,
    )


def _code_of(error: DataError, kind: str) -> str:
    if error.detail.startswith("truncated"):
        return "truncated"
    if error.detail.startswith("followed by"):
        return "size"
    if error.code == "type" and kind != "opaque":
        return "driver"
    return "zero" if error.code == "size" else "unreadable"


def _structure(data: Bytes, kind: str) -> list[ImageSegment]:
    """Walk what the headers lay out; the image segments of a NITF. Raises DataError for what is cut off."""
    if kind == "geotiff":
        tiff_end(data)
    elif kind == "nitf":
        segments = image_segments(data)
        if any(segment.offset + segment.length > data.size for segment in segments):
            raise DataError("structure", "truncated: an image segment reaches behind the end of the NITF file")
        return segments
    elif kind in CHECKS:
        CHECKS[kind](data)
    return []


def _images(source: OpenFile, kind: str, segments: list[ImageSegment], notes: _Notes) -> None:
    names = [source.path, *(f"NITF_IM:{index}:{source.path}" for index in range(1, len(segments)))]
    index = 0
    while index < len(names):
        stage = "unreadable"
        try:
            with opened(names[index], DRIVERS[kind]) as image:
                placed = _placed(image)
                if not reported():
                    stage = "decode"
                if index == 0 and kind == "geotiff":
                    names += image.subdatasets[1:_IMAGE_LIMIT]
                    notes.partly = len(image.subdatasets) > _IMAGE_LIMIT
                if image.count:
                    sums = _pixels(image, notes)
                    sight = {"columns": image.width, "rows": image.height, "bands": image.count}
                    notes.images.append(ImageSight(**sight, placed=placed, checksums=sums))
                elif segments:
                    reason = f"its header announces {len(segments)} images, none of which can be opened"
                    notes.problem("unreadable", reason)
        except (*FAULTS, CPLE_BaseError) as error:
            _failed(error, Bytes(source.descriptor, source.size), segments[index : index + 1], stage, notes)
        index += 1


def _failed(error: BaseException, data: Bytes, segment: list[ImageSegment], stage: str, notes: _Notes) -> None:
    """Note what GDAL could not do: the file's fault, or beyond the library. Raises Transient for the machine's."""
    try:
        notes.unsupported.append(beyond_library(error, data, segment[0] if segment else None)[:1000])
    except DataError as fault:
        if fault.code == "policy":  # more memory than we give to a file: that says nothing about the file
            notes.unsupported.append(fault.detail[:1000])
            return
        notes.problem("truncated" if fault.detail.startswith("truncated") else stage, fault.detail)
    except Transient as fault:
        if "Input/output error" not in str(fault):  # of the disk, under this file: trying again would never end
            raise
        notes.problem("unreadable", str(fault))


def _placed(image: Any) -> bool:
    """Whether it tells where it lies. What GDAL reports about projections is not damage of the pixels."""
    seen = reported()
    before = len(seen)
    try:
        if image.crs is not None and not image.transform.is_identity:
            return True
        points, crs = image.gcps
        return bool(points and crs is not None) or image.rpcs is not None
    except (*FAULTS, CPLE_BaseError):
        return False
    finally:
        del seen[before:]


def _pixels(image: Any, notes: _Notes) -> tuple[int, ...]:
    """Read what the mode asks for; the checksums of all bands, if all was read."""
    if notes.mode is Mode.HEADER:
        return ()
    if notes.left <= 0:
        notes.partly = True
        return ()
    windows = _sample(image, notes.seed)
    sums = _checksums(image, notes) if notes.mode is Mode.FULL else _samples(image, windows, notes)
    if not notes.images:  # the first image is what the file is for
        notes.blank = _blank(image, windows, sums, notes.whole)
    return tuple(sums) if notes.mode is Mode.FULL else ()


def _samples(image: Any, windows: list[Window], notes: _Notes) -> list[int]:
    """For each band whether some sampled window has a checksum that is not 0."""
    found = [0] * image.count
    for window in windows:
        if notes.left <= 0:
            notes.partly = True
            break
        for band in image.indexes:
            found[band - 1] |= image.checksum(band, window=window)
            notes.left -= _volume(image, band, window)
    return found


def _checksums(image: Any, notes: _Notes) -> list[int]:
    """Of every band; none when that would be too much."""
    found: list[int] = []
    whole = Window(0, 0, image.width, image.height)
    for band in image.indexes:
        volume = _volume(image, band, whole)
        if volume > notes.left:
            rows = max(1, notes.left * image.height // max(1, volume))
            for top in range(0, rows, _WINDOW_ROWS):
                image.checksum(band, window=Window(0, top, image.width, min(_WINDOW_ROWS, rows - top)))
            notes.left, notes.partly = 0, True
            return []
        found.append(image.checksum(band))
        notes.left -= volume
    return found


def _volume(image: Any, band: int, window: Window) -> int:
    name = image.dtypes[band - 1]
    size: int = np.dtype("complex64" if name.startswith("complex_") else name).itemsize
    return int(window.width * window.height) * size


def _grid(image: Any) -> tuple[int, int, int, int]:
    """Rows and columns of a window: a block, or some lines where a block is but a line; and how many there are."""
    rows, columns = image.block_shapes[0]
    line = _volume(image, 1, Window(0, 0, columns, 1)) or 1
    most = _SAMPLE_BYTES // (_SAMPLE_BLOCKS * image.count * line)
    rows = max(1, min(max(rows, _LEAST_ROWS), most, image.height))
    return rows, columns, -(-image.height // rows), -(-image.width // columns)


def _window(image: Any, number: int) -> Window:
    rows, columns, _, across = _grid(image)
    top, left = number // across * rows, number % across * columns
    return Window(left, top, min(columns, image.width - left), min(rows, image.height - top))


def _sample(image: Any, seed: int) -> list[Window]:
    """The first block, the middle one, the last, and one that differs from file to file."""
    _, _, down, across = _grid(image)
    count = down * across
    if count <= _SAMPLE_BLOCKS:
        return [_window(image, number) for number in range(count)]
    chosen = {0, (down // 2) * across + across // 2, count - 1, random.Random(seed).randrange(count)}
    return [_window(image, number) for number in sorted(chosen)]


def _blank(image: Any, windows: list[Window], sums: list[int], most: int) -> str:
    """``Sight.blank``: sampled windows are asked first, then all others as far as ``most`` bytes go."""
    declared = [MaskFlags.all_valid not in flags for flags in image.mask_flag_enums]
    if any(total and not masked for total, masked in zip(sums, declared, strict=False)):
        return ""  # the checksum of nothing but zeros is 0
    for window in _likely_first(image, windows):
        for band in image.indexes:
            if declared[band - 1]:
                if image.read_masks(band, window=window).any():
                    return ""
            elif image.read(band, window=window).any():
                return ""
            most -= _volume(image, band, window)
        if most < 0:
            return ""  # nobody knows
    return "declared" if any(declared) else "zero"


def _likely_first(image: Any, windows: list[Window]) -> Iterator[Window]:
    yield from windows[len(windows) // 2 :]  # borders of strips are filled with nothing
    yield from windows[: len(windows) // 2]
    _, _, down, across = _grid(image)
    if down * across > len(windows):
        for number in range(down * across):
            yield _window(image, number)
