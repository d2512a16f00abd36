"""``bin/environment`` finds a Python that works, says when there is none, and does nothing twice."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orbitory.settings import CHECKOUT

COMMAND = CHECKOUT / "bin" / "environment"
TOOLS = ("bash", "dirname", "readlink", "cat", "sed", "grep", "id")
SYSTEM_WIDE = [p for d in ("/usr/local", "/opt/homebrew") for p in Path(d).glob("bin/python3.1[123]")]


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """A PATH with tools but no Python, and a home without version managers."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(str(shutil.which(name)))
    home = tmp_path / "home"
    home.mkdir()
    return {"PATH": str(tools), "HOME": str(home)}


def interpreter(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, "--interpreter"], env=environment, capture_output=True, text=True, check=False)


def own_python(environment: dict[str, str], folder: str, name: str) -> Path:
    """Put the running Python under another name, as version managers do."""
    link = Path(environment["HOME"]) / folder / name
    link.parent.mkdir(parents=True)
    link.write_text(f'#!/bin/sh\nexec {Path(sys.executable).resolve()} "$@"\n')
    link.chmod(0o755)
    return link


VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.mark.skipif(bool(SYSTEM_WIDE), reason="this machine has a Python that cannot be hidden")
def test_no_python_at_all_is_said_with_what_to_do(bare: dict[str, str]) -> None:
    done = interpreter(bare)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.search(r"no working Python 3\.13, 3\.12 or 3\.11 was found.*install one.*ORBITORY_PYTHON", done.stderr)


@pytest.mark.parametrize(
    "place", [f".pyenv/versions/{VERSION}.99/bin", f".asdf/installs/python/{VERSION}.0/bin", ".local/bin"]
)
def test_a_python_of_a_version_manager_is_found_without_being_on_the_path(bare: dict[str, str], place: str) -> None:
    python = own_python(bare, place, f"python{VERSION}")
    assert interpreter(bare).stdout.strip() == str(python) or SYSTEM_WIDE


def test_a_shim_that_refuses_to_run_is_passed_over(bare: dict[str, str]) -> None:
    for version in ("3.13", "3.12", "3.11"):
        shim = Path(bare["PATH"]) / f"python{version}"
        shim.write_text(f'#!/bin/sh\necho "pyenv: python{version}: command not found" >&2\nexit 127\n')
        shim.chmod(0o755)
    python = own_python(bare, f".pyenv/versions/{VERSION}.99/bin", f"python{VERSION}")
    assert interpreter(bare).stdout.strip() == str(python) or SYSTEM_WIDE


def test_a_python_chosen_by_hand_must_work(bare: dict[str, str]) -> None:
    chosen = interpreter({**bare, "ORBITORY_PYTHON": "/bin/false"})
    assert chosen.returncode == 1
    assert "ORBITORY_PYTHON=/bin/false is not a working Python" in chosen.stderr
    real = str(Path(sys.executable).resolve())
    assert interpreter({**bare, "ORBITORY_PYTHON": real}).stdout.strip() == real


def test_a_second_call_is_quick_and_silent(plain_environment: dict[str, str]) -> None:
    subprocess.run([COMMAND], env=plain_environment, check=True, capture_output=True)
    began = time.monotonic()
    done = subprocess.run([COMMAND], env=plain_environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert time.monotonic() - began < 2


def test_an_unknown_option_is_refused(plain_environment: dict[str, str]) -> None:
    done = subprocess.run([COMMAND, "--test"], env=plain_environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unknown option --test" in done.stderr


def test_a_missing_database_server_is_named_to_whoever_cannot_install_it(folder: Path) -> None:
    """As another user, with a root file system in which no PostgreSQL is to be seen."""
    text = COMMAND.read_text().replace("/usr/lib/postgresql/", f"{folder}/nothing/")
    copy = folder / "bin" / "environment"
    copy.parent.mkdir()
    copy.write_text(text)
    copy.chmod(0o755)
    command: list[str] = ["runuser", "-u", "nobody", "--"] if Path("/proc/self").stat().st_uid == 0 else []
    done = subprocess.run([*command, str(copy)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "run as root: apt-get install postgresql postgresql-postgis" in done.stderr
