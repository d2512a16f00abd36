"""The rolling audit where disks, mounts and folders misbehave: each costs its own finding, and no other file."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from holdings import Holdings
from mirroring import write
from orbitory import tree
from orbitory.checksum import Hasher
from orbitory.errors import IntegrityError
from orbitory.inventory import Row
from orbitory.register import register
from orbitory.scan import aside, doubt, fixity, reading, reconcile
from orbitory.scan.guard import Limits
from orbitory.settings import Settings
from orbitory.site import Site, open_site
from scanning import compare, found, later, ordinary, read, violations

pytestmark = pytest.mark.req("B9", "F50")


@pytest.fixture
def holdings(settings: Settings) -> Iterator[Holdings]:
    """Thirty archived files in two folders."""
    with Holdings(settings) as made:
        for number in range(30):
            made.archive(f"{'ab'[number % 2]}/{number:02}.bin", b"bytes %d" % number)
        made.finish()
        yield made


def states(holdings: Holdings) -> dict[str, int]:
    return dict(holdings.db.execute("SELECT state, count(*) FROM asset GROUP BY state").fetchall())


def flip(file: Path, at: int = 0) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.fault("F18", how="a stored file cannot be read by the audit")
@pytest.mark.req("B8")
def test_a_file_that_cannot_be_read_is_suspect_after_two_runs_and_costs_the_others_nothing(holdings: Holdings) -> None:
    holdings.stored("a/02.bin").chmod(0)
    with ordinary():
        for _ in range(3):
            _, told = read(holdings.settings)
            assert found(told) == [("damaged", "correlative/a/02.bin")] and told.read == 30
        assert states(holdings) == {"archived": 29, "suspect": 1}
        holdings.stored("a/04.bin").unlink()
        holdings.stored("stray.bin").write_bytes(b"?")
        compare(holdings.settings)
        acted, told = compare(holdings.settings)
        assert (acted.suspect, acted.quarantined) == (1, 1)
    holdings.stored("a/02.bin").chmod(0o644)
    acted, told = read(holdings.settings)
    assert acted.whole == 1 and found(told) == [("missing", "correlative/a/04.bin")]


@pytest.mark.fault("F24", how="two reads of one file differ")
@pytest.mark.req("B8", "F24")
def test_two_reads_that_contradict_each_other_blame_no_file(
    holdings: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = holdings.stored("a/02.bin")
    flip(victim)
    again = reading.read_afresh

    def other_bytes(hasher: Hasher, descriptor: int) -> bytes:
        flip(victim, 1)
        return again(hasher, descriptor)

    monkeypatch.setattr(reading, "read_afresh", other_bytes)
    acted, told = read(holdings.settings)
    assert acted.suspect == 0 and states(holdings) == {"archived": 30}
    assert "disk, cable or memory is at fault" in told.open[0]["detail"] and told.open[0]["scans"] == 1


@pytest.mark.req("B8")
def test_a_fifo_in_the_place_of_an_empty_file_is_not_whole(settings: Settings) -> None:
    with Holdings(settings) as holdings:
        for number in range(9):
            holdings.archive(f"{number}.bin", b"")
        holdings.stored("3.bin").unlink()
        os.mkfifo(holdings.stored("3.bin"))
        _, told = read(settings)
    assert found(told) == [("damaged", "correlative/3.bin")]


def test_two_looks_within_the_hour_do_not_agree(holdings: Holdings) -> None:
    holdings.stored("a/02.bin").unlink()
    for _ in range(3):
        acted, _ = compare(holdings.settings, wait=False)
        assert acted.suspect == 0
    later(holdings.settings)
    acted, _ = compare(holdings.settings, wait=False)
    assert acted.suspect == 1


def test_a_size_that_one_run_alone_saw_closes_with_the_next(holdings: Holdings) -> None:
    file = holdings.stored("a/02.bin")
    good = file.read_bytes()
    file.write_bytes(b"x")
    _, told = compare(holdings.settings)
    assert found(told) == [("damaged", "correlative/a/02.bin")]
    file.write_bytes(good)
    _, told = compare(holdings.settings)
    assert told.open == []


def test_what_was_missing_and_is_damaged_now_must_be_seen_twice_as_that(holdings: Holdings) -> None:
    file = holdings.stored("a/02.bin")
    file.unlink()
    compare(holdings.settings)
    file.write_bytes(b"x")
    acted, told = compare(holdings.settings)
    assert acted.suspect == 0 and [row["scans"] for row in told.open] == [1]
    acted, told = compare(holdings.settings)
    assert acted.suspect == 1 and found(told) == [("damaged", "correlative/a/02.bin")]


@pytest.mark.fault("F50", how="storage goes away while it is read")
@pytest.mark.req("B8")
def test_a_storage_that_is_unmounted_amid_reading_leaves_no_finding(
    holdings: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, opened = holdings.settings.storage, reading.open_beneath

    def unmounting(folder: Path, path: bytes) -> int:
        descriptor = opened(folder, path)
        if not path.endswith(b"00.bin") and storage.with_name("elsewhere").exists() is False:
            storage.rename(storage.with_name("elsewhere"))
            storage.mkdir()
        return descriptor

    monkeypatch.setattr(reading, "open_beneath", unmounting)
    with pytest.raises(IntegrityError, match="looks unmounted"):
        read(holdings.settings)
    assert holdings.db.execute("SELECT count(*) FROM scan_finding").fetchone() == (0,)


def test_of_what_is_too_much_only_the_first_is_written_down_and_nothing_open_is_forgotten(
    holdings: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "_AT_ONCE", 3)
    monkeypatch.setattr(reconcile, "MOST_FINDINGS", 5)
    holdings.stored("b/29.bin").unlink()
    compare(holdings.settings)
    for number in range(1, 28, 2):
        holdings.stored(f"b/{number:02}.bin").unlink()
    acted, told = compare(holdings.settings)
    assert "15 missing" in acted.held_back[0] and acted.suspect == 0
    assert ("missing", "correlative/b/29.bin") in found(told) and 6 <= told.counted() <= 10


@pytest.mark.req("B8")
def test_files_that_are_gone_do_not_keep_the_others_unread(holdings: Holdings) -> None:
    holdings.sql("UPDATE asset SET fixity_at = now() - (100 - id) * interval '1 day'")
    size = 9 * 8
    for number in range(0, 30, 2):
        holdings.stored(f"a/{number:02}.bin").unlink()
    unread = "SELECT count(*) FROM asset WHERE fixity_at < now() - interval '1 day' AND path LIKE 'correlative/b/%'"
    for _ in range(8):
        read(holdings.settings, size)
        holdings.sql("UPDATE scan SET started_at = started_at - interval '1 day'")
    assert holdings.db.execute(unread).fetchone() == (0,)


@pytest.mark.req("B8")
def test_what_was_found_damaged_is_read_in_every_run_within_a_tenth_of_the_budget(holdings: Holdings) -> None:
    for number in (2, 4, 6):
        flip(holdings.stored(f"a/{number:02}.bin"))
    read(holdings.settings)
    with open_site(actor="archive_audit/again", settings=holdings.settings) as site:
        (part,) = [each for each in fixity.plan_fixity(site, 10**6) if each.doubtful]
        assert part.doubtful == 21, "three of seven bytes"
        holdings.sql("UPDATE scan SET bytes = 0")
        (part,) = [each for each in fixity.plan_fixity(site, 80) if each.doubtful]
        assert part.doubtful == 14 < part.bytes


def test_a_link_in_the_place_of_a_folder_stays_and_nothing_below_it_is_handed_to_quarantine(
    holdings: Holdings, tmp_path: Path
) -> None:
    folder = holdings.settings.storage / "correlative" / "b"
    shutil.move(folder, tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    for _ in range(3):
        acted, told = compare(holdings.settings)
    assert folder.is_symlink() and acted.quarantined == 0 and states(holdings) == {"archived": 30}
    assert any("the inventory has files below it" in each for each in acted.held_back)
    assert any("at fault" in each for each in acted.held_back) and told.counted(kind="missing") == 15
    _, told = read(holdings.settings)
    assert told.counted(kind="damaged") == 0, "what is reached through a link is missing, not damaged"
    folder.unlink()
    shutil.move(tmp_path / "elsewhere", folder)
    _, told = compare(holdings.settings)
    assert told.open == []


def test_a_limit_counts_what_was_done_before_in_every_partition(holdings: Holdings) -> None:
    limits = Limits(share=0.0, few=3)
    for number in (0, 1, 2):
        holdings.stored(f"{'ab'[number % 2]}/{number:02}.bin").unlink()
    compare(holdings.settings, limits)
    acted, _ = compare(holdings.settings, limits)
    assert acted.suspect == 3 and not acted.held_back
    holdings.stored("b/03.bin").unlink()
    compare(holdings.settings, limits)
    acted, _ = compare(holdings.settings, limits)
    assert acted.suspect == 0 and "4 in all" in acted.held_back[0]
    for turn, names in enumerate((("x", "y", "z"), ("w",))):
        for name in names:
            holdings.stored(name).write_bytes(b"?")
        compare(holdings.settings, limits)
        acted, _ = compare(holdings.settings, limits)
        assert acted.quarantined == (3 if not turn else 0)


def test_a_dark_file_that_became_known_meanwhile_stays(holdings: Holdings) -> None:
    holdings.stored("stray.bin").write_bytes(b"?")
    compare(holdings.settings)
    (number,) = holdings.db.execute("SELECT id FROM scan_finding").fetchone() or (0,)
    holdings.stored("stray.bin").rename(holdings.stored(f".dark-{number}"))
    holdings.sql("UPDATE scan_finding SET moved_to = %s WHERE id = %s", f"dark/{number}/stray.bin".encode(), number)
    holdings.stored("stray.bin").write_bytes(b"another one, a week later")
    _, told = compare(holdings.settings)
    assert (holdings.settings.quarantine / "dark" / str(number) / "stray.bin").read_bytes() == b"?"
    assert holdings.stored("stray.bin").exists(), "it was seen once"
    assert found(told) == [("dark", "correlative/stray.bin")] and violations(holdings.settings)[0].startswith("I3")


def test_of_what_stands_below_a_folder_that_cannot_be_read_nothing_is_known_and_the_rest_is_looked_after(
    holdings: Holdings,
) -> None:
    holdings.stored("a/02.bin").unlink()
    compare(holdings.settings)
    holdings.stored("b/03.bin").unlink()
    holdings.stored("stray.bin").write_bytes(b"?")
    holdings.stored("a").chmod(0)
    with ordinary():
        compare(holdings.settings)
        acted, told = compare(holdings.settings)
    assert (acted.suspect, acted.quarantined) == (1, 1)
    assert acted.held_back == ("correlative/a/ cannot be read: Permission denied; nothing below it was compared",)
    assert found(told) == [("missing", "correlative/a/02.bin"), ("missing", "correlative/b/03.bin")]
    assert states(holdings) == {"archived": 29, "suspect": 1}
    holdings.stored("a").chmod(0o755)


def test_a_name_that_cannot_be_looked_at_is_damaged_and_costs_no_other(
    holdings: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    holdings.stored("a/04.bin").write_bytes(b"of another size")
    look = tree.look_beneath

    def broken(folder: Path, path: bytes) -> os.stat_result | None:
        if path.endswith(b"a/02.bin"):
            raise OSError(errno.EUCLEAN, "Structure needs cleaning")
        return look(folder, path)

    holdings.stored("a/02.bin").unlink()
    monkeypatch.setattr(tree, "look_beneath", broken)
    compare(holdings.settings)
    acted, told = compare(holdings.settings)
    assert acted.suspect == 2 and [row["kind"] for row in told.open] == ["damaged", "damaged"]
    assert "cannot be looked at: Structure needs cleaning" in told.open[0]["detail"]


def test_a_dark_file_that_cannot_be_renamed_keeps_nothing_else_from_being_looked_after(holdings: Holdings) -> None:
    holdings.stored("a/stray.bin").write_bytes(b"?")
    holdings.stored("b/stray.bin").write_bytes(b"?")
    holdings.stored("b/03.bin").unlink()
    holdings.stored("a").chmod(0o555)
    with ordinary():
        compare(holdings.settings)
        acted, told = compare(holdings.settings)
        assert (acted.suspect, acted.quarantined) == (1, 1) and "cannot be renamed" in acted.held_back[0]
    holdings.stored("a").chmod(0o755)
    acted, told = compare(holdings.settings)
    assert acted.quarantined == 1 and found(told) == [("missing", "correlative/b/03.bin")]


def test_a_dark_file_keeps_its_name_while_quarantine_takes_nothing(
    holdings: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    holdings.stored("stray.bin").write_bytes(b"?")
    with monkeypatch.context() as patched:
        patched.setattr(aside, "set_aside", full)
        for _ in range(5):
            compare(holdings.settings)
    compare(holdings.settings)
    rows = holdings.db.execute("SELECT name, outcome, moved_to FROM scan_finding").fetchall()
    assert [row[:2] for row in rows] == [("correlative/stray.bin", "quarantined")]
    assert (holdings.settings.quarantine / rows[0][2].decode()).read_bytes() == b"?"
    assert violations(holdings.settings) == []


def test_ingest_waits_neither_for_slow_storage_nor_for_moves_to_quarantine(
    holdings: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    free: list[bool] = []
    moved, stands = aside.set_aside, doubt.stands

    def is_free() -> None:
        with psycopg.connect(holdings.settings.database) as connection:
            free.append(bool((connection.execute("SELECT pg_try_advisory_xact_lock(7004)").fetchone() or [None])[0]))

    def moving(source: Path, target: Path) -> None:
        is_free()
        moved(source, target)

    def looking(site: Site, row: Row) -> bool:
        is_free()
        return stands(site, row)

    monkeypatch.setattr(aside, "set_aside", moving)
    monkeypatch.setattr(doubt, "stands", looking)
    holdings.stored("stray.bin").write_bytes(b"?")
    holdings.stored("a/02.bin").unlink()
    compare(holdings.settings)
    acted, _ = compare(holdings.settings)
    assert (acted.quarantined, acted.suspect, free) == (1, 1, [True, True])


@pytest.fixture
def registered(settings: Settings, tmp_path: Path) -> Path:
    """Thirty files that stand outside storage, and twenty within."""
    folder = tmp_path / "old"
    write(folder, *range(30))
    with Holdings(settings) as holdings:
        for number in range(20):
            holdings.archive(f"a/{number:02}.bin", b"bytes %d" % number)
        holdings.finish()
    assert register(settings, "correlative", folder).archived == 30
    return folder


def test_what_was_registered_in_place_is_no_difference_and_is_read_where_it_stands(
    settings: Settings, registered: Path
) -> None:
    acted, told = compare(settings)
    assert told.open == [] and told.seen == 20
    _, told = read(settings)
    assert told.open == [] and told.read == 50
    (registered / "site_03.csv").unlink()
    for _ in range(2):
        acted, told = read(settings)
    assert acted.suspect == 1 and [kind for kind, _ in found(told)] == ["missing"]
    _, told = compare(settings)
    assert len(told.open) == 1, "the comparison of storage says nothing about it"


def test_a_registered_folder_that_is_not_mounted_is_told_and_its_files_are_not_called_missing(
    settings: Settings, registered: Path
) -> None:
    registered.rename(registered.with_name("elsewhere"))
    for _ in range(2):
        acted, told = read(settings)
        assert told.open == [] and any("looks unmounted" in each for each in acted.held_back)
