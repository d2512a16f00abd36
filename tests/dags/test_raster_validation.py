"""The DAG `raster_validation`: what it promises, and real runs of it."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from airflow_world import CHECKOUT, RECIPIENT, World
from orbitory.catalogue import load
from orbitory.ingest.run import ingest
from orbitory.settings import Settings
from orbitory.simulate import simulate
from raster_faults import FAULTS, rasters


def run(world: World, **conf: Any) -> Any:
    return world.bag_of(CHECKOUT / "dags").dags["raster_validation"].test(run_conf=conf)


def tasks(finished: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for instance in finished.get_task_instances():
        found.setdefault(instance.task_id, []).append(str(instance.state))
    return found


@pytest.fixture
def archive(world: World, settings: Settings) -> Settings:
    simulate(load(CHECKOUT / "include" / "catalogue"), "nga", 12, 7, "", world.root / "landing" / "nga")
    ingest(settings, "nga")
    return settings


def test_it_runs_every_day_by_sensor_in_the_pool_of_what_may_wait(dagbag: Any) -> None:
    dag = dagbag.dags["raster_validation"]
    assert set(dag.task_ids) == {"select", "check", "report"} and {task.pool for task in dag.tasks} == {"backfill"}
    assert dag.timetable.expression == "30 2 * * *" and dag.catchup is False and dag.max_active_runs == 1
    assert [task.task_id for task in dag.leaves] == ["report"] and dag.get_task("report").trigger_rule == "all_done"
    assert set(dag.params) == {"mode", "sensors", "daily_gigabytes"}
    for task in dag.tasks:
        assert task.owner == "orbitory" and task.retries >= 2


@pytest.mark.req("N7")
def test_a_sound_archive_is_green_and_a_second_run_checks_what_the_budget_leaves(
    world: World, archive: Settings
) -> None:
    finished = run(world, mode="sample")
    assert str(finished.state) == "success", tasks(finished)
    (row,) = world.rows("SELECT count(*) AS n, min(verdict) AS least, max(verdict) AS most FROM validation")
    assert row["n"] >= len(rasters(archive)) and row["least"] == row["most"] == "good"
    sensors = world.rows("SELECT DISTINCT sensor FROM granule WHERE search ? 'image'")
    assert len(tasks(finished)["check"]) == len(sensors) > 1
    again = run(world, daily_gigabytes=0)
    assert str(again.state) == "success" and tasks(again)["check"] == ["skipped"]
    assert world.rows("SELECT * FROM outbox") == []


@pytest.mark.req("N7")
def test_a_bad_raster_is_a_green_check_a_red_report_and_one_message(
    world: World, archive: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    victim = rasters(archive)[0]
    FAULTS["truncated"](victim)
    finished = run(world, mode="full", daily_gigabytes=None)
    assert str(finished.state) == "failed"
    assert set(tasks(finished)["check"]) == {"success"} and tasks(finished)["report"] == ["failed"]
    assert f"{victim.path}: truncated" in caplog.text
    (message,) = world.rows("SELECT * FROM outbox")
    assert message["recipients"] == [RECIPIENT] and "1 bad of" in message["subject"]
    assert victim.path in message["text"] and victim.path in message["html"] and "/runs/" in message["text"]
    table = list(csv.DictReader(io.StringIO(bytes(message["attachment"]).decode("utf-8-sig"))))
    assert [(row["path"], row["verdict"]) for row in table] == [(victim.path, "bad")]
    assert "truncated" in table[0]["codes"]
