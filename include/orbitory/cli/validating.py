"""validate: are the archived rasters what they should be?"""

from __future__ import annotations

import argparse
from typing import Any

from orbitory.cli import deployment
from orbitory.cli.output import say, write_json, write_lines, write_table

#: So many findings are shown to people; with ``--json`` all.
_SHOWN = 40


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verb."""
    verb = verbs.add_parser(
        "validate",
        help="are the archived rasters of a sensor sound? status 4 when one is bad",
        description="Opens and reads archived rasters and keeps a verdict on each; nothing else is changed. Repeating "
        "it, or stopping it in the middle, is always safe. The DAG `raster_validation` does the same, some each day.",
    )
    verb.add_argument("sensor", metavar="SENSOR|all", help="for example WV02; `all` for every sensor")
    verb.add_argument(
        "--mode",
        choices=("header", "sample", "full"),
        default="sample",
        help="headers alone; some blocks of every band, too (default); every pixel of every band",
    )
    verb.add_argument(
        "--daily-bytes",
        type=deployment.number(1 << 60),
        metavar="N",
        help="only what is longest unchecked, as far as N bytes for today go; by default everything",
    )
    deployment.add_json(verb)
    verb.set_defaults(run=_validate)


def _validate(options: argparse.Namespace) -> int:
    from orbitory.rasters.rolling import validate
    from orbitory.rasters.sight import Mode

    sensors = () if options.sensor == "all" else (options.sensor,)
    with deployment.site() as site:
        outcome = validate(site, Mode(options.mode), sensors, daily_bytes=options.daily_bytes)
    findings = list(outcome.findings())
    if options.json:
        write_json({"checked": outcome.checked, "counts": list(outcome.counts), "findings": findings})
    else:
        if findings:
            cells = [(each["verdict"], each["code"], each["path"], each["reason"]) for each in findings[:_SHOWN]]
            write_table(("VERDICT", "CODE", "FILE", "REASON"), cells)
        write_lines([outcome.message])
        if len(findings) > _SHOWN:
            say(f"and {len(findings) - _SHOWN:,} more findings: `orbitory validate … --json` lists them")
    outcome.require_sound()
    return 0
