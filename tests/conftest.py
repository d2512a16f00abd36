"""A private PostgreSQL + PostGIS for the whole run, an inventory and a site of its own for each test."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from cloning import copy_database, drop_database
from orbitory.inventory.migrate import migrate
from orbitory.settings import CHECKOUT, Settings
from private_stack.errors import StackError
from private_stack.places import Places
from private_stack.postgres import DAILY, OWNER, Cluster
from private_stack.stack import Stack

pytest_plugins = ["requirements_table", "fault_table"]

#: The data is thrown away, so it need not survive a power cut; tests of durability start a cluster of their own.
FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "64MB",
    "max_wal_size": "1GB",
    "max_connections": "100",
    "jit": "off",
    "shared_preload_libraries": "postgis-3",  # loaded once, not by every session
    "timezone": "UTC",
    "log_line_prefix": "%m [%p] %d %a ",
}
#: Folders of servers that a test run starts end in its process id, or go on with a dash behind it.
_PREFIXES = ("orbitory-tests-", "orbitory-stack-")
_STACK = "tests/stack/"
_numbers = itertools.count(1)
#: A file system in memory, and how much room the inventories of a run should find there.
_MEMORY, _ROOM = Path("/dev/shm"), 4 << 30


def pytest_configure(config: pytest.Config) -> None:
    """Clear up after a run that was killed; asked to end, stop the servers first."""
    if not hasattr(config, "workerinput"):
        for folder in (Path(tempfile.gettempdir()), _MEMORY):
            _remove_leftovers(folder)
    ours = os.getpid()

    def end(number: int, frame: object) -> None:
        if os.getpid() != ours:  # a child that was forked from us ends as it would have
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a running Airflow takes longest, so it begins."""
    items.sort(key=lambda item: _scope(item.nodeid) != _STACK)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Hand out whole files, and what shares a running Airflow to one process."""
    config.option.loadscopereorder = False
    return ByScope(config, log)


class ByScope(LoadScopeScheduling):
    """Tests that set up the same things stay together."""

    def _split_scope(self, nodeid: str) -> str:
        return _scope(nodeid)


def _scope(node: str) -> str:
    return _STACK if node.startswith(_STACK) else node.partition("::")[0]


def _remove_leftovers(folder: Path) -> None:
    """Stop and delete what a test run that was killed has left behind."""
    for prefix in _PREFIXES:
        for home in folder.glob(f"{prefix}*"):
            run = home.name.removeprefix(prefix).partition("-")[0]
            if run.isdigit() and not Path(f"/proc/{run}").exists() and home.stat().st_uid == os.getuid():
                # The run was killed while it cleared up; or another one clears up at this moment.
                with contextlib.suppress(StackError, FileNotFoundError):
                    Stack(Places(home=home)).clean()
                shutil.rmtree(home, ignore_errors=True)


def _fastest_folder() -> Path:
    """Where inventories that are thrown away stand: in memory, so that no sync of a tested zone waits for them."""
    with contextlib.suppress(OSError):
        if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
            return _MEMORY
    return Path(tempfile.gettempdir())


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """The running server of this test run, with the roles of a real site."""
    places = Places(home=_fastest_folder() / f"{_PREFIXES[0]}{os.getpid()}")
    cluster = Cluster(places, FAST)
    try:
        cluster.start()
        cluster.databases()
        yield cluster
    finally:
        cluster.stop()
        places.remove()


@pytest.fixture(scope="session")
def migrated(postgres: Cluster) -> str:
    """Name of a database with every migration applied, to be copied."""
    migrate(postgres.uri("orbitory", OWNER), postgres.uri("orbitory", DAILY))
    postgres.sql("ALTER DATABASE orbitory RENAME TO migrated")
    return "migrated"


@pytest.fixture
def database(postgres: Cluster, migrated: str) -> Iterator[str]:
    """Name of an empty inventory of this test's own."""
    name = f"test_{next(_numbers)}"
    copy_database(postgres, migrated, name)
    yield name
    drop_database(postgres, name)


@pytest.fixture
def inventory_uri(postgres: Cluster, database: str) -> str:
    """URI of the test's inventory for the daily role."""
    return postgres.uri(database, DAILY)


@pytest.fixture
def owner_uri(postgres: Cluster, database: str) -> str:
    """URI of the test's inventory for the owner of its schema."""
    return postgres.uri(database, OWNER)


@pytest.fixture
def site_root(tmp_path: Path) -> Path:
    """An empty folder for landing, storage, quarantine and the other zones."""
    root = tmp_path / "site"
    root.mkdir()
    return root


@pytest.fixture
def environment(inventory_uri: str, owner_uri: str, site_root: Path) -> dict[str, str]:
    """Environment for a command that works on this test's site, whatever the caller's says."""
    ours = ("ORBITORY_", "AIRFLOW", "PYTHON", "PG")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
        "ORBITORY_DATABASE": inventory_uri,
        "ORBITORY_OWNER_DATABASE": owner_uri,
        "ORBITORY_ROOT": str(site_root),
        "ORBITORY_WORKERS": "2",
        "PYTHONPATH": str(CHECKOUT / "include"),
    }


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    """The same, as the steps take it."""
    return Settings.from_environment(environment)
