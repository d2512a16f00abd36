"""
Takes granules out of the archive, rows and files together. A run only **shows** what would go unless **Remove** is
ticked; scheduled runs only show.

`plan` finds the set, logs the first of it with the reason for each keeper, and keeps it under its hash. Much of a
sensor (more than 1 % or 1,000 granules) then waits in `approve` for somebody who may run this DAG: *Required Actions*
in the UI, and a mail with the list; no answer in a week means no. `remove` finds the set anew and removes it if it
still is exactly the one that was shown. `report` **fails** when something of it stays.

An approval is of the set that was shown: if `plan` runs again and finds another one, clear `approve` with it.

Files go into `trash/removal/`, rows stay as tombstones. `orbitory delete --undo HASH` brings all of it back, byte for
byte. Files that were registered in place are never touched: only their rows leave. Repeating and cancelling are safe.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import CronTriggerTimetable, TriggerRule, dag, task

from orbitory_airflow import removing, runtime
from orbitory_airflow.policy import DEFAULTS

CATALOGUE = runtime.catalogue()
#: What each is about, when it starts by itself, and how many questions may wait at once.
DAGS = {
    "duplicate_removal": (
        "Images that an evaluation put aside → trash",
        CronTriggerTimetable("30 5 * * 1", timezone="UTC"),
        1,
    ),
    "deletion": ("Granules by names or by a rule → trash", None, 1),
    "expiry_approval": ("Much of a product type that has expired → trash; started by retention", None, 16),
}


def removal() -> None:
    @task(multiple_outputs=False)
    def plan() -> dict[str, Any]:
        """Find what would go, and keep the set under its hash."""
        return removing.plan()

    @task.branch
    def choose(planned: dict[str, Any]) -> str:
        """Nothing to do, small enough, or in need of approval."""
        return str(planned["next"])

    @task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, multiple_outputs=False)
    def remove() -> dict[str, Any]:
        """Remove exactly the set that was shown, into the trash."""
        return removing.remove()

    @task(trigger_rule=TriggerRule.ALL_DONE, multiple_outputs=False)
    def report() -> dict[str, int]:
        """Give the verdict; fail when something stays that should go."""
        return removing.report()

    chosen, approve, removed = choose(plan()), removing.Approval(task_id="approve"), remove()
    chosen >> [approve, removed]
    approve >> removed
    [chosen, removed] >> report()


for name, (about, schedule, at_once) in DAGS.items():
    dag(
        dag_id=name,
        description=about,
        doc_md=f"# {name}\n{__doc__}",
        schedule=schedule,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=at_once,
        tags=["removal"],
        params=removing.form(CATALOGUE, name),
        default_args={**DEFAULTS, "pool": removing.POOL},
    )(removal)()
