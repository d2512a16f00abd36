"""
Keeps second copies of the product types that ask for them (`mirror = true`), after every ingest and every hour.

`which` finds the mirrors, `copy` brings each up to date: what was archived is copied, and its bytes are compared on
their way; what left the archive, and the trash, is removed; copies longest unread are read again. `report` **fails**
when a copy could not be made or had rotted, and sends one mail a day. Ingest never waits for any of this. A mirror that
looks unmounted, or is another's, is left alone.

`orbitory mirror status` tells how the mirrors stand, `orbitory repair NAME` restores a file; docs/recovery.md tells
what to do when storage or inventory is lost.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, TriggerRule, dag, task

from orbitory_airflow import mirroring
from orbitory_airflow.assets import INVENTORY
from orbitory_airflow.policy import DEFAULTS


@dag(
    dag_id="mirror",
    description="Archived files → second copies",
    doc_md=f"# Mirror\n{__doc__}",
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("20 * * * *", timezone="UTC"), assets=[INVENTORY]),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["check"],
    default_args={**DEFAULTS, "pool": mirroring.POOL},
)
def mirror() -> None:
    @task
    def which() -> list[str]:
        """Find the mirrors that there should be."""
        return mirroring.which()

    @task(map_index_template=mirroring.MIRROR_LABEL, multiple_outputs=False)
    def copy(name: str) -> dict[str, Any]:
        """Bring one mirror up to date."""
        return mirroring.copy(name)

    @task(trigger_rule=TriggerRule.ALL_DONE, multiple_outputs=False)
    def report() -> dict[str, int]:
        """Give the verdict; fail when a copy could not be made or had rotted."""
        return mirroring.report()

    copy.expand(name=which()) >> report()


mirror()
