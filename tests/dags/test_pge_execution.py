"""The DAG `pge_execution`: what it promises, and real runs of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_world import CHECKOUT, World
from orbitory.settings import Settings
from pge_runs import GOOD, Bench, bench_at


@pytest.fixture
def bench(world: World, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = bench_at(settings, tmp_path)
    monkeypatch.setenv("ORBITORY_CATALOGUE", str(made.settings.catalogue))
    with made.holdings:
        yield made


def execute(world: World, instance: int | None, dag_id: str = "pge_execution") -> str:
    dag = world.bag_of(CHECKOUT / "dags").dags[dag_id]
    return str(dag.test(run_conf={"instance": instance}).state)


def test_it_runs_one_instance_in_the_pool_of_its_queue_and_tells_what_waits_for_outputs(dagbag: Any) -> None:
    dag = dagbag.dags["pge_execution"]
    (task,) = dag.tasks
    assert task.pool == "pge_default" and task.owner == "orbitory" and task.doc_md
    assert [each.uri for each in task.outlets] == ["orbitory://pge/outputs"]
    assert task.retries > 10 and dag.schedule is None


def test_every_queue_of_the_catalogue_has_a_dag(world: World, bench: Bench) -> None:
    bench.define(GOOD, queue="heavy")
    dags = world.bag_of(CHECKOUT / "dags").dags
    assert dags["pge_execution_heavy"].tasks[0].pool == "pge_heavy"
    assert execute(world, bench.instance(), "pge_execution_heavy") == "success"


@pytest.mark.req("G13", "G17")
def test_a_run_delivers_and_shows_what_the_pge_said(
    world: World, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.define(GOOD + "; print('all is well')")
    number = bench.instance()
    assert execute(world, number) == "success"
    assert bench.row(number)["state"] == "delivered" and "VQLKM.probe.1.P000001.txt" in bench.delivered(number)
    assert "probe | all is well" in caplog.text


@pytest.mark.req("F53")
def test_a_failure_fails_the_run_after_the_tries_that_the_definition_allows(world: World, bench: Bench) -> None:
    bench.define("sys.exit(3)", retries=1)
    number = bench.instance()
    assert execute(world, number) == "failed"
    row = bench.row(number)
    assert (row["state"], row["reason"], row["tries"]) == ("failed", "exit", 2)
    bench.define(GOOD)
    assert execute(world, number) == "success", "cleared, it starts afresh"


def test_a_run_without_an_instance_or_for_one_that_waits_does_nothing(world: World, bench: Bench) -> None:
    bench.define(GOOD)
    assert execute(world, None) == "failed"
    number = bench.instance(state="waiting", input_hash=None)
    assert execute(world, number) in ("success", "skipped")
    assert bench.row(number)["state"] == "waiting"


@pytest.mark.req("G14")
def test_what_is_due_is_given_out_once_and_under_readable_names(
    world: World, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orbitory_airflow import execution

    bench.define(GOOD)
    numbers = [bench.instance(period_key=f"NPP/2024-02-10T12:{n:02}:00Z") for n in range(5)]
    monkeypatch.setattr(execution, "open_run", lambda: bench.site("planning"))
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "5")
    first = execution.due()
    assert [each["conf"]["instance"] for each in first] == numbers[:4]
    assert first[0] == {
        "trigger_dag_id": "pge_execution",
        "trigger_run_id": f"probe-NPP-2024-02-10T12-00-00Z-{numbers[0]}",
        "conf": {"instance": numbers[0]},
    }
    assert execution.due() == [], "the pool has two of five slots, and as many wait in line for them"
    assert execute(world, numbers[0]) == "success"
    assert [each["conf"]["instance"] for each in execution.due()] == numbers[4:]


@pytest.mark.req("G14")
@pytest.mark.parametrize("why", ["several processors", "a person's command"])
def test_nothing_waits_in_line_for_a_pool_that_does_not_know_of_all_work(
    world: World, bench: Bench, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    from orbitory_airflow import execution

    bench.define(GOOD, cpus=2 if why == "several processors" else 1)
    numbers = [bench.instance() for _ in range(4)]
    if why == "a person's command":
        owned = {"state": "running", "owner": "ada@host/7", "lease_until": "infinity"}
        bench.instance(contents=(), **owned)
    monkeypatch.setattr(execution, "open_run", lambda: bench.site("pge_planning/now"))
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "5")
    assert [each["conf"]["instance"] for each in execution.due()] == numbers[:1]
    assert execution.due() == []


@pytest.mark.req("F53")
def test_a_task_that_airflow_ends_ends_its_program_and_lets_go_of_the_instance(world: World, bench: Bench) -> None:
    from orbitory.pge.runner import run
    from orbitory_airflow.execution import _ended_by_signal

    bench.define("time.sleep(60)", wall_seconds=90.0)
    number = bench.instance()
    timer = threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    before, began = signal.getsignal(signal.SIGTERM), time.monotonic()
    with bench.site() as site, pytest.raises(SystemExit), _ended_by_signal():
        run(site, number)
    assert time.monotonic() - began < 2.0 + 4.5, "Airflow kills what has not ended after five seconds"
    assert signal.getsignal(signal.SIGTERM) is before
    row = bench.row(number)
    assert (row["state"], row["claim"]) == ("cancelled", None)
    bench.define(GOOD)
    assert execute(world, number) == "success", "cleared, it runs again"


@pytest.mark.req("F53")
def test_what_a_person_cancels_is_not_started_again_by_a_retry_of_airflow(world: World, bench: Bench) -> None:
    from orbitory.pge.recovery import cancel

    bench.define("time.sleep(4); sys.exit(3)", retries=5)
    number, cancelled = bench.instance(), list[bool]()

    def give_up() -> None:
        deadline = time.monotonic() + 60
        with bench.site("ada@host/7") as site:
            while time.monotonic() < deadline:
                row = site.inventory.one("pge_lock", instance=number)
                if row and row["state"] == "running":
                    cancelled.append(cancel(site, number))
                    return
                time.sleep(0.2)

    person = threading.Thread(target=give_up)
    person.start()
    assert execute(world, number) == "failed"
    person.join()
    row = bench.row(number)
    assert (cancelled, row["state"], row["reason"], row["tries"]) == ([True], "cancelled", "cancelled", 1)


def test_what_pges_made_is_ingested_as_soon_as_it_was_delivered(dagbag: Any) -> None:
    dag = dagbag.dags["ingest_pge"]
    assert [asset.uri for asset in dag.timetable.asset_condition.objects] == ["orbitory://pge/outputs"]
    assert dag.timetable.timetable.expression == "*/5 * * * *"
