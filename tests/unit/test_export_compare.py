"""Two streams of granules are merged into their differences, whatever they hold and however long they are."""

from __future__ import annotations

from itertools import groupby

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from orbitory.export.compare import _found

_KEYS = st.sampled_from(["a", "aé", "b", "b/c", "z"])
_ROW = st.tuples(_KEYS, st.integers(0, 1), st.sampled_from([None, 1, 2]), st.integers(0, 2), st.integers(0, 2))
#: here: why it stays; there: what the newest export has left
_HERE = st.lists(st.tuples(_ROW, st.sampled_from([None, None, "held"])), max_size=8)
_THERE = st.lists(st.tuples(_ROW, st.sampled_from([None, 0, 1, 2])), max_size=8)


def stream(rows: list[tuple[tuple[str, int, int | None, int, int], object]], first: int) -> list[tuple[object, ...]]:
    """As the database tells them: in order, of one identity the living row first."""
    told = sorted(rows, key=lambda row: (row[0][0], row[0][1], row[0][2] or 0, row[0][4] > 0))
    return [
        (key, rank, created, digest, first + number, gone, more)
        for number, ((key, rank, created, digest, gone), more) in enumerate(told)
    ]


def found(here: list[tuple[object, ...]], there: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    groups = [((key, list(group)) for key, group in groupby(rows, lambda row: row[0])) for rows in (here, there)]
    return list(_found(groups[0], groups[1], blake3()))  # type: ignore[arg-type]


@given(_HERE, _THERE)
def test_equal_granules_are_no_difference_and_every_other_one_is_told_once(
    one: list[tuple[tuple[str, int, int | None, int, int], object]],
    two: list[tuple[tuple[str, int, int | None, int, int], object]],
) -> None:
    here, there = stream(one, 100), stream(two, 900)
    identities = {row[:3]: row for row in reversed(here)}
    others = {row[:3]: row for row in reversed(there)}
    told = found(here, there)
    numbers = [row[0] for row in told]
    assert len(numbers) == len(set(numbers))
    assert set(numbers) <= {row[4] for row in identities.values()}
    by_number = {row[4]: row for row in identities.values()}
    for number, other, action, digest, before, why in told:
        us = by_number[number]
        them = others.get(us[:3])
        assert digest == us[3]
        assert (other, before) == ((them[4], them[3]) if them else (None, None))
        assert (action == "added") == (action == "added" and them is None)
        if action == "changed":
            assert them is not None
            assert them[6] == them[3] != us[3]  # only what an export has left there as it is may be replaced
        if action in ("added", "changed", "removed"):
            assert us[6] is None
            assert why is None
        else:
            assert why
    silent = [row for row in identities.values() if row[4] not in numbers]
    for row in silent:
        them = others.get(row[:3])
        assert (row[6] is not None and row[5]) or (them is not None and them[3] == row[3])


@given(_HERE)
def test_a_site_differs_from_itself_in_nothing_but_what_stays(
    one: list[tuple[tuple[str, int, int | None, int, int], object]],
) -> None:
    here = stream([(row, None) for row, _ in one], 1)
    assert found(here, [(*row[:6], row[3]) for row in here]) == []
