"""What the DAG `mfp_evaluation` does in Airflow: its form, its verdict."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from airflow.sdk import Param, get_current_context
from airflow.sdk.exceptions import AirflowFailException

from orbitory.catalogue import Catalogue
from orbitory.errors import NotReady, OrbitoryError
from orbitory.listing import readable
from orbitory.mfp import Environment, Parameters
from orbitory_airflow.policy import sensors_of_all
from orbitory_airflow.runtime import link_to, open_run

if TYPE_CHECKING:
    from orbitory.mfp.evaluate import Outcome
    from orbitory.site import Site

log = logging.getLogger(__name__)

#: Its slots are apart from those of live data; made by bin/private_stack and deploy/initialise.sh.
POOL = "backfill"
#: Label of a sensor in the grid, for example ``WV02 (840 footprints)``.
PART_LABEL = "{% set part = task.op_kwargs['part'] %}{{ part['sensor'] }} ({{ part['rows'] }} footprints)"
_SHOWN = 100
_TRIAL = "Another value than the deployment's makes it a trial: it tells what would change, and moves no row."
_MOST_SAMPLED = 100_000


def form(catalogue: Catalogue) -> dict[str, Param]:
    """All settings of an evaluation; a scheduled run takes the defaults, which are the deployment's.

    Nobody moves rows by a choice of their own: every removal of duplicates, and the next evaluation, go by the
    deployment's.
    """
    told = Parameters.of_deployment()
    return {
        "sensors": sensors_of_all(catalogue),
        "linux_root": Param(
            told.linux_root,
            type="string",
            pattern="^/",
            title="Linux path",
            description="Ends in /; it is the one that ingest writes.",
        ),
        "windows_root": Param(told.windows_root, type="string", minLength=3, title="Windows path"),
        "search_radius_km": _number(
            told.search_radius_km,
            20_000,
            "Search radius, km",
            "0: no nearest one. Rows placed by another radius are E09.",
        ),
        "horizontal_distance_threshold_m": _number(
            told.horizontal_distance_threshold_m, 1_000_000, "Horizontal distance, m", "Farther footprints are E06."
        ),
        "max_cloud": _number(told.max_cloud, 1, "Most cloud", f"Fraction; more is rejected. {_TRIAL}"),
        "min_sun": _number(told.min_sun, 90, "Least sun elevation, degrees", f"Less is rejected. {_TRIAL}", least=-90),
        "target_day": Param(
            told.target_day,
            type=["null", "string"],
            pattern=r"^\d\d-\d\d$",
            title="Target day",
            description=f"MM-DD: prefer images taken about this day of any year. {_TRIAL}",
        ),
        "overlap": _number(told.overlap, 1, "Overlap", f"Share of the smaller of two images of one scene. {_TRIAL}"),
        "environment": Param(told.environment, type="string", enum=list(get_args(Environment)), title="Environment"),
        "sample": Param(20, type="integer", minimum=0, maximum=_MOST_SAMPLED, title="Files of a sensor to hash"),
        "area": Param(
            None,
            type=["null", "string"],
            pattern=r"^[-+0-9.]+(,[-+0-9.]+){3}$",
            title="Area of interest",
            description="W,S,E,N in degrees: its covered share is told.",
        ),
    }


def _number(value: float, most: float, title: str, description: str, least: float = 0) -> Param:
    return Param(value, type="number", minimum=least, maximum=most, title=title, description=description)


def select() -> list[dict[str, int | str]]:
    """Open the run; hands over its number and one sensor each."""
    from orbitory.mfp.coverage import Area
    from orbitory.mfp.evaluate import Request, begin

    chosen = dict(get_current_context()["params"])
    sensors, sample, area = (chosen.pop(name) for name in ("sensors", "sample", "area"))
    request = Request(
        parameters=Parameters(**chosen),
        sensors=tuple(sensors or ()),
        sample=sample,
        area=Area.of(area) if area else None,
    )
    with open_run() as site:
        try:
            return [part.as_dict() for part in begin(site, request)]
        except NotReady as reason:
            log.info("nothing to do: %s", reason)
            return []


def evaluate(part: Mapping[str, Any]) -> None:
    """Evaluate one sensor; repeating it replaces what it found."""
    from orbitory.mfp.evaluate import work

    with open_run() as site:
        work(site, part["run"], part["sensor"])


def report() -> dict[str, int]:
    """Count the run, tell people when errors were found, and give the verdict, which is never tried again."""
    from orbitory.mfp import notice
    from orbitory.mfp.evaluate import finish
    from orbitory.mfp.report import PAGE

    context = get_current_context()
    parts: Sequence[Mapping[str, Any]] | None = context["ti"].xcom_pull(task_ids="select")
    if parts is None:
        raise AirflowFailException("select did not finish: its log says why")
    if not parts:
        return {}
    with open_run() as site:
        with site.inventory.transaction():
            outcome = finish(site, parts[0]["run"])
            if outcome.failed:
                notice.tell(
                    site,
                    outcome,
                    link=link_to(context),
                    page=str(site.settings.reports / "mfp" / str(outcome.run) / PAGE),
                )
            else:
                notice.withdraw(site)
        first = site.inventory.all("mfp_first_findings", run=outcome.run, limit=_SHOWN)
        _write(site, outcome)
    for row in first:
        level = logging.ERROR if row["level"] == "error" else logging.WARNING
        log.log(level, "%s %s: %s", row["code"], readable(row["key"]), readable(row["reason"]))
    if outcome.failed:
        raise AirflowFailException(outcome.message)
    log.info("%s", outcome.message)
    return {name: outcome.counts[name] for name in ("rows", "errors", "warnings")}


def _write(site: Site, outcome: Outcome) -> None:
    """The page for people; that it could not be written never hides a verdict."""
    from orbitory.mfp.report import write_report

    try:
        log.info("report: %s", write_report(site, outcome.run).page)
    except OrbitoryError as error:
        if not outcome.failed:
            raise
        log.error("no report was written, `orbitory mfp report %d` tries again: %s", outcome.run, error)
