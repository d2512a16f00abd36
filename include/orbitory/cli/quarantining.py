"""quarantine list, show and redrive."""

from __future__ import annotations

import argparse
from typing import Any

from orbitory.cli import deployment
from orbitory.cli.output import moment, say, write_json, write_json_array, write_pairs, write_table

_LARGEST_ID = (1 << 63) - 1


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verb and its parts."""
    quarantine = verbs.add_parser("quarantine", help="what was rejected or held, why, and the way back")
    parts = quarantine.add_subparsers(dest="part", metavar="list|show|redrive", required=True)

    listing = parts.add_parser("list", help="every file in quarantine with its reason")
    _add_filters(listing)
    deployment.add_json(listing)
    listing.set_defaults(run=_list)

    show = parts.add_parser("show", help="everything known about one of them")
    show.add_argument("id", type=deployment.number(_LARGEST_ID), metavar="ID")
    deployment.add_json(show)
    show.set_defaults(run=_show)

    redrive = parts.add_parser(
        "redrive",
        help="move files with their sidecars back to the landing zone",
        description="The next run of their source looks at them afresh. Nothing there is overwritten.",
    )
    redrive.add_argument("ids", nargs="*", type=deployment.number(_LARGEST_ID), metavar="ID")
    redrive.add_argument("--all", action="store_true", help="everything in quarantine")
    _add_filters(redrive)
    deployment.add_json(redrive)
    redrive.set_defaults(run=_redrive)


def _add_filters(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--source", metavar="S")
    verb.add_argument("--reason", metavar="R", help="a reason code, for example checksum")


def _list(options: argparse.Namespace) -> int:
    from orbitory.quarantine import Choice, quarantined

    with deployment.site() as site:
        rows = quarantined(site, Choice(source=options.source, reason=options.reason))
        if options.json:
            write_json_array(rows)
        else:
            write_table(
                ("ID", "SINCE", "SOURCE", "REASON", "STAGE", "NAME", "DETAIL"),
                [
                    (r["id"], moment(r["since"])[:19], r["source"], r["reason"], r["stage"], r["name"], r["detail"])
                    for r in rows
                ],
            )
    return 0


def _show(options: argparse.Namespace) -> int:
    from orbitory.quarantine import Choice, quarantined
    from orbitory.reading import history

    with deployment.site() as site:
        files = list(quarantined(site, Choice(ids=(options.id,))))
        told = {"files": files, "history": history(site.inventory, "arrival", options.id)}
    if options.json:
        write_json(told)
    else:
        for file in files:
            write_pairs(file)
        write_table(
            ("WHEN", "FROM", "TO", "RUN", "BY"),
            [(moment(e["at"]), e["from"] or "", e["to"], e["run"], e["actor"]) for e in told["history"]],
        )
    if not files:
        say(f"arrival {options.id} does not stand in quarantine; `orbitory show` tells where it is")
    return 0 if files else 1


def _redrive(options: argparse.Namespace) -> int:
    from orbitory.errors import ConfigurationError
    from orbitory.quarantine import Choice, redrive

    choice = Choice(source=options.source, reason=options.reason, ids=tuple(options.ids))
    if not options.all and choice == Choice():
        raise ConfigurationError("nothing was chosen: give arrival numbers, --source, --reason, or --all")
    with deployment.site() as site:
        if options.reason == "dark":  # the audit has moved these there: they go back to where they stood
            from orbitory.scan.returning import return_dark

            results = list(return_dark(site, options.source))
        else:
            results = list(redrive(site, choice))
    if options.json:
        write_json([result.as_dict() for result in results])
    else:
        write_table(("ID", "SOURCE", "NAME", "RESULT"), [(r.id, r.source, r.name, r.detail) for r in results])
    returned = sum(result.returned for result in results)
    say(f"{returned} of {len(results)} files went back to the landing zone")
    return 0 if returned == len(results) else 1
