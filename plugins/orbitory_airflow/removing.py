"""What the DAGs `duplicate_removal` and `deletion` do in Airflow: their forms, the question, their verdict."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, get_current_context
from airflow.sdk.exceptions import AirflowFailException

from orbitory.catalogue import Catalogue
from orbitory_airflow.policy import sensors_of_all
from orbitory_airflow.runtime import link_to, open_run

if TYPE_CHECKING:
    from orbitory.removal import Selection

log = logging.getLogger(__name__)

#: Its slots are apart from those of live data; made by bin/private_stack and deploy/initialise.sh.
POOL = "backfill"
#: Who does not answer has not approved.
PATIENCE = timedelta(days=7)
_SHOWN = 100
#: XCom keys: the hash of the set that was shown; what somebody answered about it, and who.
_ASKED, _ANSWER = "asked", "answer"


def form(catalogue: Catalogue, *, chosen_by_hand: bool) -> dict[str, Param]:
    """What a data manager may choose. ``chosen_by_hand``: by names or by a rule, not by an evaluation."""
    choice = {
        "names": Param(
            [],
            type=["null", "array"],
            items={"type": "string", "minLength": 1},
            uniqueItems=True,
            title="Names",
            description="Keys of granules; files by path (in storage, on Linux, on Windows) or delivered name.",
        ),
        "rule": Param(
            None,
            type=["null", "string"],
            maxLength=4000,
            title="Rule",
            description="Instead of names, for example: sensor = WV02 and cloudcover > 0.9 and sensed < 2012-01-01",
        ),
    }
    common = {
        "sensors": sensors_of_all(catalogue),
        "apply": Param(
            False,
            type="boolean",
            title="Remove",
            description="Remove what was found, after approval if it is much; else only show it.",
        ),
    }
    return {**choice, **common} if chosen_by_hand else common


def _selection() -> Selection:
    from orbitory.removal import Selection

    chosen = get_current_context()["params"]
    sensors, names, rule = tuple(chosen["sensors"] or ()), chosen.get("names"), chosen.get("rule")
    if "names" not in chosen:
        return Selection(sensors=sensors)
    if bool(names) == bool(rule):
        raise AirflowFailException("give either names or a rule")
    if names:
        return Selection(kind="list", sensors=sensors, names=tuple(names))
    return Selection(kind="rule", sensors=sensors, rule=rule)


def plan() -> dict[str, Any]:
    """Find the set and keep it under its hash; hands over hash and counts."""
    from orbitory import removal
    from orbitory.removal import notice

    context = get_current_context()
    with open_run() as site:
        found = removal.plan(site, _selection())
        wanted = bool(context["params"]["apply"] and found.items)
        if wanted and found.too_much():
            notice.ask(site, found, link=link_to(context))
    for each in found.items[:_SHOWN]:
        log.info("would go: %s", notice.told(each))
    for each in found.held[:_SHOWN]:
        log.warning("stays: %s: %s", each["key"], each["why"])
    for each in found.unknown[:_SHOWN]:
        log.warning("not known: %s: %s", each["name"], each["why"])
    log.info("%d granules, %d files, %d bytes; hash %s", len(found.items), found.files, found.bytes, found.hash)
    return {
        "hash": found.hash,
        "granules": len(found.items),
        "files": found.files,
        "bytes": found.bytes,
        "unknown": len(found.unknown),
        "next": "report" if not wanted else "approve" if found.too_much() else "remove",
    }


class Approval(ApprovalOperator):  # type: ignore[misc]
    """Ask whether the set of task `plan` is to go, showing it; no answer in time means no."""

    def __init__(self, **options: Any) -> None:
        """Whatever an operator takes, but the question."""
        super().__init__(
            subject="Remove these granules?",
            defaults=self.REJECT,
            response_timeout=PATIENCE,
            doc_md=f"Somebody who may run this DAG approves or rejects; no answer in {PATIENCE.days} days means no.",
            **options,
        )

    def execute(self, context: Any) -> Any:
        """Show the set as it is kept; the answer is about this one, whatever `plan` may find later."""
        from orbitory.removal.notice import question

        shown = context["ti"].xcom_pull(task_ids="plan")["hash"]
        with open_run() as site:
            self.subject, self.body = question(site, shown)
        context["ti"].xcom_push(key=_ASKED, value=shown)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Keep the answer: a task that was rejected returns nothing."""
        if "error" not in event:
            user = event["responded_by_user"] or {}
            answer = {
                "hash": context["ti"].xcom_pull(task_ids=context["ti"].task_id, key=_ASKED),
                "approved": event["chosen_options"] == [self.APPROVE],
                "by": user.get("name") or user.get("id"),
            }
            context["ti"].xcom_push(key=_ANSWER, value=answer)
        return super().execute_complete(context, event)


def _answer(context: Any, planned: dict[str, Any]) -> tuple[bool | None, str]:
    """Whether the set that `plan` tells of was approved (None: nobody was asked about this one), and by whom."""
    answer = context["ti"].xcom_pull(task_ids="approve", key=_ANSWER) if planned["next"] == "approve" else None
    if not answer or answer["hash"] != planned["hash"]:
        return None, ""
    return answer["approved"], str(answer["by"] or "nobody")


def remove() -> dict[str, Any]:
    """Remove exactly the set that was shown; a retry goes on where a crash has cut it off."""
    from orbitory import removal

    context = get_current_context()
    planned = context["ti"].xcom_pull(task_ids="plan")
    approved, user = _answer(context, planned)
    if planned["next"] == "report":
        raise AirflowFailException("plan found nothing that is to go: clear plan with all that follows it")
    if planned["next"] == "approve" and not approved:
        raise AirflowFailException(
            f"{user} rejected it"
            if user
            else "nobody has approved this very set: clear approve with all that follows it"
        )
    with open_run() as site:
        approval = f"approved in Airflow by {user}, {site.actor}" if approved else ""
        outcome = removal.apply(site, planned["hash"], _selection(), approval=approval)
    for key, why in outcome.left[:_SHOWN]:
        log.error("stays: %s: %s", key, why)
    log.info("%s; to bring them back: --undo %s", outcome.message, outcome.hash)
    told = {"removed": outcome.count, "files": outcome.files, "bytes": outcome.bytes, "left": len(outcome.left)}
    return {"hash": planned["hash"], **told}


def report() -> dict[str, int]:
    """The run's verdict, which is never tried again."""
    from orbitory.removal import notice

    context = get_current_context()
    planned, removed = (context["ti"].xcom_pull(task_ids=task) for task in ("plan", "remove"))
    trouble = ""
    approved, user = _answer(context, planned) if planned else (None, "")
    if planned is None:
        trouble = "plan did not finish: its log says why"
    elif planned["next"] != "report" and approved is not False:
        if removed is None or removed["hash"] != planned["hash"]:
            trouble = "the set was not, or not wholly, removed: the logs of approve and remove say why"
        elif removed["left"]:
            trouble = f"{removed['left']} granules stay as they were: the log of remove says why"
    if not trouble and planned["unknown"]:
        trouble = f"{planned['unknown']} names are not known: the log of plan tells them"
    if trouble:
        with open_run() as site:
            notice.tell(site, trouble, (), link=link_to(context))
        raise AirflowFailException(trouble)
    if approved is False:
        log.warning("rejected by %s: nothing was removed", user)
    gone = removed["removed"] if removed and removed["hash"] == planned["hash"] else 0
    log.info("%d granules found, %d removed; hash %s", planned["granules"], gone, planned["hash"])
    return {"found": planned["granules"], "removed": gone}
