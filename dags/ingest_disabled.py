"""Stands in for every source that a broken catalogue file disables, so that it is seen and its history stays."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowFailException

from orbitory_airflow import runtime
from orbitory_airflow.policy import DEFAULTS


def define(source: str, problem: str) -> None:
    """A DAG that does nothing but say what is wrong."""

    @dag(
        dag_id=f"ingest_{source}",
        description="Disabled: its catalogue file is broken",
        doc_md=f"# Disabled\nNothing of this source is ingested until the catalogue is mended:\n```\n{problem}\n```",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        tags=["ingest", source, "disabled"],
        default_args=DEFAULTS,
    )
    def ingest() -> None:
        @task
        def report() -> None:
            """Fail with what is wrong."""
            raise AirflowFailException(problem)

        report()

    ingest()


for name, what in runtime.disabled(runtime.catalogue()).items():
    define(name, what)
