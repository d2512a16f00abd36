"""What tests share that break a running Airflow: an empty site for each, what was delivered, who is killed, claims."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psycopg

from airflow_world import CHECKOUT, Stage
from faults.oracle import Truth, violations_at_rest
from ingesting import sizes_and_sums
from orbitory.catalogue import load
from orbitory.simulate import simulate
from orbitory.zones import display
from private_stack.errors import StackError
from private_stack.postgres import OWNER

#: So many good files beside those with faults that every step takes long enough to be killed in its middle.
PLAIN = 3_000
#: The inventory as it was when nothing had been delivered.
EMPTY = "empty"
#: One look at the claims and the next.
_GLANCE = 0.1


def keep_empty(stage: Stage) -> None:
    """Remember the inventory as it is now."""
    with refusing(stage):
        stage.stack.cluster.sql(f"CREATE DATABASE {EMPTY} TEMPLATE orbitory OWNER {OWNER}")


@contextmanager
def refusing(stage: Stage) -> Iterator[None]:
    """Whoever is connected to the inventory is thrown out, and nobody gets in."""
    sql = stage.stack.cluster.sql
    sql("ALTER DATABASE orbitory ALLOW_CONNECTIONS false")
    try:
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'orbitory'")
        yield
    finally:
        sql("ALTER DATABASE orbitory ALLOW_CONNECTIONS true")


def begin_anew(stage: Stage) -> None:
    """Nothing was ever delivered."""
    sql = stage.stack.cluster.sql
    sql("DROP DATABASE orbitory WITH (FORCE)")
    sql(f"CREATE DATABASE orbitory TEMPLATE {EMPTY} OWNER {OWNER}")
    for zone in stage.root.iterdir():
        shutil.rmtree(zone)


def deliver(stage: Stage, source: str, plain: int = PLAIN) -> Truth:
    """Every fault that the simulator knows, and many good files; what waits will wait for a day."""
    landing = stage.root / "landing" / source
    foretold = simulate(load(CHECKOUT / "include" / "catalogue"), "correlative", 60, 11, "all", landing / "faulty")
    fates = {f"faulty/{entry['name']}": str(entry["fate"]) for entry in foretold}
    tomorrow = time.time() + 86_400
    for name in [name for name, fate in fates.items() if fate == "waiting"]:
        os.utime(landing / name, (tomorrow, tomorrow), follow_symlinks=False)
    for number in range(plain):
        name = f"plain_{number:05}.txt"
        stage.land(source, name, f"reading {number}\n".encode())
        fates[name] = "archived"
    sums = sizes_and_sums(landing)
    regular = {name for name in fates if (landing / name).is_file() and not (landing / name).is_symlink()}
    return Truth(source, {display(os.fsencode(name)): (sums[name][1], fates[name]) for name in sorted(regular)})


def violations(stage: Stage, truth: Truth) -> list[str]:
    """What the independent judge and the product's own audit find wrong."""
    audited: list[dict[str, Any]] = stage.orbitory("audit")["violations"]
    return violations_at_rest(truth, stage.root, stage.uri) + [str(each) for each in audited]


def parent_of(pid: int) -> int:
    """Of a task's process: its supervisor, which with the local executor is the executor's worker."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def has_children(pid: int) -> bool:
    """Whether a process has started another one."""
    return bool(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def sessions(stage: Stage) -> dict[int, bool]:
    """Who is connected to the inventory, and whether in the middle of a transaction."""
    rows = stage.rows(
        "SELECT pid, xact_start IS NOT NULL AS busy FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    return {row["pid"]: row["busy"] for row in rows}


@contextmanager
def stopped(stage: Stage, *pids: int) -> Iterator[None]:
    """These processes stand still, and hold no lock in the inventory; what is left of them goes on in the end."""

    def tell(number: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def stand_still() -> bool:
        tell(signal.SIGSTOP)
        time.sleep(0.2)  # what the server was asked before it has answered
        if any(sessions(stage).values()):
            tell(signal.SIGCONT)
            return False
        return True

    try:
        stage.until(stand_still)
        yield
    finally:
        tell(signal.SIGCONT)


def kill_component(stage: Stage, name: str) -> None:
    """Kill a component of the stack; what it left of its session stays."""
    pid = stage.stack.processes.pid(name)
    assert pid is not None, f"{name} did not run"
    os.kill(pid, signal.SIGKILL)
    stage.until(lambda: stage.stack.processes.pid(name) is None)


def restart(stage: Stage) -> None:
    """Start what has ended, and again what ends meanwhile, as a supervisor of services would."""
    for left in (2, 1, 0):
        try:
            return stage.stack.up(timeout_seconds=300)
        except StackError:
            if not left:
                raise


@dataclass(slots=True)
class Claims:
    """Looks at the claims all the time: how long one stood without a sign of life while its batch was not done."""

    uri: str
    longest: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(30)

    def _watch(self) -> None:
        since: dict[int, tuple[Any, float]] = {}
        while not self._stop.wait(_GLANCE):
            try:
                self._look(since)
            except psycopg.OperationalError:
                continue  # the database may be what is killed

    def _look(self, since: dict[int, tuple[Any, float]]) -> None:
        with psycopg.connect(self.uri, autocommit=True) as connection:
            while not self._stop.wait(_GLANCE):
                held = connection.execute(
                    "SELECT id, claim, lease_until FROM batch WHERE claim IS NOT NULL AND done_at IS NULL"
                ).fetchall()
                now = time.monotonic()
                for batch, *sign in held:
                    if batch not in since or since[batch][0] != sign:
                        since[batch] = (sign, now)
                    self.longest = max(self.longest, now - since[batch][1])
                for batch in set(since) - {row[0] for row in held}:
                    del since[batch]
