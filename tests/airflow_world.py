"""What the tests of DAGs and of the whole stack share: a site in a folder, a catalogue with readers, caught mails."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from demonstration.api import AirflowApi
from private_stack.places import Places, write_private
from private_stack.ports import is_free
from private_stack.stack import Stack

CHECKOUT = Path(__file__).resolve().parents[1]
RECIPIENT = "operators@example.org"
#: Stands in the inventory's connection; no log and no XCom may show it.
PASSWORD = "pw-7Hq2-never-shown"


def copy_catalogue(target: Path, **changes: str) -> Path:
    """The shipped catalogue with somebody to tell, and ``changes`` to top-level keys of its sources (TOML text)."""
    shutil.copytree(CHECKOUT / "include" / "catalogue", target)
    for file in (target / "sources").glob("*.toml"):
        text = file.read_text()
        for key, value in {"notify": f'["{RECIPIENT}"]', **changes}.items():
            text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.M)
        file.write_text(text)
    return target


def read_mail(content: bytes) -> EmailMessage:
    """The message, parsed as a mail program would."""
    mail = message_from_bytes(content, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def html_of(mail: EmailMessage) -> str:
    """Body of a mail."""
    body = mail.get_body(("html",))
    assert body is not None
    return str(body.get_content())


@dataclass(slots=True)
class Inbox:
    """Every mail that a server took; a handler for aiosmtpd."""

    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        """Called by aiosmtpd."""
        self.mails.append(read_mail(envelope.content))
        self.recipients += envelope.rcpt_tos
        return "250 OK"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The folders and the inventory of one site, as a sender and an auditor see them."""

    root: Path
    uri: str

    def land(self, source: str, name: str, content: bytes, age_seconds: float = 3600) -> Path:
        """Deliver a file, complete since ``age_seconds``."""
        file = self.root / "landing" / source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        then = time.time() - age_seconds
        os.utime(file, (then, then))
        return file

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Ask the inventory."""
        with psycopg.connect(self.uri, row_factory=dict_row) as connection:
            return connection.execute(statement.encode()).fetchall()

    def states(self) -> dict[str, int]:
        """Files by state."""
        return {row["state"]: row["n"] for row in self.rows("SELECT state, count(*) AS n FROM arrival GROUP BY 1")}


@dataclass(frozen=True, slots=True, kw_only=True)
class World(Site):
    """A site, the DAGs that work on it in this process, and the mails they send."""

    inbox: Inbox
    bag_of: Callable[[Path], Any]

    def run(self, source: str, **conf: Any) -> Any:
        """One run of the source's DAG; returns the finished DagRun."""
        # Read afresh each time: dag.test() leaves the values of one run's form in the DAG object.
        return self.bag_of(CHECKOUT / "dags").dags[f"ingest_{source}"].test(run_conf=conf)


def mail_server(port: int, timeout_seconds: int = 5) -> str:
    """The Connection of a mail server on loopback."""
    extra = {"disable_tls": True, "disable_ssl": True, "from_email": "orbitory@example.org"}
    patience = {"timeout": timeout_seconds, "retry_limit": 0}
    return json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra | patience})


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run in a real Airflow, what was delivered to it and what it told."""

    dag_id: str
    run_id: str
    state: str
    #: Ground truth of the delivery.
    truth: list[dict[str, object]]
    mails: list[EmailMessage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Site):
    """A site with a whole running Airflow."""

    stack: Stack
    api: AirflowApi
    checkout: Path

    def start(self, source: str, **conf: object) -> tuple[str, str]:
        """Trigger a run; returns DAG and run id."""
        dag_id = f"ingest_{source}"
        self.api.await_dag(dag_id)
        self.api.unpause(dag_id)
        return dag_id, self.api.trigger(dag_id, conf)

    def finish(self, dag_id: str, run_id: str, seconds: float = 300) -> str:
        """Wait for the end of a run and return its state."""
        deadline = time.monotonic() + seconds
        while (state := self.api.run_state(dag_id, run_id)) not in ("success", "failed"):
            assert time.monotonic() < deadline, f"{run_id} is still {state}: {self.tasks(dag_id, run_id)}"
            time.sleep(0.5)
        return state

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Wait for something to become true."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it never happened"
            time.sleep(0.25)

    def tasks(self, dag_id: str, run_id: str) -> dict[tuple[str, int], str]:
        """States of all task instances by task and map index."""
        return {(each["task_id"], each["map_index"]): each["state"] for each in self.api.tasks(dag_id, run_id)}

    def await_running(self, dag_id: str, run_id: str, task_id: str, seconds: float = 120) -> dict[str, Any]:
        """Wait until an instance of the task runs and return it."""
        deadline = time.monotonic() + seconds
        while True:
            for each in self.api.tasks(dag_id, run_id):
                if each["task_id"] == task_id and each["state"] == "running" and each["pid"]:
                    return each
            assert time.monotonic() < deadline, f"{task_id} was never seen running: {self.tasks(dag_id, run_id)}"
            time.sleep(0.1)

    def orbitory(self, *words: str, expect: int = 0) -> Any:
        """The command line on this site; returns what it printed as JSON."""
        environment = {**os.environ, **self.stack.exports(inventory_only=True)}
        done = subprocess.run(
            [self.checkout / "bin" / "orbitory", *words, "--json"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expect, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def mails(self) -> list[EmailMessage]:
        """What the stack's mail server caught so far."""
        return [read_mail(file.read_bytes()) for file in sorted((self.stack.places.mail / "new").glob("*"))]


@contextmanager
def running(name: str, define: Callable[[Path, Path], None], **settings: str) -> Iterator[Stage]:
    """A running stack; ``define`` may change its catalogue, given that and its home. ``settings``: of Airflow."""
    home = Path(tempfile.gettempdir()) / f"orbitory-{name}-{os.getpid()}"
    places = Places(home=home)
    places.make()
    # Not the ports that everyone tries first: another stack may be starting at the same moment.
    start = 10_000 + os.getpid() * 7 % 9_000
    free = [port for port in range(start, start + 50) if is_free(port)]
    write_private(home / "ports.json", json.dumps(dict(zip(("api", "scheduler_health", "mail"), free, strict=False))))
    before = dict(os.environ)
    for variable in [each for each in os.environ if each.startswith(("AIRFLOW", "ORBITORY_"))]:
        del os.environ[variable]
    # The schedule never comes, so that only the tests start runs.
    catalogue = copy_catalogue(home / "catalogue", schedule='"0 0 29 2 *"')
    os.environ["ORBITORY_CATALOGUE"] = str(catalogue)
    define(catalogue, home)
    plain = Stack(places)
    os.environ["ORBITORY_SITE_SECOND_DATABASE"] = plain.cluster.uri("orbitory_second")
    os.environ["ORBITORY_SITE_SECOND_ROOT"] = str(home / "second")
    uri = plain.cluster.uri().replace("orbitory@", f"orbitory:{PASSWORD}@")
    stack = Stack(
        places,
        overrides={
            "AIRFLOW_CONN_ORBITORY": uri,
            # Not minutes: a worker that died is noticed while somebody watches.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            **settings,
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
