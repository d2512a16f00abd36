"""What an export would do, and did: a page that loads nothing, a list for spreadsheets, JSON for programs."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from orbitory.errors import Transient
from orbitory.export.ledger import get
from orbitory.export.preview import Preview, folder_of
from orbitory.listing import head, line_of, readable
from orbitory.mfp.report.page import figure, hash_of_text, shipped
from orbitory.site import Site
from orbitory.zones import write_whole

if TYPE_CHECKING:
    from orbitory.export.run import Outcome

_COLUMNS = ("action", "sensor", "product", "key", "version", "created", "why")


def write_preview(here: Site, found: Preview, folder: Path) -> None:
    """Write page, list and figures, while the differences still stand in ``export_found``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".preview.csv.{os.getpid()}.part"
        with part.open("wb") as file:
            file.write(head(_COLUMNS))
            for row in here.inventory.stream("export_differences"):
                file.write(line_of([row[column] for column in _COLUMNS]))
        part.replace(folder / "preview.csv")
        _write(folder, "preview", found, None)
    except OSError as error:
        raise Transient(f"the preview could not be written to {folder}: {error}") from error


def write_outcome(here: Site, number: int, outcome: Outcome) -> Path:
    """Write how export ``number`` went beside its preview; returns the page."""
    found = Preview.of_dict(get(here.inventory, number)["counts"])
    folder = folder_of(here, found.hash)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, f"export-{number}", found, outcome)
    except OSError as error:
        raise Transient(f"the report could not be written to {folder}: {error}") from error
    return folder / f"export-{number}.html"


def _write(folder: Path, stem: str, found: Preview, outcome: Outcome | None) -> None:
    told = found.as_dict() if outcome is None else {**found.as_dict(), "outcome": outcome.as_dict()}
    write_whole(folder / f"{stem}.json", json.dumps(told, indent=1, ensure_ascii=False).encode())
    write_whole(folder / f"{stem}.html", render(found, outcome).encode())


def render(found: Preview, outcome: Outcome | None = None) -> str:
    """The page."""
    style = shipped("page.css")
    template = (resources.files(__package__) / "page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"figure": figure, "readable": readable}
    title = f"Export to {found.site}" if outcome else f"Preview of an export to {found.site}"
    return environment.from_string(template).render(
        p=found, outcome=outcome, title=title, style=style, style_hash=hash_of_text(style)
    )
