"""Lock that only one session at a time does: whoever holds the lock of it, until it ends or its session breaks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum

from orbitory.errors import Transient
from orbitory.inventory import Inventory

_PAUSE_SECONDS = 0.5


class Lock(IntEnum):
    """Numbers of advisory locks: docs/decisions/0013-advisory-locks.md has them all."""

    MFP_EVALUATION = 7008
    MFP_REPORT = 7009
    REMOVAL = 7012
    REDRIVE = 7013
    EXPORT = 7014
    MIRROR = 7020
    REPAIR = 7021
    SETTING_ASIDE = 7022


def let_nothing_lean(inventory: Inventory) -> None:
    """For this transaction: nobody plans to make something of what is about to go, and no newcomer leans on it.

    Always in this order, so that no two wait for each other.
    """
    inventory.all("plan_lock")
    inventory.one("lock_store")


@contextmanager
def alone(
    inventory: Inventory, work: Lock, about: object = "", *, patience_seconds: float | None = 0.0
) -> Iterator[bool]:
    """Whether this session alone does ``work`` on what it is ``about``, until the block ends.

    Waits so long for its turn; None: until it comes. Who has it may ask for it again. Raises Transient.
    """
    key = {"work": int(work), "about": str(about)}
    if patience_seconds is None:
        inventory.one("session_lock", **key)
        taken = True
    else:
        taken = _try(inventory, key, patience_seconds)
    try:
        yield taken
    finally:
        if taken:
            with suppress(Transient):  # a broken session has let go of it
                inventory.one("session_unlock", **key)


def _try(inventory: Inventory, key: dict[str, object], patience_seconds: float) -> bool:
    until = time.monotonic() + patience_seconds
    while inventory.one("session_try_lock", **key) != {"taken": True}:
        if time.monotonic() >= until:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True
