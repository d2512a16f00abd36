"""Mirrors brought up to date: what was archived is copied, what left the archive for good is removed.

A file is read once: its bytes are hashed on their way into the mirror, and a copy counts only when they agree with the
inventory and have reached the disk. Ingest never waits for any of this.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from orbitory.errors import OrbitoryError, Transient
from orbitory.inventory import Row
from orbitory.inventory.locks import Lock, alone
from orbitory.mirror.figures import mirrors_of, pairs
from orbitory.mirror.place import Place, path_in_mirror, ready
from orbitory.mirror.removing import remove_gone
from orbitory.mirror.verifying import verify_copies
from orbitory.priority import giving_way
from orbitory.scan.findings import Candidate, Finding, confirmed, observe
from orbitory.scan.reading import bounded
from orbitory.scan.reconcile import require_mounted
from orbitory.site import Site
from orbitory.zones import open_beneath

log = logging.getLogger(__name__)

#: So many files are made durable together.
_FILES_AT_ONCE = 500
_PAGE = 5_000
#: What a mirror says about one name; anything else concerns all of it.
_OF_ONE_FILE = {
    errno.EISDIR,
    errno.EFBIG,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.ELOOP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """What one run did to one mirror."""

    mirror: str
    copied: int = 0
    bytes: int = 0
    #: Copies of files that left the archive.
    removed: int = 0
    #: Copies that were read again and agree.
    verified: int = 0
    #: ``(path, why)`` of those that do not: they are made anew.
    bad: tuple[tuple[str, str], ...] = field(default=())
    #: ``(path, why)`` of files that could not be copied, of which the audit was told, and of copies that had to stay.
    failed: tuple[tuple[str, str], ...] = field(default=())
    #: Why nothing more could be copied; empty: everything was tried.
    problem: str = ""

    @property
    def in_order(self) -> bool:
        """Whether nobody need look."""
        return not self.bad and not self.failed and not self.problem

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        lists = {"bad": self.bad, "failed": self.failed}
        return asdict(self) | {key: [{"path": p, "why": why} for p, why in each] for key, each in lists.items()}


@giving_way(idle=True)
def mirror(site: Site, name: str) -> Mirrored:
    """Bring one mirror up to date; may be repeated after any crash, and runs beside ingest and retention.

    Raises ConfigurationError when no setting places it, IntegrityError when it or storage looks unmounted, Transient
    when another run is at it.
    """
    products = mirrors_of(site).get(name, [])
    site.storage.prepare(holds_assets=site.inventory.one("any_asset") is not None)
    with _alone(site, name):
        place = ready(site, name, to_write=True)
        removed, stay = remove_gone(site, name, place)  # first: a full mirror gets room
        done = _copy_all(site, name, place, products)
        verified, bad = verify_copies(site, name, place)
        return replace(done, removed=removed, verified=verified, bad=tuple(bad), failed=(*stay, *done.failed))


@contextmanager
def _alone(site: Site, name: str) -> Iterator[None]:
    with alone(site.inventory, Lock.MIRROR, name) as taken:
        if not taken:
            raise Transient(f"another run brings the mirror {name} up to date: wait for its end")
        yield


def _copy_all(site: Site, name: str, place: Place, products: Sequence[tuple[str, str]]) -> Mirrored:
    """Copy what waits; a pass that met all of it need not be made again for what was archived before."""
    done, started = Mirrored(mirror=name), time.monotonic()
    wanted = [f"{source}/{product}" for source, product in products]
    begun = site.inventory.one("mirror_pass", mirror=name, wanted=wanted)
    assert begun is not None
    for part in _due(site, name, products, begun["since"]) if products else ():
        copied, failed, trouble = _copy(site, name, place, part)
        done = replace(
            done,
            copied=done.copied + len(copied),
            bytes=done.bytes + sum(row["size"] for row in copied),
            failed=(*done.failed, *failed),
            problem=trouble,
        )
        if trouble:
            break
    else:
        whole = begun["since"] is None
        site.inventory.run("mirror_passed", mirror=name, moment=begun["moment"], wanted=wanted, whole=whole)
    seconds = max(time.monotonic() - started, 0.001)
    log.info("mirror=%s files=%d bytes=%d MB/s=%.0f", name, done.copied, done.bytes, done.bytes / seconds / 1e6)
    return done


def _due(site: Site, name: str, products: Sequence[tuple[str, str]], since: datetime | None) -> Iterator[list[Row]]:
    after, query = 0, "mirror_due" if since is None else "mirror_due_since"
    asked = {"mirror": name, **pairs(products), "limit": _PAGE} | ({} if since is None else {"since": since})
    while rows := site.inventory.all(query, after=after, **asked):
        yield from bounded(rows, _FILES_AT_ONCE)
        after = rows[-1]["id"]


def _copy(site: Site, name: str, place: Place, rows: Sequence[Row]) -> tuple[list[Row], list[tuple[str, str]], str]:
    """Copy, make durable, then write down; what is wrong with an original becomes a finding of the audit.

    What was copied, which could not be and why, and why the mirror takes no more.
    """
    batch = _Batch(site=site, name=name, place=place)
    try:
        with place.durable():
            for row in rows:
                if not batch.take(row):
                    break
    except OrbitoryError as error:
        batch.copied, batch.trouble = [], str(error)  # whether they are on disk can no longer be told
    if batch.wrong or batch.absent:
        require_mounted(site)  # before anything is believed
    missing, _ = confirmed(site, batch.absent)
    observe(site, [*batch.wrong, *missing])
    kept = {"assets": [row["id"] for row in batch.copied], "paths": [row["path"] for row in batch.copied]}
    site.inventory.run("mirror_keep", mirror=name, **kept)
    failed = [(each.path.decode(), each.detail) for each in (*batch.wrong, *missing)]
    return batch.copied, [*failed, *batch.refused], batch.trouble


@dataclass(slots=True, kw_only=True)
class _Batch:
    """Files that are made durable together, and what came of each."""

    site: Site
    name: str
    place: Place
    copied: list[Row] = field(default_factory=list)
    wrong: list[Finding] = field(default_factory=list)
    absent: list[Candidate] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    trouble: str = ""

    def take(self, row: Row) -> bool:
        """Copy one; False when the mirror takes no more."""
        try:
            if _put(self.site, self.place, row):
                self.copied.append(row)
            else:
                self._blame(row, "its bytes are not those that the inventory knows")
        except OSError as error:
            match _readable(self.site, row):
                case None:
                    self.absent.append(Candidate(path=row["path"].encode(), known=True))
                case False:
                    self._blame(row, f"it cannot be read: {error.strerror}")
                case True if error.errno in _OF_ONE_FILE:
                    self.refused.append((row["path"], f"the mirror {self.name} cannot take it: {error.strerror}"))
                case True:
                    self.trouble = f"the mirror {self.name} takes no more: {error.strerror} ({row['path']})"
        return not self.trouble

    def _blame(self, row: Row, why: str) -> None:
        """The size is the inventory's: only when the file was read again it is known to be whole."""
        path, detail = row["path"].encode(), f"file {row['id']} could not be copied: {why}"
        self.wrong.append(Finding(kind="damaged", path=path, detail=detail, asset=row["id"], size=row["size"]))


def _readable(site: Site, row: Row) -> bool | None:
    """Whether an original can be read to its end; None: there is none."""
    try:
        return site.storage.digest(row["path"]) is not None or None
    except OSError:
        return False


def _put(site: Site, place: Place, row: Row) -> bool:
    root = Path("/") if row["in_place"] else site.settings.storage
    descriptor = open_beneath(root, os.fsencode(row["path"].lstrip("/")))
    try:
        return place.put(descriptor, path_in_mirror(row["path"]), row["digest"])
    finally:
        os.close(descriptor)
