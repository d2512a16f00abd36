"""What the DAG `raster_validation` does in Airflow: its form, its share of the day, its verdict."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow.sdk import Param, get_current_context
from airflow.sdk.exceptions import AirflowFailException

from orbitory.catalogue import Catalogue
from orbitory.rasters.sight import Mode
from orbitory_airflow.policy import sensors_of_all
from orbitory_airflow.runtime import link_to, open_run

log = logging.getLogger(__name__)

#: Its slots are apart from those of live data; made by bin/private_stack and deploy/initialise.sh.
POOL = "backfill"
#: Label of a part in the grid, for example ``WV02 1/3 (840 files)``.
PART_LABEL = (
    "{% set part = task.op_kwargs['part'] %}"
    "{{ part['sensor'] or 'none' }} {{ part['part'] + 1 }}/{{ part['parts'] }} "
    "({{ part['files'] }} file{{ 's' if part['files'] != 1 }})"
)
_SHOWN = 100
_GB = 10**9


def form(catalogue: Catalogue) -> dict[str, Param]:
    """What a data manager may choose for a run by hand; a scheduled run takes the defaults."""
    return {
        "mode": Param(
            "sample",
            type="string",
            enum=[mode.value for mode in Mode],
            title="Mode",
            description="Headers alone; some blocks of every band, too; every pixel of every band.",
        ),
        "sensors": sensors_of_all(catalogue),
        "daily_gigabytes": Param(
            500,
            type=["null", "number"],
            minimum=0,
            title="GB a day",
            description="What is longest unchecked comes first, as far as this goes for today (UTC); empty: all.",
        ),
    }


def select() -> list[dict[str, Any]]:
    """What is due, by sensor; hands over no file, only shares of sensors."""
    from orbitory.rasters import rolling

    chosen = get_current_context()["params"]
    gigabytes = chosen["daily_gigabytes"]
    with open_run() as site:
        parts = rolling.plan(
            site,
            Mode(chosen["mode"]),
            tuple(chosen["sensors"] or ()),
            daily_bytes=None if gigabytes is None else int(gigabytes * _GB),
        )
    log.info("due: %d files in %d parts", sum(part.files for part in parts), len(parts))
    return [part.as_dict() for part in parts]


def check(part: Mapping[str, Any]) -> int:
    """Check what is still due of one part; how many files that were."""
    from orbitory.rasters import rolling

    with open_run() as site:
        return rolling.work(site, part)


def report() -> dict[str, int]:
    """Count what the run checked and give the verdict, which is never tried again."""
    from orbitory.rasters import notice, rolling

    context = get_current_context()
    parts = context["ti"].xcom_pull(task_ids="select")
    # Asked by a list, Airflow answers with one, however many indexes there were.
    trouble = _trouble(parts, context["ti"].xcom_pull(task_ids=["check"]) if parts else [])
    outcome = rolling.Outcome(checked=0)
    with open_run() as site:
        if parts:
            outcome = rolling.outcome(site, parts[0]["since"], sorted({part["sensor"] for part in parts}))
        message = f"{outcome.message}. {trouble}".rstrip(" .")
        if outcome.bad or trouble:
            notice.tell(site, outcome, verdict=message, link=link_to(context))
    for each in list(outcome.findings())[:_SHOWN]:
        level = logging.ERROR if each["verdict"] == "bad" else logging.WARNING
        log.log(level, "%s: %s: %s", each["path"], each["code"], each["reason"])
    if outcome.bad or trouble:
        raise AirflowFailException(message)
    log.info("%s", message)
    return {"checked": outcome.checked, "bad": outcome.bad}


def _trouble(parts: Sequence[Mapping[str, Any]] | None, checked: Iterable[int | None]) -> str:
    """What the run should have done and did not."""
    if parts is None:
        return "select did not finish: its log says why."
    missing = len(parts) - sum(each is not None for each in checked)
    return f"{missing} of {len(parts)} parts were not finished: the logs of check say why." if missing else ""
