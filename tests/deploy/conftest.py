"""Stacks in places of their own; whatever a test started is stopped when it ends."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from private_stack.places import Places
from private_stack.stack import Stack


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with a short path that other users may enter."""
    made = Path(tempfile.mkdtemp(prefix="orbitory-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def stack_in() -> Iterator[Callable[[Path], Stack]]:
    """Make a stack below a home of the test's choice."""
    made: list[Stack] = []

    def make(home: Path) -> Stack:
        made.append(Stack(Places(home=home)))
        return made[-1]

    yield make
    for stack in made:
        stack.clean()


@pytest.fixture
def plain_environment() -> dict[str, str]:
    """The caller's environment without anything that steers Orbitory, Airflow, Python or PostgreSQL."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("ORBITORY_", "AIRFLOW", "PYTHON", "PG"))}
