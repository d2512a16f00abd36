"""Holds: who needs a granule says so, and until then nothing takes it out of the archive."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, get_args

from orbitory.errors import ConfigurationError
from orbitory.inventory import Row
from orbitory.retention.naming import HERE, moment, named
from orbitory.site import Site

Kind = Literal["person", "pge", "subscription", "export", "legal"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: So many are listed at once.
MOST_LISTED = 10_000


def hold(site: Site, names: Sequence[str], *, reason: str, until: str, kind: Kind = "person") -> list[str]:
    """Hold the granules of these names until a time to come, or ``never``: until they are released; their keys.

    A hold that was placed is seen by every removal that has not yet marked the granule: both lock its row. Raises
    ConfigurationError when one of them is not here any more, and then none is held.
    """
    _require(kind)
    end = moment(site, until)
    wanted = {row["id"]: row["key"] for row in named(site, names)}
    place(site, wanted, kind=kind, reason=_said(reason), until=end)
    return sorted(wanted.values())


def place(
    site: Site, granules: Sequence[int] | dict[int, str], *, kind: Kind, reason: str, until: datetime | None
) -> None:
    """Hold these granules, all or none; ``until`` None: until they are released. Raises ConfigurationError."""
    wanted = granules if isinstance(granules, dict) else {number: f"granule {number}" for number in granules}
    with site.inventory.transaction():
        locked(site, wanted)
        site.inventory.run("hold_add", granules=list(wanted), kind=kind, reason=reason, owner=site.actor, until=until)


def release(site: Site, names: Sequence[str], *, reason: str | None = None, kind: Kind | None = None) -> list[str]:
    """Let go of the granules of these names: end all holds of people, or those of a reason or kind; their keys."""
    if kind is not None:
        _require(kind)
    wanted = {row["id"]: row["key"] for row in named(site, names, (*HERE, "deleting", "deleted"))}
    kind = kind or ("person" if reason is None else None)
    return sorted({wanted[number] for number in let_go(site, list(wanted), kind=kind, reason=reason)})


def let_go(site: Site, granules: Sequence[int], *, kind: Kind | None, reason: str | None) -> list[int]:
    """End the holds of these granules, of a kind and a reason or of any; those that were held."""
    asked = {"granules": list(granules), "reason": reason, "kind": kind}
    return [row["granule_id"] for row in site.inventory.all("hold_release", owner=site.actor, **asked)]


def holds(site: Site, names: Sequence[str] = (), *, everything: bool = False) -> list[Row]:
    """Active holds of these granules, or of all; ``everything``: past ones, too."""
    granules = [row["id"] for row in named(site, names, (*HERE, "deleting", "deleted"))] if names else None
    return site.inventory.all("hold_list", granules=granules, all=everything, limit=MOST_LISTED)


def locked(site: Site, wanted: dict[int, Any]) -> list[Row]:
    """The rows of these granules, which stay as they are until the transaction ends. Raises ConfigurationError."""
    rows = site.inventory.all("retention_lock", granules=list(wanted))
    gone = sorted(str(wanted[number]) for number in set(wanted) - {row["id"] for row in rows})
    if gone:
        raise ConfigurationError(
            f"{len(gone)} of them leave the archive just now or have left it, {gone[0]} for one: nothing was changed; "
            f"`orbitory restore NAME` brings back what still is in the trash"
        )
    return rows


def _require(kind: str) -> None:
    if kind not in KINDS:
        raise ConfigurationError(f"a hold is of one of the kinds {', '.join(KINDS)}, not {kind!r}")


def _said(reason: str) -> str:
    if not reason.strip():
        raise ConfigurationError("say why, in words that another person understands: --reason")
    return reason.strip()
