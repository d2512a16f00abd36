"""Measure every stage, or some, and write what was found.

A tiny run, as CI does it, ends with 1 when a ratio lies far below its goal or a stage breaks. Other runs end with 1
only when a stage breaks: whether goals are met is told, and for people to judge.
"""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import report
from benchmarks.machine import machine, versions
from benchmarks.measure import interleave
from benchmarks.report import Line
from benchmarks.site import Bench, bench, tool
from benchmarks.stage import NotInstalled, Stage
from benchmarks.stages import modules
from orbitory.settings import CHECKOUT

#: A tiny run proves nothing, and shall be short.
_ROUNDS = {"tiny": 2, "small": 3, "full": 3}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", choices=("tiny", "small", "full"), default="small")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="stages that begin so; repeatable")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write everything there, instead of into the checkout")
    parser.add_argument("--list", action="store_true", help="name the stages and their goals")
    options = parser.parse_args()
    chosen = [(module, tuple(_wanted(stages, options))) for module, stages in modules()]
    if not any(stages for _, stages in chosen):
        parser.error(f"no stage of this size begins with {' or '.join(options.only)}: see --list")
    if options.list:
        for _, stages in chosen:
            for stage in stages:
                print(f"{stage.name:32} {stage.goal:8.2f} {stage.yardstick}")
        return 0
    places = report.Places.of(options.out)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # servers are stopped, too
    with _alone(places.home), bench(options.size, places.home) as ready:
        details = {"size": options.size, "machine": machine(ready), "versions": versions(ready)}
        lines: list[Line] = []
        for _, stages in chosen:
            for stage in stages:
                lines.append(measured(ready, stage))
                print(lines[-1].row(), flush=True)
            ready.clear()
    report.write(places, lines, details)
    broken = [line for line in lines if line.broken or (options.size == "tiny" and line.gross)]
    for line in broken:
        why = line.problem or f"its ratio is far below the goal, under {line.stage.gross:.3g}"
        print(f"{line.stage.name}: {why}", file=sys.stderr)
    return 1 if broken else 0


def _wanted(stages: tuple[Stage, ...], options: argparse.Namespace) -> Iterator[Stage]:
    for stage in stages:
        named = stage.name.startswith(tuple(options.only)) if options.only else None
        if options.size in stage.sizes and (named or (named is None and not (stage.slow and options.size == "tiny"))):
            yield stage


def measured(ready: Bench, stage: Stage) -> Line:
    """What is found about one stage; why nothing is, when a peer is missing or the stage breaks."""
    started = time.monotonic()
    try:
        for name in stage.needs:
            tool(name)
        case = stage.prepare(ready)
        rounds = interleave(case, _ROUNDS[ready.size], ready.cluster.pid())
        return Line(
            stage=stage,
            size=ready.size,
            what=case.what,
            rounds=tuple(rounds),
            more=case.more(),
            took=time.monotonic() - started,
        )
    except NotInstalled as missing:
        return Line(stage=stage, size=ready.size, problem=f"not installed: {missing}")
    except Exception as error:  # noqa: BLE001 - the other stages are measured all the same
        traceback.print_exc()
        return Line(stage=stage, size=ready.size, problem=f"broke: {str(error)[:500]}", broken=True)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Two benchmarks at once would measure each other."""
    home.mkdir(parents=True, exist_ok=True)
    (CHECKOUT / ".bench").mkdir(exist_ok=True)
    with (CHECKOUT / ".bench" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
