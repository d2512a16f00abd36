"""How much of the Earth the preferred footprints of a sensor show: by year, in all, and of an area of interest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from orbitory.errors import ConfigurationError
from orbitory.footprint import RADIUS_KM
from orbitory.inventory import Row
from orbitory.site import Site

#: So many footprints are held at once before they are united.
_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """An area of interest: a box in degrees; ``west > east`` crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        """Refuse what is no box on the Earth."""
        edges = (self.west, self.south, self.east, self.north)
        on_earth = all(map(math.isfinite, edges)) and -90 <= self.south < self.north <= 90
        if not on_earth or not (-180 <= self.west <= 180 and -180 <= self.east <= 180) or self.west == self.east:
            raise ConfigurationError(f"area {edges} is none: expected west, south, east, north in degrees")

    @classmethod
    def of(cls, text: str) -> Area:
        """Read ``W,S,E,N``. Raises ConfigurationError."""
        try:
            west, south, east, north = (float(part) for part in text.split(","))
        except ValueError:
            raise ConfigurationError(f"area {text!r} is none: expected W,S,E,N in degrees") from None
        return cls(west=west, south=south, east=east, north=north)

    def shape(self) -> BaseGeometry:
        """On the equal-area plane, in km."""
        if self.west < self.east:
            return _plane([box(self.west, self.south, self.east, self.north)])[0]
        halves = [box(self.west, self.south, 180, self.north), box(-180, self.south, self.east, self.north)]
        return _union(_plane(halves))


def measure(site: Site, sensor: str, area: Area | None) -> dict[str, Any]:
    """Figures of the sensor: ``years`` (a row each), and in all rows, area, union, overlap and cloud-free share.

    ``overlap`` is the share of the area that another footprint shows, too.
    """
    years = site.inventory.all("mfp_years", sensor=sensor)
    unions = dict(_unions(site.inventory.stream("mfp_shapes", sensor=sensor)))
    whole = _union(list(unions.values()))
    figures: dict[str, Any] = {"years": [_figures(row, unions.get(row["year"])) for row in years]}
    total = math.fsum(row["area_km2"] for row in years)
    known = [row for row in years if row["cloud_free"] is not None and row["area_km2"]]
    weight = math.fsum(row["area_km2"] for row in known)
    free = math.fsum(row["cloud_free"] * row["area_km2"] for row in known)
    summed = {"rows": sum(row["rows"] for row in years), "area_km2": total}
    figures |= _figures({**summed, "cloud_free": free / weight if weight else None}, whole)
    if area is not None:
        wanted = area.shape()
        figures["area_of_interest"] = round(shapely.intersection(whole, wanted).area / wanted.area, 9)
    return figures


def _figures(row: Row, union: BaseGeometry | None) -> dict[str, Any]:
    united = float(union.area) if union is not None else 0.0
    figures = {
        "rows": row["rows"],
        "area_km2": round(row["area_km2"], 3),
        "union_km2": round(united, 3),
        "overlap": round(max(0.0, 1 - united / row["area_km2"]), 9) if row["area_km2"] else None,
        "cloud_free": round(row["cloud_free"], 9) if row["cloud_free"] is not None else None,
    }
    return {"year": row["year"], **figures} if "year" in row else figures


def _unions(rows: Iterable[Row]) -> Iterator[tuple[int | None, BaseGeometry]]:
    """Of each year, on the equal-area plane; memory is bounded by ``_AT_ONCE`` and the outlines themselves."""
    for year, same in groupby(rows, key=lambda row: row["year"]):
        united: list[BaseGeometry] = []
        while wkb := [row["shape"] for row in islice(same, _AT_ONCE)]:
            united.append(_union(_plane(shapely.from_wkb(wkb))))
        yield year, united[0] if len(united) == 1 else _union(united)


def _union(shapes: Sequence[BaseGeometry] | npt.NDArray[Any]) -> BaseGeometry:
    """Only what may touch is joined, which is five times as fast as joining all where images are scattered."""
    return shapely.disjoint_subset_union_all(shapely.get_parts(np.asarray(shapes, dtype=object)))


def _plane(shapes: Sequence[BaseGeometry] | npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Lambert's cylindrical equal-area projection, in km."""

    def project(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack((np.radians(points[:, 0]), np.sin(np.radians(points[:, 1])))) * RADIUS_KM

    return np.asarray(shapely.transform(np.asarray(shapes, dtype=object), project))
