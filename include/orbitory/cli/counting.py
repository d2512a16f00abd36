"""stats: how much the archive holds."""

from __future__ import annotations

import argparse
from typing import Any

from orbitory.cli import deployment
from orbitory.cli.output import moment, write_json, write_lines, write_table


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verb."""
    stats = verbs.add_parser("stats", help="how many granules the archive holds, by sensor, year, …")
    stats.add_argument(
        "--by",
        default="source,product",
        metavar="LIST",
        help="at most three of source, product, sensor, platform, classification, form, year, month",
    )
    stats.add_argument("--all-versions", action="store_true", help="count superseded versions too")
    deployment.add_json(stats)
    stats.set_defaults(run=_stats)


def _stats(options: argparse.Namespace) -> int:
    from orbitory.statistics import count

    by = [word.strip() for word in options.by.split(",") if word.strip()]
    with deployment.inventory() as inventory:
        counts = count(inventory, by, all_versions=options.all_versions)
    total = sum(each.granules for each in counts)
    if options.json:
        rows = [
            dict(zip(by, each.values, strict=True))
            | {"granules": each.granules, "first": moment(each.first) or None, "last": moment(each.last) or None}
            for each in counts
        ]
        write_json({"by": by, "rows": rows, "total": {"granules": total}})
        return 0
    head = (*(word.upper() for word in by), "GRANULES", "FIRST", "LAST")
    write_table(head, [(*each.values, f"{each.granules:,}", moment(each.first), moment(each.last)) for each in counts])
    write_lines(["", f"{total:,} granules"])
    return 0
