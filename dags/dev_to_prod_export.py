"""
Brings validated granules to another site: rows with their footprints, tombstones and lineage; files if **Files** is
ticked. A run only **shows** what differs unless **Export** is ticked.

`preview` compares both sites and keeps what differs under its hash; its log says where the report stands. `approve`
then waits for somebody who may run this DAG, unless **Ask** is unticked and little would leave there. `begin` finds the
differences anew, `copy` brings them over, each sensor in batches of its own, each batch as a whole. `check` looks at
what stands there. `report` **fails** when something is not what it should be, or was edited there since the last
export: such granules are never overwritten.

Repeating, clearing and cancelling are safe at any point. `orbitory export undo ID` takes an export back.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import TriggerRule, dag, task

from orbitory_airflow import exporting, runtime
from orbitory_airflow.policy import DEFAULTS


@dag(
    dag_id="dev_to_prod_export",
    description="Validated granules → another site: preview, approval, copy, checks",
    doc_md=f"# Export\n{__doc__}",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["export"],
    params=exporting.form(runtime.catalogue()),
    default_args={**DEFAULTS, "pool": exporting.POOL},
)
def dev_to_prod_export() -> None:
    @task(multiple_outputs=False)
    def preview() -> dict[str, Any]:
        """Compare both sites, and keep what differs under its hash."""
        return exporting.preview()

    @task.branch
    def choose(previewed: dict[str, Any]) -> str:
        """Nothing to do, to be approved, or to be copied at once."""
        return str(previewed["next"])

    @task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def begin() -> list[dict[str, Any]]:
        """Make sure that nothing has changed since it was shown, and share it out by sensor."""
        return exporting.begin()

    @task(map_index_template=exporting.PART_LABEL, max_active_tis_per_dagrun=1)
    def copy(part: dict[str, Any]) -> int:
        """Bring over what is left of one sensor."""
        return exporting.copy(part)

    @task(trigger_rule=TriggerRule.NONE_FAILED, multiple_outputs=False)
    def check() -> dict[str, Any]:
        """Check what stands there, and close the export."""
        return exporting.check()

    @task(trigger_rule=TriggerRule.ALL_DONE, multiple_outputs=False)
    def report() -> dict[str, int]:
        """Give the verdict; fail when something is not what it should be."""
        return exporting.report()

    chosen, approve, parts, told = choose(preview()), exporting.Approval(task_id="approve"), begin(), report()
    chosen >> [approve, parts, told]
    approve >> parts
    copy.expand(part=parts) >> check() >> told


dev_to_prod_export()
