"""Footprints are kept beside all else that happens: nobody waits for long, nothing broken spreads, nothing grows."""

from __future__ import annotations

import re
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from footprints import Strips
from orbitory import ingest
from orbitory.inventory import QUERIES, connect, migrate
from orbitory.inventory.locks import Lock
from orbitory.mfp import Parameters
from orbitory.mfp.decide import decide
from orbitory.mfp.rows import refresh
from orbitory.pge.horizon import horizon
from orbitory.settings import CHECKOUT, Settings
from orbitory.simulate import simulate
from orbitory.site import open_site

ORDER = "500060999100_01"
WORSE = {"cloudcover": 0.39, "sun_elev": 5.0}
BOW_TIE = "MULTIPOLYGON(((0 0,1 1,1 0,0 1,0 0)))"
BROKEN = {
    "bow tie": BOW_TIE,
    "bow tie over several countries": "MULTIPOLYGON(((10 40,30 60,30 40,10 60,10 40)))",
    "not a number": "MULTIPOLYGON(((NaN 0,1 1,1 0,NaN 0)))",
    "empty": "MULTIPOLYGON EMPTY",
    "beyond the poles": "MULTIPOLYGON(((100 200,101 200,101 201,100 200)))",
    "beyond the date line": "MULTIPOLYGON(((-500 -60,-170 -60,-170 60,-500 60,-500 -60)))",
    "crosses itself, parts overlap": (
        "MULTIPOLYGON(((5 40,30 60,30 40,5 60,5 50,40 50,5 40)),((6 41,20 41,20 55,6 55,6 41)))"
    ),
}


# -------------------------------------------------------------------------------------------------------------- locks


def numbers_of_locks() -> dict[str, set[str]]:
    """Every number of an advisory lock, and the statements and files that name it."""
    used = defaultdict(set)
    for name, sql in QUERIES.items():
        for number in re.findall(r"advisory\w*\((\d+)|objid = (\d+)|classid = ([1-9]\d*)", sql):
            used["".join(number)].add(name)
    for name, sql in migrate.migrations():
        for number in re.findall(r"advisory\w*\((\d+)", sql):
            used[number].add(name)
    for lock in Lock:
        used[str(int(lock))].add(f"Lock.{lock.name}")
    return {**used, str(migrate._LOCK): {"migrate.py"}}


def test_each_number_of_a_lock_is_used_for_one_thing_and_told() -> None:
    table = next((CHECKOUT / "docs" / "decisions").glob("*-advisory-locks.md")).read_text()
    told = re.findall(r"^\| (\d+) \| ([^|]+) \|", table, re.MULTILINE)
    assert len({number for number, _ in told}) == len(told)
    assert {number: set(re.findall(r"`([^`]+)`", users)) for number, users in told} == numbers_of_locks()


@pytest.mark.fault("F14", how="batches that share strips are archived at once")
@pytest.mark.req("N15")
def test_batches_of_strips_that_are_archived_at_once_neither_block_nor_kill_each_other(settings: Settings) -> None:
    with open_site(actor="test", settings=settings) as site:
        simulate(site.catalogue, "nga", 200, 5, None, settings.landing / "nga")
    with open_site(actor="dag/r1", settings=settings) as site:
        batches = [batch.id for batch in ingest.detect(site, "nga").batches]
        for batch in batches:
            for step in (ingest.verify, ingest.extract, ingest.store):
                step(site, batch)

    def archive(batch: int) -> None:
        with open_site(actor="dag/r1", settings=settings) as site:
            ingest.archive(site, batch)

    assert len(batches) > 5
    with ThreadPoolExecutor(len(batches)) as at_once:
        list(at_once.map(archive, batches))
    with psycopg.connect(settings.database) as db:
        held = "SELECT count(*) FROM granule WHERE search ? 'image' AND state = 'archived'"
        rows = "SELECT count(*) FROM footprint_all"
        assert db.execute(held).fetchone() == db.execute(rows).fetchone()


def test_nobody_who_keeps_footprints_puts_planning_off(settings: Settings) -> None:
    with psycopg.connect(settings.database) as other, connect(settings.database, actor="test") as inventory:
        other.execute(QUERIES["lock_footprints"])
        assert inventory.all("plan_telling") == []
        assert horizon(inventory) == 0


# --------------------------------------------------------------------------------------------------------------- cost


def test_no_table_that_grows_is_read_as_a_whole_for_a_few_granules(archive: Strips) -> None:
    archive.make(20, files=False)
    archive.sql(
        "INSERT INTO granule (source, product, key, state, sensor, sensing, search)"
        " SELECT 'idps', 'X', 'bulk/' || i, 'archived', 'VIIRS', '[2010-01-01,2010-01-02]', '{}'"
        " FROM generate_series(1, 60000) i"
    )
    archive.sql(
        "INSERT INTO asset (path, role, state, kind, size, digest)"
        " SELECT key, 'data', 'archived', 'hdf5', 1, '' FROM granule WHERE product = 'X'"
    )
    archive.sql("INSERT INTO granule_asset SELECT g.id, s.id FROM granule g JOIN asset s ON s.path = g.key")
    archive.sql("ANALYZE")
    before = scans(archive)
    for number in range(1, 9):  # more often than it takes the server to keep a plan
        archive.sql("UPDATE granule SET search = search || '{\"sun_elev\": 21}' WHERE id = %(n)s", n=number)
        assert refresh(archive.site, granules=[number]) == 1
        assert refresh(archive.site, assets=[number]) == 0
    assert scans(archive) == before


def scans(archive: Strips) -> dict[str, int]:
    """How often each table that grows with the archive was read from its beginning to its end."""
    for connection in (archive.db, archive.site.inventory._connection):
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("SELECT 1")
    rows = archive.sql(
        "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname IN ('granule', 'asset', 'granule_asset')"
    )
    return {row["relname"]: row["seq_scan"] for row in rows}


# ----------------------------------------------------------------------------------------------------------- versions


def choose(archive: Strips) -> None:
    archive.site.inventory.run("mfp_drop_found")
    archive.site.inventory.run("mfp_create_found")
    decide(archive.site, "WV02", Parameters())


def version_of(archive: Strips, number: int, years: int) -> int:
    """An edition of the granule that was made so many years later."""
    (old,) = archive.sql(
        "INSERT INTO granule (source, product, key, created, state, platform, sensor, sensing, footprint, area_km2,"
        " search) SELECT source, product, key, created + make_interval(years => %(years)s), state, platform, sensor,"
        " sensing, footprint, area_km2, search FROM granule WHERE id = %(n)s RETURNING id, key",
        n=number,
        years=years,
    )
    (file,) = archive.sql(
        "INSERT INTO asset (path, role, state, kind, size, digest)"
        " VALUES ('nga/WV02/' || %(n)s || '.ntf', 'data', 'archived', 'nitf', 12, '\\x') RETURNING id",
        n=old["id"],
    )
    archive.sql("INSERT INTO granule_asset VALUES (%(g)s, %(a)s)", g=old["id"], a=file["id"])
    archive.write()
    archive.site.inventory.run("rank_versions", keys=[old["key"]])
    archive.follow()
    return int(old["id"])


def aside(archive: Strips, number: int) -> tuple[str, int]:
    (row,) = archive.sql("SELECT reason, keeper_id FROM footprint_archive WHERE granule_id = %(n)s", n=number)
    return row["reason"], row["keeper_id"]


def leave(archive: Strips, number: int, state: str = "deleted") -> None:
    """The image leaves the archive, or is back."""
    archive.sql("UPDATE granule SET state = %(state)s WHERE id = %(n)s", state=state, n=number)
    refresh(archive.site, granules=[number])


@pytest.mark.req("N9")
def test_what_was_chosen_is_handed_on_to_the_older_version_of_a_duplicate_that_leaves(archive: Strips) -> None:
    archive.make(5)
    loser = archive.again(1, ORDER, **WORSE)
    older, oldest = version_of(archive, loser, -1), version_of(archive, loser, -2)
    choose(archive)
    assert (aside(archive, older), aside(archive, oldest)) == (("superseded", loser), ("superseded", loser))
    leave(archive, loser)
    assert archive.preferred() == {1, 2, 3, 4, 5}
    assert (aside(archive, older), aside(archive, oldest)) == (("re-order", 1), ("superseded", older))
    archive.follow()
    assert (archive.preferred(), aside(archive, older)) == ({1, 2, 3, 4, 5}, ("re-order", 1))
    leave(archive, older)
    assert (archive.preferred(), aside(archive, oldest)) == ({1, 2, 3, 4, 5}, ("re-order", 1))
    leave(archive, loser, "archived")
    assert (archive.preferred(), aside(archive, loser)) == ({1, 2, 3, 4, 5}, ("re-order", 1))
    assert aside(archive, oldest) == ("superseded", loser)
    leave(archive, loser)
    leave(archive, 1)
    assert archive.preferred() == {2, 3, 4, 5, oldest}


def test_a_new_version_of_a_duplicate_is_preferred_until_an_evaluation_has_looked_at_it(archive: Strips) -> None:
    archive.make(5)
    loser = archive.again(1, ORDER, **WORSE)
    choose(archive)
    newer = version_of(archive, loser, 1)
    assert (archive.preferred(), aside(archive, loser)) == ({1, 2, 3, 4, 5, newer}, ("superseded", newer))


# ------------------------------------------------------------------------------------------------------ broken shapes


@pytest.mark.parametrize("shape", BROKEN.values(), ids=BROKEN)
def test_a_broken_footprint_stops_neither_its_own_row_nor_those_beside_it(archive: Strips, shape: str) -> None:
    archive.make(20, files=False)
    archive.sql(
        "UPDATE granule SET footprint = ST_GeomFromText(%(shape)s, 4326), sensing = n.sensing FROM granule n"
        " WHERE granule.id = 7 AND n.id = 1",
        shape=shape,
    )
    archive.sql(
        "UPDATE granule SET footprint = ST_GeomFromText(%(shape)s, 4326), sensing = n.sensing FROM granule n"
        " WHERE granule.id IN (12, 17) AND n.id = 1",
        shape="MULTIPOLYGON(((0.2 0.2,0.8 0.2,0.8 0.9,0.2 0.8,0.2 0.2)))",
    )
    assert refresh(archive.site, granules=[7]) == 1
    assert refresh(archive.site, granules=[12]) == 1
    assert refresh(archive.site, granules=[7, 17]) == 1
    rows = archive.sql(
        "SELECT stereopair, catalog_id FROM footprint_master WHERE granule_id IN (7, 12, 17) ORDER BY granule_id"
    )
    broken, *sound = rows
    assert broken["stereopair"] is None
    assert [row["stereopair"] for row in sound] == [row["catalog_id"] for row in sound][::-1]


def test_what_is_no_footprint_on_earth_has_no_place(archive: Strips) -> None:
    archive.make(20, files=False)
    for number, shape in enumerate(BROKEN.values(), 1):
        archive.sql(
            "UPDATE granule SET footprint = ST_GeomFromText(%(shape)s, 4326) WHERE id = %(n)s", shape=shape, n=number
        )
    archive.follow()
    rows = archive.sql("SELECT country, zone_id FROM footprint_master WHERE granule_id <= %(n)s", n=len(BROKEN))
    assert {tuple(row.values()) for row in rows} == {(None, None)}
