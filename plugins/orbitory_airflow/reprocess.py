"""What the DAG `reprocess` does in Airflow: its form, its interval, its verdict."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from airflow.sdk import Param, get_current_context
from airflow.sdk.exceptions import AirflowFailException

from orbitory.catalogue import Catalogue
from orbitory.errors import ConfigurationError
from orbitory_airflow.policy import choice, sensors_of_all
from orbitory_airflow.runtime import open_run

log = logging.getLogger(__name__)

#: Its slots are apart from those of live data; made by bin/private_stack and deploy/initialise.sh.
POOL = "backfill"
#: Label of a batch in the grid, for example ``2024-02-10 #0 (840 files)``.
BATCH_LABEL = (
    "{% set batch = task.op_kwargs['batch'] %}"
    "{{ batch['day'] }} #{{ batch['number'] }} ({{ batch['count'] }} file{{ 's' if batch['count'] != 1 }})"
)
_SHOWN = 100


def form(catalogue: Catalogue) -> dict[str, Param]:
    """What a data manager may choose, for a backfill as for a single run."""
    products = sorted(catalogue.products) + sorted({each for kind in catalogue.products.values() for each in kind.ids})
    return {
        "mode": Param(
            "verify",
            type="string",
            enum=["verify", "extract", "footprints"],
            title="Mode",
            description="Hash and compare; read all metadata again; read footprints again.",
        ),
        "products": choice(products, "Products", "Product types or product ids; none chosen means all."),
        "sensors": sensors_of_all(catalogue),
        "names": Param(
            [],
            type=["null", "array"],
            items={"type": "string", "minLength": 1},
            title="Files",
            description="Only files delivered under these names, one a line; none means all.",
        ),
        "from": _moment("From", "Sensed at or after this moment, UTC; empty: the run's own day."),
        "to": _moment("To", "And before this one, UTC."),
        "dry_run": Param(False, type="boolean", title="Dry run", description="Change nothing, only count."),
    }


def _moment(title: str, description: str) -> Param:
    return Param(None, type=["null", "string"], format="date-time", title=title, description=description)


def select() -> list[dict[str, int | str]]:
    """Write the request down and cut it; hands over numbers and a label of each batch."""
    from orbitory import reprocess

    context = get_current_context()
    chosen = context["params"]
    start, stop = _interval(context)
    selection = reprocess.Selection(
        start=start,
        stop=stop,
        products=tuple(chosen["products"] or ()),
        sensors=tuple(chosen["sensors"] or ()),
        names=tuple(chosen["names"] or ()),
        mode=reprocess.Mode(chosen["mode"]),
    )
    with open_run() as site:
        if chosen["dry_run"]:
            planned = reprocess.plan(site, selection)
            log.info("dry run, nothing was changed: %d files, %d bytes would be read", planned.files, planned.bytes)
            return []
        kind = str(getattr(context["dag_run"].run_type, "value", context["dag_run"].run_type))
        reason = "backfill" if kind == "backfill" else "manual"
        return [batch.as_dict() for batch in reprocess.begin(site, selection, cast(reprocess.Reason, reason)).batches]


def _interval(context: Mapping[str, Any]) -> tuple[datetime, datetime]:
    """The form's range of sensing, else the run's own day."""
    from orbitory.search import read_time

    chosen = context["params"]
    if bool(chosen["from"]) != bool(chosen["to"]):
        raise ConfigurationError("the form has only one of From and To: give both, or neither for the run's own day")
    if chosen["from"]:
        return read_time(chosen["from"]), read_time(chosen["to"])
    start, stop = context.get("data_interval_start"), context.get("data_interval_end")
    if start is None or stop is None:
        raise ConfigurationError("this run has no interval of its own: give From and To in its form")
    return start, stop


def read(batch: Mapping[str, Any]) -> None:
    """Do the work of one batch; one that is finished is left alone."""
    from orbitory import reprocess

    with open_run() as site:
        reprocess.work(site, batch["request"], batch["number"])


def report() -> dict[str, int]:
    """Count the run's request and give the verdict, which is never tried again."""
    from orbitory import reprocess

    context = get_current_context()
    if context["ti"].xcom_pull(task_ids="select") is None:
        raise AirflowFailException("select did not finish: its log says why")
    if context["params"]["dry_run"]:
        return {}
    with open_run() as site:
        outcome = reprocess.finish(site)
    for problem in outcome.found[:_SHOWN]:
        log.error("%s: %s: %s", problem["path"], problem["code"], problem["detail"])
    if outcome.problems > _SHOWN:
        log.error("and %d more: see table reprocess_problem, request %s", outcome.problems - _SHOWN, outcome.request)
    if outcome.failed:
        raise AirflowFailException(outcome.message)
    log.info("%s", outcome.message)
    return {name: value for name, value in outcome.as_dict().items() if isinstance(value, int)}
