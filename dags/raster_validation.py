"""
Checks archived rasters, every day those that were not checked for the longest time, as far as **GB a day** go.

`select` finds what is due, `check` opens and reads it in a child process that may die, in parts of one sensor each, and
`report` **fails when a raster is bad** or was due and not checked. Its log names the first of them, the mail all;
`orbitory validate SENSOR --json` tells the same. Nothing is changed but the verdict that is kept on each file.

Modes: `header` (structure, driver, size, bands, place), `sample` (and some blocks of every band), `full` (and the
checksum of every band, compared with that of the last full check). A bad file is always looked at again as closely as
when it was found bad. Repeating and cancelling are safe: what was checked since a run began is not done again by it.

Its tasks share the small pool `backfill`, so that what is delivered today never waits behind them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import CronTriggerTimetable, TriggerRule, dag, task

from orbitory_airflow import rasters, runtime
from orbitory_airflow.policy import DEFAULTS


@dag(
    dag_id="raster_validation",
    description="Archived rasters → verdicts: opened, read and held against their metadata, some each day",
    doc_md=f"# Raster validation\n{__doc__}",
    schedule=CronTriggerTimetable("30 2 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["check"],
    params=rasters.form(runtime.catalogue()),
    default_args={**DEFAULTS, "pool": rasters.POOL},
)
def raster_validation() -> None:
    @task
    def select() -> list[dict[str, Any]]:
        """Find what is due, longest unchecked first, and share it out by sensor."""
        return rasters.select()

    @task(map_index_template=rasters.PART_LABEL)
    def check(part: dict[str, Any]) -> int:
        """Check what is still due of one part of a sensor."""
        return rasters.check(part)

    @task(trigger_rule=TriggerRule.ALL_DONE, multiple_outputs=False)
    def report() -> dict[str, int]:
        """Count the run; fail when a raster is bad or was due and not checked."""
        return rasters.report()

    check.expand(part=select()) >> report()


raster_validation()
