"""Periods to be judged: fetch all that may serve them, judge each, write what follows. In the caller's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from orbitory.inventory import Inventory
from orbitory.pge import writing
from orbitory.pge.decisions import Case, Decision, decide
from orbitory.pge.granules import Candidate, Need, Period, Shelf, period_name
from orbitory.pge.periods import Plan, area_wkt
from orbitory.pge.selection import Found, select
from orbitory.pge.static import Statics
from orbitory.pge.verdict import Known, judge

#: (start, stop)
Span = tuple[datetime, datetime]
#: (PGE, period key) → what is to be judged.
Periods = dict[tuple[str, str], tuple[Plan, Period]]
#: Spans so near to each other are one to look up.
_NEARLY = timedelta(minutes=1)


def judge_all(
    inventory: Inventory, statics: Statics, periods: Periods, late: Collection[tuple[str, str]] = ()
) -> list[Decision]:
    """Select, decide and write for all these periods; returns the instances that were written.

    ``late``: those that were given up, which begin again only when nothing required is missing any more.
    """
    if not periods:
        return []
    row = inventory.one("plan_now")
    assert row is not None
    known = _known(inventory, periods)
    anchors = _found(inventory, periods, anchor=True)
    periods = {key: (plan, _stretched(plan, period, anchors[key])) for key, (plan, period) in periods.items()}
    others = _found(inventory, periods, anchor=False)
    cases = []
    for key, (plan, period) in periods.items():
        files = {each.name: statics.digest(each) for each in plan.files}
        inputs = ({**anchors[key], **others[key]}, files)
        verdict = judge(plan, period, inputs, known.get(key), row["now"])
        cases.append(Case(plan=plan, period=period, known=known.get(key), verdict=verdict, late=key in late))
    decisions = decide(cases, writing.made(inventory, cases), writing.lost(inventory, cases), row["now"])
    writing.write(inventory, decisions, row["now"])
    return decisions.rows


def _known(inventory: Inventory, periods: Periods) -> dict[tuple[str, str], Known]:
    rows = inventory.all(
        "plan_known",
        pges=[name for name, _ in periods],
        versions=[plan.pge.version for plan, _ in periods.values()],
        keys=[key for _, key in periods],
    )
    return {(row["pge"], row["period_key"]): writing.known(row) for row in rows}


def _found(inventory: Inventory, periods: Periods, *, anchor: bool) -> dict[tuple[str, str], dict[str, Found]]:
    """What each input of the periods selects: the one whose granules make them, or all others."""
    spans: dict[str, list[Span]] = defaultdict(list)
    for plan, period in periods.values():
        for need in _needs(plan, anchor):
            window = need.window(period)
            for product in need.products:
                spans[product].append(window)
    granules = candidates(inventory, [(product, *span) for product, many in spans.items() for span in merged(many)])
    whole = Shelf(granules)
    shelves = {plan.pge.name: whole for plan, _ in periods.values()}
    for plan in {plan.pge.name: plan for plan, _ in periods.values()}.values():
        if anchor and plan.pge.period.area and plan.anchor.input.select != "neighbours":
            mine = [each for each in granules if each.product in plan.anchor.products]
            shelves[plan.pge.name] = Shelf(inside(inventory, plan, mine))
    return {
        key: {need.input.name: select(need, period, shelves[plan.pge.name]) for need in _needs(plan, anchor)}
        for key, (plan, period) in periods.items()
    }


def _needs(plan: Plan, anchor: bool) -> list[Need]:
    return [need for need in plan.needs if need.anchor is anchor]


def candidates(inventory: Inventory, spans: Iterable[tuple[str, datetime, datetime]]) -> list[Candidate]:
    """Granules by product that start in these spans; those in two of them are told once."""
    asked = list(spans)
    rows = inventory.all(
        "plan_candidates",
        products=[product for product, *_ in asked],
        starts=[start for _, start, _ in asked],
        stops=[stop for *_, stop in asked],
    )
    return list({row["id"]: Candidate(**row) for row in rows}.values())


def inside(inventory: Inventory, plan: Plan, granules: list[Candidate]) -> list[Candidate]:
    """Those that touch the definition's area; all where it has none."""
    area = area_wkt(plan.pge)
    if area is None or not granules:
        return granules
    found = {row["id"] for row in inventory.all("plan_inside", ids=[each.id for each in granules], area=area)}
    return [each for each in granules if each.id in found]


def _stretched(plan: Plan, period: Period, found: Mapping[str, Found]) -> Period:
    """From the start of the first to the end of the last of the granules that make it, whichever of them came first.

    Bins and granule times in a row are as long as they are.
    """
    granules = found[plan.anchor.input.name].granules
    if plan.pge.period.kind in ("granule", "area"):
        granules = tuple(each for each in granules if period_name(each.key) == period.key)
    elif period.orbit is None:
        return period
    if not granules:
        return period
    return replace(period, start=min(each.start for each in granules), end=max(each.end for each in granules))


def merged(spans: Iterable[Span]) -> list[Span]:
    """The spans, those that overlap or nearly touch as one: what is contiguous is one scan of an index.

    >>> from datetime import UTC
    >>> day = lambda n: datetime(2024, 2, n, tzinfo=UTC)
    >>> [(a.day, b.day) for a, b in merged([(day(3), day(4)), (day(1), day(2)), (day(2), day(3)), (day(8), day(9))])]
    [(1, 4), (8, 9)]
    """
    found: list[Span] = []
    for start, stop in sorted(spans):
        if found and start <= found[-1][1] + _NEARLY:
            found[-1] = (found[-1][0], max(found[-1][1], stop))
        else:
            found.append((start, stop))
    return found
