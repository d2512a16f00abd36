"""Take the names of files that met their fate out of landing. Repeating it finishes what a crash cut short."""

from __future__ import annotations

import filecmp
import json
import logging
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from orbitory.catalogue import Source
from orbitory.errors import IntegrityError, Transient
from orbitory.ingest.ledger import stat_in
from orbitory.inventory import Row
from orbitory.mfp.rows import refresh
from orbitory.site import Site
from orbitory.zones import FileSystemSync, move, open_beneath, own_errors, stat_at, sync_folder, unlink_if_same

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
        landing = site.landing_of(source)
        kept = _not_held(site, landing, [row for row in removed if row["state"] == "duplicate"])
        with own_errors(f"clear the landing folder {landing}"):
            replaced = _set_all_aside(site, landing, aside)
            for row in removed:
                if row not in kept and row["state"] != "lost":
                    unlink_if_same(landing, row["path"], stat_in(row))
        if source.grammar == "upload":
            _remove_emptied(landing, [row["path"] for row in rows])
        inventory.run("left_landing", ids=[row["id"] for row in rows if row not in kept])
        inventory.run("lost_bytes", ids=replaced)
    return [
        f"{row['name']} is a duplicate of {row['asset_path']}, but the stored copy is missing or damaged: "
        f"the newcomer was kept in landing; run `orbitory audit`"
        for row in kept
    ]


def _not_held(site: Site, landing: Path, rows: Sequence[Row]) -> list[Row]:
    """Duplicates whose stored copy, read again now, is not what the inventory says, and could not be repaired."""
    held: dict[int, bool] = {}
    for row in sorted(rows, key=lambda row: bool(row["digest"] != row["asset_digest"])):
        asset = row["asset_id"]
        if asset not in held and row["asset_state"] == "archived":
            held[asset] = _is_sound(site, row) or _repair(site, landing, row)
    return [row for row in rows if not held.get(row["asset_id"], False)]


def _is_sound(site: Site, row: Row) -> bool:
    try:
        return bool(site.storage.digest(row["asset_path"]) == row["asset_digest"])
    except OSError as error:  # a link or folder in its place, or a disk that cannot read it
        log.error("%s in storage cannot be read: %s", row["asset_path"], error)
        return False


def _repair(site: Site, landing: Path, row: Row) -> bool:
    """Let the newcomer take the place of a damaged stored copy; what is registered in place is never touched."""
    path, digest = row["asset_path"], row["asset_digest"]
    if row["digest"] != digest or row["asset_in_place"] or stat_at(landing, row["path"]) != stat_in(row):
        return False
    aside = site.settings.trash / "damaged" / str(row["asset_id"]) / f"{row['id']}_{Path(path).name}"
    try:
        descriptor = open_beneath(landing, row["path"])
        try:
            site.storage.repair(descriptor, path, digest, part=f"repair/{row['id']}", aside=aside)
        finally:
            os.close(descriptor)
    except (OSError, Transient) as error:
        log.error("%s in storage could not be repaired: %s", path, error)
        return False
    note = {"level": "warning", "code": "repaired", "reason": f"damaged or missing: replaced by arrival {row['id']}"}
    site.inventory.run("note_repair", asset=row["asset_id"], finding=json.dumps([note | {"hint": str(aside)}]))
    log.warning(
        "%s was damaged or missing in storage: repaired from %s; what stood there: %s", path, row["name"], aside
    )
    return True


def _remove_emptied(landing: Path, paths: Sequence[bytes]) -> None:
    """Remove the folders that `orbitory upload` made for these files, as far as nothing is left in them."""
    for folder in {path.rpartition(b"/")[0] for path in paths} - {b""}:
        with suppress(OSError):
            (landing / os.fsdecode(folder)).rmdir()


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
    if os.path.lexists(target) and os.path.lexists(source):
        if not _same_bytes(source, target):
            raise IntegrityError(f"{target} holds other bytes than {row['name']}, which belongs there: move it away")
        unlink_if_same(landing, row["path"], stat_in(row))  # an earlier try came this far
        return True
    if os.path.lexists(target):
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


def _same_bytes(one: Path, other: Path) -> bool:
    ours, theirs = one.lstat(), other.lstat()
    if (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino):
        return True
    regular = stat.S_ISREG(ours.st_mode) and stat.S_ISREG(theirs.st_mode)
    return ours.st_size == theirs.st_size and (not regular or filecmp.cmp(one, other, shallow=False))


def _explain(folder: Path, row: Row) -> None:
    """Leave the reason beside the folder, for people who come with `ls` and `cat`."""
    folder.mkdir(parents=True, exist_ok=True)
    note = {key: row[key] for key in ("name", "state", "reason", "stage", "detail")}
    folder.with_name(f"{folder.name}.json").write_text(json.dumps(note, indent=1, ensure_ascii=True) + "\n")


def retire_replaced(site: Site, assets: Sequence[int]) -> None:
    """Policy ``replace``: move what these files supersede into the trash: mark, rename, then tombstone.

    What a PGE instance holds stays until that has ended, and goes with a later run. Repeating it finishes what a crash
    cut short.
    """
    _retire_all(site, keys=[row["key"] for row in site.inventory.all("keys_of_assets", assets=list(assets))])


def finish_retiring(site: Site, source: Source) -> None:
    """Bring to its end what a crash left half-way into the trash, and what PGEs held when it was replaced."""
    if half := site.inventory.all("deleting_assets"):
        _retire(site, half)
    if source.duplicates == "replace":
        _retire_all(site, source=source.name)


def _retire_all(site: Site, *, keys: Sequence[str] | None = None, source: str = "") -> None:
    inventory = site.inventory
    asked = {"keys": None if keys is None else list(keys), "source": source}
    if not inventory.all("replaced_assets", **asked):
        return
    with inventory.transaction():
        inventory.all("plan_lock")  # nobody plans with a file that is about to go
        old = inventory.all("replaced_assets", **asked)
        numbers = [row["id"] for row in old]
        inventory.run("mark_deleting", assets=numbers)
        inventory.run("granules_deleting", assets=numbers)
    if old:
        _retire(site, old)


def _retire(site: Site, old: Sequence[Row]) -> None:
    inventory, numbers = site.inventory, [row["id"] for row in old]
    with own_errors(f"move replaced files into {site.settings.trash}"), FileSystemSync(site.settings.trash) as disk:
        for row in old:
            site.storage.retire(row["path"], site.settings.trash / "replaced" / str(row["id"]))
        disk.sync()
    with inventory.transaction():
        inventory.run("mark_deleted", assets=numbers, removal="replaced")
        inventory.run("granules_deleted", assets=numbers)
        refresh(site, assets=numbers)
