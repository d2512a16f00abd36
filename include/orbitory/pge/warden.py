"""The process between us and a PGE: it starts the program under its limits, watches it, and leaves nothing running.

It is told what to do by one line of JSON on standard input, which then stays open: closed, by us or because we were
killed, it ends the PGE. It answers with one JSON object on standard output. Whatever the PGE starts, also what leaves
its process group, becomes a child of this process and ends with it. It is two processes, of which the first only waits:
whichever of them is killed, the other one ends the PGE. Run as ``python -m orbitory.pge.warden``.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from orbitory.extract.sandbox import confine_program
from orbitory.pge.confinement import DEVICES
from orbitory.pge.usage import descendants, disk_in_use, memory_in_use

#: Of what the PGE prints, so much is kept from its beginning and, beyond that, from its end.
HEAD_BYTES, TAIL_BYTES = 4 << 20, 256 << 10
#: A program that is asked to end may take so long before it is made to.
GRACE_SECONDS = 2.0
_LOOK_SECONDS = 0.25
#: Looking at the disk takes this part of the time at most, but is never put off for longer than so many seconds.
_DISK_PART, _DISK_SECONDS = 0.1, 5.0
_SET_PDEATHSIG, _CAPBSET_DROP, _SET_CHILD_SUBREAPER = 1, 24, 36  # linux/prctl.h
_prctl = ctypes.CDLL(None, use_errno=True).prctl
#: Allocations between two looks at the memory in use are bounded by the kernel, a good deal above the limit.
_MEMORY_SLACK = 512 << 20


class Log:
    """What the PGE prints: its beginning as it comes, of the rest the end, so that no PGE fills the disk by talking."""

    def __init__(self, path: Path) -> None:
        """Start the file afresh."""
        self._file = path.open("wb", buffering=0)
        self._room, self._dropped, self._tail = HEAD_BYTES, 0, bytearray()

    def write(self, data: bytes) -> None:
        """Keep ``data``, or the end of it."""
        head, rest = data[: self._room], data[self._room :]
        self._room -= len(head)
        with suppress(OSError):  # a full disk ends the PGE elsewhere
            self._file.write(head)
        self._tail += data
        self._dropped += len(rest)
        del self._tail[: max(0, len(self._tail) - TAIL_BYTES)]

    def close(self, told: int) -> str:
        """Write the end; returns the last ``told`` bytes as text."""
        with suppress(OSError), self._file:
            if self._dropped > TAIL_BYTES:
                self._file.write(b"\n... %d bytes left out ...\n" % (self._dropped - TAIL_BYTES))
            self._file.write(self._tail[-self._dropped :] if self._dropped else b"")
        return bytes(self._tail[-told:]).decode("utf-8", "replace")


def start(task: dict[str, Any], output: int) -> tuple[int, int]:
    """Start the program in a session of its own; its process id, and the errno of a refused start (0: it runs)."""
    answer, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(answer)
        _become(task, output, told)
    os.close(told)
    with os.fdopen(answer, "rb") as reader:
        return pid, int(reader.read() or 0)


def _become(task: dict[str, Any], output: int, told: int) -> NoReturn:
    try:
        os.setsid()
        _prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.umask(0o022)
        os.chdir(task["folder"])
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_FSIZE, task["disk_bytes"])
        _limit(resource.RLIMIT_CPU, int(task["wall_seconds"] * task["cpus"]) + 1)
        _limit(resource.RLIMIT_DATA, 2 * task["memory_bytes"] + _MEMORY_SLACK)
        if task["confinement"] != "bubblewrap":  # which needs them, and then drops them
            for capability in range(64):  # even root's: what it starts has none
                _prctl(_CAPBSET_DROP, capability, 0, 0, 0)
        if task["confinement"] == "landlock":
            _confine(task)
        os.execve(task["command"][0], task["command"], task["environment"])
    except OSError as error:
        os.write(told, str(error.errno or errno.EINVAL).encode())
    finally:
        os._exit(127)


def _confine(task: dict[str, Any]) -> None:
    """As told. The program is not to blame when that fails."""
    readable, writable = ([Path(each) for each in task[name]] for name in ("readable", "writable"))
    try:
        confine_program([*readable, Path("/proc")], writable, [Path(each) for each in DEVICES])
    except OSError as error:
        raise OSError(errno.ENOSYS, f"cannot be confined: {error.strerror}") from error


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


class Watch:
    """A running PGE."""

    def __init__(self, task: dict[str, Any], pid: int, output: int, log: Log) -> None:
        """``output``: our end of what it prints."""
        self.task, self.pid, self.output, self.log = task, pid, output, log
        self.began = self._next_walk = time.monotonic()
        self.status: int | None = None
        self.cpu_seconds, self.peak_bytes, self.disk_bytes = 0.0, 0, 0

    def until_it_ends(self, guard: int) -> str:
        """Wait; why it must be ended, or nothing when it has ended by itself. ``guard``: closed when that is gone."""
        ended = os.pidfd_open(self.pid)
        poll = select.poll()
        for descriptor in (0, guard, self.output, ended):
            poll.register(descriptor, select.POLLIN)
        looked = 0.0
        try:
            while True:
                ready = {descriptor for descriptor, _ in poll.poll(_LOOK_SECONDS * 1000)}
                if self.output in ready and not self.drain():
                    poll.unregister(self.output)
                if ended in ready:
                    return ""
                if guard in ready or (0 in ready and not os.read(0, 4096)):
                    return "cancelled"
                if time.monotonic() - looked >= _LOOK_SECONDS:
                    if reason := self._over():
                        return reason
                    looked = time.monotonic()
        finally:
            os.close(ended)

    def drain(self) -> bool:
        """Take what it has printed; False when nobody can print any more."""
        with suppress(BlockingIOError):
            for _ in range(16):  # not for ever: somebody who never stops talking must still be looked after
                data = os.read(self.output, 1 << 16)
                if not data:
                    return False
                self.log.write(data)
        return True

    def _over(self) -> str:
        if time.monotonic() - self.began > self.task["wall_seconds"]:
            return "timeout"
        used = memory_in_use()
        self.peak_bytes = max(self.peak_bytes, used)
        if used > self.task["memory_bytes"]:
            return "memory"
        return "disk" if self._disk() > self.task["disk_bytes"] else ""

    def _disk(self) -> int:
        began = time.monotonic()
        if began >= self._next_walk:
            self.disk_bytes = disk_in_use(self.task["writable"], self.task["disk_bytes"])
            took = time.monotonic() - began
            self._next_walk = began + min(took / _DISK_PART, _DISK_SECONDS + took)
        return self.disk_bytes

    def end(self, politely: bool) -> None:
        """End the PGE and all that it started, and take their accounts."""
        if politely:
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGTERM)
            until = time.monotonic() + GRACE_SECONDS
            while self.status is None and time.monotonic() < until:
                self.reap()
                self.drain()
                time.sleep(0.02)
        end_descendants(self.reap)

    def reap(self) -> None:
        """Bury what has ended."""
        with suppress(ChildProcessError):
            while True:
                pid, status, used = os.wait4(-1, os.WNOHANG)
                if not pid:
                    return
                if pid == self.pid:
                    self.status = status
                self.cpu_seconds += used.ru_utime + used.ru_stime
                self.peak_bytes = max(self.peak_bytes, used.ru_maxrss * 1024)


def end_descendants(reap: Callable[[], None]) -> None:
    """End everything below this process; ``reap`` buries what has ended."""
    while left := list(descendants()):
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        reap()
        time.sleep(0.005)


def supervise(task: dict[str, Any], guard: int) -> dict[str, Any]:
    """Run the program to its end, by itself or by us; what became of it."""
    output, theirs = os.pipe()
    os.set_blocking(output, False)
    log = Log(Path(task["log"]))
    pid, refused = start(task, theirs)
    os.close(theirs)
    watch = Watch(task, pid, output, log)
    reason = "" if refused else watch.until_it_ends(guard)
    wall_seconds = time.monotonic() - watch.began
    watch.end(politely=reason in ("timeout", "cancelled"))
    watch.drain()
    watch.disk_bytes = disk_in_use(task["writable"], task["disk_bytes"])
    code = os.waitstatus_to_exitcode(watch.status) if watch.status is not None else None
    return {
        "reason": reason,
        "refused": refused,
        "code": code,
        "wall_seconds": wall_seconds,
        "cpu_seconds": watch.cpu_seconds,
        "peak_bytes": watch.peak_bytes,
        "disk_bytes": watch.disk_bytes,
        "tail": log.close(task["tail_bytes"]),
    }


def _adopt() -> None:
    """Become the parent of whatever below this process loses its own."""
    if _prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER failed")


def _guard(warden: int) -> NoReturn:
    """Wait for the process that watches. Should it be killed, what it leaves behind ends here."""
    _, status = os.waitpid(warden, 0)
    end_descendants(_bury)
    os._exit(1 if status else 0)


def _bury() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue


def _main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # who ends us must end our caller: then nothing is left behind
    _adopt()
    guard, guarding = os.pipe()
    if warden := os.fork():
        os.close(guard)
        _guard(warden)
    os.close(guarding)
    _adopt()
    with os.fdopen(os.dup(0), "rb", buffering=0) as told:
        task = json.loads(told.readline())
    answer = json.dumps(supervise(task, guard))
    sys.stdout.write(answer)


if __name__ == "__main__":
    _main()
