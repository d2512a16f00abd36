"""Simulated satellites fly where the real ones flew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from orbitory.simulate.orbit import TRACKS, bounds, light

VIIRS_HALF_WIDTH = 13.76


def _granule(platform: str, day: datetime, argument: float, longitude: float) -> tuple[np.ndarray, np.ndarray]:
    track = TRACKS[platform]
    start = track.passing(day, argument, longitude) - timedelta(seconds=40)
    return track.ring(start, start + timedelta(seconds=84), VIIRS_HALF_WIDTH)


def _winding(longitude: np.ndarray) -> float:
    return float(((np.diff(longitude, append=longitude[0]) + 180.0) % 360.0 - 180.0).sum())


@pytest.mark.parametrize(
    ("platform", "moment", "latitude", "longitude", "orbit", "descending"),
    [
        # Middle of the start rows' N_Nadir extremes and N_Beginning_Orbit_Number of real granules.
        ("npp", datetime(2018, 10, 22, 0, 22, 21, tzinfo=UTC), 26.79, 20.17, 36187, True),
        ("j01", datetime(2018, 10, 22, 0, 23, 59, tzinfo=UTC), -18.30, -162.14, 4790, False),
        ("npp", datetime(2016, 10, 1, 9, 30, 40, tzinfo=UTC), 4.84, 57.87, 25538, False),
    ],
)
def test_nadir_is_within_a_degree_of_real_granules(platform, moment, latitude, longitude, orbit, descending) -> None:
    track = TRACKS[platform]
    found_latitude, found_longitude = track.swath(moment, moment, (1, 1), 0.0)
    assert found_latitude[0, 0] == pytest.approx(latitude, abs=1.0)
    assert found_longitude[0, 0] == pytest.approx(longitude, abs=1.0)
    assert (track.orbit_number(moment), track.descending(moment)) == (orbit, descending)


def test_a_ring_over_the_pole_winds_once_and_is_bounded_by_the_pole() -> None:
    latitude, longitude = _granule("npp", datetime(2014, 6, 1, tzinfo=UTC), 90.0, 0.0)
    assert abs(_winding(longitude)) == pytest.approx(360.0)
    north, south, east, west = bounds(latitude, longitude)
    assert (north, east, west) == (90.0, 180.0, -180.0)
    assert south == latitude.min() > 60.0


def test_a_ring_over_the_south_pole_is_bounded_by_the_south_pole() -> None:
    latitude, longitude = _granule("npp", datetime(2014, 6, 1, tzinfo=UTC), 270.0, 0.0)
    north, south, _, _ = bounds(latitude, longitude)
    assert south == -90.0
    assert north == latitude.max() < -60.0


def test_a_ring_over_the_antimeridian_jumps_and_its_west_lies_east_of_its_east() -> None:
    latitude, longitude = _granule("j01", datetime(2020, 2, 29, tzinfo=UTC), 0.0, 180.0)
    assert np.abs(np.diff(longitude)).max() > 180.0
    assert _winding(longitude) == pytest.approx(0.0, abs=1e-9)
    _, _, east, west = bounds(latitude, longitude)
    assert -180.0 <= east < 0.0 < west < 180.0
    assert (east - west) % 360.0 < 40.0


def test_an_ordinary_ring_is_as_wide_and_long_as_a_granule() -> None:
    latitude, longitude = _granule("npp", datetime(2018, 10, 22, tzinfo=UTC), 20.0, 15.0)
    north, south, east, west = bounds(latitude, longitude)
    assert west < longitude.mean() < east
    assert (north, south) == (latitude.max(), latitude.min())
    corners = np.radians([latitude[[0, 2]], longitude[[0, 2]]])
    (phi_1, phi_2), (lambda_1, lambda_2) = corners
    cosine = np.sin(phi_1) * np.sin(phi_2) + np.cos(phi_1) * np.cos(phi_2) * np.cos(lambda_1 - lambda_2)
    assert 6371.0 * np.arccos(cosine) == pytest.approx(3060.0, rel=0.01)


def test_day_and_night_follow_the_sun() -> None:
    noon = datetime(2018, 6, 21, 12, 0, tzinfo=UTC)
    assert light(noon, 20.0, 0.0) == "Day"
    assert light(noon, 20.0, 180.0) == "Night"
    assert light(noon, 0.0, 88.0) == "Both"
