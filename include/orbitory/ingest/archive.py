"""archive: durable placement in storage, then the rows become visible, then the landing names go.

Order, per batch: the intent was committed by ``store``; place every file; one syncfs; commit ``archived``; unlink from
landing. A crash at any instant leaves a state that repeating this step finishes. At no instant is the only name gone.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from orbitory.errors import NotReady, Transient
from orbitory.ingest.ledger import Claim, Outcome, Work, claim, move_on, set_back, stat_in
from orbitory.ingest.retire import clear_landing
from orbitory.inventory import Row
from orbitory.model import State, Tally
from orbitory.site import Site
from orbitory.zones import FileSystemSync, open_beneath, own_errors, stat_of

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Placed:
    """What became of the batch's files before the commit."""

    good: list[Work] = field(default_factory=list)
    #: Final paths whose bytes also still stand in landing.
    names: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    #: Assets whose intent must be taken back.
    withdrawn: list[int] = field(default_factory=list)


def archive(site: Site, batch: int) -> Tally:
    """Place the batch's stored files, make them durable, then visible, then remove them from landing.

    It may be repeated after any crash. Raises Transient when storage or inventory is away, IntegrityError when storage
    holds other bytes under an intended name.
    """
    held = claim(site, batch, "archive")
    if held.done:
        return Tally(batch=batch)
    started = time.monotonic()
    works = held.units(State.STORED)
    newcomers = [work for work in works if work.main["reason"] is None]
    placed = _place_durably(site, held, newcomers)
    assets = [row["asset_id"] for work in placed.good for row in work.rows]
    with held.writing():
        site.inventory.run("archive_assets", assets=assets)
        site.inventory.run("archive_granules", assets=assets)
        _withdraw(site, placed.withdrawn)
        held.apply([*placed.outcomes, *(outcome for work in placed.good for outcome in move_on(work, State.ARCHIVED))])
    left = _drop_duplicates(site, held)
    clear_landing(site, held.source, batch)
    site.storage.discard_incoming(batch)
    if held.source.duplicates == "replace":
        retire_replaced(site, assets)
    site.inventory.run("close_empty_batches", run=_run_of(site, batch))
    size = sum(work.bytes for work in placed.good)
    log.info("archive batch=%d files=%d bytes=%d seconds=%.2f", batch, len(assets), size, time.monotonic() - started)
    if left:
        raise Transient(f"batch {batch}: {left} duplicates wait for their stored copy to be archived by another batch")
    return Tally(batch=batch, done=len(placed.good), left=len(placed.outcomes), bytes=size)


def _run_of(site: Site, batch: int) -> int:
    row = site.inventory.one("run_of_batch", batch=batch)
    assert row is not None
    return int(row["run_id"])


def _place_durably(site: Site, held: Claim, works: Sequence[Work]) -> _Placed:
    """Give every file its final name and sync once. Nothing is visible yet."""
    placed = _Placed()
    if not works:
        return placed
    with own_errors(f"archive into {site.settings.storage}"), FileSystemSync(site.settings.storage) as disk:
        for work in works:
            try:
                for row in work.rows:
                    if _place(site, held, row):
                        placed.names.append(row["asset_path"])
                placed.good.append(work)
            except NotReady as error:
                placed.outcomes += set_back(work, "changed", str(error))
                placed.withdrawn += [row["asset_id"] for row in work.rows]
            except FileNotFoundError:
                placed.outcomes += _lost(work)
                placed.withdrawn += [row["asset_id"] for row in work.rows]
        try:
            disk.sync()
        except OSError:
            # Whether these bytes are on disk can no longer be told; take the names back and start again by copy.
            with held.writing():
                site.inventory.run("be_careful", batch=held.batch, claim=held.token)
            for path in placed.names:
                (site.settings.storage / path).unlink(missing_ok=True)
            raise
    return placed


def _place(site: Site, held: Claim, row: Row) -> bool:
    """Place one file; False when storage holds it already and landing no longer does."""
    path, digest = row["asset_path"], row["digest"]
    try:
        descriptor = open_beneath(site.landing_of(held.source), row["path"])
    except FileNotFoundError:
        if site.storage.digest(path) == digest:
            return False
        raise
    try:
        status = os.fstat(descriptor)
        found, expected = stat_of(status), stat_in(row)
        if status.st_nlink > 1:  # our own link, of an earlier try, has changed ctime
            expected = replace(expected, ctime_ns=found.ctime_ns)
        if found != expected:
            raise NotReady(f"{row['name']} changed after it was verified")
        part = f"{held.batch}/{row['id']}"
        site.storage.place(descriptor, path, digest, part=part, careful=held.careful)
        return True
    finally:
        os.close(descriptor)


def _lost(work: Work) -> list[Outcome]:
    detail = "neither in landing nor in storage when it was to be archived"
    return [Outcome(id=row["id"], state=State.LOST, reason=None, detail=detail) for row in work.rows]


def _withdraw(site: Site, assets: Sequence[int]) -> None:
    if not assets:
        return
    keys = [row["key"] for row in site.inventory.all("keys_of_assets", assets=list(assets))]
    site.inventory.run("withdraw_assets", assets=list(assets))
    site.inventory.run("withdraw_granules", assets=list(assets))
    site.inventory.run("rank_versions", keys=keys)
    site.inventory.run("prefer_packaging", keys=keys)


def _drop_duplicates(site: Site, held: Claim) -> int:
    """Settle the duplicates whose stored copy is archived; returns how many must wait for another batch.

    One whose stored copy never made it is looked at afresh by the next detect. The copy is read again, against its
    digest, before the newcomer's name goes (``retire``).
    """
    outcomes: list[Outcome] = []
    waiting = 0
    for work in held.units(State.STORED):
        if work.main["asset_state"] == "archived":
            outcomes += [
                Outcome(id=row["id"], state=State.DUPLICATE, reason=row["reason"], detail=row["detail"])
                for row in work.rows
            ]
        elif work.main["asset_state"] == "stored":
            waiting += 1
        else:
            outcomes += set_back(work, "changed", "the copy it duplicated never reached the archive")
    with held.writing():
        held.apply(outcomes)
    return waiting


def retire_replaced(site: Site, assets: Sequence[int]) -> None:
    """Policy ``replace``: move what these files supersede into the trash: mark, rename, then tombstone.

    Repeating it finishes what a crash cut short.
    """
    inventory = site.inventory
    keys = [row["key"] for row in inventory.all("keys_of_assets", assets=list(assets))]
    old = inventory.all("replaced_assets", keys=keys)
    if not old:
        return
    numbers = [row["id"] for row in old]
    with inventory.transaction():
        inventory.run("mark_deleting", assets=numbers)
        inventory.run("granules_deleting", assets=numbers)
    with own_errors(f"move replaced files into {site.settings.trash}"), FileSystemSync(site.settings.trash) as disk:
        for row in old:
            site.storage.retire(row["path"], site.settings.trash / "replaced" / str(row["id"]))
        disk.sync()
    with inventory.transaction():
        inventory.run("mark_deleted", assets=numbers)
        inventory.run("granules_deleted", assets=numbers)
