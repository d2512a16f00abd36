"""Which granules an input gets: the policies, pure. The order in which candidates are given never matters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from orbitory.errors import DataError
from orbitory.pge.granules import JPSS_ID, SAME, SCAN, Candidate, Need, Period, Shelf, period_name
from orbitory.times import SECOND_US, granule_id, iet_from_utc

#: What the products of one choice list, and the candidates among them that are admitted.
_Entries = Sequence[Sequence[str]]
_Rank = tuple[Any, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one input has found for one period."""

    granules: tuple[Candidate, ...] = ()
    have: int = 0
    #: How many there should be.
    need: int = 1
    #: Nothing better can come, but newer versions.
    full: bool = False
    #: It will do once the time-out has passed.
    enough: bool = False
    #: Names of those that should still come, where they can be told.
    expected: tuple[str, ...] = ()


def select(need: Need, period: Period, shelf: Shelf) -> Found:
    """What ``need`` gets for ``period``: the first of its choices that suffices, else what there is of the first.

    Where a later choice serves, a better one may still come: it is never full.
    """
    start, stop = need.window(period)
    found: list[Found] = []
    for entries in need.choices:
        products = [product for entry in entries for product in entry]
        usable = [
            each for each in shelf.between(products, start, stop) if need.admits(each, period) and need.serves(each)
        ]
        found.append(_POLICIES[need.input.select](need, period, entries, usable))
        if found[-1].enough and found[-1].have:
            return found[-1] if len(found) == 1 else replace(found[-1], full=False)
    return found[0]


def _same_granule(need: Need, period: Period, entries: _Entries, usable: Sequence[Candidate]) -> Found:
    """Of each product the granule with the period's granule id, or taken at its time."""
    chosen = []
    for products in entries:
        match = _at(need, period, 0, [each for each in usable if each.product in products])
        chosen += [match] if match else []
    lacking = [] if len(chosen) == len(entries) else [_expected(need, period, 0)]
    return _counted(need, chosen, len(entries), lacking)


def _own(need: Need, period: Period, entries: _Entries, usable: Sequence[Candidate]) -> Found:
    """The granule that makes the period, and no other: nothing but a JPSS granule id is shared by several products."""
    own = [each for each in usable if period_name(each.key) == period.key]
    return _counted(need, own[:1], 1, [] if own else [period.key])


def _neighbours(need: Need, period: Period, entries: _Entries, usable: Sequence[Candidate]) -> Found:
    """The period's own granule and those around it, in order of time."""
    before, after = need.input.neighbours
    matches = {step: _at(need, period, step, usable) for step in range(-before, after + 1)}
    lacking = [_expected(need, period, step) for step, match in matches.items() if match is None]
    return _counted(need, [match for match in matches.values() if match], len(matches), lacking)


def _at(need: Need, period: Period, step: int, usable: Sequence[Candidate]) -> Candidate | None:
    """The granule ``step`` granules from the period's own: by id where ids tell, else by time."""
    name = _expected(need, period, step)
    if name:
        for each in usable:
            if each.name == name:
                return each
        usable = [each for each in usable if not JPSS_ID.fullmatch(each.name)]
    target = period.start + step * timedelta(seconds=need.seconds or period.seconds)
    tolerance = max(timedelta(seconds=need.seconds) / 4, SAME) if need.seconds else SAME
    near = [each for each in usable if abs(each.start - target) <= tolerance]
    return min(near, key=lambda each: (abs(each.start - target), each.key), default=None)


def _expected(need: Need, period: Period, step: int) -> str:
    """Granule id of that neighbour; empty where the period is no JPSS granule or no length is known."""
    name = period.granule_id
    if not name or step == 0 or need.seconds is None:
        return name if step == 0 else ""
    length = round(need.seconds * SECOND_US)
    try:
        middle = iet_from_utc(period.start + (period.end - period.start) / 2)
        return granule_id(name[:3], middle + step * length, length)
    except DataError:
        return ""


def _counted(need: Need, granules: Sequence[Candidate], wanted: int, expected: Iterable[str] = ()) -> Found:
    """The verdict where it is known how many can come; MINCOVER says how many of them are enough."""
    rule, have = need.input, len(granules)
    return Found(
        granules=tuple(granules),
        have=have,
        need=wanted,
        full=have >= wanted,
        enough=rule.optional or have >= min(rule.min_count or wanted, wanted),
        expected=tuple(filter(None, expected)),
    )


def _all(need: Need, period: Period, entries: _Entries, usable: Sequence[Candidate]) -> Found:
    """Every one that starts in the period, or belongs to its orbit."""
    if period.orbit is not None:
        return _many(need, period, entries, [each for each in usable if each.orbit == period.orbit])
    start, end = need.span(period)
    # Of granules in a row the middle tells where they belong: scans begin up to two seconds after the granule does.
    half = timedelta(seconds=(need.seconds or 0) / 2 if period.size else 0)
    return _many(need, period, entries, [each for each in usable if start <= each.start + half < end])


def _val_intersect(need: Need, period: Period, entries: _Entries, usable: Sequence[Candidate]) -> Found:
    """Every one that touches the period; of one product of one platform no more can come once it is covered."""
    found = _many(need, period, entries, _touching(need, period, usable))
    alone = len(entries) == 1 and need.input.kind == "granule" and period.platform and not period.size
    if alone and period.orbit is None and covered_percent(*need.span(period), found.granules) >= 100.0:
        return replace(found, full=found.enough)
    return found


def _many(need: Need, period: Period, entries: _Entries, chosen: Iterable[Candidate]) -> Found:
    """How many there should be is known of granules in a row alone; else only time tells that no more will come."""
    rule, granules = need.input, _in_time(chosen)
    whole = len(entries) * round(period.seconds / need.seconds) if period.size and need.seconds else 0
    least = rule.min_count or whole or 1
    covered = rule.percent is None or covered_percent(*need.span(period), granules) >= rule.percent
    return Found(
        granules=granules,
        have=len(granules),
        need=max(least, whole),
        full=whole > 0 and len(granules) >= whole,
        enough=rule.optional or (len(granules) >= least and covered),
    )


def _val_cover(need: Need, period: Period, entries: _Entries, usable: Sequence[Candidate]) -> Found:
    """All that touch the period, once they cover it together."""
    rule, granules = need.input, _in_time(_touching(need, period, usable))
    percent = covered_percent(*need.span(period), granules)
    full, least = percent >= 100.0, rule.min_count or 1
    partly = percent >= rule.percent if rule.percent is not None else rule.min_count is not None
    return Found(
        granules=granules,
        have=len(granules),
        need=max(least, len(granules) + (not full)),
        full=full,
        enough=rule.optional or ((full or partly) and len(granules) >= least),
    )


def _best(rank: Callable[[Need, Period, Candidate], _Rank]) -> Callable[..., Found]:
    """A policy that takes the one granule that ranks highest; None leaves a granule out."""

    def policy(need: Need, period: Period, entries: _Entries, usable: Sequence[Candidate]) -> Found:
        ranked = [(place, each) for each in _touching(need, period, usable) if (place := rank(need, period, each))]
        return _counted(need, [max(ranked, key=lambda pair: pair[0])[1]] if ranked else [], 1)

    return policy


def _covering(need: Need, period: Period, each: Candidate) -> _Rank:
    start, end = need.span(period)
    return each.newest if each.start <= start and each.end >= end - SCAN else None


def _before(need: Need, period: Period, each: Candidate) -> _Rank:
    return (each.start, *each.newest) if each.start <= period.start else None


def _near_start(need: Need, period: Period, each: Candidate) -> _Rank:
    return (-abs(each.start - need.span(period)[0]), *each.newest)


def _near_stop(need: Need, period: Period, each: Candidate) -> _Rank:
    return (-abs(each.end - need.span(period)[1]), *each.newest)


def _newest(need: Need, period: Period, each: Candidate) -> _Rank:
    return each.newest


def _overlap(need: Need, period: Period, each: Candidate) -> _Rank:
    percent = covered_percent(*need.span(period), [each])
    return (percent, *each.newest) if percent >= (need.input.percent or 0.0) else None


def _touching(need: Need, period: Period, usable: Sequence[Candidate]) -> list[Candidate]:
    """Granules hold both their ends; a period without length is an instant."""
    start, end = need.span(period)
    if start == end:
        return [each for each in usable if each.start <= start <= each.end]
    return [each for each in usable if each.start < end and (each.end > start or each.start == start)]


def _in_time(chosen: Iterable[Candidate]) -> tuple[Candidate, ...]:
    return tuple(sorted(chosen, key=lambda each: (each.start, each.key)))


def covered_percent(start: datetime, end: datetime, granules: Iterable[Candidate]) -> float:
    """How much of [start, end) the granules cover together; a scan between two of them, or at an end, is no gap."""
    if start >= end:
        return 100.0 if any(each.start <= start <= each.end for each in granules) else 0.0
    covered, reached = timedelta(), start
    for each in sorted(granules, key=lambda each: each.start):
        stop = min(each.end, end)
        if stop > reached:
            begin = reached if each.start - reached <= SCAN else each.start
            covered, reached = covered + (stop - begin), stop
    if covered and end - reached <= SCAN:
        covered += end - reached
    return 100.0 * (covered / (end - start))


_POLICIES: Mapping[str, Callable[[Need, Period, _Entries, Sequence[Candidate]], Found]] = {
    "same_granule": lambda need, period, *rest: (_own if need.anchor and not period.granule_id else _same_granule)(
        need, period, *rest
    ),
    "neighbours": _neighbours,
    "all": _all,
    "valintersect": _val_intersect,
    "valcover": _val_cover,
    "latest_valcover": _best(_covering),
    "latest_before": _best(_before),
    "closest_start": _best(_near_start),
    "closest_stop": _best(_near_stop),
    "latest_created": _best(_newest),
    "largest_overlap": _best(_overlap),
}
