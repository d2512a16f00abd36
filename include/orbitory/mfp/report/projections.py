"""From degrees to places on the drawing. Areas stay true, so that what looks twice as large is twice as large."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Two columns: longitude and latitude in degrees, or right and down on the drawing.
Points = npt.NDArray[np.float64]

#: Šavrič, Patterson, Jenny: The Equal Earth map projection (2018), table 1.
_A1, _A2, _A3, _A4 = 1.340264, -0.081106, 0.000893, 0.003796
_UNITS = 1000
#: Insets show the Earth from here to the pole, degrees.
INSET_FROM = 60.0


def equal_earth(points: Points) -> Points:
    """The whole Earth, on a sphere of radius 1: x to the right, y up.

    >>> equal_earth(np.array([[0.0, 0.0], [180.0, 0.0], [0.0, 90.0]])).round(5).tolist()
    [[0.0, 0.0], [2.70663, 0.0], [0.0, 1.31736]]
    """
    longitude, latitude = np.radians(points).T
    theta = np.arcsin(math.sqrt(3) / 2 * np.sin(latitude))
    squared = theta * theta
    sixth = squared**3
    slope = 9 * _A4 * sixth * squared + 7 * _A3 * sixth + 3 * _A2 * squared + _A1
    x = 2 * math.sqrt(3) * longitude * np.cos(theta) / (3 * slope)
    y = theta * (_A4 * sixth * squared + _A3 * sixth + _A2 * squared + _A1)
    return np.column_stack((x, y))


def polar(points: Points, *, north: bool) -> Points:
    """Lambert's azimuthal equal-area projection about a pole: 0° points down from the north pole, up from the south."""
    side = 1 if north else -1
    longitude, latitude = np.radians(points[:, 0]), np.radians(points[:, 1] * side)
    radius = 2 * np.sin((math.pi / 2 - latitude) / 2)
    return np.column_stack((radius * np.sin(longitude), -side * radius * np.cos(longitude)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One map: its size, and where on it a place lies."""

    name: str
    title: str
    width: int
    height: int
    #: West, south, east, north of what it shows.
    shows: tuple[float, float, float, float]
    project: Callable[[Points], Points]


def _world() -> Panel:
    edge = equal_earth(np.array([[180.0, 0.0], [0.0, 90.0]]))
    right, top = float(edge[0, 0]), float(edge[1, 1])

    def project(points: Points) -> Points:
        flat = equal_earth(points)
        return np.column_stack((flat[:, 0] + right, top - flat[:, 1])) * _UNITS

    return Panel(
        name="world",
        title="The Earth",
        width=math.ceil(2 * right * _UNITS),
        height=math.ceil(2 * top * _UNITS),
        shows=(-180.0, -90.0, 180.0, 90.0),
        project=project,
    )


def _inset(name: str, title: str, *, north: bool) -> Panel:
    radius = 2 * math.sin(math.radians(90 - INSET_FROM) / 2)

    def project(points: Points) -> Points:
        flat = polar(points, north=north) / radius
        return np.column_stack((1 + flat[:, 0], 1 - flat[:, 1])) * _UNITS

    south, top = (INSET_FROM, 90.0) if north else (-90.0, -INSET_FROM)
    shows = (-180.0, south, 180.0, top)
    return Panel(name=name, title=title, width=2 * _UNITS, height=2 * _UNITS, shows=shows, project=project)


WORLD = _world()
PANELS = (
    WORLD,
    _inset("north", "North of 60° N", north=True),
    _inset("south", "South of 60° S", north=False),
)
