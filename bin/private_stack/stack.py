"""The private stack as a whole."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from private_stack.airflow import USER, Airflow
from private_stack.errors import StackError
from private_stack.places import CHECKOUT, Places, write_private
from private_stack.ports import Ports, becomes_free
from private_stack.postgres import Cluster
from private_stack.processes import Component, Processes

_PORT_OF = {"mail": "mail", "api-server": "api", "scheduler": "scheduler_health"}
#: So long a port that is taken is waited for.
_DYING_SECONDS = 5.0


def say(text: str) -> None:
    """Tell the person; standard output belongs to what programs read."""
    print(f"stack: {text}", file=sys.stderr, flush=True)


class Stack:
    """PostgreSQL, a mail catcher and Airflow, below one folder."""

    def __init__(
        self,
        places: Places,
        *,
        dags: Path = CHECKOUT / "dags",
        plugins: Path = CHECKOUT / "plugins",
        overrides: Mapping[str, str] | None = None,
    ) -> None:
        """Nothing is started or written before a method is called."""
        self.places = places
        self.cluster = Cluster(places)
        self.processes = Processes(places)
        self.ports = Ports(places)
        self.airflow = Airflow(
            places=places, cluster=self.cluster, ports=self.ports, dags=dags, plugins=plugins, overrides=overrides or {}
        )

    # -- database ------------------------------------------------------------------------------------------------------

    def database_up(self) -> None:
        """The database runs and the inventory's schema is the one of this code."""
        with self.places.lock():
            self._database_up()

    def _database_up(self) -> None:
        if self.cluster.pid() is None:
            say("starting PostgreSQL")
            self.cluster.start()
        if not self._remembers("databases", "1"):
            self.cluster.databases()
            self._remember("databases", "1")
        self._migrate_inventory()

    def _migrate_inventory(self) -> None:
        folder = self.places.checkout / "include" / "orbitory" / "inventory" / "migrations"
        digest = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(folder.glob("*.sql")))).hexdigest()
        if self._remembers("inventory", digest):
            return
        program = (
            "import sys; from orbitory.inventory.migrate import migrate; from orbitory.errors import OrbitoryError\n"
            "try: migrate(*sys.argv[1:])\n"
            "except OrbitoryError as error: sys.exit(str(error))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, self.cluster.uri(user="orbitory_owner"), self.cluster.uri()],
            env={"PYTHONPATH": str(self.places.checkout / "include"), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StackError(f"the inventory could not be migrated: {done.stderr.strip()}")
        self._remember("inventory", digest)

    def database_down(self) -> None:
        """The database is stopped; everything committed is on disk."""
        with self.places.lock():
            self.cluster.stop()

    # -- everything ----------------------------------------------------------------------------------------------------

    def up(self, timeout_seconds: float = 300) -> None:
        """Everything runs and is healthy. What runs already is left alone."""
        with self.places.lock():
            deadline = time.monotonic() + timeout_seconds
            missing = [c for c in self.airflow.components() if self.processes.pid(c.name) is None]
            self._database_up()
            if missing:
                self._free_ports(missing)
                self.airflow.password()
                self._migrate_airflow()
                self._start(deadline)
            self._pools()
        say(f"Airflow is at {self.airflow.address} (user {USER}; the password: bin/stack login)")

    def _free_ports(self, missing: list[Component]) -> None:
        for component in missing:
            self.processes.sweep(component.name)  # what a killed one left behind may still hold its port
            name = _PORT_OF.get(component.name)
            if name and not becomes_free(self.ports.get(name), _DYING_SECONDS):
                old = self.ports.get(name)
                if name == "api" and len(missing) < len(self.airflow.components()):
                    raise StackError(f"port {old} was taken by another program: run bin/stack down, then up again")
                say(f"port {old} is taken by another program; {component.name} moves to {self.ports.pick(name)}")

    def _migrate_airflow(self) -> None:
        from importlib import metadata  # slow to import, and most verbs do without

        version = metadata.version("apache-airflow-core")
        if self._remembers("airflow", version):
            return
        say("preparing Airflow's database (once)")
        log = self.processes.log("airflow-migrate")
        with log.open("ab") as output:
            done = subprocess.run(
                self.airflow.command("db", "migrate"),
                env=self.airflow.environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        if done.returncode:
            raise StackError(f"airflow db migrate failed; the end of {log}:\n{self.processes.tail('airflow-migrate')}")
        self._remember("airflow", version)

    def _start(self, deadline: float) -> None:
        environment = self.airflow.environment()
        mail, api, dag_processor, triggerer, scheduler = self.airflow.components()
        for component in (mail, api, dag_processor):
            self._start_one(component, environment)
        self._wait(deadline, "api-server", self.airflow.warm, (mail, api, dag_processor))
        for component in (triggerer, scheduler):
            self._start_one(component, environment)
        since = {c.name: self.processes.started_at(c.name) for c in (dag_processor, triggerer, scheduler)}
        self._wait(deadline, "Airflow", lambda: not self.airflow.unhealthy(since), self.airflow.components())

    def _start_one(self, component: Component, environment: Mapping[str, str]) -> None:
        if self.processes.start(component, environment):
            say(f"starting {component.name}")

    def _wait(self, deadline: float, what: str, ready: Callable[[], bool], components: Sequence[Component]) -> None:
        while not ready():
            for component in components:
                self.processes.require(component.name)
            if time.monotonic() > deadline:
                tails = "\n".join(f"--- {c.name}\n{self.processes.tail(c.name)}" for c in components)
                raise StackError(f"{what} is not healthy in time; see {self.places.logs}\n{tails}")
            time.sleep(0.3)

    def _pools(self) -> None:
        """Pools, not parallelism, bound what the local executor is given, and keep room for live data."""
        pools = json.dumps(self.airflow.pools)
        if not self._remembers("pools", pools):
            file = self.places.airflow / "pools.json"
            write_private(file, pools)
            command = self.airflow.command("pools", "import", str(file))
            subprocess.run(command, env=self.airflow.environment(), capture_output=True, check=True)
            self._remember("pools", pools)

    def down(self) -> None:
        """Nothing of the stack runs any more; tasks that ran had a while to finish."""
        if not self.places.home.exists():
            return
        from concurrent.futures import ThreadPoolExecutor

        with self.places.lock():
            *others, scheduler = self.airflow.components()
            # The scheduler alone first: running tasks need the others to finish.
            for batch in ([scheduler], others):
                with ThreadPoolExecutor(len(batch)) as pool:
                    stopped = pool.map(self.processes.stop, batch)
                    names = [component.name for component, ran in zip(batch, stopped, strict=True) if ran]
                if names:
                    say(f"stopped {', '.join(names)}")
            if self.cluster.stop():
                say("stopped PostgreSQL")

    def clean(self) -> None:
        """Nothing runs and nothing is left."""
        self.down()
        self.places.remove()

    # -- what others ask -----------------------------------------------------------------------------------------------

    def state(self) -> dict[str, str]:
        """For each part: ``down`` or where it is."""
        running = {component.name: self.processes.pid(component.name) for component in self.airflow.components()}
        ports = {"mail": "mail", "api-server": "api"}
        state = {"postgresql": self.cluster.uri() if self.cluster.pid() else "down"}
        for name, pid in running.items():
            place = f"127.0.0.1:{self.ports.get(ports[name])} " if name in ports and pid else ""
            state[name] = f"{place}pid {pid}" if pid else "down"
        return state

    def login(self) -> dict[str, str]:
        """Address, user and password of the UI."""
        return {"address": self.airflow.address, "user": USER, "password": self.airflow.password()}

    def exports(self, *, inventory_only: bool = False) -> dict[str, str]:
        """Variables with which the command line (and ``airflow``) works on this stack."""
        self.places.make()
        inventory = {"ORBITORY_HOME": str(self.places.home), **self.airflow.inventory_environment()}
        return inventory if inventory_only else {**inventory, **self.airflow.settings()}

    def _facts(self) -> dict[str, str]:
        try:
            return dict(json.loads((self.places.home / "done.json").read_text()))
        except (OSError, ValueError):
            return {}

    def _remembers(self, what: str, value: str) -> bool:
        return self._facts().get(what) == value

    def _remember(self, what: str, value: str) -> None:
        write_private(self.places.home / "done.json", json.dumps({**self._facts(), what: value}, indent=1) + "\n")
