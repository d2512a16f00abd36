"""An image of a strip → a preview on the ground, north up, as COG in the UTM or polar zone of its middle.

By its rational polynomials at their mean height, or by its own georeference where it is on the ground already.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.rpc import RPC
from rasterio.transform import RPCTransformer
from rasterio.warp import reproject, transform

from mapping import write_cog
from run import Run, Unusable, answer

PRODUCT = "SORTP"
#: Pixels on the longer side.
_PIXELS = 1024
#: Universal Polar Stereographic begins where UTM ends.
_UTM_NORTH, _UTM_SOUTH = 84.0, -80.0
#: Red, green and blue of images with so many bands: WorldView-2 and -3, and the four bands of all others.
_COLOURS = {8: (5, 3, 2), 4: (3, 2, 1), 3: (1, 2, 3)}
#: First bytes → the driver that may open it; by its content alone GDAL would open any description of something else.
_DRIVERS = {
    b"NITF": "NITF",
    b"NSIF": "NITF",
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"\0\0\0\x0c": "JP2OpenJPEG",
}


def make(run: Run) -> None:
    """Input ``image``, one strip."""
    (image, *_) = run.granules("image")
    try:
        with rasterio.open(image.path, driver=_driver(image.path)) as source:
            preview, where = _warped(source, *_located(source, image.path.name))
    except (RasterioError, OSError) as error:
        raise Unusable(f"cannot read {image.path.name}: {error}") from None
    tags = {"image": image.key or image.path.name, "period": run.period}
    write_cog(run.product(PRODUCT, "tif"), _stretched(preview), where, tags)


def _driver(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4)
    if head not in _DRIVERS:
        raise Unusable(f"{path.name} begins with {head!r}: expected NITF, TIFF or JPEG 2000")
    return _DRIVERS[head]


def _located(source: Any, name: str) -> tuple[dict[str, Any], list[float], list[float]]:
    """How to warp it, and longitudes and latitudes of its corners. Raises Unusable."""
    corners = [(0, 0), (source.width, 0), (source.width, source.height), (0, source.height)]
    if source.rpcs is not None:
        rpcs: RPC = source.rpcs
        height = rpcs.height_off or 0.0
        columns, rows = zip(*corners, strict=True)
        with RPCTransformer(rpcs, RPC_HEIGHT=height) as by_polynomials:
            lon, lat = by_polynomials.xy(list(rows), list(columns), zs=height, offset="ul")
        return {"rpcs": rpcs, "src_crs": "EPSG:4326", "RPC_HEIGHT": height}, list(lon), list(lat)
    if source.crs is None or source.transform.is_identity:
        raise Unusable(f"{name} has neither rational polynomials nor a georeference")
    east, north = zip(*(source.transform * corner for corner in corners), strict=True)
    lon, lat = transform(source.crs, "EPSG:4326", east, north)
    return {"src_transform": source.transform, "src_crs": source.crs}, list(lon), list(lat)


def _warped(
    source: Any, how: dict[str, Any], longitudes: list[float], latitudes: list[float]
) -> tuple[NDArray[Any], tuple[CRS, Affine]]:
    crs = _zone(longitudes, latitudes)
    east, north = transform("EPSG:4326", crs, longitudes, latitudes)
    size = max(max(east) - min(east), max(north) - min(north)) / _PIXELS
    if not (math.isfinite(size) and size > 0):
        raise Unusable(f"its corners {longitudes}, {latitudes} make no area")
    size = max(size, _pixel_size(east, north, source))
    columns, rows = (math.ceil((max(each) - min(each)) / size) for each in (east, north))
    where = Affine(size, 0.0, min(east), 0.0, -size, max(north))
    bands = _COLOURS.get(source.count, (1,))
    preview = np.zeros((len(bands), rows, columns), "float32")
    reproject(
        rasterio.band(source, bands),
        preview,
        dst_crs=crs,
        dst_transform=where,
        dst_nodata=math.nan,
        src_nodata=source.nodata if source.nodata is not None else 0,
        resampling=Resampling.average,
        **how,
    )
    return preview, (crs, where)


def _pixel_size(east: list[float], north: list[float], source: Any) -> float:
    """Metres that one pixel covers: a preview need not be finer than its image."""
    columns, rows = int(source.width), int(source.height)
    width = math.hypot(east[1] - east[0], north[1] - north[0]) / columns
    height = math.hypot(east[2] - east[1], north[2] - north[1]) / rows
    return min(width, height)


def _zone(longitudes: list[float], latitudes: list[float]) -> CRS:
    """UTM, or beyond it UPS, of the middle."""
    x = sum(math.cos(math.radians(each)) for each in longitudes)
    y = sum(math.sin(math.radians(each)) for each in longitudes)
    longitude, latitude = math.degrees(math.atan2(y, x)), sum(latitudes) / len(latitudes)
    if latitude > _UTM_NORTH or latitude < _UTM_SOUTH:
        return CRS.from_epsg(32661 if latitude > 0 else 32761)
    zone = int((longitude + 180) // 6) % 60 + 1
    return CRS.from_epsg((32600 if latitude >= 0 else 32700) + zone)


def _stretched(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey levels 1 to 255 between the 2nd and 98th hundredth of each band; 0 where there is no image."""
    levels = np.zeros(values.shape, np.uint8)
    for band, level in zip(values, levels, strict=True):
        seen = np.isfinite(band)
        if not seen.any():
            raise Unusable("no pixel of the image fell on the ground")
        low, high = np.percentile(band[seen], (2, 98))
        share = np.clip((band[seen] - low) / max(high - low, 1e-6), 0, 1)
        level[seen] = np.round(1 + 254 * share).astype(np.uint8)
    return levels


if __name__ == "__main__":
    sys.exit(answer(make))
