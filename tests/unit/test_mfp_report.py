"""Parts of the report of an evaluation that need no inventory: projections, paths, colours."""

from __future__ import annotations

import math
import re
import sqlite3
import struct
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from orbitory.mfp.report import projections, worldmap
from orbitory.mfp.report.columns import Column, Kind
from orbitory.mfp.report.geopackage import GeoPackage, Layer
from orbitory.mfp.report.projections import PANELS, WORLD, Panel

STYLE = (resources.files("orbitory.mfp.report") / "page.css").read_text()


def area_on(panel: Panel, west: float, south: float, east: float, north: float) -> float:
    """Share of the sphere that a box takes on the drawing, by the panel's own scale."""
    box = shapely.segmentize(shapely.box(west, south, east, north), 0.1)
    drawn = shapely.transform(box, panel.project).area
    whole = shapely.transform(shapely.segmentize(shapely.box(*panel.shows), 0.1), panel.project).area
    shows = math.sin(math.radians(panel.shows[3])) - math.sin(math.radians(panel.shows[1]))
    return float(drawn / whole * shows / 2)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
@pytest.mark.parametrize("longitude", [-180, -60, 0, 170])
def test_areas_are_true_everywhere_on_every_map(panel: Panel, longitude: int) -> None:
    for south in range(math.ceil(panel.shows[1]), int(panel.shows[3]), 10):
        expected = (math.sin(math.radians(south + 10)) - math.sin(math.radians(south))) / 2 * 10 / 360
        assert area_on(panel, longitude, south, longitude + 10, south + 10) == pytest.approx(expected, rel=2e-3)


def test_every_map_holds_what_it_shows_and_the_poles_are_in_the_middle_of_their_own() -> None:
    for panel in PANELS:
        west, south, east, north = panel.shows
        corners = np.array([[x, y] for x in np.linspace(west, east, 37) for y in np.linspace(south, north, 19)])
        places = panel.project(corners)
        assert (places >= -1e-6).all()
        assert (places[:, 0] <= panel.width).all() and (places[:, 1] <= panel.height).all()
    middle = [panel.project(np.array([[12.0, side]])) for panel, side in zip(PANELS[1:], (90.0, -90.0), strict=True)]
    assert np.allclose(middle, 1000)


def test_east_is_right_of_west_and_north_is_above_south() -> None:
    (west, east, south) = WORLD.project(np.array([[-10.0, 50.0], [10.0, 50.0], [-10.0, -50.0]]))
    assert west[0] < east[0] and west[1] < south[1]


def test_seen_from_above_the_north_pole_east_is_counterclockwise_and_from_the_south_pole_clockwise() -> None:
    for north, turn in ((True, 1), (False, -1)):
        zero, ninety = projections.polar(
            np.array([[0.0, 70.0 if north else -70.0], [90.0, 70.0 if north else -70.0]]), north=north
        )
        assert np.sign(zero[0] * ninety[1] - zero[1] * ninety[0]) == turn


def coordinates(path: str) -> list[list[tuple[float, float]]]:
    """Absolute points of a path of relative steps."""
    lines = []
    for line in re.findall(r"M([^M]+?)z?(?=M|$)", path):
        start, steps = line.split("l")
        x, y = map(float, start.split())
        points, numbers = [(x, y)], [float(number) for number in steps.split()]
        for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
            x, y = x + dx, y + dy
            points.append((x, y))
        lines.append(points)
    return lines


def test_a_footprint_split_at_180_degrees_is_drawn_at_both_edges_and_not_across_the_map() -> None:
    halves = shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)])
    drawn = coordinates(worldmap._path(WORLD, worldmap._clipped(WORLD, shapely.get_parts([halves])), digits=1))
    assert len(drawn) == 2
    for line in drawn:
        assert max(x for x, _ in line) - min(x for x, _ in line) < 25
    assert {round(line[0][0] / WORLD.width) for line in drawn} == {0, 1}


def test_a_cap_around_a_pole_covers_the_middle_of_its_inset() -> None:
    cap = shapely.box(-180, 80, 180, 90)
    (north,) = [panel for panel in PANELS if panel.name == "north"]
    drawn = coordinates(worldmap._path(north, worldmap._clipped(north, shapely.get_parts([cap]))))
    assert shapely.make_valid(shapely.Polygon(drawn[0])).buffer(1).contains(shapely.Point(1000, 1000))
    (south,) = [panel for panel in PANELS if panel.name == "south"]
    assert worldmap._clipped(south, shapely.get_parts([cap])) == []


def test_what_shrinks_to_nothing_is_not_drawn() -> None:
    assert worldmap._path(WORLD, [shapely.box(10, 10, 10.0001, 10.0001)]) == ""


def test_the_index_of_a_geopackage_follows_what_people_edit(tmp_path: Path) -> None:
    """With the functions that GDAL and QGIS bring, here for points alone."""
    columns = [Column(name="name", kind=Kind.TEXT)]
    with GeoPackage(tmp_path / "a.gpkg") as package:
        package.begin(Layer(name="places", columns=columns, geometry="POINT", about="some"))
        package.add("places", [place(1.0, 2.0), place(3.0, 4.0), {**place(0, 0), "wkb": None, "west": None}])
    db = sqlite3.connect(tmp_path / "a.gpkg", isolation_level=None)
    for name, at in (("ST_MinX", 8), ("ST_MaxX", 16), ("ST_MinY", 24), ("ST_MaxY", 32)):
        db.create_function(name, 1, lambda blob, at=at: struct.unpack_from("<d", blob, at)[0])
    db.create_function("ST_IsEmpty", 1, lambda blob: blob[3] >> 4 & 1)
    index = "SELECT id, minx, maxy FROM rtree_places_geom ORDER BY id"
    assert db.execute(index).fetchall() == [(1, 1, 2), (2, 3, 4)]
    assert db.execute("SELECT min_x, min_y, max_x, max_y FROM gpkg_contents").fetchall() == [(1, 2, 3, 4)]
    db.execute("UPDATE places SET geom = (SELECT geom FROM places WHERE fid = 2) WHERE fid IN (1, 3)")
    db.execute("UPDATE places SET geom = NULL WHERE fid = 2")
    db.execute("UPDATE places SET fid = 9 WHERE fid = 3")
    db.execute("INSERT INTO places (geom) SELECT geom FROM places WHERE fid = 9")
    db.execute("DELETE FROM places WHERE fid = 1")
    assert db.execute(index).fetchall() == [(9, 3, 4), (10, 3, 4)]
    db.close()


def place(x: float, y: float) -> dict[str, Any]:
    point = shapely.to_wkb(shapely.Point(x, y))
    return {"name": "here", "wkb": point, "west": x, "east": x, "south": y, "north": y}


def _luminance(colour: str) -> float:
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_text_and_sign_stands_out_from_its_ground(theme: int) -> None:
    """WCAG 2.1: 4.5 to 1 for text, 3 to 1 for what is drawn."""
    colours = dict(re.findall(r"--([a-z0-9]+): #([0-9a-f]{3,6});", STYLE.split(":root {")[theme + 1]))
    for text in ("text", "dim", "error", "warning", "info", "good", "link"):
        for ground in ("ground", "panel"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for sign in ("error", "warning", "info"):
        for ground in ("water", "land"):
            assert contrast(colours[sign], colours[ground]) >= 3, (sign, ground)
