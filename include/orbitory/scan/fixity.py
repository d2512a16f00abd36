"""Stored files read again, longest unread first, so many bytes a day.

What was read since a run began is done, so a task that died goes on where it stopped, and what a day's budget does not
reach comes first the next day. What something is wrong with has a queue and a share of its own: it is looked at in
every run, and never keeps the others waiting. Files are read from disk, not from memory that the kernel kept of them.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from orbitory.inventory import Row
from orbitory.priority import giving_way, rest
from orbitory.scan.acting import Acted, act
from orbitory.scan.guard import LIMITS, Limits
from orbitory.scan.partitions import Partition, partitions
from orbitory.scan.reading import Reading
from orbitory.scan.reconcile import require_mounted
from orbitory.site import Site

log = logging.getLogger(__name__)

_PAGE = 5_000
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
#: Of the bytes of a day, one in so many may be read of files that something is wrong with.
_DOUBTFUL_SHARE = 10
_MOST_DOUBTFUL = 10_000


@dataclass(slots=True, kw_only=True)
class Part:
    """What one task reads: the longest unread files of one range of paths."""

    low: str
    high: str | None
    #: When the run began, ISO 8601: what was read later is done.
    since: str
    files: int = 0
    bytes: int = 0
    #: Bytes of these whose files were found wrong before.
    doubtful: int = 0
    #: The last file of the plan: when it was read, and its number.
    until: str = _LONG_AGO.isoformat()
    until_id: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for XCom."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What one task has read."""

    files: int
    bytes: int
    found: Mapping[str, int] = field(default_factory=dict)
    acted: Acted = field(default_factory=Acted)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for XCom."""
        return asdict(self)


def plan_fixity(site: Site, daily_bytes: int | None, ranges: Sequence[Partition] | None = None) -> list[Part]:
    """Shares of what ``daily_bytes`` leave for today (UTC), longest unread first; None: everything."""
    require_mounted(site)
    ranges = ranges or partitions(site)
    spent = site.inventory.one("scan_spent")
    assert spent is not None
    left = float("inf") if daily_bytes is None else max(0, daily_bytes - spent["bytes"])
    parts = [Part(**each.as_dict(), since=spent["moment"].isoformat()) for each in ranges]
    lows = [each.low for each in ranges]
    for row in _doubtful(site, Partition(low="", high=None).span | {"since": spent["moment"]}, left / _DOUBTFUL_SHARE):
        part = parts[bisect_right(lows, row["path"]) - 1]
        part.files, part.bytes, part.doubtful = part.files + 1, part.bytes + row["size"], part.doubtful + row["size"]
        left -= row["size"]
    with closing(site.inventory.stream("scan_oldest", since=spent["moment"])) as rows:
        for row in rows if left > 0 else ():
            part = parts[bisect_right(lows, row["path"]) - 1]
            part.files, part.bytes = part.files + 1, part.bytes + row["size"]
            part.until, part.until_id = row["fixity_at"].isoformat(), row["id"]
            left -= row["size"]
            if left <= 0:
                break
    return [part for part in parts if part.files]


def _doubtful(site: Site, asked: Mapping[str, Any], budget: float) -> Iterator[Row]:
    """Files that something is wrong with, those longest not looked at first, as far as these bytes go."""
    rows = site.inventory.all("scan_doubtful", after=_LONG_AGO, after_id=0, limit=_MOST_DOUBTFUL, **asked)
    for row in rows:
        if budget <= 0:
            return
        yield row
        budget -= row["size"]


@giving_way(idle=True)
def verify(site: Site, part: Mapping[str, Any], limits: Limits = LIMITS) -> Verified:
    """Read what is still due of one part, given as ``Part.as_dict``; write down and act on what is damaged or missing.

    May be repeated. Raises IntegrityError when storage looks unmounted.
    """
    require_mounted(site)
    started = time.monotonic()
    span = Partition(low=part["low"], high=part["high"])
    asked = {"kind": "fixity", "partition": span.low, "actor": site.actor}
    opened = site.inventory.one("scan_begin", **asked) or site.inventory.one("scan_known", **asked)
    assert opened is not None
    reading = Reading(site=site, scan=opened["id"])
    doubtful = list(_doubtful(site, span.span | {"since": part["since"]}, part["doubtful"]))
    if reading.read(doubtful):
        for rows in _due(site, part):
            began = time.monotonic()
            if not reading.read(rows):
                break
            rest(site.inventory, worked=time.monotonic() - began)
    require_mounted(site)
    site.inventory.run("scan_finish", id=opened["id"])
    acted = act(site, span, seen=reading.files, limits=limits, kinds=("missing", "damaged"))
    seconds = max(time.monotonic() - started, 0.001)
    rate = reading.volume / seconds / 1e6
    log.info("fixity partition=%s files=%d bytes=%d MB/s=%.0f", span.name, reading.files, reading.volume, rate)
    acted = acted.more(whole=reading.whole, held_back=reading.held_back)
    return Verified(files=reading.files, bytes=reading.volume, found=reading.found, acted=acted)


def _due(site: Site, part: Mapping[str, Any]) -> Iterator[list[Row]]:
    """The files of the plan, page by page: those that were read since are done."""
    after, number = _LONG_AGO, 0
    asked = {name: part[name] for name in ("low", "high", "until", "until_id")}
    while rows := site.inventory.all("scan_due", after=after, after_id=number, limit=_PAGE, **asked):
        yield rows
        after, number = rows[-1]["fixity_at"], rows[-1]["id"]
