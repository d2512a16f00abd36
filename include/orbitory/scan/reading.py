"""Files read from disk and held against their digests; what was read, and what is wrong, is written down together."""

from __future__ import annotations

import errno
import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from orbitory.checksum import Hasher
from orbitory.inventory import Row
from orbitory.scan.doubt import trust
from orbitory.scan.findings import AGREEING, Candidate, Finding, confirmed, observe
from orbitory.scan.reconcile import MOST_FINDINGS, require_mounted
from orbitory.site import Site
from orbitory.storage import read_afresh
from orbitory.zones import is_regular, open_beneath

log = logging.getLogger(__name__)

#: So many bytes are written down together: what a crash makes us read again.
_BYTES_AT_ONCE = 4 << 30
_FILES_AT_ONCE = 500
#: The kernel fetches the beginnings of so many files while one is hashed: else each small one waits for the disk.
_AHEAD = 16
_AHEAD_BYTES = 4 << 20

#: Whole; what is wrong; or no ordinary file stands there.
_Result = bool | Finding | None


@dataclass(slots=True, kw_only=True)
class Reading:
    """What a task has read so far."""

    site: Site
    scan: int
    files: int = 0
    volume: int = 0
    whole: int = 0
    found: dict[str, int] = field(default_factory=dict)
    held_back: list[str] = field(default_factory=list)
    hasher: Hasher = field(default_factory=Hasher)

    def read(self, rows: Sequence[Row]) -> bool:
        """Read these files and write down what came of it; False when so much is wrong that it is no use to go on."""
        for results in self._parts(rows):
            self._write_down(results)
            if sum(self.found.values()) > MOST_FINDINGS:
                self.held_back.append("so many files are missing or damaged that storage is at fault: reading stopped")
                return False
        return True

    def _parts(self, rows: Sequence[Row]) -> Iterator[list[tuple[Row, _Result]]]:
        """What parts of these come to; one is read while the last one is written down, which may take as long."""
        coming: deque[Future[list[tuple[Row, _Result]]]] = deque()
        with ThreadPoolExecutor(1) as beside:
            for part in bounded(rows, _FILES_AT_ONCE):
                coming.append(beside.submit(self._results, part))
                if len(coming) > 1:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def _write_down(self, results: Sequence[tuple[Row, _Result]]) -> None:
        good: list[Row] = []
        wrong: list[Finding] = []
        absent: list[Row] = []
        for row, result in results:
            if result is None:
                absent.append(row)
            elif isinstance(result, Finding):
                wrong.append(result)
            else:
                good.append(row)
        if wrong or absent:
            require_mounted(self.site)  # before anything is believed
        absent = self._of_mounted(absent)
        missing, _ = confirmed(self.site, [Candidate(path=row["path"].encode(), known=True) for row in absent])
        observe(self.site, self._still(wrong) + missing)
        for each in (*wrong, *missing):
            self.found[each.kind] = self.found.get(each.kind, 0) + 1
        size = sum(row["size"] for row in good) + sum(each.size or 0 for each in wrong)
        doubted = [row["id"] for row in good if row["state"] == "suspect" or "finding" in row]
        with self.site.inventory.transaction():
            self.site.inventory.one("scan_lazily")
            self.site.inventory.run("scan_read", assets=[row["id"] for row in good])
            self.site.inventory.run("scan_progress", id=self.scan, files=len(results), bytes=size)
        self.whole += trust(self.site, doubted)
        self.files += len(results)
        self.volume += size

    def _results(self, rows: Sequence[Row]) -> list[tuple[Row, _Result]]:
        """Each row with what its file is; asks nothing of the inventory."""
        opened: deque[tuple[Row, int | OSError | None]] = deque()
        results: list[tuple[Row, _Result]] = []
        waiting = iter(rows)
        try:
            while True:
                while len(opened) < _AHEAD and (row := next(waiting, None)) is not None:
                    opened.append((row, self._open(row)))
                if not opened:
                    return results
                row, descriptor = opened.popleft()
                results.append((row, self._judge(row, descriptor)))
        finally:
            for _, descriptor in opened:
                if isinstance(descriptor, int):
                    os.close(descriptor)

    def _open(self, row: Row) -> int | OSError | None:
        root = Path("/") if row["in_place"] else self.site.settings.storage
        try:
            descriptor = open_beneath(root, os.fsencode(row["path"].lstrip("/")))
        except OSError as error:
            return error
        if not is_regular(descriptor):
            os.close(descriptor)
            return None
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(descriptor, 0, min(row["size"], _AHEAD_BYTES), os.POSIX_FADV_WILLNEED)
        return descriptor

    def _judge(self, row: Row, opened: int | OSError | None) -> _Result:
        if opened is None:
            return None
        if isinstance(opened, OSError):
            if opened.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV):
                return None
            return _damaged(row, f"cannot be opened: {opened.strerror}", looks=1)
        try:
            return self._compare(row, opened)
        except OSError as error:
            return _damaged(row, f"cannot be read: {error.strerror}", looks=1)
        finally:
            os.close(opened)

    def _compare(self, row: Row, descriptor: int) -> bool | Finding:
        """What differs is read once more: only if both agree on other bytes it is the file that is wrong."""
        first = self.hasher.digest(descriptor).blake3
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        if first == row["digest"]:
            return True
        second = read_afresh(self.hasher, descriptor)
        if second == first:
            detail = f"has BLAKE3 {first.hex()} on disk, {row['digest'].hex()} in the inventory"
            return _damaged(row, detail, looks=AGREEING)
        detail = f"read twice gave BLAKE3 {first.hex()} and {second.hex()}: its disk, cable or memory is at fault"
        log.error("file %d %s", row["id"], detail)
        return True if second == row["digest"] else _damaged(row, detail, looks=1)

    def _of_mounted(self, rows: Sequence[Row]) -> list[Row]:
        """Those of storage, and of registered folders that hold anything: an empty one looks unmounted."""
        placed = [row["id"] for row in rows if row["in_place"]]
        roots = {row["asset"]: row["root"] for row in self.site.inventory.all("scan_roots", assets=placed)}
        empty = {root for root in set(roots.values()) if not _holds_anything(Path(root))}
        for root in sorted(empty):
            told = (
                f"the registered folder {root} is gone or empty: it looks unmounted, its files were not called missing"
            )
            if told not in self.held_back:
                self.held_back.append(told)
        return [row for row in rows if roots.get(row["id"]) not in empty]

    def _still(self, wrong: Sequence[Finding]) -> list[Finding]:
        """Those whose rows have not left meanwhile."""
        rows = self.site.inventory.all("scan_rows_at", paths=[each.path.decode() for each in wrong]) if wrong else []
        standing = {row["id"] for row in rows if row["state"] in ("archived", "suspect")}
        return [each for each in wrong if each.asset in standing]


def bounded(rows: Sequence[Row], files: int | None = None) -> Iterator[list[Row]]:
    """Rows in parts of so many bytes, or files, at most."""
    part: list[Row] = []
    size = 0
    for row in rows:
        part.append(row)
        size += row["size"]
        if size >= _BYTES_AT_ONCE or len(part) == files:
            yield part
            part, size = [], 0
    if part:
        yield part


def _holds_anything(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def _damaged(row: Row, detail: str, *, looks: int) -> Finding:
    path, told = row["path"].encode(), f"file {row['id']} {detail}"
    return Finding(kind="damaged", path=path, detail=told, asset=row["id"], size=row["size"], looks=looks)
