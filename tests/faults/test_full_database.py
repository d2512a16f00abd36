"""The disk of the database is full: nothing is half written, nothing acknowledged is lost, and with room it goes on."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psycopg
import pytest

from faults import kills
from faults.delivering import SOURCE, at_once, at_rest, deliver, put
from faults.delivering import ingest as command
from faults.disks import filled, needs_mount, tmpfs
from faults.oracle import Truth, archived, lost_since
from faults.servers import server

pytestmark = [pytest.mark.faults, pytest.mark.long, pytest.mark.timeout(600), needs_mount]


@pytest.mark.fault("F17", how="the tablespace of the inventory is a tmpfs filled to its last byte")
def test_a_full_tablespace_is_waited_for_and_the_server_goes_on(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "space", "size=96m") as space, server(tmp_path) as own:
        settings = own.clone("full")
        database = settings.database.rpartition("/")[2]
        folder = space / "tables"
        folder.mkdir(mode=0o700)
        own.cluster.sql(f"CREATE TABLESPACE small LOCATION '{folder}'")
        own.cluster.sql(f"ALTER DATABASE {database} SET TABLESPACE small")
        assert command(settings).returncode == 0  # what a first session needs is written by now
        truth = deliver(settings, count=400)
        pid = own.cluster.pid()
        with filled(space):
            done = command(settings)
            assert done.returncode == 3, done.stderr
            assert "No space left on device" in done.stderr
            assert at_once(settings, truth) == []
        assert own.cluster.pid() == pid
        assert command(settings).returncode == 1
        assert at_rest(settings, truth) == []


@pytest.mark.fault("F17", how="pg_wal is a tmpfs filled to its last byte: the server goes down")
@pytest.mark.fault("F13", how="the server goes down amid a run and cannot be started for a while")
def test_a_full_write_ahead_log_loses_no_acknowledged_commit(tmp_path: Path, record_property: kills.Record) -> None:
    with tmpfs(tmp_path / "log", "size=80m") as place:

        def move(data: Path) -> None:
            (place / "pg_wal").mkdir(mode=0o700)
            for each in (data / "pg_wal").iterdir():
                if each.is_file():
                    (place / "pg_wal" / each.name).write_bytes(each.read_bytes())
                else:
                    (place / "pg_wal" / each.name).mkdir(mode=0o700)
            (data / "pg_wal").rename(data / "pg_wal.before")
            (data / "pg_wal").symlink_to(place / "pg_wal")

        with server(tmp_path, before=move) as own:
            settings = own.clone("wal")
            first = deliver(settings, count=50)
            assert command(settings).returncode == 1
            more = put(settings.landing / SOURCE, {f"more/{n}.txt": b"%d more" % n for n in range(50)})
            truth = Truth(SOURCE, first.files | more.files)
            before = archived(settings.database)
            with filled(place):
                with (
                    contextlib.suppress(psycopg.Error),
                    psycopg.connect(own.cluster.uri("orbitory", "postgres")) as one,
                ):
                    one.execute("CREATE TABLE room AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
                done = command(settings)
                assert done.returncode == 3, done.stderr
            own.revive()
            assert lost_since(before, settings.database) == []
            assert at_once(settings, truth) == []
            assert command(settings).returncode == 0
            assert at_rest(settings, truth) == []
            record_property("figure", f"log of the database full: 0 of {len(before)} acknowledged commits lost")
