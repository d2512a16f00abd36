"""kill -9 before each system call that changes something, then run again: nothing lost, nothing doubled."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import partial

import pytest

from cloning import Clone
from faults import kills
from faults.oracle import Truth, violations_at_any_instant, violations_at_rest
from orbitory.settings import Settings

pytestmark = kills.marks

#: Calls that change something; the process is killed before some of each, evenly spread, or before every one.
CALLS = ("link", "linkat", "unlink", "renameat2", "syncfs", "fsync", "mkdir", "sendto")


def deliver(settings: Settings) -> Truth:
    """Three good files, one with a sidecar, and a bad one."""
    landing = settings.landing / "correlative"
    landing.mkdir(parents=True)
    contents = {"a.txt": b"alpha\n", "sub/b.txt": b"beta\n", "c.txt": b"gamma\n"}
    contents["c.txt.sha256"] = hashlib.sha256(b"gamma\n").hexdigest().encode()
    contents["bad.txt"] = b"delta\n"
    contents["bad.txt.md5"] = b"0" * 32
    files = {}
    for name, content in contents.items():
        (landing / name).parent.mkdir(exist_ok=True)
        (landing / name).write_bytes(content)
        os.utime(landing / name, (1_700_000_000, 1_700_000_000))
        files[name] = hashlib.sha256(content).hexdigest(), "rejected" if name.startswith("bad") else "archived"
    return Truth("correlative", files)


def command(settings: Settings, strace: Sequence[str] = ()) -> kills.Done:
    return kills.orbitory(settings, "ingest", "correlative", "--workers", "1", strace=strace)


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
def test_a_kill_before_any_change_loses_nothing_and_the_next_run_finishes(clone: Clone) -> None:
    command(clone("warm"))  # so that no kill meets the writing of byte code
    quiet = clone("quiet")
    deliver(quiet)
    log = quiet.landing.parent / "calls.log"
    chosen = kills.points(partial(command, quiet), log, CALLS, most=kills.most_of_each(5), status=(1,))
    assert {"linkat", "unlink", "renameat2", "syncfs", "sendto"} <= {call for call, _ in chosen}
    sweep = kills.Sweep(chosen)
    for call, number in sweep:
        settings = clone(f"{call}_{number}")
        root = settings.landing.parent
        truth = deliver(settings)
        sweep.kill((call, number), partial(command, settings))
        sweep.tell("at once", violations_at_any_instant(truth, root, settings.database))
        sweep.must_end(command(settings), 1)
        sweep.tell("after the next run", violations_at_rest(truth, root, settings.database))
    sweep.judge(missed=0)


@pytest.mark.req("W5")
def test_the_judge_sees_a_loss_a_dark_file_and_a_row_without_its_file(clone: Clone) -> None:
    settings = clone("judge")
    root = settings.landing.parent
    truth = deliver(settings)
    command(settings)
    assert violations_at_rest(truth, root, settings.database) == []
    victim = next(path for path in (root / "storage").rglob("*.txt"))
    content = victim.read_bytes()
    victim.write_bytes(content[:-1])
    assert any("other bytes" in each for each in violations_at_any_instant(truth, root, settings.database))
    victim.unlink()
    assert any("lost" in each for each in violations_at_any_instant(truth, root, settings.database))
    victim.write_bytes(content)
    (victim.parent / "dark.txt").write_bytes(b"nobody knows me")
    assert any("file without row" in each for each in violations_at_rest(truth, root, settings.database))
