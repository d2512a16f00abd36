"""Texts of metadata files as numbers, times and ids: in their unit and range, or left out and reported."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from orbitory.extract import warning
from orbitory.extract.header import text
from orbitory.model import Finding

#: What the vendors write where they have no value (DigitalGlobe's cloud cover, above all).
_UNKNOWN = frozenset({-999.0, -9999.0})
_LONGEST = 128
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)(.*)", re.ASCII | re.DOTALL)
_TIME = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s?(?:Z|GMT|UTC|[+-]00:?00)?", re.ASCII
)
#: The first commercial satellite of these families (IKONOS) was launched on 1999-09-24.
_FIRST_YEAR = 1999
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_METRES = frozenset({"", "m", "meter", "meters", "metre", "metres"})
_DEGREES = frozenset({"", "deg", "degree", "degrees"})


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of number: its range in the unit it is written in, the units' names, and what it is divided by."""

    low: float
    high: float
    units: frozenset[str] = frozenset({""})
    divisor: float = 1.0
    whole: bool = False


#: DigitalGlobe writes cloud cover as a fraction, GeoEye and IKONOS as per cent (DOMAIN 4.4, units trap).
FRACTION = Kind(0.0, 1.0)
PERCENT = Kind(0.0, 100.0, frozenset({"", "%", "percent"}), divisor=100.0)
LATITUDE = Kind(-90.0, 90.0, _DEGREES)
LONGITUDE = Kind(-180.0, 360.0, _DEGREES)
ELEVATION = Kind(-90.0, 90.0, _DEGREES)
AZIMUTH = Kind(0.0, 360.0, _DEGREES)
OFF_NADIR = Kind(0.0, 90.0, _DEGREES)
SIGNED_ANGLE = Kind(-90.0, 90.0, _DEGREES)
#: Metres on the ground; the coarsest band of these satellites (CAVIS) has 30.
GSD = Kind(0.1, 60.0, _METRES)
HEIGHT = Kind(-500.0, 9_000.0, _METRES)
PIXELS = Kind(1.0, 10_000_000.0, frozenset({"", "pixel", "pixels"}), whole=True)
BITS = Kind(1.0, 64.0, frozenset({"", "bits", "bits per pixel"}), whole=True)
BANDS = Kind(1.0, 64.0, whole=True)
TDI = Kind(1.0, 512.0, whole=True)
#: Millimetres between detectors.
PITCH = Kind(0.0001, 1.0)
SPAN = Kind(0.0, 90.0, _DEGREES)


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant as a vendor wrote it."""

    at: datetime
    #: One for full times, sixty where seconds were left out (IKONOS).
    precision_s: int


class Quantities:
    """Reads values of one metadata file; remembers those that it left out."""

    def __init__(self) -> None:
        """Nothing is wrong yet."""
        self.bad: dict[str, str] = {}

    def leave_out(self, name: str, found: str, why: str) -> None:
        """Report that the text ``found`` for the attribute ``name`` is not used."""
        self.bad.setdefault(name, f"{name} {text(found[:40])!r} {why}")

    def number(self, name: str, kind: Kind, *texts: str | None) -> float | None:
        """The first text that is a known number of this kind, for the attribute ``name``."""
        for found in texts:
            match = _NUMBER.fullmatch(found.strip()) if found and len(found) <= _LONGEST else None
            if not found:
                continue
            value = float(match[1]) if match else math.nan
            if value in _UNKNOWN:
                continue
            if match and match[2].strip(" \t<>").lower() not in kind.units:
                self.leave_out(name, found, f"is not in the unit expected ({', '.join(sorted(kind.units)) or 'none'})")
            elif not kind.low <= value <= kind.high or (kind.whole and value != int(value)):
                self.leave_out(name, found, f"is not a number from {kind.low:g} to {kind.high:g}")
            else:
                return value / kind.divisor
        return None

    def whole(self, name: str, kind: Kind, *texts: str | None) -> int | None:
        """As ``number``, for counts."""
        value = self.number(name, kind, *texts)
        return None if value is None else int(value)

    def moment(self, name: str, *texts: str | None) -> Moment | None:
        """The first text that is an instant. Vendors write UTC, with or without saying so."""
        for found in texts:
            if not found:
                continue
            match = _TIME.fullmatch(found.strip()) if len(found) <= _LONGEST else None
            if match is not None and (moment := _moment(match)) is not None:
                return moment
            self.leave_out(name, found, f"is not a time (UTC) from {_FIRST_YEAR} on")
        return None

    def identifier(self, name: str, *texts: str | None) -> str | None:
        """The first text that is made of letters, digits and ``_.-`` only; zeros alone identify nothing."""
        for found in texts:
            if not found or not found.strip("0_"):
                continue
            if _IDENTIFIER.fullmatch(found):
                return found
            self.leave_out(name, found, "is not an identifier")
        return None

    def findings(self, missing: Iterable[str]) -> list[Finding]:
        """What was left out, and which of the attributes in ``missing`` simply are not there: at most one of each."""
        found = []
        if self.bad:
            reason = "; ".join(self.bad.values())
            hint = (
                "cloud cover is a fraction in DigitalGlobe files, per cent in GeoEye's"
                if "cloudcover" in reason
                else ""
            )
            found.append(warning("bad_value", f"left out: {reason}", hint))
        if absent := [name for name in missing if name not in self.bad]:
            found.append(warning("missing_attribute", f"the metadata do not tell: {', '.join(absent)}"))
        return found


def _moment(match: re.Match[str]) -> Moment | None:
    year, month, day, hour, minute, second = (int(part or 0) for part in match.group(1, 2, 3, 4, 5, 6))
    micro = int((match[7] or "0")[:6].ljust(6, "0"))
    if second == 60 and (hour, minute) == (23, 59):  # a leap second, as in ``times``
        second, micro = 59, 999_999
    try:
        at = datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC)
    except ValueError:
        return None
    return Moment(at, 1 if match[6] else 60) if year >= _FIRST_YEAR else None
