"""run-pge, lineage: make products, and tell from what they were made."""

from __future__ import annotations

import argparse
from typing import Any

from orbitory.cli import deployment
from orbitory.cli.output import say, write_json, write_lines, write_table


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verbs."""
    runs = verbs.add_parser(
        "run-pge",
        help="run planned PGE instances here: stage, execute, check, deliver",
        description="What is delivered stands in the landing zone of source `pge`: `orbitory ingest pge` archives it. "
        "An instance that failed or was cancelled starts afresh when it is named.",
    )
    runs.add_argument(
        "instance", nargs="?", type=deployment.number(2**62), metavar="INSTANCE", help="number of an instance"
    )
    runs.add_argument("--ready", action="store_true", help="everything that is ready, the most important first")
    runs.add_argument("--workers", type=deployment.number(256), metavar="N", help="processors to use; default 1")
    deployment.add_json(runs)
    runs.set_defaults(run=_run)

    cancel = verbs.add_parser(
        "cancel-pge",
        help="give up a PGE instance",
        description="Its program ends within seconds and its inputs are let go; `orbitory run-pge N` starts it again.",
    )
    cancel.add_argument("instance", type=deployment.number(2**62), metavar="INSTANCE", help="number of an instance")
    deployment.add_json(cancel)
    cancel.set_defaults(run=_cancel)

    lineage = verbs.add_parser("lineage", help="from what a product was made, and what was made from it")
    lineage.add_argument("name", metavar="NAME", help="an instance, a file name or path, or the key of a granule")
    deployment.add_json(lineage)
    lineage.set_defaults(run=_lineage)


def _run(options: argparse.Namespace) -> int:
    import threading

    from orbitory.errors import ConfigurationError
    from orbitory.pge.crew import run_again, run_ready

    if (options.instance is None) is not options.ready:
        raise ConfigurationError("give either the number of an instance or --ready")
    with deployment.site() as site:
        if options.ready:
            results = run_ready(site.settings, site.actor, options.workers or 1)
        else:
            results = [run_again(site, options.instance, None, threading.Event(), afresh=True)]
    told = [each.as_dict() for each in results]
    if options.json:
        write_json(told)
    else:
        head = ("INSTANCE", "PGE", "STATE", "REASON", "SECONDS")
        write_table(
            head, [(*(row[key] for key in ("instance", "pge", "state", "reason", "wall_seconds")),) for row in told]
        )
    for each in results:
        if each.state not in ("delivered", "done"):
            say(f"instance {each.instance} of {each.pge} is {each.state}: {each.detail}")
    return 0 if all(each.state in ("delivered", "done") for each in results) else 1


def _cancel(options: argparse.Namespace) -> int:
    from orbitory.pge.recovery import cancel

    with deployment.site() as site:
        done = cancel(site, options.instance, f"cancelled by {site.actor}")
    if options.json:
        write_json({"instance": options.instance, "cancelled": done})
    else:
        say(f"instance {options.instance} is cancelled" if done else f"instance {options.instance} has ended already")
    return 0 if done else 1


def _lineage(options: argparse.Namespace) -> int:
    from orbitory.pge.lineage import lineage

    with deployment.inventory() as inventory:
        found = lineage(inventory, deployment.name_of(options.name))
    if options.json:
        write_json(found)
        return 0
    for step in found["instances"]:
        write_lines(
            [f"{step['pge']} {step['version']}, instance {step['instance']}, {step['period']}: {step['state']}"]
        )
        write_lines(
            [
                f"  from {each['blake3'][:16]}  {each['granule'] or each['file']}  ({each['input']})"
                for each in step["inputs"]
            ]
        )
        write_lines([f"  made {each['blake3'][:16]}  {each['path'] or each['name']}" for each in step["outputs"]])
    return 0
