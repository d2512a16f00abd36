"""Rows of an archive as a file for COPY, and tables with the same columns and indexes to load them into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.site import Bench
from orbitory.settings import Settings

#: The slim rows of a granule and its file; what the file says in full is left out.
TABLES = ("granule", "asset", "granule_asset")
_WITHOUT = ("header",)


def make_tables(settings: Settings, tables: Sequence[str] = TABLES) -> None:
    """Empty tables with all indexes and checks of the real ones, and without their triggers and foreign keys."""
    with psycopg.connect(settings.owner_database, autocommit=True) as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE plain_{table} (LIKE {table} INCLUDING ALL)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Binary COPY files, made beforehand, and the columns that they hold."""

    files: Mapping[str, Path]
    columns: Mapping[str, str]

    def load(self, settings: Settings) -> None:
        """Into the tables of ``make_tables``, in one transaction."""
        with psycopg.connect(settings.owner_database) as connection:
            for table in TABLES:
                statement = f"COPY plain_{table} ({self.columns[table]}) FROM STDIN (FORMAT binary)"
                with connection.cursor().copy(statement) as copy, self.files[table].open("rb") as content:
                    while block := content.read(1 << 18):
                        copy.write(block)


def prebuilt(bench: Bench, settings: Settings) -> Rows:
    """All granules of a site, their files and what joins them."""
    folder = bench.folder("rows")
    files, columns = {}, {}
    with psycopg.connect(settings.owner_database) as connection:
        for table in TABLES:
            cursor = connection.execute(
                "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid ="
                " %s::regclass AND attnum > 0 AND NOT attisdropped AND attname <> ALL (%s)",
                [table, list(_WITHOUT)],
            )
            columns[table] = str((cursor.fetchone() or [""])[0])
            files[table] = folder / table
            with (
                connection.cursor().copy(f"COPY {table} ({columns[table]}) TO STDOUT (FORMAT binary)") as copy,
                files[table].open("wb") as target,
            ):
                for block in copy:
                    target.write(block)
    return Rows(files=files, columns=columns)
