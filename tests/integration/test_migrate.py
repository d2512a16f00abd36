"""Migrations: applied once, whole or not at all, by one at a time; and the daily role cannot rewrite history."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from orbitory.errors import ConfigurationError
from orbitory.inventory import connect, migrate
from orbitory.inventory.migrate import migrations
from orbitory.reading import require_schema
from private_stack.postgres import DAILY, OWNER, Cluster


@pytest.fixture
def empty(postgres: Cluster) -> Iterator[tuple[str, str]]:
    """URIs of a database without any schema but what an administrator installs: for its owner, and the daily role."""
    postgres.sql(f"CREATE DATABASE unmigrated OWNER {OWNER}")
    postgres.sql("CREATE EXTENSION postgis; CREATE EXTENSION btree_gist", "unmigrated")
    yield postgres.uri("unmigrated", OWNER), postgres.uri("unmigrated", DAILY)
    postgres.sql("DROP DATABASE unmigrated WITH (FORCE)")


def tables(uri: str) -> set[str]:
    with psycopg.connect(uri) as connection:
        rows = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        return {row[0] for row in rows}


def test_a_second_migration_finds_nothing_to_do(empty: tuple[str, str]) -> None:
    assert migrate.migrate(*empty) == [name for name, _ in migrations()]
    assert migrate.migrate(*empty) == []


@pytest.mark.fault("F57", how="two migrators at once")
def test_two_migrators_at_once_apply_each_migration_once(empty: tuple[str, str]) -> None:
    applied: list[list[str]] = []
    threads = [threading.Thread(target=lambda: applied.append(migrate.migrate(*empty))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [[], [name for name, _ in migrations()]]


@pytest.mark.fault("F57", how="a migration whose last statement fails")
def test_a_migration_that_fails_half_way_leaves_nothing_behind(
    empty: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.migrate(*empty)
    whole = migrations()
    later = ("9999_later.sql", "CREATE TABLE half (id int); SELECT 1 / 0;")
    monkeypatch.setattr(migrate, "migrations", lambda: [*whole, later])
    with pytest.raises(Exception, match="division by zero"):
        migrate.migrate(*empty)
    assert "half" not in tables(empty[0])
    monkeypatch.setattr(migrate, "migrations", lambda: [*whole, ("9999_later.sql", "CREATE TABLE half (id int)")])
    assert migrate.migrate(*empty) == ["9999_later.sql"]
    assert "half" in tables(empty[0])


def test_a_migration_changed_after_it_ran_is_refused(empty: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    migrate.migrate(*empty)
    changed = [(name, text + "-- changed\n") for name, text in migrations()]
    monkeypatch.setattr(migrate, "migrations", lambda: changed)
    with pytest.raises(ConfigurationError, match=r"0001_ingest\.sql was changed after it ran here"):
        migrate.migrate(*empty)


@pytest.mark.fault("F57", how="a schema of newer code")
def test_a_schema_of_newer_code_is_left_alone(empty: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    migrate.migrate(*empty)
    monkeypatch.setattr(migrate, "migrations", lambda: [])
    with pytest.raises(ConfigurationError, match=r"migrated by newer code \(0001_ingest\.sql"):
        migrate.migrate(*empty)


@pytest.mark.fault("F57", how="a schema of older code")
def test_a_schema_that_is_not_the_codes_own_is_refused(inventory_uri: str, owner_uri: str) -> None:
    with connect(inventory_uri, actor="test") as inventory:
        require_schema(inventory)
        with psycopg.connect(owner_uri, autocommit=True) as owner:
            owner.execute("INSERT INTO schema_migration (name, digest) VALUES ('9999_later.sql', '')")
            with pytest.raises(ConfigurationError, match="newer code"):
                require_schema(inventory)
            owner.execute("DELETE FROM schema_migration")
            with pytest.raises(ConfigurationError, match=r"lacks 0001_ingest\.sql.*run `orbitory migrate`"):
                require_schema(inventory)


def test_an_inventory_that_was_never_migrated_is_told_so(empty: tuple[str, str]) -> None:
    with (
        connect(empty[1], actor="test") as inventory,
        pytest.raises(ConfigurationError, match="run `orbitory migrate`"),
    ):
        require_schema(inventory)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET actor = 'somebody else'",
        "DELETE FROM event",
        "TRUNCATE event",
        "ALTER TABLE event DISABLE TRIGGER event_append_only",
        "DELETE FROM schema_migration",
        "DROP TABLE arrival",
    ],
)
def test_the_daily_role_may_neither_rewrite_history_nor_change_the_schema(inventory_uri: str, statement: str) -> None:
    with psycopg.connect(inventory_uri) as daily, pytest.raises(psycopg.errors.InsufficientPrivilege):
        daily.execute(statement)


@pytest.mark.parametrize(
    "statement", ["UPDATE event SET actor = 'somebody else'", "DELETE FROM event", "TRUNCATE event"]
)
def test_not_even_the_owner_rewrites_history_by_a_slip(owner_uri: str, statement: str) -> None:
    with psycopg.connect(owner_uri) as owner, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        owner.execute(statement)


def test_the_daily_role_may_do_the_daily_work(inventory_uri: str) -> None:
    with psycopg.connect(inventory_uri, autocommit=True) as daily:
        daily.execute("INSERT INTO ingest_run (source, actor, session) VALUES ('s', 'a', false)")
        daily.execute(
            "INSERT INTO arrival (source, path, name, role, run_id, state, dev, ino, size, mtime_ns, ctime_ns)"
            " SELECT 's', 'p', 'p', 'data', id, 'waiting', 1, 1, 1, 1, 1 FROM ingest_run"
        )
        daily.execute("SELECT ST_Area(ST_Transform(ST_MakeEnvelope(0, 0, 1, 1, 4326), 6933))")
        row = daily.execute("SELECT to_state FROM event").fetchone()
    assert row == ("waiting",)
