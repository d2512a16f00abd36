"""mfp boundaries, mfp rows: what footprints are joined with, and their rows made again. Parts of the verb ``mfp``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from orbitory.cli import deployment
from orbitory.cli.output import write_json, write_lines


def add(parts: deployment.Verbs[Any]) -> None:
    """Declare the parts of ``mfp``."""
    boundaries = parts.add_parser("boundaries", help="load countries and data zones, and join all footprints with them")
    boundaries.add_argument(
        "--countries", type=Path, metavar="FILE", help="GeoJSON polygons with a name; those that ship if left out"
    )
    boundaries.add_argument(
        "--zones", type=Path, metavar="FILE", help="GeoJSON polygons with a zone_id; the zones of UTM if left out"
    )
    deployment.add_json(boundaries)
    boundaries.set_defaults(run=_boundaries)

    rows = parts.add_parser("rows", help="make the footprints of all strips anew: only what differs is written")
    deployment.add_json(rows)
    rows.set_defaults(run=_rows)


def _boundaries(options: argparse.Namespace) -> int:
    from orbitory.mfp.places import load_places
    from orbitory.mfp.rows import refresh_all

    with deployment.site() as site:
        counts = load_places(site, countries=options.countries, zones=options.zones)
        changed = refresh_all(site)
    if options.json:
        write_json({**counts, "changed": changed})
    else:
        write_lines([f"{counts['countries']} countries and {counts['zones']} zones; {changed:,} footprints changed"])
    return 0


def _rows(options: argparse.Namespace) -> int:
    from orbitory.mfp.rows import refresh_all

    with deployment.site() as site:
        changed = refresh_all(site)
    if options.json:
        write_json({"changed": changed})
    else:
        write_lines([f"{changed:,} footprints changed"])
    return 0
