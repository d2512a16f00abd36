"""Take the names of files that met their fate out of landing. Repeating it finishes what a crash cut short."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from orbitory.catalogue import Source
from orbitory.errors import IntegrityError, OrbitoryError, Transient
from orbitory.ingest.ledger import stat_in
from orbitory.inventory import Row
from orbitory.inventory.locks import Lock, alone, let_nothing_lean
from orbitory.mfp.rows import refresh
from orbitory.removal.guard import blocked_by
from orbitory.removal.outcome import require_trash
from orbitory.scan.doubt import trust
from orbitory.site import Site
from orbitory.storage import same_bytes
from orbitory.zones import FileSystemSync, move, open_beneath, own_errors, stat_at, sync_folder, unlink_if_same

log = logging.getLogger(__name__)

#: So many replaced files are locked and moved together.
_PAGE = 1_000


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
    inventory, landing, asked = site.inventory, site.landing_of(source), {"source": source.name, "batch": batch}
    with inventory.transaction():
        inventory.one("lock_landing", source=source.name)
        leaving = inventory.all("landed_final", **asked)
        doubles = [row for row in leaving if _is_double(row)]
        kept = _not_held(site, landing, doubles)
    if not leaving:
        return []
    sound = {row["id"] for row in doubles} - {row["id"] for row in kept}
    # What the store is locked for is committed by now: moves may take long.
    with inventory.transaction():
        inventory.one("lock_landing", source=source.name)
        rows = [row for row in inventory.all("landed_final", **asked) if not _is_double(row) or row["id"] in sound]
        aside = [row for row in rows if _goes_aside(row)]
        with own_errors(f"clear the landing folder {landing}"):
            replaced = _set_all_aside(site, landing, aside)
            for row in rows:
                if not _goes_aside(row) and row["state"] != "lost":
                    unlink_if_same(landing, row["path"], stat_in(row))
        if source.grammar == "upload":
            _remove_emptied(landing, [row["path"] for row in rows])
        inventory.run("left_landing", ids=[row["id"] for row in rows])
        if replaced:
            inventory.run("lost_bytes", ids=replaced)
    return [
        f"{row['name']} is a duplicate of {row['asset_path']}, but the stored copy is missing or damaged: "
        f"the newcomer was kept in landing; run `orbitory audit`"
        for row in kept
    ]


def _goes_aside(row: Row) -> bool:
    return row["quarantine_path"] is not None or row["reason"] == "skipped"


def _is_double(row: Row) -> bool:
    """Whether its name may go only because the archive holds the same already."""
    return row["state"] == "duplicate" and not _goes_aside(row)


def _not_held(site: Site, landing: Path, rows: Sequence[Row]) -> list[Row]:
    """Duplicates whose stored copy, read again now, is not what the inventory says, and could not be repaired."""
    held: dict[int, bool] = {}
    notes: dict[int, str] = {}
    sound: list[int] = []
    for row in sorted(rows, key=lambda row: bool(row["digest"] != row["asset_digest"])):
        asset = row["asset_id"]
        if asset not in held and row["asset_state"] in ("archived", "suspect"):
            if _is_sound(site, row):
                held[asset] = True
                sound += [asset] if row["asset_state"] == "suspect" else []
            elif note := _repair(site, landing, row):
                held[asset], notes[asset] = True, note
    # Once, and last: who makes a file suspect takes the same locks in this order.
    trust(site, sound, repaired=sorted(notes))
    for asset, note in sorted(notes.items()):
        site.inventory.run("note_repair", asset=asset, finding=note)
    return [row for row in rows if not held.get(row["asset_id"], False)]


def _is_sound(site: Site, row: Row) -> bool:
    try:
        return bool(site.storage.digest(row["asset_path"]) == row["asset_digest"])
    except OSError as error:  # a link or folder in its place, or a disk that cannot read it
        log.error("%s in storage cannot be read: %s", row["asset_path"], error)
        return False


def _repair(site: Site, landing: Path, row: Row) -> str:
    """Let the newcomer take the place of a damaged stored copy; what is registered in place is never touched.

    The note for its row; empty: it could not be repaired.
    """
    path, digest = row["asset_path"], row["asset_digest"]
    if row["digest"] != digest or row["asset_in_place"] or stat_at(landing, row["path"]) != stat_in(row):
        return ""
    aside = site.settings.trash / "damaged" / str(row["asset_id"]) / f"{row['id']}_{Path(path).name}"
    try:
        with alone(site.inventory, Lock.REPAIR, row["asset_id"]) as is_alone:
            if not is_alone:
                return ""
            descriptor = open_beneath(landing, row["path"])
            try:
                kept = site.storage.repair(descriptor, path, digest, part=f"repair/{row['asset_id']}", aside=aside)
            finally:
                os.close(descriptor)
    except (OSError, Transient) as error:
        log.error("%s in storage could not be repaired: %s", path, error)
        return ""
    log.warning("%s was damaged or missing in storage: repaired from %s; what stood there: %s", path, row["name"], kept)
    note = {"level": "warning", "code": "repaired", "reason": f"damaged or missing: replaced by arrival {row['id']}"}
    return json.dumps([note | {"hint": str(kept or "")}])


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
        if not same_bytes(source, target):
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


def _explain(folder: Path, row: Row) -> None:
    """Leave the reason beside the folder, for people who come with `ls` and `cat`."""
    folder.mkdir(parents=True, exist_ok=True)
    note = {key: row[key] for key in ("name", "state", "reason", "stage", "detail")}
    folder.with_name(f"{folder.name}.json").write_text(json.dumps(note, indent=1, ensure_ascii=True) + "\n")


def retire_replaced(site: Site, assets: Sequence[int]) -> None:
    """Policy ``replace``: move what these files supersede into the trash: mark, rename, then tombstone.

    What somebody needs, or what no whole version replaces, stays and goes with a later run, and so does everything
    while there is no room for it in the trash: what is new does not wait for that.
    """
    keys = [row["key"] for row in site.inventory.all("keys_of_assets", assets=list(assets))]
    _without_raising(lambda: _retire_all(site, keys=keys))


def finish_retiring(site: Site, source: Source) -> None:
    """Bring to its end what a crash left half-way into the trash, and what stayed when it was replaced."""
    if half := site.inventory.all("deleting_assets"):
        _without_raising(lambda: _retire(site, half))
    if source.duplicates == "replace":
        _without_raising(lambda: _retire_all(site, source=source.name))


def _without_raising(retire: Callable[[], None]) -> None:
    try:
        retire()
    except OrbitoryError as error:
        log.error("replaced files are still in storage: %s", error)


def _retire_all(site: Site, *, keys: Sequence[str] | None = None, source: str = "") -> None:
    inventory, after = site.inventory, 0
    asked = {"keys": None if keys is None else list(keys), "source": source, "limit": _PAGE}
    while found := inventory.all("replaced_assets", assets=None, after=after, **asked):
        after = found[-1]["id"]
        require_trash(site)
        with inventory.transaction():
            let_nothing_lean(inventory)  # nor does anybody doubt or withdraw what replaces it
            numbers = [row["id"] for row in found]
            inventory.all("replaced_lock", assets=numbers)  # a hold at the last second is seen
            old = inventory.all("replaced_assets", assets=numbers, after=0, **asked)
            needed = blocked_by(site, [each for row in old for each in row["granules"]])
            old = [row for row in old if not needed.keys() & set(row["granules"])]
            numbers = [row["id"] for row in old]
            inventory.run("mark_deleting", assets=numbers)
            inventory.run("granules_deleting", assets=numbers)
        if old:
            _retire(site, old)


def _retire(site: Site, old: Sequence[Row]) -> None:
    inventory, numbers = site.inventory, [row["id"] for row in old]
    require_trash(site)
    with own_errors(f"move replaced files into {site.settings.trash}"), FileSystemSync(site.settings.trash) as disk:
        for row in old:
            site.storage.retire(row["path"], site.settings.trash / "replaced" / str(row["id"]))
        disk.sync()
    with inventory.transaction():
        inventory.one("lock_store")
        inventory.run("mark_deleted", assets=numbers, removal="replaced")
        inventory.run("granules_deleted", assets=numbers)
        refresh(site, assets=numbers)
