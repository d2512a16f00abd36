"""Places that stop a source: told once when it begins and once when it is over, however many runs fail in between.

A failure names its outage (``OrbitoryError.outage``). Each try that fails is counted in the open outage of its source
and cause; the first alone is mailed. Every run tries again, so work resumes by itself; the first run of the source that
leaves nothing undone ends the outage.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from orbitory.catalogue import Source
from orbitory.errors import OrbitoryError
from orbitory.inventory import Inventory, Row
from orbitory.listing import readable
from orbitory.notices import Notice, duration, plain
from orbitory.outbox import Address, enqueue
from orbitory.site import Site

log = logging.getLogger(__name__)


@contextmanager
def noted(site: Site, source: Source, *, link: str) -> Iterator[None]:
    """Note what stops this source on its way out. ``link``: where people read more."""
    try:
        yield
    except OrbitoryError as error:
        if error.outage:
            try:
                _note(site, source, error, link)
            except OrbitoryError as another:  # what went wrong first is what is told
                log.warning("the outage could not be noted: %s", another)
        raise


def _note(site: Site, source: Source, error: OrbitoryError, link: str) -> None:
    about = {"source": source.name, "cause": error.outage, "actor": site.actor}
    with site.inventory.transaction():
        row = site.inventory.one("note_outage", detail=readable(str(error), 2000), **about)
        assert row is not None
        if row["opened"]:
            text = (
                f"Ingest of {source.name} has stopped: {error.outage}\n\n{readable(str(error), 2000)}\n\n"
                f"What lands waits untouched in the landing zone. Every run tries again and goes on by itself as soon "
                f"as the cause is cured; that is told, too. Until then this is the only message about it.\n\n"
                f"Run and log: {link}\n"
            )
            notice = plain(f"[Orbitory] ingest of {source.name} has stopped: {error.outage}", text)
            _tell(site.inventory, source, row, notice, kind="outage")


def _tell(inventory: Inventory, source: Source, outage: Row, notice: Notice, *, kind: str) -> None:
    actor = f"outage/{outage['id']}"
    enqueue(inventory, Address(kind=kind, about=source.name, actor=actor, recipients=source.notify), notice)


def stopping(inventory: Inventory, source: Source, *, actor: str) -> list[str]:
    """What has stopped the run of ``actor``, in words; all of it was told when it began."""
    rows = inventory.all("stopped_run", source=source.name, actor=actor)
    return [
        f"Stopped by an outage ({row['cause']}) since {row['opened_at']:%F %T} UTC, its run number {row['runs']}: "
        f"{row['detail']}."
        for row in rows
    ]


def end(inventory: Inventory, source: Source) -> None:
    """A run of this source has left nothing undone: say so of every outage that was told, within the transaction."""
    for row in inventory.all("end_outages", source=source.name):
        text = (
            f"Ingest of {source.name} is well again\n\nIt was stopped for {duration(row['seconds'])} ({row['cause']}): "
            f"{row['runs']:,} runs, {row['failures']:,} tries. What had landed meanwhile is being ingested.\n\n"
            f"What it was: {row['detail']}\n"
        )
        notice = plain(f"[Orbitory] ingest of {source.name} is well again", text)
        _tell(inventory, source, row, notice, kind="outage_over")


def tell_back(inventory: Inventory, source: Source, *, since: str) -> None:
    """The inventory, which was told to be away ``since``, has answered; said once, however often it is called."""
    text = f"The inventory is back: ingest of {source.name} is well again\n\nThat it was away was told at {since}.\n"
    notice = plain(f"[Orbitory] ingest of {source.name} is well again", text)
    address = Address(kind="outage_over", about=source.name, actor=f"inventory/{since}", recipients=source.notify)
    enqueue(inventory, address, notice)
