"""Carry out a plan: exactly that set, batch by batch; mark, rename into the trash, then tombstone.

A crash at any instant leaves a state that the same call finishes: a marked file stands in storage or in the trash, and
both are looked at. No row is visible whose file is on its way. Hours may pass between plan and batch, or days before
what was cut short is finished: so each batch is found anew, and what would not be planned like this any more is spared.
"""

from __future__ import annotations

import logging

from orbitory.errors import ConfigurationError, OrbitoryError
from orbitory.inventory import Row
from orbitory.removal.leaving import Leaving, Progress
from orbitory.removal.outcome import Outcome, one_at_a_time, require_trash
from orbitory.removal.plan import Plan, hash_of, plan
from orbitory.removal.selection import Selection
from orbitory.site import Site

log = logging.getLogger(__name__)

#: In which DAG somebody may approve a set, by its kind.
_APPROVAL = {"duplicates": "duplicate_removal", "list": "deletion", "rule": "deletion", "expired": "expiry_approval"}


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
        require_trash(site)
        row = site.inventory.one("removal_find", hash=hash_of(set_hash))
        if row is not None and row["state"] == "undone" and row["begun"]:
            raise ConfigurationError(f"the set {set_hash} is being brought back: finish that first (`--undo`)")
        if row is None or (row["state"] != "approved" and not row["begun"]):  # nothing of it is gone
            if not _approve(site, row, set_hash, selection, approval):
                return Outcome(hash=set_hash, state="applied", count=0, files=0, bytes=0)
            row = site.inventory.one("removal_find", hash=hash_of(set_hash))
        assert row is not None
        asked = Selection.of_dict(row["counts"]["selection"])
        work = Leaving(site=site, id=row["id"], hash=row["hash"], selection=asked)
        if row["state"] == "approved":
            work.carry_out(progress)
        return work.outcome()


def forget(site: Site, number: int) -> None:
    """Keep nothing of what stayed: no person has seen this set, and the next run finds it anew."""
    with site.inventory.transaction():
        site.inventory.run("removal_forget_spared", id=number)
        site.inventory.run("removal_forget_empty", id=number)


def finish_expired(site: Site) -> tuple[list[Outcome], list[tuple[str, str]]]:
    """Bring to its end what was cut short while it left because it had expired; nobody needs to ask for it again.

    Returns what became of each set, and why others could not be finished: none keeps the next from its end.
    """
    outcomes: list[Outcome] = []
    failed: list[tuple[str, str]] = []
    for row in site.inventory.all("removal_unfinished"):
        try:
            outcomes.append(apply(site, row["hash"]))
            forget(site, row["id"])
        except OrbitoryError as error:
            log.error("set %s cannot be finished: %s", row["hash"], error)
            failed.append((f"set {row['hash'][:16]}", str(error)))
    return outcomes, failed


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
            f"{too_much}. Nothing was removed. Approve it in the DAG `{_APPROVAL[fresh.kind]}`, or give --force once "
            f"you have looked at the set"
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
