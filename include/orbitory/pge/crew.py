"""Several PGE instances at once on this machine, never more than there is room for."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from orbitory.errors import OrbitoryError, Transient
from orbitory.pge.claims import Overtaken, Result
from orbitory.pge.executor import Executor
from orbitory.pge.recovery import recover, settle
from orbitory.pge.resources import hand_out, queues
from orbitory.pge.runner import run
from orbitory.settings import Settings
from orbitory.site import Site, open_site

log = logging.getLogger(__name__)

#: Seconds before a failed try is repeated.
_WAITS = (1.0, 5.0, 15.0)
_LOOK_SECONDS = 1.0


def run_again(
    site: Site, instance: int, executor: Executor | None, stop: threading.Event, *, afresh: bool = False
) -> Result:
    """Try an instance until it is delivered or has failed for good. The machine's own trouble is tried again too.

    ``afresh``: a person asks, so one that failed or was cancelled starts again; what is cancelled meanwhile ends.
    """
    for wait_seconds in (*_WAITS, *[_WAITS[-1]] * 8):
        try:
            result = run(site, instance, executor, stop.is_set, afresh=afresh)
        except Transient as error:
            afresh = afresh and not isinstance(error, Overtaken)
            if stop.wait(wait_seconds):
                raise
            continue
        if result.state != "ready" or stop.wait(wait_seconds):
            return result
        afresh = False
    return run(site, instance, executor, stop.is_set, afresh=False)


def run_ready(settings: Settings, actor: str, workers: int, executor: Executor | None = None) -> list[Result]:
    """Run everything that is ready, ``workers`` processors' worth at a time in each queue, until nothing is.

    First takes up what lost workers left. Interrupted, it ends the PGEs that run; they are then cancelled.
    """
    stop = threading.Event()
    results: list[Result] = []
    with open_site(actor=actor, settings=settings) as site, ThreadPoolExecutor(max(1, workers)) as pool:
        recover(site)
        busy: set[Future[Result]] = set()
        try:
            while True:
                for queue in queues(site.catalogue):
                    for handed in hand_out(site, queue, workers):
                        busy.add(pool.submit(_one, settings, (actor, handed.id, handed.pge), executor, stop))
                if not busy:
                    break
                ended, busy = wait(busy, _LOOK_SECONDS, FIRST_COMPLETED)
                results += [each.result() for each in ended]
        except BaseException:
            stop.set()
            raise
        settle(site)
    return sorted(results, key=lambda each: each.instance)


def _one(settings: Settings, task: tuple[str, int, str], executor: Executor | None, stop: threading.Event) -> Result:
    """An instance with a database session of its own; what goes wrong costs the others nothing."""
    actor, instance, pge = task
    try:
        with open_site(actor=f"{actor}/{time.monotonic_ns():x}", settings=settings) as site:
            return run_again(site, instance, executor, stop)
    except OrbitoryError as error:
        return Result(instance=instance, pge=pge, state="ready", detail=str(error))
    except Exception as error:
        log.exception("instance %d of %s", instance, pge)
        return Result(
            instance=instance, pge=pge, state="failed", reason="bug", detail=f"{type(error).__name__}: {error}"
        )
