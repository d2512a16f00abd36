"""What `duplicate_removal`, `deletion` and `expiry_approval` do in Airflow: forms, the question, the verdict."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, get_current_context
from airflow.sdk.exceptions import AirflowFailException

from orbitory.catalogue import Catalogue
from orbitory_airflow import approving
from orbitory_airflow.policy import sensors_of_all
from orbitory_airflow.runtime import link_to, open_run

if TYPE_CHECKING:
    from orbitory.removal import Selection
    from orbitory.site import Site

log = logging.getLogger(__name__)

#: Its slots are apart from those of live data; made by bin/private_stack and deploy/initialise.sh.
POOL = "backfill"
_SHOWN = 100


def form(catalogue: Catalogue, dag_id: str) -> dict[str, Param]:
    """What a data manager may choose: `deletion` goes by names or by a rule, `expiry_approval` by a product type."""
    if dag_id == "expiry_approval":
        return {
            "product_type": Param(
                None,
                type=["null", "string"],
                maxLength=80,
                title="Product type",
                description="All of it that has expired goes, once somebody has approved; all-types: of all types that "
                "need no approval one by one. `retention` fills this in.",
            ),
            "apply": Param(True, type="boolean", title="Remove", description="Remove what was found; else only show."),
        }
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
    return {**choice, **common} if dag_id == "deletion" else common


def _selection(site: Site) -> Selection:
    from orbitory.removal import Selection
    from orbitory.retention.questions import selection

    chosen = get_current_context()["params"]
    if "product_type" in chosen:
        if not chosen["product_type"]:
            raise AirflowFailException("give the product type that has expired")
        return selection(site, chosen["product_type"])
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
        found = removal.plan(site, _selection(site))
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


class Approval(approving.Approval):
    """Ask whether the set of task `plan` is to go."""

    of = "plan"

    def question(self, site: Site, shown: str, context: Any) -> tuple[str, str]:
        """By what the plan kept."""
        from orbitory.removal.notice import question

        return question(site, shown)


def remove() -> dict[str, Any]:
    """Remove exactly the set that was shown; a retry goes on where a crash has cut it off."""
    from orbitory import removal

    context = get_current_context()
    planned = context["ti"].xcom_pull(task_ids="plan")
    user = approving.require(context, planned, of="plan", noun="set")
    with open_run() as site:
        approval = f"approved in Airflow by {user}, {site.actor}" if user else ""
        # What had expired when it was shown, not what has since.
        asked = None if "product_type" in context["params"] else _selection(site)
        outcome = removal.apply(site, planned["hash"], asked, approval=approval)
    for key, why in outcome.left[:_SHOWN]:
        log.error("stays: %s: %s", key, why)
    log.info("%s; to bring them back: --undo %s", outcome.message, outcome.hash)
    told = {"removed": outcome.count, "files": outcome.files, "bytes": outcome.bytes, "left": len(outcome.left)}
    return {"hash": planned["hash"], **told}


def _answer_question(context: Any, planned: dict[str, Any] | None, removed: dict[str, Any] | None) -> None:
    """Of a run that `retention` has started: what came of the question that it put, and of no other one."""
    from orbitory.retention.questions import answered

    asked_at = (context["dag_run"].conf or {}).get("asked_at")
    if not asked_at:
        return
    said = approving.answer(context, planned)[0] if planned else None
    if said is not False:  # a yes is one when the set has gone
        said = True if planned and removed and removed["hash"] == planned["hash"] else None
    with open_run() as site:
        left = bool(removed and removed["left"])
        answered(site, context["params"]["product_type"], asked_at, approved=said, left=left)


def report() -> dict[str, int]:
    """The run's verdict, which is never tried again."""
    from orbitory.removal import notice

    context = get_current_context()
    planned, removed = (context["ti"].xcom_pull(task_ids=task) for task in ("plan", "remove"))
    trouble = ""
    approved, user = approving.answer(context, planned) if planned else (None, "")
    _answer_question(context, planned, removed)
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
