"""Bring granules of a set back: their files out of the trash, then their rows, so that the archive is what it was.

The order is that of ``apply`` the other way round: rows are marked, so that nobody else takes their names; files are
renamed back; only then rows are visible. The same call finishes what a crash has cut off.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from orbitory.errors import IntegrityError
from orbitory.inventory import Row
from orbitory.mfp import Parameters
from orbitory.mfp.rows import refresh
from orbitory.removal.outcome import move_once, trash_path
from orbitory.site import Site
from orbitory.storage import Storage
from orbitory.zones import FileSystemSync, own_errors

#: What was brought back although its time is over is held for so many days: it would leave again at once.
HELD_DAYS = 7
#: So many files on either side tell whether a place is mounted.
_BESIDE = 10
_SHARES = "it shares a file with one that stays"


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
            inventory.run("removal_restore_granules", id=number, granules=granules)
            inventory.run("removal_restore_items", id=number, granules=granules)
            inventory.run("hold_restored", granules=granules, days=HELD_DAYS, owner=site.actor)
            relink(site, granules)
    return wrong


def put_back(site: Site, number: int, set_hash: str, rows: Sequence[Row]) -> Mapping[int, str]:
    """Take back the mark of granules of which a file could not be moved; returns why others are still on their way."""
    storage, trash = site.settings.storage, site.settings.trash
    wrong: dict[int, str] = {}
    with own_errors(f"move files back into {storage}"), FileSystemSync(storage) as disk:
        for row in rows:
            there = trash / _in_the_trash(set_hash, row)
            if row["in_place"] or not os.path.lexists(there):
                continue
            if _looks_unmounted(site, row["path"]):
                wrong[row["granule_id"]] = f"{row['path']} would stand where nothing around it does: is it mounted?"
                continue
            try:
                move_once(there, storage / row["path"])
            except (OSError, IntegrityError) as error:
                wrong[row["granule_id"]] = f"{row['path']} cannot be moved back: {error}"
        disk.sync()
    _, kept = apart(rows, dict(wrong))
    stuck = {row["granule_id"] for row in kept}
    todo = [row for row in rows if row["granule_id"] not in stuck]
    inventory = site.inventory
    with inventory.transaction():
        inventory.one("lock_store")
        inventory.run("removal_unmark_assets", id=number, assets=numbers(todo, "asset_id"))
        inventory.run("removal_restore_granules", id=number, granules=numbers(todo, "granule_id"))
        relink(site, numbers(todo, "granule_id"))
    return {each: wrong.get(each, _SHARES) for each in stuck}


def _looks_unmounted(site: Site, path: str) -> bool:
    """Whether none of the files around it stands: it would come to lie below a mount.

    It stays in the trash until they are there again, or the audit has noted that they are gone.
    """
    storage = site.settings.storage
    beside = site.inventory.all("removal_beside", path=path, top=path.partition("/")[0], limit=_BESIDE)
    return bool(beside) and not any(os.path.lexists(storage / each["path"]) for each in beside)


def _unfit(site: Site, set_hash: str, row: Row) -> str:
    """Why this file cannot come back; it is looked for in the trash, and where a crash or a mount may have put it."""
    places = [(site.storage, row["path"])]
    if not row["in_place"]:
        places.insert(0, (Storage(site.settings.trash), _in_the_trash(set_hash, row)))
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


def _in_the_trash(set_hash: str, row: Row) -> str:
    """Where its file stands there: under the set that it left with; it may have got one of its own since."""
    return str(row["trash_path"] or trash_path(set_hash, row["path"]))


def _move(site: Site, set_hash: str, rows: Sequence[Row]) -> None:
    storage, trash = site.settings.storage, site.settings.trash
    with own_errors(f"move files back into {storage}"), FileSystemSync(storage) as disk:
        for row in {row["asset_id"]: row for row in rows if not row["in_place"]}.values():
            if not move_once(trash / _in_the_trash(set_hash, row), storage / row["path"]):
                raise IntegrityError(f"{row['path']} stands neither in storage nor in the trash: run `orbitory audit`")
        disk.sync()


def relink(site: Site, granules: Sequence[int], parameters: Parameters | None = None) -> None:
    """Bring versions, packagings and footprints in step with granules that left or came back.

    ``parameters``: how footprints are made; by default as the deployment says.
    """
    inventory = site.inventory
    kin = inventory.one("removal_kin", granules=list(granules))
    assert kin is not None
    if kin["keys"]:
        inventory.run("rank_versions", keys=kin["keys"])
        inventory.run("prefer_packaging", keys=kin["keys"])
    if kin["images"]:
        refresh(site, granules=granules, parameters=parameters)


def apart(rows: Sequence[Row], whys: dict[int, str]) -> tuple[list[Row], list[Row]]:
    """Rows that go and rows that stay; what shares a file with one that stays is told to stay, too."""
    while True:
        files = {row["asset_id"] for row in rows if row["granule_id"] in whys}
        more = {row["granule_id"] for row in rows if row["asset_id"] in files} - set(whys)
        if not more:
            break
        whys |= dict.fromkeys(more, _SHARES)
    return [row for row in rows if row["granule_id"] not in whys], [row for row in rows if row["granule_id"] in whys]


def numbers(rows: Iterable[Row], column: str) -> list[int]:
    """Each number once, in order."""
    return sorted({row[column] for row in rows})
