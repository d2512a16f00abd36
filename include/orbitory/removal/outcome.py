"""What became of a set."""

from __future__ import annotations

import errno
import filecmp
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orbitory.errors import IntegrityError, Transient
from orbitory.inventory.locks import Lock, alone
from orbitory.site import Site
from orbitory.zones import move, own_errors, sync_folder

#: Stands in the trash; without it a trash that should hold something is taken for unmounted.
TRASH_SENTINEL = ".orbitory-trash"

#: So many granules are marked, moved and buried (or brought back) together.
AT_ONCE = 200
#: Likewise of what has expired, which is read less: no keeper of it has to be proved.
MANY_AT_ONCE = 2_000


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
    #: The same by number of the granule.
    stayed: Mapping[int, str] = field(default_factory=dict)
    #: Of ``left`` what a file of which could not be moved: something is wrong there.
    failed: tuple[tuple[str, str], ...] = field(default=())
    #: Granules that left in this very call, and their bytes.
    now: tuple[int, int] = field(default=(0, 0), compare=False)
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


class Busy(Transient):
    """Somebody else is at work there."""


@contextmanager
def one_at_a_time(site: Site, *, patience_seconds: float = 0.0) -> Iterator[None]:
    """No two removals at once: each could take what the other leans on. Raises Busy after ``patience_seconds``.

    Who has it may ask for it again.
    """
    with alone(site.inventory, Lock.REMOVAL, patience_seconds=patience_seconds) as taken:
        if not taken:
            raise Busy("another removal is at work: wait for its end and try again")
        yield


def require_trash(site: Site) -> None:
    """Raise IntegrityError when rows say that the trash holds something and it looks unmounted; a fresh one is made."""
    trash = site.settings.trash
    sentinel = trash / TRASH_SENTINEL
    if sentinel.exists():
        return
    used = any((trash / each).is_dir() for each in ("removal", "replaced"))  # since before there was a sentinel
    days = site.catalogue.keeping().trash_days
    if not used and site.inventory.one("removal_trash_holds", days=days) == {"holds": True}:
        raise IntegrityError(
            f"the trash {trash} has no {TRASH_SENTINEL}: it looks unmounted. Nothing was moved; mount it, or, if what "
            f"it held is really gone, create that empty file"
        )
    with own_errors(f"create the trash {trash}"):
        trash.mkdir(parents=True, exist_ok=True)
        sentinel.touch()
        sync_folder(trash)


def trash_path(set_hash: str, path: str) -> str:
    """Where a stored file stands in the trash, relative to it.

    >>> trash_path("0123456789abcdef" * 4, "nga/WV02/a.ntf")
    'removal/0123456789abcdef/nga/WV02/a.ntf'
    """
    return f"removal/{set_hash[:16]}/{path}"


def move_once(source: Path | str, target: Path | str) -> bool:
    """Move a file; done already when it stands there and no longer here. False when it stands in neither place.

    Raises IntegrityError when both stand and differ, OSError as the system reports it.
    """
    try:
        if move(source, target):
            return True
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        if not Path(source).exists() or not filecmp.cmp(source, target, shallow=False):
            raise IntegrityError(f"{target} holds other bytes than {source}: move it away") from error
        Path(source).unlink()  # copied to another file system, and killed before this
        return True
    return Path(target).exists()
