"""Storage cut into ranges of paths, so that many tasks can look at it and no name falls between two of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orbitory.site import Site
from orbitory.tree import NOT_ARCHIVED
from orbitory.zones import own_errors

#: More tasks than this help nobody: neighbours share one.
MOST_PARTITIONS = 100
#: So many folders are asked of the inventory; ranges without gaps need not know all of them.
_MOST_FOLDERS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """All paths from ``low`` on and before ``high``, in byte order."""

    low: str
    #: None: to the end.
    high: str | None

    @property
    def name(self) -> str:
        """For people: the first folder in it, or the beginning."""
        return self.low.rstrip("/") or "from the first"

    @property
    def span(self) -> dict[str, bytes | None]:
        """Both ends as the file system holds names."""
        return {"low": self.low.encode(), "high": None if self.high is None else self.high.encode()}

    def as_dict(self) -> dict[str, Any]:
        """Plain values for XCom."""
        return asdict(self)


def partitions(site: Site) -> list[Partition]:
    """Ranges that begin at each ``folder/folder/`` that storage or inventory has, and together hold every path."""
    folders = {row["folder"] for row in site.inventory.all("scan_folders", limit=_MOST_FOLDERS)}
    folders.update(_folders(site.settings.storage))
    return list(_ranges(folders))


def _ranges(folders: Iterable[str]) -> Iterator[Partition]:
    """Ranges between these, neighbours joined where there are too many.

    >>> [(each.low, each.high) for each in _ranges(["nga/WV02/", "idps/NPP/"])]
    [('', 'nga/WV02/'), ('nga/WV02/', None)]
    """
    every = sorted(set(folders), key=str.encode)
    step = max(1, -(-len(every) // MOST_PARTITIONS))
    lows = ["", *every[step::step]]
    for low, high in zip(lows, [*lows[1:], None], strict=True):
        yield Partition(low=low, high=high)


def _folders(root: Path) -> Iterator[str]:
    """The first two levels of folders as they stand; names that are no text begin no range."""
    with own_errors(f"list {root}"):
        for name in _names(os.fsencode(root)):
            if name not in NOT_ARCHIVED:
                for below in _names(os.path.join(os.fsencode(root), name)):
                    try:
                        yield f"{name.decode()}/{below.decode()}/"
                    except UnicodeDecodeError:
                        continue


def _names(folder: bytes) -> list[bytes]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
