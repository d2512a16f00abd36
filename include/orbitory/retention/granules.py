"""Granules whose time is over: out through the guarded removal, and what needs approval is left for a person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from orbitory.inventory import Row
from orbitory.removal import Plan, Selection, Sweep, blocked_by, finish_expired, plan
from orbitory.removal.found import Page
from orbitory.removal.outcome import MANY_AT_ONCE, Outcome, one_at_a_time
from orbitory.removal.overdue import Overdue, overdue, products_of, type_name
from orbitory.retention.outcome import PATIENCE_SECONDS, Done, Item, Pass
from orbitory.site import Site

RULE = "granules"
#: So many of a product type are shown to who approves; when they have gone, the next question is about the rest.
MOST_ASKED = 100_000
#: So often a run looks further when what expired first cannot go.
_MOST_PAGES = 5_000
#: So many that somebody holds are told where not all are.
_SHOWN = 100
CALENDAR_DAYS = 30


def expire(site: Site, look: Pass) -> Done:
    """Finish what was cut short, then remove what has expired of the product types that need no approval."""
    with nullcontext() if look.dry else one_at_a_time(site, patience_seconds=PATIENCE_SECONDS):
        return _expire(site, look)


def _expire(site: Site, look: Pass) -> Done:
    unfinished = site.inventory.all("removal_unfinished_items")
    outcomes, failed = ([], []) if look.dry else finish_expired(site)
    stayed = {number: why for each in outcomes for number, why in each.stayed.items()}
    stayed |= blocked_by(site, [row["granule_id"] for row in unfinished]) if look.dry else {}
    items = {row["granule_id"]: _leaving(site, row, stayed) for row in unfinished}
    found = due(site, look, without=list(items) if look.dry else ())
    for shown, outcome in _sweep(site, look, found, without=tuple(items) if look.dry else ()):
        outcomes += [outcome] if outcome else []
        items |= _items(site, shown, outcome)
    hashes, waiting = _asked(site, look, found)
    held, told = _held(site, look)
    items = waiting | told | items
    blocked = held + sum(bool(item.blocked_by) for number, item in items.items() if number not in told | waiting)
    return Done(
        rule=RULE,
        items=tuple(items.values()),
        removed=sum(each.now[0] for each in outcomes),
        bytes=sum(each.now[1] for each in outcomes),
        failed=(*failed, *(each for outcome in outcomes for each in outcome.failed)),
        asked=tuple(sorted(hashes.items())),
        blocked=blocked + sum(share.items for share in found.asked.values()),
    )


def due(site: Site, look: Pass, without: list[int] | tuple[()] = ()) -> Overdue:
    """What has expired and nobody needs: what of it may go by itself, and what needs approval."""
    return overdue(site, look.now, look.now if look.ahead else None, without)


def selection_of(look: Pass, products: list[str], limit: int) -> Selection:
    """What had expired of these products when the run began."""
    return Selection(kind="expired", products=tuple(products), until=look.now.isoformat(), limit=limit)


def _sweep(site: Site, look: Pass, due: Overdue, without: tuple[int, ...]) -> Iterator[tuple[Plan, Outcome | None]]:
    """Page by page, until enough of it can go: what cannot never keeps the rest from it.

    A page ends at a place in the order of expiry, and what shares a file is looked at together: so a dry run, which
    takes nothing away, sees the very pages of a real one.
    """
    room, products = site.catalogue.keeping().most_granules, due.free
    page = Page(without=without, overdue=due)
    with Sweep(site) as sweep:
        for _ in range(_MOST_PAGES if products else 0):
            at_once = min(room, MANY_AT_ONCE)
            chosen = selection_of(look, products, at_once)
            ended: list[tuple[Plan, Outcome | None]]
            if look.dry:
                found = plan(site, chosen, as_of=look.now if look.ahead else None, keep=False, page=page)
                ended = [(found, None)]
            else:
                found, ended = sweep.take(chosen, page)
            looked = (*found.items, *found.held)
            room -= len(found.items)
            if len(looked) < at_once or room <= 0:
                ended += sweep.finish()
            for swept, outcome in ended:
                room += len(swept.items) - outcome.now[0] if outcome else 0  # what could not go takes nobody's room
                yield swept, outcome
            if len(looked) < at_once or room <= 0:
                return
            page = _next(page, at_once, [(row["expires"], row["granule_id"]) for row in looked], look.now)


def _next(page: Page, size: int, looked: list[tuple[datetime | None, int]], now: datetime) -> Page:
    """Where the page after ``page`` begins: after the last of ``size`` that were chosen; others share a file with them.

    Those whose expiry was changed meanwhile are no longer in that order.
    """
    seen = sorted((expires, number) for expires, number in looked if expires is not None and expires <= now)
    last = size - (len(looked) - len(seen))
    if last <= 0:
        return page
    at, number = seen[last - 1]
    later = tuple(each for _, each in seen[last:])
    return replace(page, after=at, after_id=number, without=(*page.without, *later))


def _items(site: Site, found: Plan, outcome: Outcome | None) -> dict[int, Item]:
    stayed = outcome.stayed if outcome else {}
    going = {
        row["granule_id"]: _item(
            site, row, row["loser"], bytes=row["bytes"], blocked_by=stayed.get(row["granule_id"], "")
        )
        for row in found.items
    }
    return going | {row["granule_id"]: _item(site, row, row["key"], blocked_by=row["why"]) for row in found.held}


def _leaving(site: Site, row: Row, stayed: Mapping[int, str]) -> Item:
    """A granule of a set that was cut short."""
    return _item(site, row, row["loser"], bytes=row["bytes"], blocked_by=stayed.get(row["granule_id"], ""))


def _item(site: Site, row: Mapping[str, Any], name: str, *, blocked_by: str, bytes: int = 0) -> Item:
    rule = f"{row.get('reason', 'expired')}: product type {type_name(site, row['product'])}"
    return Item(kind="granule", name=name, rule=rule, expires=row["expires"], bytes=bytes, blocked_by=blocked_by)


def _held(site: Site, look: Pass) -> tuple[int, dict[int, Item]]:
    """How many have expired and are held; they, or some of them."""
    asked = {"until": look.now, "as_of": look.now if look.ahead else None, "limit": None if look.listing else _SHOWN}
    rows = site.inventory.all("retention_held", **asked)
    whys = blocked_by(site, [row["granule_id"] for row in rows])
    told = {
        row["granule_id"]: _item(site, row, row["key"], blocked_by=whys.get(row["granule_id"], "somebody has held it"))
        for row in rows
    }
    return rows[0]["held"] if rows else 0, told


def _asked(site: Site, look: Pass, found: Overdue) -> tuple[dict[str, str], dict[int, Item]]:
    """For each product type that needs approval the hash of the set to approve; and what that is about."""
    hashes: dict[str, str] = dict.fromkeys(found.asked, "")
    items: dict[int, Item] = {}
    for name, share in found.asked.items() if look.listing else ():
        chosen = selection_of(look, products_of(site, name), MOST_ASKED)
        ahead = look.now if look.ahead else None
        shown = plan(site, chosen, as_of=ahead, keep=not look.dry, page=Page(overdue=found))
        hashes[name] = "" if look.dry else shown.hash
        blocked = f"needs approval: {share}"
        items |= {row["granule_id"]: _item(site, row, row["loser"], blocked_by=blocked) for row in shown.items}
        items |= {row["granule_id"]: _item(site, row, row["key"], blocked_by=row["why"]) for row in shown.held}
    return hashes, items


def calendar(site: Site) -> list[dict[str, Any]]:
    """What expires on each of the next days, by product type: ``{"day", "product_type", "granules", "bytes"}``."""
    found: dict[tuple[date, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in site.inventory.all("retention_calendar", days=CALENDAR_DAYS):
        sums = found[row["day"], type_name(site, row["product"])]
        sums[0] += row["granules"]
        sums[1] += row["bytes"]
    return [
        {"day": day.isoformat(), "product_type": name, "granules": granules, "bytes": size}
        for (day, name), (granules, size) in sorted(found.items())
    ]
