"""
The incinerator: takes away, every 15 minutes, what nobody may keep any longer, and nothing else.

`begin` opens the run. `clean` carries out one rule, mapped, and first finishes what an earlier run left half-done:
expired **granules** (files and rows together, into the trash), **links** and user folders, **work** folders of PGEs,
**quarantine**, and the **trash** itself when its window is over. A rule that fails stops no other one, one that finds
somebody else at work waits for the next run. `report` is **red** when something could not be removed, or nobody could
be asked; the next run tries again. From the third red run in a row on a mail a day tells of it, and nothing is ever
switched off. When no run comes to its end for an hour, the DAG `outbox` says so.

Only the database's clock decides. What somebody holds stays (`orbitory hold list`), also when the hold came at the
last second. When much of a product type, or of all together, has expired (more than 1,000 granules and more than 1 %
of it), `ask` starts a run of `expiry_approval`, where somebody decides; this DAG never waits for it. While storage
looks unmounted nothing is removed anywhere. `orbitory expire --dry-run` shows exactly what the next run takes,
`--calendar` the next 30 days.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import CronTriggerTimetable, TriggerRule, dag, task

from orbitory_airflow import retaining
from orbitory_airflow.policy import DEFAULTS


@dag(
    dag_id="retention",
    description="What has expired → trash → nothing",
    doc_md=f"# Retention\n{__doc__}",
    schedule=CronTriggerTimetable("*/15 * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["removal"],
    default_args=DEFAULTS,  # its few short tasks never wait behind a backfill
)
def retention() -> None:
    @task
    def begin() -> list[dict[str, int | str]]:
        """Open the run; one part for each rule."""
        return retaining.begin()

    @task(map_index_template="{{ task.op_kwargs['part']['rule'] }}", multiple_outputs=False)
    def clean(part: dict[str, int | str]) -> dict[str, int]:
        """Carry out one rule and write down what it did."""
        return retaining.clean(part)

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def ask() -> list[dict[str, Any]]:
        """Of which product types so much has expired that somebody must look; each is asked about once."""
        return retaining.ask()

    @task(trigger_rule=TriggerRule.ALL_DONE, multiple_outputs=False)
    def report() -> dict[str, int]:
        """Give the verdict; fail when something could not be removed."""
        return retaining.report()

    questions = ask()
    approval = TriggerDagRunOperator.partial(
        task_id="approval",
        doc_md="Start the run in which somebody decides; one that waits already is left alone.",
        trigger_dag_id=retaining.APPROVAL,
        map_index_template="{{ task.conf['product_type'] }}",
        skip_when_already_exists=True,
    ).expand_kwargs(questions)
    clean.expand(part=begin()) >> questions
    approval >> report()


retention()
