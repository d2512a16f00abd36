"""mfp report: what an evaluation found, for people. A part of the verb ``mfp``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from orbitory.cli import deployment
from orbitory.cli.output import amount, write_json, write_lines


def add(parts: deployment.Verbs[Any]) -> None:
    """Declare the part of ``mfp``."""
    report = parts.add_parser("report", help="write a page with a map, lists and files for GIS about an evaluation")
    report.add_argument(
        "number", nargs="?", type=deployment.number(1 << 62), metavar="RUN", help="its number; the newest if left out"
    )
    report.add_argument("--out", type=Path, metavar="DIR", help="write here instead of reports/mfp/RUN")
    report.add_argument("--no-gis", action="store_true", help="without GeoPackage and GeoParquet")
    deployment.add_json(report)
    report.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> int:
    from orbitory.mfp.report import write_report

    with deployment.site() as site:
        report = write_report(
            site, options.number, folder=options.out and options.out.absolute(), gis=not options.no_gis
        )
    if options.json:
        write_json(report.as_dict())
        return 0
    write_lines([f"evaluation {report.run}: {report.page}"])
    write_lines(f"  {name}  {amount(size)}" for name, size in report.files.items())
    return 0
