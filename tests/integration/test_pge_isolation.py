"""What a PGE that means ill can do to archive and inventory, in every confinement: nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orbitory.extract import seccomp
from orbitory.extract.sandbox import landlock_abi
from orbitory.pge.confinement import bubblewrap
from orbitory.pge.executor import LocalExecutor
from orbitory.pge.runner import run
from orbitory.settings import Settings
from pge_runs import GOOD, Bench, bench_at

LANDLOCK = landlock_abi() and seccomp.available()


@pytest.fixture
def bench(settings: Settings, tmp_path: Path) -> Iterator[Bench]:
    made = bench_at(settings, tmp_path)
    with made.holdings:
        yield made


@pytest.fixture(
    params=[
        pytest.param("landlock", marks=pytest.mark.skipif(not LANDLOCK, reason="Landlock does not work here")),
        pytest.param("bubblewrap", marks=pytest.mark.skipif(not bubblewrap(), reason="bubblewrap does not work here")),
    ]
)
def executor(request: pytest.FixtureRequest) -> LocalExecutor:
    return LocalExecutor(confinement=request.param)


def test_a_pge_reaches_no_inventory_and_changes_nothing_of_the_archive(bench: Bench, executor: LocalExecutor) -> None:
    bench.define(
        f"""
import psycopg
def refused(name, act):
    try:
        act()
        print(name, "was not refused")
    except (OSError, psycopg.Error):
        pass
storage, database = {str(bench.settings.storage)!r}, {bench.settings.database!r}
refused("inventory", lambda: psycopg.connect(database).execute("UPDATE pge_instance SET priority = 99"))
refused("reading", lambda: os.listdir(storage))
for each in (*inputs, pathlib.Path(storage)):
    for act in (lambda: os.chmod(each, 0), lambda: os.utime(each, (1, 1)), lambda: os.setxattr(each, "user.x", b"1")):
        try:
            act()
        except OSError:
            pass
"""
        + GOOD
    )
    number = bench.instance(priority=7)

    def state() -> object:
        paths = [bench.settings.storage, *bench.settings.storage.rglob("*")]
        found = [(each, each.stat()) for each in paths]
        return [(each, s.st_mode, s.st_uid, s.st_mtime, s.st_size, os.listxattr(each)) for each, s in found]

    before = state()
    with bench.site() as site:
        done = run(site, number, executor)
    row = bench.row(number)
    assert (done.state, row["log_tail"], row["priority"]) == ("delivered", "", 7)
    assert state() == before
