"""The command line: the same functions that Airflow's tasks call, for people, cron, tests and other systems.

With ``--json`` a verb prints one JSON document on standard output and nothing else. Messages go to standard error.
Exit status: 0 done, 1 done with rejected items, 2 wrong usage or configuration, 3 could not be done now, 4 violations
found, 70 a bug (with traceback), 130 interrupted, 141 the reader of standard output went away.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from orbitory import __version__
from orbitory.cli import (
    checking,
    counting,
    exporting,
    footprints,
    ingesting,
    looking,
    mirroring,
    planning,
    posting,
    quarantining,
    removing,
    reprocessing,
    retaining,
    running,
    uploading,
    validating,
)
from orbitory.cli.output import follow_log, redact, say
from orbitory.errors import ConfigurationError, DataError, IntegrityError, NotReady, Transient

DONE, REJECTED, WRONG_USE, NOT_NOW, VIOLATIONS, BUG, INTERRUPTED, READER_GONE = 0, 1, 2, 3, 4, 70, 130, 141

#: Options whose value may begin with a minus sign, which argparse takes for an option of its own.
_MAY_BE_NEGATIVE = {"--area", "--bbox"}


class _Parser(argparse.ArgumentParser):
    """Speaks as the rest of the program does."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, **options)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, where help stands, and leave."""
        say(f"{message}; see `{self.prog} --help`")
        raise SystemExit(WRONG_USE)


def parser() -> argparse.ArgumentParser:
    """All verbs. Imports nothing heavy: each verb brings what it needs when it runs."""
    top = _Parser(prog="orbitory", description="An archive for Earth-observation missions.", epilog=_EPILOG)
    top.add_argument("--version", action="version", version=f"orbitory {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for group in _GROUPS:
        group.add(verbs)
    return top


_GROUPS = (
    ingesting,
    uploading,
    looking,
    counting,
    quarantining,
    removing,
    retaining,
    reprocessing,
    planning,
    running,
    footprints,
    validating,
    posting,
    checking,
    mirroring,
    exporting,
)
_EPILOG = (
    "Exit status: 0 done, 1 done with rejected items, 2 wrong usage or configuration, 3 could not be done now, "
    "4 violations found, 70 a bug."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status."""
    try:
        options = parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
        follow_log(verbose=getattr(options, "verbose", False))
        status = int(options.run(options))
        sys.stdout.flush()
        return status
    except SystemExit as leaving:  # argparse: help was printed, or the usage was wrong
        return leaving.code if isinstance(leaving.code, int) else DONE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the interpreter's own flush is silent
        return READER_GONE
    except KeyboardInterrupt:
        say("interrupted; what was begun is finished by the next run")
        return INTERRUPTED
    except (DataError, ConfigurationError, Transient, NotReady, IntegrityError) as error:
        say(str(error))
        return _status_of(error)
    except Exception:  # noqa: BLE001 - the seam: a bug is told in full
        sys.stderr.write(redact(traceback.format_exc()))
        say("this is a bug in Orbitory; the lines above tell its makers where")
        return BUG


def _status_of(error: Exception) -> int:
    match error:
        case ConfigurationError():
            return WRONG_USE
        case Transient() | NotReady():
            return NOT_NOW
        case IntegrityError():
            return VIOLATIONS
        case _:
            return REJECTED


def _joined(arguments: Sequence[str]) -> list[str]:
    """``--bbox -10,0,10,5`` as ``--bbox=-10,0,10,5``."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in _MAY_BE_NEGATIVE:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined
