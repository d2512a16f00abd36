"""The DAG `dev_to_prod_export`: it shows, asks, copies sensor by sensor and checks; by default it only shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_world import CHECKOUT, World
from cloning import Clone
from dags.test_removal import Instance, answered, tasks
from exporting import configure, validate
from footprints import Strips, strips
from orbitory.audit import audit
from orbitory.errors import ConfigurationError
from orbitory.settings import Settings
from orbitory.site import Site, open_site

ID = "dev_to_prod_export"


@pytest.fixture
def sites(
    world: World, settings: Settings, clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Strips, Strips]]:
    """Two sensors here, an empty site there."""
    other = clone("prod")
    configure(monkeypatch, "PROD", other)
    with strips(settings) as dev, strips(other) as prod:
        dev.make(10)
        dev.make(5, sensor="WV01", prefix="102", first=70)
        validate(dev)
        yield dev, prod


def run(world: World, **conf: Any) -> Any:
    return world.bag_of(CHECKOUT / "dags").dags[ID].test(run_conf={"site": "prod", **conf})


@pytest.mark.req("N8")
def test_it_shows_then_asks_then_copies_each_sensor_then_checks_and_reports(dagbag: Any) -> None:
    dag = dagbag.dags[ID]
    assert set(dag.task_ids) == {"preview", "choose", "approve", "begin", "copy", "check", "report"}
    assert dag.get_task("copy").is_mapped
    assert dag.get_task("approve").downstream_task_ids == {"begin"}
    assert dag.get_task("begin").downstream_task_ids == {"copy"}
    assert dag.get_task("copy").downstream_task_ids == {"check"}
    assert [task.task_id for task in dag.leaves] == ["report"]
    assert dag.get_task("report").trigger_rule == "all_done"
    assert dag.params["apply"] is False
    assert dag.params["ask"] is True
    assert dag.max_active_runs == 1
    assert {task.pool for task in dag.tasks} == {"backfill"}


@pytest.mark.req("N8")
def test_nothing_is_copied_unless_it_was_ticked_and_approved_and_then_exactly_what_was_shown(
    world: World, sites: tuple[Strips, Strips]
) -> None:
    dev, prod = sites
    held = "SELECT id FROM granule"
    shown = run(world)
    assert str(shown.state) == "success", tasks(shown)
    assert tasks(shown)["begin"] == tasks(shown)["approve"] == "skipped"
    assert prod.sql(held) == []
    with answered("Reject") as asked:
        refused = run(world, apply=True)
    assert str(refused.state) == "success", tasks(refused)
    assert prod.sql(held) == []
    ((subject, body),) = asked
    (kept,) = dev.sql("SELECT encode(hash, 'hex') AS hash FROM export")
    assert subject == "Export 15 granules to prod?"
    assert kept["hash"] in body
    with answered("Approve"):
        done = run(world, apply=True, files=True)
    assert str(done.state) == "success", tasks(done)
    assert len(prod.sql(held)) == 15
    (kept,) = prod.sql("SELECT approval FROM export")
    assert kept["approval"].startswith("approved in Airflow by Ada")
    assert {row["part"] for row in prod.sql("SELECT DISTINCT part FROM export_batch")} == {"WV01", "WV02"}
    assert list(audit(prod.site)) == []
    again = run(world, apply=True, ask=False, files=True)
    assert str(again.state) == "success"
    assert tasks(again)["begin"] == "skipped"


@pytest.mark.req("N8")
def test_edits_over_there_make_the_run_red_and_are_kept(world: World, sites: tuple[Strips, Strips]) -> None:
    dev, prod = sites
    assert str(run(world, apply=True, ask=False).state) == "success"
    prod.sql("UPDATE granule SET orbit = 5 WHERE id = (SELECT min(id) FROM granule)")
    dev.sql("UPDATE granule SET orbit = 6")
    red = run(world, apply=True, ask=False)
    assert str(red.state) == "failed"
    assert tasks(red)["check"] == "success"
    assert prod.sql("SELECT count(*) AS n FROM granule WHERE orbit = 6") == [{"n": 14}]
    assert any("edited there" in row["text"] for row in world.rows("SELECT text FROM outbox"))
    still = run(world, apply=True, ask=False)  # nothing but that differs
    assert str(still.state) == "failed"
    assert tasks(still)["begin"] == tasks(still)["check"] == "skipped"
    assert str(run(world).state) == "success"  # who only looks is told by the page


class Begin(Instance):
    """The task that begins, which hands over the number of the export, too."""

    def xcom_push(self, key: str, value: object) -> None:
        self.kept["begin", key] = value


@pytest.mark.req("N8")
def test_an_approval_is_of_the_preview_that_was_shown_and_of_no_other(
    sites: tuple[Strips, Strips], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`preview` is cleared alone and runs again when more has arrived; then `begin` is cleared."""
    from airflow.sdk.exceptions import AirflowFailException

    from orbitory_airflow import exporting

    dev, prod = sites
    instance = Begin()
    times = {f"{name}_{edge}": None for name in ("sensed", "ingested") for edge in ("from", "until")}
    chosen = {"site": "prod", "products": [], "sensors": [], "files": False, "apply": True, "ask": True, **times}
    run_of = SimpleNamespace(dag_id=ID, run_id="manual", conf={})
    context = {"params": chosen, "ti": instance, "dag_run": run_of}

    @contextmanager
    def opened() -> Iterator[Site]:
        with open_site(actor=f"{ID}/manual", settings=settings) as site:
            yield site

    monkeypatch.setattr(exporting, "get_current_context", lambda: context)
    monkeypatch.setattr(exporting, "open_run", opened)
    monkeypatch.setattr(exporting, "link_to", lambda _: "link")
    shown = instance.kept["preview", "return_value"] = exporting.preview()
    instance.kept["approve", "answer"] = {"hash": shown["hash"], "approved": True, "by": "Ada"}
    dev.make(5, sensor="WV03", prefix="104", first=90)
    validate(dev)
    grown = instance.kept["preview", "return_value"] = exporting.preview()
    assert grown["hash"] != shown["hash"]
    with pytest.raises(AirflowFailException, match="nobody has approved this very preview"):
        exporting.begin()
    assert prod.sql("SELECT id FROM export") == []
    instance.kept["approve", "answer"] = {"hash": grown["hash"], "approved": True, "by": "Ada"}
    parts = exporting.begin()
    assert [part["part"] for part in parts] == ["WV01", "WV02", "WV03"]
    with pytest.raises(ConfigurationError, match="have not arrived"):
        exporting.check()
    for part in parts:
        exporting.copy(part)
    assert exporting.begin() == []  # cleared: nothing is left to copy, and check finishes
    assert exporting.check()["granules"] == 20
