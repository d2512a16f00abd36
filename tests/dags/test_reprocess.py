"""The DAG `reprocess`: what it promises, and real runs of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from airflow_world import CHECKOUT, World
from orbitory.catalogue import load
from orbitory.digest import digest
from orbitory.ingest.run import ingest
from orbitory.inventory import connect
from orbitory.settings import Settings
from orbitory.simulate import simulate
from orbitory.storage import Storage


@pytest.fixture
def days(world: World, settings: Settings) -> list[datetime]:
    """An archive; the days on which it was sensed, first and last."""
    simulate(load(CHECKOUT / "include" / "catalogue"), "idps", 30, 3, "", world.root / "landing" / "idps")
    ingest(settings, "idps")
    rows = world.rows("SELECT DISTINCT date_trunc('day', lower(sensing), 'UTC') AS day FROM granule ORDER BY 1")
    return [row["day"].astimezone(UTC) for row in rows if row["day"]]


def run(world: World, day: datetime | None = None, **conf: Any) -> Any:
    """A run for one day of sensing, as a backfill makes it; or one without a date."""
    dag = world.bag_of(CHECKOUT / "dags").dags["reprocess"]
    return dag.test(run_conf=conf, **({"logical_date": day} if day else {}))


def tasks(finished: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for instance in finished.get_task_instances():
        found.setdefault(instance.task_id, []).append(str(instance.state))
    return found


def digest_of(world: World) -> str:
    with connect(world.uri, actor="test") as inventory:
        return str(digest(inventory, Storage(world.root / "storage")).digest)


def spoil(world: World) -> None:
    with psycopg.connect(world.uri) as connection:
        connection.execute("UPDATE granule SET orbit = 7, footprint = NULL WHERE sensing IS NOT NULL")


@pytest.mark.req("W9")
def test_it_can_be_backfilled_and_no_schedule_starts_it(dagbag: Any) -> None:
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.timetables.base import TimeRestriction

    dag = DagSerialization.from_dict(DagSerialization.to_dict(dagbag.dags["reprocess"]))
    assert dag.timetable.periodic and dag.catchup is False
    infos = list(dag.iter_dagrun_infos_between(datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)))
    assert [info.data_interval.start.day for info in infos] == list(range(1, 30))
    assert infos[-1].data_interval.end == datetime(2024, 3, 1, tzinfo=UTC)
    assert dag.next_dagrun_info(last_automated_run_info=None) is None
    later = TimeRestriction(None, None, False)
    assert dag.timetable.next_dagrun_info_v2(last_dagrun_info=infos[-1], restriction=later) is None


def test_it_selects_then_reads_each_batch_then_reports_all_in_a_pool_of_its_own(dagbag: Any) -> None:
    dag = dagbag.dags["reprocess"]
    assert set(dag.task_ids) == {"select", "read", "report"}
    assert {task.pool for task in dag.tasks} == {"backfill"}
    assert dag.get_task("read").downstream_task_ids == {"report"}
    assert [task.task_id for task in dag.leaves] == ["report"] and dag.get_task("report").trigger_rule == "all_done"
    for task in dag.tasks:
        assert task.owner == "orbitory" and task.retries >= 2


def test_the_form_offers_what_the_catalogue_knows(dagbag: Any) -> None:
    form = dagbag.dags["reprocess"].params
    assert set(form) == {"mode", "products", "sensors", "names", "from", "to", "dry_run"}
    assert {"viirs_sdr", "SVM01"} <= set(form.get_param("products").schema["items"]["enum"])
    assert "VIIRS" in form.get_param("sensors").schema["items"]["enum"]
    for name, value in (("mode", "delete"), ("products", ["NOPE"]), ("sensors", ["NOPE"])):
        with pytest.raises(ValueError, match="is not one of"):
            form.get_param(name).resolve(value)


@pytest.mark.req("W9")
def test_each_run_renews_the_days_that_it_is_for(world: World, days: list[datetime]) -> None:
    before = digest_of(world)
    spoil(world)
    for day in days:
        finished = run(world, day, mode="extract")
        assert str(finished.state) == "success"
        assert finished.data_interval_start == day
    assert digest_of(world) == before
    spans = world.rows(
        "SELECT lower(sensing) AS start, mode, reason, verdict, files FROM reprocess_request ORDER BY id"
    )
    assert [row["start"].astimezone(UTC) for row in spans] == days
    assert {(row["mode"], row["reason"], row["verdict"]) for row in spans} == {("extract", "manual", "success")}
    (archived,) = world.rows("SELECT count(*) AS n FROM asset WHERE state = 'archived'")
    assert 0 < sum(row["files"] for row in spans) <= archived["n"]


def test_a_day_without_data_is_no_error(world: World, days: list[datetime]) -> None:
    finished = run(world, datetime(1999, 1, 1, tzinfo=UTC), mode="verify")
    assert str(finished.state) == "success"
    assert tasks(finished) == {"select": ["success"], "read": ["skipped"], "report": ["success"]}


def test_damage_is_a_green_batch_and_a_red_report_that_names_the_file(
    world: World, days: list[datetime], caplog: pytest.LogCaptureFixture
) -> None:
    victim = next(file for file in sorted((world.root / "storage").rglob("*.h5")))
    victim.chmod(0o644)
    victim.write_bytes(b"?" * victim.stat().st_size)
    form = {"from": f"{days[0]:%FT%TZ}", "to": "2100-01-01T00:00:00Z"}
    finished = run(world, mode="verify", **form)
    assert str(finished.state) == "failed"
    assert set(tasks(finished)["read"]) == {"success"} and tasks(finished)["report"] == ["failed"]
    assert f"{victim.name}: damaged" in caplog.text


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"from": "2024-01-01T00:00:00Z"}, "only one of From and To"),
        ({"to": "2024-01-01T00:00:00Z"}, "only one of From and To"),
        ({"from": "yesterday", "to": "2024-01-01T00:00:00Z"}, "'yesterday' is not a time"),
        ({"from": "2024-01-02T00:00:00Z", "to": "2024-01-01T00:00:00Z"}, "asked for is empty"),
    ],
)
def test_a_range_that_is_none_is_refused(
    world: World, form: dict[str, str], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    finished = run(world, **form)
    assert str(finished.state) == "failed" and tasks(finished)["report"] == ["failed"]
    output = capfd.readouterr()
    assert told in output.out + output.err


def test_a_dry_run_writes_nothing(world: World, days: list[datetime], caplog: pytest.LogCaptureFixture) -> None:
    finished = run(world, days[0], mode="extract", dry_run=True)
    assert str(finished.state) == "success"
    assert world.rows("SELECT * FROM reprocess_request") == []
    assert "files, " in caplog.text and "would be read" in caplog.text


@pytest.mark.req("W9")
def test_a_list_of_names_narrows_it(world: World, days: list[datetime]) -> None:
    (file,) = world.rows(
        "SELECT a.name FROM arrival a JOIN granule_asset l USING (asset_id) JOIN granule g ON g.id = l.granule_id"
        " WHERE a.role = 'data' AND a.state = 'archived' AND lower(g.sensing) IS NOT NULL ORDER BY a.id LIMIT 1"
    )
    finished = run(
        world, mode="verify", names=[file["name"]], **{"from": "1990-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
    )
    assert str(finished.state) == "success"
    (request,) = world.rows("SELECT names, files FROM reprocess_request")
    assert request["names"] == [file["name"]] and 1 <= request["files"] <= 3
