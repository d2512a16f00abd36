"""Work that can wait leaves processors, disks and the inventory to work that cannot.

It loses nothing where nobody else is at work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a command gives way before it loads anything heavy
    from orbitory.inventory import Inventory

#: The least share there is among those that always get one.
_LEAST = 19
#: Rests are so many times as long as work, and no longer than that.
_REST, _LONGEST_REST_SECONDS = 6, 30.0


@contextmanager
def giving_way(*, idle: bool = False) -> Iterator[None]:
    """Run the block, with all threads and processes that it starts, after everybody else's work (sched(7)).

    It still gets a small share of a processor that others want; ``idle``: next to none, for work that nobody waits
    for. Who is not privileged cannot go back: then the caller stays behind, too.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0), os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, _LEAST)
    if idle:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.sched_setscheduler(0, *before[:2])
            os.setpriority(os.PRIO_PROCESS, 0, before[2])


def rest(inventory: Inventory, *, worked: float) -> None:
    """Between two batches: do nothing for a while after so many seconds of work, if an ingest is at work, too."""
    if inventory.one("ingest_at_work") is not None:
        time.sleep(min(_REST * worked, _LONGEST_REST_SECONDS))


def rest_from_start(inventory: Inventory) -> None:
    """The same before a command begins: to start was work, too, and some commands come every few minutes."""
    rest(inventory, worked=time.process_time())
