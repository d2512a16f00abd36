"""The running stack keeps to itself, heals when it is started again, and costs nothing when nothing is missing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from airflow_world import Stage


def processes_of(stage: Stage) -> set[int]:
    """Every process in a session that the stack opened, and every process of its PostgreSQL."""
    leaders = {stage.stack.processes.pid(component.name) for component in stage.stack.airflow.components()}
    leaders.add(stage.stack.cluster.pid())
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
            except FileNotFoundError:
                continue
            if session in leaders:
                found.add(int(entry.name))
    return found


def listening(pids: set[int]) -> set[str]:
    """Local addresses, as the kernel writes them, on which one of the processes listens."""
    sockets = set()
    for pid in pids:
        try:
            sockets |= {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}
        except FileNotFoundError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                found.add(words[1])
    return found


def ports_of(addresses: set[str]) -> set[int]:
    return {int(address.partition(":")[2], 16) for address in addresses}


def test_it_listens_on_loopback_alone(stage: Stage) -> None:
    wanted = {stage.stack.ports.get(name) for name in ("api", "mail", "scheduler_health")}
    stage.until(lambda: ports_of(listening(processes_of(stage))) >= wanted)  # some open theirs when they are under way
    addresses = listening(processes_of(stage))
    assert ports_of(addresses) == wanted
    assert {address.partition(":")[0] for address in addresses} == {"0100007F"}


def test_a_second_start_restarts_nothing(stage: Stage) -> None:
    before = stage.stack.state()
    stage.stack.up()
    assert stage.stack.state() == before
    assert "down" not in before.values()


def test_a_component_that_died_is_seen_and_started_again_alone(stage: Stage) -> None:
    before = stage.stack.state()
    pid = stage.stack.processes.pid("triggerer")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert stage.stack.state() == {**before, "triggerer": "down"}
    stage.stack.up(timeout_seconds=200)
    after = stage.stack.state()
    assert {name for name in after if after[name] != before[name]} == {"triggerer"}


def test_every_file_with_a_secret_is_for_its_owner_alone(stage: Stage) -> None:
    home = stage.stack.places.home
    secrets = [*(home / "secrets").iterdir(), home / "airflow" / "passwords.json", home / "airflow" / "airflow.cfg"]
    assert {file.stat().st_mode & 0o077 for file in [home, *secrets]} == {0}
