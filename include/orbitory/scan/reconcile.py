"""Names and sizes of one range of storage held against the inventory, three ways.

The inventory is read page by page ahead of the walk, both in byte order of paths; only where they differ is the path
looked at again (``findings.confirmed``), so neither deliveries nor removals at the same time are mistaken for losses.
"""

from __future__ import annotations

import logging
import os
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from orbitory import tree
from orbitory.errors import IntegrityError
from orbitory.priority import giving_way, rest
from orbitory.scan.acting import Acted, act
from orbitory.scan.aside import finish_moves
from orbitory.scan.doubt import bring_back
from orbitory.scan.findings import Candidate, confirmed, observe
from orbitory.scan.guard import LIMITS, Limits
from orbitory.scan.partitions import Partition
from orbitory.scan.walk import differences, walk
from orbitory.site import Site
from orbitory.zones import SENTINEL, display

log = logging.getLogger(__name__)

#: More fit no cache of the processor, and cost twice as much each.
_PAGE = 5_000
#: So many differences are looked at again together.
_AT_ONCE = 1_000
#: So many folders that cannot be read are told.
_SHOWN = 20
#: A range in which more is wrong has lost a mount, not files: the first ones tell it.
MOST_FINDINGS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What one range came to."""

    files: int
    bytes: int
    #: Differences that were confirmed, by kind.
    found: Mapping[str, int]
    acted: Acted = field(default_factory=Acted)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for XCom."""
        return asdict(self)


def require_mounted(site: Site) -> None:
    """Raises IntegrityError when storage looks unmounted: then its files are not missing, and nothing is done."""
    if not (site.settings.storage / SENTINEL).exists() and tree.expects_files(site.inventory):
        raise IntegrityError(
            f"storage {site.settings.storage} has no {SENTINEL}: it looks unmounted. Nothing was compared and nothing "
            f"was done; mount it and start again"
        )


@giving_way(idle=True)
def reconcile(site: Site, partition: Partition, limits: Limits = LIMITS) -> Reconciled:
    """Compare one range of paths, write down what differs, and act on what two runs agree on.

    May be repeated and run beside ingest, retention and other ranges. Raises IntegrityError when storage looks
    unmounted, before or after.
    """
    require_mounted(site)
    finish_moves(site)
    started, root = time.monotonic(), site.settings.storage
    opened = site.inventory.one("scan_begin", kind="reconcile", partition=partition.low, actor=site.actor)
    since = site.inventory.one("scan_spent")
    assert opened is not None and since is not None
    device = os.stat(root).st_dev if root.is_dir() else None
    total = _Total(site=site)
    total.compare(partition)
    if root.is_dir() and os.stat(root).st_dev != device:
        raise IntegrityError(f"another file system was mounted on {root} meanwhile: nothing was done")
    with site.inventory.transaction():
        site.inventory.run("scan_close_gone")
        if not total.too_much:
            site.inventory.run("scan_close_unseen", since=since["moment"], unread=total.unread, **partition.span)
        site.inventory.run("scan_progress", id=opened["id"], files=total.files, bytes=total.volume)
        site.inventory.run("scan_finish", id=opened["id"])
    acted = total.held_back(partition) or act(site, partition, seen=total.files, limits=limits)
    seconds = time.monotonic() - started
    log.info("reconcile partition=%s files=%d found=%s seconds=%.2f", partition.name, total.files, total.found, seconds)
    acted = acted.more(whole=total.whole, held_back=total.told)
    return Reconciled(files=total.files, bytes=total.volume, found=total.found, acted=acted)


@dataclass(slots=True, kw_only=True)
class _Total:
    """What a walk has met so far; memory is bounded by ``_AT_ONCE``."""

    site: Site
    files: int = 0
    volume: int = 0
    found: dict[str, int] = field(default_factory=dict)
    #: Suspect files that are whole again.
    whole: int = 0
    #: Folders that could not be read, in order, each with a slash; what stands below them is not known.
    unread: list[bytes] = field(default_factory=list)
    #: The first of them with the reason.
    told: list[str] = field(default_factory=list)

    @property
    def too_much(self) -> bool:
        """Whether more is wrong than is worth writing down."""
        return sum(self.found.values()) > MOST_FINDINGS

    def held_back(self, partition: Partition) -> Acted | None:
        """Why nothing is done at all; None: there is no reason."""
        if not self.too_much:
            return None
        told = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.found.items()))
        why = f"{told} in {partition.name}: storage is at fault, nothing was done and only the first were written down"
        return Acted(held_back=(why,))

    def compare(self, partition: Partition) -> None:
        """Merge inventory and storage; look again where they differ."""
        differing: list[Candidate] = []
        for path, known in differences(_expected(self.site, partition), self._standing(partition)):
            differing.append(Candidate(path=path, known=known))
            if len(differing) == _AT_ONCE:
                self._confirm(differing)
                differing = []
        self._confirm(differing)

    def _standing(self, partition: Partition) -> Iterator[list[bytes]]:
        root, span = self.site.settings.storage, partition.span
        if root.is_dir():
            for lines, size in walk(root, span["low"] or b"", span["high"], unread=self._unread):
                self.files += len(lines)
                self.volume += size
                yield lines

    def _unread(self, folder: bytes, error: OSError) -> None:
        self.unread.append(folder)
        if len(self.told) < _SHOWN:
            self.told.append(f"{display(folder)} cannot be read: {error.strerror}; nothing below it was compared")

    def _is_known(self, path: bytes) -> bool:
        at = bisect_right(self.unread, path)
        return at == 0 or not path.startswith(self.unread[at - 1])

    def _confirm(self, differing: list[Candidate]) -> None:
        wrong, back = confirmed(self.site, [each for each in differing if self._is_known(each.path)])
        whole, others = bring_back(self.site, back)
        self.whole += whole
        wrong += others
        require_mounted(self.site)  # before anything is believed
        if not self.too_much:
            observe(self.site, wrong)
        for each in wrong:
            self.found[each.kind] = self.found.get(each.kind, 0) + 1


def _expected(site: Site, partition: Partition) -> Iterator[list[bytes]]:
    """What the inventory says of storage, page by page: no transaction stays open during the walk.

    Paths that begin with a slash were registered in place: they stand outside storage.
    """
    low, high = partition.low, partition.high
    before = "/" if high is None else min(high, "/")
    for first, last in [(low, before), ("0", high)] if low < "/" else [(low, high)]:
        after, began = "", time.monotonic()
        while page := site.inventory.one("scan_page", low=first, high=last, after=after, limit=_PAGE):
            if not page["lines"]:
                break
            yield page["lines"].encode().split(b"\n")
            after = page["last"]
            rest(site.inventory, worked=time.monotonic() - began)
            began = time.monotonic()
