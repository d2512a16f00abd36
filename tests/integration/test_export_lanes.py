"""Rows that are only added come two batches at a time; each comes whole, and nothing depends on which is first."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from exporting import FIRST, Pair, digest_of, validate, wrong, wrong_at
from faults import kills
from orbitory import export

#: Families of the archive: granules of one are never parted.
FAMILIES = 4
_BATCH = sys.modules["orbitory.export.batch"]
#: Exports in batches of one family, and dies at the statement of that number after both lanes have begun.
_KILLED = """
import os, signal, sys, threading
import orbitory.export
from orbitory.inventory import Inventory
run, batch = sys.modules["orbitory.export.run"], sys.modules["orbitory.export.batch"]
run.run.__kwdefaults__["batch"] = run.begin.__kwdefaults__["batch"] = 1
last, seen, taking = int(sys.argv.pop(1)), 0, batch._take
both, begun = threading.Barrier(2), threading.Event()

def counted(method):
    def call(*values, **named):
        global seen
        if begun.is_set():
            seen += 1
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)
        return method(*values, **named)
    return call

def together(*values):
    if not begun.is_set():
        both.wait(60)
        begun.set()
    return taking(*values)

batch._take = together
for name in ("one", "all", "run", "pipe"):
    setattr(Inventory, name, counted(getattr(Inventory, name)))
from orbitory.cli import main
sys.exit(main())
"""


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> threading.Barrier:
    """The first two batches have both asked what stands there before either writes; broken if they never meet."""
    barrier, asking = threading.Barrier(2), _BATCH.__dict__["_require_unchanged"]
    met = threading.Event()

    def wait(*values: Any, **named: Any) -> None:
        if not met.is_set():
            barrier.wait(60)
            met.set()
        asking(*values, **named)

    monkeypatch.setattr(_BATCH, "_require_unchanged", wait)
    return barrier


@pytest.mark.req("N8", "F52")
def test_rows_that_are_only_added_come_two_batches_at_a_time(sites: Pair, together: threading.Barrier) -> None:
    outcome = sites.run(batch=1, files=False)
    assert not together.broken
    assert (outcome.granules, outcome.problems) == (20, ())
    assert digest_of(sites.dev).inventory == digest_of(sites.prod).inventory
    batches = sites.prod.sql("SELECT state, count(*) AS n FROM export_batch GROUP BY state")
    assert batches == [{"state": "done", "n": FAMILIES}]
    assert wrong(sites.dev) == []


@pytest.mark.req("N8", "F52")
@pytest.mark.usefixtures("together")
def test_a_file_of_two_batches_that_come_at_once_comes_once(sites: Pair) -> None:
    sites.dev.sql(
        "INSERT INTO granule_asset (granule_id, asset_id) SELECT g.id, s.id FROM granule g,"
        f" (SELECT asset_id AS id FROM granule_asset WHERE granule_id = {FIRST} LIMIT 1) s ON CONFLICT DO NOTHING"
    )
    outcome = sites.run(batch=1, files=False)
    assert (outcome.granules, outcome.problems) == (20, ())
    assert digest_of(sites.dev).inventory == digest_of(sites.prod).inventory


@pytest.mark.req("N8")
def test_what_takes_the_place_of_something_comes_alone_and_after_what_is_added(sites: Pair) -> None:
    sites.run(files=False)
    sites.dev.sql("UPDATE granule SET orbit = 8")
    sites.dev.make(20, sensor="WV01", prefix="102", first=500)
    validate(sites.dev)
    assert sites.run(batch=1, files=False).granules == 40
    assert digest_of(sites.dev).inventory == digest_of(sites.prod).inventory
    sites.undo(2)
    assert sites.preview(files=False).counts["added"] == 20


@pytest.mark.req("N8", "F51")
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("statement", [1, 20, 40, 60, 75, 90])
def test_a_kill_while_two_batches_are_on_their_way_is_finished_by_the_same_call(sites: Pair, statement: int) -> None:
    shown = sites.preview(files=False).hash
    settings, other = sites.dev.site.settings, sites.prod.site.settings
    reached = {"ORBITORY_SITE_PROD_DATABASE": other.database, "ORBITORY_SITE_PROD_ROOT": str(other.landing.parent)}
    words = (str(statement), "export", "run", "--to", "prod", "--preview", shown)
    assert kills.python(settings, "-c", _KILLED, *words, **reached).returncode == -9
    half = "SELECT count(*) AS n FROM granule g WHERE NOT EXISTS (SELECT FROM export_item i WHERE i.granule_id = g.id)"
    assert sites.prod.sql(half) == [{"n": 0}]
    outcome = export.run(sites.dev.site, export.remote("prod"), shown, batch=1)
    assert (outcome.granules, outcome.problems) == (20, ())
    assert digest_of(sites.dev).inventory == digest_of(sites.prod).inventory
    assert wrong_at(settings) == []
