"""stats: how much the archive holds, and what PGEs did."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from orbitory.cli import deployment
from orbitory.cli.output import age, amount, listed, moment, write_json, write_lines, write_table


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
    stats.add_argument("--pge", action="store_true", help="what PGEs did instead, and what of theirs waits")
    stats.add_argument("--per", choices=("hour", "day"), default="day", help="with --pge; UTC")
    deployment.add_json(stats)
    stats.set_defaults(run=_stats)


def _stats(options: argparse.Namespace) -> int:
    from orbitory.statistics import count

    if options.pge:
        return _pges(options)
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


def _pges(options: argparse.Namespace) -> int:
    from orbitory.statistics import pges

    with deployment.inventory() as inventory:
        told = pges(inventory, options.per)
    if options.json:
        dated = {name: [row | {"since": moment(row["since"])} for row in told[name]] for name in ("throughput", "runs")}
        write_json(told | dated)
        return 0
    keys = ("started", "completed", "failed", "backlog")
    write_table(
        ("SINCE", "PGE", "STARTED", "COMPLETED", "FAILED", "READY AT ITS END"),
        [(moment(row["since"]), row["pge"], *(row[key] for key in keys)) for row in told["throughput"]],
    )
    write_lines([""])
    write_table(
        ("SINCE", "PGE", "EXIT STATUS", "RUN s", "LONGEST s", "CPU s", "BESIDE s", "MEMORY"),
        [_run_row(row) for row in told["runs"]],
    )
    write_lines([""])
    write_table(
        ("QUEUE", "PGE", "STATE", "INSTANCES", "OLDEST"),
        [
            (row["queue"], row["pge"], row["state"], row["instances"], age(row["oldest_seconds"]))
            for row in told["backlog"]
        ],
    )
    return 0


def _run_row(row: Mapping[str, Any]) -> tuple[object, ...]:
    keys = ("wall_seconds", "longest_seconds", "cpu_seconds", "beside_seconds")
    seconds = (f"{row[key]:.1f}" for key in keys)
    return (moment(row["since"]), row["pge"], listed(row["ended"]), *seconds, amount(row["peak_bytes"]))
