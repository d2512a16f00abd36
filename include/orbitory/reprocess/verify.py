"""verify: is every archived file still what it was? Nothing but the date of the check is written."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from orbitory.inventory import Row
from orbitory.reprocess.pages import Problem, Slice, Unit, record
from orbitory.zones import own_errors

#: Of what stands under the name, not of the machine: a bad sector, a folder, a link, a device.
_DAMAGE = {errno.EIO, errno.EISDIR, errno.ELOOP, errno.EXDEV, errno.ENXIO, errno.ENODEV}


def verify(piece: Slice, page: Sequence[Unit]) -> int:
    """Hash every file of the page, renew the dates of those that are sound and record the others; how many are sound.

    Raises Transient or ConfigurationError when storage cannot be read.
    """
    sound: list[int] = []
    problems: list[Problem] = []
    for row in (row for unit in page for row in unit.own):
        if (problem := _problem(piece, row)) is None:
            sound.append(row["asset_id"])
        else:
            problems.append(problem)
    with piece.site.inventory.transaction():
        renewed = piece.site.inventory.run("reprocess_sound", assets=sound)
        record(piece, problems)
        piece.count(renewed)
    return renewed


def _problem(piece: Slice, row: Row) -> Problem | None:
    expected: bytes = row["digest"]
    with own_errors(f"read {row['path']} in storage"):
        try:
            found = piece.site.storage.digest(row["path"])
        except OSError as error:
            if error.errno not in _DAMAGE:
                raise
            return Problem(asset=row["asset_id"], code="unreadable", detail=f"cannot be read: {error.strerror}")
    if found is None:
        return Problem(asset=row["asset_id"], code="missing", detail="there is no such file")
    if found != expected:
        detail = f"has BLAKE3 {found.hex()} on disk, {expected.hex()} in the inventory"
        return Problem(asset=row["asset_id"], code="damaged", detail=detail)
    return None
