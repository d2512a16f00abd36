"""``bin/orbitory`` works from anywhere, finds the inventory by itself and adds nothing to standard output."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from orbitory.settings import CHECKOUT
from private_stack.stack import Stack

COMMAND = CHECKOUT / "bin" / "orbitory"


def run(
    *words: str, environment: dict[str, str], cwd: Path, command: Path = COMMAND
) -> subprocess.CompletedProcess[str]:
    return subprocess.run([command, *words], env=environment, cwd=cwd, capture_output=True, text=True, check=False)


def test_it_runs_through_a_link_from_any_folder(environment: dict[str, str], tmp_path: Path) -> None:
    link = tmp_path / "a folder" / "orbitory"
    link.parent.mkdir()
    link.symlink_to(COMMAND)
    done = run("status", "--json", environment=environment, cwd=tmp_path, command=link)
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)


def test_an_inventory_that_was_named_is_used_and_nothing_is_started(
    environment: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    done = run("status", "--json", environment={**environment, "ORBITORY_HOME": str(home)}, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not home.exists()


def test_without_any_setting_the_private_database_is_started_and_said_so(
    plain_environment: dict[str, str], tmp_path: Path, stack_in: Callable[[Path], Stack]
) -> None:
    stack = stack_in(tmp_path / "home")
    environment = {**plain_environment, "ORBITORY_HOME": str(stack.places.home)}
    done = run("status", "--json", environment=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    assert "starting PostgreSQL" in done.stderr
    assert stack.cluster.pid() is not None
    assert all(value == "down" for name, value in stack.state().items() if name != "postgresql")
    again = run("status", "--json", environment=environment, cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    assert json.loads(again.stdout).keys() == json.loads(done.stdout).keys()


def test_what_needs_no_database_starts_none(plain_environment: dict[str, str], tmp_path: Path) -> None:
    environment = {**plain_environment, "ORBITORY_HOME": str(tmp_path / "home")}
    assert run("--help", environment=environment, cwd=tmp_path).returncode == 0
    assert run("identify", "nonsense", "--json", environment=environment, cwd=tmp_path).stdout
    assert not (tmp_path / "home" / "pg").exists()


def test_every_command_of_the_makefile_is_explained() -> None:
    done = subprocess.run(
        ["make", "-C", CHECKOUT, "-s"], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    explained = {line.split()[0] for line in done.stdout.splitlines()}
    phony = (CHECKOUT / "Makefile").read_text().partition(".PHONY:")[2].partition("\n")[0].split()
    assert explained == set(phony)
