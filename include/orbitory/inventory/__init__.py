"""The inventory: the only module that talks to PostgreSQL.

Every statement has a name and a sentence in ``*.sql`` beside this file; callers name the statement and give values,
which are always bound, never pasted. Foreign errors become our own families here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Buffer, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any, LiteralString, cast

import psycopg
from psycopg import errors as pg
from psycopg.rows import dict_row
from psycopg.types.array import ListDumper

from orbitory.errors import ConfigurationError, IntegrityError, Transient

Row = dict[str, Any]
_REFUSED = re.compile(r"(role|database) \".*\" does not exist|authentication failed|no password supplied|not permitted")
_NAMED = re.compile(r"^-- (?P<name>[a-z0-9_]+): .+?\n(?P<sql>.*?)(?=^-- [a-z0-9_]+: |\Z)", re.M | re.S)


def _load_queries() -> Mapping[str, LiteralString]:
    queries: dict[str, LiteralString] = {}
    for file in sorted(resources.files(__package__).iterdir(), key=lambda f: f.name):
        if file.name.endswith(".sql"):
            for match in _NAMED.finditer(file.read_text()):
                if match["name"] in queries:
                    raise ValueError(f"{file.name}: statement {match['name']!r} is defined twice")
                # Safe: the text ships with the package and never holds a foreign value.
                queries[match["name"]] = cast(LiteralString, match["sql"].strip().rstrip(";"))
    return queries


QUERIES = _load_queries()


@contextmanager
def own_errors() -> Iterator[None]:
    """Map psycopg's errors to our families, most specific first."""
    try:
        yield
    except (pg.UndefinedTable, pg.UndefinedColumn, pg.UndefinedFunction) as error:
        raise ConfigurationError(
            f"the inventory's schema is not the one this code expects ({error}): run `orbitory migrate`"
        ) from error
    except (
        pg.InsufficientPrivilege,
        pg.InvalidPassword,
        pg.InvalidAuthorizationSpecification,
        pg.InvalidCatalogName,
    ) as error:
        raise ConfigurationError(f"the inventory refuses us: {error}; check ORBITORY_DATABASE") from error
    except psycopg.ProgrammingError as error:
        if error.sqlstate is not None:  # a bug in a statement
            raise
        raise ConfigurationError(
            "ORBITORY_DATABASE is no libpq URI, such as postgresql://orbitory@host/orbitory"
        ) from None
    except (pg.UniqueViolation, pg.ForeignKeyViolation, pg.CheckViolation) as error:
        raise IntegrityError(f"the inventory refused a row: {error}") from error
    except (psycopg.OperationalError, psycopg.InterfaceError, pg.ReadOnlySqlTransaction) as error:
        if error.sqlstate is None and _REFUSED.search(str(error)):  # while connecting there is only the text
            raise ConfigurationError(f"the inventory refuses us: {error}; check ORBITORY_DATABASE") from error
        # Serialization failure, deadlock, disk full (53100), a standby, server gone …: all may pass by themselves.
        raise Transient(f"the inventory is not available now: {error}") from error


class _NumbersDumper(ListDumper):
    """Lists of whole numbers need no quotes: joined at once, ten times as fast as asking of each."""

    def dump(self, obj: list[Any]) -> bytes | bytearray | memoryview | None:
        if set(map(type, obj)) == {int}:
            return b"{%s}" % ",".join(map(str, obj)).encode()
        return super().dump(obj)


class Inventory:
    """One connection to the inventory. Not shared between processes or threads."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        """Take over ``connection`` (autocommit, dict rows); see ``connect``."""
        self._connection = connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside commit together or not at all."""
        with own_errors(), self._connection.transaction():
            yield

    def all(self, query: str, **values: Any) -> list[Row]:
        """Run the named statement and return every row."""
        with own_errors():
            return self._connection.execute(QUERIES[query], values or None).fetchall()

    def one(self, query: str, **values: Any) -> Row | None:
        """Run the named statement and return its first row, if any."""
        with own_errors():
            return self._connection.execute(QUERIES[query], values or None).fetchone()

    def run(self, query: str, **values: Any) -> int:
        """Run the named statement and return how many rows it touched."""
        with own_errors():
            return self._connection.execute(QUERIES[query], values or None).rowcount

    def stream(self, query: str, **values: Any) -> Generator[Row]:
        """Iterate over a result that may not fit memory (server-side cursor)."""
        with own_errors(), self._connection.transaction(), self._connection.cursor(name="orbitory_stream") as cursor:
            cursor.itersize = 5_000
            cursor.execute(QUERIES[query], values or None)
            yield from cursor

    def copy_in(self, query: str, rows: Iterable[Sequence[Any]], types: Sequence[str] = ()) -> int:
        """Feed ``rows`` to the named ``COPY … FROM STDIN`` statement; returns how many were sent."""
        count = 0
        with own_errors(), self._connection.cursor() as cursor, cursor.copy(QUERIES[query]) as copy:
            if types:
                copy.set_types(types)
            for row in rows:
                copy.write_row(row)
                count += 1
        return count

    def copy_out(self, query: str, types: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Rows of the named ``COPY … TO STDOUT (FORMAT binary)`` statement, one by one; ``types``: of its columns."""
        with own_errors(), self._connection.cursor() as cursor, cursor.copy(QUERIES[query]) as copy:
            copy.set_types(types)
            yield from copy.rows()

    def pipe(self, query: str, target: Inventory, into: str) -> int:
        """Pour the named ``COPY … TO STDOUT`` into ``target``'s ``COPY … FROM STDIN``, unread; returns the rows."""
        with own_errors(), self._connection.cursor() as source, target._connection.cursor() as sink:
            with source.copy(QUERIES[query]) as out, sink.copy(QUERIES[into]) as coming:
                for block in _larger(out):
                    coming.write(block)
            return sink.rowcount

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()


def _larger(blocks: Iterable[Buffer]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: a server sends each row as one, and would be sent each as one."""
    held, size = bytearray(), 64 * 1024
    for block in blocks:
        held += block
        if len(held) >= size:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


@contextmanager
def connect(uri: str, *, actor: str, run_id: int | None = None) -> Iterator[Inventory]:
    """Open the inventory for one task. ``actor`` and ``run_id`` are written beside every change of state.

    Raises Transient when the server is away, ConfigurationError when it refuses us.
    """
    with own_errors():
        connection = psycopg.connect(
            uri, autocommit=True, row_factory=dict_row, application_name=f"orbitory {actor}"[:63], connect_timeout=10
        )
    connection.adapters.register_dumper(list, _NumbersDumper)
    inventory = Inventory(connection)
    try:
        with own_errors():
            connection.execute(
                "SELECT set_config('orbitory.actor', %s, false), set_config('orbitory.run', %s, false),"
                " set_config('TimeZone', 'UTC', false), set_config('synchronous_commit', 'on', false),"
                " set_config('jit', 'off', false)",
                [actor, str(run_id or "")],
            )
        yield inventory
    finally:
        inventory.close()
