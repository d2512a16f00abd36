"""The archive can be counted by what people ask for, and every way of counting gives the same sum."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from orbitory.errors import ConfigurationError
from orbitory.inventory import connect
from orbitory.settings import Settings
from orbitory.statistics import count

#: Images by sensor in NCCS's archive of NGA strips (public figures of 2024); here one in a hundred of them.
NCCS = {
    "GE01": 2_006_859,
    "IK01": 320_056,
    "OV03": 227,
    "QB02": 2_304_775,
    "WV01": 5_353_377,
    "WV02": 10_392_289,
    "WV03": 4_416_135,
    "WV04": 12_455,
}


@pytest.fixture
def strips(settings: Settings, owner_uri: str) -> dict[str, int]:
    """A hundredth of that archive, spread over 25 years, as rows."""
    wanted = {sensor: -(-images // 100) for sensor, images in NCCS.items()}
    with psycopg.connect(owner_uri) as connection:
        connection.execute("ALTER TABLE granule DISABLE TRIGGER USER")
        for sensor, images in wanted.items():
            connection.execute(
                "INSERT INTO granule (source, product, key, state, sensor, sensing, search)"
                " SELECT 'nga', 'P1BS', 'strip/' || %(sensor)s || n, 'archived', %(sensor)s,"
                " tstzrange(at, at, '[]'), '{\"name_form\": \"renamed_dg\"}'"
                " FROM generate_series(1, %(images)s) AS n,"
                " LATERAL (SELECT timestamptz '2000-01-01 00:30+00' + (n %% 25) * interval '1 year' AS at) AS t",
                {"sensor": sensor, "images": images},
            )
        connection.execute("ALTER TABLE granule ENABLE TRIGGER USER")
    return wanted


@pytest.mark.req("N1")
def test_an_archive_of_eight_sensors_over_25_years_counts_to_the_same_number_either_way(
    settings: Settings, strips: dict[str, int]
) -> None:
    with connect(settings.database, actor="test") as inventory:
        by_sensor = {each.values[0]: each.granules for each in count(inventory, ["sensor"])}
        by_year = {each.values[0]: each.granules for each in count(inventory, ["year"])}
        both = count(inventory, ["sensor", "year"])
    assert by_sensor == strips
    assert sorted(by_year) == [str(year) for year in range(2000, 2025)]
    assert sum(by_year.values()) == sum(by_sensor.values()) == sum(each.granules for each in both) == 248_065


@pytest.mark.req("N3")
def test_names_are_counted_by_their_form(settings: Settings, strips: dict[str, int]) -> None:
    with connect(settings.database, actor="test") as inventory:
        assert [(each.values, each.granules) for each in count(inventory, ["form"])] == [
            (("renamed_dg",), sum(strips.values()))
        ]


def test_the_command_line_tells_rows_and_total(settings: Settings) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "include"),
        "ORBITORY_DATABASE": settings.database,
        "ORBITORY_ROOT": str(settings.landing.parent),
    }
    command = [sys.executable, "-m", "orbitory", "stats", "--by", "sensor,year", "--json"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == {"by": ["sensor", "year"], "rows": [], "total": {"granules": 0}}
    command[-2] = "colour"
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "cannot count by 'colour'" in refused.stderr


def test_a_dimension_that_is_none_or_stands_twice_is_refused(settings: Settings) -> None:
    with connect(settings.database, actor="test") as inventory:
        for by in (["colour"], ["year", "year"], ["source", "product", "sensor", "year"]):
            with pytest.raises(ConfigurationError):
                count(inventory, by)
