"""kill -9 before each system call that changes something, then run again: nothing lost, nothing doubled."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

import pytest

from cloning import Clone
from faults import kills
from faults.delivering import at_once, at_rest, deliver, let_go
from faults.delivering import ingest as command
from faults.oracle import acknowledged, archived, lost_since
from orbitory.ingest.run import ingest
from orbitory.settings import Settings

pytestmark = kills.marks

#: Calls that change something; the process is killed before some of each, evenly spread, or before every one.
FILES = ("link", "linkat", "unlink", "unlinkat", "rename", "renameat2", "syncfs", "fsync", "mkdir")
CALLS = (*FILES, "sendto")


@pytest.mark.fault(
    "F01",
    "F02",
    "F03",
    "F04",
    "F05",
    "F06",
    "F07",
    how="SIGKILL before a sample of the system calls of an ingest that change something",
)
@pytest.mark.req("W5")
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_kill_before_any_change_loses_nothing_and_the_next_run_finishes(
    clone: Clone, record_property: kills.Record
) -> None:
    sweep(clone, record_property, CALLS, most=kills.most_of_each(5))


@pytest.mark.fault("F01", "F02", "F03", "F04", "F05", "F06", how="SIGKILL before every change of names and every sync")
@pytest.mark.fault("F07", how="SIGKILL before every answer of the database is read")
@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("calls", [FILES, ("recvfrom",), ("sendto",)], ids=["files", "answers", "questions"])
def test_a_kill_before_every_single_one_loses_nothing_and_the_next_run_finishes(
    clone: Clone, record_property: kills.Record, calls: Collection[str]
) -> None:
    sweep(clone, record_property, calls, most=10_000)


def sweep(clone: Clone, record_property: kills.Record, calls: Collection[str], *, most: int) -> None:
    quiet = clone("quiet")
    deliver(quiet)
    log = quiet.landing.parent / "calls.log"
    chosen = kills.points(partial(command, quiet), log, calls, most=most, status=(1,))
    assert {call for call, _ in chosen} >= set(calls) & {"linkat", "unlink", "renameat2", "syncfs", "sendto"}
    kept, found = 0, kills.Sweep(chosen)
    for call, number in found:
        settings = clone(f"{call}_{number}")
        truth = deliver(settings)
        found.kill((call, number), partial(command, settings))
        found.tell("at once", at_once(settings, truth))
        before = archived(settings.database)
        kept += len(acknowledged(truth, settings.landing.parent))
        let_go(settings)
        ingest(settings, "correlative")
        found.tell("after the next run", lost_since(before, settings.database))
        found.tell("after the next run", at_rest(settings, truth))
        clone.drop(settings)
    record_property(
        "figure", f"kill -9 before {', '.join(sorted(calls))}: of {kept} files taken out of landing 0 are lost"
    )
    found.judge(missed=0, record=record_property)


def test_a_command_that_is_forked_makes_the_calls_of_one_that_is_started(clone: Clone) -> None:
    found = []
    for started in ((), ("env",)):
        settings = clone(f"by_{len(started)}")
        deliver(settings)

        def run(strace: Sequence[str], settings: Settings = settings, started: Sequence[str] = started) -> kills.Done:
            return command(settings, (*started, *strace))

        log = settings.landing.parent / "calls.log"
        # Answers are left out: how many pieces one comes in is a matter of moments.
        found.append(sorted(kills.points(run, log, CALLS, most=10_000, status=(1,))))
    assert len(found[0]) > 100
    assert found[0] == found[1]


@pytest.mark.req("W5")
def test_the_judge_sees_a_loss_a_dark_file_and_a_row_without_its_file(clone: Clone) -> None:
    settings = clone("judge")
    root = settings.landing.parent
    truth = deliver(settings)
    command(settings)
    assert at_rest(settings, truth) == []
    victim = next(path for path in (root / "storage").rglob("*.txt"))
    content = victim.read_bytes()
    victim.write_bytes(content[:-1])
    assert any("other bytes" in each for each in at_once(settings, truth))
    victim.unlink()
    assert any("lost" in each for each in at_once(settings, truth))
    victim.write_bytes(content)
    (victim.parent / "dark.txt").write_bytes(b"nobody knows me")
    assert any("file without row" in each for each in at_rest(settings, truth))


@pytest.mark.fault("F60", how="history rewritten, and rows edited past it, by a superuser")
def test_the_judge_sees_what_was_edited_behind_history(clone: Clone) -> None:
    settings = clone("edited")
    truth = deliver(settings)
    ingest(settings, "correlative")
    assert at_rest(settings, truth) == []
    name = settings.database.rpartition("/")[2]
    for edit, seen in (
        ("UPDATE event SET to_state = 'withdrawn' WHERE to_state = 'archived' AND subject = 'granule'", "history says"),
        ("UPDATE asset SET state = 'deleting' WHERE id = 1", "asset 1 is deleting, history says archived"),
        ("UPDATE ingest_statistic SET files = files + 1", "figures of run 1"),
        ("UPDATE batch SET done_at = NULL", "is still open"),
    ):
        clone.postgres.sql(f"SET session_replication_role = replica; {edit}", name)
        assert any(seen in each for each in at_rest(settings, truth)), edit
