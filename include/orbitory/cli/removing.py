"""duplicates, delete: take files and rows out of the archive, and bring them back."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbitory.cli import deployment
from orbitory.cli.output import amount, say, write_json, write_lines, write_table

if TYPE_CHECKING:
    from orbitory.removal import Outcome, Plan, Selection

#: So many lines are shown to people; with ``--json`` all.
_SHOWN = 40


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verbs."""
    duplicates = verbs.add_parser(
        "duplicates",
        help="show re-ordered and re-delivered images that an evaluation put aside; remove them",
        description="Without --apply nothing is changed: the set is shown with its hash, and the reason for each "
        "keeper. What is removed goes into the trash and can be brought back.",
    )
    duplicates.add_argument(
        "--sensor", action="append", default=[], metavar="S", help="only this sensor; may be repeated"
    )
    _add_actions(duplicates)
    duplicates.set_defaults(run=_duplicates)
    delete = verbs.add_parser(
        "delete",
        help="remove files with their rows, by a list or by a rule",
        description="Without --apply nothing is changed: the set is shown with its hash. What is removed goes into the "
        "trash and can be brought back; its rows stay as tombstones.",
    )
    chosen = delete.add_mutually_exclusive_group()
    chosen.add_argument(
        "--list", dest="names", metavar="FILE", help="one key, path or delivered name a line; - reads standard input"
    )
    chosen.add_argument(
        "--rule", metavar="RULE", help="for example: sensor = WV02 and cloudcover > 0.9 and sensed < 2012-01-01"
    )
    delete.add_argument("--sensor", action="append", default=[], metavar="S", help="of these, only this sensor's")
    _add_actions(delete)
    delete.set_defaults(run=_delete)


def _add_actions(verb: argparse.ArgumentParser) -> None:
    action = verb.add_mutually_exclusive_group()
    action.add_argument("--apply", metavar="HASH", help="remove the set of this hash, if it still is exactly that set")
    action.add_argument("--undo", metavar="HASH", help="bring back what was removed with this set")
    verb.add_argument("--force", action="store_true", help="with --apply: I looked at the set, it may be large")
    deployment.add_json(verb)


def _duplicates(options: argparse.Namespace) -> int:
    from orbitory.removal import Selection

    sensors = tuple(options.sensor)
    asked = None if options.apply and not sensors else Selection(sensors=sensors)
    return _act(options, asked)


def _delete(options: argparse.Namespace) -> int:
    from orbitory.errors import ConfigurationError
    from orbitory.removal import Selection, names_of

    sensors = tuple(options.sensor)
    if options.names is not None:
        return _act(options, Selection(kind="list", sensors=sensors, names=names_of(read_list(options.names))))
    if options.rule is not None:
        return _act(options, Selection(kind="rule", sensors=sensors, rule=options.rule))
    if not options.apply and not options.undo:
        raise ConfigurationError("say what to remove: --list FILE or --rule RULE; see `orbitory delete --help`")
    return _act(options, None)


def read_list(name: str) -> Iterable[str]:
    """The lines of a file, or of standard input for ``-``."""
    from orbitory.errors import ConfigurationError

    if name == "-":
        return sys.stdin
    try:
        return Path(name).read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    except OSError as error:
        raise ConfigurationError(f"cannot read the list {name}: {error.strerror}") from error


def _act(options: argparse.Namespace, selection: Selection | None) -> int:
    from orbitory import removal
    from orbitory.site import person

    with deployment.site() as site:
        if options.undo:
            return _tell_outcome(options, removal.undo(site, options.undo))
        if options.apply:
            forced = f"--force by {person()}" if options.force else ""
            return _tell_outcome(options, removal.apply(site, options.apply, selection, approval=forced))
        assert selection is not None
        return _tell_plan(options, removal.plan(site, selection))


def _tell_plan(options: argparse.Namespace, plan: Plan) -> int:
    if options.json:
        write_json(plan.as_dict())
    else:
        _write_plan(plan)
    if plan.too_much():
        say(plan.too_much())
    for text in [f"{each['name']}: {each['why']}" for each in plan.unknown[:_SHOWN]]:
        say(text)
    return 1 if plan.unknown else 0


def _write_plan(plan: Plan) -> None:
    if plan.items:
        cells = [(each["loser"], each["keeper"], each["reason"]) for each in plan.items[:_SHOWN]]
        write_table(("REMOVED", "KEPT", "REASON"), cells)
    if len(plan.items) > _SHOWN:
        write_lines([f"and {len(plan.items) - _SHOWN:,} more; --json lists them"])
    if plan.held:
        write_table(("STAYS", "WHY"), [(each["key"], each["why"]) for each in plan.held[:_SHOWN]])
    lines = [f"{len(plan.items):,} granules, {plan.files:,} files, {amount(plan.bytes)}; nothing was changed"]
    if plan.in_place:
        lines.append(f"{plan.in_place:,} of the files were registered in place: only their rows would leave")
    if plan.items:
        lines.append(f"--apply {plan.hash} removes exactly these")
    write_lines(lines)


def _tell_outcome(options: argparse.Namespace, outcome: Outcome) -> int:
    if options.json:
        write_json(outcome.as_dict())
    else:
        write_lines([outcome.message])
    for key, why in outcome.left[:_SHOWN]:
        say(f"{key} stays: {why}")
    return 1 if outcome.left else 0
