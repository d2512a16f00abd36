"""All granules of a day → how often each place was seen, as HDF5 on a grid of half degrees (CF 1.8, ACDD 1.3)."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from run import Granule, Run, Unusable, answer
from swath import read_ring

PRODUCT = "VCOVD"
CELL_DEG = 0.5
Floats = NDArray[np.float64]


def make(run: Run) -> None:
    """Input ``granules``."""
    granules = run.granules("granules")
    counts = np.zeros((round(180 / CELL_DEG), round(360 / CELL_DEG)), np.uint16)
    latitude = 90 - CELL_DEG * (np.arange(counts.shape[0]) + 0.5)
    longitude = -180 + CELL_DEG * (np.arange(counts.shape[1]) + 0.5)
    points = _on_sphere(*np.meshgrid(latitude, longitude, indexing="ij"))
    for granule in granules:
        counts += inside(points, _on_sphere(*read_ring(granule)))
    _write(run.product(PRODUCT, "h5"), counts, (latitude, longitude), _header(run, granules))


def inside(points: Floats, ring: Floats) -> NDArray[np.bool_]:
    """Which ``points`` lie in ``ring``, both unit vectors (last axis); over poles and the antimeridian, too.

    A point lies in the ring whose corners, as seen from it, turn once around it. The opposite side of the Earth sees
    them turn likewise, so only the ring's own neighbourhood is asked.
    """
    middle = ring.mean(axis=0)
    near = points @ middle > (ring @ middle).min() * 0.9
    found = np.zeros(points.shape[:-1], bool)
    here = points[near]
    east = np.stack([-here[:, 1], here[:, 0], np.zeros(len(here))], axis=-1)
    north = np.cross(here, east)
    bearing = np.arctan2(east @ ring.T, north @ ring.T)
    turn = np.diff(bearing, axis=1, append=bearing[:, :1])
    turn = (turn + np.pi) % (2 * np.pi) - np.pi
    found[near] = np.abs(turn.sum(axis=1)) > np.pi
    return found


def _on_sphere(latitude: Floats, longitude: Floats) -> Floats:
    lat, lon = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _header(run: Run, granules: tuple[Granule, ...]) -> dict[str, str | float]:
    starts = [each.start for each in granules if each.start] + ([run.start] if run.start else [])
    ends = [each.end for each in granules if each.end] + ([run.end] if run.end else [])
    if not starts or not ends:
        raise Unusable("neither the period nor any granule tells a time")
    start, end = (run.start or min(starts)), (run.end or max(ends))
    return {
        "Conventions": "CF-1.8, ACDD-1.3",
        "title": f"Granules that saw each place, {run.period}",
        "time_coverage_start": _stamp(start),
        "time_coverage_end": _stamp(end),
        **{"geospatial_lat_min": -90.0, "geospatial_lat_max": 90.0},
        **{"geospatial_lon_min": -180.0, "geospatial_lon_max": 180.0},
        "granules": float(len(granules)),
    }


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _write(
    file: Path, counts: NDArray[np.uint16], axes: tuple[NDArray[Any], NDArray[Any]], header: dict[str, str | float]
) -> None:
    with h5py.File(file, "w", libver=("earliest", "v110")) as h5:
        h5.attrs.update(header)
        for name, values, units in (
            ("lat", axes[0], "degrees_north"),
            ("lon", axes[1], "degrees_east"),
        ):
            h5[name] = values
            h5[name].attrs["units"] = units
            h5[name].make_scale(name)
        data = h5.create_dataset("granule_count", data=counts, compression="gzip", shuffle=True)
        data.attrs.update({"units": "1", "long_name": "number of granules that saw the middle of the cell"})
        for axis, name in enumerate(("lat", "lon")):
            data.dims[axis].attach_scale(h5[name])


if __name__ == "__main__":
    sys.exit(answer(make))
