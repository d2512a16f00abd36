"""What one rule found and did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orbitory.site import Site

#: Rules run side by side, and two of them work on removed sets: so long one waits for the other, or for a person.
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something whose time is over."""

    #: ``granule``, ``link``, ``work``, ``quarantine`` or ``trash``.
    kind: str
    name: str
    #: In words: which rule says so.
    rule: str
    expires: datetime
    bytes: int
    #: Who needs it, or must approve that it goes; empty: nobody.
    blocked_by: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return {
            **{"kind": self.kind, "name": self.name, "rule": self.rule, "expires": self.expires},
            "blocked_by": self.blocked_by or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One rule's part of a run."""

    rule: str
    items: tuple[Item, ...] = ()
    #: Removed in this run; 0 when it only looked.
    removed: int = 0
    bytes: int = 0
    #: ``(name, why)`` of what should have gone: the next run tries again.
    failed: tuple[tuple[str, str], ...] = ()
    #: What needs approval: hash of the set or "", by product type.
    asked: tuple[tuple[str, str], ...] = ()
    #: Expired, but needed or waiting for approval; where they are not listed in ``items``, counted alone.
    blocked: int = 0
    #: Who else was at work there, so that nothing was done; empty: nobody.
    skipped: str = ""

    @property
    def trouble(self) -> str:
        """The first failure in words, or what it waits for."""
        if not self.failed:
            return self.skipped
        name, why = self.failed[0]
        more = f" (and {len(self.failed) - 1} more)" if len(self.failed) > 1 else ""
        return f"{name}: {why}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """How a run looks at the archive."""

    #: The database's clock, or a moment to come.
    now: datetime
    #: Nothing is changed.
    dry: bool = False
    #: ``now`` is a moment to come.
    ahead: bool = False
    #: Tell of every granule that waits for approval, too.
    listing: bool = True


Rule = Callable[[Site, Pass], Done]
