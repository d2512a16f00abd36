"""Components are known again, stopped completely, and never mistaken for strangers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from private_stack.errors import StackError
from private_stack.places import Places
from private_stack.processes import Component, Processes, born

SLEEPS = Component(name="sleeper", command=("sleep", "60"), patience_seconds=2)
#: A supervisor with a child that ignores its parent's end, as a worker of a killed scheduler does.
WITH_CHILD = Component(
    name="parent",
    command=("sh", "-c", "sleep 61 & echo $! >child; wait"),
    patience_seconds=2,
)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    made = Places(home=tmp_path / "home")
    made.make()
    return made


@pytest.fixture
def processes(places: Places) -> Iterator[Processes]:
    made = Processes(places)
    yield made
    for component in (SLEEPS, WITH_CHILD):
        made.stop(component)


def child_of(places: Places) -> int:
    file = places.home / "child"
    for _ in range(100):
        if file.exists() and file.read_text().strip():
            return int(file.read_text())
        time.sleep(0.02)
    raise AssertionError("the child did not start")


def test_a_started_component_is_found_by_any_later_command_and_not_started_twice(
    places: Places, processes: Processes
) -> None:
    assert processes.start(SLEEPS, os.environ)
    pid = Processes(places).pid("sleeper")
    assert pid is not None
    assert os.getsid(pid) == pid, "a session of its own: closing the terminal does not end it"
    assert not Processes(places).start(SLEEPS, os.environ)
    assert processes.pid("sleeper") == pid


def test_stopping_waits_until_the_process_is_gone(processes: Processes) -> None:
    processes.start(SLEEPS, os.environ)
    pid = processes.pid("sleeper")
    assert pid is not None
    assert processes.stop(SLEEPS)
    assert born(pid) == ""
    assert not processes.stop(SLEEPS)


def test_one_that_does_not_listen_is_ended_after_its_patience(processes: Processes) -> None:
    deaf = Component(
        name="parent", command=("sh", "-c", "trap '' TERM; sleep 61 & wait; sleep 61"), patience_seconds=0.2
    )
    processes.start(deaf, os.environ)
    time.sleep(0.2)
    assert processes.stop(deaf)
    assert processes.pid("parent") is None


def test_children_of_a_killed_supervisor_end_when_it_is_started_again(places: Places, processes: Processes) -> None:
    processes.start(WITH_CHILD, os.environ)
    child, pid = child_of(places), processes.pid("parent")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert born(child), "the child outlived its parent"
    assert processes.start(WITH_CHILD, os.environ)
    assert not born(child)


def test_a_stale_pid_file_never_makes_a_stranger_ours(places: Places, processes: Processes) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        record = {"pid": stranger.pid, "born": "another-boot/123", "started": 0}
        (places.run / "sleeper.json").write_text(json.dumps(record))
        assert processes.pid("sleeper") is None
        assert not processes.stop(SLEEPS)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_component_that_died_is_reported_with_the_end_of_its_log(processes: Processes) -> None:
    program = "print('line one'); raise SystemExit('what went wrong')"
    processes.start(Component(name="parent", command=(sys.executable, "-c", program)), os.environ)
    deadline = time.monotonic() + 10
    while processes.pid("parent") and time.monotonic() < deadline:
        time.sleep(0.02)
    with pytest.raises(StackError, match=r"(?s)parent stopped by itself.*line one.*what went wrong"):
        processes.require("parent")
