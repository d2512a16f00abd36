"""Copies of files that left for good: not while the trash may give them back, and never because it is not mounted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from orbitory.inventory import Row
from orbitory.mirror.place import Place, path_in_mirror
from orbitory.removal.outcome import TRASH_SENTINEL
from orbitory.site import Site

_PAGE = 500


def remove_gone(site: Site, name: str, place: Place) -> tuple[int, list[tuple[str, str]]]:
    """Remove them; how many went, and which could not be removed."""
    removed, failed = 0, list[tuple[str, str]]()
    for rows in _left(site, name):
        gone = [row for row in rows if not (row["replaced"] and _may_be_in_trash(site, row))]
        stay = dict(_removed(place, gone))
        gone = [row for row in gone if row["path"] not in stay]
        site.inventory.run("mirror_forget", mirror=name, assets=[row["id"] for row in gone])
        removed, failed = removed + len(gone), [*failed, *stay.items()]
    after = ""
    while rows := site.inventory.all("mirror_orphans", mirror=name, after=after, limit=_PAGE):
        after = rows[-1]["path"]
        stay = dict(_removed(place, rows))
        paths = [row["path"] for row in rows if row["path"] not in stay]
        site.inventory.run("mirror_orphans_gone", mirror=name, paths=paths)
        removed, failed = removed + len(paths), [*failed, *stay.items()]
    return removed, failed


def _left(site: Site, name: str) -> Iterator[list[Row]]:
    after = 0
    while rows := site.inventory.all("mirror_removed", mirror=name, after=after, limit=_PAGE):
        yield rows
        after = rows[-1]["id"]


def _may_be_in_trash(site: Site, row: Row) -> bool:
    """What a newer version has replaced: no row says when it leaves the trash, which may not be mounted."""
    trash, name = site.settings.trash, os.path.basename(row["path"])
    return not (trash / TRASH_SENTINEL).exists() or os.path.lexists(trash / "replaced" / str(row["id"]) / name)


def _removed(place: Place, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Take the copies away; which could not be removed, and why."""
    for row in rows:
        if row["taken"]:
            continue  # by a file that was archived since, whose copy stands there or soon will
        try:
            place.remove(path_in_mirror(row["path"]))
        except OSError as error:
            yield row["path"], f"its copy could not be removed: {error.strerror}"
