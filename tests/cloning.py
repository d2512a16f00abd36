"""Several empty sites in one test: an inventory and zones of its own for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orbitory.settings import Settings
from private_stack.postgres import DAILY, OWNER, Cluster

Clone = Callable[[str], Settings]


@pytest.fixture
def clone(postgres: Cluster, migrated: str, tmp_path: Path) -> Iterator[Clone]:
    """Make a site by name; all of them go with the test."""
    made: list[str] = []

    def make(name: str) -> Settings:
        database = f"clone_{name.lower()}"
        postgres.sql(f"CREATE DATABASE {database} TEMPLATE {migrated} OWNER {OWNER}")
        made.append(database)
        root = tmp_path / name
        root.mkdir()
        return Settings.from_environment(
            {"ORBITORY_DATABASE": postgres.uri(database, DAILY), "ORBITORY_ROOT": str(root)}
        )

    yield make
    for database in made:
        postgres.sql(f"DROP DATABASE {database} WITH (FORCE)")
