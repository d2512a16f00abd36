"""Footprints and findings for GIS: one GeoPackage, and a GeoParquet file of each, in one pass over the inventory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from orbitory.inventory import Row
from orbitory.mfp.report.columns import FINDING, of_footprints
from orbitory.mfp.report.figures import Figures
from orbitory.mfp.report.geopackage import GeoPackage, Layer
from orbitory.mfp.report.geoparquet import GeoParquet
from orbitory.site import Site

_AT_ONCE = 5_000


def write_gis(site: Site, figures: Figures, *, geopackage: Path, footprints: Path, findings: Path) -> int:
    """Write the run's findings, and all footprints of its sensors as they are now, preferred or not; counts these."""
    columns, sensors = of_footprints(site), list(figures.sensors)
    with GeoPackage(geopackage) as package:
        package.begin(
            Layer(name="footprints", columns=columns, geometry="MULTIPOLYGON", about=f"of {', '.join(sensors)}")
        )
        package.begin(Layer(name="findings", columns=FINDING, geometry="POINT", about=f"of evaluation {figures.run}"))
        with GeoParquet(footprints, columns, geometry="MultiPolygon") as parquet:
            rows = site.inventory.stream("mfp_report_footprints", sensors=sensors)
            written = _both(package, "footprints", parquet, rows)
        with GeoParquet(findings, FINDING, geometry="Point") as parquet:
            rows = site.inventory.stream("mfp_report_findings", run=figures.run)
            _both(package, "findings", parquet, _bounded(rows))
    return written


def _both(package: GeoPackage, layer: str, parquet: GeoParquet, rows: Iterable[Row]) -> int:
    written, coming = 0, iter(rows)
    while some := list(islice(coming, _AT_ONCE)):
        package.add(layer, some)
        parquet.add(some)
        written += len(some)
    return written


def _bounded(rows: Iterable[Row]) -> Iterator[Row]:
    """Points with their bounds."""
    for row in rows:
        x, y = row["longitude"], row["latitude"]
        yield {**row, "west": x, "east": x, "south": y, "north": y}
