"""upload: hand files in."""

from __future__ import annotations

import argparse
import getpass
import os
from pathlib import Path
from typing import Any

from orbitory.cli import deployment
from orbitory.cli.output import amount, say, write_json, write_lines


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verb."""
    upload = verbs.add_parser(
        "upload",
        help="hand files in: copied into the landing zone, each with a form that says what it is",
        description="Everything is checked first; the next ingest takes the files in. The form: docs/upload.md.",
    )
    upload.add_argument("paths", nargs="+", type=Path, metavar="FILE|FOLDER", help="a folder means all files below it")
    upload.add_argument("--type", required=True, metavar="T", help="what they are; one of the source's product types")
    upload.add_argument("--expires", default="34d", metavar="D", help="days or weeks to keep them: 34d, 2w (34d)")
    upload.add_argument("--class", dest="classification", metavar="C", help="who may see them (the most restricted)")
    upload.add_argument("--title", default="", metavar="TEXT", help="one line for people")
    upload.add_argument("--comment", default="", metavar="TEXT", help="what else to know")
    upload.add_argument("--source", default="upload", metavar="S", help="where uploads are taken in (upload)")
    deployment.add_json(upload)
    upload.set_defaults(run=_upload)


def _upload(options: argparse.Namespace) -> int:
    from orbitory.errors import ConfigurationError
    from orbitory.settings import Settings
    from orbitory.upload_form import days_of
    from orbitory.uploads import Terms, check_terms, upload

    catalogue = deployment.catalogue_of_environment()
    source = catalogue.source(options.source)
    try:
        keep_days = days_of(options.expires)
    except ValueError as error:
        raise ConfigurationError(f"nothing was uploaded: {error}") from None
    terms = Terms(
        product_type=options.type,
        keep_days=keep_days,
        sender=_person(),
        classification=options.classification,
        title=options.title,
        comment=options.comment,
    )
    check_terms(terms, source, catalogue)
    settings = Settings.from_environment(database="none is needed")
    made = upload(options.paths, terms, source, settings.landing / source.landing)
    if options.json:
        write_json(made.as_dict())
    else:
        write_lines([f"{len(made.files)} files, {amount(made.bytes)} in {made.folder}", *made.files])
    say(f"the next ingest of {source.name} takes them in; `orbitory show {made.files[0]}` tells what became of it")
    return 0


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's account without a name
        return f"uid{os.getuid()}"
