"""The second copy: made after archive, never in its way, used for repair, and gone when its file is gone for good."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from airflow_world import copy_catalogue
from ingesting import digest_of
from mirroring import deliver, flip, mirrored, stored
from orbitory import removal
from orbitory.catalogue import load
from orbitory.errors import ConfigurationError, IntegrityError, Transient
from orbitory.ingest.run import ingest
from orbitory.inventory.locks import Lock, alone
from orbitory.mirror.copying import mirror
from orbitory.mirror.figures import mirrors_of, status
from orbitory.mirror.repairing import repair
from orbitory.mirror.restoring import restore
from orbitory.scan.returning import return_dark
from orbitory.settings import Settings
from orbitory.site import Site, open_site
from private_stack.postgres import ADMIN, DAILY, OWNER, Cluster, binaries
from scanning import compare, found, read, violations


@pytest.fixture
def archive(settings: Settings, tmp_path: Path) -> Settings:
    """Twelve archived files and an empty mirror."""
    made = mirrored(settings, tmp_path)
    deliver(made, *range(12))
    return made


@pytest.fixture
def site(archive: Settings) -> Iterator[Site]:
    with open_site(actor="mirror/test", settings=archive) as opened:
        yield opened


def copy_of(settings: Settings, number: int) -> Path:
    return settings.mirrors["default"] / stored(settings, number).relative_to(settings.storage)


def files(root: Path) -> dict[str, bytes]:
    return {
        str(each.relative_to(root)): each.read_bytes()
        for each in root.rglob("*")
        if each.is_file() and not each.name.startswith(".")
    }


def test_every_archived_file_of_a_mirrored_product_is_copied_once_byte_for_byte(archive: Settings, site: Site) -> None:
    done = mirror(site, "default")
    assert (done.copied, done.failed) == (12, ())
    assert files(archive.mirrors["default"]) == files(archive.storage)
    ours = {each.stat().st_ino for each in archive.storage.rglob("*.csv")}
    assert not ours & {each.stat().st_ino for each in archive.mirrors["default"].rglob("*.csv")}, "a link is no copy"
    assert mirror(site, "default").copied == 0
    (told,) = status(site)
    assert (told["files"], told["waiting_files"], told["problem"]) == (12, 0, "")
    assert violations(archive) == []


def test_what_the_catalogue_does_not_name_is_not_copied(settings: Settings, tmp_path: Path) -> None:
    made = replace(settings, mirrors={"default": tmp_path / "second"})
    deliver(made, 1, 2)
    with open_site(actor="mirror/test", settings=made) as site:
        assert mirrors_of(site) == {"default": []}
        assert mirror(site, "default").copied == 0


def test_a_mirror_that_nothing_places_and_one_within_storage_are_refused(archive: Settings) -> None:
    with open_site(actor="test", settings=replace(archive, mirrors={})) as site:
        assert list(mirrors_of(site)) == ["default"]
        with pytest.raises(ConfigurationError, match="set ORBITORY_MIRROR"):
            mirror(site, "default")
    inside = replace(archive, mirrors={"default": archive.storage / "second"})
    with (
        open_site(actor="test", settings=inside) as site,
        pytest.raises(ConfigurationError, match="a place of its own"),
    ):
        mirror(site, "default")


@pytest.mark.fault("F50", how="a mirror that is not mounted")
@pytest.mark.req("F50")
def test_an_unmounted_mirror_is_told_and_nothing_is_done(archive: Settings, site: Site) -> None:
    mirror(site, "default")
    root = archive.mirrors["default"]
    root.rename(root.with_name("elsewhere"))
    root.mkdir()
    deliver(archive, 20)
    with pytest.raises(IntegrityError, match="looks unmounted"):
        mirror(site, "default")
    assert list(root.iterdir()) == [] and "unmounted" in status(site)[0]["problem"]
    stored(archive, 3).unlink()
    assert not any(each.repaired for each in repair(site, numbers(site)))


def numbers(site: Site) -> list[int]:
    return [row["id"] for row in site.inventory.all("audit_assets", after="", limit=99)]


def test_a_damaged_original_is_not_copied_and_the_audit_is_told(archive: Settings, site: Site) -> None:
    flip(stored(archive, 3))
    done = mirror(site, "default")
    assert done.copied == 11 and len(done.failed) == 1
    assert not copy_of(archive, 3).exists()
    _, told = read(archive)
    assert [kind for kind, _ in found(told)] == ["damaged"]


@pytest.mark.fault("F24", how="one bit flipped in storage that has a second copy")
@pytest.mark.req("B8", "F24")
def test_a_bit_flipped_at_rest_is_repaired_from_the_mirror_and_the_damaged_file_kept(
    archive: Settings, site: Site
) -> None:
    mirror(site, "default")
    before, good = digest_of(archive), stored(archive, 4).read_bytes()
    flip(stored(archive, 4))
    bad = stored(archive, 4).read_bytes()
    acted, told = read(archive)
    assert (acted.repaired, acted.suspect, told.open) == (1, 0, [])
    assert stored(archive, 4).read_bytes() == good
    (kept,) = (archive.quarantine / "damaged").rglob("*.csv")
    assert kept.read_bytes() == bad
    assert violations(archive) == [] and digest_of(archive) == before
    events = site.inventory.all("show_history", subject="asset", id=number_of(site, "site_04.csv"))
    assert [each["to"] for each in events][-2:] == ["suspect", "archived"]
    assert not told.clean, "somebody must be told that a file was damaged"


def number_of(site: Site, name: str) -> int:
    return int(site.inventory.all("repair_named", name=name)[0]["id"])


@pytest.mark.req("B9")
def test_a_missing_file_is_restored_once_two_runs_missed_it(archive: Settings, site: Site) -> None:
    mirror(site, "default")
    good, file = stored(archive, 5).read_bytes(), stored(archive, 5)
    file.unlink()
    compare(archive)
    assert not file.exists()
    acted, told = compare(archive)
    assert acted.repaired == 1 and told.open == [] and file.read_bytes() == good
    assert violations(archive) == []


def test_a_copy_that_does_not_agree_repairs_nothing(archive: Settings, site: Site) -> None:
    mirror(site, "default")
    flip(copy_of(archive, 4))
    flip(stored(archive, 4))
    bad = stored(archive, 4).read_bytes()
    (told,) = repair(site, [number_of(site, "site_04.csv")])
    assert not told.repaired and "its copy in the mirror default is damaged" in told.detail
    assert stored(archive, 4).read_bytes() == bad
    assert status(site)[0]["waiting_files"] == 1, "it is copied anew once its original is good"


def test_a_repair_of_a_whole_file_changes_nothing(archive: Settings, site: Site) -> None:
    mirror(site, "default")
    before = files(archive.storage)
    assert all(each.whole for each in repair(site, numbers(site)))
    assert files(archive.storage) == before and not (archive.quarantine / "damaged").exists()


def remove(site: Site, name: str) -> str:
    shown = removal.plan(site, removal.Selection(kind="list", names=(name,)))
    removal.apply(site, shown.hash, approval="test")
    return shown.hash


def empty_trash(settings: Settings) -> None:
    """As the incinerator does when the window is over: the rows say so, then the files have gone."""
    with psycopg.connect(settings.database, autocommit=True) as connection:
        connection.execute("UPDATE removal_item SET state = 'emptied', trash_path = NULL WHERE state = 'trashed'")
    for file in (settings.trash / "removal").rglob("*.csv"):
        file.unlink()


def test_the_copy_stays_while_the_trash_holds_the_file_and_goes_after(archive: Settings, site: Site) -> None:
    mirror(site, "default")
    copy = copy_of(archive, 6)
    shown = remove(site, "site_06.csv")
    assert mirror(site, "default").removed == 0 and copy.exists()
    removal.undo(site, shown)
    assert mirror(site, "default").removed == 0 and copy.exists()
    remove(site, "site_06.csv")
    empty_trash(archive)
    assert mirror(site, "default").removed == 1 and not copy.exists()
    assert mirror(site, "default").removed == 0


def test_a_plan_that_nobody_took_up_says_nothing_about_the_trash(archive: Settings, site: Site) -> None:
    mirror(site, "default")
    copy = copy_of(archive, 6)
    shown = removal.plan(site, removal.Selection(kind="list", names=("site_06.csv",)))
    removal.plan(site, removal.Selection(kind="list", names=("site_06.csv", "site_07.csv")))
    removal.apply(site, shown.hash, approval="test")
    assert mirror(site, "default").removed == 0 and copy.exists()
    empty_trash(archive)
    assert mirror(site, "default").removed == 1 and not copy.exists()


def test_a_copy_whose_row_went_while_it_was_made_is_nobodys_and_goes(archive: Settings, site: Site) -> None:
    mirror(site, "default")
    copy_of(archive, 6).with_name("went.csv").write_bytes(b"of an export that was taken back")
    path = str(copy_of(archive, 6).with_name("went.csv").relative_to(archive.mirrors["default"]))
    site.inventory.run("mirror_keep", mirror="default", assets=[999_999], paths=[path])
    assert mirror(site, "default").removed == 1 and not (archive.mirrors["default"] / path).exists()


@pytest.mark.req("F50")
def test_a_trash_that_is_not_mounted_costs_no_copy(archive: Settings, site: Site) -> None:
    """Its empty mount point stands there; the rows know that it was not emptied."""
    mirror(site, "default")
    copy = copy_of(archive, 6)
    remove(site, "site_06.csv")
    archive.trash.rename(archive.trash.with_name("elsewhere"))
    archive.trash.mkdir()
    assert mirror(site, "default").removed == 0 and copy.exists()
    with psycopg.connect(archive.database, autocommit=True) as connection:
        # What a newer version replaced has no such row.
        connection.execute("DELETE FROM removal_item")
        connection.execute("UPDATE asset SET removal = 'replaced' WHERE state = 'deleted'")
    assert mirror(site, "default").removed == 0 and copy.exists()
    (archive.trash / ".orbitory-trash").touch()
    assert mirror(site, "default").removed == 1 and not copy.exists()


def test_a_path_that_was_given_again_keeps_its_new_copy(archive: Settings, site: Site) -> None:
    mirror(site, "default")
    copy = copy_of(archive, 6)
    remove(site, "site_06.csv")
    deliver(archive, 6)
    empty_trash(archive)
    mirror(site, "default"), mirror(site, "default")
    assert copy.read_bytes() == stored(archive, 6).read_bytes()
    assert status(site)[0]["files"] == 12


@pytest.mark.req("B8")
def test_a_copy_that_rotted_or_went_is_found_and_made_anew(archive: Settings, site: Site) -> None:
    mirror(site, "default")
    assert mirror(site, "default").verified == 0, "all were read today"
    yesterday = "UPDATE mirror_copy SET verified_at = verified_at - interval '1 day'"
    with psycopg.connect(archive.database, autocommit=True) as connection:
        connection.execute(yesterday)
    flip(copy_of(archive, 3))
    copy_of(archive, 4).unlink()
    done = mirror(site, "default")
    assert done.verified == 10 and not done.in_order, "somebody must be told that for days there was one copy"
    assert sorted(why.rsplit(" ", 1)[1] for _, why in done.bad) == ["damaged", "missing"]
    assert status(site)[0]["bad_files"] == 2
    done = mirror(site, "default")
    assert (done.copied, done.verified, done.in_order) == (2, 0, True) and status(site)[0]["bad_files"] == 0
    assert files(archive.mirrors["default"]) == files(archive.storage)


@pytest.mark.req("B8")
def test_a_lost_storage_is_restored_from_the_mirror_to_the_same_digest(archive: Settings, site: Site) -> None:
    mirror(site, "default")
    before = digest_of(archive)
    shutil.rmtree(archive.storage)
    with pytest.raises(IntegrityError, match="looks unmounted"):
        list(restore(site))
    archive.storage.mkdir()
    (archive.storage / ".orbitory-storage").touch()
    assert sum(each.repaired for each in restore(site)) == 12
    assert violations(archive) == [] and digest_of(archive) == before
    assert list(restore(site)) == []


@pytest.mark.req("B8")
def test_an_inventory_restored_from_a_dump_finds_what_is_newer_dark_and_takes_it_in_again(
    archive: Settings, postgres: Cluster, database: str, tmp_path: Path
) -> None:
    """Files newer than the dump are set aside, delivered again, and end where they were; removed ones come back."""
    with open_site(actor="mirror/test", settings=archive) as site:
        mirror(site, "default")
    dump, tools = tmp_path / "orbitory.dump", binaries()
    assert tools is not None
    subprocess.run([tools / "pg_dump", "-Fc", "-f", dump, postgres.uri(database, ADMIN)], check=True)
    deliver(archive, 30, 31)
    with open_site(actor="test", settings=archive) as site:
        shown = removal.plan(site, removal.Selection(kind="list", names=("site_06.csv",)))
        removal.apply(site, shown.hash, approval="test")
    newest = files(archive.storage)
    postgres.sql(f"CREATE DATABASE {database}_dump OWNER {OWNER}")
    subprocess.run([tools / "pg_restore", "-e", "-d", postgres.uri(f"{database}_dump", ADMIN), dump], check=True)
    restored = replace(archive, database=postgres.uri(f"{database}_dump", DAILY))
    try:
        compare(restored)
        acted, told = compare(restored)
        assert (acted.quarantined, acted.repaired, told.open) == (2, 1, [])
        with open_site(actor="test", settings=restored) as site:
            assert all(each.returned for each in return_dark(site, "correlative"))
            assert list(return_dark(site)) == []
        for file in (archive.landing / "correlative").rglob("*.csv"):
            os.utime(file, (0, 0))
        assert ingest(restored, "correlative").archived == 2
        assert violations(restored) == []
        back = set(files(archive.storage)) - set(newest)
        assert {Path(each).name for each in back} == {"site_06.csv"}
    finally:
        postgres.sql(f"DROP DATABASE {database}_dump WITH (FORCE)")


def test_a_suspect_file_is_restored_as_soon_as_there_is_a_copy_again(
    archive: Settings, site: Site, tmp_path: Path
) -> None:
    mirror(site, "default")
    copy, good = copy_of(archive, 4), stored(archive, 4).read_bytes()
    shutil.move(copy, tmp_path / "kept")
    flip(stored(archive, 4))
    acted, told = read(archive)
    assert (acted.suspect, acted.repaired) == (1, 0) and [kind for kind, _ in found(told)] == ["damaged"]
    mirror(site, "default")
    assert status(site)[0]["bad_files"] == 1, "what one bad glance did not see is not forgotten"
    shutil.move(tmp_path / "kept", copy)
    acted, told = read(archive)
    assert acted.repaired == 1 and told.open == [] and stored(archive, 4).read_bytes() == good
    assert violations(archive) == []


def test_an_original_that_cannot_be_read_costs_its_own_copy_alone(
    archive: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link in its place refuses to be opened, as a bad sector would to be read."""
    file = stored(archive, 3)
    file.unlink()
    file.symlink_to("/etc/passwd")
    done = mirror(site, "default")
    assert done.copied == 11 and "cannot be read" in done.failed[0][1]


@pytest.mark.req("F50")
def test_a_name_that_a_mirror_cannot_take_is_told_and_no_original_is_blamed(archive: Settings, site: Site) -> None:
    mirror(site, "default")
    deliver(archive, 40)
    blocked = copy_of(archive, 40)
    blocked.mkdir()
    deliver(archive, 41)
    done = mirror(site, "default")
    assert done.copied == 1 and "cannot take it" in done.failed[0][1]
    assert site.inventory.all("scan_findings", actor="any", limit=9) == []
    blocked.rmdir()
    with psycopg.connect(archive.database, autocommit=True) as connection:
        connection.execute("UPDATE mirror SET whole_at = whole_at - interval '1 day'")
    assert mirror(site, "default").copied == 1


def test_only_one_run_at_a_time_writes_to_a_mirror(archive: Settings, site: Site) -> None:
    with (
        open_site(actor="other", settings=archive) as other,
        alone(other.inventory, Lock.MIRROR, "default"),
        pytest.raises(Transient, match="wait for its end"),
    ):
        mirror(site, "default")
    assert mirror(site, "default").copied == 12


def test_a_named_mirror_has_a_setting_of_its_own(settings: Settings, tmp_path: Path) -> None:
    folder = copy_catalogue(tmp_path / "catalogue")
    product = folder / "products" / "correlative.toml"
    plain = product.read_text()
    product.write_text(f'{plain}mirror = "far"\n')
    made = replace(settings, catalogue=folder, mirrors={"far": tmp_path / "far"})
    deliver(made, 1, 2)
    with open_site(actor="mirror/test", settings=made) as site:
        assert mirror(site, "far").copied == 2
    for wrong in ("3", '"Far Away"'):
        product.write_text(f"{plain}mirror = {wrong}\n")
        (problem,) = load(folder).problems
        assert problem.key == "mirror" and "expected true, false, or the name of a mirror" in problem.message


def test_settings_that_make_no_sense_are_refused(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="ORBITORY_FIXITY_GIGABYTES is '5 TB'"):
        Settings.from_environment({**environment, "ORBITORY_FIXITY_GIGABYTES": "5 TB"})
    told = Settings.from_environment({**environment, "ORBITORY_FIXITY_GIGABYTES": "7", "ORBITORY_MIRROR_FAR": "/far"})
    assert told.fixity_daily_bytes == 7 * 10**9 and told.mirrors == {"far": Path("/far")}
