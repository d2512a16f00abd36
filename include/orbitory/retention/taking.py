"""Files that are no granules: how their ages are told, and how they are taken away.

Ages are told by the database's clock since the kernel last changed something about a file; a file system whose clock
differs from it, or cannot be asked, has no ages that count, so nothing is removed there. What cannot be removed is told
and tried again; the rest goes.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orbitory.errors import Transient
from orbitory.retention import walking
from orbitory.retention.naming import clock
from orbitory.retention.outcome import Done, Item, Pass
from orbitory.site import Site
from orbitory.zones import display, open_beneath

#: Clocks of machines that keep time differ by less.
_SAME_TIME = timedelta(hours=1)


class Work:
    """Takes what is due, unless it only looks, and keeps count."""

    def __init__(self, rule: str, look: Pass) -> None:
        """For one rule and one run."""
        self.rule, self.look = rule, look
        self._items: list[Item] = []
        self._failed: list[tuple[str, str]] = []
        self._removed, self._bytes = 0, 0

    def take(self, item: Item, folder: int, name: str) -> None:
        """Remove a name in an open folder, with all below it."""
        self._items.append(item)
        if not self.look.dry:
            try:
                walking.remove(folder, name)
            except OSError as error:
                self.fail(item.name, error)
            else:
                self._count(item)

    def take_beneath(self, item: Item, root: Path, path: bytes) -> bool:
        """Remove the file at ``path`` strictly below ``root``; True when it has gone (or would go)."""
        self._items.append(item)
        if self.look.dry:
            return True
        above, _, name = path.rpartition(b"/")
        try:
            with walking.opened(root) as top:
                if _unlinked(top, above or b".", name):
                    self._count(item)
        except OSError as error:
            self.fail(item.name, error)  # also where the root itself is gone
            return False
        return True

    def fail(self, name: str, error: OSError) -> None:
        """What should have gone, or been looked at, and could not."""
        self._failed.append((display(os.fsencode(name)), f"cannot be removed: {error.strerror or error}"))

    def _count(self, item: Item) -> None:
        self._removed += 1
        self._bytes += item.bytes

    def done(self) -> Done:
        """What it came to."""
        return Done(
            rule=self.rule,
            items=tuple(self._items),
            removed=self._removed,
            bytes=self._bytes,
            failed=tuple(self._failed),
        )


def _unlinked(top: int, above: bytes, name: bytes) -> bool:
    """Remove a name strictly below an open folder; False when an earlier try came this far."""
    try:
        folder = open_beneath(top, above)
        try:
            os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)
    except FileNotFoundError:
        return False
    return True


def whole_folders(site: Site, work: Work, root: Path, days: int, used: set[str] | None = None) -> None:
    """Each name in ``root`` of which nothing is younger; ``used``: never these."""
    if not root.is_dir():
        return
    cutoff = (work.look.now - timedelta(days=days)).timestamp()
    zone = root.relative_to(root.parents[1])
    with walking.opened(root) as folder:
        require_clock(site, folder, root)
        for name, status in walking.names(folder):
            if name in (used or ()) or walking.changed(status) > cutoff:
                continue
            shown = display(os.fsencode(f"{zone}/{name}"))
            try:
                size = walking.survey(folder, name, status)
            except OSError as error:
                work.fail(shown, error)
                continue
            if size.newest > cutoff:
                continue
            item = Item(
                kind=work.rule,
                name=shown,
                rule=f"{zone} is kept for {days} days",
                expires=moment_of(size.newest, days),
                bytes=size.bytes,
            )
            work.take(item, folder, name)


def moment_of(seconds: float, days: int) -> datetime:
    """When the time of what changed last then is over."""
    return datetime.fromtimestamp(seconds, UTC) + timedelta(days=days)


def require_clock(site: Site, folder: int, root: Path) -> None:
    """Raise Transient when the file system's clock is not the database's."""
    there = walking.clock_of(folder)
    if there is None:
        raise Transient(
            f"{root} tells no time, as nothing can be written there: ages mean nothing, nothing was removed"
        )
    off = datetime.fromtimestamp(there, UTC) - clock(site)
    if abs(off) > _SAME_TIME:
        raise Transient(
            f"the clock of the file system of {root} is {abs(off)} {'ahead of' if off > timedelta(0) else 'behind'} "
            f"the database's: ages of its files mean nothing, so nothing was removed there; set that machine's clock"
        )
