"""Reports of evaluations: a page with a map for anyone, lists for spreadsheets, footprints for GIS.

They stand in ``reports/mfp/<run>/``. The page loads nothing from anywhere and may be mailed or copied alone.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orbitory.errors import Transient
from orbitory.inventory.locks import Lock, alone
from orbitory.listing import head, line_of
from orbitory.mfp.report.figures import Figures, read
from orbitory.mfp.report.gis import write_gis
from orbitory.mfp.report.page import render
from orbitory.mfp.report.worldmap import draw
from orbitory.site import Site

__all__ = ["Report", "write_report"]

PAGE, FINDINGS, COVERAGE = "report.html", "findings.csv", "coverage.csv"
GEOPACKAGE, FOOTPRINTS_PARQUET, FINDINGS_PARQUET = "footprints.gpkg", "footprints.parquet", "findings.parquet"
GIS = (GEOPACKAGE, FOOTPRINTS_PARQUET, FINDINGS_PARQUET)
#: What each file is, in the order in which they are told.
FILES = {
    FINDINGS: "every finding, for spreadsheets",
    COVERAGE: "coverage by sensor and year, for spreadsheets",
    GEOPACKAGE: "all footprints and findings as layers, for QGIS, ArcGIS and GDAL",
    FOOTPRINTS_PARQUET: "the same footprints as GeoParquet, for GeoPandas and DuckDB",
    FINDINGS_PARQUET: "the same findings as GeoParquet",
}
_FINDING = ("level", "code", "sensor", "key", "reason", "hint", "latitude", "longitude")
_STATISTIC = ("sensor", "year", "rows", "area_km2", "union_km2", "cloud_free")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A written report."""

    run: int
    verdict: str
    folder: Path
    #: Bytes by name.
    files: dict[str, int]

    @property
    def page(self) -> Path:
        """What to open first."""
        return self.folder / PAGE

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return {
            "run": self.run,
            "verdict": self.verdict,
            "page": str(self.page),
            "folder": str(self.folder),
            "files": self.files,
        }


def write_report(site: Site, run: int | None = None, *, folder: Path | None = None, gis: bool = True) -> Report:
    """Write the report of evaluation ``run``, or of the newest finished one, to ``folder`` or its place in ``reports``.

    Files appear whole, the page last; a repetition replaces them. Maps and files for GIS show the footprints of now. In
    ``reports``, files for GIS of older runs give way. Raises ConfigurationError, NotReady, Transient.
    """
    figures = read(site, run)
    target = folder or site.settings.reports / "mfp" / str(figures.run)
    with alone(site.inventory, Lock.MFP_REPORT, patience_seconds=None):
        try:
            target.mkdir(parents=True, exist_ok=True)
            files = _write(site, figures, target, gis=gis)
            if gis and folder is None:
                _thin(target.parent, figures.run)
        except (OSError, sqlite3.OperationalError) as error:
            raise Transient(f"the report could not be written to {target}: {error}") from error
    return Report(run=figures.run, verdict=figures.verdict, folder=target, files=files)


def _write(site: Site, figures: Figures, folder: Path, *, gis: bool) -> dict[str, int]:
    with _placed(folder, FINDINGS) as path, path.open("wb") as file:
        file.write(head(_FINDING))
        for row in site.inventory.stream("mfp_report_findings", run=figures.run):
            file.write(line_of([row[column] for column in _FINDING]))
    with _placed(folder, COVERAGE) as path, path.open("wb") as file:
        file.write(head(_STATISTIC))
        file.writelines(line_of([row[column] for column in _STATISTIC]) for row in figures.statistics)
    if gis:
        with ExitStack() as stack:
            package, footprints, findings = (stack.enter_context(_placed(folder, name)) for name in GIS)
            write_gis(site, figures, geopackage=package, footprints=footprints, findings=findings)
    written = [name for name in FILES if gis or name not in GIS]
    drawn = draw(site, figures.run, figures.sensors, figures.counts["rows"])
    with _placed(folder, PAGE) as path:
        path.write_text(render(figures, drawn, [(name, FILES[name]) for name in written]), encoding="utf-8")
    return {name: (folder / name).stat().st_size for name in (PAGE, *written)}


@contextmanager
def _placed(folder: Path, name: str) -> Iterator[Path]:
    """A path to write to; what stands there at the end takes its place under ``name`` at once, and durably."""
    path = folder / f".{name}.part"
    path.unlink(missing_ok=True)  # a writer that was killed left it
    try:
        yield path
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.replace(folder / name)
    finally:
        path.unlink(missing_ok=True)


def _thin(reports: Path, run: int) -> None:
    """Only the newest report keeps its files for GIS: each holds every footprint."""
    for folder in reports.iterdir():
        if re.fullmatch(r"[1-9]\d*", folder.name, re.ASCII) and int(folder.name) < run:
            for name in GIS:
                (folder / name).unlink(missing_ok=True)
