"""
Proves every day that storage holds what the inventory says, and reads some of it again until everything was.

`cut` divides storage into ranges of paths, `compare` holds the names and sizes of each against the inventory: database,
walk, database, so that live data gives no false finding. `choose` takes the files longest unread, as far as the day's
gigabytes go, and `read` compares their bytes with the digests they were archived with. `promises` checks what rows
alone can show: history replayed, statistics counted again. `report` tells the result and after how many days everything
was read, and **fails** when something is open; one mail a run.

Nothing is deleted. A file that no row speaks of moves to `quarantine/dark/`, a missing one becomes `suspect`: only
after two runs agreed, an hour apart. A damaged one, read twice, is `suspect` at once. Where a second copy agrees, it
takes the place of a missing or damaged file. If too many are wrong, storage itself must be at fault, and nothing is
done.

Repeating and cancelling are safe. The tasks share the small pool `backfill`, so that live data never waits for them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import CronTriggerTimetable, TriggerRule, dag, task

from orbitory_airflow import auditing
from orbitory_airflow.policy import DEFAULTS


@dag(
    dag_id="archive_audit",
    description="Storage ↔ inventory, three ways; and so many bytes read again each day",
    doc_md=f"# Archive audit\n{__doc__}",
    schedule=CronTriggerTimetable("30 3 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["check"],
    params=auditing.form(),
    default_args={**DEFAULTS, "pool": auditing.POOL},
)
def archive_audit() -> None:
    @task
    def cut() -> list[dict[str, Any]]:
        """Divide storage into ranges of paths."""
        return auditing.cut()

    @task(map_index_template=auditing.PARTITION_LABEL, multiple_outputs=False)
    def compare(partition: dict[str, Any]) -> dict[str, Any]:
        """Hold the names and sizes of one range against the inventory."""
        return auditing.compare(partition)

    @task
    def choose() -> list[dict[str, Any]]:
        """Take the files longest unread, as far as today's bytes go."""
        return auditing.choose()

    @task(map_index_template=auditing.PART_LABEL, multiple_outputs=False)
    def read(part: dict[str, Any]) -> dict[str, Any]:
        """Read the files of one range again."""
        return auditing.read(part)

    @task(multiple_outputs=False)
    def promises() -> dict[str, Any]:
        """Check what rows alone can show: rules, history, statistics."""
        return auditing.promises()

    @task(trigger_rule=TriggerRule.ALL_DONE, multiple_outputs=False)
    def report() -> dict[str, Any]:
        """Give the verdict; fail when something is open."""
        return auditing.report()

    [compare.expand(partition=cut()), read.expand(part=choose()), promises()] >> report()


archive_audit()
