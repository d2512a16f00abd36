"""What a removal is about as the archive is now: granules that are asked for, less what must stay, with their files.

The answer stands in tables of the transaction (``inventory/removal_plan.sql``). Both look here: the plan of a set, and
its removal, batch by batch, before anything is marked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from orbitory.inventory import Row
from orbitory.mfp import Parameters
from orbitory.mfp.choice import LEAST_SHOWN, Candidate, quality
from orbitory.mfp.decide import candidate, told
from orbitory.removal.guard import blocked_by
from orbitory.removal.overdue import Overdue
from orbitory.removal.rules import parse
from orbitory.removal.selection import Selection, stored_path
from orbitory.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where a run through all that has expired has come to: each granule is looked at once, also in a dry run."""

    #: The last one's expiry and number; none: at the beginning.
    after: datetime | None = None
    after_id: int = 0
    #: Later ones that were looked at with it, because they share its file; or that others will remove.
    without: tuple[int, ...] = ()
    #: How much had expired when the run began, by which every page is judged; none: it is counted anew.
    overdue: Overdue | None = None
    #: Whether what is found goes in this very transaction. Then it is locked: nobody can hold it, or change when it
    #: expires; what somebody is changing stays.
    taken: bool = False


def find(
    site: Site,
    selection: Selection,
    *,
    among: Sequence[int] | None = None,
    as_of: datetime | None = None,
    page: Page | None = None,
) -> tuple[Row, ...]:
    """Find granules and files, ``among``: of these granules alone; call it in a transaction.

    ``as_of``: what would have expired by then. Returns the names of a list by which nothing is removed.
    """
    inventory = site.inventory
    inventory.run("removal_drop_plan")
    inventory.run("removal_create_chosen")
    inventory.run("removal_create_held")
    if selection.kind == "expired":
        if among is not None:
            inventory.run("removal_choose_expired_again", among=list(among), until=selection.until)
        else:
            _choose_expired(site, selection, as_of, page or Page())
            if page and page.taken:
                inventory.run("removal_hold_changing", until=selection.until)
        unknown: tuple[Row, ...] = ()
    else:
        unknown = _choose(site, selection, None if among is None else list(among))
    _hold(site, selection.kind)
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


def _choose_expired(site: Site, selection: Selection, as_of: datetime | None, page: Page) -> None:
    inventory = site.inventory
    products = selection.products or [row["product"] for row in inventory.all("removal_known_products")]
    due = {"products": list(products), "until": selection.until, "as_of": as_of}
    place = {"after": page.after, "after_id": page.after_id, "without": list(page.without)}
    inventory.run("removal_choose_expired", limit=selection.limit, **due, **place)
    while inventory.run("removal_choose_expired_beside", **due):
        pass


def _hold(site: Site, kind: str) -> None:
    """Take out of what is chosen what must stay, and then what shares a file with it."""
    inventory = site.inventory
    inventory.run("removal_drop_held")
    inventory.run("removal_analyze_chosen")
    _hold_back(site, blocked_by(site, [row["granule_id"] for row in inventory.all("removal_chosen")]))
    inventory.run("removal_hold_fileless")
    if kind == "expired":
        inventory.run("removal_hold_suspect")
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
