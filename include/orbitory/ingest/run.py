"""The whole chain without Airflow: detect, every batch depth-first (here or in worker processes), then the report."""

from __future__ import annotations

import ctypes
import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
from multiprocessing import get_context
from typing import Literal

from orbitory.errors import Transient
from orbitory.ingest.archive import archive
from orbitory.ingest.detect import BatchRef, Selection, detect
from orbitory.ingest.extract import extract
from orbitory.ingest.ledger import Overtaken
from orbitory.ingest.report import RunReport, report
from orbitory.ingest.store import store
from orbitory.ingest.verify import verify
from orbitory.settings import Settings
from orbitory.site import open_site, person

log = logging.getLogger(__name__)

#: Called after each batch with (batches done, batches in all).
ProgressCallback = Callable[[int, int], None]
_PR_SET_PDEATHSIG = 1
#: Seconds before a batch is tried again when the world was in the way.
_WAITS = (1.0, 5.0)


def ingest(
    settings: Settings, source: str, selection: Selection | None = None, progress: ProgressCallback | None = None
) -> RunReport:
    """Run all five steps for what stands in the source's landing folder now.

    Batches that fail do not stop the others; what they left is finished by the next run. Raises the first failure
    after the report is written.
    """
    selection = selection or Selection()
    actor = f"{person()}/{secrets.token_hex(3)}"
    with ExitStack() as stack:
        # Forked, so that they need not import everything again; and before there is a session that they would inherit.
        alone = selection.workers == 1 or selection.dry_run
        pool = None if alone else stack.enter_context(processes(selection.workers, "fork"))
        site = stack.enter_context(open_site(actor=actor, settings=settings))
        found = detect(site, source, selection, session=True)
        if selection.dry_run:
            would = found.would
            return RunReport(run=None, detected=would["detected"] + would["waiting"], waiting=would["waiting"])
        failures: list[Exception] = []
        with closing(work_all(settings, actor, found.batches, pool)) as results:
            for done, failure in enumerate(results, 1):
                if failure is not None:
                    log.error("a batch of %s failed: %s", source, failure)
                    failures.append(failure)
                if progress:
                    progress(done, len(found.batches))
        result = report(site, source)
    if failures:
        raise failures[0]
    return result


@contextmanager
def processes(workers: int, start: Literal["fork", "spawn"]) -> Iterator[ProcessPoolExecutor]:
    """Processes to work in, all there from the beginning; forked only by who has no database session."""
    context = get_context(start)  # not forkserver: it would outlive us
    with ProcessPoolExecutor(workers, context, initializer=_die_with, initargs=(os.getpid(),)) as pool:
        if start == "fork":
            pool.submit(os.getpid).result()
        yield pool


def work_all(
    settings: Settings, actor: str, batches: Sequence[BatchRef], pool: ProcessPoolExecutor | None
) -> Generator[Exception | None, None, None]:
    """Work on every batch, here or in a pool; yields its failure or None as each ends."""
    if pool is None or len(batches) == 1:
        for batch in batches:
            yield _attempt(settings, actor, batch.id)
        return
    futures = [pool.submit(_attempt, settings, actor, batch.id) for batch in batches]
    for future in as_completed(futures):
        try:
            yield future.result()
        except BrokenProcessPool:
            yield Transient("a worker process was killed: what it left is finished by the next run")


def _attempt(settings: Settings, actor: str, batch: int) -> Exception | None:
    for wait in (*_WAITS, None):
        try:
            work(settings, actor, batch)
        except Transient as error:
            if wait is None or isinstance(error, Overtaken):
                return error
            log.warning("batch %d, tried again in %.0f s: %s", batch, wait, error)
            time.sleep(wait)
        except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it after the report
            return error
        else:
            return None
    return None


def work(settings: Settings, actor: str, batch: int) -> None:
    """All steps of one batch, with a database session of its own."""
    with open_site(actor=actor, settings=settings) as site:
        for step in (verify, extract, store, archive):
            step(site, batch)


def _die_with(parent: int) -> None:
    """End this worker when its parent is killed, so that nobody works on what the next run adopts."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
