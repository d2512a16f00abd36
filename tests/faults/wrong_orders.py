"""Ingest as it must not be done: small workers whose order of steps loses files, to see whether the judge notices.

``python wrong_orders.py ORDER ROOT DATABASE``: takes the files of ``ROOT/landing/correlative`` into ``ROOT/storage``. A
second call goes on where the first one was killed, as well as its order allows.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
from blake3 import blake3

ORDERS = ("move_then_row", "row_then_move", "move_in_transaction", "file_without_folder", "retried_sync")

_RECORD = """
WITH run AS (
    INSERT INTO ingest_run (source, actor, session) VALUES ('correlative', %(name)s, false) RETURNING id
), s AS (
    INSERT INTO asset (path, role, state, kind, size, digest)
    VALUES (%(name)s, 'data', 'archived', 'text', %(size)s, %(digest)s) RETURNING id
), g AS (
    INSERT INTO granule (source, product, key, state, sensor)
    VALUES ('correlative', 'text', %(name)s, 'archived', 'none') RETURNING id
), l AS (
    INSERT INTO granule_asset (granule_id, asset_id) SELECT g.id, s.id FROM g, s
)
INSERT INTO arrival (source, path, name, role, run_id, state, landed, dev, ino, size, mtime_ns, ctime_ns, asset_id)
SELECT 'correlative', %(path)s, %(name)s, 'data', run.id, 'archived', false, 0, 0, %(size)s, 0, 0, s.id FROM s, run
"""


def main(order: str, root: Path, database: str) -> None:
    """Work through the landing zone."""
    landing, storage = root / "landing" / "correlative", root / "storage"
    (root / "quarantine").mkdir(exist_ok=True)
    storage.mkdir(exist_ok=True)
    with psycopg.connect(database, autocommit=True) as connection:
        for source in sorted(landing.iterdir()):
            name, target = source.name, storage / source.name
            match order:
                case "move_then_row":
                    source.rename(target)
                    with connection.transaction():
                        record(connection, name, target)
                case "row_then_move":
                    with connection.transaction():
                        record(connection, name, source)
                    source.rename(target)
                case "move_in_transaction":
                    with connection.transaction():
                        record(connection, name, source)
                        source.rename(target)
                case "file_without_folder":
                    with opened(source) as file:
                        os.fsync(file)
                    source.rename(target)
                    with connection.transaction():
                        record(connection, name, target)
                case "retried_sync":
                    target.write_bytes(source.read_bytes())
                    with opened(target) as file:
                        sync_until_it_works(file)
                    with connection.transaction():
                        record(connection, name, target)
                    source.unlink()


@contextlib.contextmanager
def opened(file: Path) -> Iterator[int]:
    """A descriptor of ``file``."""
    descriptor = os.open(file, os.O_RDWR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_until_it_works(file: int) -> None:
    """A second sync answers success for bytes that the first one has given up."""
    try:
        os.fsync(file)
    except OSError:
        os.fdatasync(file)


def record(connection: psycopg.Connection, name: str, file: Path) -> None:
    """Make it visible."""
    content = file.read_bytes()
    values = {"name": name, "path": name.encode(), "size": len(content), "digest": blake3(content).digest()}
    connection.execute(_RECORD, values)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
