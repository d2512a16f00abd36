"""Each step may be repeated, cut short, overtaken; the next one finishes what it left."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psycopg
import pytest
from blake3 import blake3

from orbitory import ingest
from orbitory.errors import IntegrityError, Transient
from orbitory.ingest import ledger
from orbitory.inventory import Inventory, connect
from orbitory.model import State
from orbitory.settings import Settings
from orbitory.site import open_site
from orbitory.storage import Storage
from orbitory.zones import SENTINEL, FileSystemSync

STEPS = ("verify", "extract", "store", "archive")


def land(settings: Settings, *names: str, content: bytes | None = None) -> Path:
    """Complete files in the landing folder of `correlative`."""
    landing = settings.landing / "correlative"
    for name in names:
        (landing / name).parent.mkdir(parents=True, exist_ok=True)
        (landing / name).write_bytes(content if content is not None else name.encode())
        os.utime(landing / name, (0, 0))
    return landing


def begin(settings: Settings, actor: str = "dag/run1") -> int:
    """Detect, as one Airflow run would; returns the number of its only batch."""
    with open_site(actor=actor, settings=settings) as site:
        (batch,) = ingest.detect(site, "correlative").batches
    return batch.id


def do(settings: Settings, batch: int, *steps: str, actor: str = "dag/run1") -> None:
    for step in steps:
        with open_site(actor=actor, settings=settings) as site:
            getattr(ingest, step)(site, batch)


def verdict(settings: Settings, actor: str = "dag/run1") -> ingest.RunReport:
    with open_site(actor=actor, settings=settings) as site:
        return ingest.report(site, "correlative")


def states(settings: Settings) -> dict[str, str]:
    with connect(settings.database, actor="test") as inventory:
        return {row["name"]: row["state"] for row in inventory.all("ledger_dump")}


def test_every_step_may_be_repeated(settings: Settings) -> None:
    land(settings, "a.txt", "b.txt")
    batch = begin(settings)
    for step in STEPS:
        do(settings, batch, step, step)
    do(settings, batch, *STEPS)
    assert states(settings) == {"a.txt": "archived", "b.txt": "archived"}
    assert not verdict(settings).failed


def test_a_repeated_detect_of_the_same_run_returns_its_unfinished_batches(settings: Settings) -> None:
    land(settings, "a.txt")
    assert begin(settings) == begin(settings)


def test_a_run_with_an_unfinished_batch_fails_and_the_next_one_adopts_it(settings: Settings) -> None:
    land(settings, "a.txt")
    batch = begin(settings)
    do(settings, batch, "verify")
    report = verdict(settings)
    assert report.failed
    assert "has 1 files left as verified" in report.message
    assert begin(settings, "dag/run2") == batch
    do(settings, batch, *STEPS, actor="dag/run2")
    report = verdict(settings, "dag/run2")
    assert (report.detected, report.archived, report.failed) == (1, 1, False)


def test_a_live_run_keeps_its_batches(settings: Settings) -> None:
    land(settings, "a.txt")
    batch = begin(settings)
    land(settings, "b.txt")
    assert begin(settings, "dag/run2") != batch


def test_a_report_without_a_run_fails(settings: Settings) -> None:
    report = verdict(settings, "dag/never")
    assert report.failed
    assert "no run was opened" in report.message


@pytest.mark.parametrize("step", STEPS)
def test_a_claim_that_was_taken_over_can_write_nothing(settings: Settings, step: str) -> None:
    land(settings, "a.txt")
    batch = begin(settings)
    do(settings, batch, *STEPS[: STEPS.index(step)])
    before = states(settings)
    with open_site(actor="zombie", settings=settings) as site:
        zombie = ledger.claim(site, batch, step)
        do(settings, batch)
        with open_site(actor="second try", settings=settings) as other:
            ledger.claim(other, batch, step)
        with pytest.raises(Transient, match="another try has taken over"), zombie.writing():
            pass
    assert states(settings) == before


def test_what_another_try_has_moved_on_is_not_moved_again(settings: Settings) -> None:
    land(settings, "a.txt")
    batch = begin(settings)
    with open_site(actor="dag/run1", settings=settings) as site:
        held = ledger.claim(site, batch, "verify")
        (work,) = held.units(State.DETECTED)
        outcomes = list(ledger.move_on(work.rows, State.VERIFIED))
        with pytest.raises(ledger.Overtaken, match="1 files were moved on by another try"), held.writing():
            held.apply([*outcomes, ledger.Outcome(id=0, state=State.VERIFIED)])
    assert states(settings) == {"a.txt": "detected"}


@pytest.mark.fault("F25", "F26", how="changed between verify and archive")
def test_a_file_changed_after_it_was_verified_goes_back_and_nothing_of_it_is_archived(settings: Settings) -> None:
    landing = land(settings, "a.txt")
    batch = begin(settings)
    do(settings, batch, "verify", "extract", "store")
    (landing / "a.txt").write_bytes(b"changed")
    do(settings, batch, "archive")
    assert states(settings) == {"a.txt": "waiting"}
    assert [path.name for path in settings.storage.rglob("*") if path.is_file()] == [SENTINEL]
    os.utime(landing / "a.txt", (0, 0))
    do(settings, begin(settings, "dag/run2"), *STEPS, actor="dag/run2")
    assert states(settings) == {"a.txt": "archived"}


@pytest.mark.parametrize("stands_in_both", [False, True])
def test_a_move_to_quarantine_that_was_not_recorded_is_recorded_by_the_next_try(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, stands_in_both: bool
) -> None:
    landing = land(settings, "a.txt")
    land(settings, "a.txt.md5", content=b"0" * 32)
    batch, plain = begin(settings), Inventory.run

    def cut_short(inventory: Inventory, query: str, **values: object) -> int:
        if query == "left_landing":
            raise Transient("the connection is gone")
        return plain(inventory, query, **values)

    with monkeypatch.context() as patch, pytest.raises(Transient, match="connection is gone"):
        patch.setattr(Inventory, "run", cut_short)
        do(settings, batch, "verify")
    if stands_in_both:  # as after half a move between two file systems
        (moved,) = settings.quarantine.rglob("a.txt")
        (landing / "a.txt").hardlink_to(moved)
    do(settings, batch, *STEPS)
    assert not (landing / "a.txt").exists()
    with psycopg.connect(settings.database) as connection:
        kept = connection.execute("SELECT quarantine_path FROM arrival WHERE state = 'rejected'").fetchall()
    assert len(kept) == 2 and all((settings.quarantine / os.fsdecode(path)).is_file() for (path,) in kept)


def test_other_bytes_under_the_intended_name_of_a_file_that_goes_back_stay_where_they_are(settings: Settings) -> None:
    landing = land(settings, "a.txt")
    batch = begin(settings)
    do(settings, batch, "verify", "extract", "store")
    (landing / "a.txt").write_bytes(b"changed")
    intended = settings.storage / "correlative" / "text" / "a.txt"
    intended.parent.mkdir(parents=True)
    intended.write_bytes(b"of somebody else")
    with open_site(actor="dag/run1", settings=settings) as site:
        tally = ingest.archive(site, batch)
    assert (tally.done, tally.left) == (0, 1)
    assert states(settings) == {"a.txt": "waiting"}
    assert intended.read_bytes() == b"of somebody else" and (landing / "a.txt").read_bytes() == b"changed"


@pytest.mark.fault("F26", how="gone between detect and archive")
def test_a_file_that_vanished_is_lost_and_said_so(settings: Settings) -> None:
    landing = land(settings, "a.txt", "b.txt")
    batch = begin(settings)
    (landing / "a.txt").unlink()
    do(settings, batch, *STEPS)
    assert states(settings) == {"a.txt": "lost", "b.txt": "archived"}
    report = verdict(settings)
    assert report.failed
    assert "1 files are lost" in report.message
    assert report.detected == report.archived == 1


@pytest.mark.fault("F27", how="delivered again after archive, the stored copy damaged or gone")
@pytest.mark.fault("F24", how="a stored file is damaged before the same is delivered again")
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_duplicate_repairs_a_damaged_or_missing_stored_copy(settings: Settings, damage: str) -> None:
    land(settings, "a.txt")
    do(settings, begin(settings), *STEPS)
    verdict(settings)
    stored = next(path for path in settings.storage.rglob("a.txt"))
    if damage == "missing":
        stored.unlink()
    else:
        stored.chmod(0o644)
        stored.write_bytes(b"A.txt")
    landing = land(settings, "a.txt")
    do(settings, begin(settings, "dag/run2"), *STEPS, actor="dag/run2")
    assert stored.read_bytes() == b"a.txt"
    assert not (landing / "a.txt").exists()
    assert states(settings) == {"a.txt": "duplicate"}
    damaged = [path.read_bytes() for path in (settings.trash / "damaged").rglob("*a.txt")]
    assert damaged == ([b"A.txt"] if damage == "changed" else []), "what was damaged is kept aside"


@pytest.mark.fault("F50", how="the mark of storage is gone before a run")
def test_an_unmounted_storage_stops_the_run_before_anything_happens(settings: Settings) -> None:
    land(settings, "a.txt")
    do(settings, begin(settings), *STEPS)
    settings.storage.rename(settings.storage.with_name("unmounted"))
    settings.storage.mkdir()
    landing = land(settings, "b.txt")
    with pytest.raises(IntegrityError, match="looks unmounted"):
        begin(settings, "dag/run2")
    assert (landing / "b.txt").exists()


@pytest.mark.fault("F50", how="the mark of storage is gone before a repair")
def test_nothing_is_repaired_into_a_storage_that_looks_unmounted(tmp_path: Path) -> None:
    whole = tmp_path / "whole.txt"
    whole.write_bytes(b"reading")
    storage = Storage(tmp_path / "storage")
    storage.root.mkdir()
    descriptor = os.open(whole, os.O_RDONLY)
    try:
        with pytest.raises(IntegrityError, match="unmounted") as raised:
            storage.repair(
                descriptor, "a/b.txt", blake3(b"reading").digest(), part="repair/1", aside=tmp_path / "aside"
            )
    finally:
        os.close(descriptor)
    assert raised.value.outage == "unmounted"
    assert list(storage.root.iterdir()) == []


@pytest.mark.fault("F50", how="the mark of storage is gone amid a run")
@pytest.mark.parametrize("moment", ["before", "meanwhile"])
def test_a_storage_that_is_unmounted_before_archive_places_anything_takes_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    landing = land(settings, "a.txt", "b.txt")
    batch = begin(settings)
    do(settings, batch, "verify", "extract", "store")
    mounted, away = settings.storage, settings.storage.with_name("mounted")

    def unmount() -> None:
        mounted.rename(away)
        mounted.mkdir()

    def unmounting(disk: FileSystemSync) -> None:
        unmount()

    with monkeypatch.context() as patched:
        if moment == "before":
            unmount()
        else:
            patched.setattr(FileSystemSync, "sync", unmounting)
        with pytest.raises((IntegrityError, Transient), match="storage"):
            do(settings, batch, "archive")
    assert sorted(each.name for each in landing.iterdir()) == ["a.txt", "b.txt"]
    assert set(states(settings).values()) == {"stored"}
    assert [each for each in mounted.rglob("*") if each.is_file()] == []
    shutil.rmtree(mounted)
    away.rename(mounted)
    do(settings, batch, "archive")
    assert states(settings) == {"a.txt": "archived", "b.txt": "archived"}
    assert not any(landing.iterdir())


@pytest.mark.fault("F12", how="the unlogged table is empty, as after a crash of the server")
def test_what_a_crash_of_the_server_emptied_is_read_again(settings: Settings) -> None:
    land(settings, "a.txt")
    batch = begin(settings)
    do(settings, batch, "verify", "extract")
    with psycopg.connect(settings.database, autocommit=True) as db:  # unlogged tables are empty after a crash
        db.execute("DELETE FROM extracted_granule")
        db.execute("DELETE FROM extracted_file")
    do(settings, batch, "extract", "store", "archive")
    assert states(settings) == {"a.txt": "archived"}


@pytest.mark.fault("F13", how="the database is read-only, as a standby is")
def test_an_inventory_that_only_answers_questions_is_waited_for(settings: Settings) -> None:
    with (
        pytest.raises(Transient, match="not available now"),
        connect(settings.database, actor="test") as inventory,
        inventory.transaction(),
    ):
        inventory._connection.execute("SET TRANSACTION READ ONLY")
        inventory.one("lock_detect", source="correlative")
        inventory.run("create_planned")
        inventory.run("forget_extracted", ids=[1])


def test_other_bytes_under_an_intended_name_stop_the_batch_and_nothing_is_overwritten(settings: Settings) -> None:
    landing = land(settings, "a.txt")
    batch = begin(settings)
    do(settings, batch, "verify", "extract", "store")
    with connect(settings.database, actor="test") as inventory:
        (asset,) = inventory.all("intended_dump")
    target = settings.storage / asset["path"]
    target.parent.mkdir(parents=True)
    target.write_bytes(b"foreign")
    with pytest.raises(IntegrityError, match="already has"):
        do(settings, batch, "archive")
    assert target.read_bytes() == b"foreign"
    assert (landing / "a.txt").exists()
    assert states(settings) == {"a.txt": State.STORED}


@pytest.mark.fault("F59", how="10,000 bad files at once")
def test_ten_thousand_bad_files_are_one_problem(settings: Settings) -> None:
    landing = settings.landing / "correlative"
    landing.mkdir(parents=True)
    for number in range(10_000):
        (landing / f"{number}.txt").touch()
        os.utime(landing / f"{number}.txt", (0, 0))
    batch = begin(settings)
    do(settings, batch, *STEPS)
    report = verdict(settings)
    assert report.rejected == 10_000
    assert len(report.problems) == 1
