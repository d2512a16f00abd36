"""Mail through the outbox, with a real mail server that comes and goes; and the way back out of quarantine."""

from __future__ import annotations

import csv
import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from aiosmtpd.controller import Controller

from airflow_world import CHECKOUT, RECIPIENT, Inbox, World, html_of, mail_server
from orbitory.catalogue import load


def run_dag(world: World, dag_id: str, **conf: Any) -> Any:
    return world.bag_of(CHECKOUT / "dags").dags[dag_id].test(run_conf=conf)


def tasks_of(run: Any) -> dict[str, str]:
    return {each.task_id: str(each.state) for each in run.get_task_instances()}


def message_of(world: World) -> tuple[str, int]:
    (row,) = world.rows("SELECT state, tries FROM outbox")
    return row["state"], row["tries"]


def let_time_pass(world: World) -> None:
    with psycopg.connect(world.uri) as connection:
        connection.execute("UPDATE outbox SET next_try = now() - interval '1 second'")


def started(dag_id: str) -> int:
    """Runs of a DAG that Airflow knows."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        return session.query(DagRun).filter(DagRun.dag_id == dag_id).count()


@pytest.mark.req("W8", "N11")
def test_a_failed_run_sends_one_mail_with_text_html_statistics_and_the_list_of_all_bad_files(world: World) -> None:
    for number in range(30):
        world.land("correlative", f"bad_{number:02}.h5", b"")
    world.land("correlative", "=1+1|'calc'.dat", b"")
    world.land("correlative", "good.txt", b"reading")
    assert world.run("correlative").state == "failed"
    (mail,) = world.inbox.mails
    assert world.inbox.recipients == [RECIPIENT]
    assert mail["Subject"] == "[Orbitory] ingest of correlative failed: 1 archived, 31 rejected"
    assert mail["Message-ID"].startswith("<orbitory.outbox.") and mail["Message-ID"].endswith("@example.org>")
    assert mail["Auto-Submitted"] == "auto-generated"
    plain = mail.get_body(("plain",))
    assert plain is not None
    for form in (plain.get_content(), html_of(mail)):
        assert "elapsed" in form and "a second" in form and "31" in form and "all 31 files" in form
    (attachment,) = mail.iter_attachments()
    assert attachment.get_content_type() == "text/csv"
    content = attachment.get_payload(decode=True)
    assert isinstance(content, bytes)
    table = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert len(table) == 31 and {each["reason"] for each in table} == {"size"}
    assert sum(each["name"].startswith("'=1+1") for each in table) == 1
    assert not any(cell.startswith("=") for each in table for cell in each.values())


@pytest.fixture
def silent() -> Iterator[int]:
    """Port of a mail server that takes the call and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.mark.req("W8", "N11")
@pytest.mark.fault("F54", how="a mail server that is away, or takes the call and is silent, while a run fails")
@pytest.mark.parametrize("server", ["away", "silent"])
def test_a_run_finishes_without_the_mail_server_and_its_message_goes_once_when_the_server_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch, silent: int, server: str
) -> None:
    world.land("correlative", "bad.h5", b"")
    world.land("correlative", "good.txt", b"reading")
    with monkeypatch.context() as off:
        off.setenv("AIRFLOW_CONN_ORBITORY_SMTP", mail_server(9 if server == "away" else silent, timeout_seconds=1))
        assert world.run("correlative").state == "failed"
        assert world.states() == {"archived": 1, "rejected": 1}
        assert message_of(world) == ("pending", 1)
        let_time_pass(world)
        assert run_dag(world, "outbox").state == "success", "a server that is away is no failure of ours"
        assert message_of(world) == ("pending", 2)
    assert world.inbox.mails == []
    assert run_dag(world, "outbox").state == "success", "it is not due yet"
    assert world.inbox.mails == []
    let_time_pass(world)
    assert run_dag(world, "outbox").state == "success"
    assert run_dag(world, "outbox").state == "success"
    (mail,) = world.inbox.mails
    assert "1 rejected" in mail["Subject"] and "bad.h5" in html_of(mail)
    assert message_of(world) == ("sent", 3)


class Refusing(Inbox):
    async def handle_RCPT(
        self, server: object, session: object, envelope: object, address: str, options: object
    ) -> str:
        return "550 no such user"


@pytest.mark.fault("F54", how="a mail server that answers 550 to a recipient")
def test_what_the_server_will_never_take_is_given_up_and_the_dag_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    world.land("correlative", "bad.h5", b"")
    with monkeypatch.context() as off:
        off.setenv("AIRFLOW_CONN_ORBITORY_SMTP", mail_server(9, timeout_seconds=1))
        assert world.run("correlative").state == "failed"
    let_time_pass(world)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Controller(Refusing(), hostname="127.0.0.1", port=port)
    server.start()
    monkeypatch.setenv("AIRFLOW_CONN_ORBITORY_SMTP", mail_server(port))
    try:
        run = run_dag(world, "outbox")
    finally:
        server.stop()
    assert run.state == "failed" and message_of(world) == ("failed", 2)
    out, err = capfd.readouterr()
    assert "1 messages were given up: see `orbitory outbox list`" in out + err


@pytest.mark.req("W8")
def test_a_report_that_was_killed_is_told_once_however_often_airflow_calls_back(world: World) -> None:
    from orbitory_airflow.notices import send_notice

    source = load(Path(os.environ["ORBITORY_CATALOGUE"])).source("correlative")
    run = SimpleNamespace(dag_id="ingest_correlative", run_id="manual__killed")
    for _ in range(2):
        send_notice(source)({"dag_run": run, "exception": None})
    (mail,) = world.inbox.mails
    assert "was killed" in html_of(mail) and "/dags/ingest_correlative/runs/manual__killed" in html_of(mail)


def test_without_the_inventory_the_mail_goes_straight_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from orbitory_airflow.notices import send_notice

    source = load(Path(os.environ["ORBITORY_CATALOGUE"])).source("correlative")
    monkeypatch.setenv("AIRFLOW_CONN_ORBITORY", "postgresql://orbitory@127.0.0.1:9/orbitory")
    run = SimpleNamespace(dag_id="ingest_correlative", run_id="manual__blind")
    send_notice(source)({"dag_run": run, "exception": RuntimeError("the inventory is away")})
    (mail,) = world.inbox.mails
    assert "the inventory is away" in html_of(mail)


def test_the_outbox_is_looked_at_every_minute_from_the_first_day(dagbag: Any) -> None:
    dag = dagbag.dags["outbox"]
    assert dag.timetable.expression == "* * * * *" and dag.max_active_runs == 1
    assert dag.is_paused_upon_creation is False
    assert [task.task_id for task in dag.tasks if task.on_failure_callback] == []


@pytest.mark.req("W7")
def test_a_redrive_moves_what_was_chosen_back_and_starts_the_ingest_of_its_source(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("empty.dat", "wrong.txt"):
        world.land("correlative", name, b"")
    world.land("correlative", "wrong.txt", b"reading")
    world.land("correlative", "wrong.txt.md5", b"0" * 32)
    assert world.run("correlative").state == "failed"
    before = started("ingest_correlative")
    run = run_dag(world, "quarantine_redrive", source="correlative", reason="checksum")
    assert run.state == "success", tasks_of(run)
    landing = world.root / "landing" / "correlative"
    assert sorted(path.name for path in landing.iterdir()) == ["wrong.txt", "wrong.txt.md5"]
    assert started("ingest_correlative") == before + 1
    assert "wrong.txt" in caplog.text and "in the landing zone of correlative again" in caplog.text


def test_a_redrive_says_what_it_kept_and_fails_when_nothing_fits(
    world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    world.land("correlative", "empty.dat", b"")
    assert world.run("correlative").state == "failed"
    world.land("correlative", "empty.dat", b"another")
    before = started("ingest_correlative")
    run = run_dag(world, "quarantine_redrive", ids=[row["id"] for row in world.rows("SELECT id FROM arrival")])
    assert run.state == "failed"
    assert tasks_of(run) == {"redrive": "success", "ingest": "skipped", "report": "failed"}
    assert "empty.dat stands in the landing zone already" in caplog.text
    for choice in ({"reason": "timeout"}, {}):
        run = run_dag(world, "quarantine_redrive", **choice)
        assert run.state == "failed" and tasks_of(run)["redrive"] == "failed"
    out, err = capfd.readouterr()
    for told in ("1 files stay in quarantine", "nothing in quarantine fits", "nothing was chosen"):
        assert told in out + err
    assert started("ingest_correlative") == before


def test_the_form_of_a_redrive_offers_sources_and_reasons(dagbag: Any) -> None:
    form = dagbag.dags["quarantine_redrive"].params
    assert set(form) == {"source", "reason", "ids"}
    assert {"idps", "correlative"} <= set(form.get_param("source").schema["enum"])
    assert "checksum" in form.get_param("reason").schema["enum"]
