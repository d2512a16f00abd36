"""
Moves files from quarantine back to the landing zone, with their sidecars, and lets their source's ingest look again.

Choose by source, by reason, or by the numbers that `orbitory quarantine list` shows; a file must fit all that is given.
`redrive` logs what became of each file. Nothing in the landing zone is overwritten: where a name is taken the whole
unit stays in quarantine, and `report` fails at the end and says so. A choice that fits nothing fails at once.
`ingest` starts the DAG of each source that got something back; it runs when that DAG is not paused.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import TriggerRule, dag, task

from orbitory_airflow import redriving, runtime
from orbitory_airflow.policy import DEFAULTS


@dag(
    dag_id="quarantine_redrive",
    description="Quarantine → landing zone, then the ingest of the sources concerned",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["quarantine"],
    params=redriving.form(runtime.catalogue()),
    default_args=DEFAULTS,
)
def quarantine_redrive() -> None:
    @task
    def redrive() -> list[str]:
        """Move the chosen units back; hands over the DAGs that shall look at them."""
        return redriving.redrive()

    ingest = TriggerDagRunOperator.partial(
        task_id="ingest",
        doc_md="Start the ingest of a source that got files back.",
        map_index_template="{{ task.trigger_dag_id }}",
    ).expand(trigger_dag_id=redrive())

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def report() -> None:
        """Fail when files stayed in quarantine or an ingest could not be started."""
        redriving.report()

    ingest >> report()


quarantine_redrive()
