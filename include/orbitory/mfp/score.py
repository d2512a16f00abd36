"""How good one image is: the score by which the best of several orders of it is chosen.

Formula, weights, rejections and exposure limits: PGC imagery_utils ``lib/mosaic.py``, as DOMAIN 4.6 states them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime

from orbitory.mfp import Parameters

#: Weights without a target day, and with one.
_WEIGHTS = {"cloud": 48.0, "sun": 28.0, "off-nadir": 24.0}
_WEIGHTS_OF_DAY = {"cloud": 30.0, "sun": 10.0, "off-nadir": 5.0, "day": 55.0}
#: Half a year: no day is farther from another.
FARTHEST_DAY = 183
#: Lines integrated times sun elevation above which an image is over-exposed.
_EXPOSURE_PAN = {"WV01": 1400.0, "WV02": 1400.0, "WV03": 1400.0, "QB02": 500.0}
_EXPOSURE_MULTI = {"WV02": 400.0, "WV03": 400.0, "GE01": 170.0, "QB02": 25.0}
#: What is scored when something it needs is not known.
MISSING = -1.0
_LEAP_YEAR = 2024


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What is known of one image; None is what nobody tells. Angles in degrees."""

    sensor: str
    prod_code: str
    #: Fraction.
    cloudcover: float | None = None
    sun_elev: float | None = None
    off_nadir: float | None = None
    #: Lines that were integrated.
    tdi: int | None = None
    acq_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One part of a score."""

    name: str
    #: The attribute as it was used.
    value: float
    points: float
    #: Most points that it can give.
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The judgement of one image. An image that is rejected is worse than any that is not."""

    #: 0 to 100, or ``MISSING``.
    total: float
    terms: tuple[Term, ...] = ()
    #: Why it should not be used, in words; None when nothing speaks against it.
    rejected: str | None = None


def score(attributes: Attributes, parameters: Parameters) -> Score:
    """Judge one image by its attributes alone. A missing attribute is −1 in all, never silently 0."""
    cloud, sun = _cloud(attributes.cloudcover, parameters), _angle(attributes.sun_elev)
    aside = _angle(attributes.off_nadir)
    needed: dict[str, object] = {"cloudcover": cloud, "sun_elev": sun, "off_nadir": aside}
    if parameters.target_day is not None:
        needed["acq_time"] = attributes.acq_time
    if missing := [name for name, value in needed.items() if value is None]:
        return Score(total=MISSING, rejected=f"not known: {', '.join(missing)}")
    assert cloud is not None and sun is not None and aside is not None
    weights = _WEIGHTS if parameters.target_day is None else _WEIGHTS_OF_DAY
    shares = {
        "cloud": (cloud, 1 - cloud),
        "sun": (sun, sun / 90),
        "off-nadir": (abs(aside), (90 - abs(aside)) / 90),
    }
    if parameters.target_day is not None and attributes.acq_time is not None:
        days = _days_apart(attributes.acq_time, parameters.target_day)
        shares["day"] = (float(days), (FARTHEST_DAY - days) / FARTHEST_DAY)
    terms = tuple(
        Term(name=name, value=value, points=weights[name] * share, most=weights[name])
        for name, (value, share) in shares.items()
    )
    total = round(math.fsum(term.points for term in terms), 6)
    return Score(total=total, terms=terms, rejected=_rejected(attributes, cloud, sun, parameters))


def _cloud(value: float | None, parameters: Parameters) -> float | None:
    """As given; what is no fraction counts as the most that is allowed."""
    if value is None or math.isnan(value):
        return None
    return value if 0 <= value <= 1 else parameters.max_cloud


def _angle(value: float | None) -> float | None:
    """In −90 to 90 degrees; what is none (−999, NaN) is not known."""
    return value if value is not None and -90 <= value <= 90 else None


def _days_apart(moment: datetime, target_day: str) -> int:
    """Days between the days of the year, the shorter way round it.

    >>> from datetime import UTC
    >>> _days_apart(datetime(2012, 12, 31, tzinfo=UTC), "01-02")
    2
    """
    month, day = (int(part) for part in target_day.split("-"))
    apart = abs((date(_LEAP_YEAR, moment.month, moment.day) - date(_LEAP_YEAR, month, day)).days)
    return min(apart, 366 - apart)


def _rejected(attributes: Attributes, cloud: float, sun: float, parameters: Parameters) -> str | None:
    if cloud > parameters.max_cloud:
        return f"cloud cover {cloud:.3g} is above {parameters.max_cloud:.3g}"
    if sun < parameters.min_sun:
        return f"sun elevation {sun:.3g}° is below {parameters.min_sun:.3g}°"
    limits = _EXPOSURE_PAN if attributes.prod_code.startswith("P") else _EXPOSURE_MULTI
    limit = limits.get(attributes.sensor)
    if attributes.tdi is not None and limit is not None and attributes.tdi * sun > limit:
        return f"over-exposed: TDI {attributes.tdi} at {sun:.3g}° of sun is above {limit:g}"
    return None
