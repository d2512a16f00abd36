"""When a strip was taken, as the parts of its name tell, and whether they tell the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from orbitory.names.idps import idps_time

#: Vendors round where archives truncate, so a second is no contradiction; IKONOS was renamed by the minute.
_TOLERANCE = timedelta(seconds=1)
_IKONOS_TOLERANCE = timedelta(minutes=1)
#: From the first moment of a day to its last.
_DAY = timedelta(days=1, microseconds=-1)
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
#: Years are written with two digits; the first of these satellites flew in 1999.
_FIRST_YEAR = 90


@dataclass(frozen=True, slots=True)
class Taken:
    """A moment, or the day of which nothing more is told."""

    start: datetime
    end: datetime

    @property
    def is_moment(self) -> bool:
        """Whether a time of day is told."""
        return self.start == self.end

    def agrees(self, other: Taken, tolerance: timedelta) -> bool:
        """Whether both can mean one moment."""
        return self.start - tolerance <= other.end and other.start - tolerance <= self.end


def times(parts: Mapping[str, str]) -> tuple[Taken | None, Taken | None, bool]:
    """When it was taken, when the vendor's own part of the name says so if that was renamed, and whether all agree.

    An archive's time goes before the vendor's, and a vendor's time before the date that NGA puts before it. Raises
    DataError ``time`` for a part that is no date or time.
    """
    renamed = _moment(parts["time"][:8], parts["time"][8:]) if "time" in parts else None
    vendor, head = _vendor_time(parts), None
    if "head" in parts:
        day, month, year = parts["head"][:2], parts["head"][2:5], parts["head"][5:]
        head = _day(year, month, day)
    told = [each for each in (renamed, vendor, head) if each]
    tolerance = _IKONOS_TOLERANCE if parts["form"] == "renamed_ik" else _TOLERANCE
    agree = all(told[0].agrees(each, tolerance) for each in told[1:])
    return (told[0] if told else None), (vendor if renamed else None), agree


def _vendor_time(parts: Mapping[str, str]) -> Taken | None:
    if stamp := parts.get("stamp"):
        return _moment(_date(stamp[:2], stamp[2:5], stamp[5:7]), stamp[7:])
    if date := parts.get("date"):
        return _day(date[:2], date[2:4], date[4:])
    if parts["form"] in ("renamed_ik", "renamed_ik2"):  # an image id of IKONOS begins with its time
        return _moment(parts["catalog"][:8], parts["catalog"][8:14])
    return None


def _moment(date: str, clock: str) -> Taken:
    moment = idps_time(date, clock)
    return Taken(moment, moment)


def _day(year: str, month: str, day: str) -> Taken:
    start = idps_time(_date(year, month, day), "000000")
    return Taken(start, start + _DAY)


def _date(year: str, month: str, day: str) -> str:
    """``YYYYMMDD`` of two digits of a year, an English or numeric month, and a day."""
    number = month if month.isdigit() else f"{MONTHS.index(month.upper()) + 1:02}"
    return f"{19 if int(year) >= _FIRST_YEAR else 20}{year}{number}{day}"
