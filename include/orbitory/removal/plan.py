"""The plan of a removal: which granules and files exactly, under a hash that names this set and no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from blake3 import blake3

from orbitory.errors import ConfigurationError
from orbitory.inventory import Row
from orbitory.mfp.explain import cause
from orbitory.removal.found import Page, find, pairs
from orbitory.removal.guard import LIMITS, Limits, Share, over
from orbitory.removal.outcome import trash_path
from orbitory.removal.overdue import limits_of, overdue
from orbitory.removal.selection import Selection
from orbitory.site import Site

#: So many granules of a set are shown to who approves it; the mail lists all.
SAMPLES = 20
_SHOWN = ("loser", "keeper", "reason", "sensor", "files", "bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be removed, and what was asked for and stays."""

    #: BLAKE3 (hex) of rows, paths, digests, keepers and reasons: the same set has the same hash, and no other one. What
    #: was removed and delivered again has other rows.
    hash: str
    kind: str
    files: int
    #: Of files that would move into the trash; those registered in place would stay where they are.
    bytes: int
    in_place: int
    #: ``{"loser", "keeper", "reason", "sensor", "files", "bytes"}``; one each granule; of what has expired also
    #: ``{"granule_id", "product", "expires"}``, as in ``held``.
    items: tuple[dict[str, Any], ...]
    shares: tuple[Share, ...]
    #: ``{"key", "why"}``: asked for, but it stays.
    held: tuple[dict[str, Any], ...] = ()
    #: ``{"name", "why"}``: names of the list by which nothing is removed.
    unknown: tuple[dict[str, Any], ...] = ()
    limits: Limits = LIMITS
    #: The number under which it is kept; 0: it is not, or somebody is at work on it.
    kept: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return {
            "set_hash": self.hash,
            "count": len(self.items),
            "bytes": self.bytes,
            "files": self.files,
            "in_place": self.in_place,
            "needs_approval": bool(over(self.limits, self.shares)),
            "sensors": [share.as_dict() for share in self.shares],
            "items": list(self.items),
            "held": list(self.held),
            "unknown": list(self.unknown),
        }

    def too_much(self) -> str:
        """Why it needs approval, in words; empty when it does not."""
        exceeded = over(self.limits, self.shares)
        if not exceeded:
            return ""
        told, limits = ", ".join(str(share) for share in exceeded[:10]), self.limits
        joined, of = ("and", "product type") if limits.both else ("or", "sensor")
        return f"{told}: more than {100 * limits.share:g} % {joined} {limits.items:,} of a {of} needs approval"


def plan(
    site: Site, selection: Selection, *, as_of: datetime | None = None, keep: bool = True, page: Page | None = None
) -> Plan:
    """Find what would go, and keep it under its hash for ``apply``; nothing else is changed, nothing is marked.

    ``as_of``: what would have expired by then, in the future; nothing is kept, so that it cannot be applied.
    ``keep``: False only looks. ``page``: what has expired beyond it.
    """
    inventory = site.inventory
    with inventory.transaction():
        unknown = find(site, selection, as_of=as_of, page=page)
        hasher = blake3(f"{selection.kind}{selection.until}\n".encode())
        for row in inventory.stream("removal_lines"):
            hasher.update(f"{row['line']}\n".encode())
        totals = inventory.one("removal_totals")
        assert totals is not None
        found = Plan(
            hash=hasher.hexdigest(),
            kind=selection.kind,
            files=totals["files"],
            bytes=totals["bytes"],
            in_place=totals["in_place"],
            items=tuple(_items(site, selection.kind)),
            shares=_shares(site, selection, as_of, page),
            held=tuple(_held(inventory.all("removal_held_back"), selection.kind)),
            unknown=unknown,
            limits=limits_of(site) if selection.kind == "expired" else LIMITS,
        )
        if found.items and keep and as_of is None:
            found = replace(found, kept=_keep(site, selection, found, taken=bool(page and page.taken)))
    return found


def _shares(site: Site, selection: Selection, as_of: datetime | None, page: Page | None) -> tuple[Share, ...]:
    """How much of each sensor the set is; of what has expired: how much of each product type has, in the set or not."""
    if selection.kind == "expired":
        known = page.overdue if page else None
        return (known or overdue(site, selection.until, as_of)).shares_of(selection.products)
    return tuple(Share(**row) for row in site.inventory.all("removal_shares"))


def _held(rows: list[Row], kind: str) -> Iterator[dict[str, Any]]:
    for row in rows:
        more = _more(row) if kind == "expired" else {}
        yield {"key": row["key"], "why": row["why"], **more}


def _items(site: Site, kind: str) -> Iterator[dict[str, Any]]:
    causes = {loser.id: cause(keeper, loser, won=False) for loser, keeper in pairs(site)}
    for row in site.inventory.stream("removal_items"):
        why = causes.get(row["granule_id"])
        yield {
            "loser": row["loser"],
            "keeper": row["keeper"],
            "reason": f"{row['reason']}: {why}" if why else row["reason"],
            "sensor": row["sensor"],
            "files": row["files"],
            "bytes": row["bytes"],
            **(_more(row) if kind == "expired" else {}),
        }


def _more(row: Row) -> dict[str, Any]:
    return {"granule_id": row["granule_id"], "product": row["product"], "expires": row["expires_at"]}


def _keep(site: Site, selection: Selection, found: Plan, *, taken: bool) -> int:
    inventory = site.inventory
    inventory.run("removal_forget_old_plans")
    counts = {
        "selection": selection.as_dict(),
        "granules": len(found.items),
        "files": found.files,
        "bytes": found.bytes,
        "why": found.too_much(),
        "shares": [str(share) for share in found.shares],
        "samples": [{name: each[name] for name in _SHOWN} for each in found.items[:SAMPLES]],
        "by": "product type" if found.limits.both else "sensor",
    }
    row = inventory.one(
        "removal_keep_set",
        hash=bytes.fromhex(found.hash),
        kind=found.kind,
        actor=site.actor,
        counts=json.dumps(counts),
        state="approved" if taken else "planned",
        reason="expired" if taken else "",
    )
    if row is None:  # it is at work: its items stand
        return 0
    number: int = row["id"]
    inventory.run("removal_forget_items", id=number)
    if taken:
        inventory.run("removal_take_items", id=number, folder=trash_path(found.hash, ""))
    else:
        inventory.run("removal_keep_items", id=number)
    return number


def hash_of(text: str) -> bytes:
    """A set's hash as people give it. Raises ConfigurationError."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32:
        raise ConfigurationError(f"{text!r} is no hash of a set: expected the 64 digits that the dry run showed")
    return value
