"""Take the names of files that met their fate out of landing. Repeating it finishes what a crash cut short."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from orbitory.catalogue import Source
from orbitory.errors import IntegrityError
from orbitory.ingest.ledger import stat_in
from orbitory.inventory import Row
from orbitory.site import Site
from orbitory.zones import FileSystemSync, move, own_errors, sync_folder, unlink_if_same

log = logging.getLogger(__name__)


def clear_landing(site: Site, source: Source, batch: int) -> None:
    """Take the names of the batch's settled files out of landing.

    Raises IntegrityError, once all others are done, when a duplicate's stored copy is not what the inventory says.
    """
    if kept := _clear(site, source, batch):
        raise IntegrityError("; ".join(kept[:20]))


def finish_clearing(site: Site, source: Source) -> None:
    """Do the same for all that a crash left of the whole source. What must stay is told by `report` and `audit`."""
    for problem in _clear(site, source, None):
        log.error("%s", problem)


def _clear(site: Site, source: Source, batch: int | None) -> list[str]:
    """Remove archived and duplicate names, move rejected, conflicting and skipped files aside.

    Only files whose fate is committed are touched, and only while they still are the files the ledger knows. One at a
    time per source: recovery and a live batch would otherwise take each other's half-finished move for a loss.
    Returns which duplicates had to stay, and why.
    """
    inventory = site.inventory
    with inventory.transaction():
        inventory.one("lock_landing", source=source.name)
        rows = inventory.all("landed_final", source=source.name, batch=batch)
        aside = [row for row in rows if row["quarantine_path"] is not None or row["reason"] == "skipped"]
        removed = [row for row in rows if row["quarantine_path"] is None and row["reason"] != "skipped"]
        kept = [row for row in removed if row["state"] == "duplicate" and not _is_held(site, row)]
        landing = site.landing_of(source)
        with own_errors(f"clear the landing folder {landing}"):
            replaced = _set_all_aside(site, landing, aside)
            for row in removed:
                if row not in kept and row["state"] != "lost":
                    unlink_if_same(landing, row["path"], stat_in(row))
        inventory.run("left_landing", ids=[row["id"] for row in rows if row not in kept])
        inventory.run("lost_bytes", ids=replaced)
    return [
        f"{row['name']} is a duplicate of {row['asset_path']}, but the stored copy is missing or damaged: "
        f"the newcomer was kept in landing; run `orbitory audit`"
        for row in kept
    ]


def _is_held(site: Site, row: Row) -> bool:
    """Whether storage, read again now, holds what the inventory says."""
    return bool(site.storage.digest(row["asset_path"]) == row["asset_digest"])


def _set_all_aside(site: Site, landing: Path, rows: Sequence[Row]) -> list[int]:
    """Move files out of landing, durably; returns those whose bytes were no longer there."""
    if not rows:
        return []
    with FileSystemSync(site.settings.quarantine) as quarantine, FileSystemSync(site.settings.trash) as trash:
        replaced = [row["id"] for row in rows if not _set_aside(landing, _place_for(site, row), row)]
        quarantine.sync()
        trash.sync()
    return replaced


def _place_for(site: Site, row: Row) -> Path:
    if row["quarantine_path"] is not None:
        return site.settings.quarantine / os.fsdecode(row["quarantine_path"])
    return site.settings.trash / "skipped" / str(row["id"]) / Path(os.fsdecode(row["path"])).name


def _set_aside(landing: Path, target: Path, row: Row) -> bool:
    source = landing / os.fsdecode(row["path"])
    if os.path.lexists(target):  # an earlier try came this far
        unlink_if_same(landing, row["path"], stat_in(row))
        return True
    try:
        if source.lstat().st_ino != row["ino"]:
            return False
    except FileNotFoundError:
        return False
    _explain(target.parent, row)
    moved = move(source, target)
    sync_folder(source.parent)
    return moved


def _explain(folder: Path, row: Row) -> None:
    """Leave the reason beside the folder, for people who come with `ls` and `cat`."""
    folder.mkdir(parents=True, exist_ok=True)
    note = {key: row[key] for key in ("name", "state", "reason", "stage", "detail")}
    folder.with_name(f"{folder.name}.json").write_text(json.dumps(note, indent=1, ensure_ascii=True) + "\n")
