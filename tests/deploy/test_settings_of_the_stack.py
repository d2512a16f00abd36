"""Airflow's settings: the measured ones, ours alone, with secrets that stay secret."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest

from orbitory.settings import CHECKOUT
from private_stack.places import Places
from private_stack.ports import Ports
from private_stack.stack import Stack


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(Places(home=tmp_path / "home"))


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


def test_secrets_are_made_once_and_readable_by_their_owner_alone(stack: Stack) -> None:
    first = stack.exports()
    login = stack.login()
    again = Stack(stack.places)
    assert again.exports() == first
    assert again.login() == login
    assert len({first[name] for name in first if "SECRET" in name or "FERNET" in name} | {login["password"]}) == 4
    assert mode(stack.places.home) == 0o700
    files = [*(stack.places.home / "secrets").iterdir(), stack.places.airflow / "passwords.json"]
    assert {mode(file) for file in files} == {0o600}
    assert len(files) == 4


def test_another_airflow_in_the_callers_environment_changes_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", "/elsewhere")
    monkeypatch.setenv("AIRFLOW__CORE__HOSTNAME_CALLABLE", "elsewhere.name")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PGHOST", "elsewhere")
    environment = stack.airflow.environment()
    assert not [value for value in environment.values() if "elsewhere" in value]
    assert environment["AIRFLOW_HOME"] == str(stack.places.airflow)
    assert "PYTHONDONTWRITEBYTECODE" not in environment


@pytest.mark.req("W11")
def test_tasks_know_the_inventory_by_its_connection_alone(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORBITORY_DATABASE", "postgresql://somebody:secret@elsewhere/inventory")
    monkeypatch.setenv("ORBITORY_OWNER_DATABASE", "postgresql://owner:secret@elsewhere/inventory")
    environment = stack.airflow.environment()
    assert [
        name for name, value in environment.items() if "/orbitory" in value and value.startswith("postgresql:")
    ] == ["AIRFLOW_CONN_ORBITORY"]
    assert "secret" not in "".join(environment.values()).replace("secrets", "")


def test_what_runs_at_once_is_bounded_by_pools_of_which_backfills_have_one_of_their_own(stack: Stack) -> None:
    settings = stack.airflow.settings()
    slots = {name: int(pool["slots"]) for name, pool in stack.airflow.pools.items()}
    assert settings["AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT"] == str(slots["default_pool"])
    assert sum(slots.values()) == int(settings["AIRFLOW__CORE__PARALLELISM"])
    assert 1 <= slots["backfill"] <= slots["default_pool"] // 2
    assert 1 <= slots["pge_default"] <= slots["default_pool"], "what is delivered never waits behind PGEs"
    assert settings["AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL"] == "1"
    assert float(settings["AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT"]) >= 60


def test_every_address_is_loopback(stack: Stack) -> None:
    settings = stack.airflow.settings()
    hosts = {name: value for name, value in settings.items() if name.endswith("HOST")}
    assert set(hosts.values()) == {"127.0.0.1"}
    commands = {component.name: component.command for component in stack.airflow.components()}
    assert all("--skip-serve-logs" in commands[name] for name in ("scheduler", "triggerer"))
    assert json.loads(settings["AIRFLOW_CONN_ORBITORY_SMTP"])["host"] == "127.0.0.1"


def test_a_taken_port_is_passed_over_and_the_choice_is_remembered(tmp_path: Path) -> None:
    places = Places(home=tmp_path / "home")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        Ports(places).get("api")
        file = places.home / "ports.json"
        file.write_text(json.dumps({"api": taken.getsockname()[1]}))
        moved = Ports(places).pick("api")
        assert moved != taken.getsockname()[1]
    assert Ports(places).get("api") == moved
    assert len({Ports(places).get(name) for name in ("api", "mail", "scheduler_health")}) == 3


def test_a_shell_takes_the_exports_as_they_are(plain_environment: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "it's a home"
    script = f'eval "$({CHECKOUT}/bin/stack env)"; printf "%s\\n" "$ORBITORY_ROOT" "$AIRFLOW_HOME"'
    environment = {**plain_environment, "ORBITORY_HOME": str(home)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(home / "site"), str(home / "airflow")]


def test_status_says_that_nothing_runs(plain_environment: dict[str, str], tmp_path: Path) -> None:
    environment = {**plain_environment, "ORBITORY_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [CHECKOUT / "bin" / "stack", "status", "--json"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert set(json.loads(done.stdout).values()) == {"down"}
