"""An archive that already stands on disk gets its rows, and nothing of it is touched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloning import Clone
from orbitory.audit import audit
from orbitory.catalogue import load
from orbitory.digest import digest
from orbitory.errors import ConfigurationError
from orbitory.ingest.run import ingest
from orbitory.inventory import connect
from orbitory.model import Tally
from orbitory.register import register
from orbitory.settings import Settings
from orbitory.simulate import simulate
from orbitory.site import Site, open_site


@pytest.fixture
def archive(settings: Settings, tmp_path: Path) -> Path:
    """Files of the correlative source as somebody arranged them long ago."""
    folder = tmp_path / "old archive"
    simulate(load(settings.catalogue), "correlative", 60, 7, "", folder)
    return folder


def fingerprint(folder: Path) -> list[tuple[object, ...]]:
    """Names, inodes, links, sizes, modes and times of all that stands there."""
    found = []
    for path in [folder, *sorted(folder.rglob("*"))]:
        stat = path.lstat()
        found.append(
            (str(path), stat.st_ino, stat.st_nlink, stat.st_size, stat.st_mode, stat.st_mtime_ns, stat.st_ctime_ns)
        )
    return found


def violations(settings: Settings) -> list[str]:
    with open_site(actor="test", settings=settings) as site:
        return [f"{each.invariant} {each.name}: {each.detail}" for each in audit(site)]


def states(settings: Settings) -> Iterator[tuple[str, str]]:
    with connect(settings.database, actor="test") as inventory:
        yield from ((row["name"], row["state"]) for row in inventory.all("ledger_dump"))


def test_every_good_file_gets_its_rows_and_the_tree_is_untouched(settings: Settings, archive: Path) -> None:
    before = fingerprint(archive)
    report = register(settings, "correlative", archive, workers=2)
    assert report.detected == report.archived == sum(path.is_file() for path in archive.rglob("*"))
    assert fingerprint(archive) == before
    assert violations(settings) == []
    assert not list(settings.storage.rglob("*.nc")), "nothing was copied"


def test_a_registered_file_that_changes_before_its_rows_appear_is_rejected_where_it_stands(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "old archive"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_bytes(name.encode())
    steps = sys.modules["orbitory.ingest.run"]
    plain = steps.__dict__["archive"]

    def after_a_change(site: Site, batch: int) -> Tally:
        (folder / "a.txt").write_bytes(b"changed")
        tally: Tally = plain(site, batch)
        return tally

    monkeypatch.setattr(steps, "archive", after_a_change)
    report = register(settings, "correlative", folder)
    assert (report.archived, report.rejected) == (1, 1)
    assert dict(states(settings)) == {"a.txt": "rejected", "b.txt": "archived"}
    assert (folder / "a.txt").read_bytes() == b"changed"
    assert violations(settings) == []


def test_ten_thousand_files_are_registered_and_their_tree_is_untouched(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    for number in range(10_000):
        file = folder / f"{number % 100:02}" / f"{number:05}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{number}")
    before = fingerprint(folder)
    report = register(settings, "correlative", folder, workers=2)
    assert (report.detected, report.archived, report.failed) == (10_000, 10_000, False)
    assert fingerprint(folder) == before
    assert register(settings, "correlative", folder).detected == 0


def test_a_second_registration_finds_nothing_new_and_a_new_file_is_found(settings: Settings, archive: Path) -> None:
    register(settings, "correlative", archive)
    assert register(settings, "correlative", archive).detected == 0
    (archive / "later.txt").write_text("later")
    report = register(settings, "correlative", archive)
    assert (report.detected, report.archived) == (1, 1)


def test_what_is_bad_or_double_stays_where_it_is_and_is_told(settings: Settings, archive: Path) -> None:
    (archive / "empty.nc").touch()
    os.mkfifo(archive / "fifo")
    before = fingerprint(archive)
    report = register(settings, "correlative", archive)
    assert (report.rejected, report.failed) == (2, True)
    assert fingerprint(archive) == before
    assert dict(states(settings))["empty.nc"] == "rejected"
    assert violations(settings) == []
    assert register(settings, "correlative", archive).detected == 0, "it was judged before"
    assert not list(settings.quarantine.iterdir())


def test_a_killed_registration_is_taken_up_and_ends_like_one_that_was_not(
    clone: Clone, archive: Path, tmp_path: Path
) -> None:
    whole, killed = clone("whole"), clone("killed")
    register(whole, "correlative", archive)
    before = fingerprint(archive)
    environment = {
        **os.environ,
        "ORBITORY_DATABASE": killed.database,
        "ORBITORY_ROOT": str(killed.landing.parent),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "include"),
    }
    command = [sys.executable, "-m", "orbitory", "register", str(archive), "--source", "correlative", "--workers", "1"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as running:
        with connect(killed.database, actor="test") as inventory:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not inventory.all("ledger_dump"):
                time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
    register(killed, "correlative", archive)
    assert fingerprint(archive) == before
    assert violations(killed) == []
    digests = []
    for each in (whole, killed):
        with open_site(actor="test", settings=each) as site:
            digests.append(digest(site.inventory, site.storage))
    assert digests[0] == digests[1]


def test_registered_files_are_duplicates_when_they_are_delivered_again(settings: Settings, archive: Path) -> None:
    register(settings, "correlative", archive)
    before = fingerprint(archive)
    landing = settings.landing / "correlative"
    shutil.copytree(archive, landing, dirs_exist_ok=True)
    report = ingest(settings, "correlative")
    assert report.detected == report.duplicate > 0
    assert fingerprint(archive) == before


def test_a_registered_file_is_never_repaired_and_its_duplicate_is_kept(settings: Settings, archive: Path) -> None:
    (archive / "good.txt").write_text("good")
    register(settings, "correlative", archive)
    (archive / "good.txt").write_text("evil")
    landing = settings.landing / "correlative"
    landing.mkdir(parents=True, exist_ok=True)
    (landing / "good.txt").write_text("good")
    os.utime(landing / "good.txt", (1e9, 1e9))
    with pytest.raises(Exception, match="missing or damaged"):
        ingest(settings, "correlative")
    assert (archive / "good.txt").read_text() == "evil"
    assert (landing / "good.txt").read_text() == "good"
    assert any("good.txt" in each for each in violations(settings))


@pytest.mark.parametrize("zone", ["landing", "quarantine", "trash", "work"])
def test_a_folder_that_overlaps_a_zone_is_refused(settings: Settings, zone: str) -> None:
    folder = getattr(settings, zone)
    folder.mkdir(parents=True, exist_ok=True)
    for each in (folder, folder.parent):
        with pytest.raises(ConfigurationError, match="overlaps the"):
            register(settings, "correlative", each)


def test_what_stands_in_storage_already_is_registered_by_its_relative_path(settings: Settings) -> None:
    with open_site(actor="test", settings=settings) as site:
        site.prepare(site.catalogue.source("correlative"))
    (settings.storage / "legacy").mkdir()
    (settings.storage / "legacy" / "a.txt").write_text("a")
    assert any(each.startswith("I3") for each in violations(settings))
    assert register(settings, "correlative", settings.storage / "legacy").archived == 1
    assert violations(settings) == []


def test_no_folder_is_told(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        register(settings, "correlative", tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="no folder"):
        register(settings, "correlative", tmp_path / "file")
