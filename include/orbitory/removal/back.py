"""Bring granules of a set back: their files out of the trash, then their rows, so that the archive is what it was.

The order is that of ``apply`` the other way round: rows are marked, so that nobody else takes their names; files are
renamed back; only then rows are visible. The same call finishes what a crash has cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from orbitory.errors import IntegrityError
from orbitory.inventory import Row
from orbitory.mfp.rows import refresh
from orbitory.removal.outcome import move_once, trash_path
from orbitory.site import Site
from orbitory.zones import FileSystemSync, Storage, own_errors


def bring_back(site: Site, number: int, set_hash: str, rows: Sequence[Row]) -> Mapping[int, str]:
    """Bring back the granules of these items as far as they can be, each with all its files; returns why others stay.

    Every byte is read before. The items are told that they were undone. May be repeated.
    """
    wrong: dict[int, str] = {}
    for row in rows:
        if row["asset_state"] != "archived" and (why := _unfit(site, set_hash, row)):
            wrong.setdefault(row["granule_id"], why)
    inventory = site.inventory
    with inventory.transaction():
        inventory.one("lock_store")
        for row in inventory.all("removal_retaken", id=number, granules=numbers(rows, "granule_id")):
            wrong.setdefault(row["granule_id"], f"the archive was given {row['name']} again since: remove that first")
        todo = [row for row in rows if row["granule_id"] not in wrong]
        assets, granules = numbers(todo, "asset_id"), numbers(todo, "granule_id")
        inventory.run("removal_exhume_assets", assets=assets)
        inventory.run("removal_exhume_granules", granules=granules)
    if todo:
        _move(site, set_hash, todo)
        with inventory.transaction():
            inventory.one("lock_store")
            inventory.run("removal_restore_assets", assets=assets)
            inventory.run("removal_restore_granules", granules=granules)
            inventory.run("removal_restore_items", id=number, granules=granules)
            relink(site, granules)
    return wrong


def _unfit(site: Site, set_hash: str, row: Row) -> str:
    """Why this file cannot come back; it is looked for in the trash, and where a crash or a mount may have put it."""
    places = [(site.storage, row["path"])]
    if not row["in_place"]:
        places.insert(0, (Storage(site.settings.trash), trash_path(set_hash, row["path"])))
    for storage, path in places:
        try:
            digest = storage.digest(path)
        except OSError as error:
            return f"{storage.root / path} cannot be read: {error.strerror}"
        if digest is not None:
            return "" if digest == row["digest"] else f"{storage.root / path} is damaged"
    if row["state"] == "trashed" and row["trash_path"] is None and not row["in_place"]:
        return "its file was missing already when it was removed"
    return f"{row['path']} is gone from the trash" if not row["in_place"] else f"{row['path']} is gone"


def _move(site: Site, set_hash: str, rows: Sequence[Row]) -> None:
    storage, trash = site.settings.storage, site.settings.trash
    with own_errors(f"move files back into {storage}"), FileSystemSync(storage) as disk:
        for row in {row["asset_id"]: row for row in rows if not row["in_place"]}.values():
            if not move_once(trash / trash_path(set_hash, row["path"]), storage / row["path"]):
                raise IntegrityError(f"{row['path']} stands neither in storage nor in the trash: run `orbitory audit`")
        disk.sync()


def relink(site: Site, granules: Sequence[int]) -> None:
    """Bring versions, packagings and footprints in step with granules that left or came back."""
    inventory = site.inventory
    keys = [row["key"] for row in inventory.all("removal_keys", granules=list(granules))]
    inventory.run("rank_versions", keys=keys)
    inventory.run("prefer_packaging", keys=keys)
    refresh(site, granules=granules)


def numbers(rows: Iterable[Row], column: str) -> list[int]:
    """Each number once, in order."""
    return sorted({row[column] for row in rows})
