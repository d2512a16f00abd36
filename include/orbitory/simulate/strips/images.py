"""The images themselves: small rasters that GDAL writes, with the georeference that their vendors give."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import rasterio.io
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC
from rasterio.transform import from_gcps

from orbitory.simulate.strips.polynomials import rpc_record, rpc_tags
from orbitory.simulate.strips.scene import Scene

Pixels = NDArray[np.generic]


def pixels(scene: Scene, tile: int = 0) -> Pixels:
    """Bands, rows and columns of one tile: eleven bits of a random ground."""
    generator = np.random.default_rng([*scene.seed, tile])
    shape = (len(scene.bands), scene.rows, scene.columns)
    return generator.integers(60, 1200, shape).astype("uint16")


def nitf(scene: Scene, title: str, content: Pixels) -> bytes:
    """NITF 2.1 with corner coordinates in degrees, minutes and seconds, and rational polynomials at level 1."""
    stamp = f"{scene.made:%Y%m%d%H%M%S}"
    options: dict[str, Any] = {
        "ICORDS": "G",
        "IGEOLO": "".join(_dms(latitude, "NS", 2) + _dms(longitude, "EW", 3) for longitude, latitude in scene.corners),
        "FTITLE": title[:80],
        "OSTAID": "DG",
        "FDT": stamp,
        "IDATIM": f"{scene.seen:%Y%m%d%H%M%S}",
        "ISORCE": scene.sensor,
        "IID1": "image",
    }
    if not scene.projected:
        options["TRE"] = f"RPC00B={rpc_record(scene)}"
    return _written("NITF", content, options)


def _dms(degrees: float, signs: str, width: int) -> str:
    seconds = round(abs(degrees) * 3600)
    return f"{seconds // 3600:0{width}d}{seconds // 60 % 60:02d}{seconds % 60:02d}{signs[degrees < 0]}"


def geotiff(scene: Scene, content: Pixels, mapped: bool) -> bytes:
    """GeoTIFF: on a geographic grid, or with rational polynomials alone."""
    if not mapped:
        return _written("GTiff", content, {}, rpcs=RPC.from_gdal(rpc_tags(scene)))
    (x0, y0), (x1, _), _, (_, y3) = scene.corners
    east = x0 + (x1 - x0) % 360
    edges = ((0, 0, x0, y0), (0, scene.columns, east, y0), (scene.rows, 0, x0, y3))
    points = [GroundControlPoint(row, column, x, y) for row, column, x, y in edges]
    return _written("GTiff", content, {"crs": "EPSG:4326", "transform": from_gcps(points)})


def _written(driver: str, content: Pixels, options: dict[str, Any], rpcs: RPC | None = None) -> bytes:
    bands, rows, columns = content.shape
    with warnings.catch_warnings(), rasterio.io.MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(
            driver=driver, width=columns, height=rows, count=bands, dtype=content.dtype.name, **options
        ) as image:
            if rpcs is not None:
                image.rpcs = rpcs
            image.write(content)
        return bytes(memory.read())


@lru_cache(maxsize=16)
def jpeg(seed: int) -> bytes:
    """A small picture to browse."""
    generator = np.random.default_rng(seed)
    return _written("JPEG", generator.integers(0, 255, (3, 32, 32)).astype("uint8"), {})
