"""Secrets stand in Connections and the environment: in no tracked file, log, XCom, rendered field, row or mail."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from airflow_world import CHECKOUT, World
from private_stack.postgres import Cluster

#: user:password@ in an address; the password is judged.
_IN_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@'\"]*:([^\s/@'\"]+)@")
_ASSIGNED = re.compile(
    r"""(?i)\b[\w-]*(?:password|passwd|secret|token|api_?key)[\w-]*["']?\s*[:=]\s*["']?([A-Za-z0-9+/_=-]{16,})["']?\s*$""",
    re.M,
)
_KEYS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b")
#: What stands for a password where none is: placeholders, and variables of shells, Compose and Python.
_NO_SECRET = re.compile(r"(?i)\$|\{|<|…|\.\.\.|^(change-?me|password|s[e3]cret|geheim|pw|passwd|x+|\*+)$")


def told_in(text: str) -> list[str]:
    """What looks like a secret."""
    found = [match[1] for match in _IN_ADDRESS.finditer(text)]
    found += [match[1] for match in _ASSIGNED.finditer(text) if re.search(r"[0-9]", match[1])]
    return [each for each in found if not _NO_SECRET.search(each)] + _KEYS.findall(text)


def tracked() -> Iterator[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=False).stdout
    if not listed:
        pytest.skip("no git checkout: nobody can tell what belongs to it")
    for name in listed.split(b"\0"):
        path = CHECKOUT / os.fsdecode(name)
        if name and path.is_file() and not os.fsdecode(name).startswith("tests/"):
            yield path


def test_no_tracked_file_outside_the_tests_holds_a_secret() -> None:
    files = list(tracked())
    assert len(files) > 300
    found = {str(path.relative_to(CHECKOUT)): told_in(path.read_text("utf-8", "replace")) for path in files}
    assert {name: told for name, told in found.items() if told} == {}


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://orbitory:Hq2nevershown@db/orbitory",
        'SECRET_KEY = "0123456789abcdef0123456789abcdef"',
        "smtp_password: 8f3Kd92mNq0Zx81pLw",
        "-----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_the_search_finds_what_is_a_secret(text: str) -> None:
    assert told_in(text)


@pytest.mark.fault("F38", how="marked passwords of inventory, mail server and another site, through a run that fails")
def test_a_secret_stands_in_connections_and_environment_and_nowhere_else(
    world: World,
    inventory_uri: str,
    postgres: Cluster,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    marked = {name: f"marked-{name}-{secrets.token_hex(8)}" for name in ("inventory", "mail", "site")}
    monkeypatch.setenv("AIRFLOW_CONN_ORBITORY", inventory_uri.replace("orbitory@", f"orbitory:{marked['inventory']}@"))
    mail = json.loads(os.environ["AIRFLOW_CONN_ORBITORY_SMTP"])
    monkeypatch.setenv(
        "AIRFLOW_CONN_ORBITORY_SMTP", json.dumps({**mail, "login": "orbitory", "password": marked["mail"]})
    )
    monkeypatch.setenv("ORBITORY_SITE_PROD_DATABASE", f"postgresql://orbitory:{marked['site']}@127.0.0.1:1/orbitory")
    world.land("correlative", "station.txt", b"reading")
    world.land("correlative", "bad.h5", b"")
    postgres.sql("REVOKE INSERT ON asset FROM orbitory", database)
    run = world.run("correlative")
    assert run.state == "failed"
    postgres.sql("GRANT INSERT ON asset TO orbitory", database)
    assert world.run("correlative").state in ("success", "failed")
    assert world.states() == {"archived": 1, "rejected": 1}

    shown = capfd.readouterr()
    places = {
        "log": caplog.text + shown.out + shown.err,
        "Airflow's database": rows_of(postgres.uri("airflow", "airflow")),
        "inventory": rows_of(inventory_uri),
        "site": "".join(str(path) for path in world.root.rglob("*")),
        "mails": "".join(mail.as_string() for mail in world.inbox.mails),
    }
    places |= {str(path): path.read_text("utf-8", "replace") for path in log_files()}
    assert "archive batch=" in places["log"], "the log was not captured"
    assert (
        run.run_id in places["Airflow's database"] and "rendered_task_instance_fields" in places["Airflow's database"]
    )
    assert [(name, each) for name, text in places.items() for each in marked.values() if each in text] == []


def log_files() -> list[Path]:
    """What Airflow has written beside what it was asked to."""
    return [path for path in Path(os.environ["AIRFLOW_HOME"]).rglob("*.log") if path.is_file()]


def rows_of(uri: str) -> str:
    """Every row of every table, XComs and rendered fields included, as text."""
    tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public'"
    found = []
    with closing(psycopg.connect(uri)) as connection:
        for (table,) in connection.execute(tables).fetchall():
            found.append(table)
            query = sql.SQL("SELECT t::text FROM {} t").format(sql.SQL(table))
            found += [text for (text,) in connection.execute(query).fetchall()]
    return "\n".join(found)
