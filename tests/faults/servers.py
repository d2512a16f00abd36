"""A database server of a test's own that keeps what it acknowledges, to be crashed, filled and taken away."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from cloning import Clone
from orbitory.inventory.migrate import migrate
from private_stack.errors import StackError
from private_stack.places import Places
from private_stack.postgres import DAILY, DURABLE, OWNER, Cluster

#: Small, and durable: an answer to COMMIT means that it is on disk.
_SETTINGS = {**DURABLE, "shared_buffers": "32MB", "max_wal_size": "256MB", "max_connections": "40"}


@dataclass(frozen=True, slots=True)
class Server:
    """One server, and sites on it."""

    cluster: Cluster
    clone: Clone

    def crash(self) -> None:
        """``pg_ctl stop -m immediate``: every session ends at once, the next start recovers from the log."""
        pid = self.cluster.pid()
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        deadline = time.monotonic() + 30
        while self.cluster.pid() is not None:
            assert time.monotonic() < deadline, "the server does not end"
            time.sleep(0.02)

    def revive(self) -> None:
        """Start it, unless it does so by itself, and wait until it answers."""
        deadline = time.monotonic() + 60
        while True:
            try:
                self.cluster.start()
                psycopg.connect(self.cluster.uri()).close()
            except (StackError, psycopg.Error):
                assert time.monotonic() < deadline, "the server does not come back"
                time.sleep(0.2)
            else:
                return


@contextmanager
def server(folder: Path, before: Callable[[Path], None] | None = None) -> Iterator[Server]:
    """Start one with a migrated template. ``before`` is given its data, made and not yet at work."""
    # Named as those of other test runs, so that what is left of a killed one is removed; short, for its socket.
    home = Path(tempfile.mkdtemp(prefix=f"orbitory-tests-{os.getpid()}-"))
    home.rmdir()
    places = Places(home=home)
    cluster = Cluster(places, _SETTINGS)
    try:
        cluster.start()
        cluster.databases()
        migrate(cluster.uri("orbitory", OWNER), cluster.uri("orbitory", DAILY))
        if before is not None:
            cluster.stop()
            before(cluster.data())
            cluster.start()
        yield Server(cluster, Clone(postgres=cluster, migrated="orbitory", folder=folder))
    finally:
        cluster.stop()
        places.remove()
        shutil.rmtree(home, ignore_errors=True)
