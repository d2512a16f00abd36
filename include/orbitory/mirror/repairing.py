"""An agreeing second copy takes the place of a missing or damaged file; what was damaged is kept in quarantine.

The file is suspect from before the first change until its bytes have reached the disk: its history shows both, and who.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orbitory import tree
from orbitory.errors import OrbitoryError, Transient
from orbitory.inventory import Row
from orbitory.inventory.locks import Lock, alone
from orbitory.mirror.place import Place, path_in_mirror, ready
from orbitory.mirror.verifying import what_is_wrong
from orbitory.scan.doubt import make_suspect, trust
from orbitory.scan.findings import Finding, Kind, observe
from orbitory.site import Site

log = logging.getLogger(__name__)

#: Folder of quarantine for damaged files whose place a good copy took.
DAMAGED = "damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What became of one file."""

    asset: int
    path: str
    repaired: bool
    #: Nothing was wrong with it.
    whole: bool
    #: The mirror that it came from, or why nothing was done.
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return asdict(self)


def repair(site: Site, assets: Sequence[int]) -> list[Repair]:
    """Make these files whole from their second copies, one after the other; a file that is whole is left alone.

    What cannot be repaired says why, and costs the others nothing. May be repeated after any crash. Raises
    IntegrityError when storage looks unmounted.
    """
    if not assets:
        return []
    site.storage.prepare(holds_assets=True)
    copies: dict[int, list[str]] = {}
    for row in site.inventory.all("mirror_copies", assets=list(assets)):
        copies.setdefault(row["asset_id"], []).append(row["mirror"])
    rows = site.inventory.all("repair_rows", assets=list(assets))
    return [_repair(site, row, copies.get(row["id"], [])) for row in rows]


def _repair(site: Site, row: Row, known: Sequence[str]) -> Repair:
    def told(detail: str, *, repaired: bool = False, whole: bool = False) -> Repair:
        level = logging.WARNING if repaired else logging.INFO
        log.log(level, "repair of %s: %s", row["path"], detail)
        return Repair(asset=row["id"], path=row["path"], repaired=repaired, whole=whole, detail=detail)

    if row["state"] not in ("archived", "suspect"):
        return told(f"is {row['state']}: only what the archive holds is repaired")
    with alone(site.inventory, Lock.REPAIR, row["id"]) as is_alone:
        if not is_alone:
            return told("is being repaired by somebody else at this moment")
        kind = _trouble(site, row)
        if kind is None:
            if row["state"] == "suspect" or site.inventory.one("repair_finding", asset=row["id"]):
                trust(site, [row["id"]])
            return told("is whole: every byte of it agrees with the inventory", whole=True)
        if row["in_place"]:
            return told(f"is {kind}, but was registered in place and is not ours to change")
        whys = []
        # Nobody may have written down that a mirror has it: the inventory may have come back from a dump.
        for mirror in [*known, *(name for name in sorted(site.settings.mirrors) if name not in known)]:
            why = _from(site, row, mirror, kind)
            if why is None:
                return told(f"was {kind}: restored from the mirror {mirror}", repaired=True)
            if why != "is missing" or mirror in known:
                whys.append(f"its copy in the mirror {mirror} {why}")
        return told(f"is {kind} and {'; '.join(whys) or 'has no second copy'}")


def _trouble(site: Site, row: Row) -> Kind | None:
    if site.storage.agrees(row["path"], row["digest"]):
        return None
    try:
        return "missing" if tree.look(site.settings.storage, row["path"].encode()) is None else "damaged"
    except OrbitoryError:
        return "damaged"


def _from(site: Site, row: Row, mirror: str, kind: Kind) -> str | None:
    """Restore one file from one mirror; None: done, else why not."""
    try:
        place = ready(site, mirror)
    except OrbitoryError as error:
        return f"cannot be read: {error}"
    if why := what_is_wrong(place, row["path"], row["digest"]):
        site.inventory.run("mirror_bad", mirror=mirror, assets=[row["id"]])  # it is made anew from a good file
        return why
    if site.inventory.all("scan_below", paths=[row["path"]]):
        return "cannot take its place: a folder stands there, and the inventory has files in it"
    detail = f"file {row['id']} is {kind}, found by a repair"
    observe(site, [Finding(kind=kind, path=row["path"].encode(), detail=detail, asset=row["id"], size=row["size"])])
    _, doubted = make_suspect(site, [{"asset_id": row["id"], "kind": kind}])
    finding = site.inventory.one("repair_finding", asset=row["id"])
    if row["id"] not in doubted or finding is None:
        return "was not needed: the file came back, or was removed, meanwhile"
    try:
        _replace(site, row, place, finding["id"])
    except (OSError, Transient) as error:
        return f"could not take its place: {error}"
    trust(site, [], repaired=[row["id"]])
    site.inventory.run("mirror_keep", mirror=mirror, assets=[row["id"]], paths=[row["path"]])
    return None


def _replace(site: Site, row: Row, place: Place, finding: int) -> None:
    below = f"{DAMAGED}/{finding}/{os.path.basename(row['path'])}"
    aside = site.settings.quarantine / below
    if os.path.lexists(site.settings.storage / row["path"]):
        site.inventory.run("scan_intend", id=finding, target=below.encode())
    with place.get(path_in_mirror(row["path"])) as descriptor:
        kept = site.storage.repair(descriptor, row["path"], row["digest"], part=f"repair/{row['id']}", aside=aside)
    if kept not in (None, aside):
        log.warning("what stood as %s could not be moved to quarantine: it is kept as %s", row["path"], kept)
        site.inventory.run("scan_intend", id=finding, target=None)
