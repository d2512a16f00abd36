"""What holds for every ingest: the form, owner, retries, order of work, labels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, Param, RetryAction, RetryRule, WeightRule
from airflow.sdk.exceptions import AirflowRuntimeError

from orbitory.catalogue import Catalogue, Source
from orbitory.errors import Transient

#: Label of a mapped batch in the grid, for example ``VIIRS #12 (840 files)``; rendered before the task starts, so that
#: a failed batch has it too.
BATCH_LABEL = (
    "{% set batch = task.op_kwargs['batch'] %}"
    "{{ batch['partition'] }} #{{ batch['id'] }} ({{ batch['count'] }} file{{ 's' if batch['count'] != 1 }})"
)

#: Only what may pass by itself is tried again. A wrong file, a wrong setting, a contradiction between storage and
#: inventory, or a bug fails at once. A killed worker raises nothing and is tried again by the scheduler.
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(exception=Transient, action=RetryAction.RETRY, reason="may pass by itself"),
        RetryRule(
            exception=[AirflowRuntimeError, ConnectionError, TimeoutError, MemoryError],
            action=RetryAction.RETRY,
            reason="Airflow or the machine was overloaded",
        ),
    ],
    default=RetryAction.FAIL,
)

#: The first delay is the site's ``[core] default_task_retry_delay``; it doubles up to 15 minutes.
DEFAULTS: dict[str, Any] = {
    "owner": "orbitory",
    "retries": 4,
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=15),
    "retry_policy": RETRY_POLICY,
    # Depth first: a batch that has begun is finished before the next begins (pools must not exceed parallelism).
    "weight_rule": WeightRule.UPSTREAM,
}


def choice(values: Sequence[str], title: str, description: str) -> Param:
    """Any number of these values; none chosen means no restriction."""
    return Param(
        [],
        type=["null", "array"],
        items={"type": "string", "enum": list(values)},
        examples=list(values),  # the choices that the UI offers
        uniqueItems=True,
        title=title,
        description=description,
    )


def sensors_among(sensors: Sequence[str]) -> Param:
    """The choice of sensors."""
    return choice(sensors, "Sensors", "Only these; none chosen means all.")


def sensors_of_all(catalogue: Catalogue) -> Param:
    """The choice among the sensors of all sources."""
    return sensors_among(
        sorted({each for source in catalogue.sources.values() for each in catalogue.sensors_of(source)})
    )


def form(source: Source, catalogue: Catalogue) -> dict[str, Param]:
    """What a data manager may choose when starting a run by hand."""
    return {
        "sensors": sensors_among(catalogue.sensors_of(source)),
        "pattern": Param(
            "*",
            type="string",
            minLength=1,
            title="Files",
            description="Only names that fit this pattern, for example SVM*_npp_*.h5",
        ),
        "workers": Param(
            2,
            type="integer",
            minimum=1,
            maximum=8,
            title="Workers",
            description="For how many workers the work is cut into batches; the result is always the same.",
        ),
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Change nothing, only say what would be done."
        ),
    }
