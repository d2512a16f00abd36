"""
Runs one PGE instance: its inputs are linked into a work folder and proved by their digests, its program runs there
under limits, and what it made is checked against its definition and delivered to the landing zone of source `pge`,
all at once or not at all. The instance is done when the ingest has archived that.

`pge_planning` starts these runs, the most important first and never more than the queue's pool has slots; start one by
hand to run an instance that failed, by its number. Whatever goes wrong is stated by the instance: `orbitory why`.

**Clearing** the task runs the instance again, **marking it failed** ends the program within seconds, with all that it
has started, and cancels the instance; either lets go of what was held for it. While the task waits, for its turn or for
its next try, marking it failed leaves the instance as it is: `orbitory cancel-pge` gives it up. A try that failed is
repeated as often as the PGE's definition says, then a person gets a message. The work folder of a failed try is kept
for a week.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import dag, task

from orbitory_airflow import execution as glue
from orbitory_airflow import runtime
from orbitory_airflow.policy import DEFAULTS


def define(queue: str) -> None:
    """The process of what waits in one queue."""

    @dag(
        dag_id=glue.dag_of(queue),
        description=f"One PGE instance of queue {queue}: inputs → program → landing zone",
        doc_md=f"# Running PGEs\n{__doc__}",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=64,
        max_active_tasks=64,
        is_paused_upon_creation=False,
        tags=["pge"],
        params=glue.form(),
        default_args={**DEFAULTS, "pool": glue.pool_of(queue), "retries": glue.RETRIES},
    )
    def pge_execution() -> None:
        @task(outlets=[glue.DELIVERED], multiple_outputs=False)
        def execute() -> dict[str, Any]:
            """Stage, run, check and deliver; ends its program when it is ended itself."""
            return glue.run()

        execute()

    pge_execution()


for each in glue.queues_of(runtime.catalogue()):
    define(each)
