"""What the DAG `dev_to_prod_export` does in Airflow: its form, the question, its verdict."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from orbitory.catalogue import Catalogue
from orbitory_airflow import approving
from orbitory_airflow.policy import sensors_of_all
from orbitory_airflow.runtime import link_to, open_run

if TYPE_CHECKING:
    from orbitory.export import Preview, Selection
    from orbitory.site import Site

log = logging.getLogger(__name__)

#: Its slots are apart from those of live data; made by bin/private_stack and deploy/initialise.sh.
POOL = "backfill"
#: Label of a part in the grid, for example ``WV02 (840 granules)``.
PART_LABEL = "{% set part = task.op_kwargs['part'] %}{{ part['part'] or 'none' }} ({{ part['items'] }} granules)"
#: XCom key: the number of the export.
_NUMBER = "export"


def form(catalogue: Catalogue) -> dict[str, Param]:
    """What a data manager may choose."""
    from orbitory.export import remotes

    times = {
        name: Param(None, type=["null", "string"], format="date-time", title=title, description=description)
        for name, title, description in (
            ("sensed_from", "Sensed from", "Only granules whose sensing starts then or later."),
            ("sensed_until", "Sensed until", "And before then."),
            ("ingested_from", "Archived from", "Only granules that were archived then or later."),
            ("ingested_until", "Archived until", "And before then."),
        )
    }
    sites = list(remotes())
    return {
        "site": Param(
            sites[0] if sites else "",
            type="string",
            examples=sites,  # the choices that the UI offers
            title="To",
            description="A site that is configured by ORBITORY_SITE_<NAME>_DATABASE and ORBITORY_SITE_<NAME>_ROOT.",
        ),
        "products": Param(
            [],
            type=["null", "array"],
            items={"type": "string", "minLength": 1},
            examples=sorted(catalogue.products),
            uniqueItems=True,
            title="Products",
            description="Product types or product ids; none means all.",
        ),
        "sensors": sensors_of_all(catalogue),
        **times,
        "files": Param(False, type="boolean", title="Files", description="Files travel, too; else rows alone."),
        "apply": Param(
            False, type="boolean", title="Export", description="Bring over what differs; else only show it."
        ),
        "ask": Param(
            True, type="boolean", title="Ask", description="Wait for approval of the preview; much is always asked for."
        ),
    }


def _selection(chosen: Mapping[str, Any]) -> Selection:
    from orbitory.export import Selection
    from orbitory.search import read_time

    def interval(name: str) -> Any:
        return tuple(read_time(text) if (text := chosen[f"{name}_{edge}"]) else None for edge in ("from", "until"))

    return Selection(
        products=tuple(chosen["products"] or ()),
        sensors=tuple(chosen["sensors"] or ()),
        sensed=interval("sensed"),
        ingested=interval("ingested"),
    )


def preview() -> dict[str, Any]:
    """Compare both sites, keep what differs under its hash, and say where the report stands."""
    from orbitory import export
    from orbitory.export.notice import ask
    from orbitory.export.preview import folder_of

    context = get_current_context()
    chosen = context["params"]
    with open_run() as site:
        found = export.preview(site, export.remote(chosen["site"]), _selection(chosen), files=chosen["files"])
        folder = folder_of(site, found.hash)
        next_step = _next(chosen, found)
        if next_step == "approve":
            ask(site, found, link=link_to(context))
    for each in found.samples:
        log.info("%s %s %s", each["action"], each["key"], each["why"])
    for guard in found.guards:
        log.log(logging.INFO if guard["good"] else logging.WARNING, "%s: %s", guard["guard"], guard["told"])
    log.info("%s; report: %s; hash %s", dict(found.counts), folder / "preview.html", found.hash)
    return {"hash": found.hash, "next": next_step, "wanted": chosen["apply"], **found.counts}


def _next(chosen: Mapping[str, Any], found: Preview) -> str:
    if not chosen["apply"] or found.empty:
        return "report"
    return "approve" if chosen["ask"] or found.too_much else "begin"


class Approval(approving.Approval):
    """Ask whether the differences of task `preview` are to go, showing them; no answer in time means no."""

    of = "preview"

    def question(self, site: Site, shown: str, context: Any) -> tuple[str, str]:
        """The preview as it is kept."""
        from orbitory.export.notice import question

        return question(site, shown, context["params"]["site"])


def begin() -> list[dict[str, Any]]:
    """Find the differences anew; if they are those that were shown, hand over what is to be copied, by sensor."""
    from orbitory import export

    context = get_current_context()
    told = context["ti"].xcom_pull(task_ids="preview")
    user = approving.require(context, told, of="preview", noun="preview")
    with open_run() as site:
        approval = f"approved in Airflow by {user}, {site.actor}" if user else ""
        number, parts = export.begin(site, export.remote(context["params"]["site"]), told["hash"], approval=approval)
    context["ti"].xcom_push(key=_NUMBER, value=number)
    return [{"export": number, "part": part["part"], "items": part["items"]} for part in parts]


def copy(part: Mapping[str, Any]) -> int:
    """Bring over what is left of one sensor, batch by batch; a retry goes on where a crash has cut it off."""
    from orbitory import export

    with open_run() as site:
        return export.copy(site, part["export"], part["part"])


def check() -> dict[str, Any]:
    """Bring over lineage, check what stands there, and close the export."""
    from orbitory import export
    from orbitory.export.report import write_outcome

    context = get_current_context()
    number = context["ti"].xcom_pull(task_ids="begin", key=_NUMBER)
    if number is None:
        raise AirflowSkipException("nothing was to be copied")
    with open_run() as site:
        outcome = export.finish(site, number)
        page = write_outcome(site, outcome.export, outcome)
    log.info("report: %s", page)
    return outcome.as_dict()


def report() -> dict[str, int]:
    """The run's verdict, which is never tried again."""
    context = get_current_context()
    told, outcome = (context["ti"].xcom_pull(task_ids=task) for task in ("preview", "check"))
    approved, user = approving.answer(context, told) if told else (None, "")
    trouble = _trouble(told, outcome, approved)
    if trouble:
        with open_run() as site:
            _tell(site, trouble, context)
        raise AirflowFailException(trouble)
    if approved is False:
        log.warning("rejected by %s: nothing was copied", user)
    done = outcome or {}
    log.info(
        "%s granules copied; hash %s; export %s", done.get("granules", 0), told["hash"], done.get("export", "none")
    )
    return {"granules": done.get("granules", 0), "rows": done.get("rows", 0), "conflicts": told["conflict"]}


def _trouble(told: Mapping[str, Any] | None, outcome: Mapping[str, Any] | None, approved: bool | None) -> str:
    if told is None:
        return "preview did not finish: its log says why"
    if not told["wanted"] or approved is False:
        return ""
    if told["next"] != "report" and not outcome:
        return "not all of it was copied: the logs of begin, copy and check say why; clear them to go on"
    if outcome and outcome["problems"]:
        return f"what stands there is not what was sent: {'; '.join(outcome['problems'][:5])}"
    if told["conflict"]:
        return (
            f"{told['conflict']} granules were edited there and stay as they are: the preview's list names them, and "
            "`orbitory export list`"
        )
    return ""


def _tell(site: Site, trouble: str, context: Any) -> None:
    from orbitory.export.notice import tell

    tell(site, trouble, link=link_to(context))
