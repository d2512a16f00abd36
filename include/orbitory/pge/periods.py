"""What a definition means in this catalogue: its inputs with what is known of their products, and its periods."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from orbitory.catalogue import Catalogue, Pge
from orbitory.errors import ConfigurationError
from orbitory.pge.granules import Candidate, Need, Period, period_name
from orbitory.pge_definition import PgeInput
from orbitory.times import GRANULE_BASE_US, SECOND_US, VIIRS_GRANULE_US, iet_from_utc, utc_from_iet

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
#: Longer than any orbit of an Earth observer in low orbit.
_ORBIT_SECONDS = 7_200.0
_DAY_SECONDS = 86_400.0
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A definition with its needs."""

    pge: Pge
    #: Of granules; files outside the archive are apart.
    needs: tuple[Need, ...]
    files: tuple[PgeInput, ...]
    #: The need whose granules make periods.
    anchor: Need = field(init=False)

    def __post_init__(self) -> None:
        """Find the anchor once."""
        object.__setattr__(self, "anchor", next(need for need in self.needs if need.anchor))

    @property
    def longest(self) -> timedelta:
        """No period is longer."""
        period, anchor = self.pge.period, self.anchor
        if period.kind == "time":
            return timedelta(hours=period.hours or 24)
        if period.kind == "orbit":
            return timedelta(seconds=_ORBIT_SECONDS)
        return timedelta(seconds=(period.size or 1) * max(anchor.seconds or 0.0, anchor.longest_seconds))

    def periods(self, granule: Candidate) -> Iterator[Period]:
        """What ``granule`` makes, if it is one of those that make periods."""
        anchor = self.anchor
        if granule.product not in anchor.products:
            return
        platform = "" if self.pge.spans_platforms else granule.platform
        period = Period(key="any", platform=platform, start=granule.start, end=granule.end)
        if anchor.admits(granule, period):
            yield from _PERIODS[self.pge.period.kind](self, granule, platform)


def plan_of(pge: Pge, catalogue: Catalogue, codes: Collection[str] = ()) -> Plan:
    """Look up what the definition's words mean. ``codes``: products that the archive holds."""
    return Plan(
        pge=pge,
        needs=tuple(_need(pge, each, catalogue, codes) for each in pge.inputs if each.kind != "file"),
        files=tuple(each for each in pge.inputs if each.kind == "file"),
    )


def _need(pge: Pge, rule: PgeInput, catalogue: Catalogue, codes: Collection[str]) -> Need:
    kinds = [catalogue.type_of_product(product) for choice in rule.choices for product in choice]
    lengths = [kind.granule_seconds for kind in kinds if kind and kind.granule_seconds]
    seconds = lengths[0] if lengths else None
    return Need(
        input=rule,
        choices=tuple(tuple(catalogue.product_ids(product, codes) for product in choice) for choice in rule.choices),
        seconds=seconds,
        longest_seconds=rule.longest_seconds or (1.5 * max(lengths) if lengths else _DAY_SECONDS),
        anchor=rule.name == pge.period.of,
        slack_seconds=_ORBIT_SECONDS if pge.period.kind == "orbit" else 0.0,
        platforms=frozenset(pge.where.platforms),
        sensors=frozenset(pge.where.sensors) if rule.name == pge.period.of else frozenset(),
    )


def _granule(plan: Plan, granule: Candidate, platform: str) -> Iterator[Period]:
    yield Period(key=period_name(granule.key), platform=platform, start=granule.start, end=granule.end)


def _granules(plan: Plan, granule: Candidate, platform: str) -> Iterator[Period]:
    """Granule times in a row, counted as the numbers of JPSS granules are, so that the middle of each falls in one."""
    size = plan.pge.period.size or 1
    seconds = plan.anchor.seconds
    length = size * (round(seconds * SECOND_US) if seconds else VIIRS_GRANULE_US)
    middle = iet_from_utc(granule.start + timedelta(seconds=(seconds or 0) / 2))
    first = GRANULE_BASE_US + (middle - GRANULE_BASE_US) // length * length
    tenths = (first - GRANULE_BASE_US) // 100_000
    yield Period(
        key=f"{_plain(platform)}{tenths:012d}x{size}",
        platform=platform,
        start=utc_from_iet(first),
        end=utc_from_iet(first + length),
        size=size,
    )


def _orbit(plan: Plan, granule: Candidate, platform: str) -> Iterator[Period]:
    if granule.orbit is not None:
        key = f"{_plain(platform) or 'any'}-orbit{granule.orbit}"
        yield Period(key=key, platform=platform, start=granule.start, end=granule.end, orbit=granule.orbit)


def _time(plan: Plan, granule: Candidate, platform: str) -> Iterator[Period]:
    """The bin in which it starts, or every bin that it touches."""
    length = timedelta(hours=plan.pge.period.hours or 24)
    number = (granule.start - _UNIX) // length
    last = (granule.end - _UNIX - _INSTANT) // length if plan.anchor.input.select == "valintersect" else number
    for each in range(number, max(number, last) + 1):
        start = _UNIX + each * length
        yield Period(key=_stamp(start, length), start=start, end=start + length)


def _stamp(start: datetime, length: timedelta) -> str:
    """Shortest form that tells the bins apart.

    >>> _stamp(datetime(2024, 2, 10, tzinfo=UTC), timedelta(days=1))
    '20240210'
    """
    if length % timedelta(days=1) == timedelta():
        return f"{start:%Y%m%d}"
    return f"{start:%Y%m%dT%H%M}" if length % timedelta(minutes=1) == timedelta() else f"{start:%Y%m%dT%H%M%S-%f}"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_+-]", "-", text).lstrip("-_+")


_PERIODS = {"granule": _granule, "area": _granule, "granules": _granules, "orbit": _orbit, "time": _time}


def period_of_row(pge: Pge, row: dict[str, object]) -> Period:
    """The period of an instance as the inventory holds it.

    Raises ConfigurationError when the definition made another kind of period of it.
    """
    key, start, end = str(row["period_key"]), row["starts"], row["ends"]
    assert isinstance(start, datetime) and isinstance(end, datetime)
    kind, (_, word, number) = pge.period.kind, key.rpartition("-orbit")
    if kind == "orbit" and not (word and re.fullmatch(r"\d{1,18}", number)):
        raise ConfigurationError(
            f"the period {key!r} was planned when periods of {pge.name} {pge.version} were of another kind than "
            f"{kind!r}: give the definition another version"
        )
    orbit = int(number) if kind == "orbit" else None
    size = pge.period.size if kind == "granules" else None
    return Period(key=key, platform=str(row["platform"]), start=start, end=end, orbit=orbit, size=size)


def area_wkt(pge: Pge) -> str | None:
    """The definition's area as WKT; None where it has none.

    West, south, east, north become a box.
    """
    area = pge.period.area
    if area is None or "(" in area:
        return area
    west, south, east, north = (float(part) for part in area.split(","))
    return f"POLYGON(({west} {south},{east} {south},{east} {north},{west} {north},{west} {south}))"
