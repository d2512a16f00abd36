"""What the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cloning import clone
from orbitory.settings import Settings
from planning import Archive

__all__ = ["clone"]


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
