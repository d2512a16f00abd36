"""Where a JPSS satellite looks: ground tracks, swaths and G-rings good enough to test footprints with.

A circular sun-synchronous orbit on a spherical Earth: nadir lies within 1° of that of the real S-NPP and NOAA-20
granules that the constants below come from. Latitudes and longitudes are degrees, north and east positive, longitudes
in [-180, 180).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Nodal period, from the orbit numbers of two S-NPP granules two years apart (25538 and 36187).
PERIOD_S = 6089.867
INCLINATION_DEG = 98.7
#: Local mean solar time at which the satellites cross the equator northward.
NODE_HOUR = 13.42
#: A satellite of this inclination sees the pole itself when its swath reaches this far to the side.
POLE_HALF_WIDTH_DEG = INCLINATION_DEG - 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One satellite's motion: at ``epoch`` it stood ``argument_deg`` past its ascending node in orbit ``orbit``."""

    epoch: datetime
    argument_deg: float
    orbit: int

    def argument(self, moment: datetime) -> float:
        """Degrees along the orbit since the first node of ``self.orbit``; grows without wrapping."""
        return self.argument_deg + (moment - self.epoch).total_seconds() / PERIOD_S * 360.0

    def orbit_number(self, moment: datetime) -> int:
        """Orbits are counted from each northward crossing of the equator."""
        return self.orbit + int(self.argument(moment) // 360.0)

    def descending(self, moment: datetime) -> bool:
        """Whether it flies southward."""
        return 90.0 <= self.argument(moment) % 360.0 < 270.0

    def swath(
        self, start: datetime, end: datetime, shape: tuple[int, int], half_width_deg: float
    ) -> tuple[Floats, Floats]:
        """Latitudes and longitudes, rows along the track from ``start`` to ``end``, columns across it.

        ``half_width_deg`` is the angle at the Earth's centre between nadir and the edge.
        """
        along = np.linspace(0.0, (end - start).total_seconds(), shape[0]) if shape[0] > 1 else np.zeros(1)
        across = np.radians(np.linspace(-half_width_deg, half_width_deg, shape[1])) if shape[1] > 1 else np.zeros(1)
        argument = np.radians(self.argument(start) + along / PERIOD_S * 360.0)
        tilt = np.radians(INCLINATION_DEG)
        nadir = np.stack([np.cos(argument), np.cos(tilt) * np.sin(argument), np.sin(tilt) * np.sin(argument)])
        side = np.array([0.0, -np.sin(tilt), np.cos(tilt)])
        point = nadir[:, :, None] * np.cos(across) + side[:, None, None] * np.sin(across)
        hours = _hours(start) + along / 3600.0
        longitude = np.degrees(np.arctan2(point[1], point[0])) + 15.0 * (NODE_HOUR - hours)[:, None]
        return np.degrees(np.arcsin(np.clip(point[2], -1.0, 1.0))), (longitude + 180.0) % 360.0 - 180.0

    def ring(self, start: datetime, end: datetime, half_width_deg: float) -> tuple[Floats, Floats]:
        """G-ring: eight points round the granule, not closed, in the order of real files (end row first)."""
        latitude, longitude = self.swath(start, end, (3, 3), half_width_deg)
        rows, columns = [2, 2, 2, 1, 0, 0, 0, 1], [0, 1, 2, 2, 2, 1, 0, 0]
        return latitude[rows, columns], longitude[rows, columns]

    def passing(self, day: datetime, argument_deg: float, longitude_deg: float) -> datetime:
        """When in the day after ``day`` it stands at ``argument_deg`` and nearest to ``longitude_deg``."""
        wait = (argument_deg - self.argument(day)) % 360.0 / 360.0 * PERIOD_S
        passes = [day + timedelta(seconds=wait + n * PERIOD_S) for n in range(int((86_400 - wait) // PERIOD_S) + 1)]

        def distance(moment: datetime) -> float:
            longitude = float(self.swath(moment, moment, (1, 1), 0.0)[1][0, 0])
            return abs((longitude - longitude_deg + 180.0) % 360.0 - 180.0)

        return min(passes, key=distance)


def bounds(latitude: Floats, longitude: Floats) -> tuple[float, float, float, float]:
    """North, south, east and west bounds of a ring; west lies east of east where it crosses the antimeridian."""
    steps = (np.diff(longitude, append=longitude[0]) + 180.0) % 360.0 - 180.0
    if abs(steps.sum()) > 180.0:
        south_pole = latitude.mean() < 0.0
        north = latitude.max() if south_pole else 90.0
        return float(north), float(-90.0 if south_pole else latitude.min()), 180.0, -180.0
    unwrapped = longitude[0] + np.concatenate([[0.0], np.cumsum(steps[:-1])])
    east, west = ((edge + 180.0) % 360.0 - 180.0 for edge in (float(unwrapped.max()), float(unwrapped.min())))
    return float(latitude.max()), float(latitude.min()), east, west


def light(moment: datetime, latitude: float, longitude: float) -> str:
    """``Day``, ``Night`` or, near the terminator, ``Both``."""
    declination = np.radians(-23.44 * np.cos(2.0 * np.pi * (moment.timetuple().tm_yday + 10) / 365.25))
    hour_angle = np.radians(15.0 * (_hours(moment) - 12.0) + longitude)
    height = np.sin(np.radians(latitude)) * np.sin(declination)
    height += np.cos(np.radians(latitude)) * np.cos(declination) * np.cos(hour_angle)
    return "Day" if height > 0.12 else "Night" if height < -0.12 else "Both"


def _hours(moment: datetime) -> float:
    return moment.hour + moment.minute / 60.0 + (moment.second + moment.microsecond / 1e6) / 3600.0


#: Reference: granules SATMS_npp_d20181022_t0022213 (b36187) and GCRSO_j01_d20181022_t0023599 (b04790).
TRACKS = {
    "npp": Track(epoch=datetime(2018, 10, 22, 0, 22, 21, tzinfo=UTC), argument_deg=152.9, orbit=36187),
    "j01": Track(epoch=datetime(2018, 10, 22, 0, 23, 59, tzinfo=UTC), argument_deg=341.5, orbit=4790),
}
