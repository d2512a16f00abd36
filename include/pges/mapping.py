"""From swaths to maps: a grid about the place that was seen, and files that show it.

The projection is Lambert's azimuthal, equal-area, about the middle of the swath: it knows neither poles nor the
antimeridian, and a granule of 3000 km stays recognisable.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning

from run import Unusable
from swath import Floats, Swath

Bytes = NDArray[np.uint8]
_GEOGRAPHIC = "EPSG:4326"
#: Samples that one pixel of a swath is drawn with, along each side, at most.
_MOST_SAMPLES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Square cells of ``cell_m`` metres; row 0 is the northern edge of the projection."""

    projection: str
    west_m: float
    north_m: float
    cell_m: float
    columns: int
    rows: int

    @property
    def transform(self) -> Affine:
        """From columns and rows to metres."""
        return Affine(self.cell_m, 0.0, self.west_m, 0.0, -self.cell_m, self.north_m)


def grid_about(swath: Swath, cells: int) -> Grid:
    """A grid that holds all of ``swath``, ``cells`` on its longer side."""
    seen = np.isfinite(swath.latitude) & np.isfinite(swath.longitude)
    lat, lon = np.radians(swath.latitude[seen], dtype=float), np.radians(swath.longitude[seen], dtype=float)
    x, y, z = (np.cos(lat) * np.cos(lon)).mean(), (np.cos(lat) * np.sin(lon)).mean(), np.sin(lat).mean()
    middle = math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))
    projection = f"+proj=laea +lat_0={middle[0]:.2f} +lon_0={middle[1]:.2f} +datum=WGS84 +units=m +no_defs"
    east, north = _projected(swath, projection)
    west_m, east_m, south_m, north_m = (float(f(a)) for a in (east, north) for f in (np.nanmin, np.nanmax))
    cell = math.ceil(max(east_m - west_m, north_m - south_m, 1.0) / cells)
    return Grid(
        projection=projection,
        west_m=math.floor(west_m / cell) * cell,
        north_m=math.ceil(north_m / cell) * cell,
        cell_m=cell,
        columns=math.ceil(east_m / cell) - math.floor(west_m / cell) + 1,
        rows=math.ceil(north_m / cell) - math.floor(south_m / cell) + 1,
    )


def mean_on(grid: Grid, swaths: Iterable[Swath]) -> tuple[Floats, Floats]:
    """Mean of what was seen in each cell (NaN where nothing), and in how many of ``swaths`` it was seen."""
    cells = grid.rows * grid.columns
    total, weight, seen = np.zeros(cells), np.zeros(cells), np.zeros(cells)
    for swath in swaths:
        where, values = _drawn(grid, swath)
        total += np.bincount(where, values, cells)
        added = np.bincount(where, minlength=cells)
        weight += added
        seen += added > 0
    mean = np.divide(total, weight, out=np.full(cells, np.nan), where=weight > 0)
    shape = grid.rows, grid.columns
    return mean.reshape(shape).astype("f4"), seen.reshape(shape).astype("f4")


def _projected(swath: Swath, projection: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    to_metres = Transformer.from_crs(_GEOGRAPHIC, projection, always_xy=True)
    east, north = to_metres.transform(swath.longitude.astype(float), swath.latitude.astype(float))
    good = np.isfinite(east) & np.isfinite(north)
    return np.where(good, east, np.nan), np.where(good, north, np.nan)


def _drawn(grid: Grid, swath: Swath) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each pixel as so many samples over its area that no cell within is missed: their cells and values."""
    east, north = _projected(swath, grid.projection)
    if min(east.shape) < 2:
        raise Unusable(f"a swath of {east.shape} pixels cannot be mapped: expected at least two rows and columns")
    times = [_samples(east, north, axis, grid.cell_m) for axis in (0, 1)]
    for axis in (0, 1):
        east, north = (_refined(each, axis, times[axis]) for each in (east, north))
    values = swath.values.repeat(times[0], 0).repeat(times[1], 1).astype(float)
    with np.errstate(invalid="ignore"):
        column = np.floor((east - grid.west_m) / grid.cell_m)
        row = np.floor((grid.north_m - north) / grid.cell_m)
        inside = (column >= 0) & (column < grid.columns) & (row >= 0) & (row < grid.rows) & np.isfinite(values)
    where = (row[inside] * grid.columns + column[inside]).astype(np.int64)
    return where, values[inside]


def _samples(east: NDArray[np.float64], north: NDArray[np.float64], axis: int, cell_m: float) -> int:
    widest = np.nanmax(np.hypot(np.diff(east, axis=axis), np.diff(north, axis=axis)))
    return int(min(max(math.ceil(1.5 * widest / cell_m), 1), _MOST_SAMPLES))


def _refined(values: NDArray[np.float64], axis: int, times: int) -> NDArray[np.float64]:
    """``times`` values in place of each, evenly over its pixel."""
    if times == 1:
        return values
    count = values.shape[axis]
    at = (np.arange(count * times) + 0.5) / times - 0.5
    first = np.clip(np.floor(at), 0, count - 2).astype(int)
    share = (at - first).reshape((-1, 1) if axis == 0 else (1, -1))
    low, high = values.take(first, axis), values.take(first + 1, axis)
    refined: NDArray[np.float64] = low + (high - low) * share
    return refined


def as_bytes(values: Floats, black: float, white: float) -> Bytes:
    """Grey levels 1 to 255 by the square root, which is how eyes see; 0 where there is nothing."""
    share = np.clip((values - black) / (white - black), 0.0, 1.0)
    return np.where(np.isfinite(share), 1.0 + 254.0 * np.sqrt(np.nan_to_num(share)), 0.0).round().astype("u1")


def write_cog(file: Path, bands: NDArray[Any], where: tuple[str | CRS, Affine], tags: dict[str, str]) -> None:
    """Bands, rows and columns as Cloud-Optimized GeoTIFF on the projection and transform ``where``.

    Nothing was seen where bytes are 0, or numbers NaN.
    """
    count, rows, columns = bands.shape
    nothing = 0 if bands.dtype.kind == "u" else math.nan
    with rasterio.open(
        file,
        "w",
        driver="COG",
        **{"count": count, "height": rows, "width": columns, "dtype": bands.dtype, "nodata": nothing},
        **{"crs": CRS.from_user_input(where[0]), "transform": where[1], "compress": "deflate", "blocksize": 256},
    ) as image:
        image.write(bands)
        image.update_tags(**tags)


def write_png(file: Path, grey: Bytes) -> None:
    """Grey levels, transparent where they are 0."""
    rows, columns = grey.shape
    shape = {"count": 2, "height": rows, "width": columns, "dtype": "uint8"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(file, "w", driver="PNG", **shape) as image:
            image.write(np.stack([grey, np.where(grey > 0, 255, 0).astype("u1")]))
