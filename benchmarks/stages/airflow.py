"""The whole chain in a real Airflow.

Technique: a task takes a whole batch, never a file, and no more batches are cut than there is work for.
Limit: what each task costs before it does anything: a process that imports Airflow, and the scheduler's turn.
Tried: nothing else was measured.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from airflow_world import copy_catalogue
from benchmarks.deliveries import SOURCE, Delivery, ingest_all, jpss, land
from benchmarks.measure import used
from benchmarks.site import Bench
from benchmarks.stage import Case, Done, Side, Stage
from demonstration.api import AirflowApi
from orbitory.settings import Settings
from private_stack.places import Places
from private_stack.stack import Stack

_DAG = f"ingest_{SOURCE}"
_NEVER = '"0 0 29 2 *"'
_PATIENCE_SECONDS = 3_600
_IDLE_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Airflow:
    """A running private stack whose runs begin only when they are asked for."""

    root: Path
    api: AirflowApi

    def ingest(self) -> None:
        """One run, to its end."""
        run = self.api.trigger(_DAG)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (state := self.api.run_state(_DAG, run)) not in ("success", "failed"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the run is still {state} after {_PATIENCE_SECONDS} seconds")
            time.sleep(0.2)
        if state != "success":
            raise RuntimeError(f"the run ended {state}; see {self.root.parent / 'logs'}")


@contextmanager
def _running(home: Path) -> Iterator[_Airflow]:
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("AIRFLOW", "ORBITORY_"))]:
        del os.environ[name]
    places = Places(home=home / "stack")
    Stack(places).clean()  # of a run that was killed
    places.make()
    os.environ["ORBITORY_CATALOGUE"] = str(copy_catalogue(home / "stack" / "catalogue", schedule=_NEVER))
    stack = Stack(places)
    try:
        stack.up(timeout_seconds=600)
        login = stack.login()
        api = AirflowApi(login["address"], login["user"], login["password"])
        api.await_dag(_DAG)
        api.unpause(_DAG)
        yield _Airflow(root=places.site, api=api)
    finally:
        stack.clean()
        os.environ.clear()
        os.environ.update(before)


def _start(bench: Bench) -> _Airflow:
    return bench.opened("airflow", _running(bench.home))


@dataclass(slots=True)
class _Rounds:
    """Each round brings other files: Airflow's site keeps what it has archived."""

    delivery: Delivery | None = None
    site: list[Settings] = field(default_factory=list)
    seed: int = 100


def _chain(bench: Bench) -> Case:
    airflow, rounds = bench.once(_start), _Rounds()
    count, size = bench.pick(4, 600, 600), bench.pick(2_000_000, 20_000_000, 20_000_000)

    def ready(side: Side) -> None:
        if side == "theirs":
            return
        rounds.seed += 1
        rounds.delivery = jpss(bench, "airflow", count, size, announced=True, seed=rounds.seed)
        rounds.site[:] = [bench.site("beside")]
        land(rounds.delivery, rounds.site[0])
        target = airflow.root / "landing" / SOURCE
        target.mkdir(parents=True, exist_ok=True)
        for folder in rounds.delivery.folder.iterdir():  # moved: a copy more may not fit on the disk
            shutil.move(folder, target / f"{rounds.seed}_{folder.name}")

    def ours() -> Done:
        airflow.ingest()
        return Done(units=count)

    def theirs() -> Done:
        ingest_all(rounds.site[0])
        return Done(units=count)

    what = f"{count} files of {size / 1e6:.0f} MB, {count * size / 1e9:.1f} GB; where it is little, fixed costs count"
    return Case(what=what, ours=ours, theirs=theirs, ready=ready)


def _nothing(bench: Bench) -> Case:
    airflow = bench.once(_start)
    empty = bench.site("empty")
    (empty.landing / SOURCE).mkdir(parents=True)

    def ours() -> Done:
        airflow.ingest()
        return Done(units=1)

    def theirs() -> Done:
        ingest_all(empty)
        return Done(units=1)

    return Case(what="a run that finds nothing: what each costs before it does anything", ours=ours, theirs=theirs)


def _idle(bench: Bench) -> Case:
    bench.once(_start)
    seconds = bench.pick(5, 60, 300)

    def ours() -> Done:
        before = used()[0]
        time.sleep(seconds)
        return Done(units=1, cost=max(used()[0] - before, 0.01) / seconds)

    return Case(
        what=f"Airflow and its database with nothing to do for {seconds} s: processor seconds a second",
        ours=ours,
        theirs=lambda: Done(units=1, cost=_IDLE_SHARE),
    )


STAGES = (
    Stage(
        name="airflow",
        yardstick="the same on the command line, 2 workers",
        goal=0.8,
        unit="files",
        prepare=_chain,
        slow=True,
        sizes=("tiny", "full"),
        floor=0.001,
    ),
    Stage(
        name="airflow-empty-run",
        yardstick="the same on the command line",
        goal=0.1,
        unit="runs",
        prepare=_nothing,
        slow=True,
        floor=0.001,
    ),
    Stage(
        name="airflow-idle",
        yardstick="a tenth of one core",
        goal=1.0,
        unit="",
        prepare=_idle,
        slow=True,
        sizes=("tiny", "full"),
        floor=0.01,
    ),
)
