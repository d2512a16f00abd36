"""The DAG `mfp_evaluation`: what it promises, and real runs of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_world import CHECKOUT, RECIPIENT, World
from footprints import Strips, strips
from orbitory.settings import Settings


def run(world: World, **conf: Any) -> Any:
    return world.bag_of(CHECKOUT / "dags").dags["mfp_evaluation"].test(run_conf=conf)


def tasks(finished: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for instance in finished.get_task_instances():
        found.setdefault(instance.task_id, []).append(str(instance.state))
    return found


@pytest.fixture
def archive(world: World, settings: Settings) -> Iterator[Strips]:
    with strips(settings) as made:
        yield made


@pytest.mark.req("N12")
def test_it_runs_every_week_by_sensor_and_every_setting_is_in_its_form(dagbag: Any) -> None:
    dag = dagbag.dags["mfp_evaluation"]
    assert set(dag.task_ids) == {"select", "evaluate", "report"} and {task.pool for task in dag.tasks} == {"backfill"}
    assert dag.timetable.expression == "0 4 * * 6" and dag.catchup is False and dag.max_active_runs == 1
    assert [task.task_id for task in dag.leaves] == ["report"] and dag.get_task("report").trigger_rule == "all_done"
    from orbitory.mfp import Parameters

    assert set(dag.params) == {*Parameters().as_dict(), "sensors", "sample", "area"}
    for task in dag.tasks:
        assert task.owner == "orbitory" and task.retries >= 2


@pytest.mark.req("N9")
def test_a_sound_archive_is_green_and_an_empty_one_too(world: World, archive: Strips) -> None:
    assert str(run(world).state) == "success"
    archive.make(10)
    archive.make(10, sensor="WV01", prefix="102", first=1000)
    finished = run(world)
    assert str(finished.state) == "success" and tasks(finished)["evaluate"] == ["success", "success"]
    assert str(run(world, sensors=["WV01"]).state) == "success"
    assert [row["n"] for row in world.rows("SELECT (counts ->> 'rows')::int AS n FROM mfp_run ORDER BY id")] == [20, 10]
    assert len({row["digest"] for row in world.rows("SELECT digest FROM mfp_run")}) == 2
    assert world.rows("SELECT * FROM outbox") == []


@pytest.mark.req("N9", "N11", "W8")
def test_errors_make_the_last_task_red_and_one_mail_with_all_findings(world: World, archive: Strips) -> None:
    archive.make(40)
    archive.sql(
        "UPDATE footprint_master SET scene_id = E'=1+1\\nBcc: x@y' || granule_id WHERE granule_id %% 2 = %(n)s", n=0
    )
    finished = run(world, area="-170,-60,170,60", target_day="07-15")
    assert str(finished.state) == "failed"
    assert tasks(finished) == {"select": ["success"], "evaluate": ["success"], "report": ["failed"]}
    (message,) = world.rows("SELECT * FROM outbox")
    assert message["subject"] == "[Orbitory] evaluation of footprints failed: 20 errors in 40 footprints"
    assert message["recipients"] == [RECIPIENT] and "E04" in message["text"] and "elapsed" in message["text"]
    assert "\nBcc" not in message["text"] and message["attachment_name"].endswith(".csv")
    table = list(csv.DictReader(io.StringIO(bytes(message["attachment"]).decode("utf-8-sig"), newline="")))
    assert len(table) == 20 and {row["code"] for row in table} == {"E04"}
    (row,) = world.rows("SELECT params, verdict FROM mfp_run")
    assert row["verdict"] == "failed" and row["params"]["parameters"]["target_day"] == "07-15"
    page = world.root / "reports" / "mfp" / "1" / "report.html"
    assert page.is_file() and f"Report: {page}" in message["text"]
    assert row["params"]["area"] == {"west": -170, "south": -60, "east": 170, "north": 60}
