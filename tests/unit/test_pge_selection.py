"""Selection policies: what each takes, and that the order in which granules are told never matters."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitory.pge.granules import Candidate, Need, Period, Shelf, period_name
from orbitory.pge.selection import Found, covered_percent, select
from orbitory.pge_definition import PgeInput

T = datetime(2024, 2, 10, 12, tzinfo=UTC)
POLICIES = (
    *("same_granule", "neighbours", "all", "valintersect", "valcover", "latest_valcover"),
    *("latest_before", "closest_start", "closest_stop", "latest_created", "largest_overlap"),
)


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def granule(start: float, end: float, number: int = 0, **more: Any) -> Candidate:
    told = {"product": "AAA01", "key": f"any/{start}-{end}-{number}", "platform": "NPP", **more}
    return Candidate(id=number or int(start * 10), start=at(start), end=at(end), **told)


def need(policy: str, *, products: tuple[str, ...] = ("AAA01",), seconds: float | None = None, **more: Any) -> Need:
    anchor = more.pop("anchor", False)
    rule = PgeInput(name="some", products=products, select=policy, **more)  # type: ignore[arg-type]
    return Need(
        input=rule,
        choices=tuple(tuple((each,) for each in choice) for choice in rule.choices),
        seconds=seconds,
        anchor=anchor,
        longest_seconds=1_000.0,
    )


def period(start: float, end: float, **more: Any) -> Period:
    return Period(**{"key": "p", "platform": "NPP", "start": at(start), "end": at(end), **more})


def taken(found: Found) -> list[float]:
    return [(each.start - T).total_seconds() for each in found.granules]


ROW = [granule(n * 100.0, n * 100.0 + 99.0) for n in range(-3, 7)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("same_granule", [100]),
        ("neighbours", [0, 100, 200]),
        ("all", [100, 200, 300]),
        ("valintersect", [100, 200, 300]),
        ("valcover", [100, 200, 300]),
        ("latest_valcover", []),
        ("latest_before", [100]),
        ("closest_start", [100]),
        ("closest_stop", [300]),
        ("latest_created", [300]),
        ("largest_overlap", [300]),
    ],
)
@pytest.mark.req("G12")
def test_each_policy_takes_what_it_promises(policy: str, expected: list[float]) -> None:
    known = 100.0 if policy in ("same_granule", "neighbours") else None
    found = select(need(policy, seconds=known), period(100, 399), Shelf(ROW))
    assert taken(found) == expected
    assert found.enough is bool(expected)


def test_the_newest_made_that_covers_the_whole_period_wins_and_margins_widen_it() -> None:
    old = granule(-500, 900, 1, created=at(0))
    new = granule(-400, 800, 2, created=at(5))
    short = granule(110, 180, 3, created=at(9))
    rule = need("latest_valcover")
    assert select(rule, period(100, 200), Shelf([old, new, short])).granules == (new,)
    wide = need("latest_valcover", before_seconds=550)
    assert select(wide, period(100, 200), Shelf([old, new, short])).granules == (old,)


def test_the_largest_overlap_must_reach_its_percentage() -> None:
    rows = [granule(100, 130, 1), granule(130, 170, 2)]
    assert taken(select(need("largest_overlap", percent=35.0), period(100, 200), Shelf(rows))) == [130]
    assert taken(select(need("largest_overlap", percent=45.0), period(100, 200), Shelf(rows))) == []


def test_of_neighbours_those_that_are_missing_are_named() -> None:
    """85.35 seconds lie between the granules; ids count tenths, cut off."""
    names = {-1: "NPP000650597445", 0: "NPP000650598298", 1: "NPP000650599152"}
    start = datetime(2013, 11, 14, 0, 10, 30, 300_000, tzinfo=UTC)
    length = timedelta(seconds=85.35)

    def viirs(step: int) -> Candidate:
        begin = start + step * length
        return Candidate(
            id=step + 9, product="AAA01", key=f"NPP/X/{names[step]}", platform="NPP", start=begin, end=begin + length
        )

    mine = Period(key=names[0], platform="NPP", start=start, end=start + length)
    rule = need("neighbours", seconds=85.35)
    assert select(rule, mine, Shelf([viirs(0), viirs(1)])).expected == (names[-1],)
    assert select(rule, mine, Shelf([viirs(0)])).expected == (names[-1], names[1])
    assert select(rule, mine, Shelf(map(viirs, names))).full
    few = need("neighbours", seconds=85.35, min_count=2)
    found = select(few, mine, Shelf([viirs(0), viirs(1)]))
    assert (found.have, found.need, found.enough, found.full) == (2, 3, True, False)


def test_granule_ids_tell_more_than_times() -> None:
    """A granule of another id is another one, however near in time it began."""
    mine = Period(key="NPP000650598298", platform="NPP", start=at(0), end=at(85))
    near = granule(0.5, 85, 1, key="NPP/GEO/NPP000650598299")
    right = granule(3.0, 85, 2, key="NPP/GEO/NPP000650598298")
    assert select(need("same_granule", seconds=85.35), mine, Shelf([near])).granules == ()
    assert select(need("same_granule", seconds=85.35), mine, Shelf([near, right])).granules == (right,)


def test_an_instance_for_a_granule_takes_that_granule_alone_though_another_was_taken_at_the_same_second() -> None:
    parts = [granule(0, 4, n, key=f"strip/PART_P00{n}") for n in (1, 2)]
    for part in parts:
        mine = period(0, 4, key=period_name(part.key))
        assert select(need("same_granule", anchor=True), mine, Shelf(parts)).granules == (part,)


@pytest.mark.req("G12")
def test_a_jpss_granule_that_makes_periods_is_complete_with_one_of_each_of_its_products() -> None:
    name = "NPP000650598298"
    mine = period(0, 85, key=name)
    rows = [
        granule(0, 85, n, product=product, key=f"NPP/{product}/{name}") for n, product in enumerate(("BBB02", "AAA01"))
    ]
    rule = need("same_granule", anchor=True, products=("AAA01", "BBB02"))
    half = select(rule, mine, Shelf(rows[:1]))
    assert (half.have, half.need, half.enough, half.expected) == (1, 2, False, (name,))
    assert [each.product for each in select(rule, mine, Shelf(rows)).granules] == ["AAA01", "BBB02"]


@pytest.mark.req("G12")
def test_the_latest_valid_before_the_period_is_no_older_than_allowed_and_never_younger() -> None:
    rows = [granule(start, start + 10, n) for n, start in enumerate((-900, -300, -200, 50))]
    rule = need("latest_before", kind="ancillary", before_seconds=600)
    assert taken(select(rule, period(0, 99), Shelf(rows))) == [-200]
    assert taken(select(rule, period(0, 99), Shelf([rows[1], rows[3]]))) == [-300]
    assert taken(select(rule, period(0, 99), Shelf([rows[0], rows[3]]))) == []


def test_another_platform_serves_ancillary_inputs_alone() -> None:
    other = granule(0, 99, 1, platform="J01")
    assert select(need("valintersect"), period(0, 99), Shelf([other])).have == 0
    assert select(need("valintersect", kind="ancillary"), period(0, 99), Shelf([other])).have == 1


def test_same_granule_wants_one_of_each_product_and_the_others_choose_among_all() -> None:
    rows = [granule(0, 99, 1), granule(0, 99, 2, product="BBB02")]
    products = ("AAA01", "BBB02")
    assert select(need("same_granule", products=products), period(0, 99), Shelf(rows)).full
    half = select(need("same_granule", products=products), period(0, 99), Shelf(rows[:1]))
    assert (half.have, half.need, half.enough) == (1, 2, False)
    assert select(need("latest_created", products=products), period(0, 99), Shelf(rows)).have == 1


def test_a_later_alternative_serves_but_leaves_the_better_one_awaited() -> None:
    rule = PgeInput(name="geo", alternatives=(("AAA01",), ("BBB02",)))
    both = Need(input=rule, choices=((("AAA01",),), (("BBB02",),)))
    second = granule(0, 99, 2, product="BBB02")
    found = select(both, period(0, 99), Shelf([second]))
    assert found.granules == (second,) and found.enough and not found.full
    found = select(both, period(0, 99), Shelf([second, granule(0, 99, 1)]))
    assert found.granules[0].product == "AAA01" and found.full


def test_an_orbit_takes_the_granules_that_bear_its_number() -> None:
    rows = [granule(n * 100.0, n * 100.0 + 99.0, n + 1, orbit=7 if n < 3 else 8) for n in range(5)]
    rule = replace(need("all"), slack_seconds=7_200.0)
    assert taken(select(rule, period(0, 99, orbit=7), Shelf(rows))) == [0, 100, 200]


def test_granules_in_a_row_are_complete_when_all_are_there_and_serve_from_mincover_on() -> None:
    mine = period(0, 400, size=4)
    rows = [granule(n * 100.0 + 1.5, n * 100.0 + 101.0, n + 1) for n in range(-1, 5)]
    found = select(need("all", seconds=100.0), mine, Shelf(rows))
    assert taken(found) == [1.5, 101.5, 201.5, 301.5] and found.full
    assert not select(need("all", seconds=100.0), mine, Shelf(rows[:4])).enough
    found = select(need("all", seconds=100.0, min_count=2), mine, Shelf(rows[:4]))
    assert found.enough and not found.full


@pytest.mark.parametrize(
    ("spans", "percent"),
    [
        ([(0, 100)], 100),
        ([(0, 49.5), (50.5, 100)], 100),
        ([(0, 40), (60, 100)], 80),
        ([], 0),
        ([(10, 30), (20, 40)], 30),
    ],
)
def test_coverage_forgives_a_scan_between_granules_and_nothing_more(
    spans: list[tuple[float, float]], percent: float
) -> None:
    assert covered_percent(at(0), at(100), [granule(*span) for span in spans]) == pytest.approx(percent)


_SPANS = st.tuples(st.integers(-600, 1_000), st.integers(0, 400))
_GRANULES = st.lists(
    st.builds(
        lambda span, number, made, product: granule(
            float(span[0]),
            float(span[0] + span[1]),
            number,
            product=product,
            key=f"any/{number}",
            created=None if made is None else at(made),
        ),
        _SPANS,
        st.integers(1, 10_000),
        st.none() | st.integers(0, 3),
        st.sampled_from(["AAA01", "BBB02", "CCC03"]),
    ),
    max_size=12,
    unique_by=lambda each: each.id,
)


@given(_GRANULES, st.sampled_from(POLICIES), st.randoms(), _SPANS, st.booleans())
@pytest.mark.req("G12")
def test_the_order_of_arrival_never_matters(
    rows: list[Candidate], policy: str, chance: Any, span: tuple[int, int], optional: bool
) -> None:
    mine = period(span[0], span[0] + span[1])
    rule = need(policy, products=("AAA01", "BBB02"), seconds=100.0, optional=optional)
    found = select(rule, mine, Shelf(rows))
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert select(rule, mine, Shelf(shuffled)) == found


@given(_GRANULES, st.sampled_from(POLICIES), _SPANS, st.integers(0, 50))
def test_whatever_is_taken_is_admitted_counted_and_inside_the_window(
    rows: list[Candidate], policy: str, span: tuple[int, int], margin: int
) -> None:
    mine = period(span[0], span[0] + span[1])
    rule = need(policy, seconds=100.0, before_seconds=float(margin), after_seconds=float(margin))
    found = select(rule, mine, Shelf(rows))
    start, stop = rule.window(mine)
    assert found.have == len(found.granules) == len({each.id for each in found.granules})
    assert all(each.product == "AAA01" and start <= each.start < stop for each in found.granules)
    assert found.enough or not found.full
    reach_before, reach_after = rule.reach()
    for each in found.granules:  # so planning finds the instance again when such a granule arrives
        assert each.start - reach_before <= mine.end and each.end + reach_after >= mine.start


@given(_GRANULES, st.sampled_from(POLICIES), _SPANS)
def test_more_granules_never_make_an_input_worse(rows: list[Candidate], policy: str, span: tuple[int, int]) -> None:
    mine = period(span[0], span[0] + span[1])
    rule = need(policy, seconds=100.0)
    for count in range(len(rows)):
        fewer, more = (select(rule, mine, Shelf(rows[: count + extra])) for extra in (0, 1))
        assert more.enough >= fewer.enough


@given(st.text(max_size=150), st.text(max_size=150))
def test_the_name_of_a_period_fits_file_names_and_tells_granules_apart(one: str, other: str) -> None:
    keys = [f"user/{one}", f"user/{other}"]
    names = [period_name(key) for key in keys]
    assert all(
        name and set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-") for name in names
    )
    assert all(name[0] not in "_+-" and len(name) <= 120 for name in names)
    assert (names[0] == names[1]) is (keys[0] == keys[1])
