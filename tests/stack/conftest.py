"""A whole private Airflow, started once for all tests of this folder the way ``make up`` starts it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from airflow_world import CHECKOUT, Run, Stage, running
from browser import CHROMIUM
from orbitory.catalogue import load
from orbitory.simulate import simulate
from pge_runs import SCRIPTS, define


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starting takes a minute, and killed workers are noticed only after a while."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The running stack, with a catalogue of its own and a password that must never be seen."""
    with running("stack", _define) as stage:
        yield stage


def _define(catalogue: Path, home: Path) -> None:
    define_probes(catalogue, home)
    keeping = catalogue / "retention.toml"  # so few are much here
    keeping.write_text(keeping.read_text().replace("approve_granules = 1000", "approve_granules = 3"))


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
