"""Rules and lists of a removal: what cannot be meant is refused, and no rule is about everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitory.errors import ConfigurationError
from orbitory.removal import Selection
from orbitory.removal.rules import FIELDS, parse


@pytest.mark.req("N10")
@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("", "a condition"),
        ("sensor", "a condition"),
        ("sensor = ", "a condition"),
        ("sensor = WV02 or sensor = WV01", "`and`"),
        ("sensor = WV02 and", "`and`|a condition"),
        ("sensor = WV02; drop table granule", "`and`"),
        ("sensor = WV 02", "`and`"),
        ("sensors = WV02", "no field 'sensors'"),
        ("sensor > WV02", "=, != and ~ alone"),
        ("cloudcover ~ 0*", "only text"),
        ("cloudcover > much", "is no number"),
        ("cloudcover > NaN", "is no number"),
        ("cloudcover > 1e9", "is no number"),
        ("sensed < yesterday", "is not a time"),
        ("key = " + "x" * 5000, "at most 4000"),
    ],
)
def test_a_rule_that_cannot_be_read_is_refused_and_says_where(rule: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        parse(rule)


@given(st.text(max_size=80))
def test_no_text_whatever_breaks_the_reader_of_rules(text: str) -> None:
    try:
        conditions = parse(text)
    except ConfigurationError:
        return
    assert conditions and {each["field"] for each in conditions} <= set(FIELDS)


@pytest.mark.req("N10")
@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "list"},
        {"kind": "rule"},
        {"kind": "all"},
        {"kind": "duplicates", "rule": "sensor = WV02"},
        {"kind": "duplicates", "names": ("a",)},
        {"kind": "rule", "rule": "year < 2000", "names": ("a",)},
    ],
    ids=lambda asked: " ".join(asked),
)
def test_a_removal_of_everything_or_of_two_things_cannot_be_asked_for(asked: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Selection(**asked)  # type: ignore[arg-type]


def test_a_selection_survives_being_kept() -> None:
    asked = Selection(kind="list", sensors=("WV02",), names=("a", "b"))
    assert Selection.of_dict(asked.as_dict()) == asked
