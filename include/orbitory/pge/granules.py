"""What selection works on: candidate granules, the period of an instance, and what an input needs for it."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from orbitory.pge_definition import PgeInput

#: A granule id of S-NPP and JPSS: platform and tenths of seconds.
JPSS_ID = re.compile(r"[A-Z][A-Z0-9]{2}\d{12}")
#: Between two granules in a row there may be a scan, which is no gap in coverage; and clocks are truncated.
SCAN = timedelta(seconds=2)
#: What the times of two granules taken together may differ by, where no granule length is known.
SAME = timedelta(seconds=1)
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An archived granule in its newest version."""

    id: int
    product: str
    key: str
    rank: int = 0
    created: datetime | None = None
    platform: str = ""
    sensor: str = ""
    orbit: int | None = None
    start: datetime
    end: datetime
    #: Of its archived files.
    roles: Sequence[str] = ("data",)

    @property
    def name(self) -> str:
        """Last part of its key; of JPSS the granule id, which SDR and geolocation share."""
        return self.key.rpartition("/")[2]

    @property
    def identity(self) -> str:
        """What it is, the same in every inventory: key, version, creation time."""
        return f"{self.key}|{self.rank}|{self.created.astimezone(UTC).isoformat() if self.created else ''}"

    @property
    def newest(self) -> tuple[datetime, datetime, str]:
        """Orders by creation, then time, then key."""
        return (self.created or _NEVER, self.start, self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """What an instance is for: [start, end) of sensing, of one platform or (empty) of all."""

    #: Tells it from all others of its PGE; letters, digits, ``_``, ``+`` and ``-``, so that file names can hold it.
    key: str
    platform: str = ""
    start: datetime
    end: datetime
    orbit: int | None = None
    #: So many granule times in a row.
    size: int | None = None

    @property
    def seconds(self) -> float:
        """Its length, at least one second."""
        return max((self.end - self.start).total_seconds(), 1.0)

    @property
    def granule_id(self) -> str:
        """Granule id, where it is for one JPSS granule."""
        return self.key if self.size is None and JPSS_ID.fullmatch(self.key) else ""


def period_name(key: str) -> str:
    """The key of the period that a granule makes: its own name, and a check sum where that may not tell it from others.

    Ids of JPSS granules and names of strips do tell; names that senders chose do not.

    >>> period_name("NPP/VIIRS-M5-SDR/NPP000650598298"), period_name("strip/WV02_20150110_P1BS-01")
    ('NPP000650598298', 'WV02_20150110_P1BS-01')
    >>> period_name("user/a b.tif")
    'a-b-tif-064dfdbe'
    """
    name = key.rpartition("/")[2]
    if JPSS_ID.fullmatch(name):
        return name
    plain = re.sub(r"[^A-Za-z0-9_+-]", "-", name).lstrip("-_+")[:100] or "granule"
    if key == f"strip/{plain}":
        return plain
    return f"{plain}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One input of a definition together with what the catalogue knows about its products."""

    input: PgeInput
    #: In order of preference; of each what the definition lists, and of each entry the product ids that it means.
    choices: tuple[tuple[tuple[str, ...], ...], ...] = ()
    #: Nominal length of a granule; None when nobody knows.
    seconds: float | None = None
    #: A granule is at most so long.
    longest_seconds: float = 86_400.0
    #: It makes the periods.
    anchor: bool = False
    #: How far the period may reach beyond what is known of it: an orbit of which few granules are there.
    slack_seconds: float = 0.0
    platforms: frozenset[str] = frozenset()
    sensors: frozenset[str] = frozenset()

    #: Product ids of all choices.
    products: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Collect the product ids once: they are asked for at every period."""
        products = dict.fromkeys(each for choice in self.choices for entry in choice for each in entry)
        object.__setattr__(self, "products", tuple(products))

    def span(self, period: Period) -> tuple[datetime, datetime]:
        """The period with this input's margins."""
        before = timedelta(seconds=self.input.before_seconds)
        return period.start - before, period.end + timedelta(seconds=self.input.after_seconds)

    def window(self, period: Period) -> tuple[datetime, datetime]:
        """Every granule that it may take for ``period`` starts in [first, second)."""
        rule, length = self.input, timedelta(seconds=self.seconds or period.seconds)
        if rule.select in ("same_granule", "neighbours"):
            before, after = rule.neighbours if rule.select == "neighbours" else (0, 0)
            return period.start - (before + 1) * length - SAME, period.start + (after + 1) * length + SAME
        start, end = self.span(period)
        slack = timedelta(seconds=self.slack_seconds)
        return start - slack - timedelta(seconds=self.longest_seconds), end + slack + SAME

    def reach(self) -> tuple[timedelta, timedelta]:
        """How long before it starts and after it ends a granule may serve a period."""
        rule = self.input
        if rule.select in ("same_granule", "neighbours"):
            before, after = rule.neighbours if rule.select == "neighbours" else (0, 0)
            seconds = self.seconds or self.longest_seconds
            return timedelta(seconds=(after + 1) * seconds), timedelta(seconds=(before + 1) * seconds)
        slack = self.slack_seconds + 1
        return timedelta(seconds=rule.after_seconds + slack), timedelta(seconds=rule.before_seconds + slack)

    def serves(self, candidate: Candidate) -> bool:
        """Whether any of the files that the PGE wants of it is archived."""
        return not set(self.input.roles).isdisjoint(candidate.roles)

    def admits(self, candidate: Candidate, period: Period) -> bool:
        """Whether platform and sensor suit."""
        if self.input.kind == "ancillary":
            return True
        return (
            (not period.platform or candidate.platform == period.platform)
            and (not self.platforms or candidate.platform in self.platforms)
            and (not self.sensors or candidate.sensor in self.sensors)
        )


class Shelf:
    """Candidates by product and time."""

    def __init__(self, candidates: Iterable[Candidate] = ()) -> None:
        """In any order."""
        by_product: dict[str, list[Candidate]] = {}
        for each in candidates:
            by_product.setdefault(each.product, []).append(each)
        self._rows: Mapping[str, list[Candidate]] = by_product
        for rows in by_product.values():
            rows.sort(key=lambda each: (each.start, each.key))

    def between(self, products: Iterable[str], start: datetime, stop: datetime) -> list[Candidate]:
        """Those of ``products`` that start in [start, stop), by time within each product."""
        found: list[Candidate] = []
        for product in products:
            if rows := self._rows.get(product):
                first = bisect_left(rows, start, key=_start_of)
                found += rows[first : bisect_left(rows, stop, lo=first, key=_start_of)]
        return found


def _start_of(candidate: Candidate) -> datetime:
    return candidate.start
