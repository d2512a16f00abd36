"""Files that are not whole: out of everybody's hands, and back once every byte agrees again."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from orbitory import tree
from orbitory.inventory import Row
from orbitory.mfp.rows import refresh
from orbitory.scan.findings import Finding
from orbitory.site import Site

log = logging.getLogger(__name__)


def make_suspect(site: Site, findings: Sequence[Row]) -> tuple[list[int], list[int]]:
    """Give nobody these files any more (``asset_id`` and ``kind`` of each finding).

    Answers which became suspect, and which are now. What came back, or was removed meanwhile, is left alone.
    """
    damaged = {row["asset_id"] for row in findings if row["kind"] == "damaged"}
    inventory = site.inventory
    rows = inventory.all("repair_rows", assets=sorted({row["asset_id"] for row in findings}))
    # Looked at before anything is locked: storage may take long to answer.
    wrong = [row["id"] for row in rows if row["id"] in damaged or not stands(site, row)]
    with inventory.transaction():
        inventory.one("lock_store")
        now = {row["id"]: row["state"] for row in inventory.all("scan_lock_assets", assets=wrong)}
        fresh = [number for number, state in now.items() if state == "archived"]
        doubted = [number for number, state in now.items() if state in ("archived", "suspect")]
        inventory.run("scan_suspect", assets=fresh)
        inventory.run("scan_acted", assets=doubted)
        _relink(site, fresh)
    for number in fresh:
        log.warning("file %d is suspect: it is not handed out until it is whole again", number)
    return fresh, doubted


def trust(site: Site, whole: Sequence[int], repaired: Sequence[int] = ()) -> int:
    """These files were read, or were made whole: nothing is wrong with them any more.

    Suspect ones are given out again; how many.
    """
    assets = sorted({*whole, *repaired})
    if not assets:
        return 0
    inventory = site.inventory
    with inventory.transaction():
        inventory.one("lock_store")
        inventory.all("scan_lock_assets", assets=assets)
        count = inventory.run("scan_whole", assets=assets)
        inventory.run("scan_close", assets=list(repaired), outcome="repaired")
        inventory.run("scan_close", assets=list(whole), outcome="whole")
        _relink(site, assets)
    return count


def bring_back(site: Site, rows: Sequence[Row]) -> tuple[int, list[Finding]]:
    """Suspect files that stand there again: those whose every byte agrees are archived again; how many, and the others.

    Those that were read and differ are for the fixity check, and its budget.
    """
    again = [row for row in rows if row["state"] == "suspect" and not row["differs"]]
    whole = [row["id"] for row in again if site.storage.agrees(row["path"], row["digest"])]
    wrong = [
        Finding(
            kind="damaged",
            path=row["path"].encode(),
            detail=f"file {row['id']} stands there again, but its bytes are not those of the inventory",
            asset=row["id"],
            size=row["size"],
        )
        for row in again
        if row["id"] not in whole
    ]
    return trust(site, whole), wrong


def stands(site: Site, row: Row) -> bool:
    """Whether a file of that name and size stands in storage; its bytes are not read."""
    entry = tree.look(site.settings.storage, str(row["path"]).encode())
    return entry is not None and entry.regular and bool(entry.size == row["size"])


def _relink(site: Site, assets: Sequence[int]) -> None:
    keys = [row["key"] for row in site.inventory.all("keys_of_assets", assets=list(assets))]
    site.inventory.run("prefer_packaging", keys=keys)
    refresh(site, assets=assets)
