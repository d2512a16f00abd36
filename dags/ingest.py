"""
Takes what lands in the landing zone of one source, proves it, describes it and archives it.

`detect` finds new files and cuts them into batches of one sensor. Each batch goes through `verify` (checksums and
container), `extract` (metadata and footprint), `store` (inventory rows, duplicates) and `archive` (durable placement).
`report` counts the run from the ledger.

A bad file costs only itself: it goes to quarantine with a reason, all others are archived, and **the run ends failed**
when more files were rejected than the source tolerates (none, unless its catalogue file says so). A red `report` over
green batches means there are data to look at: `orbitory quarantine list`. A red batch means that the machine, a setting
or the code is at fault; its log says which. Clear the failed task or start another run: it goes on where the work
stopped, nothing is done twice and nothing is lost.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import TriggerRule, dag, task, task_group

from orbitory.catalogue import Source
from orbitory_airflow import execution, runtime
from orbitory_airflow.assets import INVENTORY
from orbitory_airflow.notices import send_notice
from orbitory_airflow.policy import BATCH_LABEL, DEFAULTS, form

CATALOGUE = runtime.catalogue()


def define(source: Source) -> None:
    """The process of one source."""

    @dag(
        dag_id=f"ingest_{source.name}",
        description=f"{source.title}: landing zone → archive",
        doc_md=f"# {source.title}\n{__doc__}",
        schedule=execution.ingest_schedule(source),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        tags=["ingest", source.name],
        params=form(source, CATALOGUE),
        default_args=DEFAULTS,
    )
    def ingest() -> None:
        @task
        def detect() -> list[dict[str, int | str]]:
            """Find new and late files, decide which are complete, cut them into batches."""
            return runtime.detect(source.name)

        @task_group
        def partition(batch: dict[str, int | str]) -> None:
            @task(map_index_template=BATCH_LABEL)
            def verify(batch: dict[str, int | str]) -> None:
                """Hash every byte once, compare with the announced checksums, prove the container."""
                runtime.step("verify", source.name, batch)

            @task(map_index_template=BATCH_LABEL)
            def extract(batch: dict[str, int | str]) -> None:
                """Read identity, sensing time, metadata and footprint, in a child process that may die."""
                runtime.step("extract", source.name, batch)

            @task(map_index_template=BATCH_LABEL)
            def store(batch: dict[str, int | str]) -> None:
                """Decide duplicates and commit the intent to archive."""
                runtime.step("store", source.name, batch)

            @task(map_index_template=BATCH_LABEL, outlets=[INVENTORY])
            def archive(batch: dict[str, int | str]) -> None:
                """Place the files durably, make them visible, then clear them from the landing zone."""
                runtime.step("archive", source.name, batch)

            verify(batch=batch) >> extract(batch=batch) >> store(batch=batch) >> archive(batch=batch)

        @task(
            trigger_rule=TriggerRule.ALL_DONE,
            multiple_outputs=False,
            on_failure_callback=send_notice(source),
        )
        def report() -> dict[str, int]:
            """Count the run from the ledger; fail when a batch is unfinished or too many files were rejected."""
            return runtime.report(source.name)

        partition.expand(batch=detect()) >> report()

    ingest()


for each in CATALOGUE.sources.values():
    define(each)
