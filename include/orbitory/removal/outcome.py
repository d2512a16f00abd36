"""What became of a set."""

from __future__ import annotations

import errno
import filecmp
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orbitory.errors import IntegrityError, Transient
from orbitory.site import Site
from orbitory.zones import move

#: So many granules are marked, moved and buried (or brought back) together.
AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How far a set got. Counts are of granules."""

    hash: str
    #: ``applied``, ``undone``, or ``unfinished``: something of it stayed as it was. What should still go is for another
    #: plan to find; what should still come back is tried again by the same call.
    state: str
    count: int
    files: int
    bytes: int
    #: ``(key, why)`` of what stayed as it was.
    left: tuple[tuple[str, str], ...] = field(default=())
    #: Whether it was to come back.
    back: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return {
            "set_hash": self.hash,
            "state": self.state,
            "count": self.count,
            "files": self.files,
            "bytes": self.bytes,
            "left": [{"key": key, "why": why} for key, why in self.left],
        }

    @property
    def message(self) -> str:
        """In words."""
        done = "brought back" if self.back else "removed"
        text = f"{self.count:,} granules with {self.files:,} files {done}"
        return f"{text}; {len(self.left):,} stay as they were" if self.left else text


@contextmanager
def one_at_a_time(site: Site) -> Iterator[None]:
    """No two removals at once: each could take what the other leans on. Raises Transient."""
    row = site.inventory.one("removal_try_lock")
    if row is None or not row["taken"]:
        raise Transient("another removal is at work: wait for its end and try again")
    try:
        yield
    finally:
        with suppress(Transient):  # a broken session has let go of it
            site.inventory.one("removal_unlock")


def trash_path(set_hash: str, path: str) -> str:
    """Where a stored file stands in the trash, relative to it.

    >>> trash_path("0123456789abcdef" * 4, "nga/WV02/a.ntf")
    'removal/0123456789abcdef/nga/WV02/a.ntf'
    """
    return f"removal/{set_hash[:16]}/{path}"


def move_once(source: Path, target: Path) -> bool:
    """Move a file; done already when it stands there and no longer here. False when it stands in neither place.

    Raises IntegrityError when both stand and differ, OSError as the system reports it.
    """
    try:
        if move(source, target):
            return True
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        if not source.exists() or not filecmp.cmp(source, target, shallow=False):
            raise IntegrityError(f"{target} holds other bytes than {source}: move it away") from error
        source.unlink()  # copied to another file system, and killed before this
        return True
    return target.exists()
