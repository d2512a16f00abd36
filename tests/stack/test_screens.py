"""What an operator sees."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from airflow_world import Run, Stage
from browser import picture

pytestmark = pytest.mark.browser


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
