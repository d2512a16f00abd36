"""archive: durable placement in storage, then the rows become visible, then the landing names go.

Order, per batch: the intent was committed by ``store``; place every file; one syncfs; commit ``archived``; unlink from
landing. A crash at any instant leaves a state that repeating this step finishes. At no instant is the only name gone.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from orbitory.errors import IntegrityError, NotReady, Transient
from orbitory.ingest.ledger import Claim, Outcome, Work, claim, move_on, set_back, stat_in
from orbitory.ingest.retire import clear_landing, retire_replaced
from orbitory.inventory import Row
from orbitory.mfp.rows import has_footprints, refresh
from orbitory.model import State, Tally
from orbitory.site import Site
from orbitory.zones import FileSystemSync, open_beneath, own_errors, stat_at, stat_of

log = logging.getLogger(__name__)


#: Files that make a granule visible; what stands beside them does not.
_HOLDERS = ("data", "manifest", "document")


@dataclass(slots=True)
class _Placed:
    """What became of the batch's files before the commit."""

    good: list[Work] = field(default_factory=list)
    #: Final paths whose bytes also still stand in landing.
    names: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    #: Assets whose intent must be taken back.
    withdrawn: list[int] = field(default_factory=list)

    def give_up(self, work: Work, outcomes: Iterable[Outcome]) -> None:
        """The unit cannot be archived as it was decided."""
        self.outcomes += outcomes
        self.withdrawn += [row["asset_id"] for row in _new(work)]


def archive(site: Site, batch: int) -> Tally:
    """Place the batch's stored files, make them durable, then visible, then remove them from landing.

    It may be repeated after any crash. Raises Transient when storage or inventory is away, IntegrityError when storage
    looks unmounted or holds other bytes under an intended name.
    """
    held = claim(site, batch, "archive")
    if held.done:
        return Tally(batch=batch)
    started = time.monotonic()
    total = _Placed()
    for _ in range(2):  # first what is wholly new, then what leans on it
        placed = _archive_ready(site, held)
        total.good += placed.good
        total.outcomes += placed.outcomes
    left = len(held.rows(State.STORED))
    clear_landing(site, held.source, batch)
    site.storage.discard_incoming(batch)
    new = [row for work in total.good for row in _new(work)]
    if held.source.duplicates == "replace" and not held.in_place:
        retire_replaced(site, [row["asset_id"] for row in new])
    site.inventory.run("close_empty_batches", run=_run_of(site, batch))
    size, seconds = sum(row["size"] for row in new), time.monotonic() - started
    log.info("archive batch=%d files=%d bytes=%d seconds=%.2f", batch, len(new), size, seconds)
    if left:
        raise Transient(
            f"batch {batch}: {left} duplicate files wait for their stored copy, which another batch archives"
        )
    return Tally(batch=batch, done=len(total.good), left=len(total.outcomes), bytes=size)


def _archive_ready(site: Site, held: Claim) -> _Placed:
    """Archive the units all of whose known files are archived by now; units whose keeper never made it wait again.

    A stored copy is read again, against its digest, before the newcomer's name goes (``retire``).
    """
    ready, astray = [], []
    for work in held.units(State.STORED):
        known = [row for row in work.rows if row["reason"] is not None]
        if all(_is_settled(row) for row in known):
            ready.append(work)
        elif any(row["asset_state"] == "deleted" for row in known):
            astray.append(work)
    if not ready and not astray:
        return _Placed()
    placed = _keep_in_place(held, ready) if held.in_place else _place_durably(site, held, ready)
    for work in astray:
        placed.give_up(work, set_back(held, work.rows, "changed", "the copy it duplicated never reached the archive"))
    new = [row for work in placed.good for row in _new(work)]
    holders = [row["asset_id"] for row in new if row["role"] in _HOLDERS]
    known = [row for work in placed.good for row in work.rows if row["reason"] is not None]
    settled = (
        Outcome(id=row["id"], state=State.DUPLICATE, reason=row["reason"], detail=row["detail"]) for row in known
    )
    with held.writing():
        site.inventory.run("archive_assets", assets=[row["asset_id"] for row in new])
        site.inventory.run("archive_granules", assets=holders)
        _withdraw(site, placed.withdrawn)
        held.apply([*placed.outcomes, *move_on(new, State.ARCHIVED), *settled])
        if new and has_footprints(held.source):
            refresh(site, assets=[row["asset_id"] for row in new])
    return placed


def _is_settled(row: Row) -> bool:
    """Whether the stored file that a newcomer met is archived, or was and is not wanted back.

    A suspect one is read again before the newcomer goes, and made whole from it.
    """
    return row["asset_state"] in ("archived", "suspect") or (
        row["reason"] == "skipped" and row["asset_removal"] not in (None, "withdrawn")
    )


def _new(work: Work) -> list[Row]:
    """The unit's files that the archive does not hold yet."""
    return [row for row in work.rows if row["reason"] is None]


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
        site.storage.require_mounted()
        for work in works:
            names: list[str] = []
            try:
                for row in _new(work):
                    if _place(site, held, row):
                        names.append(row["asset_path"])
            except NotReady as error:
                _take_back(site, held, work)
                placed.give_up(work, set_back(held, work.rows, "changed", str(error)))
            except FileNotFoundError:
                _take_back(site, held, work)
                placed.give_up(work, _lost(held, work))
            else:
                placed.good.append(work)
                placed.names += names
        try:
            disk.sync()
            site.storage.require_mounted()
        except (OSError, IntegrityError):
            # Whether these bytes are on that disk can no longer be told; take the names back, start again by copy.
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
        descriptor = open_beneath(held.folder, row["path"])
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


def _keep_in_place(held: Claim, works: Sequence[Work]) -> _Placed:
    """Registered files stand where they belong: they only must still be those that were read."""
    placed = _Placed()
    for work in works:
        try:
            for row in _new(work):
                if stat_at(held.folder, row["path"]) != stat_in(row):
                    raise NotReady(f"{row['name']} changed after it was verified")
            placed.good.append(work)
        except NotReady as error:
            placed.give_up(work, set_back(held, work.rows, "changed", str(error)))
    return placed


def _take_back(site: Site, held: Claim, work: Work) -> None:
    """Leave no name in storage of a unit that is given up: what landing no longer holds goes back there."""
    for row in _new(work):
        landing = held.folder / os.fsdecode(row["path"])
        stored = stat_at(site.settings.storage, os.fsencode(row["asset_path"]))
        linked = stored is not None and stored == stat_at(held.folder, row["path"])
        if linked or (stored is not None and site.storage.digest(row["asset_path"]) == row["digest"]):
            site.storage.give_back(row["asset_path"], landing)


def _lost(held: Claim, work: Work) -> Iterator[Outcome]:
    """What stands neither in landing nor in storage is lost; what else the unit has waits again."""
    for row in work.rows:
        if stat_at(held.folder, row["path"]):
            yield Outcome(id=row["id"], state=State.WAITING, reason="changed", detail="a file of its unit is lost")
        else:
            detail = "neither in landing nor in storage when it was to be archived"
            yield Outcome(id=row["id"], state=State.LOST, reason=None, detail=detail)


def _withdraw(site: Site, assets: Sequence[int]) -> None:
    if not assets:
        return
    keys = [row["key"] for row in site.inventory.all("keys_of_assets", assets=list(assets))]
    site.inventory.run("withdraw_assets", assets=list(assets))
    site.inventory.run("withdraw_granules", assets=list(assets))
    site.inventory.run("rank_versions", keys=keys)
    site.inventory.run("prefer_packaging", keys=keys)
