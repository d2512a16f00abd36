"""Several sites in one test: an inventory and zones of its own for each."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from orbitory.settings import Settings
from private_stack.postgres import ADMIN, DAILY, OWNER, Cluster


def copy_database(cluster: Cluster, template: str, name: str) -> None:
    """A database that holds what ``template`` holds, to which nobody may be connected."""
    # Copying files costs less than half of what it costs to log every page.
    _administer(cluster, f"CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER} STRATEGY FILE_COPY")


def drop_database(cluster: Cluster, name: str) -> None:
    """Whoever is still connected to it is thrown out."""
    _administer(cluster, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(cluster: Cluster, statement: str) -> None:
    with psycopg.connect(cluster.uri("postgres", ADMIN), autocommit=True) as connection:  # starts faster than psql
        connection.execute(statement.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """Makes sites by name."""

    postgres: Cluster
    #: Name of the database that an empty site begins with.
    migrated: str
    folder: Path
    made: list[str] = field(default_factory=list)

    def __call__(self, name: str) -> Settings:
        """Make an empty site."""
        return self._make(name, self.migrated)

    def copy(self, of: Settings, name: str) -> Settings:
        """Make a site that holds the same, files by name, bytes and time; nobody may be at work at ``of``."""
        copied = self._make(name, of.database.rpartition("/")[2])
        subprocess.run(["cp", "-a", f"{of.landing.parent}/.", copied.landing.parent], check=True)
        return copied

    def drop(self, settings: Settings) -> None:
        """Give back the room of a site that is not looked at again; nobody may be at work there."""
        database = settings.database.rpartition("/")[2]
        drop_database(self.postgres, database)
        self.made.remove(database)
        shutil.rmtree(settings.landing.parent)

    def _make(self, name: str, template: str) -> Settings:
        database = f"clone_{name.lower()}"
        copy_database(self.postgres, template, database)
        self.made.append(database)
        root = self.folder / name
        root.mkdir()
        return Settings.from_environment(
            {
                "ORBITORY_DATABASE": self.postgres.uri(database, DAILY),
                "ORBITORY_OWNER_DATABASE": self.postgres.uri(database, OWNER),
                "ORBITORY_ROOT": str(root),
            }
        )


@pytest.fixture
def clone(postgres: Cluster, migrated: str, tmp_path: Path) -> Iterator[Clone]:
    """All sites go with the test."""
    clone = Clone(postgres=postgres, migrated=migrated, folder=tmp_path)
    yield clone
    for database in clone.made:
        drop_database(postgres, database)
