"""A zone as a sorted list of files, read without holding it in memory, and compared with what the inventory expects."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from orbitory.inventory import Inventory
from orbitory.storage import Storage
from orbitory.zones import INCOMING, SENTINEL, look_beneath, own_errors

#: Folders of file systems: every mount below storage has its own.
OF_FILE_SYSTEMS = (b"lost+found", b".snapshot")
#: Names in the storage root that are no archived files.
NOT_ARCHIVED = (SENTINEL.encode(), INCOMING.encode(), *OF_FILE_SYSTEMS)


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a zone that is not a folder."""

    #: Relative to the zone, as the file system holds it.
    path: bytes
    size: int
    #: An ordinary file; not a link, FIFO, socket or device.
    regular: bool
    #: Why it cannot even be looked at, in the system's words; empty: it can.
    trouble: str = ""

    @property
    def name(self) -> str:
        r"""The path, readable: undecodable bytes as ``\xNN``."""
        return self.path.decode("utf-8", "backslashreplace")


def walk(root: Path, *, skip: Collection[bytes] = ()) -> Iterator[Entry]:
    """Every name below ``root`` but folders, in byte order of the whole path; links are never followed.

    Holds one folder's names per level in memory. Names in ``skip`` are passed over at the top only, folders of file
    systems wherever they stand, and what vanishes meanwhile. Raises ConfigurationError or Transient when ``root``, or a
    folder below it, cannot be read.
    """
    with own_errors(f"list {root}"):
        next(root.iterdir(), None)
    yield from _walk(os.fsencode(root), b"", skip)


def _walk(root: bytes, below: bytes, skip: Collection[bytes]) -> Iterator[Entry]:
    folder = root + b"/" + below
    with own_errors(f"list {os.fsdecode(folder)}"):
        try:
            with os.scandir(folder) as found:
                # A folder sorts as "name/": only so does the walk come out in the order of whole paths.
                entries = sorted((e.name + b"/" if e.is_dir(follow_symlinks=False) else e.name) for e in found)
        except FileNotFoundError:
            return
    for name in entries:
        if name.rstrip(b"/") in skip:
            continue
        if name.endswith(b"/"):
            if name[:-1] not in OF_FILE_SYSTEMS:
                yield from _walk(root, below + name, ())
        else:
            try:
                status = os.lstat(folder + name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                yield _unseen(below + name, error)
                continue
            if not modes.S_ISDIR(status.st_mode):
                yield _entry(below + name, status)


def look(root: bytes | Path, path: bytes) -> Entry | None:
    """The name as it stands now, or None when it is gone, is a folder, or is reached through a link.

    ``path`` is relative to ``root``, or absolute where an archive was registered in place. What the system does not let
    us look at stands there, and says why: one broken name costs no other one.
    """
    zone = Path("/") if path.startswith(b"/") else Path(os.fsdecode(root))
    try:
        status = look_beneath(zone, path.lstrip(b"/"))
    except OSError as error:
        return _unseen(path, error)
    return None if status is None or modes.S_ISDIR(status.st_mode) else _entry(path, status)


def _entry(path: bytes, status: os.stat_result) -> Entry:
    return Entry(path, status.st_size, modes.S_ISREG(status.st_mode))


def _unseen(path: bytes, error: OSError) -> Entry:
    return Entry(path, 0, False, f"cannot be looked at: {error.strerror}")


Expected = TypeVar("Expected")


def pair(
    expected: Iterator[tuple[bytes, Expected]], found: Iterator[Entry]
) -> Iterator[tuple[Expected | None, Entry | None]]:
    """Merge two streams in byte order of path: what is expected beside what is found, None where one is absent."""
    row, entry = next(expected, None), next(found, None)
    while row is not None or entry is not None:
        if entry is None or (row is not None and row[0] < entry.path):
            assert row is not None
            yield row[1], None
            row = next(expected, None)
        elif row is None or entry.path < row[0]:
            yield None, entry
            entry = next(found, None)
        else:
            yield row[1], entry
            row, entry = next(expected, None), next(found, None)


def content(storage: Storage, entry: Entry) -> bytes | None:
    """BLAKE3 of a file in storage; None when it is gone, or is a link, FIFO, socket or device."""
    with own_errors(f"read {entry.name} in storage"):
        return storage.digest(os.fsdecode(entry.path)) if entry.regular else None


def expects_files(inventory: Inventory) -> bool:
    """Whether the inventory says that storage holds anything."""
    row = inventory.one("audit_any_asset")
    return row is not None and bool(row["holds"])
