"""The DAGs `archive_audit` and `mirror`: what they promise, and real runs of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest

from airflow_world import CHECKOUT, RECIPIENT, World
from orbitory.ingest.run import ingest
from orbitory.settings import Settings
from scanning import later


def run(world: World, dag: str = "archive_audit", **conf: Any) -> Any:
    return world.bag_of(CHECKOUT / "dags").dags[dag].test(run_conf=conf)


def tasks(finished: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for instance in finished.get_task_instances():
        found.setdefault(instance.task_id, []).append(str(instance.state))
    return found


@pytest.fixture
def archive(world: World, settings: Settings) -> Settings:
    for number in range(12):
        world.land("correlative", f"site_{number:02}.csv", b"a,b\n%d,%d\n" % (number, number**9))
    assert ingest(settings, "correlative").archived == 12
    return settings


def stored(settings: Settings, number: int) -> Path:
    (file,) = settings.storage.rglob(f"site_{number:02}.csv")
    return file


def test_both_run_by_the_clock_in_the_pool_of_what_may_wait(dagbag: Any) -> None:
    audit, mirror = dagbag.dags["archive_audit"], dagbag.dags["mirror"]
    assert set(audit.task_ids) == {"cut", "compare", "choose", "read", "promises", "report"}
    assert audit.timetable.expression == "30 3 * * *" and set(audit.params) == {"reconcile", "daily_gigabytes"}
    assert set(mirror.task_ids) == {"which", "copy", "report"}
    for dag in (audit, mirror):
        assert dag.catchup is False and dag.max_active_runs == 1
        assert [task.task_id for task in dag.leaves] == ["report"] and dag.get_task("report").trigger_rule == "all_done"
        for task in dag.tasks:
            assert task.owner == "orbitory" and task.retries >= 2 and task.pool == "backfill"
    assert (
        audit.get_task("compare").is_mapped and audit.get_task("read").is_mapped and mirror.get_task("copy").is_mapped
    )


@pytest.mark.req("B8", "B9")
def test_a_sound_archive_is_green_and_says_how_long_a_full_cycle_takes(
    world: World, archive: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    finished = run(world)
    assert str(finished.state) == "success", tasks(finished)
    assert "12 files compared, 12 files with" in caplog.text and "full cycle every 1 days" in caplog.text
    assert world.rows("SELECT * FROM outbox") == []
    partly = run(world, reconcile=False, daily_gigabytes=0)
    assert str(partly.state) == "success"
    assert tasks(partly)["compare"] == ["skipped"] and tasks(partly)["read"] == ["skipped"]


@pytest.mark.req("B8", "B9", "F24")
def test_what_is_wrong_is_a_red_report_one_message_and_after_two_runs_a_deed(
    world: World, archive: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    stored(archive, 3).unlink()
    file = stored(archive, 4)
    file.write_bytes(file.read_bytes()[::-1])
    (archive.storage / "stray.bin").write_bytes(b"?")
    first = run(world)
    assert str(first.state) == "failed" and tasks(first)["report"] == ["failed"]
    assert set(tasks(first)["compare"] + tasks(first)["read"]) == {"success"}
    states = "SELECT count(*) AS n FROM asset WHERE state = 'suspect'"
    assert world.rows(states)[0]["n"] == 1 and (archive.storage / "stray.bin").exists()
    later(archive)
    run(world)
    assert world.rows(states)[0]["n"] == 2 and not (archive.storage / "stray.bin").exists()
    messages = world.rows("SELECT * FROM outbox ORDER BY id")
    assert [each["recipients"] for each in messages] == [[RECIPIENT]] * 2
    assert "3 open, 0 repaired, 0 set aside" in messages[0]["subject"]
    assert "2 open, 0 repaired, 1 set aside" in messages[1]["subject"]
    for word in ("site_03.csv", "site_04.csv", "stray.bin", "Full cycle every", "/runs/"):
        assert word in messages[1]["text"]
    assert b"stray.bin" in bytes(messages[1]["attachment"])


@pytest.mark.req("F50")
def test_an_unmounted_storage_is_a_red_run_with_one_message_and_no_deed(world: World, archive: Settings) -> None:
    shutil.move(archive.storage, archive.storage.with_name("elsewhere"))
    archive.storage.mkdir()
    finished = run(world)
    assert str(finished.state) == "failed" and tasks(finished)["cut"] == ["failed"]
    (message,) = world.rows("SELECT * FROM outbox")
    assert "looks unmounted" in message["text"] and "mount it" in message["text"]
    assert world.rows("SELECT count(*) AS n FROM asset WHERE state = 'archived'") == [{"n": 12}]
    assert world.rows("SELECT * FROM scan_finding") == []


@pytest.mark.req("B9", "F60")
def test_a_broken_promise_of_the_rows_is_a_red_run_that_says_which(
    world: World, archive: Settings, owner_uri: str
) -> None:
    with psycopg.connect(owner_uri, autocommit=True) as owner:
        owner.execute("ALTER TABLE event DISABLE TRIGGER USER")
        owner.execute(
            "UPDATE event SET to_state = 'deleted' WHERE id = (SELECT max(id) FROM event WHERE subject = 'asset')"
        )
        owner.execute("ALTER TABLE event ENABLE TRIGGER USER")
    assert str(run(world).state) == "failed"
    (message,) = world.rows("SELECT * FROM outbox")
    assert "promises are broken: I8 correlative/" in message["text"]


@pytest.mark.req("B8")
def test_the_mirror_is_brought_up_to_date_and_a_missing_one_is_told_once_a_day(
    world: World, archive: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_world import copy_catalogue

    catalogue = copy_catalogue(tmp_path / "catalogue")
    product = catalogue / "products" / "correlative.toml"
    product.write_text(product.read_text() + "mirror = true\n")
    monkeypatch.setenv("ORBITORY_CATALOGUE", str(catalogue))
    for _ in range(2):
        assert str(run(world, "mirror").state) == "failed"
    (message,) = world.rows("SELECT * FROM outbox")
    assert "set ORBITORY_MIRROR to its folder" in message["text"]
    monkeypatch.setenv("ORBITORY_MIRROR", str(tmp_path / "second"))
    assert str(run(world, "mirror").state) == "success"
    assert len(list((tmp_path / "second").rglob("*.csv"))) == 12
    with psycopg.connect(archive.database, autocommit=True) as connection:
        connection.execute("UPDATE mirror_copy SET copied_at = now() - interval '2 days', verified_at = copied_at")
        connection.execute("UPDATE mirror_copy SET verified_at = copied_at")
    next((tmp_path / "second").rglob("site_07.csv")).unlink()
    assert str(run(world, "mirror").state) == "failed"
    assert "1 copies had rotted or gone" in world.rows("SELECT text FROM outbox ORDER BY id DESC")[0]["text"]
    assert str(run(world, "mirror").state) == "success"
    good, file = stored(archive, 4).read_bytes(), stored(archive, 4)
    file.write_bytes(good[::-1])
    assert str(run(world).state) == "success", "what was damaged is whole again"
    assert file.read_bytes() == good
    assert "0 open, 1 repaired" in world.rows("SELECT subject FROM outbox ORDER BY id DESC")[0]["subject"]
