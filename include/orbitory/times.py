"""Time scales of the field: IET to UTC with an own leap-second table, granule ids, dates as text.

IET (IDPS Epoch Time) counts microseconds of TAI since 1958-01-01, so it runs ahead of UTC by the leap seconds: 35 s in
2013, 37 s since 2017 (DOMAIN: JPSS CDFCB-X volume I; checked with real granules). UTC before 1972 had no whole leap
seconds and no file here comes from then: it is refused, as fill values (0, -993, 1958-01-01) are.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from datetime import UTC, datetime, timedelta

from orbitory.errors import DataError

EPOCH = datetime(1958, 1, 1, tzinfo=UTC)
SECOND_US = 1_000_000
#: Length of a VIIRS granule and of a spacecraft diary granule (CDFCB-X volume I, table 3.5.12-1).
VIIRS_GRANULE_US = 85_350_000
DIARY_GRANULE_US = 20_000_000
#: IET from which granule numbers of S-NPP and JPSS count (same table).
GRANULE_BASE_US = 1_698_019_234_000_000

# Days on which TAI - UTC became 10, 11, … 37 s (IERS Bulletin C; none has been announced since 2017).
# fmt: off
_STEPS = (
    "1972-01-01", "1972-07-01", "1973-01-01", "1974-01-01", "1975-01-01", "1976-01-01", "1977-01-01",
    "1978-01-01", "1979-01-01", "1980-01-01", "1981-07-01", "1982-07-01", "1983-07-01", "1985-07-01",
    "1988-01-01", "1990-01-01", "1991-01-01", "1992-07-01", "1993-07-01", "1994-07-01", "1996-01-01",
    "1997-07-01", "1999-01-01", "2006-01-01", "2009-01-01", "2012-07-01", "2015-07-01", "2017-01-01",
)
# fmt: on
_FIRST_OFFSET = 10
_MICROSECOND = timedelta(microseconds=1)
_STEP_DAYS = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in _STEPS]
_STEP_UTC_US = [(day - EPOCH) // _MICROSECOND for day in _STEP_DAYS]
_STEP_IET_US = [us + (_FIRST_OFFSET + n) * SECOND_US for n, us in enumerate(_STEP_UTC_US)]
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII)
_TIME = re.compile(r"(\d{2})(\d{2})(\d{2})(?:\.(\d{1,6}))?Z?", re.ASCII)


def tai_minus_utc(moment: datetime) -> int:
    """Leap seconds (whole seconds by which TAI is ahead) at ``moment``.

    >>> tai_minus_utc(datetime(2013, 11, 14, tzinfo=UTC)), tai_minus_utc(datetime(2018, 1, 1, tzinfo=UTC))
    (35, 37)
    """
    row = bisect_right(_STEP_DAYS, moment) - 1
    if row < 0:
        raise DataError("time", f"{moment.isoformat()} is before 1972-01-01, when leap seconds begin")
    return _FIRST_OFFSET + row


def utc_from_iet(iet_us: int) -> datetime:
    """UTC of an IET. An instant inside a leap second becomes the last microsecond before midnight, so order is kept.

    Raises DataError("time") for fill values, for what is before 1972, and for what no calendar holds.

    >>> utc_from_iet(1763079149528149).isoformat()
    '2013-11-14T00:11:54.528149+00:00'
    """
    row = bisect_right(_STEP_IET_US, iet_us) - 1
    if row < 0:
        raise DataError("time", f"IET {iet_us} is before 1972-01-01: a fill value, or not microseconds since 1958")
    utc_us = iet_us - (_FIRST_OFFSET + row) * SECOND_US
    if row + 1 < len(_STEP_UTC_US):
        utc_us = min(utc_us, _STEP_UTC_US[row + 1] - 1)
    try:
        return EPOCH + timedelta(microseconds=utc_us)
    except OverflowError:
        raise DataError("time", f"IET {iet_us} lies beyond the year 9999: expected microseconds since 1958") from None


def iet_from_utc(moment: datetime) -> int:
    """IET (µs since 1958-01-01 TAI) of an aware ``moment``; the inverse of ``utc_from_iet`` outside leap seconds.

    >>> iet_from_utc(datetime(2013, 11, 14, 0, 11, 54, 528149, tzinfo=UTC))
    1763079149528149
    """
    if moment.utcoffset() is None:
        raise ValueError(f"expected a timezone-aware time, got {moment!r}")
    return (moment - EPOCH) // _MICROSECOND + tai_minus_utc(moment) * SECOND_US


def granule_boundary(iet_us: int, granule_us: int) -> int:
    """IET at which the granule that holds ``iet_us`` begins.

    >>> granule_boundary(2112504636060127, VIIRS_GRANULE_US)
    2112504609700000
    """
    return GRANULE_BASE_US + (iet_us - GRANULE_BASE_US) // granule_us * granule_us


def granule_id(platform_code: str, iet_us: int, granule_us: int) -> str:
    """N_Granule_ID of the granule that holds ``iet_us``: platform and tenths of seconds since the base time.

    >>> granule_id("NPP", 1763079065352482, VIIRS_GRANULE_US)
    'NPP000650598298'
    """
    tenths = (granule_boundary(iet_us, granule_us) - GRANULE_BASE_US) // 100_000
    if not 0 <= tenths < 10**12:
        raise DataError("time", f"IET {iet_us} is before the base time {GRANULE_BASE_US} of granule ids")
    return f"{platform_code}{tenths:012d}"


def utc_from_text(date: str, time: str) -> datetime:
    """UTC of IDPS texts ``YYYYMMDD`` and ``HHMMSS.ffffffZ``. A leap second (``235960``) becomes 23:59:59.999999.

    Raises DataError("time") for anything else, and for dates before 1972 (IDPS writes 1958-01-01 where it has none).

    >>> utc_from_text("20131114", "001154.528149Z").isoformat()
    '2013-11-14T00:11:54.528149+00:00'
    """
    day, clock = _DATE.fullmatch(date.strip()), _TIME.fullmatch(time.strip())
    if day is None or clock is None:
        raise DataError("time", f"expected YYYYMMDD and HHMMSS.ffffffZ, got {date!r} and {time!r}")
    hour, minute, second = (int(part) for part in clock.group(1, 2, 3))
    micro = int((clock[4] or "0").ljust(6, "0"))
    if second == 60 and (hour, minute) == (23, 59):
        second, micro = 59, 999_999
    try:
        moment = datetime(int(day[1]), int(day[2]), int(day[3]), hour, minute, second, micro, tzinfo=UTC)
    except ValueError as error:
        raise DataError("time", f"{date!r} {time!r} is no time: {error}") from None
    if moment < _STEP_DAYS[0]:
        raise DataError("time", f"{date!r} {time!r} is before 1972: a fill value")
    return moment
