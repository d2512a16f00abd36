"""Take the names of files that met their fate out of landing. Repeating it finishes what a crash cut short."""

from __future__ import annotations

import json
import os
from pathlib import Path

from orbitory.catalogue import Source
from orbitory.errors import IntegrityError
from orbitory.ingest.ledger import stat_in
from orbitory.inventory import Row
from orbitory.site import Site
from orbitory.zones import FileSystemSync, move, own_errors, sync_folder, unlink_if_same


def clear_landing(site: Site, source: Source, batch: int | None = None) -> None:
    """Remove archived and duplicate names, move rejected, conflicting and skipped files aside.

    Only files whose fate is committed are touched, and only while they still are the files the ledger knows. One at a
    time per source: recovery and a live batch would otherwise take each other's half-finished move for a loss.
    Raises IntegrityError when a duplicate's stored copy is not what the inventory says; the duplicate then stays.
    """
    inventory = site.inventory
    with inventory.transaction():
        inventory.one("lock_landing", source=source.name)
        rows = inventory.all("landed_final", source=source.name, batch=batch)
        if not rows:
            return
        landing = site.landing_of(source)
        with own_errors(f"clear the landing folder {landing}"), FileSystemSync(site.settings.quarantine) as quarantine:
            replaced = [row["id"] for row in rows if not _retire(site, landing, row)]
            quarantine.sync()
        inventory.run("left_landing", ids=[row["id"] for row in rows])
        inventory.run("lost_bytes", ids=replaced)


def _retire(site: Site, landing: Path, row: Row) -> bool:
    """Take one name out of landing; False when the bytes that were to be set aside are no longer there."""
    if row["quarantine_path"] is not None:
        return _set_aside(landing, site.settings.quarantine / os.fsdecode(row["quarantine_path"]), row)
    if row["reason"] == "skipped":
        return _set_aside(landing, site.settings.trash / "skipped" / str(row["id"]) / Path(row["name"]).name, row)
    if row["state"] == "duplicate" and site.storage.digest(row["asset_path"]) != row["asset_digest"]:
        raise IntegrityError(
            f"{row['name']} is a duplicate of {row['asset_path']}, but the stored copy is missing or damaged: "
            f"the newcomer was kept in landing; run `orbitory audit`"
        )
    if row["state"] != "lost":
        unlink_if_same(landing, row["path"], stat_in(row))
    return True


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
