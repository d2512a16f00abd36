"""A whole private Airflow, started once for all tests of this folder the way ``make up`` starts it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_world import CHECKOUT, PASSWORD, Run, Stage, copy_catalogue
from demonstration.api import AirflowApi
from orbitory.catalogue import load
from orbitory.simulate import simulate
from private_stack.places import Places, write_private
from private_stack.ports import is_free
from private_stack.stack import Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starting takes a minute, and killed workers are noticed only after a while."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The running stack, with a catalogue of its own and a password that must never be seen."""
    home = Path(tempfile.gettempdir()) / f"orbitory-stack-{os.getpid()}"
    places = Places(home=home)
    places.make()
    # Not the ports that everyone tries first: another stack may be starting at the same moment.
    start = 10_000 + os.getpid() * 7 % 9_000
    free = [port for port in range(start, start + 50) if is_free(port)]
    write_private(home / "ports.json", json.dumps(dict(zip(("api", "scheduler_health", "mail"), free, strict=False))))
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("AIRFLOW", "ORBITORY_"))]:
        del os.environ[name]
    # The schedule never comes, so that only the tests start runs.
    os.environ["ORBITORY_CATALOGUE"] = str(copy_catalogue(home / "catalogue", schedule='"0 0 29 2 *"'))
    plain = Stack(places)
    uri = plain.cluster.uri().replace("orbitory@", f"orbitory:{PASSWORD}@")
    stack = Stack(
        places,
        overrides={
            "AIRFLOW_CONN_ORBITORY": uri,
            # Not minutes: a worker that died is noticed while somebody watches.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
        },
    )
    try:
        stack.up(timeout_seconds=400)
        login = stack.login()
        api = AirflowApi(login["address"], login["user"], login["password"])
        yield Stage(root=places.site, uri=uri, stack=stack, api=api, checkout=CHECKOUT)
    finally:
        stack.clean()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def faulty(stage: Stage) -> dict[str, Run]:
    """One run of each source over a delivery with every fault."""
    catalogue = load(CHECKOUT / "include" / "catalogue")
    runs = {}
    for source in ("idps", "correlative"):
        before = len(stage.mails())
        landing = stage.root / "landing" / source
        truth = simulate(catalogue, source, 60, 11, "all", landing)
        for entry in truth:
            if entry["fate"] == "waiting":
                os.utime(os.fsencode(landing) + b"/" + os.fsencode(str(entry["name"])), follow_symlinks=False)
        dag_id, run_id = stage.start(source)
        state = stage.finish(dag_id, run_id)
        runs[source] = Run(dag_id=dag_id, run_id=run_id, state=state, truth=truth, mails=stage.mails()[before:])
    return runs
