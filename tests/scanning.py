"""Runs of the rolling audit on a site of a test's own, each under the name of a run of its own."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from orbitory.audit import audit
from orbitory.scan.acting import Acted
from orbitory.scan.fixity import plan_fixity, verify
from orbitory.scan.guard import LIMITS, Limits
from orbitory.scan.outcome import Outcome, outcome
from orbitory.scan.partitions import partitions
from orbitory.scan.reconcile import reconcile
from orbitory.settings import Settings
from orbitory.site import open_site

_runs = itertools.count(1)


def later(settings: Settings) -> None:
    """Let the time pass after which another look counts."""
    with psycopg.connect(settings.database, autocommit=True) as connection:
        connection.execute("UPDATE scan_finding SET agreed_at = agreed_at - interval '2 hours'")


def compare(settings: Settings, limits: Limits = LIMITS, *, wait: bool = True) -> tuple[Acted, Outcome]:
    """One run of reconciliation over all partitions, some time after the last: what it did, and what is open after."""
    if wait:
        later(settings)
    with open_site(actor=f"archive_audit/{next(_runs)}", settings=settings) as site:
        acted = sum((reconcile(site, each, limits).acted for each in partitions(site)), Acted())
        return acted, outcome(site)


def read(settings: Settings, budget: int | None = None, limits: Limits = LIMITS) -> tuple[Acted, Outcome]:
    """One run of the fixity check, some time after the last."""
    later(settings)
    with open_site(actor=f"archive_audit/{next(_runs)}", settings=settings) as site:
        parts = plan_fixity(site, budget)
        acted = sum((verify(site, part.as_dict(), limits).acted for part in parts), Acted())
        return acted, outcome(site)


def found(told: Outcome) -> list[tuple[str, str]]:
    """Kind and name of what is open."""
    return [(row["kind"], row["name"]) for row in told.open]


def violations(settings: Settings) -> list[str]:
    """What the whole audit says."""
    with open_site(actor="test", settings=settings) as site:
        return [f"{each.invariant} {each.name}: {each.detail}" for each in audit(site)]


_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2


@contextmanager
def ordinary() -> Iterator[None]:
    """Modes of files count, as they do for anybody but root: what is not readable cannot be read."""

    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    class Sets(ctypes.Structure):
        _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))

    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = Header(0x20080522, 0), (Sets * 2)()
    assert libc.capget(ctypes.byref(header), sets) == 0
    before = sets[0].effective
    sets[0].effective = before & ~(_DAC_OVERRIDE | _DAC_READ_SEARCH)
    assert libc.capset(ctypes.byref(header), sets) == 0
    try:
        yield
    finally:
        sets[0].effective = before
        assert libc.capset(ctypes.byref(header), sets) == 0
