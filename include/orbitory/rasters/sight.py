"""What a check asks of the child process, and what it may answer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from pydantic import TypeAdapter, ValidationError

from orbitory.extract import ExtractTask

#: Key of ``EXTRACTORS``.
READER = "raster_check"
#: Kinds of file that are rasters (``extract.raster.DRIVERS``, whose module is not for this process).
KINDS = ("geotiff", "nitf", "jpeg2000", "gif", "png", "jpeg")


class Mode(StrEnum):
    """How much of each file is read; each does all that the one before it does."""

    #: Structure, driver, size, bands and place; no pixel is decoded.
    HEADER = "header"
    #: Some blocks of every band.
    SAMPLE = "sample"
    #: The checksum of every band of every image.
    FULL = "full"

    @property
    def depth(self) -> int:
        """Its place in the order."""
        return list(Mode).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RasterTask(ExtractTask):
    """One raster to look at; which blocks are sampled follows from ``id``."""

    mode: Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSight:
    """One image of a file."""

    columns: int
    rows: int
    bands: int
    #: It tells itself where it lies: by geotransform, control points or rational polynomials.
    placed: bool
    #: GDAL's checksum of each band; empty unless all of it was read.
    checksums: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the child saw of one file. Codes of problems are those of ``judging.CODES``."""

    kind: str
    #: Bytes; 0 when nobody could look.
    size: int = 0
    images: tuple[ImageSight, ...] = ()
    #: (code, reason).
    problems: tuple[tuple[str, str], ...] = ()
    #: Why images are out of our libraries' reach.
    unsupported: tuple[str, ...] = ()
    #: ``declared``: every pixel that was looked for is nodata by the file itself; ``zero``: it declares none, and all
    #: pixels are 0; empty: there are data, or nobody looked.
    blank: str = ""
    #: More than a file of its size may hold: the rest was not read.
    partly: bool = False
    #: Version of GDAL, which gives checksums their meaning.
    gdal: str = ""

    def packed(self) -> bytes:
        """For the way to the parent."""
        return json.dumps(asdict(self)).encode()


_SIGHTS: TypeAdapter[Sight] = TypeAdapter(Sight)


def unpacked(data: bytes) -> Sight | None:
    """The sight, strictly validated, for who says it has parsed foreign bytes; None when it makes no sense."""
    if b"\\u0000" in data:
        return None
    try:
        return _SIGHTS.validate_json(data, strict=True)
    except (ValidationError, ValueError, RecursionError):
        return None
