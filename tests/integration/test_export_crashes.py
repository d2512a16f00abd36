"""What an export leaves half-way is finished or taken back, by whoever comes next, and for a good reason only."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from exporting import FIRST, Pair, digest_of, make, remove, validate, wrong
from footprints import Strips
from orbitory import export, removal
from orbitory.errors import ConfigurationError, IntegrityError
from orbitory.export.ledger import get
from orbitory.export.work import hold, work_of
from orbitory.ingest import retire

HELD = "SELECT id FROM hold WHERE released IS NULL"


class Killed(BaseException):
    """As a kill at this very place."""


@contextmanager
def killed_between_rows_and_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Who takes a batch back dies once its rows are hidden."""

    def die(*_: object) -> NoReturn:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(sys.modules["orbitory.export.undo"], "put_away", die)
        yield


def ingest(archive: Strips) -> None:
    """The part of an ingest that finishes what a crash left on its way out."""
    retire.finish_retiring(archive.site, archive.site.catalogue.sources["correlative"])


def states(archive: Strips) -> list[str]:
    return [row["state"] for row in archive.sql("SELECT state FROM export_batch ORDER BY export_id, number")]


def leave_half_way(sites: Pair) -> tuple[int, Path]:
    """An export stops at its last file, which is damaged here; its number, and that file."""
    number, _ = export.begin(sites.dev.site, export.remote("prod"), sites.preview().hash)
    (row,) = sites.dev.sql("SELECT path FROM asset ORDER BY path DESC LIMIT 1")
    file = sites.dev.site.settings.storage / row["path"]
    file.write_bytes(b"short")
    with pytest.raises(IntegrityError, match="is damaged here"):
        export.copy(sites.dev.site, number)
    assert states(sites.prod) == ["placing"]
    return number, file


def doubt(sites: Pair, file: Path) -> None:
    path = str(file.relative_to(sites.dev.site.settings.storage))
    sites.dev.sql("UPDATE asset SET state = 'suspect' WHERE path = %(path)s", path=path)


@pytest.mark.req("N8", "F52")
@pytest.mark.parametrize("between", [None, ingest])
def test_a_batch_whose_taking_back_was_cut_short_is_told_and_taken_back_by_the_next_export(
    sites: Pair, monkeypatch: pytest.MonkeyPatch, between: Callable[[Strips], None] | None
) -> None:
    _, file = leave_half_way(sites)
    doubt(sites, file)
    with killed_between_rows_and_files(monkeypatch):
        sites.run()
    assert states(sites.prod) == ["taking"]
    for state in ("done", "running"):
        sites.prod.sql("UPDATE export SET state = %(state)s", state=state)
        assert any("cut short" in each for each in wrong(sites.prod))
    if between:
        between(sites.prod)
    shown = sites.preview()
    assert (shown.unfinished, shown.empty) == (1, False)
    with pytest.raises(ConfigurationError, match="look at a new preview"):
        export.run(sites.dev.site, export.remote("prod"), shown.hash)
    assert sites.prod.sql("SELECT id FROM granule") == []
    assert sites.run().granules == 19
    assert wrong(sites.prod) == []
    assert sites.dev.sql(HELD) == []


@pytest.mark.fault("F51", "F52", how="an undo is cut short and an ingest comes between")
@pytest.mark.req("N8", "F52")
def test_an_undo_that_was_cut_short_goes_on_although_an_ingest_came_between(
    sites: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites.run()
    before = digest_of(sites.prod)
    remove(sites.dev)
    sites.dev.sql("UPDATE granule SET orbit = 4 WHERE state = 'archived'")
    sites.dev.make(5, sensor="WV01", prefix="102", first=500)
    validate(sites.dev)
    outcome = sites.run(approval="test")
    with killed_between_rows_and_files(monkeypatch):
        sites.undo(outcome.export)
    ingest(sites.prod)
    with pytest.raises(ConfigurationError, match="is being taken back"):
        sites.run()
    sites.undo(outcome.export)
    assert digest_of(sites.prod) == before
    assert wrong(sites.prod) == []
    assert sites.run(approval="test").problems == ()


@pytest.mark.fault("F50", how="storage of the other side is away")
@pytest.mark.req("N8", "F52")
@pytest.mark.parametrize(("away", "why"), [(".", "looks unmounted"), ("nga", "is missing in storage here")])
def test_a_preview_changes_nothing_there_and_a_storage_that_is_away_takes_nothing_back(
    sites: Pair, away: str, why: str
) -> None:
    number, file = leave_half_way(sites)
    mount = (sites.dev.site.settings.storage / away).resolve()
    aside = mount.with_name(f"{mount.name}.away")
    mount.rename(aside)
    mount.mkdir()
    shown = sites.preview()
    assert (shown.unfinished, states(sites.prod)) == (1, ["placing"])
    with pytest.raises(IntegrityError, match=why):
        export.run(sites.dev.site, export.remote("prod"), shown.hash)
    assert states(sites.prod) == ["placing"]
    mount.rmdir()
    aside.rename(mount)
    file.write_bytes(str(file.relative_to(sites.dev.site.settings.storage)).encode())
    export.copy(sites.dev.site, number)
    assert export.finish(sites.dev.site, number).problems == ()
    dev, prod = sites.digests()
    assert dev == prod
    assert wrong(sites.prod) == []


@pytest.mark.req("N8")
def test_what_cannot_go_on_and_is_not_gone_here_says_so_and_an_undo_leads_out(sites: Pair) -> None:
    number, file = leave_half_way(sites)
    with pytest.raises(IntegrityError, match="is damaged here"):
        sites.run()
    sites.undo(number)
    assert sites.prod.sql("SELECT id FROM granule") == []
    doubt(sites, file)
    assert sites.run().granules == 19


@pytest.mark.req("N8", "F52")
def test_holds_of_what_was_refused_or_closed_are_let_go_at_once(sites: Pair) -> None:
    remote = export.remote("prod")
    number, _ = export.begin(sites.dev.site, remote, sites.preview().hash)
    sites.dev.sql("UPDATE granule SET orbit = 4")
    with pytest.raises(ConfigurationError, match="changed here since they were compared"):
        export.copy(sites.dev.site, number)
    assert sites.dev.sql(HELD) == []
    with remote.open(sites.dev.site) as there:
        hold(work_of(sites.dev.site, there, remote, get(sites.dev.site.inventory, number)), 1)  # and is killed
    assert len(sites.dev.sql(HELD)) == 20
    assert sites.run().granules == 20
    assert sites.dev.sql(HELD) == []


@pytest.mark.req("N8")
def test_lineage_comes_with_the_batch_that_completes_it(sites: Pair) -> None:
    make(sites.dev, FIRST, "done")
    sites.dev.sql(
        "UPDATE pge_input p SET granule_id = l.granule_id, asset_id = s.id, digest = s.digest"
        " FROM granule_asset l JOIN asset s ON s.id = l.asset_id AND s.role = 'data'"
        f" WHERE l.granule_id = {FIRST} + 1"
    )
    number, _ = export.begin(sites.dev.site, export.remote("prod"), sites.preview().hash, batch=5)
    sites.dev.sql("UPDATE granule SET orbit = 4 WHERE id = (SELECT max(id) FROM granule)")
    with pytest.raises(ConfigurationError, match="changed here"):
        export.copy(sites.dev.site, number)
    assert len(sites.prod.sql("SELECT id FROM granule")) == 15
    (row,) = sites.prod.sql("SELECT p.granule_id FROM pge_instance i JOIN pge_input p ON p.instance_id = i.id")
    assert row["granule_id"] is not None
    sites.run()
    assert len(sites.prod.sql("SELECT id FROM pge_instance")) == 1
    assert wrong(sites.prod) == []


@pytest.mark.req("N8")
def test_a_removal_by_which_nothing_left_is_no_reason_to_refuse_an_undo(sites: Pair) -> None:
    outcome = sites.run()
    keys = tuple(row["key"] for row in sites.prod.sql("SELECT key FROM granule ORDER BY id LIMIT 2"))
    removal.plan(sites.prod.site, removal.Selection(kind="list", names=keys))
    sites.prod.sql(f"UPDATE removal_item SET state = 'spared' WHERE granule_id = {FIRST}")
    assert {row["state"] for row in sites.prod.sql("SELECT state FROM removal_item")} == {"planned", "spared"}
    assert sites.undo(outcome.export) == 20
    assert sites.prod.sql("SELECT set_id FROM removal_item") == []


@pytest.mark.req("N8")
@pytest.mark.parametrize("table", ["granule", "asset"])
def test_an_export_asks_for_footprints_only_once_it_has_its_rows(sites: Pair, table: str) -> None:
    sites.run()
    sites.dev.sql("UPDATE granule SET orbit = 4")
    shown = sites.preview()
    outcomes: list[Any] = []
    thread = threading.Thread(
        target=lambda: outcomes.append(export.run(sites.dev.site, export.remote("prod"), shown.hash))
    )
    with sites.prod.db.transaction():
        sites.prod.sql(f"SELECT id FROM {table} ORDER BY id LIMIT 1 FOR UPDATE")
        thread.start()
        waiting = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND pid <> pg_backend_pid()"
        )
        until = time.monotonic() + 60
        while not (found := sites.prod.sql(waiting)) and time.monotonic() < until:
            sites.prod.sql("SELECT pg_stat_clear_snapshot()")
            time.sleep(0.1)
        assert len(found) == 1
        taken = sites.prod.sql(
            "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()"
            " WHERE l.locktype = 'advisory' AND l.classid = 0 AND l.objid = 7011"
        )
        assert taken == []
    thread.join(60)
    assert [outcome.granules for outcome in outcomes] == [20]
