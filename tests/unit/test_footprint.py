"""Footprints: right on the sphere, valid in the column."""

from __future__ import annotations

import math
from itertools import pairwise

import antimeridian
import pytest
import shapely
from shapely.geometry import MultiPolygon, Point, Polygon

from orbitory.footprint import RADIUS_KM, Footprint, UnusableRing, from_bounds, from_ring

# G-Ring of SVM01_npp_d20131114_t0010303: the ring of a real granule over the North Pole
POLE_LAT = (84.7619, 84.3261, 82.9881, 80.1059, 66.8805, 67.2599, 67.3605, 81.274)
POLE_LON = (-67.3091, -94.0303, -112.513, 137.407, 120.752, 114.378, 107.545, 106.405)
# and of SATMS_npp_d20181022_t0022213
PLAIN_LAT = (22.7376, 25.0639, 26.3962, 27.3262, 28.1001, 26.7817, 24.3904, 23.6441)
PLAIN_LON = (31.7733, 19.8005, 7.2301, 7.3587, 7.4836, 20.2466, 32.3694, 32.0781)

Ring = tuple[tuple[float, float], ...]


def shape_of(footprint: Footprint) -> MultiPolygon:
    shape = shapely.from_wkb(footprint.ewkb)
    assert isinstance(shape, MultiPolygon)
    assert shapely.get_srid(shape) == 4326
    assert shape.is_valid
    west, south, east, north = shape.bounds
    assert -180 <= west <= east <= 180
    assert -90 <= south <= north <= 90
    assert all(part.exterior.is_ccw for part in shape.geoms)
    return shape


def ring(points: Ring, **how: bool) -> Footprint:
    return from_ring([x for x, _ in points], [y for _, y in points], **how)


def polar(points: Ring) -> Polygon:
    """In Lambert's azimuthal equal-area projection about the North Pole, km."""
    radii = [2 * RADIUS_KM * math.sin(math.radians(90 - lat) / 2) for _, lat in points]
    return Polygon(
        [
            (r * math.cos(math.radians(x)), r * math.sin(math.radians(x)))
            for r, (x, _) in zip(radii, points, strict=True)
        ]
    )


@pytest.mark.req("I13")
def test_a_real_granule_over_the_pole_has_its_true_area_and_holds_the_points_it_saw() -> None:
    place = from_ring(POLE_LON, POLE_LAT)
    shape = shape_of(place)
    assert place.area_km2 == pytest.approx(1_749_387, rel=0.02)
    assert shape.bounds[0] == -180
    assert shape.bounds[2:] == (180, 90)
    flat = Polygon(zip(POLE_LON, POLE_LAT, strict=True))
    truth = polar(tuple(zip(POLE_LON, POLE_LAT, strict=True)))
    for lon, lat, inside in ((180, 87, True), (-150, 86, True), (0, 89.9, True), (0, 75, False), (-60, 80, False)):
        radius = 2 * RADIUS_KM * math.sin(math.radians(90 - lat) / 2)
        at = Point(radius * math.cos(math.radians(lon)), radius * math.sin(math.radians(lon)))
        assert truth.contains(at) is inside
        assert shape.intersects(Point(lon, lat)) is inside
    assert not flat.contains(Point(180, 87))
    assert not flat.contains(Point(-150, 86))


def test_the_polygon_follows_great_circles_not_straight_lines_on_the_map() -> None:
    place = ring(((-25, 60), (25, 60), (25, 65), (-25, 65)))
    highest = shape_of(place).bounds[3]
    assert highest == pytest.approx(
        math.degrees(math.atan(math.tan(math.radians(65)) / math.cos(math.radians(25)))), abs=0.02
    )


def test_a_plain_granule_keeps_its_points_to_the_last_bit() -> None:
    shape = shape_of(from_ring(PLAIN_LON, PLAIN_LAT))
    found = set(shape.geoms[0].exterior.coords)
    assert set(zip(PLAIN_LON, PLAIN_LAT, strict=True)) <= found


@pytest.mark.fault("F45", how="clockwise, closed")
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("closed", [False, True])
def test_direction_and_closing_point_do_not_matter(turned: bool, closed: bool) -> None:
    points = tuple(zip(PLAIN_LON, PLAIN_LAT, strict=True))
    given = points[::-1] if turned else points
    given = (*given, given[0]) if closed else given
    assert shape_of(ring(given)).equals(shape_of(ring(points)))


@pytest.mark.fault("F45", how="across ±180°")
@pytest.mark.parametrize(
    "points",
    [
        ((175, 10), (-160, 12), (-162, 25), (173, 23)),
        ((177, -43), (-179.5, -44), (-179, -41), (178, -40)),
        ((179.9, -1), (-179.9, -1), (-179.9, 1), (179.9, 1)),
    ],
)
def test_a_ring_across_180_is_cut_there_as_the_library_for_it_cuts(points: Ring) -> None:
    place = ring(points, great_circles=False)
    shape = shape_of(place)
    assert len(shape.geoms) == 2
    library = antimeridian.fix_polygon(Polygon(points), great_circle=False)
    assert shape.symmetric_difference(library).area < 1e-6
    assert place.area_km2 < 6_000_000


@pytest.mark.fault("F45", how="around a pole")
@pytest.mark.parametrize(
    ("points", "south"),
    [
        (((0, 80), (90, 82), (180, 81), (-90, 79)), False),
        (((0, -80), (-90, -82), (180, -81), (90, -79)), True),
    ],
)
def test_a_ring_around_a_pole_holds_the_pole(points: Ring, south: bool) -> None:
    place = ring(points)
    shape = shape_of(place)
    assert shape.intersects(Point(12, -90 if south else 90))
    assert not shape.intersects(Point(12, 0))
    mirrored = tuple((x, abs(y)) for x, y in points)
    assert place.area_km2 == pytest.approx(polar(mirrored).area, rel=0.02)


@pytest.mark.fault("F45", how="longitudes from 0 to 360")
def test_longitudes_from_0_to_360_mean_the_same_as_from_minus_180() -> None:
    east = ring(((350, 0), (355, 0), (355, 10), (350, 10)))
    west = ring(((-10, 0), (-5, 0), (-5, 10), (-10, 10)))
    assert shape_of(east).equals(shape_of(west))


@pytest.mark.fault("F45", how="bow-tie, NaN, fill, latitude above 90, repeated points, an edge through the pole")
@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("fill values", ((-999.3, -999.3), (10, 0), (10, 10), (0, 10))),
        ("latitude above 90", ((0, 0), (10, 0), (10, 95), (0, 95))),
        ("not a number", ((math.nan, 0), (10, 0), (10, 10), (0, 10))),
        ("infinite", ((math.inf, 0), (10, 0), (10, 10), (0, 10))),
        ("two points", ((0, 0), (10, 0), (10, 0), (0, 0))),
        ("one point many times", ((5, 5),) * 8),
        ("no points", ()),
        ("a line", ((0, 0), (10, 0), (20, 0), (30, 0))),
        ("bow-tie", ((0, 0), (10, 10), (10, 0), (0, 10))),
        ("crossing edges", ((0, 0), (10, 10), (10, 0), (0, 3))),
        ("edge through the pole", ((0, 80), (180, 80), (90, 70))),
    ],
)
def test_what_is_no_ring_is_refused_with_a_reason(name: str, points: Ring) -> None:
    with pytest.raises(UnusableRing) as refused:
        ring(points)
    assert len(str(refused.value)) > 10, name


def test_counts_that_differ_are_refused() -> None:
    with pytest.raises(UnusableRing, match="3 longitudes and 2 latitudes"):
        from_ring((1.0, 2.0, 3.0), (1.0, 2.0))


@pytest.mark.parametrize(
    ("bounds", "parts", "width"),
    [((-10, -5, 10, 5), 1, 20), ((170, -5, -170, 5), 2, 20), ((-180, -90, 180, 90), 1, 360), ((0, -5, 180, 5), 1, 180)],
)
def test_a_box_has_the_area_of_its_zone_and_is_cut_at_180(
    bounds: tuple[float, float, float, float], parts: int, width: float
) -> None:
    place = from_bounds(*bounds)
    assert len(shape_of(place).geoms) == parts
    zone = math.sin(math.radians(bounds[3])) - math.sin(math.radians(bounds[1]))
    assert place.area_km2 == pytest.approx(math.radians(width) * zone * RADIUS_KM**2, rel=1e-9)


@pytest.mark.parametrize("bounds", [(0, 5, 10, 5), (0, 10, 10, 5), (0, -95, 10, 5), (-999.3, 0, 10, 5), (5, 0, 5, 10)])
def test_bounds_that_are_empty_or_off_the_earth_are_refused(bounds: tuple[float, float, float, float]) -> None:
    with pytest.raises(UnusableRing):
        from_bounds(*bounds)


def test_granules_all_along_an_orbit_are_valid_and_agree_with_an_equal_area_projection() -> None:
    """Swaths of 3,000 km along an inclined orbit, over both poles and the antimeridian."""
    seen_pole = seen_cut = 0
    for step in range(72):
        points = tuple(swath(step * 5.0))
        place = ring(points)
        shape = shape_of(place)
        seen_cut += len(shape.geoms) > 1
        seen_pole += abs(shape.bounds[1]) == 90 or shape.bounds[3] == 90
        assert place.area_km2 == pytest.approx(spherical(points), rel=0.02)
    assert seen_pole >= 2
    assert seen_cut >= 4


def swath(angle: float) -> Ring:
    """Eight points around a piece of swath at ``angle`` degrees along an orbit inclined by 98.7°."""
    along = [angle - 2.56, angle, angle + 2.56]
    corners = [(a, 13.7) for a in along] + [(along[2], 0.0)] + [(a, -13.7) for a in along[::-1]] + [(along[0], 0.0)]
    return tuple(ground(a, across) for a, across in corners)


def ground(along: float, across: float) -> tuple[float, float]:
    u, v, i = math.radians(along), math.radians(across), math.radians(98.7)
    x, y, z = math.cos(v) * math.cos(u), math.cos(v) * math.sin(u), math.sin(v)
    y, z = y * math.cos(i) - z * math.sin(i), y * math.sin(i) + z * math.cos(i)
    return math.degrees(math.atan2(y, x)), math.degrees(math.asin(z))


def spherical(points: Ring) -> float:
    """Area by triangles from the first point (L'Huilier): another formula than the one under test."""

    def distance(a: tuple[float, float], b: tuple[float, float]) -> float:
        (x1, y1), (x2, y2) = ((math.radians(x), math.radians(y)) for x, y in (a, b))
        half = math.sin((y2 - y1) / 2) ** 2 + math.cos(y1) * math.cos(y2) * math.sin((x2 - x1) / 2) ** 2
        return 2 * math.asin(math.sqrt(half))

    total = 0.0
    for b, c in pairwise(points[1:]):
        a, b_c, c_a = distance(points[0], b), distance(b, c), distance(c, points[0])
        s = (a + b_c + c_a) / 2
        product = math.tan(s / 2) * math.tan((s - a) / 2) * math.tan((s - b_c) / 2) * math.tan((s - c_a) / 2)
        total += 4 * math.atan(math.sqrt(max(product, 0.0)))
    return total * RADIUS_KM**2
