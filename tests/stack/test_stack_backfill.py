"""A month of sensing is backfilled by Airflow's own command while live data keep arriving."""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest

from airflow_world import CHECKOUT, Stage
from orbitory.catalogue import load
from orbitory.simulate import simulate

#: A free slot is taken within seconds, also on a busy machine; behind a month of runs it would be minutes.
PATIENCE = timedelta(seconds=30)


@pytest.fixture(scope="module")
def month(stage: Stage) -> tuple[datetime, datetime]:
    """First and last day of a month in which archived data were sensed."""
    simulate(load(CHECKOUT / "include" / "catalogue"), "idps", 40, 21, "", stage.root / "landing" / "idps" / "month")
    assert stage.finish(*stage.start("idps", pattern="month/*")) == "success"
    (row,) = stage.rows(
        "SELECT date_trunc('month', lower(sensing), 'UTC') AS month, count(*) AS n FROM granule"
        " WHERE lower(sensing) IS NOT NULL AND state = 'archived' AND source = 'idps' GROUP BY 1"
        " ORDER BY 2 DESC LIMIT 1"
    )
    first = row["month"].astimezone(UTC)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def airflow(stage: Stage, *words: str) -> str:
    """Airflow's command line, as an operator has it."""
    done = subprocess.run(
        stage.stack.airflow.command(*words),
        env=stage.stack.airflow.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def runs(stage: Stage) -> list[dict[str, Any]]:
    query = urlencode({"limit": 100, "order_by": "logical_date"})
    return list(stage.api.call("GET", f"/api/v2/dags/reprocess/dagRuns?{query}")["dag_runs"])


def await_end(stage: Stage, seconds: float) -> None:
    """Wait until every run of the backfill has ended and Airflow, some seconds later, calls it complete."""
    deadline = time.monotonic() + seconds
    while not all(each["completed_at"] for each in backfills(stage)):
        assert time.monotonic() < deadline, [(run["dag_run_id"], run["state"]) for run in runs(stage)]
        time.sleep(1)


def backfills(stage: Stage) -> list[dict[str, Any]]:
    return list(stage.api.call("GET", "/api/v2/backfills?dag_id=reprocess")["backfills"])


def facts(stage: Stage) -> list[dict[str, Any]]:
    return stage.rows(
        "SELECT key, version, orbit, ST_AsText(footprint) AS footprint, area_km2, search FROM granule"
        " WHERE source = 'idps' AND state = 'archived' ORDER BY id"
    )


def forget(stage: Stage, first: datetime, last: datetime) -> None:
    """What was read of the files of these days is wrong or gone; a backfill puts it right."""
    with psycopg.connect(stage.uri) as connection:
        connection.execute(
            "UPDATE granule SET orbit = 7, footprint = NULL, area_km2 = NULL"
            " WHERE source = 'idps' AND lower(sensing) >= %s AND lower(sensing) < %s",
            [first, last + timedelta(days=1)],
        )
    stage.api.await_dag("reprocess")
    stage.api.unpause("reprocess")


def waited(instance: dict[str, Any]) -> timedelta:
    begun, queued = (datetime.fromisoformat(instance[name]) for name in ("start_date", "queued_when"))
    return begun - queued


@pytest.mark.req("W9")
@pytest.mark.fault("F47", how="a month of archived data is backfilled while live data arrive")
def test_live_data_do_not_wait_behind_a_backfill_of_a_month(stage: Stage, month: tuple[datetime, datetime]) -> None:
    first, last = month
    before = facts(stage)
    forget(stage, first, last)
    assert facts(stage) != before
    interval = ("--from-date", f"{first:%F}", "--to-date", f"{last:%F}")
    airflow(stage, "backfill", "create", "--dag-id", "reprocess", *interval, "--dag-run-conf", '{"mode": "extract"}')
    days = (last - first).days + 1
    assert len(runs(stage)) == days and {run["run_type"] for run in runs(stage)} == {"backfill"}

    for number in range(20):
        stage.land("correlative", f"live_{number:02}.txt", f"reading {number}".encode())
    live = stage.start("correlative", pattern="live_*")
    assert stage.finish(*live) == "success"
    assert {run["state"] for run in runs(stage)} & {"queued", "running"}, "the backfill had ended: nothing was shown"
    instances = stage.api.tasks(*live)
    assert max(waited(each) for each in instances if each["queued_when"]) < PATIENCE
    counts = stage.rows("SELECT state, count(*) AS n FROM arrival WHERE name LIKE 'live_%' GROUP BY 1")
    assert counts == [{"state": "archived", "n": 20}]

    await_end(stage, 600)
    assert {run["state"] for run in runs(stage)} == {"success"}
    assert {run["run_type"] for run in runs(stage)} == {"backfill"}, "no schedule starts it"
    assert facts(stage) == before
    requests = stage.rows("SELECT lower(sensing) AS day, reason, verdict FROM reprocess_request ORDER BY 1")
    assert [row["day"].astimezone(UTC) for row in requests] == [first + timedelta(days=day) for day in range(days)]
    assert {(row["reason"], row["verdict"]) for row in requests} == {("backfill", "success")}
    one = next(run for run in runs(stage))
    assert {each["pool"] for each in stage.api.tasks("reprocess", one["dag_run_id"])} == {"backfill"}
    assert stage.orbitory("audit")["violations"] == []


@pytest.mark.req("W9")
@pytest.mark.fault("F47", how="a period that was backfilled is backfilled again")
def test_a_month_that_was_done_is_done_again_when_asked(stage: Stage, month: tuple[datetime, datetime]) -> None:
    first, _ = month
    same = ("backfill", "create", "--dag-id", "reprocess", "--from-date", f"{first:%F}", "--to-date", f"{first:%F}")
    before = len(stage.rows("SELECT id FROM reprocess_request"))
    airflow(stage, *same, "--reprocess-behavior", "completed", "--dag-run-conf", '{"mode": "verify"}')
    await_end(stage, 300)
    assert {run["state"] for run in runs(stage)} == {"success"}
    rows = stage.rows("SELECT mode, reason, verdict FROM reprocess_request ORDER BY id")
    assert len(rows) == before + 1
    assert rows[-1] == {"mode": "verify", "reason": "backfill", "verdict": "success"}


@pytest.mark.req("W9")
@pytest.mark.fault("F47", how="a backfill is cancelled in mid-run, and another one begun over the same days")
def test_a_backfill_that_is_cancelled_finishes_what_it_began_and_a_later_one_the_rest(
    stage: Stage, month: tuple[datetime, datetime]
) -> None:
    (row,) = stage.rows(f"SELECT min(lower(sensing)) AS first FROM granule WHERE lower(sensing) >= '{month[0]}'")
    first = row["first"].astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    last = first + timedelta(days=5)
    create = ("backfill", "create", "--dag-id", "reprocess", "--from-date", f"{first:%F}", "--to-date", f"{last:%F}")
    again = ("--reprocess-behavior", "completed", "--dag-run-conf", '{"mode": "extract"}', "--max-active-runs")
    before, asked = facts(stage), len(stage.rows("SELECT id FROM reprocess_request"))
    forget(stage, first, last)
    assert facts(stage) != before
    airflow(stage, *create, *again, "1")
    stage.until(lambda: {"success", "running", "queued"} <= set(states(stage, first, last)), 180)
    (cancelled,) = [each["id"] for each in backfills(stage) if not each["completed_at"]]
    stage.api.call("PUT", f"/api/v2/backfills/{cancelled}/cancel")
    stage.until(lambda: not stage.api.active_runs("reprocess"), 180)
    ended = states(stage, first, last)
    assert set(ended) == {"success", "failed"}
    begun = stage.rows("SELECT verdict FROM reprocess_request ORDER BY id")[asked:]
    assert [row["verdict"] for row in begun] == ["success"] * ended.count("success")

    airflow(stage, *create, *again, "6")
    await_end(stage, 300)
    assert states(stage, first, last) == ["success"] * 6
    assert facts(stage) == before
    assert stage.orbitory("audit")["violations"] == []


def states(stage: Stage, first: datetime, last: datetime) -> list[str]:
    """Of the runs for these days."""
    days = {f"{first + timedelta(days=number):%F}" for number in range((last - first).days + 1)}
    return [run["state"] for run in runs(stage) if run["logical_date"][:10] in days]
