"""
Plans the products that are due, and starts a run of `pge_execution` for each that there is room for.

It runs whenever an ingest has archived a batch, whenever a PGE has delivered, and every five minutes, for time-outs.
`plan` looks at the granules that were archived since the last planning, never at the whole archive: a PGE instance is
created for each period, waits until its inputs are there, and is `ready` exactly once for each set of inputs.
`orbitory why INSTANCE` says what one waits for. `due` takes the most important ready ones, as many as the pools have
room for. Two plannings at once, or one twice, change nothing.

**Backfill** plans days of *sensing* again: what a new PGE, or a new version of one, makes of what the archive holds
already. In the UI: *Trigger* → *Backfill*. On a command line, both days included:

    airflow backfill create --dag-id pge_planning --from-date 2024-02-01 --to-date 2024-02-29

A single run, started by hand, plans what is due, or the range in its form. What was made from the same inputs before is
not made again. A PGE whose file in the catalogue is broken is named in the log of `plan`; the others go on, and it
catches up when it is repaired. So does one that cannot be planned for any other reason: it makes `plan` red, and a
message is sent; `due` goes on for all that is ready.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import AssetOrTimeSchedule, TriggerRule, dag, task

from orbitory_airflow import execution, planning
from orbitory_airflow.assets import INVENTORY
from orbitory_airflow.policy import DEFAULTS
from sensing_days import PlanningTimes


@dag(
    dag_id="pge_planning",
    description="Inventory → PGE instances that are due, and a run for each",
    doc_md=f"# Planning of PGEs\n{__doc__}",
    schedule=AssetOrTimeSchedule(timetable=PlanningTimes(), assets=INVENTORY | execution.DELIVERED),
    start_date=datetime(1972, 1, 1, tzinfo=UTC),  # backfills go as far back as Earth observation does
    catchup=False,
    max_active_runs=4,
    tags=["pge"],
    params=planning.form(),
    # Short, and what it starts waits for it: before the steps of any ingest.
    default_args={**DEFAULTS, "priority_weight": 100},
)
def pge_planning() -> None:
    @task(multiple_outputs=False)
    def plan() -> dict[str, int]:
        """Create and renew instances by what was archived, and by what time has decided."""
        return planning.plan()

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def due() -> list[dict[str, Any]]:
        """Take up what lost its worker, settle what was archived, and choose what runs next, even if `plan` failed."""
        return execution.due()

    chosen = due()
    planned = plan()
    planned >> chosen
    planned >> EmptyOperator(task_id="planned", doc_md="Makes the run red where `plan` is: its log says why.")
    TriggerDagRunOperator.partial(
        task_id="execute",
        doc_md="Start the run of one instance.",
        map_index_template="{{ task.trigger_run_id }}",
        reset_dag_run=True,
    ).expand_kwargs(chosen)


pge_planning()
