"""What the tests of this folder share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from answers import Answer, Orbitory
from cloning import clone
from exporting import sites
from footprints import Strips, strips
from orbitory.cli import main
from orbitory.settings import Settings
from planning import Archive

__all__ = ["clone", "sites"]


@pytest.fixture
def make(settings: Settings) -> Iterator[Callable[..., Archive]]:
    """An archive with these definitions of PGEs."""
    made: list[Archive] = []

    def build(*definitions: str) -> Archive:
        made.append(Archive(settings, *definitions))
        return made[-1]

    yield build
    for each in made:
        each.db.close()


@pytest.fixture
def archive(settings: Settings) -> Iterator[Strips]:
    """An archive of strips."""
    with strips(settings) as made:
        yield made


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Orbitory:
    """Run a verb in this process, with no site described in the environment."""
    for name in [name for name in os.environ if name.startswith(("ORBITORY_", "PG"))]:
        monkeypatch.delenv(name)

    def run(*arguments: str) -> Answer:
        capfd.readouterr()
        status = main(arguments)
        return Answer(status, *capfd.readouterr())

    return run


@pytest.fixture
def orbitory(spoken: Orbitory, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Orbitory:
    """Run a verb in this process, on this test's site."""
    for name, value in environment.items():
        if name.startswith("ORBITORY_"):
            monkeypatch.setenv(name, value)
    return spoken
