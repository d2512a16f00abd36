"""plan, why, stale: which PGE instances are due, what they wait for, and what is outdated."""

from __future__ import annotations

import argparse
from typing import Any

from orbitory.cli import deployment
from orbitory.cli.output import moment, say, write_json, write_json_array, write_lines, write_table

_LARGEST_ID = (1 << 63) - 1


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verbs."""
    plan = verbs.add_parser(
        "plan",
        help="plan the PGE instances that are due, then list those that are not finished",
        description="Plans what the granules ask for that were archived since the last planning, and what time has "
        "decided. With a range, every period of granules sensed in it. Repeating it changes nothing.",
    )
    plan.add_argument("--from", dest="start", metavar="T", help="sensed at or after T (ISO 8601, UTC)")
    plan.add_argument("--to", dest="stop", metavar="T", help="and before T; a date is its first instant")
    plan.add_argument("--all", action="store_true", help="list the finished ones too")
    deployment.add_json(plan)
    plan.set_defaults(run=_plan)

    why = verbs.add_parser("why", help="why a PGE instance is in its state: what it waits for, in words")
    why.add_argument("instance", type=deployment.number(_LARGEST_ID), metavar="INSTANCE")
    deployment.add_json(why)
    why.set_defaults(run=_why)

    stale = verbs.add_parser("stale", help="outputs of PGEs that were made from inputs that have been replaced since")
    deployment.add_json(stale)
    stale.set_defaults(run=_stale)


def _plan(options: argparse.Namespace) -> int:
    from orbitory.pge.missing import in_words
    from orbitory.pge.outcome import Unplanned
    from orbitory.pge.planner import listed, plan
    from orbitory.search import read_time

    start, stop = (read_time(text) if text is not None else None for text in (options.start, options.stop))
    with deployment.site() as site:
        trouble: Unplanned | None = None
        try:
            planned = plan(site, start, stop)
        except Unplanned as error:
            planned, trouble = error.planned, error
        rows = listed(site.inventory, everything=options.all)
        if options.json:
            write_json_array(rows)
        else:
            write_table(
                ("INSTANCE", "PGE", "PERIOD", "STATE", "WHY"),
                (
                    (
                        *(row["instance"], row["pge"], row["period"], row["state"]),
                        in_words(row["missing"]) or row["detail"],
                    )
                    for row in rows
                ),
            )
        for problem in site.catalogue.problems:
            if problem.file.startswith("pges/"):
                say(f"not planned: {problem}")
    say(f"{planned.granules:,} granules looked at, {planned.written:,} instances written")
    if trouble:
        raise trouble
    return 0


def _why(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from orbitory.pge.why import why

    with deployment.inventory() as inventory:
        told = why(inventory, options.instance)
    if options.json:
        write_json(asdict(told))
    else:
        write_lines([f"{told.pge} {told.version}, {told.period}: {told.why}"])
    return 0


def _stale(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from orbitory.pge.stale import stale

    with deployment.site() as site:
        found = stale(site.inventory, site.catalogue)
    if options.json:
        write_json([asdict(each) for each in found])
        return 0
    write_table(
        ("INSTANCE", "PGE", "PERIOD", "STATE", "SINCE", "WHY"),
        [(each.instance, each.pge, each.period, each.state, moment(each.since)[:19], each.detail) for each in found],
    )
    return 0
