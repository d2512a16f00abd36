"""migrate, simulate, ingest: the verbs that write."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbitory.cli import deployment
from orbitory.cli.output import amount, listed, say, write_json, write_lines, write_pairs

if TYPE_CHECKING:
    from orbitory.ingest.report import RunReport


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verbs."""
    migrate = verbs.add_parser("migrate", help="bring the inventory's schema up to date")
    deployment.add_json(migrate)
    migrate.set_defaults(run=_migrate)

    simulate = verbs.add_parser(
        "simulate", help="write a realistic delivery with its ground truth", description="Same seed, same delivery."
    )
    simulate.add_argument("--source", required=True)
    simulate.add_argument("--files", required=True, type=deployment.number(10_000_000), metavar="N")
    simulate.add_argument("--seed", default=1, type=int, metavar="K")
    simulate.add_argument(
        "--faults", default="", metavar="all|LIST", help="which faults to mix in, separated by commas"
    )
    simulate.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the files, made if absent")
    simulate.add_argument(
        "--manifest", required=True, type=Path, metavar="FILE", help="where to write the ground truth"
    )
    deployment.add_json(simulate)
    simulate.set_defaults(run=_simulate)

    ingest = verbs.add_parser("ingest", help="take what stands in a landing zone into the archive: all five steps")
    ingest.add_argument("source", metavar="SOURCE")
    ingest.add_argument("--workers", type=deployment.number(256), metavar="N", help="processes; 1 is serial")
    ingest.add_argument("--sensor", action="append", default=[], metavar="S", help="only this sensor; may be repeated")
    ingest.add_argument("--glob", default="*", metavar="G", help="only names that match, for example 'SVM*_npp_*'")
    ingest.add_argument("--limit", type=deployment.number(1_000_000_000), metavar="N", help="at most N data files")
    ingest.add_argument("--dry-run", action="store_true", help="say what would be done; write nothing")
    ingest.add_argument("--verbose", "-v", action="store_true", help="tell about every batch")
    deployment.add_json(ingest)
    ingest.set_defaults(run=_ingest)

    register = verbs.add_parser(
        "register",
        help="give an archive that already stands on disk its rows; no file is moved, renamed or deleted",
        description="A killed registration is taken up where it stopped. What is rejected stays and is told.",
    )
    register.add_argument("path", metavar="PATH", type=Path, help="folder below which the archive stands")
    register.add_argument("--source", required=True, metavar="S", help="whose grammar and extractor read it")
    register.add_argument("--workers", type=deployment.number(256), metavar="N", help="processes; 1 is serial")
    register.add_argument("--verbose", "-v", action="store_true", help="tell about every batch")
    deployment.add_json(register)
    register.set_defaults(run=_register)


def _migrate(options: argparse.Namespace) -> int:
    from orbitory.inventory.migrate import migrate, migrations

    settings = deployment.settings_for_database()
    applied = migrate(settings.owner_database, settings.database)
    version = max(name for name, _ in migrations())
    if options.json:
        write_json({"applied": applied, "version": version})
    else:
        write_lines([f"applied {name}" for name in applied] or [f"nothing to do: the inventory stands at {version}"])
    return 0


def _simulate(options: argparse.Namespace) -> int:
    from orbitory.errors import ConfigurationError
    from orbitory.simulate import simulate

    catalogue = deployment.catalogue_of_environment()
    try:
        options.manifest.parent.mkdir(parents=True, exist_ok=True)
        truth = simulate(catalogue, options.source, options.files, options.seed, options.faults, options.out)
        options.manifest.write_text(json.dumps(truth, indent=1) + "\n")
    except OSError as error:
        raise ConfigurationError(f"cannot write {error.filename}: {error.strerror}") from error
    fates: dict[str, int] = {}
    for file in truth:
        fates[file["fate"]] = fates.get(file["fate"], 0) + 1
    told = {"files": len(truth), "bytes": sum(file["size"] for file in truth), "fates": dict(sorted(fates.items()))}
    if options.json:
        write_json(told | {"out": str(options.out), "manifest": str(options.manifest)})
    else:
        write_lines(
            [f"{len(truth)} files, {amount(told['bytes'])} in {options.out}; they should become: {listed(fates)}"]
        )
    return 0


def _ingest(options: argparse.Namespace) -> int:
    from orbitory.ingest.detect import Selection
    from orbitory.ingest.run import ingest
    from orbitory.settings import Settings

    settings = Settings.from_environment()
    with deployment.inventory():
        pass  # a schema older or newer than this code is told before any file is touched
    selection = Selection(
        workers=options.workers or settings.workers,
        sensors=tuple(options.sensor),
        pattern=options.glob,
        limit=options.limit,
        dry_run=options.dry_run,
    )
    return _tell(ingest(settings, options.source, selection, _tell_progress if sys.stderr.isatty() else None), options)


def _register(options: argparse.Namespace) -> int:
    from orbitory.register import register
    from orbitory.settings import Settings

    settings = Settings.from_environment()
    with deployment.inventory():
        pass
    progress = _tell_files if sys.stderr.isatty() else None
    return _tell(
        register(settings, options.source, options.path, options.workers or settings.workers, progress), options
    )


def _tell(result: RunReport, options: argparse.Namespace) -> int:
    for problem in result.problems:
        say(problem)
    if options.json:
        write_json(result.as_dict())
    else:
        told = result.as_dict()
        write_pairs({name: "" if value is None else value for name, value in told.items()})
    return 1 if result.rejected or result.conflict or result.failed else 0


def _tell_files(looked: int) -> None:
    sys.stderr.write(f"\rorbitory: {looked} files looked at")
    sys.stderr.flush()


def _tell_progress(done: int, batches: int) -> None:
    sys.stderr.write(f"\rorbitory: {done} of {batches} batches" + ("\n" if done == batches else ""))
    sys.stderr.flush()
