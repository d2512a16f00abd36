"""What a running PGE uses, as the process that watches over it can see: processes, memory, disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
#: What a file or folder counts at least, so that a limit in bytes is one in files too.
FILE_BYTES = 4096


def descendants() -> Iterator[int]:
    """Process ids of everything below this process, in no order."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - names alone, several times a second
        if name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                status = Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split()
                children.setdefault(int(status[1]), []).append(int(name))
    pending = [os.getpid()]
    while pending:
        found = children.get(pending.pop(), [])
        pending += found
        yield from found


def memory_in_use() -> int:
    """Bytes of their own that the PGE's processes hold; what they share with files is not counted."""
    total = 0
    for pid in descendants():
        with suppress(OSError, ValueError):
            resident, shared = Path(f"/proc/{pid}/statm").read_bytes().split()[1:3]
            total += (int(resident) - int(shared)) * _PAGE
    return total


def disk_in_use(folders: list[str], most: int) -> int:
    """Bytes that files and folders below ``folders`` occupy, or a number above ``most`` as soon as that is sure.

    Links are not followed. What cannot be looked into, because of its mode or its depth, might hold anything: too much.
    """
    total, pending = 0, list(folders)
    while pending and total <= most:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                        total += FILE_BYTES
                    else:
                        total += max(FILE_BYTES, entry.stat(follow_symlinks=False).st_blocks * 512)
                    if total > most:
                        break
        except FileNotFoundError:
            continue  # gone meanwhile
        except OSError:
            return most + 1
    return total
