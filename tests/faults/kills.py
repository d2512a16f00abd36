"""A command that is killed before one of its system calls: where that can be, and what became of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from faults import warm
from orbitory.settings import CHECKOUT, Settings

marks = [pytest.mark.faults, pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")]

Done = subprocess.CompletedProcess[str]
#: (system call, which one of them).
Point = tuple[str, int]
#: Runs what is to be killed; these words, of ``strace``, stand before it.
Run = Callable[[Sequence[str]], Done]

#: Keeps a figure of a test, for the table of faults.
Record = Callable[[str, object], None]

_CALL = re.compile(r"(?:\d+\s+)?(\w+)\(")


def most_of_each(default: int) -> int:
    """Before so many of each call the process is killed, evenly spread."""
    return int(os.environ.get("ORBITORY_TEST_KILL_POINTS", default))


def python(settings: Settings, *words: str, strace: Sequence[str] = (), patience: float = 120, **more: str) -> Done:
    """Run Python on this site; ``more``: of its environment."""
    environment = {
        "ORBITORY_DATABASE": settings.database,
        "ORBITORY_ROOT": str(settings.landing.parent),
        "ORBITORY_CATALOGUE": str(settings.catalogue),
        **more,
    }
    return run_python(words, environment, strace=strace, patience=patience)


def run_python(
    words: Sequence[str], more: Mapping[str, str], *, strace: Sequence[str] = (), patience: float = 120
) -> Done:
    """Run Python with our package, and nothing of the caller's settings.

    Where other words than those of ``strace`` stand before it, the interpreter is started by them.
    """
    passed = {name: value for name, value in os.environ.items() if not name.startswith(("ORBITORY_", "PYTHON"))}
    environment = passed | {"PYTHONPATH": str(CHECKOUT / "include"), **more}
    if not strace or strace[0] == "strace":
        return warm.run(words, environment, strace, patience)
    line = [*strace, sys.executable, *words]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=patience, check=False)


def orbitory(settings: Settings, *words: str, strace: Sequence[str] = (), **more: str) -> Done:
    """Run a verb on this site."""
    return python(settings, "-m", "orbitory", *words, "--json", strace=strace, **more)


def points(
    run: Run,
    log: Path,
    calls: Collection[str],
    *,
    most: int,
    every: Collection[str] = (),
    status: Collection[int] = (0,),
    children: bool = False,
) -> list[Point]:
    """Of what a quiet run does, up to ``most`` of each call, evenly sampled, the last always; ``every`` one of some."""
    done = run(("strace", "-qq", *_follow(children), "-o", str(log), "-e", f"trace={','.join(calls)}"))
    assert done.returncode in status, done.stderr
    counts = Counter(match[1] for line in log.read_text().splitlines() if (match := _CALL.match(line)))
    return [
        (call, number)
        for call, count in counts.items()
        for number in range(count, 0, -1 if call in every else -max(1, count // most))
    ]


def injecting(
    call: str, number: int | str, what: str, *also: str, children: bool = False, paths: Collection[Path] = ()
) -> tuple[str, ...]:
    """strace that does ``what`` (``signal=KILL``, ``error=EIO``) at that system call, or from then on (``"3+"``).

    ``also``: further injections, ``linkat:error=EXDEV``. ``paths``: only calls on these, which are counted alone.
    """
    injections = (f"{call}:{what}:when={number}", *also)
    traced = ",".join(dict.fromkeys(each.partition(":")[0] for each in injections))
    words = ["strace", *_follow(children), "-qq", "-o", "/dev/null", "-e", f"trace={traced}"]
    for each in injections:
        words += ["-e", f"inject={each}"]
    for path in paths:
        words += ["-P", str(path)]
    return tuple(words)


def _follow(children: bool) -> tuple[str, ...]:
    return ("-f",) if children else ()


@dataclass(slots=True)
class Sweep:
    """Kills at one point after another, and what was found wrong."""

    points: Sequence[Point]
    children: bool = False
    #: What is killed, where a test kills several things.
    what: str = "kill"
    killed: int = 0
    problems: list[str] = field(default_factory=list)
    _where: str = ""

    def __iter__(self) -> Iterator[Point]:
        """The points; what is told meanwhile is about the one at hand."""
        for call, number in self.points:
            self._where = f"{self.what} before {call} #{number}"
            yield call, number

    def kill(self, point: Point, run: Run) -> None:
        """Run it and kill it there."""
        done = run(injecting(*point, "signal=KILL", children=self.children))
        self.killed += done.returncode in (-9, 137)

    def tell(self, when: str, found: Sequence[str]) -> None:
        """Keep what is wrong."""
        self.problems += [f"{self._where}, {when}: {each}" for each in found]

    def must_end(self, done: Done, *others: int) -> None:
        """The run after a kill ends well, or with one of these."""
        if done.returncode and done.returncode not in others:
            self.tell("the next one", [f"ended with {done.returncode}: {done.stderr[-300:]}"])

    def judge(self, missed: int = 1, record: Record | None = None) -> None:
        """The same as the function, of this sweep alone."""
        judge(self, missed=missed, record=record)


def judge(*sweeps: Sweep, missed: int = 1, record: Record | None = None) -> None:
    """Nothing was wrong; and but for a tenth and ``missed`` of all each kill happened: runs ask the inventory a little
    more or less often at their very end. ``record`` is told how many points there were, and how much was wrong.
    """
    problems = [problem for sweep in sweeps for problem in sweep.problems]
    points, killed = sum(len(sweep.points) for sweep in sweeps), sum(sweep.killed for sweep in sweeps)
    if record:
        record("points", points)
        record("violations", len(problems))
    print("\n".join(problems))
    print(f"kill points: {points}, killed: {killed}, violations: {len(problems)}")
    assert not problems
    assert killed >= points * 0.9 - missed
