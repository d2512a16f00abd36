"""Long-running programs of the stack: start each in its own session, know it again, stop it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from private_stack.errors import StackError
from private_stack.places import Places, write_private

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def born(pid: int) -> str:
    """What tells this process from any other that has or will have the same number; empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        state, *fields = stat.rpartition(")")[2].split()
        return "" if state in "ZX" else f"{_BOOT.read_text().strip()}/{fields[18]}"
    except OSError:
        return ""


def detach(process: subprocess.Popen[bytes]) -> int:
    """Let the process outlive us, without Python's warning about it; returns its id."""
    process.returncode = 0
    return process.pid


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One program of the stack."""

    name: str
    command: Sequence[str]
    #: How long it may take to finish what it does after it was asked to stop.
    patience_seconds: float = 15


class Processes:
    """The running components, remembered in pid files so that any later command finds them."""

    def __init__(self, places: Places) -> None:
        """``places`` says where pid files and logs are."""
        self._places = places

    def _file(self, name: str) -> Path:
        return self._places.run / f"{name}.json"

    def log(self, name: str) -> Path:
        """Where the component writes what it prints."""
        return self._places.logs / f"{name}.log"

    def pid(self, name: str) -> int | None:
        """Process id if the component runs. A stale file, or a number that another process has now, counts as none."""
        try:
            record = json.loads(self._file(name).read_text())
        except (OSError, ValueError):
            return None
        return record["pid"] if record["born"] and record["born"] == born(record["pid"]) else None

    def started_at(self, name: str) -> float:
        """When the component was started (seconds since the epoch)."""
        return float(json.loads(self._file(name).read_text())["started"])

    def start(self, component: Component, environment: Mapping[str, str]) -> bool:
        """Start it unless it runs; returns whether it was started now."""
        if self.pid(component.name):
            return False
        self.sweep(component.name)
        log = self.log(component.name)
        if log.exists() and log.stat().st_size > 20_000_000:
            log.replace(log.with_suffix(".log.1"))
        started = time.time()
        with log.open("ab") as output:
            pid = detach(
                subprocess.Popen(
                    component.command,
                    env=dict(environment),
                    cwd=self._places.home,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
        record = {"pid": pid, "born": born(pid), "started": started}
        write_private(self._file(component.name), json.dumps(record))
        return True

    def stop(self, component: Component) -> bool:
        """Ask it to finish and wait for its process to be gone; after its patience the whole session is ended."""
        pid = self.pid(component.name)
        if pid is not None:
            # The main process alone first: it lets running tasks finish.
            for number, group, patience in (
                (signal.SIGTERM, False, component.patience_seconds),
                (signal.SIGTERM, True, 5.0),
                (signal.SIGKILL, True, 5.0),
            ):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, number) if group else os.kill(pid, number)
                if self._gone(pid, patience):
                    break
        self.sweep(component.name)
        self._file(component.name).unlink(missing_ok=True)
        return pid is not None

    def sweep(self, name: str) -> None:
        """End what is left of the component's session: a killed supervisor leaves its children behind."""
        with contextlib.suppress(OSError, ValueError):
            record = json.loads(self._file(name).read_text())
            if record["born"].partition("/")[0] != _BOOT.read_text().strip():
                return
            if born(record["pid"]) not in ("", record["born"]):
                return  # the number was given to another process, so nothing of that session is left
            for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 2.0)):
                if not (members := _session(record["pid"])):
                    return
                for member in members:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(member, number)
                deadline = time.monotonic() + patience
                while _session(record["pid"]) and time.monotonic() < deadline:
                    time.sleep(0.05)

    @staticmethod
    def _gone(pid: int, patience_seconds: float) -> bool:
        deadline = time.monotonic() + patience_seconds
        while born(pid):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def tail(self, name: str, lines: int = 25) -> str:
        """The end of the component's log, for a message."""
        with contextlib.suppress(OSError), self.log(name).open("rb") as handle:
            handle.seek(max(0, self.log(name).stat().st_size - 20_000))
            return "\n".join(handle.read().decode(errors="replace").splitlines()[-lines:])
        return "(no log)"

    def require(self, name: str) -> None:
        """Raise StackError with the end of its log when the component has died."""
        if self.pid(name) is None:
            raise StackError(f"{name} stopped by itself; the end of {self.log(name)}:\n{self.tail(name)}")


def _session(leader: int) -> list[int]:
    """Live processes of the session that ``leader`` opened."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                stat = Path(f"/proc/{entry.name}/stat").read_text().rpartition(")")[2].split()
                if int(stat[3]) == leader and stat[0] not in "ZX":
                    found.append(int(entry.name))
    return found
