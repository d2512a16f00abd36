"""What an operator sees. Pictures go to docs/screenshots/ where missing, or all with ORBITORY_SCREENSHOTS=1."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from airflow_world import Run, Stage

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)
PICTURES = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
_CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def page(stage: Stage) -> Iterator[Page]:
    """A browser that is logged in."""
    login = stage.stack.login()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(_CHROMIUM))
        page = browser.new_page(viewport={"width": 1500, "height": 900}, locale="en-GB", timezone_id="UTC")
        page.set_default_timeout(60_000)
        page.goto(login["address"])
        page.locator("input[name=username]").fill(login["user"])
        page.locator("input[name=password]").fill(login["password"])
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "login" not in url)
        yield page
        browser.close()


def picture(page: Page, name: str, tmp_path: Path) -> None:
    """Take it; keep it in the documentation when that has none yet."""
    page.wait_for_timeout(1500)
    file = tmp_path / name
    page.screenshot(path=file)
    assert file.stat().st_size > 20_000, "an empty page"
    if not (PICTURES / name).exists() or os.environ.get("ORBITORY_SCREENSHOTS"):
        PICTURES.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, PICTURES / name)


def test_the_grid_shows_every_step(stage: Stage, page: Page, faulty: dict[str, Run], tmp_path: Path) -> None:
    page.goto(f"{stage.api.address}/dags/{faulty['idps'].dag_id}")
    page.get_by_role("button", name="Expand all task groups").click()
    for task in ("detect", "verify", "extract", "store", "archive", "report"):
        expect(page.get_by_role("link", name=task).first).to_be_visible()
    picture(page, "ingest-grid.png", tmp_path)


def test_in_a_run_with_faults_the_report_is_red_and_every_batch_has_a_name(
    stage: Stage, page: Page, faulty: dict[str, Run], tmp_path: Path
) -> None:
    run = faulty["idps"]
    page.goto(stage.api.page_of(run.dag_id, run.run_id))
    expect(page.get_by_text("Failed").first).to_be_visible()
    page.get_by_role("button", name="sort").filter(has_text="State").click()
    expect(page.get_by_role("row").filter(has_text="report").first).to_contain_text("Failed")
    expect(page.get_by_role("link", name="VIIRS #").first).to_be_visible()
    picture(page, "run-with-faults.png", tmp_path)


def test_the_log_of_the_report_says_what_failed_and_why(
    stage: Stage, page: Page, faulty: dict[str, Run], tmp_path: Path
) -> None:
    run = faulty["idps"]
    page.goto(f"{stage.api.page_of(run.dag_id, run.run_id)}/tasks/report")
    # The viewer holds only the lines in sight, and where it scrolls to is its own affair: any explained file will do.
    expect(page.get_by_text(re.compile(r"\s(verify|extract|store)\s+\w")).first).to_be_visible()
    picture(page, "report-log.png", tmp_path)


def test_every_run_of_a_pge_has_a_name_that_says_what_it_makes(
    stage: Stage, page: Page, products: list[dict[str, Any]], tmp_path: Path
) -> None:
    page.goto(f"{stage.api.address}/dags/pge_execution/runs")
    for row in products[-2:]:
        expect(page.get_by_text(execution_of(row)).first).to_be_visible()
    picture(page, "pge-runs.png", tmp_path)


def test_the_log_of_an_instance_shows_what_its_program_said_and_what_became_of_it(
    stage: Stage, page: Page, products: list[dict[str, Any]], tmp_path: Path
) -> None:
    page.goto(f"{stage.api.page_of('pge_execution', execution_of(products[-1]))}/tasks/execute")
    expect(page.get_by_text("all is well").first).to_be_visible()
    picture(page, "pge-instance.png", tmp_path)


def execution_of(row: dict[str, Any]) -> str:
    """Run id of an instance."""
    return f"{row['pge']}-{row['period_key'].replace('/', '-')}-{row['id']}"


def test_the_form_asks_for_sensors_files_workers_and_dry_run(stage: Stage, page: Page, tmp_path: Path) -> None:
    page.goto(f"{stage.api.address}/dags/ingest_idps")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    for title in ("Sensors", "Files", "Workers", "Dry run"):
        expect(form.get_by_text(title).first).to_be_visible()
    picture(page, "ingest-form.png", tmp_path)
