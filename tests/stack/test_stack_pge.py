"""PGEs as an operator has them: planned by arrival, run in Airflow, cleared, marked, killed."""

from __future__ import annotations

import json
import os
import signal
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from blake3 import blake3

from airflow_world import Stage
from pge_runs import END, SCRIPTS, START

PERIOD = f"[{START.isoformat()},{END.isoformat()})"


def instance(stage: Stage, pge: str, name: str) -> int:
    """A ready instance made from one archived granule."""
    with psycopg.connect(stage.uri) as connection:
        row = connection.execute(
            "INSERT INTO pge_instance (pge, version, period_key, state, input_hash, sensing, ready_at)"
            " VALUES (%s, '1', %s, 'ready', %s, %s, now()) RETURNING id",
            [pge, name, name.encode(), PERIOD],
        ).fetchone()
        assert row
        connection.execute(
            "INSERT INTO pge_input (instance_id, input, ordinal, granule_id, asset_id, digest)"
            " SELECT %s, 'main', 0, granule_id, asset_id, digest FROM pge_input ORDER BY instance_id LIMIT 1",
            row,
        )
        return int(row[0])


def row_of(stage: Stage, number: int) -> dict[str, Any]:
    return stage.rows(f"SELECT * FROM pge_instance WHERE id = {number}")[0]


def start(stage: Stage, number: int) -> tuple[str, str]:
    return "pge_execution", stage.api.trigger("pge_execution", {"instance": number})


def work(stage: Stage, number: int) -> list[Path]:
    """Work folders of the instance's tries."""
    return sorted((stage.root / "work" / "pge").glob(f"{number}.*"))


def processes(stage: Stage, number: int) -> list[int]:
    """What runs of an instance: its program, and what wraps it."""
    found, marks = [], [os.fsencode(folder) for folder in work(stage, number)]
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and any(mark in (entry / "cmdline").read_bytes() for mark in marks):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def begun(stage: Stage, number: int) -> bool:
    return any((folder / "tmp" / "begun").exists() for folder in work(stage, number))


def let_end(stage: Stage, name: str) -> None:
    """Tell the scripts, which see nothing but their own folders."""
    (stage.stack.places.home / SCRIPTS / f"{name}.ends").touch()


def begin(stage: Stage, name: str) -> tuple[int, tuple[str, str]]:
    """An instance of ``slow`` that runs now, and its run in Airflow; its next try will end."""
    number = instance(stage, "slow", name)
    run = start(stage, number)
    stage.until(lambda: begun(stage, number))
    assert processes(stage, number) and row_of(stage, number)["state"] == "running"
    let_end(stage, str(number))
    return number, run


@pytest.mark.req("G17", "G13", "W1")
def test_the_arrival_of_granules_alone_makes_products_with_their_lineage(
    stage: Stage, products: list[dict[str, Any]]
) -> None:
    assert products and {(row["tries"], row["reason"]) for row in products} == {(1, None)}
    planned = stage.api.runs("pge_planning")
    assert "asset_triggered" in {run["run_type"] for run in planned}
    assert "asset_triggered" in {run["run_type"] for run in stage.api.runs("ingest_pge")}
    runs = {run["dag_run_id"]: run["state"] for run in stage.api.runs("pge_execution")}
    names = {f"probe-{row['period_key'].replace('/', '-')}-{row['id']}" for row in products}
    assert {name: runs.get(name) for name in names} == dict.fromkeys(names, "success")
    assert len([name for name in runs if name.startswith("probe-")]) == len(products), "each instance one run"
    for row in products:
        (step,) = stage.orbitory("lineage", str(row["id"]))["instances"]
        (given,) = step["inputs"]
        (made,) = step["outputs"]
        (stored,) = stage.rows(f"SELECT encode(digest, 'hex') AS digest FROM asset WHERE path = '{given['file']}'")
        assert given["blake3"] == stored["digest"]
        bytes_made = (stage.root / "storage" / made["path"]).read_bytes()
        digest = sha256((stage.root / "storage" / given["file"]).read_bytes()).hexdigest()
        assert bytes_made.decode().split() == [row["period_key"], digest], "made of this very file"
        assert made["blake3"] == blake3(bytes_made).hexdigest() and made["granule"]
    assert stage.orbitory("audit")["violations"] == []
    for row in products:
        run, took = row["run"], row["finished_at"] - row["started_at"]
        print(f"instance {row['id']}: ready to started {row['started_at'] - row['ready_at']}, task {took}, {run}")


@pytest.mark.req("G13")
def test_clearing_a_running_task_ends_its_program_and_runs_it_again(
    stage: Stage, products: list[dict[str, Any]]
) -> None:
    number, run = begin(stage, "cleared")
    body = {"dry_run": False, "dag_run_id": run[1], "task_ids": ["execute"], "only_failed": False}
    stage.api.call("POST", f"/api/v2/dags/{run[0]}/clearTaskInstances", body)
    assert stage.finish(*run) == "success"
    assert not processes(stage, number)
    row = row_of(stage, number)
    assert row["state"] in ("delivered", "done") and row["claim"] is None
    (first,) = work(stage, number)
    assert first.name != row["folder"] and (first / "configuration.json").exists(), "kept for a person to look at"


@pytest.mark.req("G13")
def test_marking_a_running_task_failed_ends_its_program_and_lets_go_of_the_inputs(
    stage: Stage, products: list[dict[str, Any]]
) -> None:
    number, run = begin(stage, "marked")
    path = f"/api/v2/dags/{run[0]}/dagRuns/{run[1]}/taskInstances/execute"
    stage.api.call("PATCH", path, {"new_state": "failed"})
    stage.until(lambda: not processes(stage, number), 20)
    stage.until(lambda: row_of(stage, number)["state"] == "cancelled", 20)
    assert stage.finish(*run) == "failed"
    row = row_of(stage, number)
    assert (row["claim"], row["lease_until"]) == (None, None)
    assert [folder.name for folder in work(stage, number)] == [row["folder"]]
    assert not list((stage.root / "landing" / "pge").glob(f"{number}-*"))


@pytest.mark.req("G14")
@pytest.mark.faults
def test_a_lost_worker_leaves_no_process_and_its_instance_runs_again_once(
    stage: Stage, products: list[dict[str, Any]]
) -> None:
    number, run = begin(stage, "lost")
    victim = stage.await_running(*run, task_id="execute")
    parent = int(Path(f"/proc/{victim['pid']}/stat").read_text().rpartition(")")[2].split()[1])
    for pid in (parent, victim["pid"]):
        os.kill(pid, signal.SIGKILL)
    stage.until(lambda: not processes(stage, number), 10)
    assert stage.finish(*run) == "success"
    row = row_of(stage, number)
    assert (row["state"] in ("delivered", "done"), row["tries"], row["run"]["lost"]) == (True, 2, 1)


@pytest.mark.req("G14", "G16")
def test_no_more_run_at_once_than_the_pool_has_slots(stage: Stage, products: list[dict[str, Any]]) -> None:
    assert stage.api.call("GET", "/api/v2/pools/pge_default")["slots"] == 2
    numbers = [instance(stage, "pair", f"pair{n}") for n in range(4)]
    runs = [start(stage, number) for number in numbers]
    stage.until(lambda: sum(begun(stage, number) for number in numbers) == 2)
    let_end(stage, "pair")
    for run in runs:
        assert stage.finish(*run) == "success"
    stage.until(lambda: all(row_of(stage, number)["state"] == "done" for number in numbers), 60)
    paths = stage.rows(
        "SELECT s.path FROM pge_output o JOIN asset s ON s.digest = o.digest"
        f" WHERE o.instance_id IN ({', '.join(map(str, numbers))}) AND s.role = 'data'"
    )
    spans = [json.loads((stage.root / "storage" / row["path"]).read_text()) for row in paths]
    assert len(spans) == 4
    assert max(sum(began <= moment < ended for began, ended in spans) for moment, _ in spans) == 2
