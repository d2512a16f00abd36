"""The map of a report: where the preferred footprints are, and where something was found, as paths for SVG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from orbitory.inventory import Row
from orbitory.mfp.report.projections import PANELS, Panel, Points
from orbitory.site import Site

#: So many footprints are drawn one by one; beyond, only those that something was found about.
MOST_OUTLINES = 2_000
#: So many findings are marked one by one; beyond, those of one cell together.
_MOST_SINGLE = 500
_MOST_MARKS = 1_500
#: So many marks of a panel carry their code in letters; each of them tells it when it is pointed at.
_LABELLED = 25
#: Cells of so many degrees; the first size with no more than ``_MOST_CELLS`` of them is taken.
_CELLS = (1, 2, 5)
_MOST_CELLS = 8_000
#: Least number of footprints in a cell of each shade.
_SHADES = (1, 3, 10, 30, 100, 300)
#: Edges are straight in degrees; on the drawing they bend, in steps of so many degrees.
_STEP_DEG = 2.0
_GRATICULE_DEG = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One or several findings at a place of a panel."""

    level: str
    x: int
    y: int
    title: str
    #: Shown beside it; may be empty.
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One panel, drawn. Paths are of SVG; empty when there is nothing."""

    panel: Panel
    edge: str
    graticule: str
    land: str
    #: By shade, from the lightest.
    cells: Sequence[str]
    #: By level of the gravest finding, or ``none``.
    outlines: Sequence[tuple[str, str]]
    marks: Sequence[Mark]


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """All panels and what their signs mean."""

    drawings: Sequence[Drawing]
    cell_degrees: int
    #: How many footprints each shade means.
    shades: Sequence[str]
    #: Footprints drawn one by one.
    outlined: int
    #: Whether these are all preferred ones.
    complete: bool
    #: Findings that have a place, and how many of them are marked.
    placed: int
    marked: int


def draw(site: Site, run: int, sensors: Sequence[str], rows: int) -> Map:
    """Draw the footprints of these sensors as they are now, and the findings of the run."""
    inventory = site.inventory
    complete = rows <= MOST_OUTLINES
    outlines = inventory.all(
        "mfp_report_outlines", run=run, sensors=list(sensors), everything=complete, limit=MOST_OUTLINES
    )
    placed = (inventory.one("mfp_report_placed", run=run) or {"findings": 0})["findings"]
    close = 0.05 if placed <= _MOST_SINGLE else 3.0
    marks = inventory.all("mfp_report_marks", run=run, cell=close, limit=_MOST_MARKS)
    degrees, cells = _cells(site, sensors)
    land = _parts(inventory.all("mfp_report_land"))
    shapes = [(level, _parts(group)) for level, group in groupby(outlines, key=lambda row: row["level"])]
    return Map(
        drawings=[
            Drawing(
                panel=panel,
                edge=_path(panel, [_box(panel)]),
                graticule=_graticule(panel),
                land=_path(panel, _clipped(panel, land)),
                cells=[_path(panel, _clipped(panel, boxes)) for boxes in cells],
                outlines=[(level, _path(panel, _clipped(panel, parts), digits=1)) for level, parts in shapes],
                marks=list(_marks(panel, marks)),
            )
            for panel in PANELS
        ],
        cell_degrees=degrees,
        shades=_ranges(),
        outlined=len(outlines),
        complete=complete,
        placed=placed,
        marked=sum(row["findings"] for row in marks),
    )


def _parts(rows: Iterable[Row]) -> npt.NDArray[np.object_]:
    return np.asarray(shapely.get_parts(shapely.from_wkb([row["wkb"] for row in rows])))


def _cells(site: Site, sensors: Sequence[str]) -> tuple[int, list[npt.NDArray[np.object_]]]:
    """Size of the cells, and the cells of each shade."""
    for degrees in _CELLS:
        rows = site.inventory.all("mfp_report_cells", sensors=list(sensors), cell=degrees)
        if len(rows) <= _MOST_CELLS:
            break
    west = np.array([row["column"] for row in rows], dtype=float) * degrees - 180
    south = np.array([row["row"] for row in rows], dtype=float) * degrees - 90
    boxes = np.asarray(shapely.box(west, south, west + degrees, south + degrees))
    shade = np.searchsorted(_SHADES, [row["rows"] for row in rows], side="right") - 1
    return degrees, [boxes[shade == number] for number in range(len(_SHADES))]


def _ranges() -> list[str]:
    """Footprints of each shade, in words.

    >>> _ranges()
    ['1 to 2', '3 to 9', '10 to 29', '30 to 99', '100 to 299', '300 or more']
    """
    bounds = [f"{least} to {after - 1}" for least, after in pairwise(_SHADES)]
    return [*bounds, f"{_SHADES[-1]} or more"]


def _box(panel: Panel) -> BaseGeometry:
    return shapely.box(*panel.shows)


def _clipped(panel: Panel, shapes: npt.NDArray[np.object_]) -> list[BaseGeometry]:
    """What the panel shows of them, as polygons."""
    if not len(shapes):
        return []
    if panel.name != "world":
        bounds = shapely.bounds(shapes)
        near = (bounds[:, 3] > panel.shows[1]) & (bounds[:, 1] < panel.shows[3])
        shapes = shapely.clip_by_rect(shapes[near], *panel.shows)
    parts = shapely.get_parts(shapes)
    return [part for part in parts if part.geom_type == "Polygon" and not part.is_empty]


def _path(panel: Panel, polygons: Sequence[BaseGeometry], *, digits: int = 0) -> str:
    """All rings as one path of relative steps, in units of the panel with so many decimal digits."""
    bent = [shapely.segmentize(polygon, _STEP_DEG) for polygon in polygons]
    rings = [ring for polygon in bent for ring in (polygon.exterior, *polygon.interiors)]
    return "".join(_steps(panel.project(shapely.get_coordinates(ring)), digits, closed=True) for ring in rings)


def _steps(points: Points, digits: int, *, closed: bool) -> str:
    """One line; points that fall on each other are drawn once, and what shrinks to a point not at all."""
    scale = 10**digits
    whole = np.rint(points * scale).astype(int)
    moves = np.diff(whole, axis=0)
    moves = moves[np.any(moves != 0, axis=1)]
    if not len(moves):
        return ""
    steps = " ".join(f"{x / scale:g} {y / scale:g}" for x, y in moves)
    return f"M{whole[0, 0] / scale:.{digits}f} {whole[0, 1] / scale:.{digits}f}l{steps}{'z' if closed else ''}"


def _graticule(panel: Panel) -> str:
    """Meridians and parallels."""
    west, south, east, north = panel.shows
    inner = 10 if panel.name != "world" else _GRATICULE_DEG
    dense = np.linspace(0, 1, 91)
    lines = [
        np.column_stack((np.full(91, float(longitude)), south + dense * (north - south)))
        for longitude in range(-180, 180, _GRATICULE_DEG)
    ]
    lines += [
        np.column_stack((west + dense * (east - west), np.full(91, float(latitude))))
        for latitude in range(int(south) + inner, int(north), inner)
    ]
    return "".join(_steps(panel.project(line), 0, closed=False) for line in lines)


def _marks(panel: Panel, rows: Sequence[Row]) -> Iterator[Mark]:
    """Signs of the findings that the panel shows; the gravest are drawn last, on top."""
    _, south, _, north = panel.shows
    shown = [row for row in rows if south <= row["latitude"] <= north]
    if not shown:
        return
    places = np.array([(row["longitude"], row["latitude"]) for row in shown])
    whole = np.rint(panel.project(places)).astype(int).tolist()
    for number, (row, (x, y)) in reversed(list(enumerate(zip(shown, whole, strict=True)))):
        yield Mark(level=row["level"], x=x, y=y, title=_title(row), label=_label(row) if number < _LABELLED else "")


def _title(row: Row) -> str:
    where = f"{_degrees(row['latitude'], 'NS')} {_degrees(row['longitude'], 'EW')}"
    codes = ", ".join(row["codes"])
    if row["findings"] == 1:
        return f"{row['level']} {codes} at {where}: {row['key']}"
    return f"{row['findings']} findings of level {row['level']} ({codes}) about {where}, one is {row['key']}"


def _degrees(value: float, sides: str) -> str:
    return f"{abs(value):.2f}° {sides[value < 0]}"


def _label(row: Row) -> str:
    """The first code, and whether there is more.

    >>> _label({"codes": ["E05"], "findings": 1}), _label({"codes": ["E05", "E06"], "findings": 12})
    ('E05', 'E05 … ×12')
    """
    more = " …" if len(row["codes"]) > 1 else ""
    return str(row["codes"][0]) + more + (f" ×{row['findings']}" if row["findings"] > 1 else "")
