"""The whole system as an operator has it: scheduler, API server, DAG processor, triggerer, database, mail."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from airflow_world import PASSWORD, Run, Stage, html_of

#: So many that every step takes long enough to be killed in its middle.
MANY = 4_000


def processes_of(pid: int) -> int:
    """The parent of a process: of a task, the worker that runs it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1])


@pytest.mark.req("W1")
def test_airflow_reads_every_dag_without_error(stage: Stage) -> None:
    ingests = {f"ingest_{source}" for source in ("idps", "correlative", "nga", "maxar", "upload", "pge")}
    others = {"outbox", "quarantine_redrive", "reprocess", "pge_planning", "pge_execution"}
    others |= {"mfp_evaluation", "raster_validation", "duplicate_removal", "deletion", "expiry_approval"}
    others |= {"retention", "archive_audit", "mirror", "dev_to_prod_export"}
    for dag_id in ingests | others:
        stage.api.await_dag(dag_id)
    assert stage.api.call("GET", "/api/v2/importErrors")["import_errors"] == []
    dags = {dag["dag_id"]: dag for dag in stage.api.call("GET", "/api/v2/dags?exclude_stale=true")["dags"]}
    assert set(dags) == ingests | others
    assert stage.api.call("GET", "/api/v2/plugins")["plugins"] == [] or all(
        "orbitory" not in plugin["name"] for plugin in stage.api.call("GET", "/api/v2/plugins")["plugins"]
    )


@pytest.mark.req("W4", "W7", "W8", "W11")
@pytest.mark.parametrize("source", ["idps", "correlative"])
def test_a_delivery_with_every_fault_ends_as_foretold_with_one_mail(
    stage: Stage, faulty: dict[str, Run], source: str
) -> None:
    run = faulty[source]
    assert run.state == "failed"
    of_the_run = f"SELECT name, state FROM arrival WHERE source = '{source}' AND name LIKE 'faulty/%'"
    states = {row["name"]: row["state"] for row in stage.rows(of_the_run)}
    assert Counter(states.values()) == Counter(str(entry["fate"]) for entry in run.truth)
    failed = {task for (task, _), state in stage.tasks(run.dag_id, run.run_id).items() if state != "success"}
    assert failed == {"report"}
    (mail,) = run.mails
    assert f"ingest of {source} failed" in mail["Subject"]
    assert stage.api.page_of(run.dag_id, run.run_id) in html_of(mail)
    assert stage.orbitory("audit")["violations"] == []


@pytest.mark.req("W11")
def test_the_password_is_in_no_log_and_in_no_xcom(stage: Stage, faulty: dict[str, Run]) -> None:
    logs = [
        file
        for folder in (stage.stack.places.logs, stage.stack.places.airflow / "logs")
        for file in folder.rglob("*")
        if file.is_file()
    ]
    assert any("detect" in str(file) for file in logs), "the tasks' logs were not found"
    assert [str(file) for file in logs if PASSWORD.encode() in file.read_bytes()] == []
    with psycopg.connect(stage.stack.cluster.uri("airflow", "airflow")) as connection:
        dump = "".join(
            str(row)
            for table in ("xcom", "rendered_task_instance_fields", "log", "dag_run", "serialized_dag")
            for row in connection.execute(f"SELECT {table}::text FROM {table}".encode())
        )
    assert "ingest_idps" in dump and PASSWORD not in dump


def deliver_many(stage: Stage, name: str) -> int:
    for number in range(MANY):
        stage.land("correlative", f"{name}_{number:05}.txt", f"{name} {number}".encode())
    return MANY


def check_all_archived(stage: Stage, name: str) -> None:
    counts = stage.rows(f"SELECT state, landed, count(*) AS n FROM arrival WHERE name LIKE '{name}%' GROUP BY 1, 2")
    assert counts == [{"state": "archived", "landed": False, "n": MANY}]
    assert list((stage.root / "landing" / "correlative").glob(f"{name}_*")) == []
    assert len(list((stage.root / "storage").rglob(f"{name}_*"))) == MANY
    assert stage.orbitory("audit")["violations"] == []


@pytest.mark.req("W5")
@pytest.mark.faults
@pytest.mark.fault("F09", how="kill -9 of the executor's worker in verify and in archive")
@pytest.mark.parametrize("step", ["verify", "archive"])
def test_a_worker_killed_in_mid_run_is_replaced_and_nothing_is_lost(stage: Stage, step: str) -> None:
    name = f"worker_{step}"
    deliver_many(stage, name)
    run = stage.start("correlative", pattern=f"{name}*", workers=1)
    victim = stage.await_running(*run, task_id=f"partition.{step}")
    os.kill(processes_of(victim["pid"]), signal.SIGKILL)
    assert stage.finish(*run) == "success"
    (again,) = [each for each in stage.api.tasks(*run) if each["task_id"] == f"partition.{step}"]
    assert again["try_number"] > 1, "the kill came too late to matter"
    check_all_archived(stage, name)


@pytest.mark.req("W5")
@pytest.mark.faults
@pytest.mark.fault("F09", "F10", how="kill -9 of the scheduler in mid-run")
def test_a_scheduler_killed_in_mid_run_is_restarted_and_nothing_is_lost(stage: Stage) -> None:
    name = "scheduler"
    deliver_many(stage, name)
    run = stage.start("correlative", pattern=f"{name}*", workers=1)
    stage.await_running(*run, task_id="partition.extract")
    pid = stage.stack.processes.pid("scheduler")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while stage.stack.processes.pid("scheduler"):
        time.sleep(0.1)
    stage.stack.up(timeout_seconds=300)
    assert stage.finish(*run) == "success"
    check_all_archived(stage, name)
