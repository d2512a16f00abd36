"""The role of daily work cannot drop, truncate or rewrite: by its rights, whatever the code that uses it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from holdings import Holdings
from orbitory.audit import audit
from orbitory.inventory.migrate import migrate
from orbitory.settings import CHECKOUT, Settings
from orbitory.site import open_site
from private_stack.postgres import DAILY, OWNER

TABLES = "SELECT oid, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
#: Written by triggers and by migrations; to daily work they are only to read.
HISTORY = {"event", "schema_migration", "spatial_ref_sys"}


@pytest.fixture
def daily(inventory_uri: str) -> Iterator[psycopg.Connection]:
    """The daily role at work, one statement a transaction, with one arrival of its own."""
    with psycopg.connect(inventory_uri, autocommit=True) as connection:
        connection.execute("INSERT INTO ingest_run (source, actor, session) VALUES ('s', 'a', false)")
        connection.execute(
            "INSERT INTO arrival (source, path, name, role, run_id, state, dev, ino, size, mtime_ns, ctime_ns)"
            " SELECT 's', 'p', 'p', 'data', id, 'detected', 1, 1, 1, 1, 1 FROM ingest_run"
        )
        yield connection


def moves(uri: str) -> list[tuple[str | None, str]]:
    """The history of the arrival."""
    with psycopg.connect(uri) as connection:
        return connection.execute("SELECT from_state, to_state FROM public.event ORDER BY id").fetchall()


def test_the_daily_role_can_neither_empty_drop_nor_change_any_table(
    daily: psycopg.Connection, record_property: Callable[[str, object], None]
) -> None:
    tables = [name for _, name in daily.execute(TABLES).fetchall()]
    assert set(tables) > HISTORY and len(tables) > 40
    tried = [f"TRUNCATE {name} CASCADE" for name in tables] + [f"DROP TABLE {name} CASCADE" for name in tables]
    tried += [f"ALTER TABLE {name} DISABLE TRIGGER ALL" for name in tables]
    tried += [f"CREATE TRIGGER t BEFORE INSERT ON {name} EXECUTE FUNCTION refuse_rewriting()" for name in tables]
    tried += [f"CREATE RULE r AS ON INSERT TO {name} DO INSTEAD NOTHING" for name in tables]
    for name in HISTORY:
        tried += [f"DELETE FROM {name}", f"COPY {name} FROM STDIN", f"INSERT INTO {name} DEFAULT VALUES"]
    refused = 0
    for statement in tried:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            daily.execute(statement.encode())
        refused += 1
    record_property("points", refused)
    record_property("provoked", "every table: emptied, dropped, changed, its triggers and rules, by the daily role")


@pytest.mark.fault("F60", how="the daily role goes around triggers")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET actor = 'somebody else'",
        "INSERT INTO event (actor, subject, to_state, ids) VALUES ('a', 'arrival', 'archived', '{[1,2)}')",
        "MERGE INTO event e USING (SELECT 1) x ON true WHEN MATCHED THEN DELETE",
        "SELECT * FROM event FOR UPDATE",
        "SELECT setval('event_id_seq', 1)",
        "ALTER FUNCTION record_event() OWNER TO CURRENT_USER",
        "CREATE OR REPLACE FUNCTION record_event() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TABLE public.mine (id int)",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "SET session_replication_role = replica",
        f"SET ROLE {OWNER}",
        f"SET SESSION AUTHORIZATION {OWNER}",
        f"GRANT {OWNER} TO CURRENT_USER",
        "GRANT ALL ON event TO CURRENT_USER",
        "ALTER DEFAULT PRIVILEGES FOR ROLE orbitory_owner GRANT ALL ON TABLES TO PUBLIC",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "COPY (SELECT 1) TO '/tmp/orbitory-never'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT lo_import('/etc/passwd')",
    ],
)
def test_no_way_around_the_history_is_open_to_the_daily_role(daily: psycopg.Connection, statement: str) -> None:
    before = daily.execute("SELECT count(*), max(id) FROM event").fetchone()
    try:
        daily.execute(statement.encode())
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidGrantOperation):
        pass
    else:
        notices = daily.execute("SELECT has_table_privilege('event', 'UPDATE')").fetchone()
        assert statement.startswith("GRANT ALL") and notices == (False,), "it was allowed"
    assert daily.execute("SELECT count(*), max(id) FROM event").fetchone() == before


def test_a_table_of_the_same_name_hides_no_change_from_history(daily: psycopg.Connection, inventory_uri: str) -> None:
    daily.execute("CREATE TEMPORARY TABLE event (LIKE public.event INCLUDING ALL)")
    daily.execute("GRANT ALL ON event TO PUBLIC")
    daily.execute("UPDATE arrival SET state = 'verified'")
    assert moves(inventory_uri) == [(None, "detected"), ("detected", "verified")]


@pytest.mark.fault("F60", how="rows changed and deleted by hand")
def test_what_is_changed_or_deleted_by_hand_stands_in_history(daily: psycopg.Connection, inventory_uri: str) -> None:
    daily.execute("UPDATE arrival SET state = 'waiting'")
    daily.execute("DELETE FROM arrival")
    assert moves(inventory_uri) == [(None, "detected"), ("detected", "waiting"), ("waiting", "gone")]


@pytest.mark.fault("F60", how="the number of a row is changed by hand")
def test_a_row_that_is_given_another_number_is_told_by_the_audit(settings: Settings) -> None:
    with Holdings(settings) as holdings:
        holdings.wait("a.bin")
        with open_site(actor="test", settings=settings) as site:
            assert list(audit(site)) == []
            holdings.sql("UPDATE arrival SET id = DEFAULT")
            assert "I8" in {each.invariant for each in audit(site)}


def test_rights_that_were_widened_are_narrowed_again_by_the_next_migration(inventory_uri: str, owner_uri: str) -> None:
    with psycopg.connect(owner_uri, autocommit=True) as owner:
        owner.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {DAILY}")
        owner.execute(f"GRANT ALL ON SCHEMA public TO {DAILY}")
    assert migrate(owner_uri, inventory_uri) == []
    with psycopg.connect(inventory_uri, autocommit=True) as connection:
        wide = connection.execute(
            "SELECT relname, right_ FROM pg_class, unnest(ARRAY['TRUNCATE', 'REFERENCES', 'TRIGGER']) right_"
            " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND has_table_privilege(oid, right_)"
        ).fetchall()
        wide += connection.execute(
            "SELECT relname, right_ FROM pg_class, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) right_"
            " WHERE relname = ANY (%s) AND relnamespace = 'public'::regnamespace AND has_table_privilege(oid, right_)",
            [sorted(HISTORY)],
        ).fetchall()
        schema = connection.execute("SELECT has_schema_privilege('public', 'CREATE')").fetchone()
    assert wide == [] and schema == (False,)


def test_the_owner_uri_is_for_migrations_alone() -> None:
    """Whoever runs daily work has no other rights at hand, neither in code nor in what Airflow's processes inherit."""
    users = {
        str(file.relative_to(CHECKOUT))
        for folder in ("include", "plugins", "dags")
        for file in (CHECKOUT / folder).rglob("*.py")
        if "owner_database" in file.read_text() or "OWNER_DATABASE" in file.read_text()
    }
    assert users == {
        "include/orbitory/settings.py",
        "include/orbitory/cli/ingesting.py",  # migrate
        "include/orbitory/export/sites.py",  # another site is known by its daily URI alone
    }
    assert (
        "migrate(settings.owner_database, settings.database)"
        in Path(CHECKOUT / "include/orbitory/cli/ingesting.py").read_text()
    )
