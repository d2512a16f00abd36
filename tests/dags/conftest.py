"""Airflow in this process, on the tests' PostgreSQL; DAGs are run by ``dag.test()`` on a site of each test's own."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from aiosmtpd.controller import Controller

from airflow_world import CHECKOUT, PASSWORD, Inbox, World, copy_catalogue, mail_server
from cloning import clone as clone
from private_stack.airflow import Airflow
from private_stack.places import Places
from private_stack.ports import Ports
from private_stack.postgres import Cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Airflow warns about itself; only our own warnings are errors."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore"))
            item.add_marker(pytest.mark.airflow)


@pytest.fixture(scope="session")
def airflow_environment(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The environment and the database of an Airflow that reads this checkout; restored at the end."""
    home = tmp_path_factory.mktemp("airflow")
    sockets = unquote(urlsplit(postgres.uri()).netloc.rpartition("@")[2])
    overrides = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg://airflow@/airflow?host={quote(sockets)}",
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "0",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    }
    places = Places(home=home)
    airflow = Airflow(
        places=places,
        cluster=postgres,
        ports=Ports(places),
        dags=CHECKOUT / "dags",
        plugins=CHECKOUT / "plugins",
        overrides=overrides,
    )
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("AIRFLOW", "ORBITORY_"))]:
        del os.environ[name]  # tasks take the inventory from the connection, nothing from the caller
    os.environ.update(airflow.settings(), ORBITORY_CATALOGUE=str(copy_catalogue(home / "catalogue")))
    assert "airflow" not in sys.modules, "Airflow was imported before its settings were there"
    from airflow.utils.db import initdb

    initdb()
    yield
    from airflow.settings import dispose_orm

    dispose_orm()  # before the server goes
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def bag_of(airflow_environment: None) -> Callable[[Path], Any]:
    """Reads the DAGs of a folder, with what could not be imported."""
    from airflow.dag_processing.dagbag import DagBag

    return lambda folder: DagBag(folder, bundle_name="dags-folder")


@pytest.fixture(scope="session")
def dagbag(bag_of: Callable[[Path], Any]) -> Any:
    """The shipped DAGs."""
    return bag_of(CHECKOUT / "dags")


@pytest.fixture
def world(
    bag_of: Callable[[Path], Any], inventory_uri: str, site_root: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """A site of this test's own; the password in its connection is accepted and must never be seen."""
    uri = inventory_uri.replace("orbitory@", f"orbitory:{PASSWORD}@")
    inbox = Inbox()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Controller(inbox, hostname="127.0.0.1", port=port)
    server.start()
    monkeypatch.setenv("AIRFLOW_CONN_ORBITORY", uri)
    monkeypatch.setenv("AIRFLOW_CONN_ORBITORY_SMTP", mail_server(port))
    monkeypatch.setenv("ORBITORY_ROOT", str(site_root))
    yield World(root=site_root, uri=uri, inbox=inbox, bag_of=bag_of)
    server.stop()
