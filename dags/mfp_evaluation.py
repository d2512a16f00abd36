"""
Evaluates the master footprints: the rows by which users of rasters find one best image of each scene.

`select` opens the run and names the sensors, `evaluate` does one of them, and `report` **fails when errors were found**
or a sensor was not done to its end. Its log names the first findings, the mail all of them; `orbitory mfp history`
lists the runs. Every row is checked (findings E01 to E14, see docs/findings.md), a sample of files is hashed, and
coverage is measured.

Of several orders of an image the best is chosen anew: the others move to `footprint_archive`, with their keeper and the
reason, and come back when they are the best again. No file is touched and no row is corrected. `orbitory mfp explain
CATALOG_ID` says why one was preferred and what would change that. Repeating it gives the same digest; cancelling it is
safe.

Its tasks share the small pool `backfill`, so that what is delivered today never waits behind them. An archive without
strips has nothing to evaluate.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import CronTriggerTimetable, TriggerRule, dag, task

from orbitory_airflow import evaluation, runtime
from orbitory_airflow.policy import DEFAULTS


@dag(
    dag_id="mfp_evaluation",
    description="Master footprints → findings, best choice, coverage; every week and on demand",
    doc_md=f"# Evaluation of the master footprints\n{__doc__}",
    schedule=CronTriggerTimetable("0 4 * * 6", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["check", "mfp"],
    params=evaluation.form(runtime.catalogue()),
    default_args={**DEFAULTS, "pool": evaluation.POOL},
)
def mfp_evaluation() -> None:
    @task
    def select() -> list[dict[str, int | str]]:
        """Open the run; hand over one sensor each."""
        return evaluation.select()

    @task(map_index_template=evaluation.PART_LABEL)
    def evaluate(part: dict[str, int | str]) -> None:
        """Choose, check and measure the footprints of one sensor."""
        evaluation.evaluate(part)

    @task(trigger_rule=TriggerRule.ALL_DONE, multiple_outputs=False)
    def report() -> dict[str, int]:
        """Count the run and tell people; fail when errors were found or a sensor was not done."""
        return evaluation.report()

    evaluate.expand(part=select()) >> report()


mfp_evaluation()
