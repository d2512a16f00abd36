"""One set on its way out, batch by batch: looked at, marked, renamed into the trash, then a tombstone.

What cannot be renamed is found out before it is marked where that can be known, and put back where not: one bad file or
folder keeps nothing else from leaving. A file that is missing, and that no audit has missed before, is no file that has
left: its storage may be incomplete, and its row stays what it was.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orbitory.errors import IntegrityError, Transient
from orbitory.inventory import Row
from orbitory.inventory.locks import let_nothing_lean
from orbitory.priority import rest
from orbitory.removal.back import apart, bring_back, numbers, put_back, relink
from orbitory.removal.found import find
from orbitory.removal.guard import NOT_KEPT, unsound_keepers
from orbitory.removal.outcome import AT_ONCE, MANY_AT_ONCE, Outcome, move_once, require_trash, trash_path
from orbitory.removal.selection import Selection
from orbitory.site import Site
from orbitory.zones import FileSystemSync, own_errors

log = logging.getLogger(__name__)

#: Called after each batch with the number of granules that are gone so far.
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """What did not simply move: numbers of files that had been missing before, and of others with the reason."""

    missing: Sequence[int]
    wrong: Mapping[int, str]


@dataclass(slots=True, kw_only=True)
class Leaving:
    """One set on its way out."""

    site: Site
    id: int
    hash: str
    selection: Selection
    #: What could neither go nor be spared: key and why, by granule.
    left: dict[int, tuple[str, str]] = field(default_factory=dict)
    #: What a file of which could not be moved, likewise.
    failed: dict[int, tuple[str, str]] = field(default_factory=dict)
    #: Granules and bytes that have left by now, in this very run.
    gone: int = 0
    bytes: int = 0
    #: Keepers that were read and found whole, or not.
    keepers: dict[int, str] = field(default_factory=dict)
    #: Folders of storage that were looked at, and whether names in them can be changed.
    folders: dict[str, bool] = field(default_factory=dict)

    def carry_out(self, progress: Progress | None) -> None:
        """Batch by batch; what cannot go now stays as it is, and needs another plan to go later."""
        after = 0
        at_once = MANY_AT_ONCE if self.selection.kind == "expired" else AT_ONCE
        waiting = {"id": self.id, "states": ["planned", "marked"], "limit": at_once}
        while rows := self.site.inventory.all("removal_next", after=after, **waiting):
            after, began = rows[0]["upto"], time.monotonic()
            todo = self._still_kept([row for row in rows if row["state"] == "marked"])
            todo += self._mark(self._ready([row for row in rows if row["state"] == "planned"]))
            if todo:
                self.bury(todo, self.rename(todo))
            if progress:
                progress(self.gone)
            if self.selection.kind == "expired":
                rest(self.site.inventory, worked=time.monotonic() - began)
        self.site.inventory.run("removal_finish", id=self.id)

    def take(self) -> list[Row]:
        """Mark what a plan that takes has just found, in its transaction; returns what is to be renamed and buried."""
        rows = self._ready(self.site.inventory.all("removal_taken"))
        self._hide(rows)
        return rows

    def outcome(self) -> Outcome:
        """What the inventory says of it now."""
        figures = self.site.inventory.one("removal_figures", id=self.id)
        assert figures is not None
        spared = self.site.inventory.all("removal_spared", id=self.id)
        left = {row["granule_id"]: (row["key"], row["why"]) for row in spared} | self.left
        log.info("removal set=%s granules=%d left=%d", self.hash[:16], figures["gone"], len(left))
        return Outcome(
            hash=self.hash,
            state="applied" if figures["gone"] == figures["granules"] else "unfinished",
            count=figures["gone"],
            files=figures["files"],
            bytes=figures["bytes"],
            left=tuple(sorted(set(left.values()))),
            stayed={number: why for number, (_, why) in left.items()},
            failed=tuple(sorted(set(self.failed.values()))),
            now=(self.gone, self.bytes),
        )

    def _still_kept(self, rows: list[Row]) -> list[Row]:
        """Of what an earlier try has marked, that whose keeper is still there; the rest comes back."""
        keepers = [row["keeper_id"] for row in rows if row["keeper_id"] is not None]
        kept = {row["id"] for row in self.site.inventory.all("removal_keeping", granules=keepers)} | {None}
        whys = {row["granule_id"]: NOT_KEPT for row in rows if row["keeper_id"] not in kept}
        goes, stays = apart(rows, whys)
        if stays:
            wrong = bring_back(self.site, self.id, self.hash, stays)
            self._spare({each: why for each, why in whys.items() if each not in wrong})
            self._tell(stays, wrong)
        return goes

    def _ready(self, rows: list[Row]) -> list[Row]:
        """What may go as far as its files, and the bytes of its keepers, tell."""
        if whys := {row["granule_id"]: why for row in rows if (why := self._stuck(row))}:
            self.site.storage.prepare(holds_assets=True)  # unmounted since it was looked at?
            rows = self._without(rows, whys, failed=True)
        keepers = {row["keeper_id"] for row in rows if row["keeper_id"] is not None}
        unread = keepers - set(self.keepers)
        self.keepers |= dict.fromkeys(unread, "") | unsound_keepers(self.site, unread)
        return self._without(
            rows,
            {row["granule_id"]: self.keepers[row["keeper_id"]] for row in rows if self.keepers.get(row["keeper_id"])},
        )

    def _stuck(self, row: Row) -> str:
        """Why this file cannot be renamed, as far as a look tells; it would be marked and put back for nothing."""
        if row["in_place"]:
            return ""
        path = f"{self.site.settings.storage}/{row['path']}"
        folder = path.rpartition("/")[0]
        if not os.path.lexists(path):
            return "" if row["asset_state"] == "suspect" else _missing(row)
        if folder not in self.folders:
            self.folders[folder] = os.access(folder, os.W_OK | os.X_OK)
        return "" if self.folders[folder] else f"{folder} is read-only, or its mode keeps us out"

    def _without(self, rows: list[Row], whys: dict[int, str], *, failed: bool = False) -> list[Row]:
        """The rows without those granules, and without what shares a file with them; these are spared."""
        goes, stays = apart(rows, whys)
        self._spare(whys)
        if failed:
            self.failed |= {row["granule_id"]: (row["key"], whys[row["granule_id"]]) for row in stays}
        return goes

    def _spare(self, whys: Mapping[int, str]) -> None:
        if whys:
            told = {"granules": list(whys), "whys": list(whys.values())}
            self.site.inventory.run("removal_spare_items", id=self.id, **told)

    def _tell(self, rows: Iterable[Row], whys: Mapping[int, str]) -> None:
        self.left |= {
            row["granule_id"]: (row["key"], whys[row["granule_id"]]) for row in rows if row["granule_id"] in whys
        }

    def _mark(self, rows: list[Row]) -> list[Row]:
        """Find them anew, and take out of sight, in one transaction, those that would still be planned like this."""
        inventory = self.site.inventory
        if not rows:
            return rows
        suspect = [row["asset_id"] for row in rows if row["asset_state"] == "suspect"]
        with inventory.transaction():
            let_nothing_lean(inventory)
            rows = self._lock(rows)
            asked = numbers(rows, "granule_id")
            find(self.site, self.selection, among=asked)
            whys = {
                row["granule_id"]: row["why"] for row in inventory.all("removal_unlike", id=self.id, granules=asked)
            }
            inventory.run("removal_drop_plan")
            rows = self._without(rows, whys)
            granules, folder = self._hide(rows), trash_path(self.hash, "")
            inventory.run("removal_mark_items", id=self.id, granules=granules, folder=folder, suspect=suspect)
        return [{**row, "suspect": row["asset_state"] == "suspect"} for row in rows]

    def _hide(self, rows: list[Row]) -> list[int]:
        """Take granules and files out of sight; returns the granules' numbers."""
        inventory, granules, files = self.site.inventory, numbers(rows, "granule_id"), numbers(rows, "asset_id")
        assets = inventory.run("mark_deleting", assets=files)
        hidden = inventory.run("removal_mark_granules", granules=granules)
        if (assets, hidden) != (len(files), len(granules)):
            raise Transient("somebody else is removing files of this set: nothing was marked, try again")
        return granules

    def _lock(self, rows: list[Row]) -> list[Row]:
        """Those that may still go, their rows locked; from here on nobody can hold them, or change when they expire."""
        inventory, wanted = self.site.inventory, numbers(rows, "granule_id")
        if self.selection.kind != "expired":
            found = inventory.all("removal_lock_rows", granules=wanted)
        else:
            found = inventory.all("removal_lock_free_rows", granules=wanted)
            due = {row["id"] for row in found if row["due"]}
            why = "somebody is changing it, or has changed when it expires: the next run looks again"
            rows = self._without(rows, {number: why for number in wanted if number not in due})
        if withdrawn := [row["id"] for row in found if row["state"] == "withdrawn"]:
            inventory.run("removal_note_withdrawn", id=self.id, granules=withdrawn)
        return rows

    def rename(self, rows: Sequence[Row]) -> Renamed:
        """Rename marked files into the trash, durably. The inventory is not asked: it may be at work for others."""
        storage, trash = self.site.settings.storage, self.site.settings.trash
        missing: list[int] = []
        wrong: dict[int, str] = {}
        with own_errors(f"move files into {trash}"), FileSystemSync(trash) as there, FileSystemSync(storage) as here:
            for row in {row["asset_id"]: row for row in rows if not row["in_place"]}.values():
                assert not row["path"].startswith("/"), "what is registered in place is never touched"
                try:
                    moved = move_once(f"{storage}/{row['path']}", f"{trash}/{trash_path(self.hash, row['path'])}")
                except (OSError, IntegrityError) as error:
                    wrong[row["asset_id"]] = f"{row['path']} cannot be moved into the trash: {error}"
                    continue
                if not moved and not row["suspect"]:
                    wrong[row["asset_id"]] = _missing(row)
                elif not moved:
                    missing.append(row["asset_id"])
            there.sync()
            if storage.stat().st_dev != trash.stat().st_dev:
                here.sync()
        return Renamed(missing=missing, wrong=wrong)

    def bury(self, rows: list[Row], renamed: Renamed) -> None:
        """Tombstones instead of files: rows and files have left together. What could not be renamed is put back.

        Raises IntegrityError, and leaves all marked, when storage or trash was unmounted meanwhile.
        """
        if renamed.wrong:
            rows = self._put_back(rows, renamed.wrong)
        if rows:
            self._entomb(rows, renamed.missing)

    def _put_back(self, rows: list[Row], wrong: Mapping[int, str]) -> list[Row]:
        """The rest, without what shares a file with what is put back."""
        self.site.storage.prepare(holds_assets=True)
        require_trash(self.site)
        whys = {row["granule_id"]: wrong[row["asset_id"]] for row in rows if row["asset_id"] in wrong}
        goes, stays = apart(rows, whys)
        still = put_back(self.site, self.id, self.hash, stays)
        self._spare({each: why for each, why in whys.items() if each not in still})
        self._tell(stays, still)
        self.failed |= {row["granule_id"]: (row["key"], whys[row["granule_id"]]) for row in stays}
        return goes

    def _entomb(self, rows: Sequence[Row], missing: Sequence[int]) -> None:
        inventory, granules = self.site.inventory, numbers(rows, "granule_id")
        with inventory.transaction():
            inventory.one("lock_store")
            why = "expired" if self.selection.kind == "expired" else "removed"
            inventory.run("mark_deleted", assets=numbers(rows, "asset_id"), removal=why)
            inventory.run("removal_bury_granules", granules=granules)
            inventory.run("removal_bury_items", id=self.id, granules=granules, missing=list(missing))
            relink(self.site, granules)
        moved = {
            row["asset_id"]: row["bytes"] for row in rows if not row["in_place"] and row["asset_id"] not in missing
        }
        self.gone, self.bytes = self.gone + len(granules), self.bytes + sum(moved.values())


def _missing(row: Row) -> str:
    return f"{row['path']} is missing in storage, which no audit has noted yet: it stays until `archive_audit` has"
