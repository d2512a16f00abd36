"""What the DAG `archive_audit` does in Airflow: its form, its shares, its verdict."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import Param, get_current_context
from airflow.sdk.exceptions import AirflowFailException

from orbitory_airflow.runtime import link_to, open_run

log = logging.getLogger(__name__)

#: Told by the findings already.
_SUSPECT = "audit_i2_suspect"
#: Its slots are apart from those of live data; made by bin/private_stack and deploy/initialise.sh.
POOL = "backfill"
#: Labels in the grid, for example ``nga/WV02``; the range that begins with the first name has none.
PARTITION_LABEL = "{{ task.op_kwargs['partition']['low'].rstrip('/') or 'from the first' }}"
PART_LABEL = (
    "{{ task.op_kwargs['part']['low'].rstrip('/') or 'from the first' }} ({{ task.op_kwargs['part']['files'] }} files)"
)
_GB = 10**9
_SHOWN = 100
#: So many broken promises leave a task in words; its log has more.
_TOLD = 5


def form() -> dict[str, Param]:
    """What an operator may choose for a run by hand; a scheduled run takes the defaults."""
    return {
        "reconcile": Param(
            True,
            type="boolean",
            title="Compare",
            description="Hold every name and size in storage against the inventory, and act on what two runs agree on.",
        ),
        "daily_gigabytes": Param(
            None,
            type=["null", "number"],
            minimum=0,
            title="GB a day",
            description="Read so much again, longest unread first; empty: ORBITORY_FIXITY_GIGABYTES, 500; 0: nothing.",
        ),
    }


def cut() -> list[dict[str, Any]]:
    """Ranges of paths, which together are all of storage."""
    from orbitory.scan.partitions import partitions
    from orbitory.scan.reconcile import require_mounted

    if not get_current_context()["params"]["reconcile"]:
        return []
    with open_run() as site:
        require_mounted(site)
        return [each.as_dict() for each in partitions(site)]


def compare(partition: Mapping[str, Any]) -> dict[str, Any]:
    """Hold one range against the inventory."""
    from orbitory.scan.partitions import Partition
    from orbitory.scan.reconcile import reconcile

    with open_run() as site:
        return reconcile(site, Partition(low=partition["low"], high=partition["high"])).as_dict()


def choose() -> list[dict[str, Any]]:
    """Shares of what today's bytes reach."""
    from orbitory.scan.fixity import plan_fixity

    with open_run() as site:
        return [part.as_dict() for part in plan_fixity(site, _budget(site.settings.fixity_daily_bytes))]


def _budget(setting: int) -> int:
    gigabytes = get_current_context()["params"]["daily_gigabytes"]
    return setting if gigabytes is None else int(gigabytes * _GB)


def read(part: Mapping[str, Any]) -> dict[str, Any]:
    """Read what is still due of one share."""
    from orbitory.scan.fixity import verify

    with open_run() as site:
        return verify(site, part).as_dict()


def promises() -> dict[str, Any]:
    """Check what rows alone can show: every rule, history replayed, statistics counted again; how many are broken."""
    from orbitory.audit import RULES, of_rows
    from orbitory.listing import readable

    count, first = 0, list[str]()
    with open_run() as site:
        for each in of_rows(site, [rule for rule in RULES if rule != _SUSPECT]):
            count += 1
            if count <= _SHOWN:
                log.error("%s %s: %s", each.invariant, each.name, each.detail)
            if count <= _TOLD:
                first.append(f"{each.invariant} {readable(each.name)}: {readable(each.detail)}")
    return {"broken": count, "first": first}


def report() -> dict[str, Any]:
    """Count the run and give the verdict, which is never tried again."""
    from orbitory.errors import IntegrityError
    from orbitory.scan import notice
    from orbitory.scan.outcome import cycle, outcome
    from orbitory.scan.reconcile import require_mounted

    context = get_current_context()
    trouble = [*_missing(context["ti"], "cut", "compare"), *_missing(context["ti"], "choose", "read")]
    trouble += _broken(context["ti"].xcom_pull(task_ids="promises"))
    with open_run() as site:
        try:
            require_mounted(site)
        except IntegrityError as error:
            trouble.insert(0, str(error))
        told, pace = outcome(site), cycle(site, _budget(site.settings.fixity_daily_bytes))
        message = ". ".join([*trouble, told.message, str(pace)])
        if not told.clean or trouble:
            notice.tell(site, told, pace, verdict=message, link=link_to(context))
    for each in told.violations()[:_SHOWN]:
        log.error("%s %s: %s", each.invariant, each.name, each.detail)
    if told.counted() or trouble:
        raise AirflowFailException(message)
    log.info("%s", message)
    return {"compared": told.seen, "read": told.read, "bytes": told.bytes, "cycle_days": pace.days}


def _broken(checked: Mapping[str, Any] | None) -> list[str]:
    if checked is None:
        return ["promises did not finish: its log says why"]
    return [f"{checked['broken']:,} promises are broken: {'; '.join(checked['first'])}"] if checked["broken"] else []


def results_of(instance: Any, task: str) -> list[Any]:
    """What the indexes of a mapped task returned; Airflow gives the result of a single one bare."""
    pulled = instance.xcom_pull(task_ids=task)
    if pulled is None:
        return []
    return [pulled] if isinstance(pulled, Mapping) else [each for each in pulled if each is not None]


def _missing(instance: Any, planning: str, working: str) -> list[str]:
    """What the run should have done and did not, and why."""
    planned: Sequence[Any] | None = instance.xcom_pull(task_ids=planning)
    if planned is None:
        return [f"{planning} did not finish: its log says why"]
    results = results_of(instance, working) if planned else []
    held = [reason for each in results for reason in each["acted"]["held_back"]]
    if missing := len(planned) - len(results):
        held.append(f"{missing} of {len(planned)} tasks of {working} did not finish: their logs say why")
    return held
