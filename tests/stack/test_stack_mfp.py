"""Master footprints as a data manager has them: evaluated, validated, and removed by approval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from airflow_world import Stage
from browser import picture

pytestmark = pytest.mark.browser
OLD, NEW = "strip/09DEC06145817-P1BS-052869840050_01_P002", "strip/09DEC06145817-P1BS-500060999100_01_P002"


def trigger(stage: Stage, dag_id: str, **conf: object) -> tuple[str, str]:
    stage.api.await_dag(dag_id)
    stage.api.unpause(dag_id)
    return dag_id, stage.api.trigger(dag_id, conf)


@pytest.mark.req("N5", "N9", "W2")
def test_evaluation_puts_the_second_order_aside_and_leaves_a_report(stage: Stage, strips: list[dict[str, Any]]) -> None:
    run = trigger(stage, "mfp_evaluation")
    assert stage.finish(*run) == "success"
    sensors = {row["sensor"] for row in strips}
    states = stage.tasks(*run)
    assert {states["evaluate", index] for index in range(len(sensors))} == {"success"} and len(sensors) > 1
    (aside,) = stage.rows(
        "SELECT g.key, k.key AS keeper, a.reason FROM footprint_archive a"
        " JOIN granule g ON g.id = a.granule_id JOIN granule k ON k.id = a.keeper_id"
    )
    assert aside == {"key": OLD, "keeper": NEW, "reason": "re-order"}
    stage.until(lambda: not stage.api.active_runs("mfp_evaluation"))  # unpaused, its schedule has one run, too
    history = stage.orbitory("mfp", "history")
    assert len({told["digest"] for told in history}) == 1, "a repetition says the same"
    for told in history:
        assert (told["verdict"], told["counts"]["rows"]) == ("success", len(strips) - 1)
        assert (stage.root / "reports" / "mfp" / str(told["id"]) / "report.html").stat().st_size > 20_000


@pytest.mark.req("N7")
def test_validation_is_mapped_over_sensors_and_every_raster_has_a_verdict(
    stage: Stage, strips: list[dict[str, Any]]
) -> None:
    sensors = sorted({row["sensor"] for row in strips})
    for chosen in (sensors[:1], sensors):
        assert stage.finish(*trigger(stage, "raster_validation", sensors=chosen)) == "success"
    counted = stage.rows("SELECT verdict, count(*) AS n FROM validation GROUP BY 1")
    (rasters,) = stage.rows("SELECT count(*) AS n FROM asset WHERE kind IN ('nitf', 'geotiff') AND state = 'archived'")
    assert counted == [{"verdict": "good", "n": rasters["n"]}]


@pytest.mark.req("N6", "N10")
def test_much_is_removed_when_a_person_approved_it_in_the_ui_and_comes_back(
    stage: Stage, strips: list[dict[str, Any]], page: Page, tmp_path: Path
) -> None:
    before = stage.orbitory("digest")
    run = trigger(stage, "deletion", rule="sensor = WV02", apply=True)
    stage.until(lambda: stage.tasks(*run).get(("approve", -1)) == "awaiting_input", 120)
    page.goto(f"{stage.api.address}/required_actions")
    expect(page.get_by_text("granules").first).to_be_visible()
    picture(page, "required-actions.png", tmp_path)
    page.goto(f"{stage.api.page_of(*run)}/tasks/approve/required_actions")
    (kept,) = stage.rows("SELECT encode(hash, 'hex') AS hash, counts FROM removal_set WHERE state = 'planned'")
    expect(page.get_by_text(kept["hash"]).first).to_be_visible()
    picture(page, "approval.png", tmp_path)
    page.get_by_role("button", name="Approve").click()
    assert stage.finish(*run) == "success"
    gone = stage.rows("SELECT key FROM granule WHERE state = 'deleted'")
    assert len(gone) == kept["counts"]["granules"] and stage.orbitory("audit")["violations"] == []
    (done,) = stage.rows("SELECT state, reason FROM removal_set WHERE state = 'applied'")
    assert "approved in Airflow by admin" in done["reason"]
    stage.orbitory("delete", "--undo", kept["hash"])
    assert stage.orbitory("digest") == before and stage.orbitory("audit")["violations"] == []
