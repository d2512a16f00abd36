"""Somebody approves exactly what was shown: the answer belongs to its hash, whatever is found later."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowFailException

from orbitory_airflow.runtime import open_run

if TYPE_CHECKING:
    from orbitory.site import Site

#: Who does not answer has not approved.
PATIENCE = timedelta(days=7)
#: XCom keys: what was asked about; what somebody answered, and who.
_ASKED = "asked"
_ANSWER = "answer"


class Approval(ApprovalOperator):  # type: ignore[misc]
    """Ask whether what task ``of`` has found is to be done, showing it; no answer in time means no."""

    #: Name of the task that hands over ``{"hash", "next", …}``.
    of = ""

    def __init__(self, **options: Any) -> None:
        """Whatever an operator takes, but the question."""
        super().__init__(
            subject="Do this?",
            defaults=self.REJECT,
            response_timeout=PATIENCE,
            doc_md=f"Somebody who may run this DAG approves or rejects; no answer in {PATIENCE.days} days means no.",
            **options,
        )

    def question(self, site: Site, shown: str, context: Any) -> tuple[str, str]:
        """Subject and text (Markdown) about what was shown under this hash."""
        raise NotImplementedError

    def execute(self, context: Any) -> Any:
        """Show it as it is kept; the answer is about this one, whatever is found later."""
        shown = context["ti"].xcom_pull(task_ids=self.of)["hash"]
        with open_run() as site:
            self.subject, self.body = self.question(site, shown, context)
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


def answer(context: Any, told: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Whether what was told was approved (None: nobody was asked about this very one), and by whom."""
    found = context["ti"].xcom_pull(task_ids="approve", key=_ANSWER) if told["next"] == "approve" else None
    if not found or found["hash"] != told["hash"]:
        return None, ""
    return found["approved"], str(found["by"] or "nobody")


def require(context: Any, told: Mapping[str, Any], *, of: str, noun: str) -> str:
    """Who has approved what task ``of`` has told; empty where nobody had to. Raises AirflowFailException."""
    approved, user = answer(context, told)
    if told["next"] == "report":
        raise AirflowFailException(f"{of} found nothing that is to go: clear {of} with all that follows it")
    if told["next"] == "approve" and not approved:
        raise AirflowFailException(
            f"{user} rejected it"
            if user
            else f"nobody has approved this very {noun}: clear approve with all that follows it"
        )
    return user if approved else ""
