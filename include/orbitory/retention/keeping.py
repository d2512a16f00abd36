"""Expiry that a person has changed, and granules that their provider calls bad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from orbitory.errors import ConfigurationError
from orbitory.inventory import Row
from orbitory.listing import readable
from orbitory.removal.back import HELD_DAYS, relink
from orbitory.removal.notice import send
from orbitory.retention.holds import locked
from orbitory.retention.naming import moment, named, ruled
from orbitory.site import Site

#: So many are changed together: a lock of their rows lasts that long.
_AT_ONCE = 2_000
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """What was hidden, and what was made from it."""

    #: Keys.
    granules: tuple[str, ...]
    #: ``{"instance", "pge", "version", "period", "state", "output", "granule", "granule_state"}``, transitively.
    made_from_it: tuple[dict[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return {"granules": list(self.granules), "made_from_it": list(self.made_from_it)}


def retain(site: Site, *, names: Sequence[str] = (), rule: str = "", until: str, reason: str) -> int:
    """Let granules expire at another time to come, or ``never``; returns of how many that is a change.

    By rule those that it finds now, not those that come later; what leaves just now is passed over, and told where it
    was named. Batch by batch; may be repeated.
    """
    if bool(names) == bool(rule):
        raise ConfigurationError("say which granules: by names, or by a rule")
    _require(reason)
    end = moment(site, until)
    wanted = {row["id"]: row["key"] for row in (named(site, names) if names else ruled(site, rule))}
    numbers, changed = sorted(wanted), 0
    for first in range(0, len(numbers), _AT_ONCE):
        some = {number: wanted[number] for number in numbers[first : first + _AT_ONCE]}
        with site.inventory.transaction():
            rows = locked(site, some) if names else site.inventory.all("retention_lock", granules=list(some))
            changed += _retain(site, [row["id"] for row in rows], end, reason)
    return changed


def _retain(site: Site, granules: list[int], end: object, reason: str) -> int:
    return site.inventory.run("retention_keep", granules=granules, until=end, reason=reason.strip(), actor=site.actor)


def withdraw(site: Site, names: Sequence[str], *, reason: str) -> Withdrawal:
    """Hide granules that are bad at once, tell what was made from them, and let them expire by rule.

    Their files stay where they are until then. What was withdrawn before stays so. May be repeated.
    """
    _require(reason)
    days = site.catalogue.keeping().withdrawn_days
    wanted = {row["id"]: row["key"] for row in named(site, names)}
    with site.inventory.transaction():
        site.inventory.one("lock_store")  # nobody ranks versions meanwhile
        rows = locked(site, wanted)
        if stored := [row["key"] for row in rows if row["state"] == "stored"]:
            raise ConfigurationError(f"{stored[0]} is just being delivered: try again when it has arrived")
        fresh = [row["id"] for row in rows if row["state"] == "archived"]
        told = {"reason": reason.strip(), "actor": site.actor, "days": days}
        site.inventory.run("withdrawal_hide", granules=fresh, **told)
        relink(site, fresh)
        made = made_from(site, list(wanted))
        if fresh:
            _tell(site, sorted(wanted.values()), reason, made)
    return Withdrawal(granules=tuple(sorted(wanted.values())), made_from_it=tuple(_told(row) for row in made))


def undo_withdrawal(site: Site, names: Sequence[str]) -> list[str]:
    """Show them again; returns the keys of those that were withdrawn.

    They expire as before, unless somebody has said otherwise since; what would be over already, after ``HELD_DAYS``.
    """
    wanted = {row["id"]: row["key"] for row in named(site, names)}
    with site.inventory.transaction():
        site.inventory.one("lock_store")
        back = [row["id"] for row in locked(site, wanted) if row["state"] == "withdrawn"]
        site.inventory.run("withdrawal_undo", granules=back, actor=site.actor, days=HELD_DAYS)
        relink(site, back)
    return sorted(wanted[number] for number in back)


def made_from(site: Site, granules: Sequence[int]) -> list[Row]:
    """Every instance that used these granules, or what was made from them, with each output."""
    return site.inventory.all("withdrawal_made_from", granules=list(granules))


def _told(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "source"}


def _require(reason: str) -> None:
    if not reason.strip():
        raise ConfigurationError("say why, in words that another person understands: --reason")


def _tell(site: Site, keys: Sequence[str], reason: str, made: Sequence[Row]) -> None:
    """Mail to those who are told of failures: what is bad, and what rests on it."""
    lines = [f"{len(keys)} granules were withdrawn by {readable(site.actor)}: {readable(reason, 1000)}", ""]
    lines += [f"  {readable(key)}" for key in keys[:_SHOWN]]
    lines += ["", f"Made from them: {len({row['instance'] for row in made})} instances of PGEs"]
    for row in made[:_SHOWN]:
        output = row["granule"] or row["output"] or "nothing yet"
        lines.append(readable(f"  {row['pge']} {row['period']} ({row['state']}): {output}", 1000))
    lines += ["", "`orbitory withdraw NAME --undo` shows them again until they expire."]
    told = replace(site, actor=f"{site.actor} {keys[0]} and {len(keys) - 1} more")
    send(told, "withdrawal", f"[Orbitory] {len(keys)} granules were withdrawn", lines)
