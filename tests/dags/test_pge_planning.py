"""The DAG `pge_planning`: when it runs, what a backfill of it does, and that it starts what is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from airflow_world import CHECKOUT, World
from orbitory.catalogue import load
from orbitory.ingest.run import ingest
from orbitory.settings import Settings
from orbitory.simulate import simulate


@pytest.fixture
def archived(world: World, settings: Settings) -> list[datetime]:
    """An archive of VIIRS granules; the days on which they were sensed."""
    simulate(load(CHECKOUT / "include" / "catalogue"), "idps", 30, 3, "", world.root / "landing" / "idps")
    ingest(settings, "idps")
    rows = world.rows(
        "SELECT DISTINCT date_trunc('day', lower(sensing), 'UTC') AS day FROM granule WHERE product = 'SVM01'"
        " ORDER BY 1"
    )
    return [row["day"].astimezone(UTC) for row in rows]


def deserialized(dag: Any) -> Any:
    from airflow.serialization.serialized_objects import DagSerialization

    return DagSerialization.from_dict(DagSerialization.to_dict(dag))


def test_it_runs_after_ingests_and_deliveries_and_every_five_minutes(dagbag: Any) -> None:
    from airflow.timetables.base import TimeRestriction

    dag = deserialized(dagbag.dags["pge_planning"])
    assets = {asset.uri.rstrip("/") for _, asset in dag.timetable.asset_condition.iter_assets()}
    assert assets == {"orbitory://inventory", "orbitory://pge/outputs"}
    for name in ("ingest_idps", "ingest_pge"):
        outlets = dagbag.dags[name].get_task("partition.archive").outlets
        assert [asset.uri.rstrip("/") for asset in outlets] == ["orbitory://inventory"]
    assert dag.catchup is False
    now = datetime.now(UTC)
    info = dag.timetable.next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(dag.start_date, None, False)
    )
    assert abs(info.data_interval.end - now) <= timedelta(minutes=5)
    following = dag.timetable.next_dagrun_info(
        last_automated_data_interval=info.data_interval, restriction=TimeRestriction(dag.start_date, None, False)
    )
    assert following.data_interval.end - info.data_interval.end == timedelta(minutes=5)


def test_no_scheduled_run_has_the_date_of_a_day_to_be_backfilled(dagbag: Any) -> None:
    from airflow.timetables.base import DataInterval, TimeRestriction
    from pendulum import instance

    dag = deserialized(dagbag.dags["pge_planning"])
    restriction = TimeRestriction(dag.start_date, None, False)
    info = dag.timetable.next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    assert info.data_interval.start.minute % 5 == 2
    day = instance(datetime(2020, 1, 1, tzinfo=UTC))
    after_backfill = dag.timetable.next_dagrun_info(
        last_automated_data_interval=DataInterval(day, day.add(days=1)), restriction=restriction
    )
    assert after_backfill.data_interval.end >= info.data_interval.end, "a backfill of the past holds nothing up"


@pytest.mark.req("G12")
def test_a_backfill_has_one_run_for_each_day_of_sensing(dagbag: Any) -> None:
    dag = deserialized(dagbag.dags["pge_planning"])
    assert dag.timetable.periodic
    infos = list(dag.iter_dagrun_infos_between(datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 2, 3, tzinfo=UTC)))
    assert [info.data_interval.start.day for info in infos] == [1, 2, 3]
    assert infos[-1].data_interval.end == datetime(2024, 2, 4, tzinfo=UTC)


def test_every_task_says_what_it_does_and_survives_its_worker(dagbag: Any) -> None:
    dag = dagbag.dags["pge_planning"]
    assert set(dag.task_ids) == {"plan", "planned", "due", "execute"}
    assert dag.get_task("plan").downstream_task_ids == {"due", "planned"}
    for task in dag.tasks:
        assert task.owner == "orbitory" and task.retries >= 2 and task.doc_md


def run(world: World, **conf: Any) -> Any:
    dag = world.bag_of(CHECKOUT / "dags").dags["pge_planning"]
    return dag.partial_subset(["plan"]).test(run_conf=conf) if conf.pop("only_plan", False) else dag.test(run_conf=conf)


@pytest.mark.req("G12")
def test_what_is_archived_is_planned_once_and_a_range_on_request(world: World, archived: list[datetime]) -> None:
    assert str(run(world, only_plan=True).state) == "success"
    made = world.rows("SELECT id, pge, period_key, state FROM pge_instance ORDER BY id")
    assert {"viirs_quicklook"} <= {row["pge"] for row in made}
    assert "ready" in {row["state"] for row in made}
    span = {"from": archived[0].isoformat(), "to": (archived[-1] + timedelta(days=1)).isoformat()}
    assert str(run(world, only_plan=True, **span).state) == "success"
    assert world.rows("SELECT id, pge, period_key, state FROM pge_instance ORDER BY id") == made
    assert str(run(world, only_plan=True, **{"from": span["from"]}).state) == "failed"


def test_what_is_ready_is_given_out_though_a_pge_cannot_be_planned_and_the_run_is_red(world: World) -> None:
    """Its row has a period without ends, which nothing has made."""
    with psycopg.connect(world.uri) as connection:
        connection.execute(
            "INSERT INTO pge_instance (pge, version, period_key, sensing, state, wake_at, expires_at)"
            " VALUES ('viirs_quicklook', '1', 'x', tstzrange(NULL, NULL), 'waiting', now(), now())"
        )
    dag = world.bag_of(CHECKOUT / "dags").dags["pge_planning"]
    made = dag.partial_subset(["plan", "planned", "due"]).test()
    states = {each.task_id: str(each.state) for each in made.get_task_instances()}
    assert states == {"plan": "failed", "planned": "upstream_failed", "due": "success"} and str(made.state) == "failed"
    (message,) = world.rows("SELECT kind, source FROM outbox")
    assert message == {"kind": "pge_unplanned", "source": "viirs_quicklook"}


def backfill(world: World, first: datetime, last: datetime) -> list[tuple[datetime, datetime, str]]:
    """What a backfill of these days makes, its `plan` run here; each run's data interval and the task's state."""
    from airflow.models.backfill import ReprocessBehavior, _create_backfill
    from airflow.models.dagrun import DagRun
    from airflow.sdk.definitions.dag import _run_task
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState, TaskInstanceState
    from sqlalchemy import select

    dag = world.bag_of(CHECKOUT / "dags").dags["pge_planning"]
    made = _create_backfill(
        dag_id="pge_planning",
        from_date=first,
        to_date=last,
        max_active_runs=4,
        reverse=False,
        dag_run_conf=None,
        triggering_user_name=None,
        reprocess_behavior=ReprocessBehavior.NONE,
    )
    with create_session() as session:
        runs = session.scalars(select(DagRun).where(DagRun.backfill_id == made.id).order_by(DagRun.logical_date)).all()
        spans = [(run.data_interval_start, run.data_interval_end) for run in runs]
        instances = [run.get_task_instance("plan", session=session) for run in runs]
        for run, instance in zip(runs, instances, strict=True):
            run.state = DagRunState.RUNNING
            instance.state, instance.try_number = TaskInstanceState.SCHEDULED, 1
    for instance in instances:
        _run_task(ti=instance, task=dag.get_task("plan"))
    with create_session() as session:
        states = [run.get_task_instance("plan", session=session).state for run in map(session.merge, runs)]
    return [(*span, str(state)) for span, state in zip(spans, states, strict=True)]


@pytest.mark.req("G12")
def test_a_backfill_plans_the_days_of_sensing_that_it_is_for(world: World, archived: list[datetime]) -> None:
    """Of granules that planning has passed, as those of a PGE that is new."""
    with psycopg.connect(world.uri) as connection:
        connection.execute("UPDATE pge_watermark SET event_id = (SELECT max(id) FROM event)")
    assert str(run(world, only_plan=True).state) == "success"
    assert world.rows("SELECT * FROM pge_instance") == []
    day = archived[0]
    assert backfill(world, day, day) == [(day, day + timedelta(days=1), "success")]
    rows = world.rows("SELECT id, pge, lower(sensing) AS start, state FROM pge_instance ORDER BY id")
    assert {"viirs_quicklook", "daily_coverage"} <= {row["pge"] for row in rows}
    assert {row["start"].astimezone(UTC).date() for row in rows} == {day.date()}
    assert str(run(world, only_plan=True).state) == "success"
    assert len(world.rows("SELECT id FROM pge_instance")) == len(rows), "nothing is made twice"
