"""Files of an export: placed durably under the names that rows have announced, and put away without being lost."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from orbitory.errors import IntegrityError
from orbitory.inventory import Row
from orbitory.removal.outcome import move_once, require_trash
from orbitory.site import Site
from orbitory.zones import FileSystemSync, open_beneath, own_errors

_WAYS_ON = (
    "restore it (`orbitory repair`) and go on with the export; or, once the inventory calls it suspect or gone, start "
    "a new one, which first takes this batch back there; or take all of it back (`orbitory export undo`)"
)


def place(here: Site, there: Site, rows: Sequence[Row], *, part: str) -> None:
    """Give each file its name in the other storage, and make all of them durable; repeating it is harmless.

    Linked where both storages share a file system and the file has no other name, else copied; read either way, against
    its digest. Raises IntegrityError when a file is missing or damaged here, or its name is taken there.
    """
    if not rows:
        return
    here.storage.prepare(holds_assets=True)
    there.storage.prepare(holds_assets=True)
    storage = there.settings.storage
    with own_errors(f"place files in {storage}"), FileSystemSync(storage) as disk:
        for row in rows:
            _place(here, there, row, f"{part}/{row['id']}")
        disk.sync()


def _place(here: Site, there: Site, row: Row, part: str) -> None:
    path, digest = row["path"], row["digest"]
    try:
        source = open_beneath(here.settings.storage, os.fsencode(path))
    except FileNotFoundError:
        if there.storage.digest(path) == digest:
            return
        raise IntegrityError(f"{path} is missing in storage here: {_WAYS_ON}") from None
    try:
        if os.fstat(source).st_size != row["size"]:
            raise IntegrityError(_damaged(path))
        there.storage.place(source, path, digest, part=part)
        linked = os.path.samestat(os.fstat(source), os.lstat(there.settings.storage / path))
    finally:
        os.close(source)
    if linked and there.storage.digest(path) != digest:
        (there.settings.storage / path).unlink()
        raise IntegrityError(_damaged(path))


def _damaged(path: str) -> str:
    return f"{path} is damaged here: {_WAYS_ON}"


def put_away(site: Site, rows: Iterable[Row], folder: str) -> set[int]:
    """Move files into ``folder`` of the trash of ``site``, durably; what is in place is left alone.

    Returns the numbers of those that stood nowhere. Repeating it is harmless: also when another file has got the name
    meanwhile (``replaced``), which is told by its bytes.
    """
    rows = [row for row in rows if not row["in_place"]]
    if not rows:
        return set()
    require_trash(site)
    site.storage.prepare(holds_assets=True)  # else all of them seem to be missing
    storage, trash = site.settings.storage, site.settings.trash
    missing = set()
    with own_errors(f"move files into {trash}"), FileSystemSync(trash) as away, FileSystemSync(storage) as disk:
        for row in rows:
            target = trash / folder / row["path"]
            if row["replaced"] and site.storage.digest(row["path"]) != row["digest"]:
                gone = target.exists()
            else:
                gone = move_once(storage / row["path"], target)
            if not gone:
                missing.add(int(row["id"]))
        away.sync()
        disk.sync()
    return missing


def bring_back(site: Site, rows: Iterable[Row]) -> None:
    """The other way round. Raises IntegrityError when a file stands in neither place or is not whole."""
    rows = [row for row in rows if not row["in_place"]]
    if not rows:
        return
    site.storage.prepare(holds_assets=True)
    storage, trash = site.settings.storage, site.settings.trash
    with own_errors(f"move files back into {storage}"), FileSystemSync(storage) as disk:
        for row in rows:
            found = move_once(trash / row["trash_path"], storage / row["path"])
            if not found or site.storage.digest(row["path"]) != row["digest"]:
                raise IntegrityError(
                    f"{row['path']} is not whole any more: restore it from a copy, then repeat the undo"
                )
        disk.sync()
