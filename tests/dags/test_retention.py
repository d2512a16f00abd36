"""The DAGs `retention` and `expiry_approval`: what they promise, and real runs of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from airflow_world import CHECKOUT, World
from dags.test_removal import answered, run, tasks
from footprints import strips
from orbitory import retention
from orbitory.audit import audit
from orbitory.settings import Settings
from orbitory.site import open_site
from retaining import at, expire_at

DELETED = "SELECT key FROM granule WHERE state = 'deleted' ORDER BY key"


def states(finished: Any) -> dict[tuple[str, int], str]:
    return {(each.task_id, each.map_index): str(each.state) for each in finished.get_task_instances()}


def sound(settings: Settings) -> bool:
    with open_site(actor="test", settings=settings) as site:
        return not list(audit(site))


@pytest.mark.req("G22")
def test_it_runs_every_quarter_of_an_hour_one_at_a_time_and_only_its_report_gives_the_verdict(dagbag: Any) -> None:
    dag = dagbag.dags["retention"]
    assert set(dag.task_ids) == {"begin", "clean", "ask", "approval", "report"}
    assert dag.timetable.expression == "*/15 * * * *" and dag.catchup is False and dag.max_active_runs == 1
    assert dag.get_task("approval").downstream_task_ids == {"report"}
    assert [task.task_id for task in dag.leaves] == ["report"] and dag.get_task("report").trigger_rule == "all_done"
    for task in dag.tasks:
        assert task.owner == "orbitory" and task.retries >= 2 and (task.is_mapped or task.doc_md)
        assert task.pool == "default_pool", "a long backfill would keep it waiting for hours"
    approval = dagbag.dags["expiry_approval"]
    assert set(approval.task_ids) == {"plan", "choose", "approve", "remove", "report"} and approval.max_active_runs > 1
    from airflow.serialization.serialized_objects import DagSerialization

    DagSerialization.from_dict(DagSerialization.to_dict(dag))


@pytest.mark.req("G22", "N10")
def test_a_run_removes_what_expired_by_every_rule_and_says_so(world: World, settings: Settings) -> None:
    with strips(settings) as archive:
        archive.make(10)
        expire_at(archive, [1, 2])
    link = world.root / "links" / "ada" / "a.ntf"
    link.parent.mkdir(parents=True)
    link.write_bytes(b"x")
    with at(datetime.now(UTC) + timedelta(days=8)):
        finished = run(world, "retention")
    assert str(finished.state) == "success", tasks(finished)
    done = states(finished)
    assert [done["clean", number] for number in range(len(retention.RULES))] == ["success"] * len(retention.RULES)
    assert len(world.rows(DELETED)) == 2 and not link.exists() and sound(settings)
    (ledger,) = world.rows("SELECT verdict, actor FROM retention_run")
    assert ledger["verdict"] == "success" and ledger["actor"].startswith("retention/")
    assert world.rows("SELECT sum(removed)::int AS n FROM retention_statistic") == [{"n": 3}]


@pytest.mark.req("G22")
def test_a_rule_that_fails_makes_the_run_red_and_the_others_go_on(world: World, settings: Settings) -> None:
    with strips(settings) as archive:
        archive.make(10)
        expire_at(archive, [1, 2])
    deep = world.root / "links" / "/".join(["deep"] * 110)  # nobody follows that far
    deep.mkdir(parents=True)
    with at(datetime.now(UTC) + timedelta(days=8)):
        finished = run(world, "retention")
    assert str(finished.state) == "failed" and len(world.rows(DELETED)) == 2
    assert {state for (task, _), state in states(finished).items() if task == "clean"} == {"success"}
    (trouble,) = world.rows("SELECT rule, trouble FROM retention_statistic WHERE failed > 0")
    assert trouble["rule"] == "links" and "nested deeper" in trouble["trouble"]


@pytest.mark.req("G22", "F50")
def test_unmounted_storage_makes_the_run_red_and_nothing_goes(world: World, settings: Settings) -> None:
    with strips(settings) as archive:
        archive.make(4)
        expire_at(archive, [1])
    (settings.storage / ".orbitory-storage").unlink()
    finished = run(world, "retention")
    (settings.storage / ".orbitory-storage").touch()
    assert str(finished.state) == "failed" and world.rows(DELETED) == []
    assert "unmounted" in world.rows("SELECT trouble FROM retention_statistic LIMIT 1")[0]["trouble"]


@pytest.mark.req("G22", "F49")
def test_what_needs_approval_is_asked_once_in_a_run_of_its_own_and_blocks_nothing(
    world: World, settings: Settings
) -> None:
    from airflow.models import DagRun
    from airflow.utils.session import create_session

    with strips(settings) as archive:
        archive.make(1010)
        archive.make(20, sensor="WV03", prefix="104", first=2000)
        archive.sql("UPDATE granule SET product = 'M1BS' WHERE sensor = 'WV03'")
        expire_at(archive, range(1, 1015))
    _known_to_airflow(world, "expiry_approval")
    for _ in range(2):
        assert str(run(world, "retention").state) == "success"
    assert len(world.rows(DELETED)) == 4, "the other type goes"
    with create_session() as session:
        runs = session.query(DagRun).filter_by(dag_id="expiry_approval").all()
        asked = [(each.run_id, each.conf) for each in runs]
    ((run_id, conf),) = asked
    assert run_id.startswith("strip_pan-") and set(conf) == {"product_type", "asked_at"}
    run(world, "expiry_approval", product_type="strip_pan", apply=False)
    assert world.rows("SELECT answered_at FROM expiry_question") == [{"answered_at": None}], "it answers nothing"
    with answered("Reject") as questions:
        assert str(run(world, "expiry_approval", **conf).state) == "success"
    ((subject, body),) = questions
    assert "Remove 1,010 granules" in subject and "By product type" in body and "strip_pan" in body
    assert len(world.rows(DELETED)) == 4
    assert world.rows("SELECT approved FROM expiry_question") == [{"approved": False}]
    run(world, "retention")
    assert world.rows("SELECT approved FROM expiry_question") == [{"approved": False}], "not again for a week"
    with psycopg.connect(settings.database, autocommit=True) as db:
        db.execute("UPDATE expiry_question SET next_at = now()")
    run(world, "retention")
    assert world.rows("SELECT approved FROM expiry_question") == [{"approved": None}]
    with create_session() as session:
        conf = max((each.conf for each in session.query(DagRun).filter_by(dag_id="expiry_approval")), key=_asked_at)
    with answered("Approve"):
        done = run(world, "expiry_approval", **conf)
    assert str(done.state) == "success", tasks(done)
    assert len(world.rows(DELETED)) == 1014 and sound(settings)
    assert world.rows("SELECT approved FROM expiry_question") == [{"approved": True}]


def _asked_at(conf: dict[str, str]) -> str:
    return conf.get("asked_at", "")


@pytest.mark.req("G22", "F49")
def test_a_run_whose_question_cannot_be_put_is_red(world: World, settings: Settings) -> None:
    with strips(settings) as archive:
        archive.make(1010)
        expire_at(archive, range(1, 1011))
    with psycopg.connect(settings.owner_database, autocommit=True) as db:
        db.execute("ALTER TABLE expiry_question RENAME TO elsewhere")
    finished = run(world, "retention")
    done = states(finished)
    assert str(finished.state) == "failed" and world.rows(DELETED) == []
    assert done["ask", -1] == "failed" and {done["clean", number] for number in range(5)} == {"success"}
    assert world.rows("SELECT verdict FROM retention_run") == [{"verdict": "failed"}]


@pytest.mark.req("G22")
def test_a_run_of_approval_that_finds_nothing_to_decide_is_not_started_again_at_once(
    world: World, settings: Settings
) -> None:
    with strips(settings) as archive:
        archive.make(10)
        archive.sql("INSERT INTO expiry_question (product_type, next_at) VALUES ('strip_pan', now())")
        (row,) = archive.sql("SELECT asked_at FROM expiry_question")
    told = {"product_type": "strip_pan", "asked_at": row["asked_at"].isoformat()}
    assert str(run(world, "expiry_approval", **told).state) == "success"
    assert world.rows(
        "SELECT answered_at IS NOT NULL AND next_at > now() + interval '23 h' AS n FROM expiry_question"
    ) == [{"n": True}]
    assert str(run(world, "expiry_approval", product_type="tpyo").state) == "failed"


@pytest.mark.req("G22")
def test_the_outbox_says_when_retention_has_stopped(world: World, settings: Settings) -> None:
    with strips(settings) as archive:
        archive.sql("INSERT INTO retention_run (actor, started_at) VALUES ('x', now() - interval '2 hours')")
    run(world, "outbox")
    assert [row["kind"] for row in world.rows("SELECT kind FROM outbox")] == ["retention_silent"]


def _known_to_airflow(world: World, dag_id: str) -> None:
    """As the DAG processor does, so that it can be triggered."""
    from airflow.dag_processing.dagbag import sync_bag_to_db

    bag = world.bag_of(CHECKOUT / "dags")
    assert dag_id in bag.dags
    sync_bag_to_db(bag, "dags-folder", None)
