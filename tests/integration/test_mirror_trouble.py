"""Second copies where disks, mounts and people misbehave: what can be repaired is, and what cannot says why."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from cloning import Clone, clone
from mirroring import deliver, flip, mirrored, stored
from orbitory.errors import IntegrityError
from orbitory.ingest.run import ingest
from orbitory.inventory.locks import Lock, alone
from orbitory.mirror.copying import mirror
from orbitory.mirror.figures import status
from orbitory.mirror.place import SENTINEL, Folder
from orbitory.mirror.repairing import repair
from orbitory.quarantine import quarantined
from orbitory.settings import Settings
from orbitory.site import Site, open_site
from orbitory.storage import Storage
from scanning import compare, ordinary, read, violations

__all__ = ["clone"]

pytestmark = pytest.mark.req("B8")


@pytest.fixture
def archive(settings: Settings, tmp_path: Path) -> Settings:
    """Twelve archived files whose product type has a mirror."""
    made = mirrored(settings, tmp_path)
    deliver(made, *range(12))
    return made


@pytest.fixture
def site(archive: Settings) -> Iterator[Site]:
    with open_site(actor="mirror/test", settings=archive) as opened:
        mirror(opened, "default")
        yield opened


def copy_of(settings: Settings, number: int) -> Path:
    (file,) = settings.mirrors["default"].rglob(f"site_{number:02}.csv")
    return file


def number_of(site: Site, number: int) -> int:
    return int(site.inventory.all("repair_named", name=f"site_{number:02}.csv")[0]["id"])


def yesterday(settings: Settings) -> None:
    with psycopg.connect(settings.database, autocommit=True) as connection:
        connection.execute("UPDATE mirror_copy SET copied_at = now() - interval '2 days'")
        connection.execute("UPDATE mirror_copy SET verified_at = copied_at")


def gone(file: Path) -> None:
    file.unlink()


def link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def dangling(file: Path) -> None:
    file.unlink()
    file.symlink_to("/nowhere")


def folder(file: Path) -> None:
    file.unlink()
    (file / "below").mkdir(parents=True)


def fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def locked(file: Path) -> None:
    flip(file)
    file.chmod(0)


BROKEN = (gone, link, dangling, folder, fifo, locked, flip)


@pytest.mark.req("F24")
@pytest.mark.parametrize("breaking", BROKEN)
def test_whatever_stands_in_a_files_place_its_copy_takes_it_and_that_is_kept(
    archive: Settings, site: Site, breaking: Callable[[Path], None]
) -> None:
    file, other = stored(archive, 4), stored(archive, 5)
    good = file.read_bytes()
    breaking(file)
    other.unlink()
    with ordinary():
        told = repair(site, [number_of(site, 4), number_of(site, 5)])
    assert [each.repaired for each in told] == [True, True], told
    assert file.is_file() and not file.is_symlink() and file.read_bytes() == good and other.exists()
    kept = [each["reason"] for each in quarantined(site)]
    assert kept == ([] if breaking is gone else ["damaged"])
    if breaking is link:
        file.with_name("elsewhere").unlink()
    assert violations(archive) == []


@pytest.mark.req("F24")
@pytest.mark.parametrize("breaking", BROKEN)
def test_a_file_delivered_again_takes_the_place_of_whatever_stands_there(
    archive: Settings, breaking: Callable[[Path], None]
) -> None:
    file = stored(archive, 4)
    good = file.read_bytes()
    breaking(file)
    landing = archive.landing / "correlative" / "site_04.csv"
    landing.write_bytes(good)
    os.utime(landing, (0, 0))
    with ordinary():
        assert ingest(archive, "correlative").duplicate == 1
    assert file.is_file() and not file.is_symlink() and file.read_bytes() == good and not landing.exists()


def test_a_file_that_cannot_be_repaired_costs_the_others_nothing(archive: Settings, site: Site, tmp_path: Path) -> None:
    shared = stored(archive, 4).parent
    names = sorted(each.name for each in shared.iterdir())
    shutil.move(shared, tmp_path / "elsewhere")
    shared.symlink_to(tmp_path / "elsewhere")
    told = repair(site, [number_of(site, int(name[5:7])) for name in names])
    assert not any(each.repaired for each in told) and "a link stands where a folder should" in told[0].detail
    assert sorted(each.name for each in (tmp_path / "elsewhere").iterdir()) == names, "nothing was changed behind it"


class Killed(BaseException):
    """What nothing catches."""


@pytest.mark.fault("F51", how="a repair is cut short")
@pytest.mark.req("F51")
def test_a_repair_cut_short_between_aside_and_copy_is_finished_by_the_next_audit(
    archive: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = stored(archive, 4)
    good = file.read_bytes()
    flip(file)
    bad = file.read_bytes()

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "_copy", killed)
        with pytest.raises(Killed):
            read(archive)
    assert not file.exists()
    compare(archive)
    _, told = compare(archive)
    assert told.open == [] and file.read_bytes() == good and violations(archive) == []
    (kept,) = (archive.quarantine / "damaged").rglob("*.csv")
    assert kept.read_bytes() == bad and [each["reason"] for each in quarantined(site)] == ["damaged"]


@pytest.mark.req("F51")
def test_bad_bytes_that_somebody_took_away_do_not_keep_a_suspect_file_from_its_copy(
    archive: Settings, site: Site, tmp_path: Path
) -> None:
    file, copy = stored(archive, 4), copy_of(archive, 4)
    copy.rename(tmp_path / "kept")
    flip(file)
    acted, _ = read(archive)
    assert acted.suspect == 1
    file.unlink()
    (tmp_path / "kept").rename(copy)
    acted, told = compare(archive)
    assert acted.repaired == 1 and told.open == [] and violations(archive) == []


def test_what_an_earlier_try_left_half_written_does_not_stop_a_repair(archive: Settings, site: Site) -> None:
    part = archive.storage / ".incoming" / "repair" / str(number_of(site, 4))
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    part.chmod(0o444)
    stored(archive, 4).unlink()
    with ordinary():
        (told,) = repair(site, [number_of(site, 4)])
    assert told.repaired and not part.exists()


def test_two_repairs_of_one_file_do_not_meet(archive: Settings, site: Site) -> None:
    flip(stored(archive, 4))
    number = number_of(site, 4)
    with (
        open_site(actor="another", settings=archive) as another,
        alone(another.inventory, Lock.REPAIR, number) as taken,
    ):
        assert taken
        (told,) = repair(site, [number])
        assert not told.repaired and "by somebody else" in told.detail
    assert repair(site, [number])[0].repaired


def test_a_repair_of_a_file_that_is_whole_closes_what_was_found_about_it(archive: Settings, site: Site) -> None:
    with ordinary():
        stored(archive, 4).chmod(0)
        _, told = read(archive)
    assert told.counted(kind="damaged") == 1
    assert repair(site, [number_of(site, 4)])[0].whole
    assert compare(archive)[1].open == []


def test_a_copy_of_which_nobody_wrote_down_anything_repairs(archive: Settings, site: Site) -> None:
    with psycopg.connect(archive.database, autocommit=True) as connection:
        connection.execute("DELETE FROM mirror_copy")
    stored(archive, 4).unlink()
    assert repair(site, [number_of(site, 4)])[0].repaired


def test_copies_that_cannot_be_read_are_told_and_the_others_are_read(archive: Settings, site: Site) -> None:
    yesterday(archive)
    for number, breaking in enumerate(BROKEN):
        breaking(copy_of(archive, number))
    with ordinary():
        done = mirror(site, "default")
    assert done.verified == 12 - len(BROKEN) and len(done.bad) == len(BROKEN), done.bad
    for number in range(len(BROKEN)):
        flip(stored(archive, number)) if number else None
    with ordinary():
        assert not any(each.repaired for each in repair(site, [number_of(site, n) for n in range(1, len(BROKEN))]))


@pytest.mark.req("F50")
def test_a_mirror_that_is_unmounted_while_it_is_read_loses_no_copy(
    archive: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday(archive)
    root, digest = archive.mirrors["default"], Folder.digest

    def unmounting(place: Folder, path: str) -> bytes | None:
        if root.exists() and any(root.iterdir()):
            root.rename(root.with_name("elsewhere"))
            root.mkdir()
        return digest(place, path)

    monkeypatch.setattr(Folder, "digest", unmounting)
    with pytest.raises(IntegrityError, match="looks unmounted"):
        mirror(site, "default")
    assert status(site)[0]["bad_files"] == 0


@pytest.mark.fault("F15", how="a mirror without room")
def test_a_full_mirror_keeps_what_it_took_says_so_and_makes_room_first(
    archive: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(archive, *range(20, 26))
    with psycopg.connect(archive.database, autocommit=True) as connection:
        connection.execute("INSERT INTO mirror_orphan VALUES ('default', 'correlative/old.csv')")
    orphan = archive.mirrors["default"] / "correlative" / "old.csv"
    orphan.write_bytes(b"of a file whose row is gone")
    put, taken = Folder.put, []

    def filling(place: Folder, source: int, path: str, digest: bytes) -> bool:
        assert not orphan.exists()
        if len(taken) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken.append(path)
        return put(place, source, path, digest)

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "put", filling)
        done = mirror(site, "default")
    assert (done.copied, done.removed) == (4, 1) and "No space left on device" in done.problem
    assert site.inventory.all("scan_findings", actor="any", limit=9) == []
    done = mirror(site, "default")
    assert (done.copied, done.problem) == (2, "")


@pytest.mark.req("F50")
def test_a_storage_that_is_unmounted_while_it_is_copied_leaves_no_finding(
    archive: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(archive, *range(20, 26))
    put = Folder.put

    def unmounting(place: Folder, source: int, path: str, digest: bytes) -> bool:
        if archive.storage.exists() and any(archive.storage.iterdir()):
            archive.storage.rename(archive.storage.with_name("elsewhere"))
            archive.storage.mkdir()
        return put(place, source, path, digest)

    monkeypatch.setattr(Folder, "put", unmounting)
    with pytest.raises(IntegrityError, match="looks unmounted"):
        mirror(site, "default")
    assert site.inventory.all("scan_findings", actor="any", limit=9) == []


@pytest.mark.req("F50")
def test_a_folder_belongs_to_one_mirror_of_one_site(archive: Settings, site: Site, clone: Clone) -> None:
    two_names = replace(archive, mirrors={**archive.mirrors, "far": archive.mirrors["default"]})
    with open_site(actor="test", settings=two_names) as same, pytest.raises(IntegrityError, match="another mirror"):
        mirror(same, "far")
    other = replace(clone("dev"), catalogue=archive.catalogue, mirrors=archive.mirrors)
    deliver(other, 1)
    with open_site(actor="test", settings=other) as dev:
        with pytest.raises(IntegrityError, match="another site"):
            mirror(dev, "default")
        assert not repair(dev, [number_of(dev, 1)])[0].repaired and "another site" in status(dev)[0]["problem"]
    (archive.mirrors["default"] / SENTINEL).write_text("")
    assert mirror(site, "default").in_order, "an empty one is taken for ours"
    with open_site(actor="test", settings=other) as dev, pytest.raises(IntegrityError, match="another site"):
        mirror(dev, "default")


def test_looking_at_a_mirror_makes_none(archive: Settings) -> None:
    with open_site(actor="test", settings=archive) as site:
        (told,) = status(site)
        assert not archive.mirrors["default"].exists() and told["problem"] == "" and not told["own_disk"]
        repair(site, [number_of(site, 1)])
    assert not archive.mirrors["default"].exists()


def test_copies_of_files_whose_rows_are_about_to_go_are_removed(archive: Settings, site: Site) -> None:
    copy, kept = copy_of(archive, 3), copy_of(archive, 4)
    assert site.inventory.run("mirror_disown", assets=[number_of(site, 3), number_of(site, 4)]) == 2
    with psycopg.connect(archive.database, autocommit=True) as connection:
        connection.execute("UPDATE asset SET state = 'deleting' WHERE path LIKE '%site_03.csv'")
        connection.execute("UPDATE asset SET state = 'deleted', removal = 'removed' WHERE path LIKE '%site_03.csv'")
    done = mirror(site, "default")
    assert done.removed == 2 and not copy.exists()
    assert mirror(site, "default").in_order and kept.exists(), "its path is that of an archived file"


def test_what_was_copied_today_is_not_read_again_and_costs_no_budget(archive: Settings, site: Site) -> None:
    deliver(archive, 20)
    yesterday(archive)
    small = replace(archive, fixity_daily_bytes=24 * stored(archive, 4).stat().st_size)
    with open_site(actor="mirror/test", settings=small) as slow:
        done = mirror(slow, "default")
    assert done.copied == 1 and 1 <= done.verified <= 13, "so much a day, evenly over its hours"


def test_a_pass_that_met_everything_need_not_be_made_again(archive: Settings, site: Site) -> None:
    with psycopg.connect(archive.database, autocommit=True) as connection:
        connection.execute("UPDATE asset SET fixity_at = now() - interval '2 days'")
        connection.execute("DELETE FROM mirror_copy")
    deliver(archive, 20)
    assert mirror(site, "default").copied == 1, "what was archived since"
    flip(copy_of(archive, 20))
    with psycopg.connect(archive.database, autocommit=True) as connection:
        connection.execute("UPDATE asset SET fixity_at = now() - interval '2 days'")
        connection.execute("UPDATE mirror_copy SET verified_at = NULL")
    assert mirror(site, "default").copied == 1, "and what was found bad"
    with psycopg.connect(archive.database, autocommit=True) as connection:
        connection.execute("UPDATE mirror SET whole_at = whole_at - interval '1 day'")
    assert mirror(site, "default").copied == 12, "once a day everything is looked at"
