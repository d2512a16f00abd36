"""Ours and the yardstick, one after the other, again and again: time, processor time, bytes read and memory of each.

Everything that runs for a call is counted: this process, its children and the database's back ends. All of them are
our descendants, and the kernel adds what a process that ended has used to its parent, so the sum over the living ones
misses nobody (proc(5), fields utime to cstime; one tick is 10 ms).
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stage import Case, Done, Side

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SAMPLE_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one call took."""

    units: float
    seconds: float
    #: Of client, children and the database together.
    cpu_seconds: float
    #: By system calls, whether they came from a disk or from the kernel's memory; the database's reading included.
    bytes_read: int
    #: Most memory of client and children at one time, the database not included; pages that they share count twice.
    peak_memory: int

    def each(self, basis: str) -> float:
        """Seconds for one unit."""
        return (self.cpu_seconds if basis == "cpu" else self.seconds) / self.units


def interleave(case: Case, rounds: int, postmaster: int | None) -> list[tuple[Measured, Measured]]:
    """A B A B …: each round is a call of ours and one of theirs."""
    found = []
    for _ in range(rounds):
        pair = []
        for side in ("ours", "theirs"):
            case.ready(side)
            os.sync()  # what was prepared shall not be written while a side is measured
            pair.append(measure(_call(case, side), postmaster))
        found.append((pair[0], pair[1]))
    return found


def _call(case: Case, side: Side) -> Callable[[], Done]:
    return case.ours if side == "ours" else case.theirs


def ratio(rounds: list[tuple[Measured, Measured]], basis: str) -> float:
    """Median over the rounds of the yardstick's time for a unit, divided by ours."""
    return statistics.median(theirs.each(basis) / max(ours.each(basis), 1e-9) for ours, theirs in rounds)


def measure(call: Callable[[], Done], postmaster: int | None = None) -> Measured:
    """Call it once."""
    with _peak(postmaster) as memory:
        cpu, read = used()
        started = time.perf_counter()
        done = call()
        seconds = time.perf_counter() - started
        cpu_after, read_after = used()
    return Measured(
        units=done.units,
        seconds=seconds if done.cost is None else done.cost,
        cpu_seconds=max(cpu_after - cpu, 1 / _TICKS),
        bytes_read=read_after - read,
        peak_memory=max(memory),
    )


def used() -> tuple[float, int]:
    """Processor seconds and bytes read, of us and of all our descendants that live or have been waited for."""
    ticks = read = 0
    for pid in _family(os.getpid()):
        with suppress(OSError, ValueError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
            read += int(Path(f"/proc/{pid}/io").read_text().split()[1])
    return ticks / _TICKS, read


def _family(root: int, without: int | None = None) -> Iterator[int]:
    """``root`` and its descendants, but ``without`` and its own."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                parent = int(Path(f"/proc/{entry.name}/stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    pending = [root]
    while pending:
        pid = pending.pop()
        if pid != without:
            yield pid
            pending += children.get(pid, [])


@contextmanager
def _peak(postmaster: int | None) -> Iterator[list[int]]:
    """Memory in use, looked at now and then from beside; at least once."""
    found = [_memory(postmaster)]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            found.append(_memory(postmaster))

    beside = threading.Thread(target=look)
    beside.start()
    try:
        yield found
    finally:
        ended.set()
        beside.join()


def _memory(postmaster: int | None) -> int:
    pages = 0
    for pid in _family(os.getpid(), postmaster):
        with suppress(OSError, IndexError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * _PAGE_BYTES
