"""Inputs outside the archive: tables and files that stand where the definition says."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from blake3 import blake3

from orbitory.inventory import Inventory
from orbitory.pge_definition import PgeInput

_BUFFER_BYTES = 1 << 20
#: What was changed so recently may be changed again without a trace: clocks of file systems tick slowly.
_RECENT_NS = 2_000_000_000


class Statics:
    """Digests of such files, each read once until it changes: device, inode, size and times tell."""

    def __init__(self, inventory: Inventory, folder: Path, rules: Iterable[PgeInput]) -> None:
        """Reads now what is not known: no lock of planning need be held for that.

        Paths of definitions are below ``folder`` unless they are absolute.
        """
        self._digests: dict[str, bytes | None] = {}
        paths = sorted({rule.path or "" for rule in rules})
        known = {row["path"]: row for row in inventory.all("plan_statics", paths=paths)} if paths else {}
        for path in paths:
            row = known.get(path)
            mark, digest = _digest(folder / path, (row["mark"], bytes(row["digest"])) if row else None)
            self._digests[path] = digest
            if mark and digest and (row is None or mark != row["mark"]):
                inventory.run("plan_keep_static", path=path, mark=mark, digest=digest)

    def digest(self, rule: PgeInput) -> bytes | None:
        """BLAKE3 of the file's bytes; None when there is no such file, or it cannot be read."""
        return self._digests[rule.path or ""]


def _digest(path: Path, known: tuple[str, bytes] | None) -> tuple[str, bytes | None]:
    """The file's mark (empty: not to be relied on) and digest."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not hold planning up
        with os.fdopen(descriptor, "rb") as file:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                return "", None
            mark = _mark(before)
            if known and known[0] == mark:
                return known
            hasher = blake3()
            while piece := file.read(_BUFFER_BYTES):
                hasher.update(piece)
            rested = time.time_ns() - max(before.st_mtime_ns, before.st_ctime_ns) > _RECENT_NS
            return mark if rested and _mark(os.fstat(descriptor)) == mark else "", hasher.digest()
    except OSError:
        return "", None


def _mark(told: os.stat_result) -> str:
    return f"{told.st_dev}:{told.st_ino}:{told.st_size}:{told.st_mtime_ns}:{told.st_ctime_ns}"
