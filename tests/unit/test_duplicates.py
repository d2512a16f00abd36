"""The duplicate classes: what becomes of a newcomer, whatever came before it."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitory.duplicates import Decision, Edition, Known, Newcomer, Verdict, decide, version_rank

T = datetime(2026, 1, 1, tzinfo=UTC)
A1 = Edition(version_rank("A1"), T)
A1_LATER = Edition(version_rank("A1"), T + timedelta(hours=1))
A2 = Edition(version_rank("A2"), T)


def newcomer(name: str, content: bytes, *granules: tuple[str, Edition]) -> Newcomer:
    return Newcomer(path=f"s/{name}", digest=content, granules=granules or (("g1", A1),))


def run(*arrivals: Newcomer, policy: str = "version", late: str = "archive") -> list[Decision]:
    known = Known()
    return [decide(each, known, policy, late) for each in arrivals]  # type: ignore[arg-type]


def verdicts(*arrivals: Newcomer, policy: str = "version", late: str = "archive") -> list[Verdict]:
    return [decision.verdict for decision in run(*arrivals, policy=policy, late=late)]


def test_versions_are_ordered_by_letter_then_number() -> None:
    assert sorted(["B1", "A10", "A9", "A1", ""], key=version_rank) == ["", "A1", "A9", "A10", "B1"]


def test_the_same_granule_with_the_same_bytes_is_a_duplicate() -> None:
    assert verdicts(newcomer("a", b"1"), newcomer("a", b"1")) == [Verdict.STORE, Verdict.DUPLICATE]


def test_the_same_granule_and_bytes_under_another_name_is_a_duplicate_of_the_stored_one() -> None:
    decisions = run(newcomer("a", b"1"), newcomer("b", b"1"))
    assert decisions[1] == Decision(verdict=Verdict.DUPLICATE, path="s/a")


def test_the_same_bytes_under_another_key_are_kept() -> None:
    assert verdicts(newcomer("a", b"1"), newcomer("b", b"1", ("g2", A1))) == [Verdict.STORE, Verdict.STORE]


@pytest.mark.parametrize("policy", ["error", "version", "replace"])
def test_the_same_name_and_version_with_other_bytes_is_a_conflict(policy: str) -> None:
    decisions = run(newcomer("a", b"1"), newcomer("a", b"2"), policy=policy)
    assert decisions[1] == Decision(verdict=Verdict.CONFLICT, path="s/a")


@pytest.mark.parametrize("edition", [A2, A1_LATER])
def test_a_newer_edition_is_archived_beside_the_old_one(edition: Edition) -> None:
    assert verdicts(newcomer("a", b"1"), newcomer("a2", b"2", ("g1", edition))) == [Verdict.STORE, Verdict.STORE]


def test_a_newer_edition_under_the_same_name_gets_a_place_of_its_own() -> None:
    first, second = run(newcomer("a", b"1"), newcomer("a", b"2", ("g1", A2)))
    assert second.verdict is Verdict.STORE
    assert second.path != first.path


def test_an_older_late_comer_is_archived_or_skipped_by_policy() -> None:
    arrivals = newcomer("a2", b"2", ("g1", A2)), newcomer("a", b"1")
    assert verdicts(*arrivals)[1] is Verdict.STORE
    assert verdicts(*arrivals, late="skip")[1] is Verdict.SKIPPED


def test_an_aggregate_of_known_granules_is_kept_beside_the_single_ones() -> None:
    singles = newcomer("a", b"1"), newcomer("b", b"2", ("g2", A1))
    assert verdicts(*singles, newcomer("ab", b"12", ("g1", A1), ("g2", A1)))[2] is Verdict.STORE


def test_an_aggregate_is_a_duplicate_only_when_one_stored_file_holds_all_its_granules() -> None:
    pair = ("g1", A1), ("g2", A1)
    assert verdicts(newcomer("ab", b"12", *pair), newcomer("again", b"12", *pair))[1] is Verdict.DUPLICATE
    assert verdicts(newcomer("a", b"12"), newcomer("ab", b"12", *pair))[1] is Verdict.STORE


class TestSourcesWithoutVersions:
    """Generic files know no version: the source's policy rules when a name comes again with other content."""

    first = newcomer("a", b"1", ("name", Edition(0)))
    second = newcomer("a", b"2", ("name", Edition(0)))
    third = newcomer("a", b"3", ("name", Edition(0)))

    def test_error_holds_the_newcomer_for_a_person(self) -> None:
        assert verdicts(self.first, self.second, policy="error")[1] is Verdict.CONFLICT

    def test_skip_keeps_the_old_one(self) -> None:
        assert verdicts(self.first, self.second, policy="skip")[1] is Verdict.SKIPPED

    @pytest.mark.parametrize("policy", ["version", "replace"])
    def test_version_and_replace_number_the_editions(self, policy: str) -> None:
        decisions = run(self.first, self.second, self.third, policy=policy)
        assert [decision.granules[0][1].rank for decision in decisions] == [0, 1, 2]
        assert len({decision.path for decision in decisions}) == 3

    def test_the_same_content_again_is_a_duplicate_of_the_edition_that_has_it(self) -> None:
        decisions = run(self.first, self.second, self.first, policy="version")
        assert decisions[2] == Decision(verdict=Verdict.DUPLICATE, path="s/a")


def test_the_stored_editions_do_not_depend_on_the_order_of_arrival() -> None:
    arrivals = [newcomer("a", b"1"), newcomer("b", b"2", ("g1", A2)), newcomer("c", b"3", ("g1", A1_LATER))]
    ends = {
        frozenset((decision.path, decision.granules) for decision in run(*order)) for order in permutations(arrivals)
    }
    assert len(ends) == 1


@given(
    st.lists(
        st.builds(
            newcomer,
            st.sampled_from("abc"),
            st.sampled_from([b"1", b"2", b"3"]),
            st.tuples(st.sampled_from(["g1", "g2"]), st.sampled_from([A1, A2, A1_LATER])),
        ),
        max_size=8,
    ),
    st.sampled_from(["error", "skip", "replace", "version"]),
)
def test_no_path_is_ever_given_to_two_contents(arrivals: list[Newcomer], policy: str) -> None:
    held: dict[str, bytes] = {}
    for arrival, decision in zip(arrivals, run(*arrivals, policy=policy), strict=True):
        if decision.verdict is Verdict.STORE:
            assert decision.path not in held
            held[decision.path] = arrival.digest
        elif decision.verdict is Verdict.DUPLICATE:
            assert held[decision.path] == arrival.digest
