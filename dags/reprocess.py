"""
Reads archived files again, one run for each day of *sensing*: start a backfill over the days that you mean.

In the UI: *Trigger* → *Backfill*. On a command line, both days included:

    airflow backfill create --dag-id reprocess --from-date 2024-02-01 --to-date 2024-02-29 \\
        --dag-run-conf '{"mode": "verify"}'

Add `--reprocess-behavior completed` to do days again that were done before. A single run, started by hand, takes
**From** and **To** of its form. The DAG must not be paused; no schedule ever starts it.

Modes: `verify` hashes every file and compares, changing nothing; `extract` reads all metadata with the present code and
renews what differs; `footprints` does so for footprints alone. Key, version, state and path of what is archived never
change. Repeating, cancelling and overlapping are safe: the archive ends in the same state.

Its tasks share the small pool `backfill`, so that what is delivered today never waits behind them. A red `report` over
green batches means files to look at, named in its log: damaged or missing ones (`verify`), or files that the present
code cannot read; their rows stayed as they were.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import TriggerRule, dag, task

from orbitory_airflow import reprocess as glue
from orbitory_airflow import runtime
from orbitory_airflow.policy import DEFAULTS
from sensing_days import SensingDays

CATALOGUE = runtime.catalogue()


@dag(
    dag_id="reprocess",
    description="Archive → archive: verify or re-read by days of sensing (backfill)",
    doc_md=f"# Reprocessing\n{__doc__}",
    schedule=SensingDays(),
    start_date=datetime(1972, 1, 1, tzinfo=UTC),  # no civil Earth observation is older
    catchup=False,
    max_active_runs=4,
    tags=["backfill"],
    params=glue.form(CATALOGUE),
    default_args={**DEFAULTS, "pool": glue.POOL},
)
def reprocess() -> None:
    @task
    def select() -> list[dict[str, int | str]]:
        """Find what the run's interval or form selects, and cut it along sensing time."""
        return glue.select()

    @task(map_index_template=glue.BATCH_LABEL)
    def read(batch: dict[str, int | str]) -> None:
        """Read every file of the batch again and renew what differs, in a child process that may die."""
        glue.read(batch)

    @task(trigger_rule=TriggerRule.ALL_DONE, multiple_outputs=False)
    def report() -> dict[str, int]:
        """Count the request; fail when a batch is unfinished or a file needs a person."""
        return glue.report()

    read.expand(batch=select()) >> report()


reprocess()
