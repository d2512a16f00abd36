"""What the DAG `pge_planning` does in Airflow: its form, its interval, what it starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow.sdk import Param, get_current_context

from orbitory.errors import ConfigurationError
from orbitory_airflow.runtime import open_run

log = logging.getLogger(__name__)


def form() -> dict[str, Param]:
    """What a data manager may choose."""
    return {
        "from": _moment("From", "Plan what was sensed at or after this moment, UTC; empty: what is due now."),
        "to": _moment("To", "And before this one, UTC."),
    }


def _moment(title: str, description: str) -> Param:
    return Param(None, type=["null", "string"], format="date-time", title=title, description=description)


def plan() -> dict[str, int]:
    """Plan what is due, or the range of the form, or the day of a backfill; counts instances by state."""
    from orbitory.pge.planner import counted
    from orbitory.pge.planner import plan as plan_pges

    start, stop = _range(get_current_context())
    with open_run() as site:
        planned = plan_pges(site, start, stop)
        for problem in site.catalogue.problems:
            if problem.file.startswith("pges/"):
                log.error("not planned: %s", problem)
        counts = counted(site.inventory)
    log.info(
        "granules=%d periods=%d written=%d seconds=%.2f; instances now: %s",
        *(planned.granules, planned.periods, planned.written, planned.seconds, counts),
    )
    return counts


def _range(context: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """The form's range of sensing; a backfill's own day; else none: what is due."""
    from orbitory.search import read_time

    chosen = context["params"]
    if bool(chosen["from"]) != bool(chosen["to"]):
        raise ConfigurationError("the form has only one of From and To: give both, or neither for what is due")
    if chosen["from"]:
        return read_time(chosen["from"]), read_time(chosen["to"])
    kind = context["dag_run"].run_type
    if str(getattr(kind, "value", kind)) == "backfill":
        return context["data_interval_start"], context["data_interval_end"]
    return None, None
