"""catalogue check, audit, digest: the verbs that verify."""

from __future__ import annotations

import argparse
from typing import Any

from orbitory.cli import deployment
from orbitory.cli.output import say, write_json, write_lines, write_table


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
    from orbitory.audit import audit

    with deployment.site() as site:
        violations = list(audit(site, hash_files=not options.no_hash))
    if options.json:
        write_json({"violations": [violation.as_dict() for violation in violations]})
    elif violations:
        write_table(("INVARIANT", "NAME", "DETAIL"), [(v.invariant, v.name, v.detail) for v in violations])
    else:
        write_lines(["no violations"])
    if violations:
        say(f"{len(violations)} violations: nothing was changed; docs/operations.md tells what each invariant means")
    return 4 if violations else 0


def _digest(options: argparse.Namespace) -> int:
    from orbitory.digest import digest

    with deployment.site() as site:
        told = digest(site.inventory, site.storage)
    if options.json:
        write_json(told.as_dict())
    else:
        write_lines([told.digest])
    return 0
