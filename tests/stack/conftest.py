"""A whole private Airflow, started once for all tests of this folder the way ``make up`` starts it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from airflow_world import CHECKOUT, PASSWORD, Run, Stage, copy_catalogue
from browser import CHROMIUM
from demonstration.api import AirflowApi
from orbitory.catalogue import load
from orbitory.simulate import simulate
from pge_runs import SCRIPTS, define
from private_stack.places import Places, write_private
from private_stack.ports import is_free
from private_stack.stack import Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starting takes a minute, and killed workers are noticed only after a while."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The running stack, with a catalogue of its own and a password that must never be seen."""
    home = Path(tempfile.gettempdir()) / f"orbitory-stack-{os.getpid()}"
    places = Places(home=home)
    places.make()
    # Not the ports that everyone tries first: another stack may be starting at the same moment.
    start = 10_000 + os.getpid() * 7 % 9_000
    free = [port for port in range(start, start + 50) if is_free(port)]
    write_private(home / "ports.json", json.dumps(dict(zip(("api", "scheduler_health", "mail"), free, strict=False))))
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("AIRFLOW", "ORBITORY_"))]:
        del os.environ[name]
    # The schedule never comes, so that only the tests start runs.
    catalogue = copy_catalogue(home / "catalogue", schedule='"0 0 29 2 *"')
    os.environ["ORBITORY_CATALOGUE"] = str(catalogue)
    define_probes(catalogue, home)
    keeping = catalogue / "retention.toml"  # so few are much here
    keeping.write_text(keeping.read_text().replace("approve_granules = 1000", "approve_granules = 3"))
    plain = Stack(places)
    os.environ["ORBITORY_SITE_SECOND_DATABASE"] = plain.cluster.uri("orbitory_second")
    os.environ["ORBITORY_SITE_SECOND_ROOT"] = str(home / "second")
    uri = plain.cluster.uri().replace("orbitory@", f"orbitory:{PASSWORD}@")
    stack = Stack(
        places,
        overrides={
            "AIRFLOW_CONN_ORBITORY": uri,
            # Not minutes: a worker that died is noticed while somebody watches.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
        },
    )
    try:
        stack.up(timeout_seconds=400)
        login = stack.login()
        api = AirflowApi(login["address"], login["user"], login["password"])
        yield Stage(root=places.site, uri=uri, stack=stack, api=api, checkout=CHECKOUT)
    finally:
        stack.clean()
        os.environ.clear()
        os.environ.update(before)


#: Tells its period and the digest of its input.
PROBE = """
import hashlib
product().write_text(told["period"] + " " + hashlib.sha256(inputs[0].read_bytes()).hexdigest())
print("all is well")
"""
#: Never ends by itself, unless what the test says of its instance stood beside the script when it began.
SLOW = """
if not (pathlib.Path(__file__).parent / f"{told['instance']}.ends").exists():
    (pathlib.Path(told["temporary"]) / "begun").touch()
    time.sleep(300)
"""
#: Ends when the test says so; tells from when to when it ran.
PAIR = """
began = time.time()
(pathlib.Path(told["temporary"]) / "begun").touch()
while not (pathlib.Path(__file__).parent / "pair.ends").exists():
    time.sleep(0.05)
time.sleep(1)
product().write_text(json.dumps([began, time.time()]))
"""


def define_probes(catalogue: Path, folder: Path) -> None:
    """PGEs that take a moment, instead of the shipped ones. Only ``probe`` is planned; the others wait for a test."""
    for file in (catalogue / "pges").glob("*.toml"):
        file.unlink()
    scripts = folder / SCRIPTS
    scripts.mkdir()
    define(catalogue, scripts, PROBE)
    for name, script in {"slow": SLOW + PROBE, "pair": PAIR}.items():
        define(catalogue, scripts, script, name, wall_seconds=200.0)
        file = catalogue / "pges" / f"{name}.toml"
        file.write_text(file.read_text().replace('products = ["SVM01"]', 'products = ["SVM16"]'))


@pytest.fixture(scope="session")
def products(stage: Stage) -> list[dict[str, Any]]:
    """What became of simulated granules whose arrival alone set everything in motion: the instances."""
    dags = ("pge_planning", "pge_execution", "ingest_pge")
    for dag_id in dags:
        stage.api.await_dag(dag_id)
        stage.api.unpause(dag_id)
    own = stage.root / "landing" / "idps" / "products"
    simulate(load(stage.stack.places.home / "catalogue"), "idps", 12, 5, None, own)
    assert stage.finish(*stage.start("idps", pattern="products/*")) == "success"
    asked = "SELECT * FROM pge_instance WHERE pge = 'probe' ORDER BY id"
    stage.until(lambda: (rows := stage.rows(asked)) and all(row["state"] == "done" for row in rows), 120)
    stage.until(lambda: not any(stage.api.active_runs(dag_id) for dag_id in dags), 60)
    stage.api.pause("pge_planning")  # the others' ingests are their own affair
    return stage.rows(asked)


@pytest.fixture(scope="session")
def faulty(stage: Stage) -> dict[str, Run]:
    """One run of each source over a delivery with every fault."""
    catalogue = load(CHECKOUT / "include" / "catalogue")
    runs = {}
    for source in ("idps", "correlative"):
        before = len(stage.mails())
        landing = stage.root / "landing" / source / "faulty"
        truth = simulate(catalogue, source, 60, 11, "all", landing)
        for entry in truth:
            if entry["fate"] == "waiting":
                os.utime(os.fsencode(landing) + b"/" + os.fsencode(str(entry["name"])), follow_symlinks=False)
        dag_id, run_id = stage.start(source, pattern="faulty/*")
        state = stage.finish(dag_id, run_id)
        runs[source] = Run(dag_id=dag_id, run_id=run_id, state=state, truth=truth, mails=stage.mails()[before:])
    return runs


@pytest.fixture(scope="session")
def strips(stage: Stage) -> list[dict[str, Any]]:
    """Archived strips, one image of them under two orders: their footprints."""
    simulate(load(CHECKOUT / "include" / "catalogue"), "maxar", 40, 3, "reorder", stage.root / "landing" / "maxar")
    assert stage.finish(*stage.start("maxar")) == "success"
    return stage.rows("SELECT * FROM footprint_all")


@pytest.fixture(scope="module")
def page(stage: Stage) -> Iterator[Page]:
    """A browser that is logged in."""
    login = stage.stack.login()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM))
        page = browser.new_page(viewport={"width": 1500, "height": 900}, locale="en-GB", timezone_id="UTC")
        page.set_default_timeout(60_000)
        page.goto(login["address"])
        page.locator("input[name=username]").fill(login["user"])
        page.locator("input[name=password]").fill(login["password"])
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "login" not in url)
        yield page
        browser.close()
