"""What a run of the audit came to, and how long reading everything takes at this pace."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orbitory.audit import Violation
from orbitory.inventory import Row
from orbitory.site import Site

#: Promise that each kind of finding breaks, as in docs/operations.md.
_INVARIANT = {"dark": "I3", "missing": "I2", "damaged": "I2"}
#: So many findings leave the inventory; counts are of all.
_MOST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """How often everything is read."""

    #: Bytes in the archive.
    bytes: int
    #: Days until everything was read once, at the day's budget; None: the budget is nothing.
    days: int | None
    #: Days since the file longest unread was read; None: there are no files.
    oldest_days: float | None
    #: Fraction of the bytes that were read within 90 days.
    recent: float

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return {
            "bytes": self.bytes,
            "cycle_days": self.days,
            "oldest_days": self.oldest_days,
            "read_90_days": self.recent,
        }

    def __str__(self) -> str:
        """In words.

        >>> str(Cycle(bytes=10**12, days=20, oldest_days=18.04, recent=1.0))
        'full cycle every 20 days; the file longest unread was read 18.0 days ago; 100 % read in 90 days'
        """
        pace = "no full cycle: nothing may be read" if self.days is None else f"full cycle every {self.days:,} days"
        oldest = (
            "" if self.oldest_days is None else f"; the file longest unread was read {self.oldest_days:.1f} days ago"
        )
        return f"{pace}{oldest}; {100 * self.recent:.0f} % read in 90 days"


def cycle(site: Site, daily_bytes: int | None) -> Cycle:
    """How long reading the whole archive takes at so many bytes a day; None: all of it each day."""
    row = site.inventory.one("scan_cycle")
    assert row is not None
    if daily_bytes is None:
        days: int | None = 1
    else:
        days = max(1, math.ceil(row["bytes"] / daily_bytes)) if daily_bytes else None
    return Cycle(
        bytes=row["bytes"],
        days=days,
        oldest_days=row["oldest_days"],
        recent=row["recent"] / row["bytes"] if row["bytes"] else 1.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One run, all of its tasks together."""

    #: Files compared by name and size, files read, and bytes read.
    seen: int = 0
    read: int = 0
    bytes: int = 0
    #: How many are open now, whoever found them, and how many this run has closed, by kind and outcome (None: open).
    counts: Mapping[tuple[str, str | None], int] = field(default_factory=dict)
    #: The first of them.
    findings: Sequence[Row] = field(default=())

    @property
    def open(self) -> list[Row]:
        """What a person must know of, the first of it."""
        return [row for row in self.findings if row["closed_at"] is None]

    def counted(self, outcome: str | None = None, kind: str = "") -> int:
        """Open findings, or those that this run has closed so; of one kind or all."""
        return sum(files for (each, how), files in self.counts.items() if how == outcome and (not kind or kind == each))

    @property
    def clean(self) -> bool:
        """Whether nothing is open and nothing was moved: files that are whole again need nobody."""
        return not any(self.counted(each) for each in (None, "quarantined", "repaired"))

    @property
    def message(self) -> str:
        """One sentence for people."""
        parts = [f"{self.seen:,} files compared, {self.read:,} files with {self.bytes:,} bytes read"]
        parts += [f"{count:,} {kind}" for kind in ("missing", "damaged", "dark") if (count := self.counted(kind=kind))]
        for how, told in (("quarantined", "dark set aside"), ("repaired", "repaired"), ("whole", "whole again")):
            if count := self.counted(how):
                parts.append(f"{count:,} {told}")
        return "; ".join(parts)

    def violations(self) -> list[Violation]:
        """What is open, as the audit tells it."""
        return [Violation(invariant=_INVARIANT[row["kind"]], name=row["name"], detail=_told(row)) for row in self.open]


def _told(row: Row) -> str:
    seen = f"{row['kind']}, seen by {row['scans']} looks since {row['first_seen']:%Y-%m-%d %H:%M} UTC"
    return f"{row['detail']}; {seen}{'; suspect' if row['acted_at'] else ''}"


def outcome(site: Site) -> Outcome:
    """What the run of ``site.actor`` has seen and done so far."""
    passes = {row["kind"]: row for row in site.inventory.all("scan_of_run", actor=site.actor)}
    compared, read = passes.get("reconcile", {}), passes.get("fixity", {})
    return Outcome(
        seen=compared.get("files", 0),
        read=read.get("files", 0),
        bytes=read.get("bytes", 0),
        counts={
            (row["kind"], row["outcome"]): row["files"] for row in site.inventory.all("scan_counts", actor=site.actor)
        },
        findings=site.inventory.all("scan_findings", actor=site.actor, limit=_MOST),
    )
