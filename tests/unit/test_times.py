"""Time scales: TAI counts every second, UTC does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import resources

import pytest

from orbitory.errors import DataError
from orbitory.times import (
    VIIRS_GRANULE_US,
    granule_boundary,
    granule_id,
    iet_from_utc,
    tai_minus_utc,
    utc_from_iet,
    utc_from_text,
)

SECOND = 1_000_000
NEW_YEAR_2017 = datetime(2017, 1, 1, tzinfo=UTC)


def test_a_real_viirs_granule_begins_when_its_attributes_say() -> None:
    assert utc_from_iet(1763079149528149) == utc_from_text("20131114", "001154.528149Z")


@pytest.mark.parametrize(
    ("iet", "date", "clock"),
    [
        (1918859076983966, "20181022", "002359.983966Z"),
        (1918859106783944, "20181022", "002429.783944Z"),
        (1854005476984120, "20161001", "093040.984120Z"),
        (1918858978351404, "20181022", "002221.351404Z"),
    ],
)
def test_iet_and_text_of_real_granules_agree_to_the_microsecond(iet: int, date: str, clock: str) -> None:
    moment = utc_from_text(date, clock)
    assert utc_from_iet(iet) == moment
    assert iet_from_utc(moment) == iet


@pytest.mark.parametrize(("year", "seconds"), [(1972, 10), (1999, 32), (2012, 34), (2013, 35), (2016, 36), (2017, 37)])
def test_leap_seconds_at_the_beginning_of_a_year(year: int, seconds: int) -> None:
    assert tai_minus_utc(datetime(year, 1, 1, tzinfo=UTC)) == seconds


@pytest.mark.fault("F44", how="every leap second, 2016-12-31T23:59:60 too")
def test_every_leap_second_since_1972_is_the_one_the_time_zone_database_knows() -> None:
    lines = resources.files("tzdata").joinpath("zoneinfo", "leapseconds").read_text().splitlines()
    leaps = [
        datetime.strptime(" ".join(line.split()[1:4]) + " +0000", "%Y %b %d %z") for line in lines if line[:4] == "Leap"
    ]
    assert len(leaps) == 27
    for number, day in enumerate(leaps):
        assert tai_minus_utc(day + timedelta(hours=23, minutes=59, seconds=59)) == 10 + number
        assert tai_minus_utc(day + timedelta(days=1)) == 11 + number


def test_a_leap_second_is_the_last_microsecond_before_midnight_and_order_is_kept() -> None:
    midnight = iet_from_utc(NEW_YEAR_2017)
    assert utc_from_iet(midnight) == NEW_YEAR_2017
    steps = [utc_from_iet(midnight + offset) for offset in range(-2 * SECOND, 2 * SECOND, 50_000)]
    assert steps == sorted(steps)
    assert utc_from_iet(midnight - SECOND // 2) == datetime(2016, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert utc_from_iet(midnight - SECOND - 1) == datetime(2016, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert utc_from_text("20161231", "235960.500000Z") == datetime(2016, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


@pytest.mark.fault("F44", how="the years 1972, 2036 and 2038")
@pytest.mark.parametrize("year", [1972, 2000, 2016, 2017, 2036, 2038, 2100])
def test_there_and_back_is_exact_outside_leap_seconds(year: int) -> None:
    moment = datetime(year, 2, 28, 23, 59, 59, 123457, tzinfo=UTC)
    for offset in range(5):
        later = moment + timedelta(hours=offset)
        assert utc_from_iet(iet_from_utc(later)) == later


@pytest.mark.fault("F44", how="IET 0, −993, and beyond any time")
@pytest.mark.parametrize("iet", [0, -993, -999, 1, 10**6 * 86_400, 2**63, 2**64 - 1, 2**64 - 8])
def test_fill_values_and_impossible_counts_are_refused_as_time(iet: int) -> None:
    with pytest.raises(DataError) as refused:
        utc_from_iet(iet)
    assert refused.value.code == "time"


@pytest.mark.fault("F44", how="texts that are no time")
@pytest.mark.parametrize(
    ("date", "clock"),
    [
        ("19580101", "000000.000000Z"),
        ("N/A", "N/A"),
        ("20131332", "001154.5Z"),
        ("20130229", "001154.5Z"),
        ("20131114", "251154.5Z"),
        ("20131114", "120060.5Z"),
        ("20131114", "00:11:54"),
        ("", ""),
        ("２０131114", "001154.5Z"),
    ],
)
def test_texts_that_are_no_time_are_refused_as_time(date: str, clock: str) -> None:
    with pytest.raises(DataError) as refused:
        utc_from_text(date, clock)
    assert refused.value.code == "time"


@pytest.mark.req("I16")
def test_a_naive_time_is_a_bug_not_a_date() -> None:
    with pytest.raises(ValueError, match="timezone-aware"):
        iet_from_utc(datetime(2013, 11, 14))  # noqa: DTZ001 - what must be refused


def test_granule_ids_follow_the_published_arithmetic() -> None:
    start = iet_from_utc(utc_from_text("20131114", "001030.352482Z"))
    assert granule_boundary(2112504636060127, VIIRS_GRANULE_US) == 2112504609700000
    assert granule_id("NPP", start, VIIRS_GRANULE_US) == "NPP000650598298"
    assert granule_id("NPP", start + VIIRS_GRANULE_US, VIIRS_GRANULE_US) == "NPP000650599152"
    assert granule_id("J01", 1918859076983966, 31_997_000).startswith("J01002208")


def test_a_time_before_the_base_has_no_granule_id() -> None:
    with pytest.raises(DataError) as refused:
        granule_id("NPP", iet_from_utc(datetime(2010, 1, 1, tzinfo=UTC)), VIIRS_GRANULE_US)
    assert refused.value.code == "time"
