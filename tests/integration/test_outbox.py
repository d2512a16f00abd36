"""The outbox loses no message, sends none twice as long as senders live, and waits for no mail server."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from holdings import Holdings
from orbitory.catalogue import Source, load
from orbitory.errors import ConfigurationError
from orbitory.ingest.report import report
from orbitory.inventory import Inventory, connect
from orbitory.outbox import MOST_APART, MOST_TRIES, Delivery, Message, Refused, deliver, messages, retry, tell_failure
from orbitory.settings import Settings
from orbitory.site import open_site

LINK = "http://127.0.0.1:8080/dags/ingest_correlative/runs/one"


@pytest.fixture
def inventory(settings: Settings) -> Iterator[Inventory]:
    with connect(settings.database, actor="test") as opened:
        yield opened


@pytest.fixture
def source(settings: Settings) -> Source:
    found = load(settings.catalogue).source("correlative")
    return found.model_copy(update={"notify": ("one@example.org", "two@example.org")})


def tell(inventory: Inventory, source: Source, actor: str = "dag/one") -> None:
    tell_failure(inventory, source, actor=actor, verdict="it failed", link=LINK)


def rows(settings: Settings, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(settings.database, autocommit=True) as connection:
        return connection.execute(statement.encode()).fetchall()


def let_time_pass(settings: Settings) -> None:
    rows(settings, "UPDATE outbox SET next_try = now() - interval '1 second' RETURNING id")


class Server:
    """A mail server that takes, or does not."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.taken: list[Message] = []

    def __call__(self, message: Message) -> None:
        if self.error is not None:
            raise self.error
        self.taken.append(message)


@pytest.mark.req("W8", "N11")
def test_a_run_has_one_message_however_often_it_is_told(inventory: Inventory, source: Source) -> None:
    for _ in range(3):
        tell(inventory, source)
    tell(inventory, source, "dag/two")
    server = Server()
    assert deliver(inventory, server) == Delivery(sent=2)
    assert deliver(inventory, server) == Delivery()
    tell(inventory, source)
    assert deliver(inventory, server) == Delivery(), "a message that was sent is not sent again"
    first, second = server.taken
    assert first.recipients == ("one@example.org", "two@example.org")
    assert LINK in first.text and LINK in first.html and first.subject.startswith("[Orbitory] ingest of correlative")
    assert first.key != second.key


@pytest.mark.req("N11")
def test_the_report_keeps_message_statistics_and_list_with_the_verdict(settings: Settings) -> None:
    with Holdings(settings) as holdings:
        holdings.archive("good.bin")
        for number in range(3):
            holdings.reject(f"bad_{number}.bin", reason="size", sidecar=b"0")
        ((actor,),) = rows(settings, "SELECT actor FROM ingest_run")
    with open_site(actor=actor, settings=settings) as site:
        first = report(site, "correlative", link=LINK)
        assert first.failed and "bad_0.bin" in first.told
        assert report(site, "correlative", link=LINK).told, "a repeated report tells the same and adds no message"
        ((verdict, run),) = rows(settings, "SELECT verdict, id FROM ingest_run")
        server = Server()
        assert deliver(site.inventory, server) == Delivery(sent=1)
    (message,) = server.taken
    assert verdict == "failed" and message.attachment_name == f"orbitory-correlative-run-{run}.csv"
    assert message.attachment is not None
    table = list(csv.DictReader(io.StringIO(message.attachment.decode("utf-8-sig"), newline="")))
    bad = [f"bad_{number}.bin" for number in range(3)]
    assert sorted(each["name"] for each in table) == sorted([*bad, *(f"{name}.md5" for name in bad)])
    assert {each["reason"] for each in table} == {"size"} and table[0]["folder"].startswith("quarantine/correlative/")
    assert "elapsed" in message.text and "correlative" in message.text and "1 archived, 6 rejected" in message.subject
    assert rows(settings, "SELECT run_id, attachment IS NULL, attachment_name IS NULL FROM outbox") == [
        (run, True, False)
    ], "what was sent takes no more room than its text"


def test_a_run_that_went_well_or_that_nobody_can_follow_has_no_message(settings: Settings) -> None:
    with Holdings(settings) as holdings:
        holdings.archive("good.bin")
        ((actor,),) = rows(settings, "SELECT actor FROM ingest_run")
        with open_site(actor=actor, settings=settings) as site:
            assert not report(site, "correlative", link=LINK).failed
            holdings.reject("bad.bin")
            told = report(site, "correlative")
            assert told.failed and not told.told, "a command line tells its caller"
    assert rows(settings, "SELECT id FROM outbox") == []


def test_a_run_without_a_row_is_told_all_the_same(settings: Settings) -> None:
    with open_site(actor="dag/never", settings=settings) as site:
        assert report(site, "correlative", link=LINK, trouble="detect did not finish.").failed
        (message,) = messages(site.inventory)
    assert message["run"] is None and message["actor"] == "dag/never"


def test_the_message_of_a_run_that_was_cured_before_it_was_sent_is_dropped(settings: Settings) -> None:
    with Holdings(settings) as holdings:
        holdings.archive("good.bin")
        ((actor,),) = rows(settings, "SELECT actor FROM ingest_run")
    with open_site(actor=actor, settings=settings) as site:
        assert report(site, "correlative", link=LINK, trouble="detect did not finish.").failed
        assert not report(site, "correlative", link=LINK).failed
        assert deliver(site.inventory, Server()) == Delivery()
        assert messages(site.inventory) == []
        (message,) = messages(site.inventory, everything=True)
    assert message["state"] == "dropped"


@pytest.mark.req("N11")
@pytest.mark.fault("F54", how="a mail server that is away")
def test_a_message_waits_while_the_server_is_away_longer_each_time_and_goes_when_it_is_back(
    inventory: Inventory, source: Source, settings: Settings
) -> None:
    tell(inventory, source)
    away = Server(ConnectionRefusedError("mail server\nis away"))
    waits = []
    for number in range(1, 9):
        assert deliver(inventory, away) == Delivery(delayed=1)
        assert deliver(inventory, away) == Delivery(), "it is not due again yet"
        ((state, tries, error, wait),) = rows(
            settings, "SELECT state, tries, last_error, extract(epoch FROM next_try - now())::float FROM outbox"
        )
        assert (state, tries) == ("pending", number)
        assert error == "ConnectionRefusedError: mail server is away"
        waits.append(wait / 60)
        let_time_pass(settings)
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], abs=0.2)
    server = Server()
    assert deliver(inventory, server) == Delivery(sent=1)
    assert rows(settings, "SELECT state, tries, last_error FROM outbox") == [("sent", 9, None)]


def test_after_its_last_try_a_message_is_given_up_until_a_person_asks_for_more(
    inventory: Inventory, source: Source, settings: Settings
) -> None:
    tell(inventory, source)
    rows(settings, f"UPDATE outbox SET tries = {MOST_TRIES - 1} RETURNING id")
    assert deliver(inventory, Server(TimeoutError())) == Delivery(failed=1)
    let_time_pass(settings)
    server = Server()
    assert deliver(inventory, server) == Delivery()
    (message,) = messages(inventory)
    assert message["state"] == "failed" and message["last_error"] == "TimeoutError:"
    assert retry(inventory, (message["id"],)) == [message["id"]]
    assert deliver(inventory, server) == Delivery(sent=1)
    with pytest.raises(ConfigurationError, match=f"there is no unsent message {message['id']}: see"):
        retry(inventory, (message["id"],))
    assert retry(inventory) == []


@pytest.mark.fault("F54", how="a mail server that answers 550")
def test_what_the_server_will_never_take_is_given_up_at_once(inventory: Inventory, source: Source) -> None:
    tell(inventory, source)
    assert deliver(inventory, Server(Refused("550 no such user"))) == Delivery(failed=1)


@pytest.mark.fault("F54", how="a mail server that times out")
def test_one_bad_message_does_not_hold_up_the_others_and_a_dead_server_is_left_alone(
    inventory: Inventory, source: Source
) -> None:
    for number in range(6):
        tell(inventory, source, f"dag/{number}")
    tried: list[int] = []

    def broken(message: Message) -> None:
        tried.append(message.id)
        raise TimeoutError

    assert deliver(inventory, broken) == Delivery(delayed=3)
    assert len(tried) == 3
    server = Server()
    assert deliver(inventory, server) == Delivery(sent=3)
    assert not {message.id for message in server.taken} & set(tried)


def test_two_senders_never_send_one_message_twice(inventory: Inventory, source: Source, settings: Settings) -> None:
    for number in range(20):
        tell(inventory, source, f"dag/{number}")
    both, taken = threading.Barrier(2, timeout=30), []
    results: list[Delivery] = []

    def sender() -> None:
        first = True

        def send(message: Message) -> None:
            nonlocal first
            if first:
                both.wait()  # both hold a message now
            first = False
            taken.append(message.id)

        with connect(settings.database, actor="sender") as own:
            results.append(deliver(own, send))

    threads = [threading.Thread(target=sender) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(result.sent for result in results) == 20 and len(results) == 2
    assert sorted(taken) == sorted(set(taken)) and len(taken) == 20


def _die_after_sending(database: str, told: Any) -> None:
    def send(message: Message) -> None:
        told.put(message.key)
        told.close()
        told.join_thread()
        os.kill(os.getpid(), signal.SIGKILL)

    with connect(database, actor="sender") as own:
        deliver(own, send)


@pytest.mark.fault("F54", how="kill -9 of the sender after the server took the message")
def test_a_sender_that_dies_before_it_could_note_it_sends_again_under_the_same_message_id(
    inventory: Inventory, source: Source, settings: Settings
) -> None:
    tell(inventory, source)
    spawn = multiprocessing.get_context("spawn")
    told = spawn.Queue()
    child = spawn.Process(target=_die_after_sending, args=(settings.database, told))
    child.start()
    first = told.get(timeout=60)
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    server = Server()
    while (delivery := deliver(inventory, server)) == Delivery():  # its session ends a moment after its process
        time.sleep(0.1)
    assert delivery == Delivery(sent=1) and server.taken[0].key == first


def test_a_message_that_was_not_committed_with_its_verdict_never_was(inventory: Inventory, source: Source) -> None:
    with pytest.raises(RuntimeError), inventory.transaction():
        tell(inventory, source)
        raise RuntimeError
    assert messages(inventory, everything=True) == []


@pytest.mark.req("N11")
@pytest.mark.fault("F54", how="1,000 failed runs at once")
def test_a_thousand_failures_at_once_are_one_message_for_each_recipient(
    inventory: Inventory, source: Source, settings: Settings
) -> None:
    other = source.model_copy(update={"name": "other", "notify": ("three@example.org",)})
    for number in range(1000):
        tell(inventory, source, f"dag/{number}")
    tell(inventory, other)
    server = Server()
    assert deliver(inventory, server, actor="dag/7") == Delivery(), "a run of a crowd does not send for itself"
    assert deliver(inventory, server) == Delivery(sent=2)
    alone, crowd = server.taken
    assert alone.source == "other" and crowd.recipients == source.notify
    assert crowd.subject == "[Orbitory] 1,000 failures of 1 sources and PGEs" and "1,000  correlative" in crowd.text
    assert rows(settings, "SELECT state, count(*) FROM outbox WHERE kind = 'ingest_failed' GROUP BY 1 ORDER BY 1") == [
        ("dropped", 1000),
        ("sent", 1),
    ]
    assert deliver(inventory, server) == Delivery()


def test_failures_are_told_one_by_one_until_they_are_too_many_within_an_hour(
    inventory: Inventory, source: Source, settings: Settings
) -> None:
    server = Server()
    for number in range(MOST_APART):
        tell(inventory, source, f"dag/{number}")
        assert deliver(inventory, server, actor=f"dag/{number}") == Delivery(sent=1)
    for number in range(2):
        tell(inventory, source, f"dag/late{number}")
        assert deliver(inventory, server, actor=f"dag/late{number}") == Delivery()
    assert deliver(inventory, server) == Delivery(sent=1)
    rows(settings, "UPDATE outbox SET sent_at = sent_at - interval '2 hours' WHERE state = 'sent' RETURNING id")
    tell(inventory, source, "dag/later")
    assert deliver(inventory, server, actor="dag/later") == Delivery(sent=1)


@pytest.fixture
def orbitory(environment: dict[str, str]) -> Callable[..., Any]:
    def run(*words: str) -> Any:
        command = [sys.executable, "-m", "orbitory", *words, "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return run


@pytest.mark.req("N11")
def test_what_waits_is_seen_in_status_and_list_and_can_be_made_due(
    inventory: Inventory, source: Source, orbitory: Callable[..., Any]
) -> None:
    assert orbitory("status")["outbox"] == {"pending": 0, "failed": 0}
    tell(inventory, source)
    tell(inventory, source, "dag/two")
    deliver(inventory, Server(Refused("550 no such user")), actor="dag/one")
    deliver(inventory, Server(TimeoutError()), actor="dag/two")
    told = orbitory("status")
    assert told["outbox"] == {"pending": 1, "failed": 1}
    assert not told["ok"] and len([each for each in told["problems"] if "orbitory outbox list" in each]) == 2
    first, second = orbitory("outbox", "list")
    assert (first["state"], first["last_error"]) == ("failed", "Refused: 550 no such user")
    assert (second["state"], second["tries"], second["recipients"]) == ("pending", 1, list(source.notify))
    assert orbitory("outbox", "retry") == [{"id": each["id"], "state": "pending"} for each in (first, second)]
    server = Server()
    assert deliver(inventory, server) == Delivery(sent=2)
    assert orbitory("outbox", "list") == []
    assert [each["state"] for each in orbitory("outbox", "list", "--all")] == ["sent", "sent"]
