"""The compose file, as the real Compose reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orbitory.export.sites import remotes
from orbitory.settings import CHECKOUT, Settings

COMPOSE = Path(sys.executable).with_name("docker-compose")
SERVICES = {"postgres", "airflow-init", "api-server", "scheduler", "dag-processor", "triggerer"}


def compose(
    *words: str, file: Path = CHECKOUT / "docker-compose.yaml", folder: Path = CHECKOUT, **environment: str
) -> Any:
    command = [COMPOSE, "--project-directory", folder, "-f", file, *words]
    return subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    lines = (CHECKOUT / "docker-compose.env.example").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value if value != "change-me" else f"{name.lower()}-value" for name, _, value in pairs}


@pytest.fixture(scope="module")
def resolved(example: dict[str, str]) -> dict[str, Any]:
    done = compose("config", "--format", "json", **example)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_compose_accepts_it_and_finds_the_services(resolved: dict[str, Any], example: dict[str, str]) -> None:
    assert compose("config", "-q", **example).returncode == 0
    assert set(resolved["services"]) == SERVICES


def test_it_is_really_checked(example: dict[str, str], tmp_path: Path) -> None:
    text = (CHECKOUT / "docker-compose.yaml").read_text()
    wrong = tmp_path / "docker-compose.yaml"
    wrong.write_text(text.replace("service_completed_successfully", "service_finished"))
    assert compose("config", "-q", file=wrong, **example).returncode != 0


def test_every_published_port_is_on_loopback(resolved: dict[str, Any]) -> None:
    ports = [port for service in resolved["services"].values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert [port["target"] for port in ports] == [8080]


def test_every_service_that_stays_up_has_a_health_check(resolved: dict[str, Any]) -> None:
    services = resolved["services"]
    assert {name for name, service in services.items() if not service.get("healthcheck")} == {"airflow-init"}
    api = services["api-server"]["healthcheck"]
    assert "/execution/health" in api["test"][-1]
    assert api["timeout"] == "1m0s"
    for name in ("scheduler", "dag-processor", "triggerer"):
        assert services[name]["depends_on"]["api-server"]["condition"] == "service_healthy"


def test_it_does_not_start_without_any_one_of_its_secrets(example: dict[str, str]) -> None:
    for name in example:
        done = compose("config", "-q", **{other: value for other, value in example.items() if other != name})
        assert done.returncode != 0, name
        assert name in done.stderr


def test_every_image_can_be_replaced(example: dict[str, str]) -> None:
    chosen = {"POSTGRES_IMAGE": "mine/postgres:1", "ORBITORY_IMAGE": "mine/orbitory:1", "BASE_IMAGE": "mine/base:1"}
    resolved = json.loads(compose("config", "--format", "json", **example, **chosen).stdout)["services"]
    assert {service["image"] for service in resolved.values()} == {"mine/postgres:1", "mine/orbitory:1"}
    assert resolved["scheduler"]["build"]["args"] == {"BASE_IMAGE": "mine/base:1"}
    assert "ARG BASE_IMAGE" in (CHECKOUT / "Dockerfile").read_text()


@pytest.mark.req("W11")
def test_only_the_initialisation_may_change_the_schema(resolved: dict[str, Any], example: dict[str, str]) -> None:
    services = resolved["services"]
    holders = {n for n, s in services.items() if example["ORBITORY_OWNER_PASSWORD"] in str(s["environment"])}
    assert holders == {"postgres", "airflow-init"}


def test_inventory_and_airflow_are_two_databases_with_two_users(resolved: dict[str, Any]) -> None:
    environment = resolved["services"]["scheduler"]["environment"]
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("postgresql+psycopg://airflow:")
    assert environment["AIRFLOW_CONN_ORBITORY"].startswith("postgresql://orbitory:")


def test_what_it_mounts_and_runs_exists(resolved: dict[str, Any]) -> None:
    for service in resolved["services"].values():
        for volume in service.get("volumes", []):
            assert volume["type"] == "volume" or Path(volume["source"]).exists()
        for word in [*(service.get("command") or []), *(service.get("healthcheck") or {}).get("test", [])]:
            if str(word).startswith("/opt/orbitory/"):
                assert (CHECKOUT / str(word).removeprefix("/opt/orbitory/")).exists()


def test_workers_are_told_of_second_copies_and_of_other_sites(example: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "docker-compose.sites.env").write_text(
        "ORBITORY_SITE_PROD_DATABASE=postgresql://orbitory@prod/orbitory\n"
    )
    chosen = {"ORBITORY_MIRROR": "/mnt/second", "ORBITORY_FIXITY_GIGABYTES": "90"}
    done = compose("config", "--format", "json", folder=tmp_path, **example, **chosen)
    services = json.loads(done.stdout)["services"]
    told = {name: services[name]["environment"] for name in SERVICES - {"postgres"}}
    for environment in told.values():
        settings = Settings.from_environment(environment, database="postgresql:///orbitory")
        assert settings.mirrors == {"default": Path("/srv/mirror")}
        assert settings.fixity_daily_bytes == 90 * 10**9
    assert {name for name in told if remotes(told[name])} == {"scheduler", "dag-processor"}
    mounts = {volume["target"]: volume["source"] for volume in services["scheduler"]["volumes"]}
    assert mounts["/srv/mirror"] == "/mnt/second"


def test_without_a_folder_for_it_there_is_no_second_copy(resolved: dict[str, Any]) -> None:
    environment = resolved["services"]["scheduler"]["environment"]
    settings = Settings.from_environment(environment, database="postgresql:///orbitory")
    assert settings.mirrors == {}
    assert settings.fixity_daily_bytes == 500 * 10**9
    assert remotes(environment) == ()


def test_the_same_settings_of_airflow_as_in_the_private_stack(resolved: dict[str, Any], tmp_path: Path) -> None:
    from private_stack.places import Places
    from private_stack.stack import Stack

    private = Stack(Places(home=tmp_path / "home")).airflow.settings()
    composed = resolved["services"]["scheduler"]["environment"]
    for name in private:
        if name.split("__")[1:2] in (["WORKERS"], ["SCHEDULER"], ["DAG_PROCESSOR"]) and "PORT" not in name:
            assert composed.get(name) == private[name], name
