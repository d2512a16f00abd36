"""Plain SQL migrations, each in one transaction together with the record of having run, under an advisory lock."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from orbitory.errors import ConfigurationError
from orbitory.inventory import own_errors

_LOCK = 0x0EB1704  # any number, the same for every migrator


def migrations() -> list[tuple[str, str]]:
    """(name, SQL) of every migration that ships, oldest first."""
    folder = resources.files(__package__) / "migrations"
    return sorted((file.name, file.read_text()) for file in folder.iterdir() if file.name.endswith(".sql"))


def migrate(owner_uri: str, daily_uri: str) -> list[str]:
    """Bring the schema up to date as its owner and let the daily role work with it; returns the names applied now.

    May be repeated and may race: the second migrator waits, then finds nothing to do.
    Raises ConfigurationError when a migration that already ran has since been changed, or is unknown to this code.
    """
    applied: list[str] = []
    with own_errors(), psycopg.connect(owner_uri, autocommit=True, application_name="orbitory migrate") as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration"
            " (name text PRIMARY KEY, digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        done: dict[str, str] = dict(connection.execute("SELECT name, digest FROM schema_migration").fetchall())
        shipped = migrations()
        if unknown := sorted(set(done) - {name for name, _ in shipped}):
            raise ConfigurationError(
                f"the inventory was migrated by newer code ({', '.join(unknown)}): install that version"
            )
        for name, text in shipped:
            digest = hashlib.sha256(text.encode()).hexdigest()
            if name in done:
                if done[name] != digest:
                    raise ConfigurationError(
                        f"migration {name} was changed after it ran here: restore it and add a new one"
                    )
                continue
            with connection.transaction():
                connection.execute(text.encode())
                connection.execute("INSERT INTO schema_migration (name, digest) VALUES (%s, %s)", [name, digest])
            applied.append(name)
        _grant(connection, daily_uri)
    return applied


def _grant(connection: psycopg.Connection[tuple[Any, ...]], daily_uri: str) -> None:
    """Give the daily role its rights, no others: all but the schema, and history only to read (triggers write it).

    Whatever it had before is taken back in the same transaction, so that at no moment it has more, or less.
    """
    role = conninfo_to_dict(daily_uri).get("user")
    owner = connection.info.user
    if not role or role == owner:
        return
    name = sql.Identifier(str(role))
    with connection.transaction():
        for statement in (
            "REVOKE ALL ON SCHEMA public FROM {}",
            "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}",
            "REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {}",
            "GRANT USAGE ON SCHEMA public TO {}",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}",
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}",
            "REVOKE INSERT, UPDATE, DELETE ON event FROM {}",
            "REVOKE INSERT, UPDATE, DELETE ON schema_migration FROM {}",
            "REVOKE INSERT, UPDATE, DELETE ON spatial_ref_sys FROM {}",
        ):
            connection.execute(sql.SQL(statement).format(name))
