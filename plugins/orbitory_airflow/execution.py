"""What the DAGs `pge_execution…` do in Airflow: one run is one PGE instance."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from airflow.sdk import Asset, AssetOrTimeSchedule, CronTriggerTimetable, Param, get_current_context
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from orbitory.catalogue import Catalogue, Source
from orbitory.errors import Transient
from orbitory.pge.delivery import SOURCE as OUTPUTS
from orbitory.pge.resources import DEFAULT_QUEUE, queues, slots_of
from orbitory_airflow.runtime import open_run

log = logging.getLogger(__name__)

#: Told whenever a PGE has delivered: there is something to ingest, and room for the next.
DELIVERED = Asset(name="pge_outputs", uri="orbitory://pge/outputs")
#: A failed try comes back as one that may pass; how often it may is for the PGE's definition to say, at most 10 times.
RETRIES = 14


def dag_of(queue: str) -> str:
    """The DAG that runs what waits in a queue."""
    return "pge_execution" if queue == DEFAULT_QUEUE else f"pge_execution_{queue}"


def pool_of(queue: str) -> str:
    """The pool of a queue; made by bin/private_stack and deploy/initialise.sh."""
    return f"pge_{queue}"


def queues_of(catalogue: Catalogue) -> list[str]:
    """Every queue that needs a DAG."""
    return queues(catalogue)


def ingest_schedule(source: Source) -> CronTriggerTimetable | AssetOrTimeSchedule:
    """When a source's ingest runs: by its clock; what PGEs made, also as soon as it was delivered."""
    clock = CronTriggerTimetable(source.schedule, timezone="UTC")
    return AssetOrTimeSchedule(timetable=clock, assets=[DELIVERED]) if source.name == OUTPUTS else clock


def form() -> dict[str, Param]:
    """What a person chooses who starts a run by hand."""
    return {
        "instance": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Instance",
            description="Number of the PGE instance, as `orbitory plan` shows it. One that failed starts afresh.",
        )
    }


def due() -> list[dict[str, Any]]:
    """Take up what was lost, then give out what there is room for: arguments of one TriggerDagRunOperator each.

    Trigger them with ``reset_dag_run``: an instance that is run again is run again under its own run id.
    """
    from orbitory.pge.recovery import recover, settle
    from orbitory.pge.resources import hand_out

    found: list[dict[str, Any]] = []
    with open_run() as site:
        for result in recover(site):
            log.warning("instance %d of %s lost its worker; it is %s", result.instance, result.pge, result.state)
        for row in settle(site):
            log.info("instance %d of %s is %s", row["id"], row["pge"], row["state"])
        every = queues(site.catalogue)
        slots = slots_of(conf.getint("core", "parallelism"), len(every))
        for queue in every:
            for each in hand_out(site, queue, slots, in_line=True):
                found.append(
                    {
                        "trigger_dag_id": dag_of(queue),
                        "trigger_run_id": each.run_id,
                        "conf": {"instance": each.id},
                    }
                )
    return found


def run() -> dict[str, Any]:
    """Run the instance that the form names; a failed try comes back as Transient while there are some left."""
    from orbitory.pge import runner

    context = get_current_context()
    instance = context["params"]["instance"]
    if instance is None:
        raise AirflowFailException("no instance was chosen: give its number, see `orbitory plan`")
    with open_run() as site, _ended_by_signal():
        result = runner.run(site, instance, afresh=_asked_for(context["ti"]))
        row = site.inventory.one("pge_told", instance=instance)
    for line in ((row and row["log_tail"]) or "").splitlines():
        log.info("%s | %s", result.pge, line)
    log.info("instance %d of %s is %s: %s", instance, result.pge, result.state, result.run)
    if result.state == "ready":
        raise Transient(f"instance {instance} of {result.pge}: {result.reason}: {result.detail}")
    if result.state not in ("delivered", "done"):
        raise AirflowFailException(
            f"instance {instance} of {result.pge} {result.state}: {result.reason}: {result.detail}"
        )
    return result.as_dict()


def _asked_for(ti: Any) -> bool:
    """Whether a person, or the planning, asks: the first try since the start, or since the task was cleared.

    Later ones are Airflow's own retries: they go on, but never start again what was given up or cancelled meanwhile.
    """
    return bool(ti.try_number == ti.max_tries - RETRIES + 1)


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Airflow ends a task by SIGTERM and, five seconds later, for good: until then the PGE must have ended."""

    def leave(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
