"""Up to where planning may look: nobody who commits later may be passed by, and nobody is made to wait."""

from __future__ import annotations

import logging
import time

from orbitory.inventory import Inventory

log = logging.getLogger(__name__)

#: Whoever makes granules visible commits well within.
PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.05


def horizon(inventory: Inventory) -> int:
    """Up to here every event about granules that became visible is committed; 0 when one is stuck: try next time.

    Numbers of events are given under lock 7006. Who holds it after the newest event was read may still commit an older
    one; who takes it later gets a higher number.
    """
    row = inventory.one("plan_horizon")
    assert row is not None
    newest: int = row["event_id"]
    began = time.monotonic()
    telling = {row["transaction"] for row in inventory.all("plan_telling")}
    while telling:
        if time.monotonic() - began > PATIENCE_SECONDS:
            log.warning("what came is planned next time: transactions that archived do not end: %s", sorted(telling))
            return 0
        time.sleep(_PAUSE_SECONDS)
        telling &= {row["transaction"] for row in inventory.all("plan_telling")}
    return newest
