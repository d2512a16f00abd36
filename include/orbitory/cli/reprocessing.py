"""reprocess: read again what is archived."""

from __future__ import annotations

import argparse
from typing import Any

from orbitory.cli import deployment
from orbitory.cli.output import amount, say, write_json, write_lines

#: So many problems are shown to people; with ``--json`` more, in the inventory all.
_SHOWN = 20


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verb."""
    verb = verbs.add_parser(
        "reprocess",
        help="read archived files again: verify them, or renew what the inventory says of them",
        description="Repeating it, or stopping it in the middle, is always safe. Nothing that identifies a file or "
        "granule is changed. Airflow's backfill of the DAG `reprocess` does the same, day by day.",
    )
    verb.add_argument(
        "--product", action="append", required=True, metavar="P", help="product type or product id; may be repeated"
    )
    verb.add_argument("--from", dest="start", required=True, metavar="T", help="sensed at or after T (ISO 8601, UTC)")
    verb.add_argument("--to", dest="stop", required=True, metavar="T", help="and before T; a date is its first instant")
    verb.add_argument("--sensor", action="append", default=[], metavar="S", help="only this sensor; may be repeated")
    verb.add_argument("--name", action="append", default=[], metavar="N", help="only the file delivered as N")
    verb.add_argument(
        "--mode",
        choices=("verify", "extract", "footprints"),
        default="extract",
        help="hash every file and compare; renew all facts (default); renew footprints alone",
    )
    verb.add_argument("--dry-run", action="store_true", help="say how much it would be; write nothing")
    deployment.add_json(verb)
    verb.set_defaults(run=_reprocess)


def _reprocess(options: argparse.Namespace) -> int:
    from orbitory.reprocess import Mode, Selection, plan, reprocess
    from orbitory.search import read_time

    selection = Selection(
        start=read_time(options.start),
        stop=read_time(options.stop),
        products=tuple(options.product),
        sensors=tuple(options.sensor),
        names=tuple(deployment.name_of(name) for name in options.name),
        mode=Mode(options.mode),
    )
    with deployment.site() as site:
        if options.dry_run:
            planned = plan(site, selection)
            told: dict[str, Any] = {"request": None, "files": planned.files, "bytes": planned.bytes}
            if options.json:
                write_json(told)
            else:
                write_lines([f"{planned.files:,} files, {amount(planned.bytes)} would be read; nothing was changed"])
            return 0
        outcome = reprocess(site, selection)
    if options.json:
        write_json(outcome.as_dict())
    else:
        write_lines([outcome.message])
    for problem in outcome.found[:_SHOWN]:
        say(f"{problem['path']}: {problem['code']}: {problem['detail']}")
    if outcome.problems > _SHOWN:
        say(f"and {outcome.problems - _SHOWN:,} more: `orbitory reprocess … --json` lists them")
    outcome.require_sound()
    return 1 if outcome.problems else 0
