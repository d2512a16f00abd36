"""Rings on the sphere → valid MultiPolygons in lon/lat, split at the antimeridian, right over the poles.

A swath's edges are great circles, but a geometry column draws straight lines in lon/lat, which bulge by hundreds of
kilometres at high latitudes. So edges are first subdivided along the great circle, then the ring is unwrapped: one that
winds once around the axis holds a pole and gets the pole's edge (lon ±180, lat ±90); one that crosses 180 is cut there.
The result is kept only if its area on the sphere is that of the ring (0.98 to 1.02).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise

import shapely
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry

#: Mean Earth radius (IUGG R1).
RADIUS_KM = 6371.0088
# A straight line may leave its great circle by this much (2 km; a VIIRS granule is 570 km wide), or by this share of a
# smaller ring's size (an image of 15 km beside the pole).
_TOLERANCE_DEG = 0.02
_TOLERANCE_SHARE = 0.004
_SHORTEST_DEG = 0.05
_AREA_RATIO = (0.98, 1.02)
_LEAST_AREA = 1e-16  # steradians: 40 cm²
_MOST_POINTS = 100_000
_RINGS_KEPT, _KEPT_POINTS = 256, 64
_EWKB_MULTIPOLYGON = struct.pack("<BIII", 1, 0x20000006, 4326, 1)  # one part; 0x20000000: with SRID
_WKB_POLYGON = struct.pack("<BII", 1, 3, 1)  # one ring

#: (longitude, latitude) in degrees; longitudes run on beyond ±180 where the ring does.
_Points = list[tuple[float, float]]


class UnusableRing(ValueError):
    """The coordinates make no footprint; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """A valid MultiPolygon, EPSG:4326, lon/lat, as hexadecimal EWKB; and its area on the sphere."""

    ewkb: str
    area_km2: float


def from_ring(longitudes: Sequence[float], latitudes: Sequence[float], *, great_circles: bool = True) -> Footprint:
    """Footprint of a ring in degrees, closed or not, either way round; longitudes −180..180 or 0..360.

    With ``great_circles`` false its edges are straight in lon/lat (an outline that is dense already). Raises
    UnusableRing for fill values, too few points, crossing edges, or an area that disagrees.
    """
    found = _kept if len(longitudes) <= _KEPT_POINTS else _of_ring
    return found(tuple(longitudes), tuple(latitudes), great_circles)


def _of_ring(longitudes: tuple[float, ...], latitudes: tuple[float, ...], great_circles: bool) -> Footprint:
    points = _unwrapped(_cleaned(longitudes, latitudes))
    turns = round((points[-1][0] - points[0][0]) / 360)
    expected = _ring_area(points, turns)
    if great_circles:
        points = _subdivided(points, min(_TOLERANCE_DEG, _TOLERANCE_SHARE * math.degrees(math.sqrt(expected))))
    if abs(turns) > 1 or expected < _LEAST_AREA:
        raise UnusableRing(f"the ring winds {turns} times around the axis and holds {expected * RADIUS_KM**2:.3g} km²")
    if turns:
        pole = math.copysign(90.0, math.fsum(lat for _, lat in points))
        points += [(points[-1][0], pole), (points[0][0], pole), points[0]]
    return _footprint(points, expected)


#: All products of a granule say the same ring.
_kept = lru_cache(_RINGS_KEPT)(_of_ring)


def from_bounds(west: float, south: float, east: float, north: float) -> Footprint:
    """Footprint of a box in degrees; ``west > east`` means that it crosses the antimeridian. Raises UnusableRing."""
    values = (west, south, east, north)
    if not all(map(math.isfinite, values)) or not (-90 <= south < north <= 90):
        raise UnusableRing(f"bounds {values} are not on the Earth, or empty")
    if not (-180 <= west <= 180 and -180 <= east <= 180) or west == east:
        raise UnusableRing(f"bounds {values} are not within ±180°, or empty")
    east += 360.0 * (west > east)
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    height = math.sin(math.radians(north)) - math.sin(math.radians(south))
    return _footprint(corners, math.radians(east - west) * height)


def _cleaned(longitudes: Sequence[float], latitudes: Sequence[float]) -> _Points:
    """Checked points, without repeated ones."""
    if len(longitudes) != len(latitudes) or len(longitudes) > _MOST_POINTS:
        raise UnusableRing(f"{len(longitudes)} longitudes and {len(latitudes)} latitudes")
    points: _Points = []
    for degrees_east, degrees_north in zip(longitudes, latitudes, strict=True):
        x, y = float(degrees_east), float(degrees_north)
        if not (-180.0 <= x <= 360.0 and -90.0 <= y <= 90.0):  # false for NaN, too
            raise UnusableRing(f"point ({x:.7g}, {y:.7g}) is not on the Earth: a fill value, or not degrees lon, lat")
        if not points or (x, y) != points[-1]:
            points.append((x, y))
    while len(points) > 1 and points[-1] == points[0]:
        points.pop()
    if len(points) < 3:
        raise UnusableRing(f"{len(points)} distinct points: a ring needs three")
    return points


def _unwrapped(ring: _Points) -> _Points:
    """The ring closed, each longitude within half a turn of the one before. Any longer edge is read as a crossing."""
    points: _Points = []
    east = 0.0
    for lon, lat in [*ring, ring[0]]:
        east = lon + 360.0 * round((east - lon) / 360.0)  # whole turns: given values stay as they are, to the last bit
        points.append((east, lat))
    return points


def _subdivided(ring: _Points, tolerance: float) -> _Points:
    """The ring, with points added along the great circle of each edge until straight lines follow it.

    Half-way in longitude a great circle stands at tan φ = (tan φ1 + tan φ2) / (2 cos Δλ/2).
    """
    points = ring[:1]
    pending = ring[:0:-1]
    x1, y1 = ring[0]
    rise1 = _tangent(y1)
    rises = [_tangent(y) for _, y in pending]
    while pending:
        x2, y2 = pending[-1]
        width = abs(x2 - x1)
        if width > 179.999:
            raise UnusableRing("an edge runs over a pole or joins opposite points of the Earth")
        if width > _SHORTEST_DEG:
            rise = (rise1 + rises[-1]) / (2 * math.cos(math.radians(width / 2)))
            middle = math.degrees(math.atan(rise))
            if abs(middle - (y1 + y2) / 2) > tolerance:
                pending.append(((x1 + x2) / 2, middle))
                rises.append(_tangent(middle))
                continue
        points.append(pending.pop())
        x1, y1, rise1 = x2, y2, rises.pop()
    return points


def _tangent(latitude: float) -> float:
    return math.tan(math.radians(min(max(latitude, -89.99999), 89.99999)))


def _ring_area(points: _Points, turns: int) -> float:
    """Area in steradians inside a closed ring of great-circle edges; of the two sides, the smaller.

    Each edge and the equator bound a quadrangle (Chamberlain and Duquette 2007, exact form); a ring around the axis
    holds what is left of its hemisphere.
    """
    total, half = 0.0, math.tan(math.radians(points[0][1]) / 2)
    for (x1, _), (x2, y2) in pairwise(points):
        following = math.tan(math.radians(y2) / 2)
        total += 2 * math.atan2(math.tan(math.radians(x2 - x1) / 2) * (half + following), 1 + half * following)
        half = following
    total = abs(math.tau - abs(total)) if turns else abs(total)
    return min(total, 2 * math.tau - total)


def _footprint(points: _Points, expected: float) -> Footprint:
    """The closed planar ring as a valid MultiPolygon, if its area agrees with ``expected`` steradians."""
    polygon = shapely.from_wkb(_polygon(points))
    valid = bool(shapely.is_valid(polygon))
    if valid:
        # Lambert's cylinder keeps areas, cutting does not change them; from the first point, to keep small ones exact
        x0, y0 = points[0][0], math.sin(math.radians(points[0][1]))
        flat = [(math.radians(x - x0), math.sin(math.radians(y)) - y0) for x, y in points]
        area = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise(flat)) / 2
    else:
        polygon = shapely.make_valid(polygon)
        area = shapely.transform(polygon, _equal_area).area
    if not _AREA_RATIO[0] <= abs(area) / expected <= _AREA_RATIO[1]:
        got, due = abs(area) * RADIUS_KM**2, expected * RADIUS_KM**2
        raise UnusableRing(f"as polygon it covers {got:.4g} km², as ring on the sphere {due:.4g} km² (crossing edges?)")
    if valid and all(-180.0 <= x <= 180.0 for x, _ in points):
        ewkb = _ewkb(points if area > 0 else points[::-1])
    else:
        ewkb = _ewkb_of(_split(polygon))
    return Footprint(ewkb=ewkb, area_km2=abs(area) * RADIUS_KM**2)


def _equal_area(points: Iterable[Sequence[float]]) -> list[tuple[float, float]]:
    return [(math.radians(x), math.sin(math.radians(y))) for x, y in points]


def _split(shape: BaseGeometry) -> BaseGeometry:
    """Cut at every odd multiple of 180° and bring the pieces home to −180..180."""
    west, _, east, _ = shape.bounds
    pieces = []
    for turn in range(math.floor((west + 180) / 360), math.ceil((east - 180) / 360) + 1):
        offset = 360.0 * turn
        piece = shapely.intersection(shape, box(offset - 180, -90, offset + 180, 90))
        pieces.append(shapely.transform(piece, lambda points, by=offset: points - (by, 0.0)))
    return shapely.union_all(pieces)


def _ewkb(outline: Sequence[tuple[float, float]]) -> str:
    return (_EWKB_MULTIPOLYGON + _polygon(outline)).hex().upper()


def _polygon(outline: Sequence[tuple[float, float]]) -> bytes:
    """Little-endian WKB."""
    return _WKB_POLYGON + struct.pack(f"<I{2 * len(outline)}d", len(outline), *chain.from_iterable(outline))


def _ewkb_of(shape: BaseGeometry) -> str:
    parts = [part for part in shapely.get_parts([shape]).tolist() if isinstance(part, Polygon)]
    found = shapely.orient_polygons(MultiPolygon([part for part in parts if part.area > 1e-12]))
    if not parts or not found.is_valid:
        raise UnusableRing("its edges cross")
    return str(shapely.to_wkb(shapely.set_srid(found, 4326), hex=True, include_srid=True))
