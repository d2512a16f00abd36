"""expire, hold, retain, withdraw, restore: what leaves the archive when its time is over, and what keeps it."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from orbitory.cli import deployment
from orbitory.cli.output import amount, moment, say, write_json, write_json_array, write_lines, write_table
from orbitory.cli.removing import read_list
from orbitory.priority import giving_way, rest_from_start

if TYPE_CHECKING:
    from orbitory.retention import Run
    from orbitory.site import Site

#: So many lines are shown to people; with ``--json`` all.
_SHOWN = 40
_NAME = "a granule's key, a path in storage, or a delivered name; several may be given"
_UNTIL = "a time to come (2027-01-31, 2027-01-31T12:00Z), or never"


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verbs."""
    expire = verbs.add_parser(
        "expire",
        help="remove what has expired: granules, links, work folders, quarantine, trash",
        description="What the DAG `retention` does every 15 minutes. Granules go into the trash; where many of a "
        "product type would go, they stay, and are told with the hash to approve.",
    )
    shown = expire.add_mutually_exclusive_group()
    shown.add_argument("--dry-run", action="store_true", help="change nothing, show exactly what would go")
    shown.add_argument("--calendar", action="store_true", help="what expires in the next 30 days")
    shown.add_argument("--history", action="store_true", help="the newest runs, and what failed in them")
    expire.add_argument("--as-of", metavar="TIME", help="with --dry-run: what would go at that time to come")
    deployment.add_json(expire)
    expire.set_defaults(run=_expire)

    hold = verbs.add_parser("hold", help="keep granules from leaving the archive for as long as somebody needs them")
    parts = hold.add_subparsers(dest="part", metavar="add|release|list", required=True)
    placed = parts.add_parser("add", help="hold granules until a time, or until they are released")
    _add_names(placed, "+")
    placed.add_argument("--reason", required=True, metavar="R", help="why, for other people")
    placed.add_argument("--until", required=True, metavar="T", help=_UNTIL)
    placed.add_argument("--kind", default="person", metavar="K", help="person, legal, export, subscription or pge")
    placed.set_defaults(run=_hold)
    released = parts.add_parser("release", help="let go of granules that people hold")
    _add_names(released, "+")
    released.add_argument("--reason", metavar="R", help="only holds of this reason, whoever placed them")
    released.add_argument("--kind", metavar="K", help="only holds of this kind (person)")
    released.set_defaults(run=_release)
    listed = parts.add_parser("list", help="active holds, of all granules or of these")
    _add_names(listed, "*")
    listed.add_argument("--all", action="store_true", help="past ones, too")
    listed.set_defaults(run=_holds)

    retain = verbs.add_parser("retain", help="let granules expire at another time than their product type says")
    _add_names(retain, "*")
    chosen = retain.add_mutually_exclusive_group()
    chosen.add_argument("--list", dest="file", metavar="FILE", help="one name a line; - reads standard input")
    chosen.add_argument("--rule", metavar="RULE", help="as `orbitory delete --rule` takes it: what it finds now")
    retain.add_argument("--until", required=True, metavar="T", help=_UNTIL)
    retain.add_argument("--reason", required=True, metavar="R", help="why, for other people")
    retain.set_defaults(run=_retain)

    withdraw = verbs.add_parser(
        "withdraw", help="hide granules that are bad, and name everything that was made from them"
    )
    _add_names(withdraw, "+")
    what = withdraw.add_mutually_exclusive_group(required=True)
    what.add_argument("--reason", metavar="R", help="why, for other people")
    what.add_argument("--undo", action="store_true", help="show them again")
    withdraw.set_defaults(run=_withdraw)

    restore = verbs.add_parser("restore", help="bring granules back out of the trash, without what else left with them")
    _add_names(restore, "+")
    restore.set_defaults(run=_restore)


def _add_names(verb: argparse.ArgumentParser, how_many: str) -> None:
    verb.add_argument("names", nargs=how_many, metavar="NAME", type=deployment.name_of, help=_NAME)
    deployment.add_json(verb)


def _expire(options: argparse.Namespace) -> int:
    with nullcontext() if options.dry_run or options.calendar or options.history else giving_way():
        return _expire_or_look(options)


def _expire_or_look(options: argparse.Namespace) -> int:
    from orbitory import retention
    from orbitory.errors import ConfigurationError
    from orbitory.search import read_time

    if options.as_of and not options.dry_run:
        raise ConfigurationError("only a dry run looks at another moment than now: give --dry-run with --as-of")
    with deployment.site() as site:
        if options.calendar:
            return _tell_calendar(options, site)
        if options.history:
            return _tell_history(options, site)
        as_of = read_time(options.as_of) if options.as_of else None
        if not options.dry_run:
            rest_from_start(site.inventory)
        run = retention.expire(site, dry=options.dry_run, as_of=as_of)
    if options.json:
        write_json(run.as_dict())
    else:
        _write_run(run, dry=options.dry_run)
    for name, why in run.failed[:_SHOWN]:
        say(f"{name}: {why}")
    for done in run.rules:
        if done.skipped:
            say(f"{done.rule}: {done.skipped}; try again later")
    return 1 if run.failed else 0


def _write_run(run: Run, *, dry: bool) -> None:
    write_table(
        ("KIND", "NAME", "EXPIRED", "BECAUSE", "STAYS BECAUSE"),
        [(each.kind, each.name, moment(each.expires)[:19], each.rule, each.blocked_by) for each in run.items[:_SHOWN]],
    )
    lines = [f"and {len(run.items) - _SHOWN:,} more; --json lists them"] if len(run.items) > _SHOWN else []
    told = run.as_dict()
    going = [each for each in run.items if not each.blocked_by]
    size = amount(sum(each.bytes for each in going))
    done = f"{len(going):,} would go, {size}" if dry else f"{told['removed']:,} removed, {amount(told['bytes'])}"
    lines.append(f"{done}; {len(run.items) - len(going):,} expired and stay")
    for name, set_hash in told["approve"].items():
        how = f"`orbitory delete --apply {set_hash} --force`" if set_hash else "its DAG `expiry_approval`"
        lines.append(f"{name} needs approval: {how}")
    write_lines(lines)


def _tell_calendar(options: argparse.Namespace, site: Site) -> int:
    from orbitory.retention import calendar

    days = calendar(site)
    if options.json:
        write_json(days)
    else:
        cells = [(d["day"], d["product_type"], f"{d['granules']:,}", amount(d["bytes"])) for d in days]
        write_table(("DAY", "PRODUCT TYPE", "GRANULES", "BYTES"), cells)
    return 0


def _tell_history(options: argparse.Namespace, site: Site) -> int:
    from orbitory.retention import history

    rows = history(site)
    if options.json:
        write_json(rows)
    else:
        columns = ("id", "started_at", "verdict", "removed", "bytes", "blocked", "failed", "trouble")
        cells = [[moment(r[c])[:19] if c == "started_at" else r[c] for c in columns] for r in rows]
        write_table(("RUN", "STARTED", "VERDICT", "REMOVED", "BYTES", "STAY", "FAILED", "FIRST FAILURES"), cells)
    return 0


def _hold(options: argparse.Namespace) -> int:
    from orbitory.retention import hold

    with deployment.site() as site:
        keys = hold(site, options.names, reason=options.reason, until=options.until, kind=options.kind)
    return _tell_keys(options, "held", keys)


def _release(options: argparse.Namespace) -> int:
    from orbitory.retention import release

    with deployment.site() as site:
        keys = release(site, options.names, reason=options.reason, kind=options.kind)
    status = _tell_keys(options, "released", keys)
    if not keys:
        say("nobody holds them so: see `orbitory hold list NAME`")
    return status if keys else 1


def _holds(options: argparse.Namespace) -> int:
    from orbitory.retention import holds

    with deployment.site() as site:
        rows = holds(site, options.names, everything=options.all)
    if options.json:
        write_json_array(rows)
    else:
        write_table(
            ("NAME", "KIND", "OWNER", "UNTIL", "REASON"),
            [(r["name"], r["kind"], r["owner"], moment(r["until"])[:19] or "released", r["reason"]) for r in rows],
        )
    return 0


def _retain(options: argparse.Namespace) -> int:
    from orbitory.errors import ConfigurationError
    from orbitory.removal import names_of
    from orbitory.retention import retain

    names = list(names_of(read_list(options.file))) if options.file else options.names
    if options.names and (options.file or options.rule):
        raise ConfigurationError("say which granules in one way: names, --list or --rule")
    with deployment.site() as site:
        changed = retain(site, names=names, rule=options.rule or "", until=options.until, reason=options.reason)
    if options.json:
        write_json({"changed": changed})
    else:
        write_lines([f"{changed:,} granules expire at another time now: {options.until}"])
    return 0


def _withdraw(options: argparse.Namespace) -> int:
    from orbitory.retention import undo_withdrawal, withdraw

    with deployment.site() as site:
        if options.undo:
            return _tell_keys(options, "shown again", undo_withdrawal(site, options.names))
        done = withdraw(site, options.names, reason=options.reason)
    if options.json:
        write_json(done.as_dict())
    else:
        write_lines([f"{key} is hidden" for key in done.granules[:_SHOWN]])
        columns = ("instance", "pge", "period", "state", "granule", "granule_state")
        cells = [[row[column] for column in columns] for row in done.made_from_it[:_SHOWN]]
        write_table(("MADE BY", "PGE", "PERIOD", "STATE", "GRANULE", "GRANULE STATE"), cells)
    return 0


def _restore(options: argparse.Namespace) -> int:
    from orbitory.retention import restore

    with deployment.site() as site:
        outcomes = restore(site, options.names)
    if options.json:
        write_json([outcome.as_dict() for outcome in outcomes])
    else:
        write_lines([outcome.message for outcome in outcomes])
        write_lines(["what has expired is held for 7 days, then it leaves again: `orbitory retain` keeps it longer"])
    left = [each for outcome in outcomes for each in outcome.left]
    for key, why in left[:_SHOWN]:
        say(f"{key} stays: {why}")
    return 1 if left else 0


def _tell_keys(options: argparse.Namespace, done: str, keys: list[str]) -> int:
    if options.json:
        write_json({"granules": keys})
    else:
        write_lines([f"{key} is {done}" for key in keys])
    return 0
