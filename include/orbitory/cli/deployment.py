"""What a verb needs of the deployment that the environment describes, and not more."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orbitory.catalogue import Catalogue
    from orbitory.inventory import Inventory
    from orbitory.settings import Settings
    from orbitory.site import Site

#: What ``add_subparsers`` returns.
Verbs = argparse._SubParsersAction


def add_json(verb: argparse.ArgumentParser) -> None:
    """The option that every reporting verb has."""
    verb.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def catalogue_of_environment() -> Catalogue:
    """The catalogue alone: no database and no zones are needed."""
    from orbitory.catalogue import load
    from orbitory.settings import CHECKOUT

    folder = os.environ.get("ORBITORY_CATALOGUE", "") or CHECKOUT / "include" / "catalogue"
    return load(Path(folder).absolute())


def settings_for_database() -> Settings:
    """Settings of a verb that touches the inventory only: where the zones are need not be known."""
    from orbitory.settings import Settings

    return Settings.from_environment({"ORBITORY_ROOT": "/nowhere", **os.environ})


@contextmanager
def inventory() -> Iterator[Inventory]:
    """The inventory alone, at the schema this code expects."""
    from orbitory.inventory import connect
    from orbitory.reading import require_schema
    from orbitory.site import person

    with connect(settings_for_database().database, actor=person()) as connection:
        require_schema(connection)
        yield connection


@contextmanager
def site(*, any_schema: bool = False) -> Iterator[Site]:
    """The whole site, at the schema this code expects unless ``any_schema``."""
    from orbitory.reading import require_schema
    from orbitory.site import open_site, person

    with open_site(actor=person()) as opened:
        if not any_schema:
            require_schema(opened.inventory)
        yield opened


def name_of(argument: str) -> str:
    r"""A name from the command line as the inventory shows it: undecodable bytes as ``\xNN``."""
    return os.fsencode(argument).decode("utf-8", "backslashreplace")


def number(most: int) -> type[int]:
    """A checker for argparse: a whole number from 1 to ``most``."""

    def check(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {most}")
        return int(text)

    return check  # type: ignore[return-value]
