"""The score of an image and the choice among its orders: pure, explainable, the same in any order."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitory.mfp import Parameters
from orbitory.mfp.choice import Candidate, choose, quality, rank
from orbitory.mfp.explain import cause
from orbitory.mfp.score import MISSING, Attributes, Score, score

DEFAULTS = Parameters()
JULY = datetime(2015, 7, 15, tzinfo=UTC)


def attributes(**values: object) -> Attributes:
    told: dict[str, object] = {"sensor": "WV02", "prod_code": "P1BS", "cloudcover": 0.1, "sun_elev": 45.0}
    return Attributes(**{**told, "off_nadir": 9.0, "acq_time": JULY, **values})  # type: ignore[arg-type]


@pytest.mark.req("N9")
def test_the_score_is_the_formula_of_pgc_term_by_term() -> None:
    """imagery_utils lib/mosaic.py: 48 (1 - cloud) + 28 sun / 90 + 24 (90 - off-nadir) / 90."""
    judged = score(attributes(), DEFAULTS)
    assert {term.name: term.points for term in judged.terms} == pytest.approx(
        {"cloud": 43.2, "sun": 14.0, "off-nadir": 21.6}
    )
    assert judged.total == pytest.approx(78.8) and judged.rejected is None
    best = score(attributes(cloudcover=0.0, sun_elev=90.0, off_nadir=0.0), DEFAULTS)
    assert best.total == 100


def test_with_a_target_day_the_day_of_the_year_weighs_most() -> None:
    """The weights 30, 10, 5 and 55; the farthest day is half a year away."""
    same = score(attributes(), DEFAULTS.changed(target_day="07-15"))
    assert same.total == pytest.approx(30 * 0.9 + 10 * 0.5 + 5 * 0.9 + 55)
    other = score(attributes(acq_time=JULY - timedelta(days=183)), DEFAULTS.changed(target_day="07-15"))
    assert other.total == pytest.approx(30 * 0.9 + 10 * 0.5 + 5 * 0.9, abs=0.4)
    assert score(attributes(acq_time=None), DEFAULTS.changed(target_day="07-15")).total == MISSING


@pytest.mark.parametrize("name", ["cloudcover", "sun_elev", "off_nadir"])
@pytest.mark.parametrize("value", [None, float("nan")])
def test_what_is_not_known_is_minus_one_and_never_silently_zero(name: str, value: float | None) -> None:
    judged = score(attributes(**{name: value}), DEFAULTS)
    assert judged == Score(total=MISSING, rejected=f"not known: {name}")


@pytest.mark.parametrize("value", [-999.0, -0.1, 1.01, 37.0])
def test_a_cloud_cover_that_is_no_fraction_counts_as_the_most_allowed(value: float) -> None:
    assert score(attributes(cloudcover=value), DEFAULTS) == score(attributes(cloudcover=0.5), DEFAULTS)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"cloudcover": 0.51}, "cloud cover 0.51 is above 0.5"),
        ({"sun_elev": 1.9}, "sun elevation 1.9° is below 2°"),
        ({"tdi": 32}, "over-exposed: TDI 32 at 45° of sun is above 1400"),
        ({"tdi": 10, "prod_code": "M1BS"}, "over-exposed: TDI 10 at 45° of sun is above 400"),
        ({"tdi": 13, "sensor": "QB02"}, "over-exposed: TDI 13 at 45° of sun is above 500"),
        ({"tdi": 4, "sensor": "GE01", "prod_code": "M1BS"}, "over-exposed: TDI 4 at 45° of sun is above 170"),
        ({"tdi": 1, "sensor": "QB02", "prod_code": "M1BS"}, "over-exposed: TDI 1 at 45° of sun is above 25"),
        ({"tdi": 31}, None),
        ({"tdi": 99, "sensor": "IK01"}, None),
        ({"cloudcover": 0.5, "sun_elev": 2.0}, None),
    ],
)
def test_an_image_is_rejected_for_cloud_low_sun_or_exposure(values: dict[str, object], why: str | None) -> None:
    judged = score(attributes(**values), DEFAULTS)
    assert judged.rejected == why and judged.total > 0


def candidate(number: int, **values: object) -> Candidate:
    told: dict[str, object] = {"score": Score(total=50.0), "order": f"{number:012}_01_P001", "key": f"strip/{number}"}
    return Candidate(id=number, **{**told, **values})  # type: ignore[arg-type]


def test_ties_are_decided_by_generation_then_area_then_the_smaller_order() -> None:
    newer = candidate(3, generated=JULY)
    larger = candidate(2, area_km2=2.0)
    plain = candidate(1, area_km2=1.0)
    plainer = candidate(4, area_km2=1.0)
    rejected = candidate(0, score=Score(total=99.0, rejected="cloud"))
    unknown = candidate(5, score=Score(total=MISSING, rejected="not known: sun_elev"))
    ranked = [newer, larger, plain, plainer, rejected, unknown]
    for shuffled in itertools.permutations(ranked):
        assert sorted(shuffled, key=rank) == ranked


def test_a_chain_keeps_its_best_and_what_that_does_not_show() -> None:
    a, b, c = (candidate(n, score=Score(total=60.0 - n)) for n in (1, 2, 3))
    lost = choose([a, b, c], {(1, 2), (2, 1), (2, 3), (3, 2)})
    assert {number: loss.keeper for number, loss in lost.items()} == {2: 1}


@pytest.mark.req("N5")
def test_a_whole_image_never_stands_aside_for_a_better_part_of_it() -> None:
    part, whole = (candidate(n, score=Score(total=60.0 - n)) for n in (1, 2))
    assert choose([part, whole], {(1, 2)}) == {}
    worse_part = candidate(3, score=Score(total=10.0))
    assert choose([whole, worse_part], {(3, 2)})[3].keeper == 2


@pytest.mark.req("N5")
def test_of_a_whole_image_and_a_newer_part_that_is_no_better_the_whole_stays() -> None:
    whole = candidate(1, area_km2=134.0)
    clip, smaller = (candidate(n, area_km2=area, generated=JULY) for n, area in ((2, 30.0), (3, 5.0)))
    shown = {(2, 1), (3, 1), (3, 2)}
    for shuffled in itertools.permutations([whole, clip, smaller]):
        assert {number: loss.keeper for number, loss in choose(shuffled, shown).items()} == {2: 1, 3: 1}
    assert "is but a part, 30.0 of 134.0 km²" in cause(whole, clip, won=True)


@pytest.mark.req("N15")
def test_a_choice_among_a_hundred_thousand_pairs_takes_seconds() -> None:
    """Quadratic, it took five minutes for a tenth of them."""
    count = 200_000
    candidates = [candidate(n, score=Score(total=float(n * 7919 % 1000))) for n in range(count)]
    pairs = {pair for n in range(0, count, 2) for pair in ((n, n + 1), (n + 1, n))}
    began = time.process_time()
    assert len(choose(candidates, pairs)) == count // 2
    assert time.process_time() - began < 20


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[Candidate], set[tuple[int, int]]]:
    count = draw(st.integers(1, 8))
    scores = st.builds(Score, total=st.sampled_from([MISSING, 10.0, 50.0]), rejected=st.sampled_from([None, "cloud"]))
    made = [
        candidate(
            number,
            score=draw(scores),
            order=draw(st.sampled_from(["", "052869840050_01_P002", "500060999100_01_P002"])),
            generated=draw(st.sampled_from([None, JULY, JULY + timedelta(days=1)])),
            area_km2=draw(st.sampled_from([None, float("nan"), 1.0, 2.0])),
        )
        for number in range(count)
    ]
    pairs = draw(st.sets(st.sampled_from(list(itertools.permutations(range(count), 2)) or [(0, 0)])))
    return made, {pair for pair in pairs if pair[0] != pair[1]}


@pytest.mark.req("N9")
@given(groups(), st.randoms(use_true_random=False))
def test_the_choice_never_depends_on_the_order_of_the_candidates(
    group: tuple[list[Candidate], set[tuple[int, int]]], random: object
) -> None:
    candidates, shown = group
    expected = choose(candidates, shown)
    shuffled = list(candidates)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert choose(shuffled, shown) == expected


@given(groups())
def test_the_ground_of_every_loser_is_shown_by_its_keeper_which_is_kept_and_no_worse(
    group: tuple[list[Candidate], set[tuple[int, int]]],
) -> None:
    candidates, shown = group
    by_id = {each.id: each for each in candidates}
    lost = choose(candidates, shown)
    for number, loss in lost.items():
        assert loss.keeper not in lost
        assert (number, loss.keeper) in shown
        assert quality(by_id[loss.keeper]) <= quality(by_id[number])
        assert loss.reason in ("re-order", "re-delivery")
    kept = set(by_id) - set(lost)
    assert not any(quality(by_id[b]) < quality(by_id[a]) for a, b in shown if {a, b} <= kept)
