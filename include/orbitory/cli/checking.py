"""catalogue check, audit, digest: the verbs that verify."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orbitory.cli import deployment
from orbitory.cli.output import say, write_json, write_lines, write_table
from orbitory.priority import giving_way, rest_from_start

if TYPE_CHECKING:
    from orbitory.audit import Violation


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verbs."""
    catalogue = verbs.add_parser("catalogue", help="check the files that describe sources and product types")
    parts = catalogue.add_subparsers(dest="part", metavar="check", required=True)
    check = parts.add_parser("check", help="every problem with file, key and hint; status 2 when there is one")
    deployment.add_json(check)
    check.set_defaults(run=_check)

    audit = verbs.add_parser("audit", help="does the archive keep its promises? status 4 when it does not")
    audit.add_argument(
        "--no-hash", action="store_true", help="existence and size of stored files only, not their bytes"
    )
    audit.add_argument(
        "--fixity", action="store_true", help="instead: read what is longest unread, as far as today's bytes go"
    )
    audit.add_argument(
        "--reconcile",
        action="store_true",
        help="instead: compare all names with the inventory, act on what two runs saw, an hour apart",
    )
    deployment.add_json(audit)
    audit.set_defaults(run=_audit)

    digest = verbs.add_parser("digest", help="one hash of inventory and storage: equal content, equal digest")
    deployment.add_json(digest)
    digest.set_defaults(run=_digest)


def _check(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    catalogue = deployment.catalogue_of_environment()
    if options.json:
        problems = [asdict(problem) for problem in catalogue.problems]
        write_json({"sources": len(catalogue.sources), "products": len(catalogue.products), "problems": problems})
    elif catalogue.problems:
        for problem in catalogue.problems:
            disables = f"; disables {', '.join(problem.disables)}" if problem.disables else ""
            write_lines([f"{problem}{disables}"])
    else:
        write_lines([f"{len(catalogue.sources)} sources and {len(catalogue.products)} product types are in order"])
    if catalogue.problems:
        say(f"the catalogue has {len(catalogue.problems)} problems; {len(catalogue.sources)} sources can be used")
    return 2 if catalogue.problems else 0


def _audit(options: argparse.Namespace) -> int:
    from orbitory.audit import Reading, audit
    from orbitory.errors import ConfigurationError

    if options.fixity or options.reconcile:
        if options.no_hash:
            raise ConfigurationError("--no-hash goes with the whole audit alone, not with --fixity or --reconcile")
        return _audit_rolling(options)
    reading = Reading()
    with deployment.site() as site:
        violations = list(audit(site, hash_files=not options.no_hash, reading=reading))
    if options.json:
        told = [violation.as_dict() for violation in violations]
        write_json({"violations": told, "checked_bytes": reading.bytes})
    else:
        _write_violations(violations)
    if violations:
        say(f"{len(violations)} violations: nothing was changed; docs/operations.md tells what each invariant means")
    return 4 if violations else 0


@giving_way(idle=True)
def _audit_rolling(options: argparse.Namespace) -> int:
    from uuid import uuid4

    from orbitory.reading import require_schema
    from orbitory.scan.acting import Acted
    from orbitory.scan.fixity import plan_fixity, verify
    from orbitory.scan.outcome import cycle, outcome
    from orbitory.scan.partitions import partitions
    from orbitory.scan.reconcile import reconcile, require_mounted
    from orbitory.site import open_site, person

    acted = Acted()
    # A command is a run of its own: a process number alone comes back some day.
    with open_site(actor=f"{person()}/{uuid4().hex[:8]}") as site:
        require_schema(site.inventory)
        require_mounted(site)
        rest_from_start(site.inventory)
        ranges = partitions(site)
        for partition in ranges if options.reconcile else ():
            acted += reconcile(site, partition).acted
        for part in plan_fixity(site, site.settings.fixity_daily_bytes, ranges) if options.fixity else ():
            acted += verify(site, part.as_dict()).acted
        told, pace = outcome(site), cycle(site, site.settings.fixity_daily_bytes)
    violations = told.violations()
    wrong = told.counted()
    if options.json:
        shown = [violation.as_dict() for violation in violations]
        write_json({"violations": shown, "checked_bytes": told.bytes, **pace.as_dict(), "done": acted.as_dict()})
    else:
        _write_violations(violations)
        write_lines([told.message, str(pace)])
    for reason in acted.held_back:
        say(reason)
    if wrong > len(violations):
        say(f"{wrong:,} findings are open; the first {len(violations):,} are shown")
    return 4 if wrong or acted.held_back else 0


def _write_violations(violations: Sequence[Violation]) -> None:
    if violations:
        write_table(("INVARIANT", "NAME", "DETAIL"), [(v.invariant, v.name, v.detail) for v in violations])
    else:
        write_lines(["no violations"])


def _digest(options: argparse.Namespace) -> int:
    from orbitory.digest import digest

    with deployment.site() as site:
        told = digest(site.inventory, site.storage)
    if options.json:
        write_json(told.as_dict())
    else:
        write_lines([told.digest])
    return 0
