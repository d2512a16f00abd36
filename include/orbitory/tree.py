"""A zone as a sorted list of files, read without holding it in memory, and compared with what the inventory expects."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from orbitory.inventory import Inventory
from orbitory.zones import INCOMING, SENTINEL, Storage, own_errors

#: Names in the storage root that are no archived files.
NOT_ARCHIVED = (SENTINEL.encode(), INCOMING.encode())


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a zone that is not a folder."""

    #: Relative to the zone, as the file system holds it.
    path: bytes
    size: int
    #: An ordinary file; not a link, FIFO, socket or device.
    regular: bool

    @property
    def name(self) -> str:
        r"""The path, readable: undecodable bytes as ``\xNN``."""
        return self.path.decode("utf-8", "backslashreplace")


def walk(root: Path, *, skip: Collection[bytes] = ()) -> Iterator[Entry]:
    """Every name below ``root`` but folders, in byte order of the whole path; links are never followed.

    Holds one folder's names per level in memory. Names in ``skip`` are passed over at the top only; what vanishes
    meanwhile is passed over too. Raises ConfigurationError or Transient when ``root`` cannot be read.
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
            yield from _walk(root, below + name, ())
        elif (entry := look(root, below + name)) is not None:
            yield entry


def look(root: bytes | Path, path: bytes) -> Entry | None:
    """The name as it stands now, or None when it is gone or is a folder."""
    with own_errors(f"look at {os.fsdecode(path)}"), suppress(FileNotFoundError, NotADirectoryError):
        status = os.lstat(os.path.join(os.fsencode(root), path))  # what was registered in place has an absolute path
        if not modes.S_ISDIR(status.st_mode):
            return Entry(path, status.st_size, modes.S_ISREG(status.st_mode))
    return None


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
