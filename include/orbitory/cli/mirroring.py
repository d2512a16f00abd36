"""mirror, repair: the second copy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orbitory.cli import deployment
from orbitory.cli.output import amount, moment, say, write_json, write_lines, write_table

if TYPE_CHECKING:
    from orbitory.mirror.repairing import Repair


_SHOWN = 40


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verbs."""
    mirror = verbs.add_parser("mirror", help="second copies: how they stand, bring them up to date, restore from them")
    parts = mirror.add_subparsers(dest="part", metavar="status|run|restore", required=True)
    status = parts.add_parser("status", help="every mirror: what it holds, what waits, what is wrong")
    deployment.add_json(status)
    status.set_defaults(run=_status)
    run = parts.add_parser("run", help="copy what was archived, remove what left for good; of every mirror")
    deployment.add_json(run)
    run.set_defaults(run=_run)
    restore = parts.add_parser(
        "restore",
        help="put back every file that storage has lost",
        description="For a lost file system (docs/recovery.md). What stands in storage is not read and not changed.",
    )
    deployment.add_json(restore)
    restore.set_defaults(run=_restore)

    repair = verbs.add_parser(
        "repair",
        help="let an agreeing second copy take the place of a missing or damaged file",
        description="Every byte of both is read first; what is damaged is kept in quarantine/damaged/.",
    )
    repair.add_argument(
        "names", nargs="+", metavar="NAME", help="a path in storage, a delivered name, or a granule's key"
    )
    deployment.add_json(repair)
    repair.set_defaults(run=_repair)


def _status(options: argparse.Namespace) -> int:
    from orbitory.mirror.figures import status

    with deployment.site() as site:
        told = status(site)
    if options.json:
        write_json({"mirrors": told})
    elif told:
        rows = [
            (
                m["mirror"],
                m["files"],
                amount(m["bytes"]),
                m["waiting_files"],
                m["bad_files"],
                moment(m["oldest_verified"])[:10],
                m["root"],
            )
            for m in told
        ]
        write_table(("MIRROR", "FILES", "SIZE", "WAITING", "BAD", "READ SINCE", "PATH"), rows)
    else:
        write_lines(["no product type asks for a second copy (`mirror = true`), and no mirror is set"])
    for each in told:
        if each["problem"]:
            say(each["problem"])
        if not each["own_disk"]:
            say(f"the mirror {each['root']} is on the file system of storage: who loses one loses both")
    return 1 if any(each["problem"] or each["bad_files"] for each in told) else 0


def _run(options: argparse.Namespace) -> int:
    from orbitory.errors import OrbitoryError
    from orbitory.mirror.copying import Mirrored, mirror
    from orbitory.mirror.figures import mirrors_of

    done: list[Mirrored] = []
    with deployment.site() as site:
        for name in mirrors_of(site):
            try:
                done.append(mirror(site, name))
            except OrbitoryError as error:  # the others go on
                done.append(Mirrored(mirror=name, problem=str(error)))
    if options.json:
        write_json({"mirrors": [each.as_dict() for each in done]})
    else:
        rows = [
            (each.mirror, each.copied, amount(each.bytes), each.removed, each.verified, len(each.bad), len(each.failed))
            for each in done
        ]
        write_table(("MIRROR", "COPIED", "SIZE", "REMOVED", "READ AGAIN", "BAD", "FAILED"), rows)
    for each in done:
        for path, why in (*each.bad[:_SHOWN], *each.failed[:_SHOWN]):
            say(f"{path}: {why}")
        if each.problem:
            say(each.problem)
    return 0 if all(each.in_order for each in done) else 1


def _restore(options: argparse.Namespace) -> int:
    from orbitory.mirror.restoring import restore

    with deployment.site() as site:
        return _tell(options, list(restore(site)))


def _repair(options: argparse.Namespace) -> int:
    from orbitory.errors import ConfigurationError
    from orbitory.mirror.repairing import repair

    with deployment.site() as site:
        assets: set[int] = set()
        for name in map(deployment.name_of, options.names):
            found = {row["id"] for row in site.inventory.all("repair_named", name=name)}
            if not found:
                raise ConfigurationError(f"the archive holds no file {name!r}; see `orbitory show`")
            assets |= found
        return _tell(options, repair(site, sorted(assets)))


def _tell(options: argparse.Namespace, repairs: Sequence[Repair]) -> int:
    left = [each for each in repairs if not each.repaired and not each.whole]
    if options.json:
        write_json({"files": [each.as_dict() for each in repairs], "repaired": sum(each.repaired for each in repairs)})
    else:
        write_table(("FILE", "RESULT"), [(each.path, each.detail) for each in repairs])
    say(f"{sum(each.repaired for each in repairs)} of {len(repairs)} files were restored; {len(left)} could not be")
    return 1 if left else 0
