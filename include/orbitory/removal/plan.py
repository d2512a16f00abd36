"""The plan of a removal: which granules and files exactly, under a hash that names this set and no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from orbitory.errors import ConfigurationError
from orbitory.mfp.explain import cause
from orbitory.removal.found import find, pairs
from orbitory.removal.guard import LIMITS, Limits, Share, over
from orbitory.removal.selection import Selection
from orbitory.site import Site

#: So many granules of a set are shown to who approves it; the mail lists all.
SAMPLES = 20


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
    #: ``{"loser", "keeper", "reason", "sensor", "files", "bytes"}``; one each granule.
    items: tuple[dict[str, Any], ...]
    shares: tuple[Share, ...]
    #: ``{"key", "why"}``: asked for, but it stays.
    held: tuple[dict[str, Any], ...] = ()
    #: ``{"name", "why"}``: names of the list by which nothing is removed.
    unknown: tuple[dict[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return {
            "set_hash": self.hash,
            "count": len(self.items),
            "bytes": self.bytes,
            "files": self.files,
            "in_place": self.in_place,
            "needs_approval": bool(over(LIMITS, self.shares)),
            "sensors": [share.as_dict() for share in self.shares],
            "items": list(self.items),
            "held": list(self.held),
            "unknown": list(self.unknown),
        }

    def too_much(self, limits: Limits = LIMITS) -> str:
        """Why it needs approval, in words; empty when it does not."""
        exceeded = over(limits, self.shares)
        if not exceeded:
            return ""
        told = ", ".join(str(share) for share in exceeded[:10])
        return f"{told}: more than {100 * limits.share:g} % or {limits.items:,} of a sensor needs approval"


def plan(site: Site, selection: Selection) -> Plan:
    """Find what would go, and keep it under its hash for ``apply``; nothing else is changed, nothing is marked."""
    inventory = site.inventory
    with inventory.transaction():
        unknown = find(site, selection)
        hasher = blake3(f"{selection.kind}\n".encode())
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
            items=tuple(_items(site)),
            shares=tuple(Share(**row) for row in inventory.all("removal_shares")),
            held=tuple(inventory.all("removal_held_back")),
            unknown=unknown,
        )
        if found.items:
            _keep(site, selection, found)
        inventory.run("removal_drop_plan")
    return found


def _items(site: Site) -> Iterator[dict[str, Any]]:
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
        }


def _keep(site: Site, selection: Selection, found: Plan) -> None:
    inventory = site.inventory
    inventory.run("removal_forget_old_plans")
    counts = {
        "selection": selection.as_dict(),
        "granules": len(found.items),
        "files": found.files,
        "bytes": found.bytes,
        "why": found.too_much(),
        "shares": [str(share) for share in found.shares],
        "samples": found.items[:SAMPLES],
    }
    row = inventory.one(
        "removal_keep_set",
        hash=bytes.fromhex(found.hash),
        kind=found.kind,
        actor=site.actor,
        counts=json.dumps(counts),
    )
    if row is not None:  # else it is at work: its items stand
        inventory.run("removal_forget_items", id=row["id"])
        inventory.run("removal_keep_items", id=row["id"])


def hash_of(text: str) -> bytes:
    """A set's hash as people give it. Raises ConfigurationError."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32:
        raise ConfigurationError(f"{text!r} is no hash of a set: expected the 64 digits that the dry run showed")
    return value
