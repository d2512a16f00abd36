"""Airflow for one checkout: its settings, its components in order, and when it is healthy.

The values are measured ones: a finished task must free its slot at once, the first request to the execution API is
slow, and pools, not parallelism, bound what is sent to the local executor.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from private_stack.places import Places, write_private
from private_stack.ports import Ports
from private_stack.postgres import Cluster
from private_stack.processes import Component

USER = "admin"
#: Of the caller's environment, what would make the stack behave otherwise than it does for others.
_NOT_OURS = ("AIRFLOW", "_AIRFLOW", "PYTHON", "PG", "VIRTUAL_ENV", "UVICORN_", "SQLALCHEMY_", "OTEL_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Airflow:
    """One private Airflow."""

    places: Places
    cluster: Cluster
    ports: Ports
    #: Folders of DAGs and plugins; the checkout's own unless a test says otherwise.
    dags: Path
    plugins: Path
    #: Settings that replace ours, for tests: variable name to value.
    overrides: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where people find it."""
        return f"http://127.0.0.1:{self.ports.get('api')}"

    @property
    def parallelism(self) -> int:
        """Tasks at once; the pools share them out."""
        live = max(4, min(16, os.cpu_count() or 1))
        return int(self.overrides.get("AIRFLOW__CORE__PARALLELISM", "") or live + live // 4)

    @property
    def pools(self) -> dict[str, dict[str, int | str | bool]]:
        """All pools, as ``airflow pools import`` takes them.

        Together they have as many slots as there are tasks at once: what the local executor is given it begins at
        once, so live data never waits behind a backfill, nor behind PGEs.
        """
        backfill = max(1, self.parallelism // 5)
        queues = self._queues()
        pges = {f"pge_{queue}": max(1, self.parallelism * 2 // 5 // len(queues)) for queue in queues}
        rest = max(1, self.parallelism - backfill - sum(pges.values()))
        slots = {"default_pool": rest, "backfill": backfill, **pges}
        told = {"default_pool": "live data", "backfill": "work on the past; together: parallelism"}
        return {
            name: {
                "slots": slots[name],
                "description": told.get(name, "PGEs that run at once"),
                "include_deferred": False,
            }
            for name in slots
        }

    def _queues(self) -> list[str]:
        """Where PGEs of the catalogue wait: the default queue, and those that their files name."""
        found = {"default"}
        given = self.overrides.get("ORBITORY_CATALOGUE") or os.environ.get("ORBITORY_CATALOGUE")
        folder = Path(given or self.places.checkout / "include" / "catalogue") / "pges"
        for file in sorted(folder.glob("*.toml")):
            with contextlib.suppress(OSError, ValueError, KeyError):  # a broken file is the catalogue's to tell
                found.add(str(tomllib.loads(file.read_text())["run"]["queue"]))
        return sorted(found)

    def password(self) -> str:
        """The administrator's password, made once."""
        file = self.places.airflow / "passwords.json"
        with contextlib.suppress(OSError, ValueError, KeyError):
            return str(json.loads(file.read_text())[USER])
        write_private(file, json.dumps({USER: secrets.token_urlsafe(12)}))
        return self.password()

    def inventory_environment(self) -> dict[str, str]:
        """What Orbitory's command line needs; what the caller has set already stays."""
        site = os.environ.get("ORBITORY_ROOT", "") or str(self.places.site)
        return {
            "ORBITORY_DATABASE": self.cluster.uri(),
            "ORBITORY_OWNER_DATABASE": self.cluster.uri(user="orbitory_owner"),
            "ORBITORY_ROOT": site,
        }

    def settings(self) -> dict[str, str]:
        """Every AIRFLOW variable of this stack."""
        return {**self._core(), **self._scheduling(), **self._secrets(), **self._connections(), **self.overrides}

    def _core(self) -> dict[str, str]:
        database = f"postgresql+psycopg://airflow@/airflow?host={quote(str(self.places.sockets))}"
        return {
            "AIRFLOW_HOME": str(self.places.airflow),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.plugins),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.address}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.ports.get("api")),
            "AIRFLOW__API__BASE_URL": self.address,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__INSTANCE_NAME": "Orbitory",
            "AIRFLOW__CORE__AUTH_MANAGER": (
                "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
            ),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.places.airflow / "passwords.json"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.places.airflow / "logs"),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }

    def _scheduling(self) -> dict[str, str]:
        return {
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(self.parallelism),
            "AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT": str(self.pools["default_pool"]["slots"]),
            "AIRFLOW__CORE__MP_START_METHOD": "fork",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "16",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "2",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "5",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
            # A scheduler that died leaves running tasks behind; by default its successor looks for them after 300 s.
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "3600",
            "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "True",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST": "127.0.0.1",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(self.ports.get("scheduler_health")),
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "120",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "60",
        }

    def _secrets(self) -> dict[str, str]:
        fernet = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        return {
            "AIRFLOW__API_AUTH__JWT_SECRET": self.places.secret("jwt", secrets.token_urlsafe(64)),
            "AIRFLOW__API__SECRET_KEY": self.places.secret("session"),
            "AIRFLOW__CORE__FERNET_KEY": self.places.secret("fernet", fernet),
        }

    def _connections(self) -> dict[str, str]:
        mail = {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": self.ports.get("mail"),
            "extra": {"disable_tls": True, "disable_ssl": True, "from_email": "orbitory@localhost"},
        }
        return {
            "AIRFLOW_CONN_ORBITORY": self.cluster.uri(),
            "AIRFLOW_CONN_ORBITORY_SMTP": json.dumps(mail),
        }

    def environment(self) -> dict[str, str]:
        """The whole environment of a component: the caller's without what could disturb, then ours."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)}
        # Tasks take the inventory from the connection alone; no URI stands in their environment.
        kept.pop("ORBITORY_DATABASE", None)
        kept.pop("ORBITORY_OWNER_DATABASE", None)
        binaries = str(Path(sys.executable).parent)
        return {
            **kept,
            "PATH": f"{binaries}{os.pathsep}{kept.get('PATH', os.defpath)}",
            "PYTHONPATH": str(self.places.checkout / "include"),
            "PYTHONUNBUFFERED": "1",
            "ORBITORY_ROOT": self.inventory_environment()["ORBITORY_ROOT"],
            **self.settings(),
        }

    def command(self, *words: str) -> Sequence[str]:
        """An Airflow command with this environment's interpreter."""
        return (sys.executable, "-m", "airflow", *words)

    def components(self) -> tuple[Component, ...]:
        """All of them, in the order of starting; they are stopped in the reverse one."""
        listen = f"127.0.0.1:{self.ports.get('mail')}"
        catcher = (sys.executable, "-m", "aiosmtpd", "-n", "-l", listen, "-c", "aiosmtpd.handlers.Mailbox")
        return (
            Component(name="mail", command=(*catcher, str(self.places.mail))),
            Component(name="api-server", command=self.command("api-server")),
            Component(name="dag-processor", command=self.command("dag-processor")),
            # Triggers resume after any stop, so it need not be waited for.
            Component(name="triggerer", command=self.command("triggerer", "--skip-serve-logs"), patience_seconds=2),
            # Last up, first down: running tasks finish while the others still answer.
            Component(name="scheduler", command=self.command("scheduler", "--skip-serve-logs"), patience_seconds=30),
        )

    def warm(self) -> bool:
        """Whether the execution API answers. The first request builds it for seconds, which no task should pay."""
        return self._fetch("/execution/health", 60) is not None

    def unhealthy(self, since: Mapping[str, float]) -> list[str]:
        """Components that have not reported since they were started (seconds since the epoch)."""
        health = json.loads(self._fetch("/api/v2/monitor/health", 20) or "{}")
        waiting = []
        for name, key in (("scheduler", "scheduler"), ("dag-processor", "dag_processor"), ("triggerer", "triggerer")):
            beat = health.get(key, {}).get(f"latest_{key}_heartbeat")
            # The status alone may still speak of a process that was stopped a moment ago.
            fresh = bool(beat) and datetime.fromisoformat(beat).timestamp() >= since[name]
            if not fresh or health[key]["status"] != "healthy":
                waiting.append(name)
        return waiting

    def _fetch(self, path: str, timeout_seconds: float) -> str | None:
        import urllib.request  # slow to import, and most verbs do without

        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.suppress(OSError), opener.open(self.address + path, timeout=timeout_seconds) as answer:
            return str(answer.read().decode())
        return None
