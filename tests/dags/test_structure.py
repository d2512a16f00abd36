"""What every DAG file promises, read from the DAGs themselves."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from airflow_world import CHECKOUT, copy_catalogue

DAG_FILES = sorted((CHECKOUT / "dags").glob("*.py"))
STEPS = ("verify", "extract", "store", "archive")
INGESTS = ("ingest_correlative", "ingest_idps")
#: Raises as soon as anything opens a connection.
_NO_NETWORK = """
import runpy, sys
def refuse(event, values):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise RuntimeError(f"{event} at import: {values}")
sys.addaudithook(refuse)
runpy.run_path(sys.argv[1])
"""


@pytest.mark.req("W1")
@pytest.mark.parametrize("file", DAG_FILES, ids=lambda file: file.stem)
def test_a_dag_file_is_imported_without_network_database_or_settings(file: Path, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg://nobody@127.0.0.1:9/none",
        "PYTHONPATH": os.pathsep.join(str(CHECKOUT / each) for each in ("include", "plugins")),
    }
    done = subprocess.run(
        [sys.executable, "-c", _NO_NETWORK, file], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", DAG_FILES, ids=lambda file: file.stem)
def test_a_dag_file_is_thin(file: Path) -> None:
    tree = ast.parse(file.read_text())
    texts = {
        id(node.body[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node) is not None
    }
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and id(node) not in texts]
    lines = {line for node in statements for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    docs = {line for node in statements if id(node) in texts for line in range(node.lineno, node.end_lineno or 0)}
    assert len(lines - docs) <= 75
    functions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name in (*STEPS, "detect", "report")
    ]
    for function in functions:
        assert len([each for each in function.body if id(each) not in texts]) == 1, (
            f"{function.name} does work in the DAG file"
        )


@pytest.mark.req("W1")
def test_every_dag_is_imported_without_error(dagbag: Any) -> None:
    assert dagbag.import_errors == {}
    assert set(INGESTS) <= set(dagbag.dags)


@pytest.mark.req("W1")
@pytest.mark.parametrize("dag_id", INGESTS)
def test_every_dag_says_who_owns_it_what_it_does_and_when(
    dagbag: Any, bag_of: Callable[[Path], Any], dag_id: str
) -> None:
    dag = dagbag.dags[dag_id]
    assert dag.owner == "orbitory"
    assert {"ingest", dag_id.removeprefix("ingest_")} <= set(dag.tags)
    assert "quarantine" in dag.doc_md and dag.description
    assert dag.catchup is False
    assert dag.start_date.tzinfo is not None
    assert bag_of(CHECKOUT / "dags").dags[dag_id].start_date == dag.start_date, "start_date must not move"
    assert dag.timetable.expression.count(" ") == 4, "only a periodic timetable can be backfilled"
    dag.check_cycle()
    for task in dag.tasks:
        assert task.doc_md, f"{task.task_id} does not say what it does"
        assert task.owner == "orbitory"
        assert task.retries >= 2, f"{task.task_id} is lost when its worker is killed"
        assert task.pool == "default_pool"


@pytest.mark.req("W2")
@pytest.mark.parametrize("dag_id", INGESTS)
def test_the_process_is_detect_then_four_steps_for_each_batch_then_the_report(dagbag: Any, dag_id: str) -> None:
    dag = dagbag.dags[dag_id]
    assert set(dag.task_ids) == {"detect", "report", *(f"partition.{step}" for step in STEPS)}
    for before, after in pairwise(STEPS):
        assert f"partition.{after}" in dag.get_task(f"partition.{before}").downstream_task_ids
    for step in STEPS:
        task = dag.get_task(f"partition.{step}")
        assert task.get_closest_mapped_task_group().group_id == "partition"
        assert "upstream" in type(task.weight_rule).__name__.lower() or task.weight_rule == "upstream"
    assert {task.task_id for task in dag.leaves} == {"report"}
    assert dag.get_task("report").trigger_rule == "all_done"


@pytest.mark.parametrize("dag_id", INGESTS)
def test_only_the_report_tells_people(dagbag: Any, dag_id: str) -> None:
    dag = dagbag.dags[dag_id]
    assert not dag.on_failure_callback
    assert [task.task_id for task in dag.tasks if task.on_failure_callback] == ["report"]


def test_the_form_offers_the_sensors_of_the_source(dagbag: Any) -> None:
    form = dagbag.dags["ingest_idps"].params
    assert set(form) == {"sensors", "pattern", "workers", "dry_run"}
    assert {"VIIRS", "ATMS", "CrIS"} <= set(form.get_param("sensors").schema["items"]["enum"])
    assert form.get_param("sensors").schema["examples"] == form.get_param("sensors").schema["items"]["enum"]


@pytest.mark.parametrize(
    "conf",
    [{"workers": 9}, {"workers": "2"}, {"sensors": ["NOPE"]}, {"sensors": "VIIRS"}, {"pattern": ""}, {"dry_run": "no"}],
)
def test_the_form_refuses_what_makes_no_sense(dagbag: Any, conf: dict[str, object]) -> None:
    from airflow.sdk.exceptions import AirflowException

    ((name, value),) = conf.items()
    with pytest.raises((AirflowException, ValueError)):
        dagbag.dags["ingest_idps"].params.get_param(name).resolve(value)


def test_what_may_pass_is_tried_again_and_nothing_else(airflow_environment: None) -> None:
    from airflow.sdk import RetryAction

    from orbitory.errors import ConfigurationError, DataError, IntegrityError, NotReady, Transient
    from orbitory_airflow.policy import DEFAULTS, RETRY_POLICY

    def action(error: BaseException) -> RetryAction:
        return RETRY_POLICY.evaluate(error, try_number=1, max_tries=4).action

    assert action(Transient("the disk is full")) is RetryAction.RETRY
    assert action(ConnectionResetError()) is RetryAction.RETRY
    final = [
        DataError("size", "empty"),
        ConfigurationError("x"),
        IntegrityError("x"),
        NotReady("x"),
        ValueError(),
        KeyError(),
    ]
    assert {action(error) for error in final} == {RetryAction.FAIL}
    assert DEFAULTS["retry_exponential_backoff"] > 1
    assert DEFAULTS["max_retry_delay"] <= timedelta(hours=1)


@pytest.mark.fault("F58", how="a broken source file, in Airflow")
def test_a_broken_source_is_seen_and_the_others_go_on(
    bag_of: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = copy_catalogue(tmp_path / "catalogue")
    idps = catalogue / "sources" / "idps.toml"
    idps.write_text(idps.read_text().replace("landing =", "landnig ="))
    monkeypatch.setenv("ORBITORY_CATALOGUE", str(catalogue))
    bag = bag_of(CHECKOUT / "dags")
    assert set(INGESTS) <= set(bag.dags)
    assert "disabled" not in bag.dags["ingest_correlative"].tags
    assert len(bag.dags["ingest_correlative"].tasks) == 6
    disabled = bag.dags["ingest_idps"]
    assert "disabled" in disabled.tags and disabled.task_ids == ["report"]
    assert "landnig" in disabled.doc_md and "did you mean 'landing'" in disabled.doc_md
    # The home page shows it as an import error of the file that watches over the catalogue.
    ((file, error),) = bag.import_errors.items()
    assert "catalogue_problems" in file and "sources/idps.toml" in error and "landnig" in error


def test_the_glue_is_no_plugin(airflow_environment: None) -> None:
    from airflow import plugins_manager

    names = {getattr(plugin, "name", "") for plugin in plugins_manager._get_plugins()[0]}
    assert not {name for name in names if name and "orbitory" in name}
    assert "policy" not in sys.modules and "notices" not in sys.modules, "glue was loaded under its bare file name"
