"""The clock of the database goes back: nothing goes early, nothing is lost, and work goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from faults import kills
from faults.delivering import SOURCE, at_once, at_rest, deliver, ingest, let_go, put
from faults.oracle import Truth
from faults.servers import Server, server
from orbitory.settings import Settings
from private_stack.postgres import Cluster

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

pytestmark = [
    *kills.marks,
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed"),
]


@contextmanager
def set_back(own: Server, by: str) -> Iterator[None]:
    """The server is stopped and started with a clock that is behind by so much."""
    plain = Cluster._way

    def behind(cluster: Cluster, folder: Path) -> Any:
        way = plain(cluster, folder)
        clock = ("env", f"LD_PRELOAD={LIBRARY}", f"FAKETIME=-{by}", "FAKETIME_DONT_FAKE_MONOTONIC=1")
        return replace(way, prefix=(*way.prefix, *clock))

    own.cluster.stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cluster, "_way", behind)
        own.cluster.start()
    yield
    own.cluster.stop()
    own.cluster.start()


def now(settings: Settings) -> float:
    """The database's clock, in seconds since 1970."""
    with psycopg.connect(settings.database) as connection:
        row = connection.execute("SELECT extract(epoch FROM now())::float").fetchone()
    assert row is not None
    return float(row[0])


@pytest.mark.fault("F43", how="the clock of the database goes back by 30 days amid a run, after a kill")
def test_a_database_whose_clock_goes_back_loses_nothing_and_removes_nothing_early(tmp_path: Path) -> None:
    with server(tmp_path) as own:
        settings = own.clone("back")
        first = deliver(settings)
        assert ingest(settings).returncode == 1
        more = put(settings.landing / SOURCE, {f"more/{number}.txt": b"%d" % number for number in range(5)})
        truth = Truth(SOURCE, first.files | more.files)
        assert ingest(settings, kills.injecting("syncfs", 1, "signal=KILL")).returncode in (-9, 137)
        let_go(settings)
        with set_back(own, "30d"):
            assert now(settings) < time.time() - 29 * 86_400
            assert at_once(settings, truth) == []
            done = ingest(settings)
            assert done.returncode == 0, done.stderr
            assert at_rest(settings, truth) == []
            removed = kills.orbitory(settings, "expire")
            assert removed.returncode == 0, removed.stderr
            assert json.loads(removed.stdout)["removed"] == 0
            audited = kills.orbitory(settings, "audit")
            assert audited.returncode == 0, audited.stdout
            assert json.loads(audited.stdout)["violations"] == []
        assert ingest(settings).returncode == 0
        assert at_rest(settings, truth) == []
