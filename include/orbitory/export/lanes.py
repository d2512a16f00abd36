"""Batches that only add rows go two at a time: while one fills the indexes there, the next is gathered here.

Each is a transaction of its own on either side, over connections of its own. No two batches hold versions of a granule
or orders of an image, so what one brings is no concern of the other. Only a file may belong to granules of two batches:
the second of them is refused by the index of paths then, and goes again, alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace

from orbitory.errors import IntegrityError, Transient
from orbitory.export.batch import carry
from orbitory.export.trail import trail
from orbitory.export.work import Work
from orbitory.inventory import Row, connect
from orbitory.site import Site

log = logging.getLogger(__name__)

#: Lineage is numbered as it comes.
_TRAIL = threading.Lock()


def bring(work: Work, batch: Row) -> int:
    """Bring one batch over, with the lineage that it completes; returns how many rows it is. May be repeated."""
    started = time.monotonic()
    rows = carry(work, batch["number"], batch["part"], batch["items"])
    with _TRAIL:
        trail(work, batch["number"])  # before somebody there plans to make the same from the inputs that came
    log.info(
        "export=%d batch=%d granules=%d rows=%d seconds=%.2f",
        *(work.id, batch["number"], batch["items"], rows, time.monotonic() - started),
    )
    return rows


def side_by_side(work: Work, part: str | None) -> int:
    """Bring over batches of a part that only add rows; returns how many rows. What fails is left to be repeated."""
    waiting = deque(work.here.inventory.all("export_adding", export=work.id, part=part))
    if len(waiting) < 2:
        return 0
    with _another(work) as second, ThreadPoolExecutor(1) as beside:
        other = beside.submit(_lane, second, waiting)
        return _lane(work, waiting) + other.result()


def _lane(work: Work, waiting: deque[Row]) -> int:
    """One after the other; where one fails, nothing more begins in either lane."""
    rows = 0
    try:
        while batch := _next(waiting):
            rows += bring(work, batch)
    except (IntegrityError, Transient) as error:
        log.info("export=%d: what is left goes batch by batch: %s", work.id, error)
    finally:
        waiting.clear()
    return rows


def _next(waiting: deque[Row]) -> Row | None:
    with suppress(IndexError):  # the other lane took the last one
        return waiting.popleft()
    return None


@contextmanager
def _another(work: Work) -> Iterator[Work]:
    """The same export over connections of its own."""
    with _again(work.here) as here, _again(work.there) as there:
        yield replace(work, here=here, there=there)


@contextmanager
def _again(site: Site) -> Iterator[Site]:
    with connect(site.settings.database, actor=site.actor) as inventory:
        yield replace(site, inventory=inventory)
