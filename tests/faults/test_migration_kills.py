"""kill -9 amid a migration: what ran is whole, the next migrator finishes, and the schema is the one that was meant."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from faults import kills
from orbitory.inventory.migrate import migrations
from private_stack.postgres import DAILY, OWNER, Cluster

pytestmark = [*kills.marks, pytest.mark.long, pytest.mark.timeout(900)]


def make(postgres: Cluster, name: str) -> str:
    """An empty database, as an administrator leaves it."""
    postgres.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    postgres.sql(f"CREATE DATABASE {name} OWNER {OWNER}")
    postgres.sql("CREATE EXTENSION postgis; CREATE EXTENSION btree_gist", name)
    return name


def command(postgres: Cluster, name: str, strace: Sequence[str] = ()) -> kills.Done:
    return kills.run_python(
        ("-m", "orbitory", "migrate"),
        {"ORBITORY_DATABASE": postgres.uri(name, DAILY), "ORBITORY_OWNER_DATABASE": postgres.uri(name, OWNER)},
        strace=strace,
    )


def schema(postgres: Cluster, name: str) -> set[tuple[object, ...]]:
    """Everything that there is, with its rights."""
    with psycopg.connect(postgres.uri(name, OWNER)) as connection:
        found = set(
            connection.execute(
                "SELECT relname, relkind, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            )
        )
        found |= set(
            connection.execute("SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint")
        )
        found |= set(
            connection.execute(
                "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal"
            )
        )
        return found | set(connection.execute("SELECT name, digest FROM schema_migration"))


def locks(postgres: Cluster, name: str, *, granted: bool) -> int:
    """How many migrators hold, or wait for, the lock of migrators."""
    found = postgres.sql(
        f"SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
        f" WHERE locktype = 'advisory' AND granted = {granted} AND datname = '{name}'"
    )
    return int(found)


@pytest.mark.fault("F57", how="SIGKILL before questions and answers of a migration; the next one finishes")
def test_a_migration_killed_anywhere_is_finished_by_the_next(
    postgres: Cluster, migrated: str, tmp_path: Path, record_property: kills.Record
) -> None:
    name = make(postgres, "migration_kills")
    points = kills.points(
        lambda strace: command(postgres, name, strace), tmp_path / "calls.log", ("sendto", "recvfrom"), most=8
    )
    meant = schema(postgres, name)
    assert len(meant) > 100
    sweep = kills.Sweep(points)
    for call, number in sweep:
        make(postgres, name)
        sweep.kill((call, number), lambda strace: command(postgres, name, strace))
        sweep.must_end(command(postgres, name))
        if different := schema(postgres, name) ^ meant:
            sweep.tell("after the next one", [str(each) for each in different])
    sweep.judge(record=record_property)
    postgres.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.fault("F57", how="two migrators at once, one of which is killed")
def test_a_migrator_that_waits_for_one_that_is_killed_finishes(postgres: Cluster, migrated: str) -> None:
    name = make(postgres, "migration_pair")
    # It dawdles amid its second migration, so that the other one comes to wait, and dies before it records it.
    killing = kills.injecting("sendto", 12, "signal=KILL", "recvfrom:delay_enter=20s:when=11")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(command, postgres, name, killing)
        while locks(postgres, name, granted=True) == 0:
            assert not first.done(), first.result().stderr
            time.sleep(0.05)
        second = pool.submit(command, postgres, name)
        while locks(postgres, name, granted=False) == 0:
            assert not first.done(), "it ended before the second one waited for it"
            time.sleep(0.05)
        assert first.result().returncode in (-9, 137), first.result().stderr
        assert second.result().returncode == 0, second.result().stderr
    with psycopg.connect(postgres.uri(name, OWNER)) as connection:
        assert connection.execute("SELECT count(*) FROM schema_migration").fetchone() == (len(migrations()),)
    postgres.sql(f"DROP DATABASE {name} WITH (FORCE)")
