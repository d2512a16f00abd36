"""An archive whose time can be moved on, for tests of retention."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from footprints import Strips, strips
from orbitory.audit import audit
from orbitory.definitions import Retention
from orbitory.digest import digest
from orbitory.retention.naming import clock
from orbitory.settings import Settings
from orbitory.site import Site


def expire_at(archive: Strips, numbers: object, when: str = "now() - interval '1 hour'") -> None:
    """Let granules expire at ``when`` (SQL)."""
    archive.sql(f"UPDATE granule SET expires_at = {when} WHERE id = ANY (%(n)s)", n=list(numbers))  # type: ignore[call-overload]


def keys(archive: Strips, state: str = "archived") -> set[str]:
    """Keys of the granules in a state."""
    return {row["key"] for row in archive.sql("SELECT key FROM granule WHERE state = %(s)s", s=state)}


def key(archive: Strips, number: int) -> str:
    """Key of one granule."""
    return str(archive.sql("SELECT key FROM granule WHERE id = %(n)s", n=number)[0]["key"])


def files(root: Path) -> dict[str, bytes]:
    """Every file below a folder, but what marks it as mounted."""
    marks = {".orbitory-trash", ".orbitory-quarantine"}
    found = [each for each in sorted(root.rglob("*")) if each.is_file() and each.name not in marks]
    return {str(each.relative_to(root)): each.read_bytes() for each in found}


def now(site: Site) -> datetime:
    """A moment of the database's clock that parts what was made before it from what is made after it."""
    time.sleep(0.02)  # the kernel dates files by its ticks
    moment = clock(site)
    time.sleep(0.02)
    return moment


def ruled(site: Site, **rules: Any) -> Site:
    """The site under other rules."""
    return replace(site, catalogue=replace(site.catalogue, retention=Retention(**rules)))


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Runs of retention begin at this moment: the kernel lets nobody date a file back."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys.modules["orbitory.retention.run"], "clock", lambda _: moment)
        yield


@contextmanager
def after(site: Site, days: float) -> Iterator[None]:
    """So many days after now."""
    with at(now(site) + timedelta(days=days)):
        yield


def wrong(site: Site) -> list[str]:
    """What the audit finds."""
    return [f"{each.invariant} {each.name}: {each.detail}" for each in audit(site)]


def digest_of(site: Site) -> str:
    """Of inventory and storage."""
    return digest(site.inventory, site.storage).digest


def past(settings: Settings, unit: int, ago: str) -> None:
    """Let a unit have been judged so long ago; only the owner of history can."""
    with psycopg.connect(settings.owner_database, autocommit=True) as db:
        db.execute("ALTER TABLE event DISABLE TRIGGER event_append_only")
        db.execute(
            f"UPDATE event SET at = at - interval '{ago}' WHERE subject = 'arrival' AND ids && (SELECT"
            " int8multirange(int8range(min(id), max(id), '[]')) FROM arrival WHERE %s IN (id, unit_id))",
            [unit],
        )
        db.execute("ALTER TABLE event ENABLE TRIGGER event_append_only")
        db.execute(f"UPDATE arrival SET first_seen = first_seen - interval '{ago}' WHERE %s IN (id, unit_id)", [unit])


@contextmanager
def archive_at(settings: Settings) -> Iterator[Strips]:
    """An empty archive, which the audit finds sound at the end."""
    with strips(settings) as made:
        yield made
        assert wrong(made.site) == []


@pytest.fixture
def archive(settings: Settings) -> Iterator[Strips]:
    """The same as a fixture."""
    with archive_at(settings) as made:
        yield made
