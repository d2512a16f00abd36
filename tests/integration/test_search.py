"""Search finds what is archived, by place and time and key, page by page, and explains a wrong question."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from holdings import SQUARE, SQUARE_KM2, Granule, Holdings
from orbitory.errors import ConfigurationError
from orbitory.inventory import QUERIES, connect
from orbitory.search import Page, Query, _values, read_bbox, read_span, read_time, search
from orbitory.settings import Settings
from private_stack.postgres import DAILY, OWNER, Cluster

NOON = datetime(2024, 2, 10, 12, tzinfo=UTC)
WEST = "MULTIPOLYGON(((-180 -10,-170 -10,-170 10,-180 10,-180 -10)))"
EAST = "MULTIPOLYGON(((170 -10,180 -10,180 10,170 10,170 -10)))"
#: A triangle whose bounding box is far larger than itself.
SLANTED = "MULTIPOLYGON(((40 0,60 20,60 20.1,40 0)))"


def fill(made: Holdings) -> None:
    """Five granules, no two alike."""
    minute, hour, day = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
    first = {"day_night": "Day", "bands": 2}
    granules = {
        "m1": Granule(
            product="SVM01", sensor="VIIRS", start=NOON, end=NOON + minute, orbit=7, version="A1", search=first
        ),
        "m2": Granule(product="SVM02", sensor="VIIRS", start=NOON + hour),
        "at": Granule(product="SATMS", sensor="ATMS", start=NOON + day),
        "sl": Granule(start=NOON - day),
        "no-time": Granule(search={"day_night": "Night"}),
    }
    places = {"m1": SQUARE, "m2": EAST, "at": WEST, "sl": SLANTED}
    for name, granule in granules.items():
        made.archive(name, name.encode(), replace(granule, footprint=places.get(name), area_km2=SQUARE_KM2))


@pytest.fixture(scope="module")
def library(postgres: Cluster, migrated: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A site that many tests only read."""
    postgres.sql(f"CREATE DATABASE library TEMPLATE {migrated} OWNER {OWNER}")
    root = tmp_path_factory.mktemp("library")
    site = Settings.from_environment({"ORBITORY_DATABASE": postgres.uri("library", DAILY), "ORBITORY_ROOT": str(root)})
    with Holdings(site) as made:
        fill(made)
    yield site
    postgres.sql("DROP DATABASE library WITH (FORCE)")


@pytest.fixture
def holdings(settings: Settings) -> Iterator[Holdings]:
    """The same on a site of the test's own."""
    with Holdings(settings) as made:
        fill(made)
        yield made


def page_of(site: Settings, **conditions: Any) -> Page:
    with connect(site.database, actor="test") as inventory:
        return search(inventory, Query(**conditions))


def names_of(site: Settings, **conditions: Any) -> list[str]:
    """Last parts of the keys found, in order."""
    return [item["key"].rpartition("/")[2] for item in page_of(site, **conditions).items]


@pytest.fixture
def find(library: Settings) -> Callable[..., list[str]]:
    return lambda **conditions: names_of(library, **conditions)


@pytest.fixture
def find_here(settings: Settings) -> Callable[..., list[str]]:
    return lambda **conditions: names_of(settings, **conditions)


Find = Callable[..., list[str]]


def test_everything_is_found_newest_first_and_what_has_no_time_last(find: Find) -> None:
    assert find() == ["at", "m2", "m1", "sl", "no-time"]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"products": ("SVM01", "SATMS")}, ["at", "m1"]),
        ({"sensors": ("VIIRS",)}, ["m2", "m1"]),
        ({"sensors": ("VIIRS", "ATMS"), "products": ("SVM02",)}, ["m2"]),
        ({"source": "correlative", "products": ("opaque",)}, ["sl", "no-time"]),
        ({"source": "idps"}, []),
        ({"where": {"day_night": "Day"}}, ["m1"]),
        ({"where": {"day_night": "Night"}}, ["no-time"]),
        ({"where": {"bands": "2", "day_night": "Day"}}, ["m1"]),
        ({"where": {"bands": "2", "day_night": "Night"}}, []),
        ({"where": {"orbit": "7"}}, ["m1"]),
        ({"where": {"version": "A1"}}, ["m1"]),
        ({"where": {"never heard of": "x"}}, []),
    ],
)
def test_every_condition_must_hold(find: Find, conditions: dict[str, Any], expected: list[str]) -> None:
    assert find(**conditions) == expected


@pytest.mark.parametrize(
    ("bbox", "expected"),
    [
        ("9,-1,12,2", ["m1"]),
        ("10.5,0.5,10.5,0.5", ["m1"]),
        ("10.2,0,10.2,5", ["m1"]),
        ("-180,-90,180,90", ["at", "m2", "m1", "sl"]),
        ("175,-5,-175,5", ["at", "m2"]),
        ("175,-5,180,5", ["m2"]),
        ("-180,-5,-175,5", ["at"]),
        ("175,-5,-180,5", ["at", "m2"]),
        ("12,0,175,9", ["m2", "sl"]),
        ("50,5,55,6", []),
    ],
)
def test_a_place_is_met_by_its_shape_also_over_the_antimeridian(find: Find, bbox: str, expected: list[str]) -> None:
    assert find(bbox=read_bbox(bbox)) == expected


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2024-02-10T12:00:00Z", "2024-02-10T12:30:00Z", ["m1"]),
        ("2024-02-10T12:01:00Z", "2024-02-10T12:30:00Z", ["m1"]),
        ("2024-02-10T12:01:01Z", "2024-02-10T13:00:00Z", []),
        ("2024-02-10T13:00:00Z", "2024-02-10T13:00:00Z", ["m2"]),
        ("2024-02-10T13:00:00Z", None, ["at", "m2"]),
        (None, "2024-02-10T12:00:00Z", ["sl"]),
        ("2024-02-10", "2024-02-10", ["m2", "m1"]),
        ("2024-041", "2024-042", ["at", "m2", "m1"]),
        ("2024-02-10T14:00:00+02:00", "2024-02-10T14:01:00+02:00", ["m1"]),
    ],
)
def test_sensing_overlaps_the_time_asked_for(
    find: Find, start: str | None, end: str | None, expected: list[str]
) -> None:
    first, last = read_span(start, end)
    assert find(start=first, end=last) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
def test_pages_of_any_size_give_everything_once_in_order(
    settings: Settings, holdings: Holdings, find_here: Find, limit: int
) -> None:
    for number in range(4):  # granules that share one sensing time, and more without any
        holdings.archive(f"twin{number}", b"t%d" % number, Granule(start=NOON))
        holdings.archive(f"timeless{number}", b"u%d" % number)
    whole = find_here()
    seen: list[str] = []
    token = None
    for _ in range(20):
        page = page_of(settings, limit=limit, page=token)
        assert len(page.items) <= limit
        seen += [item["key"].rpartition("/")[2] for item in page.items]
        token = page.next
        if token is None:
            break
    assert seen == whole and len(whole) == 13


def test_what_arrives_between_two_pages_shifts_nothing(settings: Settings, holdings: Holdings) -> None:
    first = page_of(settings, limit=2)
    holdings.archive("newer", b"n", Granule(start=NOON + timedelta(days=9)))
    second = page_of(settings, limit=2, page=first.next)
    assert [item["key"].rpartition("/")[2] for item in second.items] == ["m1", "sl"]


def test_only_the_newest_archived_version_is_found_unless_all_are_asked_for(
    holdings: Holdings, find_here: Find
) -> None:
    holdings.archive("m1-new", b"n", Granule(product="SVM01", rank=2, start=NOON), key="correlative/m1")
    holdings.sql(
        "UPDATE granule o SET superseded_by = n.id FROM granule n"
        " WHERE o.key = n.key AND o.version_rank = 0 AND n.version_rank = 2"
    )
    assert find_here(products=("SVM01",)) == ["m1"]
    assert find_here(products=("SVM01",), all_versions=True) == ["m1", "m1"]


@pytest.mark.parametrize("state", ["stored", "withdrawn", "deleting", "deleted"])
def test_what_is_not_archived_is_never_found(holdings: Holdings, find_here: Find, state: str) -> None:
    holdings.sql("UPDATE granule SET state = %s WHERE key LIKE '%%m1'", state)
    assert "m1" not in find_here(all_versions=True)


def test_a_version_whose_successor_is_not_archived_is_current(holdings: Holdings, find_here: Find) -> None:
    holdings.archive("m1-new", b"n", Granule(product="SVM01", rank=2, start=NOON), key="correlative/m1")
    holdings.sql(
        "UPDATE granule o SET superseded_by = n.id FROM granule n"
        " WHERE o.key = n.key AND o.version_rank = 0 AND n.version_rank = 2"
    )
    holdings.sql("UPDATE granule SET state = 'withdrawn' WHERE version_rank = 2")
    assert find_here(products=("SVM01",)) == ["m1"]


def test_an_item_tells_what_it_is_and_where_its_files_are(library: Settings) -> None:
    item = page_of(library, products=("SVM01",)).items[0]
    assert item["sensing_start"] == NOON and item["sensing_end"] == NOON + timedelta(minutes=1)
    assert item["footprint"]["type"] == "MultiPolygon" and item["current"] is True
    assert item["assets"][0]["path"] == "correlative/m1" and len(item["assets"][0]["digest"]) == 64
    json.dumps(item, default=str)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3", "expected four numbers W,S,E,N"),
        ("a,b,c,d", "expected four numbers"),
        ("nan,0,1,1", "must be finite"),
        ("-181,0,1,1", "longitudes run from -180 to 180"),
        ("0,0,360,1", "longitudes run from -180 to 180"),
        ("0,2,1,1", "expected -90 <= S <= N <= 90, got S 2 and N 1"),
        ("0,-91,1,1", "expected -90 <= S"),
    ],
)
def test_an_impossible_box_is_explained(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        read_bbox(text)


@pytest.mark.parametrize("text", ["yesterday", "2024-13-01", "2024-02-30", "12:00", "", "2024-400", "9999-12-31"])
def test_an_impossible_time_is_explained(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a time: expected ISO 8601"):
        read_time(text, end=True)


@pytest.mark.parametrize(
    "token", ["", "x", "!!", "WzEsMl0", "e30", "bnVsbA", "W251bGwsICJhIl0", "W251bGwsIDFlOTldCg", "é", "A" * 5000]
)
def test_a_foreign_page_token_is_refused(library: Settings, token: str) -> None:
    if token:
        with pytest.raises(ConfigurationError, match="is not a page token"):
            page_of(library, page=token)
    else:
        assert len(page_of(library, page=token).items) == 5


def test_a_time_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"ends \(2024-02-09T12:00:00Z\) before it starts"):
        Query(start=NOON, end=NOON - timedelta(days=1))


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_an_impossible_page_size_is_refused(limit: int) -> None:
    with pytest.raises(ConfigurationError, match="expected 1 to 10000"):
        Query(limit=limit)


HOSTILE = "'); DROP TABLE granule; -- %s {{7*7}} $(id)"


@pytest.mark.fault("F38", how="SQL in search terms")
def test_foreign_text_is_only_ever_a_value(find: Find) -> None:
    assert find(products=(HOSTILE,), sensors=(HOSTILE,), source=HOSTILE, where={HOSTILE: HOSTILE}) == []
    assert len(find()) == 5


@pytest.fixture
def many(settings: Settings, owner_uri: str) -> Iterator[psycopg.Connection]:
    """Granules enough for the planner to care: 20,000 over the globe and two years."""
    with psycopg.connect(owner_uri, autocommit=True) as connection:
        connection.execute("""
            INSERT INTO granule (source, product, key, state, sensor, sensing, footprint, area_km2)
            SELECT 's', 'P' || n % 10, 'k' || n, 'archived', 'VIIRS', tstzrange(t, t + interval '1 minute'),
                   ST_Multi(ST_MakeEnvelope(x, y, x + 2, y + 2, 4326)), 1
            FROM (SELECT n, timestamptz '2022-01-01' + n * interval '50 minutes' AS t,
                         (n * 7919 % 3560) / 10.0 - 178 AS x, (n * 104729 % 1760) / 10.0 - 88 AS y
                  FROM generate_series(1, 20000) n) s""")
        connection.execute("ANALYZE granule")
        yield connection


def test_place_and_time_and_product_are_found_through_an_index(many: psycopg.Connection) -> None:
    days = {"start": NOON - timedelta(days=300), "end": NOON - timedelta(days=290)}
    for query, index, condition in (
        (Query(bbox=(10, 10, 30, 30), **days), "granule_place_time", "sensing &&"),
        (Query(bbox=(170, 10, -170, 30), **days), "granule_place_time", "sensing &&"),
        (Query(products=("P3",), limit=50), "granule_product_time", "product ="),
    ):
        values = _values(query) | {"timed": True, "below": None, "below_id": None, "limit": query.limit + 1}
        plan = "\n".join(row[0] for row in many.execute("EXPLAIN " + QUERIES["search_page"], values))
        assert index in plan, plan
        assert condition in plan.split("Index Cond", 1)[1].splitlines()[0], plan


def test_a_name_with_undecodable_bytes_is_a_name_like_any_other(find: Find) -> None:
    assert find(products=(os.fsencode("\udcff").decode("utf-8", "backslashreplace"),)) == []
