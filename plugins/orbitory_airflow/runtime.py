"""The site as a DAG sees it: inventory from the Connection ``orbitory``, everything else from the environment.

Only numbers and sensor names leave a task; what was done stands in the inventory.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from airflow.sdk import get_current_context
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from orbitory.catalogue import Catalogue, load
from orbitory.errors import NotReady
from orbitory.settings import CHECKOUT
from orbitory.site import Site, open_site

log = logging.getLogger(__name__)

#: Airflow Connection of the inventory.
INVENTORY = "orbitory"


def catalogue() -> Catalogue:
    """The catalogue as it stands: the one thing that a DAG file reads."""
    return load(Path(os.environ.get("ORBITORY_CATALOGUE") or CHECKOUT / "include" / "catalogue"))


def disabled(catalogue: Catalogue) -> dict[str, str]:
    """Sources that a broken file disables, with everything that is wrong; as names that suit a DAG."""
    found: dict[str, list[str]] = {}
    for problem in catalogue.problems:
        for source in problem.disables:
            found.setdefault(re.sub(r"[^A-Za-z0-9_]", "_", source)[:80], []).append(str(problem))
    return {source: "\n".join(texts) for source, texts in found.items()}


def inventory_uri() -> str:
    """libpq URI of the inventory. Holds the password: never log it, never return it from a task."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    connection = PostgresHook(INVENTORY).connection
    parts = {
        "host": connection.host,
        "port": connection.port,
        "dbname": connection.schema,
        "user": connection.login,
        "password": connection.password,
        **connection.extra_dejson,  # sslmode, the folder of a unix socket as host, …
    }
    return "postgresql://?" + urlencode({key: value for key, value in parts.items() if value}, quote_via=quote)


def actor_of(context: Mapping[str, Any]) -> str:
    """Under which name a DAG run writes history; by it a retried task finds its run again."""
    run = context["dag_run"]
    return f"{run.dag_id}/{run.run_id}"


def link_to(context: Mapping[str, Any]) -> str:
    """Where the run stands in Airflow's UI."""
    run = context["dag_run"]
    base = str(conf.get("api", "base_url", fallback="http://localhost:8080")).rstrip("/")
    return f"{base}/dags/{quote(run.dag_id, safe='')}/runs/{quote(run.run_id, safe='')}"


@contextmanager
def open_run() -> Iterator[Site]:
    """Open the site for the task that is running now. NotReady becomes a skip."""
    try:
        with open_site(actor=actor_of(get_current_context()), database=inventory_uri()) as site:
            yield site
    except NotReady as reason:
        raise AirflowSkipException(str(reason)) from reason


def detect(source: str) -> list[dict[str, int | str]]:
    """Cut what has landed into batches, as the run's form asks; hands over number, sensor and count of each."""
    from orbitory import ingest, outages

    context = get_current_context()
    form = context["params"]
    selection = ingest.Selection(
        workers=form["workers"], sensors=tuple(form["sensors"] or ()), pattern=form["pattern"], dry_run=form["dry_run"]
    )
    with open_run() as site, outages.noted(site, site.catalogue.source(source), link=link_to(context)):
        detection = ingest.detect(site, source, selection)
    if selection.dry_run:
        log.info("dry run of %s, nothing was changed; a real run would do this: %s", source, detection.would)
    return [batch.as_dict() for batch in detection.batches]


def step(name: str, source: str, batch: Mapping[str, Any]) -> None:
    """Do one of the four steps for one batch of ``source``; files already past it are left alone."""
    from orbitory import ingest, outages

    steps = {"verify": ingest.verify, "extract": ingest.extract, "store": ingest.store, "archive": ingest.archive}
    link = link_to(get_current_context())
    with open_run() as site, outages.noted(site, site.catalogue.source(source), link=link):
        steps[name](site, batch["id"])


def report(source: str) -> dict[str, int]:
    """Count the run from the ledger, write its statistics and give the verdict, which is never tried again."""
    from orbitory import ingest
    from orbitory_airflow.notices import tell_back

    context = get_current_context()
    # A detect that failed half-way leaves a run without batches, which the ledger alone cannot tell from a quiet one.
    found = context["ti"].xcom_pull(task_ids="detect")
    trouble = "" if found is not None else "detect did not finish: its log says why."
    if context["params"]["dry_run"]:
        if trouble:
            raise AirflowFailException(trouble)
        log.info("dry run: nothing was changed; the log of detect says what a real run would do")
        return {}
    with open_run() as site:
        outcome = ingest.report(site, source, link=link_to(context), trouble=trouble)
        tell_back(site, site.catalogue.source(source))
    message = outcome.message
    for line in filter(None, outcome.told.splitlines()):
        log.error("%s", line)
    if outcome.failed:
        raise AirflowFailException(message)
    log.info("%s", message)
    return {name: value for name, value in outcome.as_dict().items() if isinstance(value, int)}
