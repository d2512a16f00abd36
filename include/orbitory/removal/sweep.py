"""Removal of what has expired, page by page: no person looks at these sets, so none of them may need approval.

A page is found, kept and marked in one transaction, and leaves as a set of an earlier run would that was cut short.
While its files move, the next page is found and marked: so there are two sets on their way.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from orbitory.errors import ConfigurationError
from orbitory.inventory import Row
from orbitory.inventory.locks import let_nothing_lean
from orbitory.priority import rest
from orbitory.removal.apply import forget
from orbitory.removal.found import Page
from orbitory.removal.leaving import Leaving, Renamed
from orbitory.removal.outcome import Outcome, require_trash
from orbitory.removal.plan import Plan, plan
from orbitory.removal.selection import Selection
from orbitory.site import Site

#: A page, and what became of it; none: nothing of it could go.
Swept = tuple[Plan, Outcome | None]


class Sweep:
    """One run through what has expired; the caller lets no other removal work meanwhile.

    After an error the sets on their way stay marked: the next run finishes them.
    """

    def __init__(self, site: Site) -> None:
        """Nothing is removed yet."""
        self._site = site
        self._mover = ThreadPoolExecutor(max_workers=1)
        self._moving: tuple[Plan, Leaving, list[Row], Future[Renamed]] | None = None

    def __enter__(self) -> Sweep:
        """Nothing more to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for files that are moving."""
        self._mover.shutdown()

    def take(self, selection: Selection, page: Page) -> tuple[Plan, list[Swept]]:
        """Let a page go; returns it, and those that have gone by now.

        Raises ConfigurationError when it needs approval, IntegrityError when storage or trash looks unmounted.
        """
        began = time.monotonic()
        site = self._site
        site.storage.prepare(holds_assets=True)
        require_trash(site)
        with site.inventory.transaction():
            let_nothing_lean(site.inventory)
            found = plan(site, selection, page=replace(page, taken=True))
            if too_much := found.too_much():
                raise ConfigurationError(f"{too_much}. Nothing of it was removed")
            work = Leaving(site=site, id=found.kept, hash=found.hash, selection=selection)
            rows = work.take() if found.kept else []
        if not found.kept:
            return found, [*self.finish(), (found, None)]
        before, self._moving = self._moving, (found, work, rows, self._mover.submit(work.rename, rows))
        ended = [self._bury(*before)] if before else []
        rest(site.inventory, worked=time.monotonic() - began)
        return found, ended

    def finish(self) -> list[Swept]:
        """Wait for the last page; returns it, if there was one."""
        last, self._moving = self._moving, None
        return [self._bury(*last)] if last else []

    def _bury(self, found: Plan, work: Leaving, rows: list[Row], renamed: Future[Renamed]) -> Swept:
        moved = renamed.result()
        with self._site.inventory.transaction():
            self._site.inventory.run("removal_commit_later")
            work.bury(rows, moved)
            self._site.inventory.run("removal_finish", id=work.id)
            outcome = work.outcome()
            forget(self._site, work.id)
        return found, outcome
