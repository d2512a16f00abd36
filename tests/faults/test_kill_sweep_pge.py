"""A PGE's worker is killed before each system call that changes something, asked to end, or refused by the disk.

Whatever happens to it: a whole delivery or none, never two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from cloning import Clone
from faults import kills
from pge_runs import GOOD, Bench, bench_at

pytestmark = kills.marks

CALLS = ("linkat", "rename", "renameat2", "unlink", "rmdir", "mkdir", "syncfs", "fsync", "sendto", "chmod", "fchmodat")
NAME = "VQLKM.probe.1.P000001.txt"


#: One try, by a worker that ends as Airflow's do when they are asked to.
ONE_TRY = """
import signal, sys
from orbitory.pge.runner import run
from orbitory.site import open_site
def leave(number, frame):
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, leave)
with open_site(actor="worker") as site:
    print(run(site, int(sys.argv[1])).state)
"""


def command(bench: Bench, *words: str, strace: Sequence[str] = ()) -> kills.Done:
    return kills.orbitory(bench.settings, *words, strace=strace)


def one_try(bench: Bench, number: int, strace: Sequence[str] = ()) -> kills.Done:
    return kills.python(bench.settings, "-c", ONE_TRY, str(number), strace=strace)


def prepare(bench: Bench) -> int:
    bench.define(GOOD, retries=2)
    return bench.instance(contents=(b"alpha", b"beta"))


def points_of(bench: Bench, *words: str, calls: Sequence[str] = CALLS) -> list[kills.Point]:
    """``words``: who runs it."""
    number = prepare(bench)

    def run(strace: Sequence[str]) -> kills.Done:
        return kills.python(bench.settings, *words, str(number), strace=strace)

    return kills.points(run, bench.folder / "calls.log", calls, most=kills.most_of_each(5))


def violations_at_any_instant(bench: Bench, number: int) -> list[str]:
    """What must hold even in the moment after a kill."""
    found = []
    landed = [path for path in (bench.settings.landing / "pge").rglob("*") if path.is_file()]
    if landed:
        files = bench.delivered(number)
        if len(landed) != 3 or len(files) != 3 or files.get(NAME) != b"alphabeta":
            found.append(f"a part was delivered: {[str(path) for path in landed]}")
        for line in files.get("SHA256SUMS", b"").decode().splitlines():
            value, _, name = line.partition("  ")
            if hashlib.sha256(files.get(name, b"")).hexdigest() != value:
                found.append(f"{name} was delivered with other bytes than announced")
    for name, content in (("P000001_0.h5", b"alpha"), ("P000001_1.h5", b"beta")):
        if (bench.settings.storage / "idps" / name).read_bytes() != content:
            found.append(f"the input {name} was changed")
    return found


def violations_at_rest(bench: Bench, number: int) -> list[str]:
    """What must hold once the next worker has run and the outputs were taken in."""
    found = []
    row = bench.row(number)
    if row["state"] != "done":
        found.append(f"the instance is {row['state']}: {row['reason']} {row['detail']}")
    with psycopg.connect(bench.settings.database) as connection:
        made = connection.execute(
            "SELECT path, state FROM asset WHERE path LIKE '%%VQLKM%%' AND role = 'data'"
        ).fetchall()
        events = connection.execute(
            "SELECT count(*) FROM event WHERE subject = 'pge_instance' AND to_state = 'delivered'"
        ).fetchone()
    if len(made) != 1 or (bench.settings.storage / made[0][0]).read_bytes() != b"alphabeta":
        found.append(f"archived: {made}")
    if events != (1,):
        found.append(f"delivered {events} times")
    left = [str(path) for path in (bench.settings.landing / "pge").rglob("*")]
    return found + [f"left in landing: {path}" for path in left]


@pytest.mark.fault("F51", how="SIGKILL before system calls of the hand-over of a product")
@pytest.mark.req("F51")
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_kill_before_any_change_delivers_all_or_nothing_and_the_next_worker_finishes(
    clone: Clone, tmp_path: Path
) -> None:
    def bench(name: str) -> Bench:
        folder = tmp_path / f"bench-{name}"
        folder.mkdir()
        return bench_at(clone(name), folder)

    quiet = bench("quiet")
    chosen = points_of(quiet, "-m", "orbitory", "run-pge")
    quiet.holdings.db.close()
    assert {"linkat", "rename", "renameat2", "syncfs", "sendto"} <= {call for call, _ in chosen}, chosen
    sweep = kills.Sweep(chosen)
    for call, at in sweep:
        made = bench(f"{call}_{at}")
        number = prepare(made)

        def run(strace: Sequence[str], made: Bench = made, number: int = number) -> kills.Done:
            return command(made, "run-pge", str(number), strace=strace)

        sweep.kill((call, at), run)
        sweep.tell("at once", violations_at_any_instant(made, number))
        made.holdings.sql("UPDATE pge_instance SET lease_until = now() - interval '1 second' WHERE state = 'running'")
        sweep.must_end(command(made, "run-pge", "--ready"))
        sweep.tell("after the next", violations_at_any_instant(made, number))
        sweep.must_end(command(made, "ingest", "pge"))
        sweep.tell("at rest", violations_at_rest(made, number))
        made.holdings.db.close()
    sweep.judge(missed=0)


@pytest.mark.req("F51")
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("what", ["signal=TERM", "error=EIO"])
def test_a_worker_that_is_ended_or_refused_about_the_rename_delivers_once_and_knows_it(
    clone: Clone, tmp_path: Path, what: str
) -> None:
    """The rename that lets a delivery appear, and what makes it durable."""

    def bench(name: str) -> Bench:
        folder = tmp_path / f"bench-{name}"
        folder.mkdir()
        return bench_at(clone(name), folder)

    quiet = bench("quiet")
    chosen = points_of(quiet, "-c", ONE_TRY, calls=("renameat2", "fsync", "syncfs"))
    quiet.holdings.db.close()
    assert {"renameat2", "fsync", "syncfs"} <= {call for call, _ in chosen}, chosen
    problems: list[str] = []
    for call, at in chosen:
        made = bench(f"{call}_{at}")
        number = prepare(made)
        first = one_try(made, number, kills.injecting(call, at, what))
        where, row = f"{what} at {call} #{at}", made.row(number)
        print(where, first.returncode, first.stdout.strip(), row["state"])
        problems += [f"{where}, at once: {each}" for each in violations_at_any_instant(made, number)]
        if made.delivered(number) and row["state"] != "delivered":
            problems.append(f"{where}: its delivery stands, but it is {row['state']}")
        second = one_try(made, number)
        if second.stdout.strip() != "delivered":
            problems.append(f"{where}: the next try: {second.stdout}{second.stderr[-300:]}")
        third = command(made, "ingest", "pge")
        if third.returncode:
            problems.append(f"{where}: the ingest ended with {third.returncode}: {third.stderr[-300:]}")
        problems += [f"{where}, at rest: {each}" for each in violations_at_rest(made, number)]
        problems += [f"{where}, at rest: {each}" for each in made.violations()]
        made.holdings.db.close()
    assert not problems, "\n".join(problems)
