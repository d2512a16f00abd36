"""verify: the bytes are what their sender announced, and a container that can be what it claims."""

from __future__ import annotations

import errno
import logging
import os
import posixpath
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from orbitory.checksum import Digests, Hasher
from orbitory.errors import DataError, NotReady
from orbitory.extract import quick_check
from orbitory.ingest.ledger import Claim, Outcome, Work, claim, reject, set_back, stat_in
from orbitory.ingest.retire import clear_landing
from orbitory.inventory import Row
from orbitory.model import Stat, State, Tally
from orbitory.site import Site
from orbitory.zones import has_writer, is_regular, open_beneath, own_errors, stat_at, stat_of

log = logging.getLogger(__name__)

#: Write down what is verified at least this often, so that a crash repeats little and the lease stays alive.
FLUSH_SECONDS = 20.0


#: The "algorithm" of a delivery record that announces a size and no checksum.
SIZE_ONLY = "size"
#: Whose first bytes must be what the name promises.
_CONTAINERS = ("data", "sibling", "bundle", "browse")
#: Nothing is lost with an empty one of these: real orders hold empty licences.
_MAY_BE_EMPTY = ("checksum", "document")


@dataclass(slots=True)
class Progress:
    """Outcomes not yet written, and the count of all."""

    held: Claim
    pending: list[Outcome] = field(default_factory=list)
    done: int = 0
    rejected: int = 0
    left: int = 0
    bytes: int = 0
    _flushed: float = field(default_factory=time.monotonic)

    def add(self, outcomes: Iterator[Outcome], size: int) -> None:
        """Take the outcomes of one unit; write when it is time."""
        unit = list(outcomes)
        self.pending += unit
        match unit[0].state:
            case State.REJECTED | State.CONFLICT:
                self.rejected += 1
            case State.WAITING | State.LOST:
                self.left += 1
            case _:
                self.done += 1
                self.bytes += size
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Commit what is pending, under the claim."""
        with self.held.writing():
            self.held.apply(self.pending)
        self.pending.clear()
        self._flushed = time.monotonic()

    def tally(self) -> Tally:
        """The step's result."""
        return Tally(batch=self.held.batch, done=self.done, rejected=self.rejected, left=self.left, bytes=self.bytes)


def verify(site: Site, batch: int) -> Tally:
    """Hash every detected file of the batch once and compare with all that was announced; reject what differs.

    Files already verified are left alone, so it may be repeated. A file that changed since detect goes back to waiting.
    Raises Transient or ConfigurationError when the landing zone cannot be read.
    """
    held = claim(site, batch, "verify")
    progress = Progress(held)
    if held.done:
        return progress.tally()
    started, hasher = time.monotonic(), Hasher()
    for work in held.units(State.DETECTED):
        if work.main["reason"] is not None:  # decided by detect from the name or the set alone
            progress.add(reject(held, work, work.main["reason"], work.main["detail"]), 0)
            continue
        try:
            progress.add(_verified(held, hasher, work), work.bytes)
        except DataError as error:
            progress.add(reject(held, work, error.code, error.detail), 0)
        except NotReady as error:
            progress.add(set_back(held, work.rows, "changed", str(error)), 0)
        except FileNotFoundError:
            progress.add(_vanished(held, work), 0)
    progress.flush()
    clear_landing(site, held.source, batch)
    seconds = time.monotonic() - started
    log.info("verify batch=%d files=%d bytes=%d seconds=%.2f", batch, progress.done, progress.bytes, seconds)
    return progress.tally()


def _verified(held: Claim, hasher: Hasher, work: Work) -> Iterator[Outcome]:
    found = []
    for row in work.rows:
        announced = row["announced"]
        digests = _digest(held, hasher, row, {entry["algorithm"] for entry in announced} - {SIZE_ONLY})
        if row["role"] not in _MAY_BE_EMPTY and digests.size == 0:
            raise DataError("size", _of(work, row, "the file is empty"))
        for entry in announced:
            _compare(row, entry, digests, held)
        if row["role"] in _CONTAINERS:
            quick_check(row["name"], digests.head, digests.size)
        found.append((row, digests))
    return (Outcome(id=row["id"], state=State.VERIFIED, digest=each.blake3) for row, each in found)


def _of(work: Work, row: Row, problem: str) -> str:
    """Name the file where the unit has several."""
    return problem if row is work.main else f"{posixpath.basename(row['name'])}: {problem}"


def _digest(held: Claim, hasher: Hasher, row: Row, algorithms: set[str]) -> Digests:
    """Read the file once, making sure that it is the one detect saw, before and after."""
    try:
        descriptor = open_beneath(held.folder, row["path"])
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EXDEV, errno.ENXIO):
            raise DataError("type", f"{row['name']} is no regular file any more, or stands behind a link") from error
        with own_errors(f"open {row['name']} in {held.folder}"):
            raise
    try:
        if not is_regular(descriptor):
            raise DataError("type", f"{row['name']} is no longer a regular file")
        if has_writer(descriptor):
            raise NotReady(f"{row['name']} is still open for writing")
        _same(row, stat_of(os.fstat(descriptor)))
        with own_errors(f"read {row['name']} in {held.folder}"):
            digests = hasher.digest(descriptor, algorithms)
        _same(row, stat_of(os.fstat(descriptor)))
        return digests
    finally:
        os.close(descriptor)


def _same(row: Row, found: Stat) -> None:
    if found != stat_in(row):
        raise NotReady(f"{row['name']} changed since it was detected (size {row['size']}, now {found.size})")


def _compare(row: Row, entry: dict[str, object], digests: Digests, held: Claim) -> None:
    young = row["age"] < held.source.completeness.minimum_age_seconds
    if entry["size"] is not None and entry["size"] != digests.size:
        problem = DataError("size", f"{entry['origin']} announces {entry['size']} bytes, the file has {digests.size}")
    elif entry["algorithm"] == SIZE_ONLY:
        return
    elif (got := digests.values[str(entry["algorithm"])]) != entry["value"]:
        problem = DataError(
            "checksum", f"{entry['origin']} announces {entry['algorithm']} {entry['value']}, the file has {got}"
        )
    else:
        return
    if young:  # its sender may not have finished: judge it when it has come to rest
        raise NotReady(f"not yet what was announced, and changed a moment ago: {problem.detail}")
    raise problem


def _vanished(held: Claim, work: Work) -> Iterator[Outcome]:
    """A file was removed or renamed by its sender after it was complete: that one is lost, the others wait again."""
    detail = "vanished from landing between detect and verify"
    if held.in_place:
        yield from set_back(held, work.rows, "changed", detail)
        return
    for row in work.rows:
        stands = stat_at(held.folder, row["path"]) is not None
        state, reason = (State.WAITING, "changed") if stands else (State.LOST, None)
        yield Outcome(id=row["id"], state=state, reason=reason, detail=detail)
