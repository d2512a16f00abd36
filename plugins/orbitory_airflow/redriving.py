"""The form of a re-drive, and what its tasks do."""

from __future__ import annotations

import logging

from airflow.sdk import Param, get_current_context
from airflow.sdk.exceptions import AirflowFailException

from orbitory.catalogue import Catalogue
from orbitory.model import REASONS
from orbitory_airflow.runtime import open_run

log = logging.getLogger(__name__)

#: XCom key: files that stayed in quarantine.
_KEPT = "kept"


def form(catalogue: Catalogue) -> dict[str, Param]:
    """What a data manager chooses."""
    sources = sorted(catalogue.sources)
    return {
        "source": Param(
            None,
            type=["null", "string"],
            enum=[None, *sources],
            title="Source",
            description="Only files of this source.",
        ),
        "reason": Param(
            None,
            type=["null", "string"],
            enum=[None, *REASONS],
            title="Reason",
            description="Only files that were rejected or held for this reason.",
            values_display={code: f"{code}: {meaning}" for code, meaning in REASONS.items()},
        ),
        "ids": Param(
            [],
            type=["null", "array"],
            items={"type": "integer", "minimum": 1},
            uniqueItems=True,
            title="Numbers",
            description="Only these, as `orbitory quarantine list` shows them; each stands for its whole unit.",
        ),
    }


def redrive() -> list[str]:
    """Move what the form chose; returns the DAGs of the sources that got something back."""
    from orbitory import quarantine

    context = get_current_context()
    chosen = context["params"]
    choice = quarantine.Choice(source=chosen["source"], reason=chosen["reason"], ids=tuple(chosen["ids"] or ()))
    if choice == quarantine.Choice():
        raise AirflowFailException("nothing was chosen: give a source, a reason or numbers")
    returned: dict[str, int] = {}
    kept = 0
    with open_run() as site:
        for each in quarantine.redrive(site, choice):
            log.log(logging.INFO if each.returned else logging.WARNING, "%d %s: %s", each.id, each.name, each.detail)
            returned[each.source] = returned.get(each.source, 0) + each.returned
            kept += not each.returned
        known = set(site.catalogue.sources)
    if not returned and context["ti"].try_number == 1:  # an earlier try may have moved all of them
        raise AirflowFailException("nothing in quarantine fits this choice: see `orbitory quarantine list`")
    log.info("returned to the landing zone: %s; kept in quarantine: %d", returned, kept)
    context["ti"].xcom_push(key=_KEPT, value=kept)
    return [f"ingest_{source}" for source, files in sorted(returned.items()) if files and source in known]


def report() -> None:
    """The run's verdict."""
    ti = get_current_context()["ti"]
    kept = ti.xcom_pull(task_ids="redrive", key=_KEPT)
    if kept is None:
        raise AirflowFailException("redrive did not finish: its log says why")
    if kept:
        raise AirflowFailException(f"{kept} files stay in quarantine: the log of redrive says why for each")
