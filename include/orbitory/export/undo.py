"""Take an export back: the other side gets its previous rows and files again, letter for letter.

Batches go in the opposite order, each as a whole. Rows that had come disappear; history keeps that they were there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from orbitory.errors import ConfigurationError, IntegrityError
from orbitory.export.files import bring_back, put_away
from orbitory.export.ledger import get, one_at_a_time, there_of
from orbitory.export.sites import remote
from orbitory.export.work import set_hash
from orbitory.inventory import Inventory, Row
from orbitory.inventory.locks import let_nothing_lean
from orbitory.removal import blocked_by
from orbitory.removal.outcome import one_at_a_time as removal_alone
from orbitory.site import Site

log = logging.getLogger(__name__)

_TOLD = 5
_AT_ONCE = 5_000
#: So long a batch waits for a removal there that is at work.
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What was taken back. Counts are of granules."""

    export: int
    site: str
    granules: int

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return {"export": self.export, "site": self.site, "granules": self.granules}


def undo(here: Site, number: int) -> Undone:
    """Take back export ``number``, seen from either side; the same call goes on after a crash.

    Raises ConfigurationError when something there depends on what had come, and says what. What was taken back before
    stays so; the same call goes on.
    """
    row = get(here.inventory, number)
    if row["state"] == "undone":
        return Undone(export=number, site=row["site"], granules=0)
    with _other_side(here, row) as there, one_at_a_time(there):
        there_id = there_of(there, row["token"])
        granules = 0
        if there_id is not None:
            granules = _take_all_back(there, there_id, str(row["token"]))
        if row["direction"] == "out":
            here.inventory.run("export_let_go", export=number, owner=here.actor)
            here.inventory.run("export_mark", id=number, state="undone")
    log.info("export=%d undone granules=%d", number, granules)
    return Undone(export=number, site=row["site"], granules=granules)


@contextmanager
def _other_side(here: Site, row: Row) -> Iterator[Site]:
    if row["direction"] == "in":
        yield here
    else:
        with remote(row["site"]).open(here) as there:
            yield there


def _take_all_back(there: Site, number: int, token: str) -> int:
    inventory = there.inventory
    if get(inventory, number)["state"] == "undone":
        return 0
    if get(inventory, number)["state"] != "undoing":
        with inventory.transaction():
            inventory.one("lock_store")
            _require_free(there, number, token)
            inventory.run("export_mark", id=number, state="undoing")
    granules = 0
    while batch := inventory.one("export_last", export=number):
        granules += take_back(there, number, token, batch)
    inventory.run("export_forget_set", hash=bytes.fromhex(set_hash(token)))
    inventory.run("export_mark", id=number, state="undone")
    return granules


def _require_free(there: Site, number: int, token: str, batch: Row | None = None) -> None:
    """Nothing that came later may lean on what had come, by one batch or at all."""
    inventory = there.inventory
    of = {"export": number, "number": batch["number"] if batch else None}
    taking = bool(batch and batch["state"] == "taking")
    hash_ = bytes.fromhex(set_hash(token))
    found = inventory.all("export_leaned_on", hash=hash_, taking=taking, limit=_TOLD, **of)
    after = 0
    while not found and (rows := inventory.all("export_granules", after=after, limit=_AT_ONCE, **of)):
        after = rows[-1]["granule_id"]
        blocked = blocked_by(there, [row["granule_id"] for row in rows])
        found += [{"name": f"granule {each}", "why": why} for each, why in blocked.items()]
    if found:
        told = "; ".join(f"{row['name']}: {row['why']}" for row in found[:_TOLD])
        done = "What was taken back before stays so; the same call goes on" if batch else "Nothing was changed"
        raise ConfigurationError(f"export {number} cannot be taken back, for something leans on it: {told}. {done}")


def take_back(there: Site, export: int, token: str, batch: Row) -> int:
    """Hide what had come with a batch, move files, then its rows are as they were; of how many granules.

    Raises ConfigurationError when something leans on them, and then nothing of the batch was changed. May be repeated.
    """
    inventory, values = there.inventory, {"export": export, "number": batch["number"]}
    leaving = {**values, "hash": bytes.fromhex(set_hash(token))}
    with removal_alone(there, patience_seconds=_PATIENCE_SECONDS):
        with inventory.transaction():
            let_nothing_lean(inventory)
            inventory.all("export_lock_items", **values)
            _require_free(there, export, token, batch)
            inventory.one("export_by_index")
            inventory.run("export_hide_granules", **values)
            inventory.run("export_hide_assets", **values)
            inventory.run("export_exhume_assets", **values)
            inventory.run("export_hide_fileless", **values)
            inventory.run("export_claim_trash", **leaving)
            inventory.run("export_taking", **values)
        put_away(there, inventory.all("export_came", **values), f"replaced/export-{token[:8]}")
        bring_back(there, inventory.all("export_left", **leaving))
        with inventory.transaction():
            let_nothing_lean(inventory)
            inventory.one("export_by_index")
            inventory.all("export_lock_back", **values)
            inventory.all("export_lock_files_back", **values)
            inventory.one("lock_footprints")  # after the rows, as everybody takes it
            return _restore(inventory, values, leaving, token)


def _restore(inventory: Inventory, values: dict[str, Any], leaving: dict[str, Any], token: str) -> int:
    assets = [row["id"] for row in inventory.all("export_new_assets", **values)]
    inventory.run("mirror_disown", assets=assets)
    inventory.run("scan_disown", assets=assets)
    inventory.run("export_undo_removals", **leaving)
    back = [row["id"] for row in inventory.all("export_instances_back", **values)]
    for statement in _RESTORE:
        inventory.run(f"export_{statement}", **values)
    inventory.run("export_restore_instances", ids=back, token=token, **values)
    if wrong := inventory.all("export_not_restored", limit=_TOLD, **values):
        raise IntegrityError(
            f"{', '.join(str(row['key']) for row in wrong)} did not become what they were: nothing of this batch was "
            "taken back"
        )
    taken = inventory.run("export_forget_items", **values)
    inventory.run("export_taken", **values)
    return taken


#: In the order of foreign keys.
_RESTORE = (
    "undo_footprints",
    "undo_archived_footprints",
    "undo_findings",
    "undo_ties",
    "undo_plans",
    "undo_validations",
    "undo_instances",
    "undo_statistics",
    "undo_arrivals",
    "undo_empty_statistics",
    "undo_runs",
    "undo_links",
    "undo_new_assets",
    "create_was",
    "undo_assets",
    "create_was_granule",
    "undo_granules",
    "undo_old_links",
    "undo_masters",
    "undo_asides",
    "undo_new_granules",
)
