"""Every name of a range of storage with its size, in byte order of the whole path, as fast as the file system tells.

Names come in runs, as lines of path, tab and size: runs that agree are then compared as wholes, not name by name.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator, Iterator
from operator import itemgetter
from pathlib import Path

from orbitory.tree import NOT_ARCHIVED, OF_FILE_SYSTEMS
from orbitory.zones import open_beneath, own_errors

_NAME = itemgetter(0)
#: So many lines on from a difference, runs are compared as wholes again.
_ONE_BY_ONE = 256

Run = tuple[list[bytes], int]
#: A name as the file system holds it, and what the folder tells of it.
_Named = tuple[bytes, "os.DirEntry[str]"]
#: Called with a folder that cannot be read, ending in a slash, and why.
Unread = Callable[[bytes, OSError], None]


def _raise(folder: bytes, error: OSError) -> None:
    raise error


def walk(root: Path, low: bytes = b"", high: bytes | None = None, *, unread: Unread = _raise) -> Iterator[Run]:
    """Runs of lines for all names below ``root`` but folders, from ``low`` on and before ``high``, with their bytes.

    What is no ordinary file, or cannot be looked at, has a dash for its size; links are never followed. Holds one
    folder's names per level in memory. What vanishes meanwhile is passed over, and so are folders of file systems.
    ``unread``: of a folder that cannot be read nothing is known, and the walk goes on. Raises ConfigurationError or
    Transient when ``root`` itself cannot be read.
    """
    with own_errors(f"list {root}"):
        top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        pending = [_folder(top, b"", low, high, unread)]
        try:
            while pending:
                for found in pending[-1]:
                    if isinstance(found, bytes):
                        pending.append(_folder(top, found, low, high, unread))
                        break
                    yield found
                else:
                    pending.pop()
        finally:
            for folder in pending:
                folder.close()
            os.close(top)


def _folder(root: int, below: bytes, low: bytes, high: bytes | None, unread: Unread) -> Generator[Run | bytes]:
    """What one folder holds of the range: runs of files, and the folders that stand between them."""
    try:
        descriptor = open_beneath(root, below or b".", os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):  # gone, or something else stands there now
            (unread if below else _raise)(below, error)
        return
    try:
        try:
            with os.scandir(descriptor) as entries:
                found = [(os.fsencode(entry.name), entry) for entry in entries]
        except OSError as error:
            (unread if below else _raise)(below, error)
            return
        if not below:
            found = [each for each in found if each[0] not in NOT_ARCHIVED]
        found.sort(key=_NAME)
        yield from _parts(found, below, low, high)
    finally:
        os.close(descriptor)


def _parts(found: list[_Named], below: bytes, low: bytes, high: bytes | None) -> Iterator[Run | bytes]:
    folders = [name for name, entry in found if entry.is_dir(follow_symlinks=False)]
    files = [each for each in found if not each[1].is_dir(follow_symlinks=False)] if folders else found
    start = 0
    entered = [name for name in folders if name not in OF_FILE_SYSTEMS]
    for path in sorted(below + name + b"/" for name in entered):  # a folder sorts as "name/"
        if path >= low or low.startswith(path):
            end = start
            while end < len(files) and below + files[end][0] < path:
                end += 1
            yield _run(below, files[start:end], low, high)
            start = end
            if high is not None and path >= high:
                return
            yield path
    yield _run(below, files[start:], low, high)


def _run(below: bytes, files: list[_Named], low: bytes, high: bytes | None) -> Run:
    if files and (below + files[0][0] < low or (high is not None and below + files[-1][0] >= high)):
        files = [each for each in files if below + each[0] >= low and (high is None or below + each[0] < high)]
    lines: list[bytes] = []
    total = 0
    for name, entry in files:
        if not entry.is_file(follow_symlinks=False):
            lines.append(b"%b%b\t-" % (below, name))
            continue
        try:
            size = entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
        except OSError:
            lines.append(b"%b%b\t-" % (below, name))  # a second look tells why
            continue
        total += size
        lines.append(b"%b%b\t%d" % (below, name, size))
    return lines, total


def differences(expected: Iterator[list[bytes]], found: Iterator[list[bytes]]) -> Iterator[tuple[bytes, bool]]:
    """Paths whose lines are not the same in both, in order of paths, and whether they are expected at all."""
    ours, theirs = _Lines(expected), _Lines(found)
    while ours.left and theirs.left:
        both = min(ours.left, theirs.left)
        if ours.next(both) == theirs.next(both):
            ours.skip(both)
            theirs.skip(both)
        else:
            yield from _unequal(ours, theirs)
    for rest, known in ((ours, True), (theirs, False)):
        while rest.left:
            yield from ((_path(line), known) for line in rest.next(rest.left))
            rest.skip(rest.left)


class _Lines:
    """Runs of lines, of which some were taken already."""

    def __init__(self, runs: Iterator[list[bytes]]) -> None:
        self._runs, self._run, self._at = runs, list[bytes](), 0
        self.skip(0)

    @property
    def left(self) -> int:
        """Lines of this run; none: there is nothing more."""
        return len(self._run) - self._at

    def next(self, count: int) -> list[bytes]:
        """So many of these, at most."""
        return self._run[self._at : self._at + count]

    def skip(self, count: int) -> None:
        """Take so many of them, and go on to the next run that holds any."""
        self._at += count
        while self._at >= len(self._run) and (following := next(self._runs, None)) is not None:
            self._run, self._at = following, 0


def _unequal(ours: _Lines, theirs: _Lines) -> Iterator[tuple[bytes, bool]]:
    """Go through the next lines of both, of which some differ, one by one."""
    mine, stands = ours.next(_ONE_BY_ONE), theirs.next(_ONE_BY_ONE)
    here = there = 0
    while here < len(mine) and there < len(stands):
        if mine[here] == stands[there]:
            here, there = here + 1, there + 1
            continue
        path, other = _path(mine[here]), _path(stands[there])
        yield min(path, other), path <= other
        here, there = here + (path <= other), there + (other <= path)
    ours.skip(here)
    theirs.skip(there)


def _path(line: bytes) -> bytes:
    return line[: line.rindex(b"\t")]
