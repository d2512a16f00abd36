"""Planning where something is wrong, late, changed or in doubt: nothing is lost, and the others go on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from orbitory.inventory import QUERIES
from orbitory.pge import planner, static
from orbitory.pge.outcome import Unplanned
from orbitory.pge.resources import hand_out
from orbitory.pge.why import why
from planning import DAILY, QUICKLOOK, T0, VIIRS, Archive, granule_key, granule_start

COVERAGE = DAILY.replace('"pge_viirs_quicklook"', '"pge_daily_coverage"')
ALONE = QUICKLOOK.replace('[[inputs]]\nname = "geo"\nproducts = ["GMTCO"]\n', "")
LATE_IGNORED = QUICKLOOK.replace("[run]", '[run]\nlate = "ignore"')


def pair(archive: Archive, *numbers: int) -> None:
    for number in numbers:
        archive.viirs("SVM05", number)
        archive.viirs("GMTCO", number)


def inputs(archive: Archive, instance: int = 1) -> set[str]:
    return {row["input"] for row in archive.rows("SELECT input FROM pge_input WHERE instance_id = %s", instance)}


@pytest.mark.req("G12")
def test_an_aggregate_on_its_way_into_the_archive_takes_no_input_away(make: Callable[..., Archive]) -> None:
    """The ingest prefers it as soon as it is stored; until it is archived, the file serves that is."""
    archive = make(QUICKLOOK)
    numbers = [archive.viirs("SVM05", number) for number in (1, 2)]
    (aggregate,) = archive.rows(
        "INSERT INTO asset (path, role, state, kind, size, digest)"
        " VALUES ('idps/both.h5', 'data', 'stored', 'hdf5', 1, sha256('both')) RETURNING id"
    )
    for number in numbers:
        archive.db.execute("INSERT INTO granule_asset VALUES (%s, %s)", [number, aggregate["id"]])
    keys = [granule_key("SVM05", number) for number in (1, 2)]
    archive.db.execute(QUERIES["prefer_packaging"].encode(), {"keys": keys})
    assert not archive.rows("SELECT 1 FROM granule_asset WHERE asset_id <> %s AND preferred", aggregate["id"])
    archive.viirs("GMTCO", 1)
    archive.plan()
    assert archive.states() == ["ready", "waiting"] and inputs(archive) == {"sdr", "geo"}
    archive.db.execute("UPDATE asset SET state = 'archived' WHERE id = %s", [aggregate["id"]])
    archive.viirs("GMTCO", 2)
    archive.plan()
    (taken,) = archive.rows("SELECT asset_id FROM pge_input WHERE instance_id = 2 AND input = 'sdr'")
    assert taken["asset_id"] == aggregate["id"], "the preferred one, once it is there"


@pytest.mark.req("G12")
def test_a_granule_without_a_file_that_is_wanted_of_it_is_missing(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK.replace('products = ["GMTCO"]', 'products = ["GMTCO"]\nroles = ["metadata"]'))
    archive.viirs("SVM05", 1)
    number = archive.viirs("GMTCO", 1)
    archive.plan()
    (row,) = archive.rows()
    assert row["state"] == "waiting" and row["missing"][0]["input"] == "geo"
    archive.db.execute(
        "WITH a AS (INSERT INTO asset (path, role, state, kind, size, digest)"
        " VALUES ('idps/m.xml', 'metadata', 'archived', 'xml', 1, 'x') RETURNING id)"
        " INSERT INTO granule_asset SELECT %s, id FROM a",
        [number],
    )
    archive.later(minutes=10)
    archive.plan()
    assert archive.states() == ["ready"] and inputs(archive) == {"sdr", "geo"}


def test_a_version_that_comes_back_makes_what_it_never_made(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    pair(archive, 1)
    archive.plan()
    for version in "2", "1":
        archive.define(QUICKLOOK.replace('version = "1"', f'version = "{version}"'))
        archive.plan()
    assert [(row["version"], row["state"]) for row in archive.rows()] == [
        *(("1", "superseded"), ("2", "superseded"), ("1", "ready"))
    ]


def test_what_nobody_has_begun_follows_its_pge_to_another_queue(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    pair(archive, 1)
    archive.viirs("SVM05", 5)
    archive.plan()
    archive.define(QUICKLOOK.replace("[run]", '[run]\nqueue = "gpu"\npriority = 90'))
    archive.viirs("GMTCO", 5)
    archive.plan()
    assert {(row["queue"], row["priority"], row["state"]) for row in archive.rows()} == {("gpu", 90, "ready")}
    with archive.site() as site:
        assert [each.id for each in hand_out(site, "gpu", 9)] == [1, 2]
    archive.define(QUICKLOOK)
    archive.plan()
    assert {row["queue"] for row in archive.rows()} == {"gpu"}, "what was handed out stays with whom it was given to"


def test_ready_instances_of_a_pge_that_is_gone_expire_and_people_are_told(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    pair(archive, 1)
    archive.plan()
    archive.db.execute("UPDATE pge_instance SET expires_at = now() - interval '1 day'")
    archive.define(QUICKLOOK.replace('version = "1"', 'version = "1"\nenabled = false'))
    archive.plan()
    assert archive.states() == ["ready"], "what is not enabled is not planned, but what is ready may still run"
    (archive.settings.catalogue / "pges" / "quick.toml").unlink()
    archive.plan()
    archive.plan()
    assert archive.states() == ["expired"]
    (message,) = archive.rows("SELECT kind, subject, text FROM outbox")
    assert (message["kind"], message["subject"]) == ("pge_expired", "PGE quick: 1 instance given up")
    archive.define(QUICKLOOK)
    archive.plan(T0, T0 + timedelta(days=1))
    assert archive.states() == ["expired", "ready"], "its inputs were given back"


@pytest.mark.req("G12")
def test_a_pge_that_cannot_be_planned_holds_up_no_other_and_catches_up(make: Callable[..., Archive]) -> None:
    other = QUICKLOOK.replace('"quick"', '"other"')
    orbit = other.replace('kind = "granule"', 'kind = "orbit"')
    for product in "SVM05", "GMTCO":
        orbit = orbit.replace(f'products = ["{product}"]', f'products = ["{product}"]\nselect = "all"')
    archive = make(QUICKLOOK, other)
    archive.viirs("SVM05", 1)
    archive.plan()
    archive.define(orbit)  # another kind of period, and the same version
    archive.viirs("GMTCO", 1)
    archive.viirs("SVM05", 5, orbit=7)
    for _ in range(3):
        with pytest.raises(Unplanned, match=r"other: ConfigurationError: the period 'NPP\d+' .*another version"):
            archive.plan()
    assert sorted((row["pge"], row["state"]) for row in archive.rows()) == [
        *(("other", "waiting"), ("quick", "ready"), ("quick", "waiting"))
    ]
    messages = archive.rows("SELECT kind, source FROM outbox")
    assert messages == [{"kind": "pge_unplanned", "source": "other"}], "told once"
    archive.define(orbit.replace('version = "1"', 'version = "2"'))
    archive.plan()
    assert [row["period_key"] for row in archive.rows() if row["version"] == "2"] == ["NPP-orbit7"]


def test_a_granule_without_an_end_makes_nothing_and_stops_nothing(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    pair(archive, 1)
    open_ended = archive.viirs("SVM05", 2)
    archive.db.execute("UPDATE granule SET sensing = tstzrange(lower(sensing), NULL, '[]') WHERE id = %s", [open_ended])
    archive.plan()
    archive.plan(T0, T0 + timedelta(days=1))
    assert archive.states() == ["ready"]


def test_an_ingest_that_does_not_end_holds_up_no_other_ingest(
    make: Callable[..., Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orbitory.pge.horizon.PATIENCE_SECONDS", 1.5)
    archive = make(QUICKLOOK)
    archived = (
        "INSERT INTO granule (source, product, key, state, sensing, sensor, platform)"
        " VALUES (%s, 'SVM05', %s, 'archived', tstzrange(%s, %s, '[]'), 'VIIRS', 'NPP')"
    )
    with psycopg.connect(archive.settings.database) as stuck:
        stuck.execute(archived, ["idps", granule_key("SVM05", 0), granule_start(0), granule_start(0) + VIIRS])
        planning = threading.Thread(target=archive.plan)
        planning.start()
        with psycopg.connect(archive.settings.database) as other:
            other.execute("SET lock_timeout = '1s'")
            other.execute(archived, ["nga", granule_key("SVM05", 9), granule_start(9), granule_start(9) + VIIRS])
        planning.join(60)
        assert not planning.is_alive() and archive.rows() == [], "what came is planned next time"
        stuck.commit()
    archive.plan()
    assert len(archive.rows()) == 2


def test_what_can_never_be_made_anew_does_not_stand_in_the_way_of_what_can(
    make: Callable[..., Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "_MOST_WOKEN", 2)
    archive = make(QUICKLOOK)
    pair(archive, 1, 5, 9)
    archive.plan()
    archive.db.execute("UPDATE pge_instance SET state = 'done'")
    archive.db.execute(
        "UPDATE granule SET state = 'deleted' WHERE product = 'GMTCO'"
        " AND id IN (SELECT granule_id FROM pge_input WHERE instance_id IN (1, 2))"
    )
    archive.db.execute(
        "UPDATE pge_instance SET stale_at = now() - interval '1 day', wake_at = now() - interval '1 day' WHERE id < 3"
    )
    archive.set_state(3, "running")
    archive.viirs("SVM05", 9, version_rank=1)
    archive.plan()
    archive.set_state(3, "done")
    archive.plan()
    assert archive.states() == ["done", "done", "superseded", "ready"]
    assert archive.plan().periods == 0, "and is not judged again and again"


@pytest.mark.parametrize("order", ["better, then failed", "failed, then better"])
def test_what_failed_is_made_anew_from_better_inputs_whenever_they_came(
    make: Callable[..., Archive], order: str
) -> None:
    archive = make(LATE_IGNORED)
    pair(archive, 1)
    archive.plan()
    archive.set_state(1, "failed" if order == "failed, then better" else "running")
    archive.viirs("SVM05", 1, version_rank=1)
    archive.plan()
    archive.set_state(1, "failed") if order == "better, then failed" else None
    archive.plan()
    assert archive.states() == ["superseded", "ready"]


def test_another_try_gets_the_better_inputs_that_came_meanwhile(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    pair(archive, 1)
    archive.plan()
    archive.set_state(1, "running")
    better = archive.viirs("GMTCO", 1, version_rank=1)
    archive.plan()
    archive.set_state(1, "ready")
    archive.plan()
    (row,) = archive.rows()
    assert (row["state"], row["stale_at"], row["wake_at"]) == ("ready", None, None)
    assert better in [each["granule_id"] for each in archive.rows("SELECT granule_id FROM pge_input")]


def test_what_a_lost_worker_may_have_delivered_keeps_its_inputs(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    pair(archive, 1)
    archive.plan()
    archive.db.execute("INSERT INTO pge_output (instance_id, name, product, digest, size) VALUES (1, 'x', 'y', 'z', 1)")
    before = archive.rows("SELECT * FROM pge_input")
    archive.viirs("GMTCO", 1, version_rank=1)
    archive.plan()
    archive.define(QUICKLOOK.replace('version = "1"', 'version = "2"'))
    archive.plan()
    assert archive.rows("SELECT * FROM pge_input WHERE instance_id = 1") == before
    assert archive.rows()[0]["state"] == "ready" and archive.rows()[0]["stale_at"] is not None


@pytest.mark.req("G12")
def test_products_of_one_granule_that_start_apart_make_the_same_period_in_any_order(
    make: Callable[..., Archive],
) -> None:
    model = 'kind = "ancillary"\nproducts = ["model_output"]\nselect = "latest_before"\n'
    model += "before_seconds = 36000\nlongest_seconds = 86400"
    both = QUICKLOOK.replace('products = ["SVM05"]', 'products = ["SVM05", "SVM06"]')
    archive = make(both.replace('products = ["GMTCO"]', model))
    outcomes = []
    for number, order in ((1, "56"), (101, "65")):
        start = granule_start(number)
        name = granule_key("SVM05", number).rpartition("/")[2]
        for back in (timedelta(hours=1), timedelta(seconds=-0.4)):
            archive.granule("model_output", f"m/{start - back}", start - back, start + timedelta(hours=1))
        for product in order:
            begin = start + timedelta(seconds=0.8 if product == "6" else 0)
            key = f"NPP/VIIRS-M{product}-SDR/{name}"
            archive.granule(f"SVM0{product}", key, begin, begin + timedelta(seconds=83), platform="NPP")
            archive.plan()
        (row,) = archive.rows("SELECT id, state, sensing FROM pge_instance WHERE period_key = %s", name)
        (taken,) = archive.rows(
            "SELECT lower(g.sensing) AS start FROM pge_input i JOIN granule g ON g.id = i.granule_id"
            " WHERE i.instance_id = %s AND i.input = 'geo'",
            row["id"],
        )
        outcomes.append(
            (row["state"], row["sensing"].lower - start, row["sensing"].upper - start, taken["start"] - start)
        )
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][:2] == ("ready", timedelta()) and outcomes[0][3] == timedelta(hours=-1)


@pytest.mark.req("G12")
def test_granules_of_two_senders_that_are_called_alike_make_two_periods(make: Callable[..., Archive]) -> None:
    archive = make(ALONE)
    archive.granule("SVM05", "strip/abc", T0, T0 + VIIRS)
    archive.granule("SVM05", "user/abc", T0 + 5 * VIIRS, T0 + 6 * VIIRS)
    archive.plan()
    assert archive.states() == ["ready", "ready"] and archive.rows()[0]["period_key"] == "abc"


def test_a_file_outside_the_archive_is_read_once_until_it_changes(
    make: Callable[..., Archive], site_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    whole = static.blake3
    monkeypatch.setattr(static, "blake3", lambda: (reads.append(1), whole())[1])
    table = site_root / "table.lut"
    table.write_bytes(b"numbers")
    monkeypatch.setattr(static, "_RECENT_NS", -1)
    archive = make(
        ALONE.replace("[[outputs]]", f'[[inputs]]\nname = "table"\nkind = "file"\npath = "{table}"\n[[outputs]]')
    )
    for number in range(3):
        archive.viirs("SVM05", number)
        archive.plan()
    assert archive.states() == ["ready"] * 3 and len(reads) == 1
    before = table.stat()
    table.write_bytes(b"NUMBERS")
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))
    archive.viirs("SVM05", 3)
    archive.plan()
    assert len(reads) == 2, "the same length and time, but not the same file"
    digests = archive.rows("SELECT DISTINCT digest FROM pge_input WHERE input = 'table'")
    assert {bytes(row["digest"]) for row in digests} == {whole(b"numbers").digest(), whole(b"NUMBERS").digest()}


def test_a_granule_that_ends_with_the_day_belongs_to_that_day_alone(make: Callable[..., Archive]) -> None:
    archive = make(COVERAGE.replace('select = "all"', 'select = "valintersect"'))
    midnight = datetime(2024, 2, 11, tzinfo=UTC)
    archive.granule("SVM05", "NPP/x/one", midnight - timedelta(hours=1), midnight, platform="NPP")
    archive.plan()
    assert [row["period_key"] for row in archive.rows()] == ["20240210"]
    archive.granule("SVM05", "NPP/x/two", midnight, midnight, platform="NPP")
    archive.plan()
    assert [row["period_key"] for row in archive.rows()] == ["20240210", "20240211"]


def test_what_comes_late_for_a_day_is_gathered_before_it_is_made_anew(make: Callable[..., Archive]) -> None:
    archive = make(COVERAGE)
    archive.viirs("SVM05", 0)
    archive.plan()
    archive.later(minutes=60)
    archive.plan()
    archive.set_state(1, "done")
    for number in range(1, 4):
        archive.viirs("SVM05", number)
        archive.plan()
    assert archive.states() == ["done"]
    hour = timedelta(minutes=60)
    archive.db.execute("UPDATE pge_instance SET stale_at = stale_at - %s, wake_at = wake_at - %s", [hour, hour])
    archive.plan()
    assert archive.states() == ["superseded", "ready"]
    assert len(archive.rows("SELECT 1 FROM pge_input WHERE instance_id = 2")) == 4
    with archive.site() as site:
        assert "superseded by instance 2" in why(site.inventory, 1).why
