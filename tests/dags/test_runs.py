"""Real runs of the ingest DAGs, against a real database and a real mail server."""

from __future__ import annotations

import html
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from airflow_world import PASSWORD, RECIPIENT, World, copy_catalogue, html_of, mail_server
from orbitory.catalogue import load
from orbitory.digest import digest
from orbitory.inventory import connect
from orbitory.settings import CHECKOUT
from orbitory.simulate import simulate
from orbitory.storage import Storage
from private_stack.postgres import Cluster

STEPS = ("verify", "extract", "store", "archive")


def tasks(run: Any) -> dict[str, list[str]]:
    """States by task, one for each mapped index."""
    found: dict[str, list[str]] = {}
    for instance in sorted(run.get_task_instances(), key=lambda each: each.map_index):
        found.setdefault(instance.task_id, []).append(str(instance.state))
    return found


def xcoms() -> list[tuple[str, str, Any]]:
    """Task, key and value of everything that ever went through XCom in an ingest."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        return [
            (row.task_id, row.key, row.value)
            for row in session.query(XComModel).all()
            if row.dag_id.startswith("ingest_")
        ]


def digest_of(world: World) -> str:
    with connect(world.uri, actor="test") as inventory:
        return str(digest(inventory, Storage(world.root / "storage")).digest)


@pytest.mark.req("W2")
def test_an_empty_landing_zone_is_no_error(world: World) -> None:
    run = world.run("correlative")
    assert run.state == "success"
    assert tasks(run) == {
        "detect": ["success"],
        "report": ["success"],
        **{f"partition.{step}": ["skipped"] for step in STEPS},
    }
    assert world.inbox.mails == []


@pytest.mark.req("W7", "W8", "W11")
def test_two_bad_files_of_98_cost_only_themselves(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(96):
        world.land("correlative", f"station_{number:02}.txt", f"reading {number}".encode())
    for number in range(2):
        world.land("correlative", f"broken_{number}.h5", b"")
    run = world.run("correlative", workers=1)
    assert world.states() == {"archived": 96, "rejected": 2}
    assert run.state == "failed"
    assert {task: set(states) for task, states in tasks(run).items()} == {
        "detect": {"success"}, "report": {"failed"}, **{f"partition.{step}": {"success"} for step in STEPS},
    }  # fmt: skip
    (report,) = [each for each in run.get_task_instances() if each.task_id == "report"]
    assert report.try_number == 1, "a verdict is not tried again"
    (mail,) = world.inbox.mails
    assert world.inbox.recipients == [RECIPIENT]
    assert mail["Subject"] == "[Orbitory] ingest of correlative failed: 96 archived, 2 rejected"
    body = html_of(mail)
    assert "broken_0.h5" in body and "broken_1.h5" in body and "station_" not in body
    assert f"/dags/ingest_correlative/runs/{run.run_id.replace(':', '%3A').replace('+', '%2B')}" in body
    output = caplog.text
    assert "archive batch=" in output, "the log was not captured"
    assert PASSWORD not in output
    assert PASSWORD not in repr(xcoms())


@pytest.mark.req("W6")
def test_a_second_run_changes_nothing(world: World) -> None:
    for number in range(5):
        world.land("correlative", f"station_{number}.txt", f"reading {number}".encode())
    assert world.run("correlative").state == "success"
    before, events = digest_of(world), world.rows("SELECT count(*) FROM event")
    second = world.run("correlative")
    assert second.state == "success"
    assert digest_of(world) == before
    assert world.rows("SELECT count(*) FROM event") == events


@pytest.mark.req("W2", "W4")
def test_three_sensors_are_three_labelled_batches_at_every_step(world: World) -> None:
    truth = simulate(load(CHECKOUT / "include" / "catalogue"), "idps", 24, 5, None, world.root / "landing" / "idps")
    run = world.run("idps", workers=1)
    batches = world.rows("SELECT id, partition, files FROM batch ORDER BY id")
    assert len({batch["partition"] for batch in batches}) >= 3
    labels = {f"{b['partition']} #{b['id']} ({b['files']} file{'s' if b['files'] > 1 else ''})" for b in batches}
    for step in STEPS:
        instances = [each for each in run.get_task_instances() if each.task_id == f"partition.{step}"]
        assert {each.rendered_map_index for each in instances} == labels
        assert {str(each.state) for each in instances} == {"success"}
    assert run.state == "success"
    assert world.states() == {"archived": len(truth)}


@pytest.mark.fault("F59", how="10,000 bad files through Airflow")
@pytest.mark.req("W3", "W4")
@pytest.mark.slow
def test_ten_thousand_bad_files_are_few_batches_one_mail_and_no_list_in_xcom(world: World) -> None:
    for number in range(10_000):
        world.land("correlative", f"empty_{number:05}.dat", b"")
    run = world.run("correlative", workers=2)
    assert run.state == "failed"
    assert world.states() == {"rejected": 10_000}
    assert len(tasks(run)["partition.verify"]) <= 4
    (mail,) = world.inbox.mails
    assert "10,000 rejected" in mail["Subject"]
    assert html_of(mail).count("empty_") == 20
    sent = xcoms()
    assert "empty_" not in repr(sent)
    assert max(len(repr(value)) for _, _, value in sent) < 48_000
    for task, _, value in sent:
        numbers = [value] if task == "report" else value
        assert task in ("detect", "report")
        assert all(isinstance(each, int) or name == "partition" for pairs in numbers for name, each in pairs.items())


@pytest.mark.fault("F38", how="templates, markup and header lines in a name, to the mail")
@pytest.mark.req("W8")
def test_a_hostile_file_name_stays_text_in_the_mail(world: World) -> None:
    name = "{{7*7}}<script>alert(1)</script>%0d%0aBcc: spy@example.org"
    world.land("correlative", name.replace("/", "\u2215"), b"")
    world.land("correlative", "line\r\nBcc: spy@example.org", b"x")
    run = world.run("correlative")
    assert run.state == "failed"
    (mail,) = world.inbox.mails
    assert mail["Bcc"] is None and world.inbox.recipients == [RECIPIENT]
    body = html_of(mail)
    assert "{{7*7}}&lt;script&gt;" in body and "<script>" not in body
    assert "line\\r\\nBcc" in body or "line\\x0d\\x0aBcc" in body


@pytest.mark.req("W8")
@pytest.mark.parametrize("server", ["dead", "silent", "absent"])
def test_the_outcome_is_the_same_without_a_mail_server(
    world: World, monkeypatch: pytest.MonkeyPatch, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if server == "silent":
            silent.listen()
        monkeypatch.setenv("AIRFLOW_CONN_ORBITORY_SMTP", mail_server(silent.getsockname()[1], timeout_seconds=1))
        if server == "absent":
            monkeypatch.delenv("AIRFLOW_CONN_ORBITORY_SMTP")
        world.land("correlative", "good.txt", b"good")
        world.land("correlative", "bad.h5", b"")
        run = world.run("correlative")
    assert run.state == "failed"
    assert tasks(run)["report"] == ["failed"]
    assert world.states() == {"archived": 1, "rejected": 1}
    output = caplog.text
    assert "no mail was sent about this failure" in output and "bad.h5" in output, "the log has the notice all the same"


@pytest.mark.req("W8")
def test_where_nobody_is_named_the_postmaster_is_told(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORBITORY_CATALOGUE", str(copy_catalogue(tmp_path / "catalogue", notify="[]")))
    world.land("correlative", "bad.h5", b"")
    assert world.run("correlative").state == "failed"
    assert world.inbox.recipients == ["postmaster@example.org"]


def test_a_dry_run_says_what_it_would_do_and_does_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    file = world.land("correlative", "station.txt", b"reading")
    world.land("correlative", "bad.h5", b"")
    run = world.run("correlative", dry_run=True)
    assert run.state == "success"
    assert tasks(run)["partition.verify"] == ["skipped"]
    assert file.exists()
    assert world.rows("SELECT * FROM arrival") == world.rows("SELECT * FROM ingest_run") == []
    assert "dry run" in caplog.text


def test_a_dry_run_that_cannot_look_fails(world: World, postgres: Cluster, database: str) -> None:
    postgres.sql("REVOKE SELECT ON arrival FROM orbitory", database)
    run = world.run("correlative", dry_run=True)
    assert run.state == "failed"
    assert tasks(run)["detect"] == ["failed"]
    assert len(world.inbox.mails) == 1


def test_the_form_narrows_the_run(world: World) -> None:
    for name in ("a_1.txt", "a_2.txt", "b_1.txt"):
        world.land("correlative", name, name.encode())
    assert world.run("correlative", pattern="a_*").state == "success"
    assert world.states() == {"archived": 2}
    assert world.run("correlative", pattern="b_*", sensors=["correlative"]).state == "success"
    assert world.states() == {"archived": 3}


def test_a_broken_machine_fails_at_once_keeps_its_label_and_the_next_run_finishes(
    world: World, postgres: Cluster, database: str
) -> None:
    world.land("correlative", "station.txt", b"reading")

    postgres.sql("REVOKE INSERT ON asset FROM orbitory", database)
    run = world.run("correlative")
    assert run.state == "failed"
    (store,) = [each for each in run.get_task_instances() if each.task_id == "partition.store"]
    assert (str(store.state), store.try_number) == ("failed", 1), "a person must act: trying again cannot help"
    (batch,) = world.rows("SELECT id FROM batch")
    assert store.rendered_map_index == f"correlative #{batch['id']} (1 file)"
    assert tasks(run)["partition.archive"] == ["upstream_failed"]
    (mail,) = world.inbox.mails
    assert "1 unfinished" in mail["Subject"] and f"Batch {batch['id']}" in html.unescape(html_of(mail))
    postgres.sql("GRANT INSERT ON asset TO orbitory", database)
    assert world.run("correlative").state == "success"
    assert world.states() == {"archived": 1}


def test_a_database_that_is_away_for_a_moment_is_waited_for(world: World, postgres: Cluster, database: str) -> None:
    world.land("correlative", "station.txt", b"reading")
    postgres.sql(f"ALTER DATABASE {database} CONNECTION LIMIT 0")
    restore = threading.Timer(4, postgres.sql, [f"ALTER DATABASE {database} CONNECTION LIMIT -1"])
    restore.start()
    run = world.run("correlative")
    restore.join()
    assert run.state == "success"
    (detect,) = [each for each in run.get_task_instances() if each.task_id == "detect"]
    assert detect.try_number > 1
    assert world.states() == {"archived": 1}


def test_a_detect_that_breaks_half_way_is_a_failed_run(world: World, postgres: Cluster, database: str) -> None:
    world.land("correlative", "station.txt", b"reading")
    postgres.sql("REVOKE INSERT ON batch FROM orbitory", database)
    run = world.run("correlative")
    assert tasks(run)["detect"] == ["failed"]
    assert run.state == "failed", "a run without batches must not look like a quiet one"
    assert len(world.inbox.mails) == 1


def test_a_disabled_source_fails_with_what_is_wrong(
    bag_of: Any, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    catalogue = copy_catalogue(tmp_path / "catalogue", duplicates='"whatever"')
    monkeypatch.setenv("ORBITORY_CATALOGUE", str(catalogue))
    run = bag_of(CHECKOUT / "dags").dags["ingest_idps"].test()
    assert run.state == "failed"
    assert "sources/idps.toml, duplicates" in caplog.text
