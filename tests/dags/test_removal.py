"""The DAGs `duplicate_removal` and `deletion`: what they promise, and real runs of them with and without approval."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_world import CHECKOUT, World
from footprints import choose
from orbitory.audit import audit
from orbitory.catalogue import load
from orbitory.ingest.run import ingest
from orbitory.settings import Settings
from orbitory.simulate import simulate
from orbitory.site import Site, open_site

REMOVED = "SELECT key FROM granule WHERE state = 'deleted' ORDER BY key"
IDS = ("duplicate_removal", "deletion")


def run(world: World, dag_id: str, **conf: Any) -> Any:
    return world.bag_of(CHECKOUT / "dags").dags[dag_id].test(run_conf=conf)


def tasks(finished: Any) -> dict[str, str]:
    return {instance.task_id: str(instance.state) for instance in finished.get_task_instances()}


@pytest.fixture
def archive(world: World, settings: Settings) -> Settings:
    """Strips, one of them under two orders, of which an evaluation has put one aside."""
    simulate(load(CHECKOUT / "include" / "catalogue"), "maxar", 40, 3, "reorder", world.root / "landing" / "maxar")
    ingest(settings, "maxar")
    with open_site(actor="test", settings=settings) as site:
        choose(site, "WV02")
    return settings


@contextmanager
def answered(option: str) -> Iterator[list[tuple[str, str]]]:
    """Somebody who waits for the question and answers it, as the API server does; what was asked."""
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import handle_event_submit
    from airflow.triggers.base import TriggerEvent
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState
    from airflow.utils.timezone import utcnow

    asked: list[tuple[str, str]] = []
    over = threading.Event()

    def answer() -> None:
        while not asked and not over.wait(0.3):
            with create_session() as session:
                waiting = session.query(TaskInstance).filter_by(state=TaskInstanceState.AWAITING_INPUT).first()
                if waiting is None:
                    continue
                detail = session.query(HITLDetail).filter_by(ti_id=waiting.id).one()
                detail.responded_by = {"id": "7", "name": "Ada"}
                detail.responded_at, detail.chosen_options, detail.params_input = utcnow(), [option], {}
                session.flush()
                handle_event_submit(
                    TriggerEvent(detail.as_resume_event_payload()), task_instance=waiting, session=session
                )
                asked.append((detail.subject, detail.body))

    person = threading.Thread(target=answer)
    person.start()
    try:
        yield asked
    finally:
        over.set()
        person.join(10)


def sound(settings: Settings) -> bool:
    with open_site(actor="test", settings=settings) as site:
        return not list(audit(site))


@pytest.mark.req("N6")
@pytest.mark.parametrize("dag_id", IDS)
def test_it_shows_then_asks_then_removes_then_reports_and_only_shows_by_default(dagbag: Any, dag_id: str) -> None:
    dag = dagbag.dags[dag_id]
    assert set(dag.task_ids) == {"plan", "choose", "approve", "remove", "report"}
    assert dag.get_task("approve").downstream_task_ids == {"remove"}
    assert dag.get_task("remove").downstream_task_ids == {"report"}
    assert [task.task_id for task in dag.leaves] == ["report"] and dag.get_task("report").trigger_rule == "all_done"
    assert dag.params["apply"] is False and dag.catchup is False and dag.max_active_runs == 1
    assert {task.pool for task in dag.tasks} == {"backfill"}
    for task in dag.tasks:
        assert task.owner == "orbitory" and task.retries >= 2 and task.doc_md
    from airflow.serialization.serialized_objects import DagSerialization

    DagSerialization.from_dict(DagSerialization.to_dict(dag))


@pytest.mark.req("N6")
def test_duplicates_are_shown_and_when_few_removed_without_asking(world: World, archive: Settings) -> None:
    shown = run(world, "duplicate_removal")
    assert str(shown.state) == "success"
    assert tasks(shown)["remove"] == tasks(shown)["approve"] == "skipped"
    assert world.rows(REMOVED) == []
    done = run(world, "duplicate_removal", apply=True)
    assert str(done.state) == "success", tasks(done)
    assert tasks(done) | {"approve": "skipped", "remove": "success"} == tasks(done)
    assert world.rows(REMOVED) == [{"key": "strip/09DEC06145817-P1BS-052869840050_01_P002"}]
    assert sound(archive) and world.rows("SELECT * FROM outbox") == []
    again = run(world, "duplicate_removal", apply=True)
    assert str(again.state) == "success" and tasks(again)["remove"] == "skipped"


@pytest.mark.req("N6", "N10")
def test_much_is_removed_only_when_somebody_has_seen_and_approved_it(world: World, archive: Settings) -> None:
    held = world.rows("SELECT key FROM granule WHERE sensor = 'WV02' AND search ? 'image' AND state = 'archived'")
    with answered("Reject") as asked:
        refused = run(world, "deletion", rule="sensor = WV02", apply=True)
    assert str(refused.state) == "success" and tasks(refused)["remove"] == "skipped"
    assert world.rows(REMOVED) == []
    ((subject, body),) = asked
    (kept,) = world.rows("SELECT encode(hash, 'hex') AS hash, counts FROM removal_set")
    assert f"Remove {kept['counts']['granules']} granules" in subject and kept["hash"] in body
    assert all(each["key"] in body for each in held[:3]) and "needs approval" in body
    with answered("Approve") as asked:
        done = run(world, "deletion", rule="sensor = WV02", apply=True)
    assert str(done.state) == "success", tasks(done)
    assert len(asked) == 1 and {each["key"] for each in held} <= {each["key"] for each in world.rows(REMOVED)}
    (kept,) = world.rows("SELECT state, reason FROM removal_set")
    assert kept["state"] == "applied" and kept["reason"].startswith("approved in Airflow by Ada")
    (message, _) = world.rows("SELECT subject, text, attachment_name FROM outbox ORDER BY id")
    assert "approval needed" in message["subject"] and message["attachment_name"] == "orbitory-removal.csv"
    assert sound(archive)


def test_names_that_are_not_known_make_the_run_red_and_an_empty_form_fails(world: World, archive: Settings) -> None:
    finished = run(world, "deletion", names=["nga/nothing.ntf"])
    assert str(finished.state) == "failed" and tasks(finished)["plan"] == "success"
    assert "not known" in world.rows("SELECT text FROM outbox")[0]["text"]
    assert tasks(run(world, "deletion"))["plan"] == "failed"


class Instance:
    """A task instance that keeps what is handed from task to task."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Any] = {}

    def xcom_pull(self, task_ids: str, key: str = "return_value") -> Any:
        return self.kept.get((task_ids, key))


@pytest.mark.req("N6", "N10")
def test_an_approval_is_of_the_set_that_was_shown_and_of_no_other(
    world: World, archive: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`plan` is cleared alone and runs again when more has arrived; then `remove` is cleared."""
    from airflow.sdk.exceptions import AirflowFailException

    from orbitory_airflow import removing

    instance = Instance()
    chosen = {"names": [], "rule": "sensor = WV02", "sensors": [], "apply": True}
    context = {
        "params": chosen,
        "ti": instance,
        "dag_run": SimpleNamespace(dag_id="deletion", run_id="manual", conf={}),
    }

    @contextmanager
    def opened() -> Iterator[Site]:
        with open_site(actor="deletion/manual", settings=archive) as site:
            yield site

    monkeypatch.setattr(removing, "get_current_context", lambda: context)
    monkeypatch.setattr(removing, "open_run", opened)
    monkeypatch.setattr(removing, "link_to", lambda _: "link")
    world.rows("UPDATE granule SET sensor = 'WV03' WHERE sensor = 'WV02' AND id % 2 = 0 RETURNING id")
    shown = instance.kept["plan", "return_value"] = removing.plan()
    instance.kept["approve", "answer"] = {"hash": shown["hash"], "approved": True, "by": "Ada"}
    world.rows("UPDATE granule SET sensor = 'WV02' WHERE sensor = 'WV03' RETURNING id")
    grown = instance.kept["plan", "return_value"] = removing.plan()
    assert grown["granules"] > shown["granules"]
    with pytest.raises(AirflowFailException, match="nobody has approved this very set"):
        removing.remove()
    with pytest.raises(AirflowFailException, match="was not, or not wholly, removed"):
        removing.report()
    assert world.rows(REMOVED) == []
    instance.kept["approve", "answer"] |= {"hash": grown["hash"]}
    done = instance.kept["remove", "return_value"] = removing.remove()
    assert done["removed"] == grown["granules"] and removing.report()["removed"] == grown["granules"]
    instance.kept["plan", "return_value"] = grown | {"hash": "00" * 32}
    with pytest.raises(AirflowFailException, match="was not, or not wholly, removed"):
        removing.report()
