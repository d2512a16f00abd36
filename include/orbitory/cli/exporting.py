"""export preview|run|undo|list|bag: bring this archive's rows and files to another site, and take that back."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbitory.cli import deployment
from orbitory.cli.output import amount, moment, say, write_json, write_lines, write_table

if TYPE_CHECKING:
    from orbitory.export import Outcome, Preview, Selection

_SHOWN = 40


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verb and its parts."""
    export = verbs.add_parser(
        "export",
        help="bring rows and files to another site: preview, run, undo",
        description="Sites are configured by ORBITORY_SITE_<NAME>_DATABASE and ORBITORY_SITE_<NAME>_ROOT.",
    )
    parts = export.add_subparsers(dest="part", metavar="PART", required=True)
    preview = parts.add_parser("preview", help="show what differs, under a hash; nothing is changed")
    _add_target(preview)
    preview.add_argument("--files", action="store_true", help="files travel, too; else rows alone")
    add_selection(preview)
    deployment.add_json(preview)
    preview.set_defaults(run=_preview)

    run = parts.add_parser("run", help="bring over exactly what a preview showed; goes on where a crash has cut it off")
    _add_target(run)
    run.add_argument("--preview", required=True, metavar="HASH", help="that the preview showed")
    run.add_argument("--force", action="store_true", help="I looked at the preview: much may leave there")
    deployment.add_json(run)
    run.set_defaults(run=_run)

    undo = parts.add_parser("undo", help="take an export back: the other side is what it was before")
    undo.add_argument("export", type=deployment.number(2**31), metavar="ID", help="see `orbitory export list`")
    deployment.add_json(undo)
    undo.set_defaults(run=_undo)

    shown = parts.add_parser("list", help="the newest exports, out of this site and into it")
    deployment.add_json(shown)
    shown.set_defaults(run=_list)

    bag = parts.add_parser("bag", help="hand files over in a folder (BagIt), with lists for GIS and a STAC table")
    bag.add_argument("--out", required=True, type=Path, metavar="DIR", help="a folder that does not exist yet")
    add_selection(bag)
    deployment.add_json(bag)
    bag.set_defaults(run=_bag)


def _add_target(part: argparse.ArgumentParser) -> None:
    part.add_argument("--to", required=True, metavar="NAME", help="a configured site, such as prod-nccs")


def add_selection(part: argparse.ArgumentParser) -> None:
    """The options by which granules are chosen."""
    part.add_argument("--product", action="append", default=[], metavar="P", help="product type or id; may be repeated")
    part.add_argument("--sensor", action="append", default=[], metavar="S", help="only this sensor; may be repeated")
    for name, meaning in (("sensed", "whose sensing starts"), ("ingested", "that were archived")):
        part.add_argument(f"--{name}-from", metavar="TIME", help=f"only granules {meaning} at or after TIME")
        part.add_argument(f"--{name}-until", metavar="TIME", help=f"only granules {meaning} before TIME")


def selection_of(options: argparse.Namespace) -> Selection:
    """What these options choose."""
    from orbitory.export import Selection
    from orbitory.search import read_time

    def interval(name: str) -> tuple[datetime | None, datetime | None]:
        start, end = (getattr(options, f"{name}_{edge}") for edge in ("from", "until"))
        return (read_time(start) if start else None, read_time(end) if end else None)

    return Selection(
        products=tuple(options.product),
        sensors=tuple(options.sensor),
        sensed=interval("sensed"),
        ingested=interval("ingested"),
    )


def _preview(options: argparse.Namespace) -> int:
    from orbitory import export
    from orbitory.export.preview import folder_of

    with deployment.site() as site:
        found = export.preview(site, export.remote(options.to), selection_of(options), files=options.files)
        folder = folder_of(site, found.hash)
    if options.json:
        write_json({**found.as_dict(), "report": str(folder)})
    else:
        _write_preview(found, folder)
    for guard in found.guards:
        if not guard["good"]:
            say(guard["told"])
    return 0


def _write_preview(found: Preview, folder: Path) -> None:
    head = ("SENSOR", "ADDED", "CHANGED", "REMOVED", "CONFLICTS", "KEPT THERE", "HELD HERE")
    names = ("sensor", "added", "changed", "removed", "conflicts", "kept", "held")
    write_table(head, [[row[name] for name in names] for row in found.sensors])
    for sample in found.samples[:_SHOWN]:
        write_lines([f"{sample['action']} {sample['key']}{': ' + sample['why'] if sample['why'] else ''}"])
        write_lines(f"    {name}: {old} → {new}" for name, (old, new) in list(sample["fields"].items())[:10])
    moves = "move, too" if found.files else "do not move; --files brings them, also later"
    if found.counts["removed"]:
        moves += "; files of what is removed move into the trash there"
    write_lines(
        [
            f"{found.assets:,} files, {amount(found.bytes)}, {moves}",
            f"report: {folder / 'preview.html'}",
            "nothing was changed; there is nothing to bring over"
            if found.empty
            else "nothing was changed; this brings over exactly what is shown: "
            f"`orbitory export run --to {found.site} --preview {found.hash}`",
        ]
    )


def _run(options: argparse.Namespace) -> int:
    from orbitory import export
    from orbitory.site import person

    with deployment.site() as site:
        approval = f"--force by {person()}" if options.force else ""
        outcome = export.run(site, export.remote(options.to), options.preview, approval=approval)
    return _tell(options, outcome)


def _tell(options: argparse.Namespace, outcome: Outcome) -> int:
    if options.json:
        write_json(outcome.as_dict())
    else:
        rate = outcome.rows / outcome.seconds if outcome.seconds else 0
        told = (
            f"export {outcome.export}: {outcome.granules:,} granules, {outcome.rows:,} rows in {outcome.seconds:.1f} s"
        )
        write_lines([f"{told} ({rate:,.0f} rows/s); `orbitory export undo {outcome.export}` takes it back"])
    for problem in outcome.problems:
        say(problem)
    if outcome.conflicts:
        say(f"{outcome.conflicts:,} granules were edited at {outcome.site}: they stay as they are there")
    return 4 if outcome.problems else 1 if outcome.conflicts else 0


def _undo(options: argparse.Namespace) -> int:
    from orbitory import export

    with deployment.site() as site:
        undone = export.undo(site, options.export)
    if options.json:
        write_json(undone.as_dict())
    else:
        write_lines(
            [f"export {undone.export} was taken back: {undone.granules:,} granules at {undone.site} are what they were"]
        )
    return 0


def _list(options: argparse.Namespace) -> int:
    from orbitory import export

    with deployment.site() as site:
        rows, findings = export.history(site), export.findings(site)
    if options.json:
        write_json({"exports": rows, "findings": findings})
    else:
        head = ("ID", "DIRECTION", "SITE", "STATE", "MADE", "ADDED", "CHANGED", "REMOVED", "ROWS", "BY", "PREVIEW")
        write_table(
            head,
            [
                (
                    *(row["id"], row["direction"], row["site"], row["state"], moment(row["made_at"])),
                    *(row["counts"][name] for name in ("added", "changed", "removed")),
                    *(row["rows"], row["actor"], row["hash"][:16]),
                )
                for row in rows
            ],
        )
        write_lines(f"to be decided: {row['key']} at {row['site']}: {row['why']}" for row in findings[:_SHOWN])
    return 0


def _bag(options: argparse.Namespace) -> int:
    from orbitory.export.bag import write_bag

    with deployment.site() as site:
        made = write_bag(site, selection_of(options), options.out)
    if options.json:
        write_json(made.as_dict())
    else:
        write_lines([f"{made.files:,} files, {amount(made.bytes)} of {made.granules:,} granules in {made.folder}"])
    return 0
