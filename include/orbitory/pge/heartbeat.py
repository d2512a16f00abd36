"""The sign of life of a worker, beside whatever it does: staging may take longer than a lease, as may a slow disk."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orbitory.errors import OrbitoryError
from orbitory.inventory import connect
from orbitory.pge.claims import Held

log = logging.getLogger(__name__)

#: A worker speaks so often; see claims.LEASE.
BEAT_SECONDS = 10.0
_END_SECONDS = 2.0


@contextmanager
def beating(held: Held) -> Iterator[Callable[[], bool]]:
    """Renew the lease over a connection of its own until the end; gives what tells whether the claim still holds.

    A database that is away for a while ends nothing.
    """
    ended, gone = threading.Event(), threading.Event()
    beats = threading.Thread(target=_beat, args=(held, ended, gone), name=f"pge-{held.id}-lease", daemon=True)
    beats.start()
    try:
        yield lambda: not gone.is_set()
    finally:
        ended.set()
        beats.join(_END_SECONDS)


def _beat(held: Held, ended: threading.Event, gone: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        try:
            with connect(held.site.settings.database, actor=held.site.actor) as inventory:
                while held.beat(inventory):
                    if ended.wait(BEAT_SECONDS):
                        return
                gone.set()
                return
        except OrbitoryError as error:
            log.warning("instance %d runs on without its lease renewed: %s", held.id, error)
