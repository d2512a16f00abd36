"""Granules of VIIRS out of JPSS files: a band with its geolocation, or the outline alone.

A file may hold several granules; ``<collection>_Gran_<n>`` names one and refers to its part of every array (JPSS
CDFCB-X volume I). Scaled integers from 65528 on and numbers from -999 down are fill (volume III).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from run import Granule, Unusable

Floats = NDArray[np.float32]

#: What a band measures, the best first, and its range from black to white.
MEASURED = {"Reflectance": (0.0, 1.0), "BrightnessTemperature": (320.0, 200.0), "Radiance": (0.0, 700.0)}
_FIRST_FILL = 65528
_LAST_FILL = -999.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Swath:
    """Pixels as they were seen, rows along the track; NaN where nothing was."""

    latitude: Floats
    longitude: Floats
    values: Floats
    #: One of ``MEASURED``.
    measured: str


def read_swath(band: Granule, geolocation: Granule) -> Swath:
    """A granule of one band with its geolocation. Raises Unusable."""
    with _opened(geolocation) as parts:
        latitude, longitude = (_degrees(_array(parts, name, geolocation)) for name in ("Latitude", "Longitude"))
    with _opened(band) as parts:
        measured = next((name for name in MEASURED if name in parts), None)
        if measured is None:
            raise Unusable(f"{band.path.name} holds none of {', '.join(MEASURED)}")
        values = _physical(parts, measured, band)
    if not values.shape == latitude.shape == longitude.shape:
        raise Unusable(
            f"{band.path.name} has {values.shape} pixels, its geolocation {geolocation.path.name} {latitude.shape}"
        )
    if not (np.isfinite(latitude) & np.isfinite(longitude) & np.isfinite(values)).any():
        raise Unusable(f"{band.path.name} holds no pixel with value and place")
    return Swath(latitude=latitude, longitude=longitude, values=values, measured=measured)


def read_ring(granule: Granule) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes and longitudes of the outline (G-Ring), not closed. Raises Unusable."""
    with _file(granule) as file:
        attributes = _description(file, granule).attrs
        try:
            latitude, longitude = (np.ravel(attributes[f"G-Ring_{name}"]) for name in ("Latitude", "Longitude"))
        except KeyError:
            raise Unusable(f"{granule.path.name} says no G-Ring for {granule.number}") from None
    ring = latitude.astype(float), longitude.astype(float)
    if len(ring[0]) != len(ring[1]) or len(ring[0]) < 3 or not (np.abs(ring[0]) <= 90).all():
        raise Unusable(f"{granule.path.name}: the G-Ring of {granule.number} is {latitude}, {longitude}")
    return ring


@contextmanager
def _file(granule: Granule) -> Iterator[Any]:
    try:
        with h5py.File(granule.path, "r", locking=False) as file:
            yield file
    except OSError as error:
        raise Unusable(f"cannot read {granule.path}: {error}") from None


def _description(file: Any, granule: Granule) -> Any:
    """The dataset that describes the granule."""
    _, _, named = granule.key.partition("/")
    group = file.get(f"Data_Products/{named.partition('/')[0]}")
    for name, dataset in group.items() if group is not None else ():
        if "_Gran_" in name and np.ravel(dataset.attrs.get("N_Granule_ID", b""))[0] == granule.number.encode():
            return dataset
    raise Unusable(f"{granule.path.name} does not hold granule {granule.key}")


@contextmanager
def _opened(granule: Granule) -> Iterator[dict[str, Any]]:
    """Name of each of the granule's arrays → the dataset and the part of it."""
    with _file(granule) as file:
        parts = {}
        for reference in _description(file, granule)[:]:
            dataset = file[reference]
            region = h5py.h5r.get_region(reference, file.id)
            first, last = region.get_select_bounds()
            where = tuple(slice(low, high + 1) for low, high in zip(first, last, strict=True))
            parts[dataset.name.rpartition("/")[2]] = dataset, where
        yield parts


def _array(parts: dict[str, Any], name: str, granule: Granule) -> NDArray[Any]:
    if name not in parts:
        raise Unusable(f"{granule.path.name} holds no {name} for {granule.number}")
    dataset, where = parts[name]
    found: NDArray[Any] = dataset[where]
    return found


def _degrees(values: NDArray[Any]) -> Floats:
    return np.where(np.abs(values) <= 180, values, np.nan).astype("f4")


def _physical(parts: dict[str, Any], name: str, band: Granule) -> Floats:
    stored = _array(parts, name, band)
    if stored.dtype.kind == "f":
        return np.where(stored > _LAST_FILL, stored, np.nan).astype("f4")
    scale, offset = _array(parts, f"{name}Factors", band)[:2]
    return np.where(stored < _FIRST_FILL, stored * float(scale) + float(offset), np.nan).astype("f4")
