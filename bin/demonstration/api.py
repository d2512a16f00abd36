"""The little that is needed of Airflow's REST API."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode


class AirflowApi:
    """A session with one Airflow."""

    def __init__(self, address: str, user: str, password: str) -> None:
        """Logs in."""
        self.address = address
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._token = ""
        self._token = self.call("POST", "/auth/token", {"username": user, "password": password})["access_token"]

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One request; JSON in, JSON out. Raises OSError with the server's words when it refuses."""
        request = urllib.request.Request(
            self.address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"},
        )
        try:
            with self._opener.open(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise OSError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')[:500]}") from error

    def await_dag(self, dag_id: str, seconds: float = 120) -> None:
        """Wait until the DAG processor has read it."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.call("GET", f"/api/v2/dags/{quote(dag_id)}")
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def unpause(self, dag_id: str) -> None:
        """Let the schedule and triggered runs begin."""
        self.call("PATCH", f"/api/v2/dags/{quote(dag_id)}", {"is_paused": False})

    def pause(self, dag_id: str) -> None:
        """Let no more runs begin."""
        self.call("PATCH", f"/api/v2/dags/{quote(dag_id)}", {"is_paused": True})

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Its runs, newest first."""
        query = urlencode({"limit": 100, "order_by": "-run_after"})
        found: list[dict[str, Any]] = self.call("GET", f"/api/v2/dags/{quote(dag_id)}/dagRuns?{query}")["dag_runs"]
        return found

    def active_runs(self, dag_id: str) -> int:
        """Runs that are queued or running."""
        query = urlencode({"limit": 1, "state": ["queued", "running"]}, doseq=True)
        return int(self.call("GET", f"/api/v2/dags/{quote(dag_id)}/dagRuns?{query}")["total_entries"])

    def trigger(self, dag_id: str, conf: Mapping[str, object] | None = None) -> str:
        """Ask for a run; returns its id."""
        run = self.call(
            "POST", f"/api/v2/dags/{quote(dag_id)}/dagRuns", {"logical_date": None, "conf": dict(conf or {})}
        )
        return str(run["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """State of a run."""
        return str(self.call("GET", self._run(dag_id, run_id))["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run, each mapped index its own."""
        found: list[dict[str, Any]] = []
        while True:
            query = urlencode({"limit": 100, "offset": len(found)})
            page = self.call("GET", f"{self._run(dag_id, run_id)}/taskInstances?{query}")
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def clear(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> None:
        """Ask for another try of a task instance, also while one runs."""
        what = {"dag_run_id": run_id, "task_ids": [[task_id, map_index]], "only_failed": False, "dry_run": False}
        self.call("POST", f"/api/v2/dags/{quote(dag_id)}/clearTaskInstances", what)

    def page_of(self, dag_id: str, run_id: str) -> str:
        """Where a person sees the run."""
        return f"{self.address}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}"

    @staticmethod
    def _run(dag_id: str, run_id: str) -> str:
        return f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}"
