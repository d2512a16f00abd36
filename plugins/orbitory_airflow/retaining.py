"""What the DAG `retention` does in Airflow: its parts, its questions, its verdict."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException

from orbitory_airflow.runtime import link_to, open_run

log = logging.getLogger(__name__)

#: The DAG in which somebody decides about one product type.
APPROVAL = "expiry_approval"
_SHOWN = 100


def begin() -> list[dict[str, int | str]]:
    """Open the run in the inventory; hands over its number with each rule."""
    from orbitory import retention

    with open_run() as site:
        number = retention.begin(site)
    return [{"run": number, "rule": rule} for rule in retention.RULES]


def clean(part: Mapping[str, Any]) -> dict[str, int]:
    """Carry out one rule; hands over counts."""
    from orbitory import retention

    with open_run() as site:
        done = retention.clean(site, part["run"], part["rule"], listing=False)
    for item in [item for item in done.items if item.blocked_by][:_SHOWN]:
        log.warning("stays: %s: %s", item.name, item.blocked_by)
    for name, why in done.failed[:_SHOWN]:
        log.error("%s: %s", name, why)
    return {"removed": done.removed, "bytes": done.bytes, "failed": len(done.failed)}


def ask() -> list[dict[str, Any]]:
    """Arguments of one TriggerDagRunOperator for each product type that waits for somebody's word."""
    from orbitory.retention import questions

    with open_run() as site:
        waiting = questions.ask(site)
    return [{"trigger_run_id": each.run_id, "conf": each.conf} for each in waiting]


def _unasked(context: Any) -> str:
    """Which of the tasks that put questions failed; this one alone gives the verdict, so it must look."""
    run = context["dag_run"]
    found = context["ti"].get_task_states(dag_id=run.dag_id, task_ids=["ask", "approval"], run_ids=[run.run_id])
    bad = sorted(task for task, state in found.get(run.run_id, {}).items() if state in ("failed", "upstream_failed"))
    return f"nobody was asked about what needs approval: {', '.join(bad)} failed, see its log" if bad else ""


def report() -> dict[str, int]:
    """The run's verdict, which is never tried again."""
    from orbitory import retention

    context = get_current_context()
    parts = context["ti"].xcom_pull(task_ids="begin")
    if not parts:
        raise AirflowFailException("begin did not finish: its log says why")
    unasked = _unasked(context)
    with open_run() as site:
        rules = retention.finish(site, parts[0]["run"], link_to(context), unasked)
    trouble = [f"{row['rule']}: {row['trouble']}" for row in rules if row["failed"]]
    trouble += [f"{rule} did not run to its end" for rule in set(retention.RULES) - {row["rule"] for row in rules}]
    trouble += [unasked] if unasked else []
    if trouble:
        raise AirflowFailException("; ".join(trouble))
    log.info("%s", "; ".join(f"{row['rule']}: {row['removed']} removed, {row['blocked']} stay" for row in rules))
    return {name: sum(row[name] for row in rules) for name in ("removed", "bytes", "blocked")}
