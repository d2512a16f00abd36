"""Quarantine and trash, each by its own rule: marked, unlinked, then their rows say that they stand nowhere."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from orbitory.inventory import Row
from orbitory.inventory.locks import Lock, alone
from orbitory.quarantine import require_mounted, tidy
from orbitory.removal.outcome import Busy, one_at_a_time, require_trash
from orbitory.retention.outcome import PATIENCE_SECONDS, Done, Item, Pass
from orbitory.retention.taking import Work, whole_folders
from orbitory.site import Site
from orbitory.zones import display

#: So many rows are marked together.
_PAGE = 5_000
#: Folders of the trash of which each holds what one file or delivery left.
_TRASH = ("replaced", "skipped", "damaged")


def quarantine(site: Site, look: Pass) -> Done:
    """Rejected files, and what the audit put there: marked, unlinked, then their rows say that they are in no place."""
    work, told = Work("quarantine", look), site.catalogue.keeping()
    days = {
        each.name: each.quarantine_days for each in site.catalogue.sources.values() if each.quarantine_days is not None
    }
    asked = {"days": told.quarantine_days, "as_of": look.now if look.ahead else None, "limit": _PAGE}
    with alone(site.inventory, Lock.REDRIVE) as is_alone:
        if not is_alone and not look.dry:
            raise Busy("a re-drive is at work in quarantine")
        after, sources = 0, json.dumps(days)
        while rows := site.inventory.all("retention_quarantined", after=after, sources=sources, **asked):
            after = rows[-1]["id"]
            _discard_all(site, work, rows)
        after = 0
        while rows := site.inventory.all("retention_aside", after=after, **asked):
            after = rows[-1]["id"]
            _discard_aside(site, work, rows)
    return work.done()


def _discard_aside(site: Site, work: Work, rows: Sequence[Row]) -> None:
    """Dark and damaged files."""
    root, gone = site.settings.quarantine, []
    if not work.look.dry:
        require_mounted(site)
    for row in rows:
        path = root / os.fsdecode(row["path"])
        item = Item(
            kind="quarantine",
            name=display(row["path"]),
            rule="what the audit set aside is kept for its days in quarantine",
            expires=row["expires"],
            bytes=row["size"],
        )
        if work.take_beneath(item, root, row["path"]) and not work.look.dry:
            tidy(path.parent)
            gone.append(row["id"])
    if gone:
        require_mounted(site)  # before it is believed that they have gone
        site.inventory.run("retention_aside_gone", ids=gone)


def _discard_all(site: Site, work: Work, rows: Sequence[Row]) -> None:
    if not work.look.dry:
        require_mounted(site)
    due = [row for row in rows if row["marked"] or os.path.lexists(_quarantined(site, row))]
    if not work.look.dry:
        site.inventory.run("retention_quarantine_mark", ids=[row["id"] for row in due])
    gone = [row for row in due if _discard(site, work, row)]
    if not work.look.dry:
        require_mounted(site)  # before it is believed that they have gone
        for folder in {_quarantined(site, row).parent for row in gone}:
            tidy(folder)
        site.inventory.run("retention_quarantine_gone", ids=[row["id"] for row in gone])


def _quarantined(site: Site, row: Row) -> Path:
    return site.settings.quarantine / os.fsdecode(row["quarantine_path"])


def _discard(site: Site, work: Work, row: Row) -> bool:
    shown = f"{row['source']}/{row['unit']}/{row['name']}"
    item = Item(
        kind="quarantine",
        name=shown,
        rule=f"rejected files of {row['source']} are kept for their days in quarantine",
        expires=row["expires"],
        bytes=row["size"],
    )
    return work.take_beneath(item, site.settings.quarantine, row["quarantine_path"])


def trash(site: Site, look: Pass) -> Done:
    """What left the archive, when its window is over: nothing brings it back from then on. Tombstones stay."""
    work, days = Work("trash", look), site.catalogue.keeping().trash_days
    with nullcontext() if look.dry else one_at_a_time(site, patience_seconds=PATIENCE_SECONDS):
        if not look.dry:
            require_trash(site)
        asked = {"days": days, "as_of": look.now if look.ahead else None}
        for each in site.inventory.all("retention_trash_sets", **asked):
            path = ""
            while rows := site.inventory.all("retention_trash", set=each["set_id"], path=path, limit=_PAGE, **asked):
                path = rows[-1]["trash_path"]
                _empty(site, work, rows, days)
    for kind in _TRASH if days else ():
        whole_folders(site, work, site.settings.trash / kind, days)
    return work.done()


def _empty(site: Site, work: Work, rows: Sequence[Row], days: int) -> None:
    root = site.settings.trash
    if not work.look.dry:
        site.inventory.run("retention_trash_mark", **_pairs(rows))
    gone = [row for row in rows if work.take_beneath(_trashed(row, days), root, os.fsencode(row["trash_path"]))]
    if not work.look.dry:
        require_trash(site)  # before it is believed that they have gone
        site.inventory.run("retention_trash_gone", **_pairs(gone))
        _remove_empty(root, {Path(row["trash_path"]).parent for row in gone})


def _trashed(row: Row, days: int) -> Item:
    return Item(
        kind="trash",
        name=row["trash_path"],
        rule=f"what left the archive is kept for {days} days",
        expires=row["expires"],
        bytes=row["bytes"],
    )


def _pairs(rows: Sequence[Row]) -> dict[str, list[object]]:
    return {"sets": [row["set_id"] for row in rows], "paths": [row["trash_path"] for row in rows]}


def _remove_empty(root: Path, folders: set[Path]) -> None:
    """Folders that were emptied, and those above them, as far as nothing is left in them."""
    above = {parent for folder in folders for parent in (folder, *folder.parents)} - {Path(), Path("removal")}
    for folder in sorted(above, key=lambda each: len(each.parts), reverse=True):
        with suppress(OSError):
            (root / folder).rmdir()
