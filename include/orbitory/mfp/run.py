"""A whole evaluation without Airflow: every sensor, here or in worker processes, then the verdict."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from orbitory.errors import OrbitoryError
from orbitory.mfp.evaluate import Outcome, Part, Request, begin, finish, work
from orbitory.settings import Settings
from orbitory.site import open_site, person

log = logging.getLogger(__name__)


def evaluate(
    settings: Settings, request: Request, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> Outcome:
    """Evaluate what is asked for. A sensor that fails does not stop the others; the outcome says which ones did."""
    actor = f"{person()}/{secrets.token_hex(3)}"
    with open_site(actor=actor, settings=settings) as site:
        parts = begin(site, request)
        trouble: list[str] = []
        for done, failure in enumerate(_all(settings, actor, parts, workers), 1):
            if failure:
                log.error("%s", failure)
                trouble.append(failure)
            if progress:
                progress(done, len(parts))
        return finish(site, parts[0].run, trouble)


def _all(settings: Settings, actor: str, parts: tuple[Part, ...], workers: int) -> list[str]:
    """The largest sensor first, so that the last one is short; returns what went wrong, or empty texts."""
    ordered = sorted(parts, key=lambda part: (-part.rows, part.sensor))
    if workers == 1 or len(parts) == 1:
        return [_attempt(settings, actor, part) for part in ordered]
    # Not fork: a child must never inherit our database session.
    with ProcessPoolExecutor(min(workers, len(parts)), get_context("spawn")) as pool:
        results = []
        for future in as_completed([pool.submit(_attempt, settings, actor, part) for part in ordered]):
            try:
                results.append(future.result())
            except BrokenProcessPool:
                results.append("A worker process was killed: evaluate again.")
        return results


def _attempt(settings: Settings, actor: str, part: Part) -> str:
    try:
        with open_site(actor=actor, settings=settings) as site:
            work(site, part.run, part.sensor)
    except OrbitoryError as error:
        return f"{part.sensor}: {error}"
    return ""
