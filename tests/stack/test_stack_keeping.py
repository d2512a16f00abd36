"""Retention, audit and export as operators have them: a question in the UI, a red report, a preview to look at."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from airflow_world import Run, Stage
from browser import picture
from demonstration.exporting import make_site

pytestmark = pytest.mark.browser
DELETED = "SELECT key FROM granule WHERE state = 'deleted' AND product = 'hdf5' ORDER BY key"
ARCHIVED = (
    "SELECT path FROM asset WHERE state = 'archived' AND role = 'data' AND path LIKE 'correlative/%' ORDER BY path"
)


@pytest.fixture
def archived(stage: Stage, faulty: dict[str, Run]) -> list[str]:
    """Paths in storage of correlative files that are whole."""
    return [row["path"] for row in stage.rows(ARCHIVED)]


@pytest.mark.req("G22", "F49")
def test_much_that_has_expired_goes_when_a_person_approved_it_in_the_ui_and_comes_back(
    stage: Stage, archived: list[str], page: Page, tmp_path: Path
) -> None:
    before = stage.orbitory("digest")["digest"]
    due = expiring(stage, "now() - interval '1 hour'")
    stage.api.await_dag("expiry_approval")
    stage.api.unpause("expiry_approval")
    assert stage.finish(*trigger(stage, "retention")) == "success"
    assert stage.rows(DELETED) == [], "nothing of it goes unasked"
    (asked,) = stage.api.runs("expiry_approval")
    run = "expiry_approval", str(asked["dag_run_id"])
    stage.until(lambda: stage.tasks(*run).get(("approve", -1)) == "awaiting_input", 120)
    page.goto(f"{stage.api.page_of(*run)}/tasks/approve/required_actions")
    (kept,) = stage.rows(
        "SELECT encode(hash, 'hex') AS hash FROM removal_set WHERE state = 'planned' AND kind = 'expired'"
    )
    expect(page.get_by_text(kept["hash"]).first).to_be_visible()
    picture(page, "expiry-approval.png", tmp_path)
    page.get_by_role("button", name="Approve").click()
    assert stage.finish(*run) == "success"
    assert {row["key"] for row in stage.rows(DELETED)} == due
    assert stage.orbitory("audit")["violations"] == []
    stage.orbitory("delete", "--undo", kept["hash"])
    expiring(stage, "NULL")
    assert stage.orbitory("digest")["digest"] == before


@pytest.mark.req("B8", "B9")
def test_the_audit_is_red_while_a_file_is_damaged_or_dark_and_well_when_it_is_whole(
    stage: Stage, archived: list[str], page: Page, tmp_path: Path
) -> None:
    storage = stage.root / "storage"
    damaged, stray = storage / archived[0], storage / "correlative" / "stray.bin"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    stray.write_bytes(b"of no row")
    mails = len(stage.mails())
    run = trigger(stage, "archive_audit")
    assert stage.finish(*run) == "failed"
    red = {task for (task, _), state in stage.tasks(*run).items() if state == "failed"}
    assert red == {"report"}
    page.goto(stage.api.page_of(*run))
    expect(page.get_by_text("Failed").first).to_be_visible()
    picture(page, "archive-audit.png", tmp_path)
    page.goto(f"{stage.api.page_of(*run)}/tasks/report")
    expect(page.get_by_text("stray.bin").first).to_be_visible()

    def told() -> list[EmailMessage]:
        return [mail for mail in stage.mails()[mails:] if "archive audit" in mail["Subject"]]

    stage.until(told, 120)  # the outbox is emptied each minute
    mail = told()[0]  # there may be two: the run of the night is made up for
    assert "stray.bin" in str(mail) and archived[0].rpartition("/")[2] in str(mail)
    found = stage.rows("SELECT kind, name FROM scan_finding WHERE closed_at IS NULL ORDER BY kind")
    assert [row["kind"] for row in found] == ["damaged", "dark"]
    damaged.write_bytes(whole)
    stray.unlink()
    assert stage.finish(*trigger(stage, "archive_audit")) == "success"
    assert stage.orbitory("audit")["violations"] == []


@pytest.mark.req("N8")
def test_an_export_shows_a_preview_waits_for_a_person_arrives_and_is_taken_back(
    stage: Stage, archived: list[str], page: Page, tmp_path: Path
) -> None:
    make_site(stage.stack.cluster)
    second = stage.stack.places.home / "second"
    second.mkdir(exist_ok=True)
    mine = stage.rows(
        "SELECT count(*) AS n FROM granule WHERE sensor = 'correlative' AND state IN ('archived', 'deleted')"
    )
    run = trigger(stage, "dev_to_prod_export", site="second", sensors=["correlative"], files=True, apply=True)
    stage.until(lambda: stage.tasks(*run).get(("approve", -1)) == "awaiting_input", 120)
    (shown,) = (stage.root / "reports" / "export").iterdir()
    page.goto((shown / "preview.html").as_uri())
    expect(page.get_by_text("correlative").first).to_be_visible()
    picture(page, "export-preview.png", tmp_path)
    page.goto(f"{stage.api.page_of(*run)}/tasks/approve/required_actions")
    expect(page.get_by_text(shown.name).first).to_be_visible()
    picture(page, "export-approval.png", tmp_path)
    page.get_by_role("button", name="Approve").click()
    assert stage.finish(*run) == "success"
    (done,) = stage.orbitory("export", "list")["exports"]
    assert done["counts"]["added"] == mine[0]["n"]
    assert sorted(path for path in archived if (second / "storage" / path).is_file()) == archived
    stage.orbitory("export", "undo", str(done["id"]))
    assert not [path for path in archived if (second / "storage" / path).exists()]


def trigger(stage: Stage, dag_id: str, **conf: Any) -> tuple[str, str]:
    """Start a run by hand, once the schedule's own, which unpausing begins, has ended."""
    stage.api.await_dag(dag_id)
    stage.api.unpause(dag_id)
    stage.until(lambda: not stage.api.active_runs(dag_id), 300)
    return dag_id, stage.api.trigger(dag_id, conf)


def expiring(stage: Stage, when: str) -> set[str]:
    """Let granules of one product expire at this moment; their keys."""
    change = f"UPDATE granule SET expires_at = {when} WHERE product = 'hdf5' AND state = 'archived' RETURNING key"
    return {row["key"] for row in stage.rows(change)}
