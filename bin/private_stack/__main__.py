"""``bin/stack``: start, stop and describe the private PostgreSQL and Airflow of this checkout."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from private_stack.errors import StackError
from private_stack.places import CHECKOUT, Places
from private_stack.stack import Stack

VERBS = {
    "up": "start everything that does not run yet and wait until it is healthy",
    "down": "let running tasks finish, then stop everything",
    "status": "say what runs, and where; exit 0 when all of it does, else 3",
    "pg-up": "start only the database, with the inventory's schema up to date",
    "pg-down": "stop the database",
    "env": 'print export lines for a shell: eval "$(bin/stack env)"',
    "login": "print address, user and password of the Airflow UI",
    "clean": "stop everything and delete it, the archive included",
}


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    arguments = argparse.ArgumentParser(
        prog="bin/stack", description="Private PostgreSQL and Airflow of this checkout."
    )
    verbs = arguments.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, text in VERBS.items():
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument(
            "--home", type=Path, help="folder that holds everything (default: $ORBITORY_HOME or .orbitory)"
        )
        if name in ("up", "env"):
            verb.add_argument("--dags", type=Path, default=CHECKOUT / "dags", help="folder of DAGs")
            verb.add_argument("--plugins", type=Path, default=CHECKOUT / "plugins", help="folder of plugins")
            verb.add_argument(
                "--set", action="append", default=[], metavar="NAME=VALUE", help="replace an Airflow setting"
            )
        if name == "up":
            verb.add_argument("--timeout", type=float, default=300, help="seconds to wait until healthy")
        if name == "env":
            verb.add_argument("--inventory", action="store_true", help="only ORBITORY_*, without Airflow's")
            verb.add_argument("--start", action="store_true", help="start the database first, if need be")
        if name in ("status", "login"):
            verb.add_argument("--json", action="store_true", help="for programs")
    return arguments


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say; returns the exit code."""
    options = parser().parse_args(words)
    places = Places(home=options.home.absolute()) if options.home else Places.of_environment()
    overrides = dict(pair.partition("=")[::2] for pair in getattr(options, "set", []))
    stack = Stack(
        places,
        dags=getattr(options, "dags", CHECKOUT / "dags").absolute(),
        plugins=getattr(options, "plugins", CHECKOUT / "plugins").absolute(),
        overrides=overrides,
    )
    try:
        return _do(options, stack)
    except StackError as error:
        print(f"stack: {error}", file=sys.stderr)
        return 3


def _do(options: argparse.Namespace, stack: Stack) -> int:
    plain = {"down": stack.down, "pg-up": stack.database_up, "pg-down": stack.database_down, "clean": stack.clean}
    if options.verb in plain:
        plain[options.verb]()
    match options.verb:
        case "up":
            stack.up(options.timeout)
        case "login":
            login = stack.login()
            print(json.dumps(login) if options.json else "\n".join(f"{name}: {value}" for name, value in login.items()))
        case "env":
            if options.start:
                stack.database_up()
            for name, value in stack.exports(inventory_only=options.inventory).items():
                print(f"export {name}={shlex.quote(value)}")
        case "status":
            state = stack.state()
            print(
                json.dumps(state) if options.json else "\n".join(f"{name:15} {value}" for name, value in state.items())
            )
            return 0 if all(value != "down" for value in state.values()) else 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
