"""What stands between a plan and the trash: how much may go without approval, and what must not go now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from orbitory.inventory import Row
from orbitory.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How much of one sensor (of what has expired: of one product type) a set is, counted in granules."""

    sensor: str
    items: int
    held: int

    def as_dict(self) -> dict[str, str | int]:
        """JSON shape."""
        return asdict(self)

    def __str__(self) -> str:
        """In words.

        >>> str(Share(sensor="WV02", items=30, held=1200))
        '30 of 1,200 of WV02 (2.5 %)'
        >>> str(Share(sensor="", items=1, held=1))
        '1 of 1 of no sensor (100 %)'
        """
        percent = 100 * self.items / max(self.held, 1)
        return f"{self.items:,} of {self.held:,} of {self.sensor or 'no sensor'} ({percent:.3g} %)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Beyond these a set needs approval."""

    #: Share of a sensor's granules, and their number.
    share: float = 0.01
    items: int = 1_000
    #: In a small archive one granule is more than a hundredth: so few need no approval, unless they are most of it.
    few: int = 10
    #: What goes by itself and daily needs approval only when it is more than both.
    both: bool = False

    def exceeded(self, share: Share) -> bool:
        """Whether this much of a sensor needs approval.

        >>> counts = (1, 2), (2, 2), (11, 900), (1001, 10**6), (11, 1_100), (1_000, 10**6), (10, 500)
        >>> [Limits().exceeded(Share(sensor="WV02", items=n, held=held)) for n, held in counts]
        [False, True, True, True, False, False, False]
        >>> [Limits(both=True).exceeded(Share(sensor="x", items=n, held=held)) for n, held in counts]
        [False, False, False, False, False, False, False]
        >>> [Limits(share=0.01, items=0, both=True).exceeded(Share(sensor="x", items=1, held=n)) for n in (10, 99, 100)]
        [True, True, False]
        """
        if self.both:
            return share.items > max(self.share * share.held, self.items)
        if share.items > self.items:
            return True
        return share.items > self.share * share.held and (share.items > self.few or 2 * share.items > share.held)


LIMITS = Limits()
NOT_KEPT = "its keeper is not held, or not preferred, any more"


def over(limits: Limits, shares: Iterable[Share]) -> list[Share]:
    """The sensors of which a set is too much to go without approval."""
    return [share for share in shares if limits.exceeded(share)]


def blocked_by(site: Site, granules: Sequence[int]) -> dict[int, str]:
    """Granules that must not leave now, each with who needs it: the one place that knows."""
    return {row["granule_id"]: row["why"] for row in site.inventory.all("removal_blocked", granules=list(granules))}


def unsound_keepers(site: Site, keepers: Iterable[int]) -> dict[int, str]:
    """Of the granules that stay in the place of others, those that are not there whole; every byte of them is read."""
    wanted = set(keepers)
    rows = site.inventory.all("removal_keepers", granules=sorted(wanted))
    found = dict.fromkeys(wanted, NOT_KEPT)
    for row in rows:
        found.pop(row["granule_id"], None)
    for row in rows:
        if why := _unsound(site, row):
            found[row["granule_id"]] = why
    return found


def _unsound(site: Site, row: Row) -> str:
    try:
        digest = site.storage.digest(row["path"])
    except OSError as error:
        return f"{row['path']} of its keeper {row['key']} cannot be read: {error.strerror}"
    if digest is None:
        return f"{row['path']} of its keeper {row['key']} is missing"
    return "" if digest == row["digest"] else f"{row['path']} of its keeper {row['key']} is damaged"
