"""What a removal is about as the archive is now: granules that are asked for, less what must stay, with their files.

The answer stands in tables of the transaction (``inventory/removal_plan.sql``). Both look here: the plan of a set, and
its removal, batch by batch, before anything is marked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from orbitory.inventory import Row
from orbitory.mfp import Parameters
from orbitory.mfp.choice import LEAST_SHOWN, Candidate, quality
from orbitory.mfp.decide import candidate, told
from orbitory.removal.guard import blocked_by
from orbitory.removal.rules import parse
from orbitory.removal.selection import Selection, stored_path
from orbitory.site import Site


def find(site: Site, selection: Selection, among: Sequence[int] | None = None) -> tuple[Row, ...]:
    """Find granules and files, ``among``: of these granules alone; call it in a transaction.

    Returns the names of a list by which nothing is removed.
    """
    inventory = site.inventory
    inventory.run("removal_drop_plan")
    inventory.run("removal_create_chosen")
    inventory.run("removal_create_held")
    unknown = _choose(site, selection, None if among is None else list(among))
    _hold(site)
    inventory.run("removal_create_planned")
    inventory.run("removal_analyze_planned")
    return unknown


def _choose(site: Site, selection: Selection, among: list[int] | None) -> tuple[Row, ...]:
    inventory, sensors = site.inventory, list(selection.sensors) or None
    if selection.kind == "duplicates":
        inventory.run("removal_choose_duplicates", sensors=sensors, among=among)
        inventory.run("removal_hold_doubtful", least=LEAST_SHOWN)
        inventory.run("removal_drop_held")
        _hold_back(site, dict(_not_worse(site)))
    elif selection.kind == "rule":
        rule, reason = json.dumps(parse(selection.rule)), f"rule: {selection.rule}"
        inventory.run("removal_choose_ruled", sensors=sensors, among=among, rule=rule, reason=reason)
    elif among is not None:
        inventory.run("removal_choose_again", among=among)
    else:
        paths = [stored_path(name, Parameters.of_deployment()) for name in selection.names]
        inventory.run("removal_create_name", names=list(selection.names), paths=paths)
        inventory.run("removal_create_named")
        inventory.run("removal_analyze_named")
        inventory.run("removal_choose_listed", sensors=sensors)
        return tuple(inventory.all("removal_unknown_names"))
    return ()


def _hold(site: Site) -> None:
    """Take out of what is chosen what must stay, and then what shares a file with it."""
    inventory = site.inventory
    inventory.run("removal_drop_held")
    inventory.run("removal_analyze_chosen")
    _hold_back(site, blocked_by(site, [row["granule_id"] for row in inventory.all("removal_chosen")]))
    inventory.run("removal_hold_fileless")
    inventory.run("removal_drop_held")
    while inventory.run("removal_hold_shared"):
        inventory.run("removal_drop_held")


def _hold_back(site: Site, whys: dict[int, str]) -> None:
    site.inventory.run("removal_hold_blocked", granules=list(whys), whys=list(whys.values()))


def pairs(site: Site) -> Iterator[tuple[Candidate, Candidate]]:
    """Duplicates that were found, each with its keeper; both as they are now, by the deployment's parameters."""
    parameters = Parameters.of_deployment()
    rows = site.inventory.stream("removal_pairs")
    for loser, keeper in zip(rows, rows, strict=True):
        yield candidate(loser, parameters), candidate(keeper, parameters)


def _not_worse(site: Site) -> Iterator[tuple[int, str]]:
    """Duplicates that are better than their keepers: since the choice, metadata or parameters have changed."""
    for loser, keeper in pairs(site):
        if quality(loser) < quality(keeper):
            yield loser.id, f"it is better than its keeper by now ({told(loser)}, {told(keeper)}): run an evaluation"
