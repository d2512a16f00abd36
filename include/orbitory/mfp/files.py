"""Checks of the files of one sensor: a walk through its folders beside what the inventory says stands there.

The archive moves under the walk, so whatever looks wrong is looked at a second time before it is called a finding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

from orbitory import tree
from orbitory.inventory import Row
from orbitory.mfp.findings import Found, add
from orbitory.model import Level
from orbitory.site import Site
from orbitory.zones import SENTINEL, own_errors

_PAGE = 20_000
#: So many findings are related to their footprints at once.
_RELATED_AT_ONCE = 1_000
#: A sample ends after so many bytes, whatever number of files was asked for.
MOST_SAMPLED_BYTES = 10 << 30
#: A file and what is wrong with it: its row in the inventory, or else the name that stands in storage.
_Problem = tuple[Row | None, str, str]


def check_files(site: Site, sensor: str) -> int:
    """E01, E11 and E14: every file of the sensor's images stands where it should, whole; returns how many were seen."""
    if not (site.settings.storage / SENTINEL).exists() and tree.expects_files(site.inventory):
        unmounted = f"{site.settings.storage} has no {SENTINEL}: storage looks unmounted, so no file was looked at"
        add(site.inventory, [Found(code="E01", level=Level.ERROR, reason=unmounted, key=SENTINEL)])
        return 0
    walk = _Walk(site, sensor)
    found_problems = walk.problems()
    while problems := list(islice(found_problems, _RELATED_AT_ONCE)):
        known = [row["id"] for row, _, _ in problems if row is not None]
        found = site.inventory.all("mfp_rows_of_assets", assets=known, sensor=sensor)
        add(site.inventory, _related(problems, {row["asset_id"]: row for row in found}))
    return walk.seen


class _Walk:
    """Where the files of one sensor stand, and what is wrong with them."""

    def __init__(self, site: Site, sensor: str) -> None:
        self._site = site
        self._sensor = sensor
        self.seen = 0

    def problems(self) -> Iterator[_Problem]:
        """Each file that is not as it should be."""
        last = ""
        for row in self._site.inventory.all("mfp_folders", sensor=self._sensor):
            folder = row["folder"]
            if folder and not (last and folder.startswith(f"{last}/")):
                yield from self._below(folder)
                last = folder
        after = "/"  # what stands in place has a whole path
        while page := self._site.inventory.all("mfp_assets_in_place", sensor=self._sensor, after=after, limit=_PAGE):
            for asset in (each for each in page if each["ours"]):
                yield from self._compared(asset, tree.look(self._site.settings.storage, asset["path"].encode()))
            after = page[-1]["path"]

    def _below(self, folder: str) -> Iterator[_Problem]:
        root = self._site.settings.storage / folder
        found = tree.walk(root) if root.is_dir() else iter(())
        for row, entry in tree.pair(self._expected(folder), found):
            yield from self._compared(row, entry, folder)

    def _expected(self, folder: str) -> Iterator[tuple[bytes, Row]]:
        """Paths relative to the folder."""
        after, end = f"{folder}/", f"{folder}0"  # "0" follows "/"
        while rows := self._site.inventory.all("mfp_assets_below", after=after, end=end, limit=_PAGE):
            for row in rows:
                yield row["path"][len(folder) + 1 :].encode(), row
            after = rows[-1]["path"]

    def _compared(self, row: Row | None, entry: tree.Entry | None, folder: str = "") -> Iterator[_Problem]:
        self.seen += entry is not None
        if not _fault(row, entry):
            return
        at = row["path"].encode() if row else os.fsencode(folder) + b"/" + (entry.path if entry else b"")
        try:
            again = self._site.inventory.one("mfp_asset_at", path=at.decode())
        except UnicodeDecodeError:  # the inventory keeps text: it has no such row
            again = None
        if fault := _fault(again, tree.look(self._site.settings.storage, at)):
            yield again, fault, at.decode("utf-8", "backslashreplace")


def _fault(row: Row | None, entry: tree.Entry | None) -> str:
    """What is wrong, in words; empty: nothing, or it is just being moved."""
    if row is None:
        return "" if entry is None else "stands in storage, but the inventory has no row for it"
    if row["state"] != "archived":
        return ""
    if entry is None:
        return "is gone from storage"
    if not entry.regular:
        return "is a link, FIFO, socket or device, not an archived file"
    if entry.size != row["size"]:
        return f"has {entry.size} bytes on disk, {row['size']} in the inventory"
    return ""


def _related(problems: list[_Problem], footprints: dict[int, Row]) -> Iterator[Found]:
    for row, fault, path in problems:
        footprint = footprints.get(row["id"]) if row else None
        if row is None:
            yield Found(
                code="E14", level=Level.WARNING, reason=f"{path} {fault}", key=path, hint="run `orbitory audit`"
            )
            continue
        image = footprint is not None and footprint["image"]
        size = " bytes on disk" in fault
        code = ("E11" if size else "E01") if image else "E14"
        yield Found(
            code=code,
            level=Level.ERROR,
            reason=f"{path} {fault}",
            hint="restore it from a copy, or deliver it again",
            fpuid=footprint["fpuid"] if footprint else None,
            granule=footprint["granule_id"] if footprint else None,
            key=None if footprint else path,
        )


def check_sample(site: Site, sensor: str, files: int) -> int:
    """E12: hash the files whose bytes were looked at longest ago; returns how many were.

    Those found damaged stay the oldest, so every following evaluation tells them again.
    """
    sound: list[int] = []
    damaged: list[tuple[Row, str, str]] = []
    budget = MOST_SAMPLED_BYTES
    for row in site.inventory.all("mfp_sample", sensor=sensor, limit=files):
        if budget <= 0:
            break
        budget -= row["size"]
        if fault := _damage(site, row):
            damaged.append((row, fault, row["path"]))
        else:
            sound.append(row["id"])
    site.inventory.run("mfp_sound", assets=sound)
    rows = site.inventory.all("mfp_rows_of_assets", assets=[row["id"] for row, _, _ in damaged], sensor=sensor)
    footprints = {row["asset_id"]: row for row in rows}
    add(
        site.inventory,
        (
            Found(
                code="E12",
                level=Level.ERROR,
                reason=f"{path} {fault}",
                hint="restore it from a copy, or deliver it again",
                fpuid=footprints[row["id"]]["fpuid"],
                granule=footprints[row["id"]]["granule_id"],
            )
            for row, fault, path in damaged
            if fault != _GONE and row["id"] in footprints
        ),
    )
    return len(sound) + len(damaged)


_GONE = "is gone from storage"


def _damage(site: Site, row: Row) -> str:
    """What is wrong with the bytes; that a file is gone or of another size is told elsewhere."""
    with own_errors(f"read {row['path']} in storage"):
        entry = tree.look(site.settings.storage, row["path"].encode())
        if entry is None or not entry.regular or entry.size != row["size"]:
            return _GONE
        found = site.storage.digest(row["path"])
    if found is None:
        return _GONE
    if found != row["digest"]:
        return f"has BLAKE3 {found.hex()} on disk, {row['digest'].hex()} in the inventory"
    return ""
