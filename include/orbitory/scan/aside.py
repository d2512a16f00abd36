"""Dark files on their way into quarantine: renamed where they stand, then moved, then told.

The rename alone happens while nobody can decide to archive something under their names; what follows may take long.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from orbitory import tree
from orbitory.inventory import Row
from orbitory.inventory.locks import Lock, alone
from orbitory.scan.findings import waiting_name
from orbitory.site import Site
from orbitory.storage import set_aside
from orbitory.zones import FileSystemSync, display, move, own_errors

log = logging.getLogger(__name__)

#: Folder of quarantine for files that no row speaks of.
DARK = "dark"


def set_dark_aside(site: Site, rows: Sequence[Row]) -> tuple[int, list[str]]:
    """Move these findings' files to ``quarantine/dark/<number>/``; how many, and why some stay."""
    below = {row["path"].encode() for row in site.inventory.all("scan_below", paths=_texts(rows))}
    kept = [
        f"{row['name']} stays: it is no folder, but the inventory has files below it; put the folder back that it "
        f"replaces, or points to"
        for row in rows
        if row["path"] in below
    ]
    with alone(site.inventory, Lock.SETTING_ASIDE, patience_seconds=None):
        chosen = [row for row in rows if row["path"] not in below]
        for row in chosen:
            row["moved_to"] = b"%s/%d/%s" % (DARK.encode(), row["id"], row["path"].rpartition(b"/")[2])
            site.inventory.run("scan_intend", id=row["id"], target=row["moved_to"])
        kept += _rename(site, chosen)
        moved, failed = _move(site, chosen)
    return moved, kept + failed


def finish_moves(site: Site) -> None:
    """Finish what a crash has cut off; what still stands under its name is for the next comparison to judge."""
    if site.inventory.all("scan_half_moved"):
        with alone(site.inventory, Lock.SETTING_ASIDE) as is_alone:
            if is_alone:
                _move(site, site.inventory.all("scan_half_moved"))


def _rename(site: Site, rows: Sequence[Row]) -> list[str]:
    """Rename those that still stand and have no row; which could not be, and why: they cost the others nothing."""
    root, inventory, failed = site.settings.storage, site.inventory, list[str]()
    # Looked at before anything is locked: storage may take long to answer.
    standing = [row for row in rows if tree.look(root, row["path"]) and not os.path.lexists(_waiting(root, row))]
    with inventory.transaction():
        inventory.one("lock_store")
        known = {row["path"].encode() for row in inventory.all("scan_rows_at", paths=_texts(standing))}
        for row in standing:
            try:
                if row["path"] not in known:
                    move(root / os.fsdecode(row["path"]), _waiting(root, row))
            except OSError as error:
                failed.append(f"{row['name']} stays: it cannot be renamed: {error.strerror}")
    return failed


def _waiting(root: Path, row: Row) -> Path:
    return root / os.fsdecode(waiting_name(row))


def _move(site: Site, rows: Sequence[Row]) -> tuple[int, list[str]]:
    root, quarantine = site.settings.storage, site.settings.quarantine
    gone: list[Row] = []
    stayed: list[Row] = []
    failed: list[str] = []
    with own_errors(f"move dark files into {quarantine}"), FileSystemSync(quarantine) as disk:
        for row in rows:
            waiting, target = _waiting(root, row), quarantine / os.fsdecode(row["moved_to"])
            try:
                if os.path.lexists(waiting):
                    _explain(target.parent, row)
                    set_aside(waiting, target)
            except OSError as error:
                failed.append(f"{display(os.fsencode(waiting))} cannot be moved to quarantine: {error.strerror}")
                continue
            (gone if os.path.lexists(target) else stayed).append(row)
        disk.sync()
    with site.inventory.transaction():
        site.inventory.run("scan_moved", ids=[row["id"] for row in gone])
        site.inventory.run("scan_stayed", ids=[row["id"] for row in stayed])
    for row in gone:
        log.warning("%s had no row: it stands in quarantine as %s now", row["name"], display(row["moved_to"]))
    return len(gone), failed


def _texts(rows: Sequence[Row]) -> list[str]:
    """Their paths, as far as the inventory could hold them at all."""
    found = []
    for row in rows:
        with suppress(UnicodeDecodeError):
            found.append(row["path"].decode())
    return found


def _explain(folder: Path, row: Row) -> None:
    """Leave beside the folder where the file stood, for people who come with `ls` and `cat`."""
    note = {"path": row["name"], "reason": "dark", "detail": row["detail"], "bytes": row["size"], "looks": row["scans"]}
    note["first_seen"] = row["first_seen"].isoformat()
    text = json.dumps(note, indent=1, ensure_ascii=True) + "\n"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.with_name(f"{folder.name}.json").write_text(text)
