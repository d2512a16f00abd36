"""Storage held against the inventory, and its bytes read again: what is found, and what is done about it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from holdings import Holdings
from orbitory import removal
from orbitory.errors import IntegrityError
from orbitory.ingest import retire
from orbitory.model import Stat
from orbitory.quarantine import quarantined
from orbitory.scan import findings, reconcile
from orbitory.scan.guard import Limits
from orbitory.scan.partitions import Partition, partitions
from orbitory.settings import Settings
from orbitory.site import open_site
from scanning import compare, found, read, violations

pytestmark = pytest.mark.req("B9")


@pytest.fixture
def holdings(settings: Settings) -> Iterator[Holdings]:
    """Thirty archived files in two folders."""
    with Holdings(settings) as made:
        for number in range(30):
            made.archive(f"{'ab'[number % 2]}/{number:02}.bin", b"bytes %d" % number)
        made.finish()
        yield made


def state_of(holdings: Holdings, name: str) -> str:
    row = holdings.db.execute("SELECT state FROM asset WHERE path = %s", [f"correlative/{name}"]).fetchone()
    assert row is not None
    return str(row[0])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(bytes(content))


def test_a_sound_archive_gives_no_finding_and_every_name_is_in_one_partition(holdings: Holdings) -> None:
    acted, told = compare(holdings.settings)
    assert (told.open, told.seen, told.clean) == ([], 30, True)
    assert acted.quarantined == acted.suspect == 0
    with open_site(actor="test", settings=holdings.settings) as site:
        ranges = partitions(site)
    assert [each.low for each in ranges] == ["", "correlative/b/"] or len(ranges) >= 2
    assert [each.high for each in ranges][:-1] == [each.low for each in ranges][1:]


@pytest.mark.req("F50")
def test_before_storage_and_after_are_compared_as_the_example_of_another_archive_tells(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Letters say where a name stands: A in the inventory before, B in storage, C in the inventory after.

    Of all combinations AC alone is lost, and B alone is dark (Rucio, pull request 3487).
    """
    with Holdings(settings) as holdings:
        for name in ("A", "AB", "ABC", "AC"):
            holdings.archive(name, name.encode())
        rows = {name: f"correlative/{name}" for name in ("A", "AB", "B", "BC", "C", "ABC", "AC")}
        for name in ("A", "AC"):
            holdings.stored(name).unlink()
        for name in ("B", "BC"):
            holdings.stored(name).write_bytes(name.encode())
        walk = reconcile.walk

        def meanwhile(*values: object, **more: object) -> Iterator[object]:
            yield from walk(*values, **more)  # type: ignore[arg-type]
            for name in ("A", "AB"):
                holdings.sql("UPDATE asset SET state = 'deleting' WHERE path = %s", rows[name])
                holdings.sql("UPDATE asset SET state = 'deleted', removal = 'removed' WHERE path = %s", rows[name])
            for name in ("BC", "C"):
                holdings.sql(
                    "INSERT INTO asset (path, role, state, kind, size, digest)"
                    " VALUES (%s, 'data', 'stored', 'x', 2, '')",
                    rows[name],
                )

        monkeypatch.setattr(reconcile, "walk", meanwhile)
        with open_site(actor="archive_audit/x", settings=settings) as site:
            result = reconcile.reconcile(site, Partition(low="", high=None))
        assert result.found == {"dark": 1, "missing": 1}
        seen = holdings.db.execute("SELECT kind, name FROM scan_finding ORDER BY 1").fetchall()
        assert seen == [("dark", "correlative/B"), ("missing", "correlative/AC")]


def test_nothing_is_done_about_what_one_run_saw_alone(holdings: Holdings) -> None:
    holdings.stored("a/02.bin").unlink()
    holdings.stored("stray.bin").write_bytes(b"?")
    acted, told = compare(holdings.settings)
    assert found(told) == [("missing", "correlative/a/02.bin"), ("dark", "correlative/stray.bin")]
    assert (acted.suspect, acted.quarantined) == (0, 0)
    assert state_of(holdings, "a/02.bin") == "archived" and holdings.stored("stray.bin").exists()


def test_a_run_that_is_repeated_does_not_agree_with_itself(holdings: Holdings) -> None:
    holdings.stored("a/02.bin").unlink()
    with open_site(actor="archive_audit/once", settings=holdings.settings) as site:
        for _ in range(3):
            result = reconcile.reconcile(site, Partition(low="", high=None))
            assert result.acted.suspect == 0
    assert holdings.db.execute("SELECT scans FROM scan_finding").fetchall() == [(1,)]


def test_a_file_that_two_runs_miss_is_suspect_and_is_not_handed_out(holdings: Holdings) -> None:
    holdings.stored("a/02.bin").unlink()
    compare(holdings.settings)
    acted, told = compare(holdings.settings)
    assert acted.suspect == 1 and state_of(holdings, "a/02.bin") == "suspect"
    assert found(told) == [("missing", "correlative/a/02.bin")]
    (told_by_audit,) = violations(holdings.settings)
    assert told_by_audit.startswith("I2 correlative/a/02.bin: file") and "suspect" in told_by_audit
    with open_site(actor="test", settings=holdings.settings) as site:
        from orbitory.search import Query, search

        page = search(site.inventory, Query(limit=100))
        (granule,) = [each for each in page.items if each["key"] == "correlative/a/02.bin"]
        assert granule["assets"] == []


def test_a_suspect_file_that_is_found_again_is_archived_again(holdings: Holdings, tmp_path: Path) -> None:
    shutil.move(holdings.stored("a/02.bin"), tmp_path / "kept")
    compare(holdings.settings), compare(holdings.settings)
    assert state_of(holdings, "a/02.bin") == "suspect"
    holdings.stored("a/02.bin").write_bytes(b"bytes x")  # of the same size, but not it
    acted, told = compare(holdings.settings)
    assert acted.whole == 0 and state_of(holdings, "a/02.bin") == "suspect"
    assert found(told) == [("damaged", "correlative/a/02.bin")], "it was missing; what stands there now is not it"
    shutil.move(tmp_path / "kept", holdings.stored("a/02.bin"))
    acted, told = read(holdings.settings)
    assert acted.whole == 1 and state_of(holdings, "a/02.bin") == "archived"
    assert told.open == [] and violations(holdings.settings) == []


def test_a_missing_file_that_came_back_is_archived_again_by_the_next_comparison(
    holdings: Holdings, tmp_path: Path
) -> None:
    shutil.move(holdings.stored("a/02.bin"), tmp_path / "kept")
    compare(holdings.settings), compare(holdings.settings)
    shutil.move(tmp_path / "kept", holdings.stored("a/02.bin"))
    acted, told = compare(holdings.settings)
    assert acted.whole == 1 and state_of(holdings, "a/02.bin") == "archived" and told.open == []


def test_a_dark_file_that_two_runs_saw_stands_in_quarantine_with_its_reason(holdings: Holdings) -> None:
    holdings.stored("stray.bin").write_bytes(b"whose am I?")
    (holdings.settings.storage / "link").symlink_to("/etc/passwd")
    holdings.stored(os.fsdecode(b"odd\xff.bin")).write_bytes(b"odd")
    compare(holdings.settings)
    acted, told = compare(holdings.settings)
    assert acted.quarantined == 3 and told.open == []
    dark = holdings.settings.quarantine / "dark"
    stray = next(dark.rglob("stray.bin"))
    assert stray.read_bytes() == b"whose am I?" and not holdings.stored("stray.bin").exists()
    note = json.loads(stray.parent.with_name(f"{stray.parent.name}.json").read_text())
    assert note["path"] == "correlative/stray.bin" and note["reason"] == "dark"
    assert next(dark.rglob("link")).is_symlink()
    with open_site(actor="test", settings=holdings.settings) as site:
        listed = {each["name"]: each for each in quarantined(site)}
        assert listed["correlative/stray.bin"]["reason"] == "dark" and listed["correlative/stray.bin"]["id"] is None
        assert (holdings.settings.quarantine / listed["correlative/stray.bin"]["path"]) == stray
        stray.unlink()
        assert "correlative/stray.bin" not in {each["name"] for each in quarantined(site)}
    assert violations(holdings.settings) == []
    assert not told.clean, "somebody must be told that files were moved"


def test_what_was_put_right_before_the_second_run_is_closed(holdings: Holdings, tmp_path: Path) -> None:
    holdings.stored("stray.bin").write_bytes(b"?")
    shutil.move(holdings.stored("a/02.bin"), tmp_path / "kept")
    compare(holdings.settings)
    holdings.stored("stray.bin").unlink()
    shutil.move(tmp_path / "kept", holdings.stored("a/02.bin"))
    _, told = compare(holdings.settings)
    assert told.open == []
    outcomes = holdings.db.execute("SELECT kind, outcome FROM scan_finding ORDER BY 1").fetchall()
    assert outcomes == [("dark", "gone"), ("missing", "whole")]


@pytest.mark.fault("F50", how="the mark of storage is gone before the rolling audit")
@pytest.mark.req("F50")
def test_an_unmounted_storage_is_told_and_nothing_is_done(holdings: Holdings) -> None:
    shutil.move(holdings.settings.storage, holdings.settings.storage.with_name("elsewhere"))
    holdings.settings.storage.mkdir()
    for work in (compare, read, compare):
        with pytest.raises(IntegrityError, match="looks unmounted"):
            work(holdings.settings)
    assert holdings.db.execute("SELECT count(*) FROM scan_finding").fetchone() == (0,)
    assert holdings.db.execute("SELECT count(*) FROM asset WHERE state = 'archived'").fetchone() == (30,)


@pytest.mark.fault("F50", how="storage goes away amid the walk")
@pytest.mark.req("F50")
def test_a_storage_that_is_unmounted_amid_the_walk_costs_nothing(
    holdings: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = holdings.settings.storage
    holdings.stored("a/02.bin").unlink()
    compare(holdings.settings)
    walk = reconcile.walk

    def unmounted(*values: object, **more: object) -> Iterator[object]:
        yield next(walk(*values, **more))  # type: ignore[arg-type]
        if storage.exists():
            storage.rename(storage.with_name("elsewhere"))
            storage.mkdir()

    monkeypatch.setattr(reconcile, "walk", unmounted)
    with pytest.raises(IntegrityError, match="looks unmounted"):
        compare(holdings.settings)
    assert state_of(holdings, "a/02.bin") == "archived"


@pytest.mark.fault("F50", how="a folder of storage is empty")
@pytest.mark.req("F50")
def test_a_folder_that_lost_its_mount_is_too_much_to_be_true(holdings: Holdings) -> None:
    shutil.rmtree(holdings.settings.storage / "correlative" / "a")
    for _ in range(3):
        acted, told = compare(holdings.settings)
        assert acted.suspect == 0 and len(told.open) == 15
    assert "storage is at fault" in acted.held_back[0]
    assert holdings.db.execute("SELECT count(*) FROM asset WHERE state = 'archived'").fetchone() == (30,)


@pytest.mark.req("F50")
@pytest.mark.parametrize(
    ("share", "few", "acts"), [(0.01, 0, False), (0.03, 0, False), (0.07, 0, True), (1.0, 0, True), (0.0, 1, True)]
)
def test_a_share_is_a_fraction_of_the_files_of_a_partition(
    holdings: Holdings, share: float, few: int, acts: bool
) -> None:
    """One of fifteen: more than 0.01 and 0.03 of them, less than 0.07."""
    holdings.stored("a/02.bin").unlink()
    limits = Limits(share=share, few=few)
    compare(holdings.settings, limits)
    acted, _ = compare(holdings.settings, limits)
    assert bool(acted.suspect) is acts is not bool(acted.held_back)


def test_a_file_that_leaves_while_it_is_looked_at_is_neither_dark_nor_missing(
    holdings: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = findings.tree.look

    def removing(root: object, path: bytes) -> object:
        entry = looked(root, path)  # type: ignore[arg-type]
        if path.endswith(b"02.bin"):
            holdings.sql(
                "UPDATE asset SET state = 'deleting' WHERE path = 'correlative/a/02.bin' AND state = 'archived'"
            )
        return entry

    holdings.stored("a/02.bin").unlink()
    monkeypatch.setattr(findings.tree, "look", removing)
    _, told = compare(holdings.settings)
    assert told.open == []


@pytest.mark.fault("F24", how="one bit flipped in storage")
@pytest.mark.req("F24", "B8")
def test_a_bit_flipped_at_rest_is_found_and_the_file_is_suspect_never_deleted(holdings: Holdings) -> None:
    flip(holdings.stored("a/04.bin"))
    _, told = compare(holdings.settings)
    assert told.open == [], "names and sizes are as they should be"
    acted, told = read(holdings.settings)
    assert found(told) == [("damaged", "correlative/a/04.bin")] and acted.suspect == 1
    assert state_of(holdings, "a/04.bin") == "suspect" and holdings.stored("a/04.bin").exists()
    assert "BLAKE3" in told.violations()[0].detail and told.violations()[0].invariant == "I2"
    flip(holdings.stored("a/04.bin"))
    acted, told = read(holdings.settings)
    assert acted.whole == 1 and told.open == [] and state_of(holdings, "a/04.bin") == "archived"


@pytest.mark.fault("F24", how="many files damaged at once")
@pytest.mark.req("B8")
def test_many_damaged_files_at_once_blame_the_storage(holdings: Holdings) -> None:
    for number in range(0, 30, 2):
        flip(holdings.stored(f"a/{number:02}.bin"))
    acted, told = read(holdings.settings)
    assert acted.suspect == 0 and len(told.open) == 15 and "at fault" in acted.held_back[0]


@pytest.mark.req("B8")
def test_the_budget_of_a_day_reads_the_longest_unread_and_the_next_day_goes_on(holdings: Holdings) -> None:
    settings = holdings.settings
    holdings.sql("UPDATE asset SET fixity_at = now() - id * interval '1 day', size = size")
    holdings.sql("UPDATE scan SET started_at = started_at - interval '1 day'")
    sizes = {row[0]: row[1] for row in holdings.db.execute("SELECT id, size FROM asset").fetchall()}
    budget = sum(sizes[number] for number in sorted(sizes, reverse=True)[:8])
    _, told = read(settings, budget)
    assert told.read == 8 and told.bytes == budget
    fresh = holdings.db.execute("SELECT id FROM asset WHERE fixity_at > now() - interval '1 minute'").fetchall()
    assert {row[0] for row in fresh} == set(sorted(sizes, reverse=True)[:8])
    _, told = read(settings, budget)
    assert told.read == 0, "the day's bytes are used up"
    holdings.sql("UPDATE scan SET started_at = started_at - interval '1 day'")
    _, told = read(settings, budget)
    assert told.read in (8, 9)


@pytest.mark.req("B8")
def test_a_task_that_is_repeated_reads_nothing_twice(holdings: Holdings) -> None:
    from orbitory.scan.fixity import plan_fixity, verify

    with open_site(actor="archive_audit/again", settings=holdings.settings) as site:
        parts = [part.as_dict() for part in plan_fixity(site, None)]
        assert sum(verify(site, part).files for part in parts) == 30
        assert sum(verify(site, part).files for part in parts) == 0


@pytest.mark.req("B8")
def test_the_full_cycle_is_a_number_of_days(holdings: Holdings) -> None:
    from orbitory.scan.outcome import cycle

    with open_site(actor="test", settings=holdings.settings) as site:
        size = cycle(site, None).bytes
        assert cycle(site, size).days == 1 and cycle(site, -(-size // 7)).days == 7
        assert cycle(site, 0).days is None and "no full cycle" in str(cycle(site, 0))


def test_a_redelivered_file_makes_a_suspect_one_whole(settings: Settings) -> None:
    from orbitory.ingest.run import ingest

    landing = settings.landing / "correlative"
    landing.mkdir(parents=True)

    def deliver(name: str, content: bytes) -> None:
        (landing / name).write_bytes(content)
        os.utime(landing / name, (0, 0))

    for number in range(8):
        deliver(f"site_{number}.csv", b"a,b\n1,%d\n" % number)
    assert ingest(settings, "correlative").archived == 8
    (victim,) = settings.storage.rglob("site_3.csv")
    victim.unlink()
    compare(settings), compare(settings)
    assert any("suspect" in each for each in violations(settings))
    deliver("site_3.csv", b"a,b\n1,3\n")
    assert ingest(settings, "correlative").duplicate == 1
    assert victim.read_bytes() == b"a,b\n1,3\n"
    assert violations(settings) == []
    _, told = compare(settings)
    assert told.open == []


def test_the_store_is_not_locked_while_landing_is_cleared(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    free: list[bool] = []
    unlink = retire.unlink_if_same

    def unlinking(folder: Path, path: bytes, expected: Stat) -> bool:
        with psycopg.connect(settings.database) as connection:
            free.append(bool((connection.execute("SELECT pg_try_advisory_xact_lock(7004)").fetchone() or [None])[0]))
        return unlink(folder, path, expected)

    monkeypatch.setattr(retire, "unlink_if_same", unlinking)
    test_a_redelivered_file_makes_a_suspect_one_whole(settings)
    assert free and all(free)


@pytest.mark.req("F60")
def test_a_state_edited_behind_the_history_is_told(holdings: Holdings, owner_uri: str) -> None:
    with psycopg.connect(owner_uri, autocommit=True) as owner:
        owner.execute("ALTER TABLE asset DISABLE TRIGGER USER")
        owner.execute("UPDATE asset SET state = 'suspect' WHERE path = 'correlative/a/02.bin'")
        owner.execute("ALTER TABLE asset ENABLE TRIGGER USER")
    assert any(each.startswith("I8 correlative/a/02.bin") for each in violations(holdings.settings))


def test_a_suspect_file_may_be_given_up(holdings: Holdings) -> None:
    holdings.stored("a/02.bin").unlink()
    flip(holdings.stored("a/04.bin"))
    compare(holdings.settings), compare(holdings.settings), read(holdings.settings)
    names = ("correlative/a/02.bin", "correlative/a/04.bin")
    with open_site(actor="test", settings=holdings.settings) as site:
        shown = removal.plan(site, removal.Selection(kind="list", names=names))
        assert removal.apply(site, shown.hash, approval="test").count == 2
    assert violations(holdings.settings) == []
    _, told = compare(holdings.settings)
    assert told.open == []
