"""Folders whose contents are not ours, read and emptied by descriptors: no link is followed, no mount is crossed.

Whoever swaps a folder for a link between our look and our step meets ELOOP: every name is opened relative to the open
folder that holds it, so nothing outside the root can be reached.
"""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from orbitory.zones import display

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Nobody nests deeper on purpose; each level holds one descriptor.
_DEEPEST = 100


@dataclass(frozen=True, slots=True)
class Met:
    """One name on a walk. ``parent`` is open only until the walk goes on."""

    parent: int
    name: str
    #: Relative to the root.
    path: str
    status: os.stat_result
    is_folder: bool

    @property
    def shown(self) -> str:
        r"""The path for people: undecodable bytes as ``\xNN``."""
        return display(os.fsencode(self.path))


@dataclass(slots=True)
class Size:
    """What stands below a folder, itself included."""

    bytes: int = 0
    #: Latest change of anything below it, seconds since 1970.
    newest: float = 0.0


@contextmanager
def opened(root: Path) -> Iterator[int]:
    """The root itself, which may be a link that an operator has set. Raises OSError."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def names(folder: int) -> list[tuple[str, os.stat_result]]:
    """Every name in an open folder with what stands there, in order; what vanishes meanwhile is passed over."""
    found = []
    for name in sorted(os.listdir(folder)):
        try:
            found.append((name, os.stat(name, dir_fd=folder, follow_symlinks=False)))
        except FileNotFoundError:
            continue
    return found


def changed(status: os.stat_result) -> float:
    """When the kernel last changed anything about it, in seconds since 1970.

    Nobody can set this time. The time of modification says nothing: ``cp -p``, ``tar``, ``rsync`` and a hard link keep
    one of years ago, and a sender may have written any, one to come or one before the year 1.
    """
    return status.st_ctime


def _raise(path: str, status: os.stat_result, error: OSError) -> None:
    raise error


#: Called with a folder's path, what it is, and why it could not be read.
Trouble = Callable[[str, os.stat_result, OSError], None]


def walk(folder: int, below: str = "", depth: int = 0, *, trouble: Trouble = _raise) -> Iterator[Met]:
    """Every name below an open folder, contents before their folder; where a folder cannot be read it goes on."""
    try:
        if depth > _DEEPEST:
            raise OSError(f"folders are nested deeper than {_DEEPEST}")
        device, found = os.fstat(folder).st_dev, names(folder)
    except OSError as error:
        return trouble(below, os.fstat(folder), error)
    for name, status in found:
        path = f"{below}/{name}" if below else name
        is_folder = modes.S_ISDIR(status.st_mode)
        if is_folder and status.st_dev == device:
            try:
                inner = os.open(name, _FOLDER, dir_fd=folder)
            except OSError as error:
                trouble(path, status, error)
                continue
            try:
                yield from walk(inner, path, depth + 1, trouble=trouble)
            finally:
                os.close(inner)
        yield Met(folder, name, path, status, is_folder)


def survey(folder: int, name: str, status: os.stat_result) -> Size:
    """Size and age of a tree, or of one file."""
    size = Size(newest=changed(status))
    if not modes.S_ISDIR(status.st_mode):
        size.bytes = status.st_size
        return size
    inner = os.open(name, _FOLDER, dir_fd=folder)
    try:
        for met in walk(inner):
            if not met.is_folder and met.status.st_nlink > 1:
                continue  # another name of an archived file: no room that is won, and its time is that of all its names
            size.newest = max(size.newest, changed(met.status))
            size.bytes += 0 if met.is_folder else met.status.st_size
    finally:
        os.close(inner)
    return size


def remove(folder: int, name: str) -> None:
    """Remove a tree, or one file; gone already counts as removed. Raises the first OSError, having removed the rest."""
    first: OSError | None = None
    try:
        inner = os.open(name, _FOLDER, dir_fd=folder)
    except NotADirectoryError:  # a file; or a link, which is removed itself
        os.unlink(name, dir_fd=folder)
        return
    except FileNotFoundError:
        return
    try:
        for met in walk(inner):
            try:
                (os.rmdir if met.is_folder else os.unlink)(met.name, dir_fd=met.parent)
            except FileNotFoundError:
                continue
            except OSError as error:
                first = first or error
    finally:
        os.close(inner)
    if first is not None:
        raise first
    os.rmdir(name, dir_fd=folder)


def clock_of(folder: int) -> float | None:
    """The time that this file system writes beside files, in seconds since 1970; None where nothing can be written."""
    name = f".orbitory-clock-{uuid4().hex}"
    try:
        try:
            nameless = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
        except OSError:  # a kind of file system without them, such as NFS
            nameless = os.open(name, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
            os.unlink(name, dir_fd=folder)
    except OSError:
        return None
    try:
        return changed(os.fstat(nameless))
    finally:
        os.close(nameless)
