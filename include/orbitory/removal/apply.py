"""Carry out a plan: exactly that set, batch by batch; mark, rename into the trash, then tombstone.

A crash at any instant leaves a state that the same call finishes: a marked file stands in storage or in the trash, and
both are looked at. No row is visible whose file is on its way. Hours may pass between plan and batch, or days before
what was cut short is finished: so each batch is found anew, and what would not be planned like this any more is spared.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orbitory.errors import ConfigurationError, Transient
from orbitory.inventory import Row
from orbitory.removal.back import bring_back, numbers, relink
from orbitory.removal.found import find
from orbitory.removal.guard import NOT_KEPT, unsound_keepers
from orbitory.removal.outcome import AT_ONCE, Outcome, move_once, one_at_a_time, trash_path
from orbitory.removal.plan import Plan, hash_of, plan
from orbitory.removal.selection import Selection
from orbitory.site import Site
from orbitory.zones import FileSystemSync, own_errors

log = logging.getLogger(__name__)

#: Called after each batch with the number of granules that are gone so far.
Progress = Callable[[int], None]


def apply(
    site: Site,
    set_hash: str,
    selection: Selection | None = None,
    *,
    approval: str = "",
    progress: Progress | None = None,
) -> Outcome:
    """Remove the set of this hash, if what was asked for is still exactly that set; go on where a crash has cut it off.

    ``selection``: what is asked for, by default what the plan was made from. ``approval``: who approved it and how;
    needed beyond ``LIMITS``. Raises ConfigurationError when there is no such plan, when the set has changed, or without
    approval, and then nothing was changed. May be repeated.
    """
    with one_at_a_time(site):
        site.storage.prepare(holds_assets=True)  # unmounted, every file would be missing
        row = site.inventory.one("removal_find", hash=hash_of(set_hash))
        if row is not None and row["state"] == "undone" and row["begun"]:
            raise ConfigurationError(f"the set {set_hash} is being brought back: finish that first (`--undo`)")
        if row is None or (row["state"] != "approved" and not row["begun"]):  # nothing of it is gone
            if not _approve(site, row, set_hash, selection, approval):
                return Outcome(hash=set_hash, state="applied", count=0, files=0, bytes=0)
            row = site.inventory.one("removal_find", hash=hash_of(set_hash))
        assert row is not None
        asked = Selection.of_dict(row["counts"]["selection"])
        work = _Removal(site=site, id=row["id"], hash=row["hash"], selection=asked)
        if row["state"] == "approved":
            work.carry_out(progress)
        return work.outcome()


def _approve(site: Site, row: Row | None, set_hash: str, selection: Selection | None, approval: str) -> bool:
    """Find the set anew; from here on it is to go. False when it is empty."""
    if selection is None:
        if row is None:
            raise ConfigurationError(f"there is no plan {set_hash}: make a dry run, and give the hash that it shows")
        selection = Selection.of_dict(row["counts"]["selection"])
    fresh = plan(site, selection)
    if fresh.hash != set_hash.lower():
        raise ConfigurationError(_changed(site, row, set_hash, fresh))
    if (too_much := fresh.too_much()) and not approval:
        raise ConfigurationError(
            f"{too_much}. Nothing was removed. Approve it in the DAG `duplicate_removal`, or give --force once you "
            f"have looked at the set"
        )
    kept = site.inventory.one("removal_find", hash=hash_of(set_hash))
    if kept is None:
        return False
    site.inventory.run("removal_approve", id=kept["id"], actor=site.actor, reason=approval)
    return True


def _changed(site: Site, row: Row | None, set_hash: str, fresh: Plan) -> str:
    """What is different from when the set was shown."""
    text = f"the set is no longer {set_hash}; nothing was removed. Look at it as it is now: {fresh.hash}"
    now = site.inventory.one("removal_find", hash=hash_of(fresh.hash))
    if row is None:
        return f"{text} ({len(fresh.items)} granules); no plan of the hash you gave is known"
    limit = 5
    differences = site.inventory.all("removal_differences", old=row["id"], new=now["id"] if now else 0, limit=limit + 1)
    told = [f"{each['key']} {'is different or gone' if each['gone'] else 'is new'}" for each in differences]
    told[limit:] = ["and more"] if len(told) > limit else []
    return f"{text} ({len(fresh.items)} granules instead of {row['counts']['granules']}): {'; '.join(told)}"


@dataclass(slots=True, kw_only=True)
class _Removal:
    """One set on its way out."""

    site: Site
    id: int
    hash: str
    selection: Selection
    #: What could neither go nor be spared.
    left: dict[str, str] = field(default_factory=dict)
    #: Keepers that were read and found whole, or not.
    keepers: dict[int, str] = field(default_factory=dict)

    def carry_out(self, progress: Progress | None) -> None:
        """Batch by batch; what cannot go now stays as it is, and needs another plan to go later."""
        after, gone = 0, 0
        waiting = {"id": self.id, "states": ["planned", "marked"], "limit": AT_ONCE}
        while rows := self.site.inventory.all("removal_next", after=after, **waiting):
            after = rows[0]["upto"]
            todo = self._still_kept([row for row in rows if row["state"] == "marked"])
            todo += self._mark(self._ready([row for row in rows if row["state"] == "planned"]))
            if todo:
                self._bury(todo, self._move(todo))
                gone += len({row["granule_id"] for row in todo})
            if progress:
                progress(gone)
        self.site.inventory.run("removal_finish", id=self.id)

    def outcome(self) -> Outcome:
        """What the inventory says of it now."""
        figures = self.site.inventory.one("removal_figures", id=self.id)
        assert figures is not None
        left = self.left | {row["key"]: row["why"] for row in self.site.inventory.all("removal_spared", id=self.id)}
        log.info("removal set=%s granules=%d left=%d", self.hash[:16], figures["gone"], len(left))
        return Outcome(
            hash=self.hash,
            state="applied" if figures["gone"] == figures["granules"] else "unfinished",
            count=figures["gone"],
            files=figures["files"],
            bytes=figures["bytes"],
            left=tuple(sorted(left.items())),
        )

    def _still_kept(self, rows: list[Row]) -> list[Row]:
        """Of what an earlier try has marked, that whose keeper is still there; the rest comes back."""
        keepers = [row["keeper_id"] for row in rows if row["keeper_id"] is not None]
        kept = {row["id"] for row in self.site.inventory.all("removal_keeping", granules=keepers)} | {None}
        whys = {row["granule_id"]: NOT_KEPT for row in rows if row["keeper_id"] not in kept}
        goes, stays = _apart(rows, whys)
        if stays:
            wrong = bring_back(self.site, self.id, self.hash, stays)
            self._spare({each: why for each, why in whys.items() if each not in wrong})
            self.left |= {row["key"]: wrong[row["granule_id"]] for row in stays if row["granule_id"] in wrong}
        return goes

    def _ready(self, rows: list[Row]) -> list[Row]:
        """What may go as far as the bytes of its keepers tell; they are read."""
        keepers = {row["keeper_id"] for row in rows if row["keeper_id"] is not None}
        unread = keepers - set(self.keepers)
        self.keepers |= dict.fromkeys(unread, "") | unsound_keepers(self.site, unread)
        return self._without(
            rows, {row["granule_id"]: why for row in rows if (why := self.keepers.get(row["keeper_id"]))}
        )

    def _without(self, rows: list[Row], whys: dict[int, str]) -> list[Row]:
        """The rows without those granules, and without what shares a file with them; these are spared."""
        goes, _ = _apart(rows, whys)
        self._spare(whys)
        return goes

    def _spare(self, whys: Mapping[int, str]) -> None:
        told = {"granules": list(whys), "whys": list(whys.values())}
        self.site.inventory.run("removal_spare_items", id=self.id, **told)

    def _mark(self, rows: list[Row]) -> list[Row]:
        """Find them anew, and take out of sight, in one transaction, those that would still be planned like this."""
        inventory = self.site.inventory
        if not rows:
            return rows
        with inventory.transaction():
            inventory.one("lock_store")  # no newcomer can be decided to lean on them meanwhile
            inventory.all("plan_lock")  # nobody plans with what is about to go
            asked = numbers(rows, "granule_id")
            inventory.all("removal_lock_rows", granules=asked)
            find(self.site, self.selection, among=asked)
            whys = {
                row["granule_id"]: row["why"] for row in inventory.all("removal_unlike", id=self.id, granules=asked)
            }
            inventory.run("removal_drop_plan")
            rows = self._without(rows, whys)
            granules, files = numbers(rows, "granule_id"), numbers(rows, "asset_id")
            assets = inventory.run("mark_deleting", assets=files)
            hidden = inventory.run("removal_mark_granules", granules=granules)
            if (assets, hidden) != (len(files), len(granules)):
                raise Transient("somebody else is removing files of this set: nothing was marked, try again")
            inventory.run("removal_mark_items", id=self.id, granules=granules, folder=trash_path(self.hash, ""))
        return rows

    def _move(self, rows: Iterable[Row]) -> list[int]:
        """Rename marked files into the trash, durably; returns those that stand nowhere. What is in place stays."""
        storage, trash = self.site.settings.storage, self.site.settings.trash
        missing: list[int] = []
        with own_errors(f"move files into {trash}"), FileSystemSync(trash) as there, FileSystemSync(storage) as here:
            for row in {row["asset_id"]: row for row in rows if not row["in_place"]}.values():
                assert not row["path"].startswith("/"), "what is registered in place is never touched"
                if not move_once(storage / row["path"], trash / trash_path(self.hash, row["path"])):
                    log.warning("%s was missing in storage already", row["path"])
                    missing.append(row["asset_id"])
            there.sync()
            if storage.stat().st_dev != trash.stat().st_dev:
                here.sync()
        return missing

    def _bury(self, rows: Sequence[Row], missing: Sequence[int]) -> None:
        """Tombstones instead of files: rows and files have left together."""
        inventory, granules = self.site.inventory, numbers(rows, "granule_id")
        with inventory.transaction():
            inventory.one("lock_store")
            inventory.run("mark_deleted", assets=numbers(rows, "asset_id"), removal="removed")
            inventory.run("removal_bury_granules", granules=granules)
            inventory.run("removal_bury_items", id=self.id, granules=granules, missing=list(missing))
            relink(self.site, granules)


def _apart(rows: Sequence[Row], whys: dict[int, str]) -> tuple[list[Row], list[Row]]:
    """Rows that go and rows that stay; what shares a file with one that stays is told to stay, too."""
    while True:
        files = {row["asset_id"] for row in rows if row["granule_id"] in whys}
        more = {row["granule_id"] for row in rows if row["asset_id"] in files} - set(whys)
        if not more:
            break
        whys |= dict.fromkeys(more, "it shares a file with one that stays")
    return [row for row in rows if row["granule_id"] not in whys], [row for row in rows if row["granule_id"] in whys]
