"""Links, work folders, quarantine and trash go when their time is over; nothing outside their roots is ever touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from footprints import Strips
from holdings import Holdings
from orbitory import retention
from orbitory.errors import ConfigurationError, IntegrityError
from orbitory.quarantine import quarantined
from orbitory.removal import undo
from orbitory.retention import walking
from orbitory.retention.naming import clock
from orbitory.retention.outcome import Item, Pass
from orbitory.retention.taking import Work
from orbitory.settings import Settings
from orbitory.site import Site, open_site
from retaining import after, archive, at, expire_at, files, key, keys, now, past, ruled, wrong

__all__ = ["archive"]
DAY = 86_400


@pytest.fixture
def site(settings: Settings) -> Iterator[Site]:
    """An archive without granules."""
    with open_site(actor="test", settings=settings) as opened:
        yield opened


def write(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def done(run: retention.Run, kind: str) -> list[str]:
    return [item.name for item in run.items if item.kind == kind]


@pytest.mark.req("G22")
def test_links_go_after_a_week_with_the_folders_that_this_empties_and_nothing_behind_them(
    site: Site, tmp_path: Path
) -> None:
    links = site.settings.links
    treasure = write(tmp_path / "outside" / "treasure.ntf", b"gold")
    (links / "ada" / "s1" / "20240101").mkdir(parents=True)
    (links / "ada" / "s1" / "20240101" / "old.ntf").symlink_to(treasure)
    (links / "ada" / "outside").symlink_to(treasure.parent)
    os.link(treasure, links / "ada" / "hard.ntf")
    made = now(site)
    write(links / "bob" / "young.ntf")
    assert done(retention.expire(site), "link") == []
    with at(made + timedelta(days=7)):
        shown = retention.expire(site, dry=True)
        assert (links / "ada" / "outside").is_symlink()
        run = retention.expire(site)
    assert done(run, "link") == done(shown, "link") == ["ada/hard.ntf", "ada/outside", "ada/s1/20240101/old.ntf"]
    assert files(links) == {"bob/young.ntf": b"x"} and not (links / "ada").exists()
    assert treasure.read_bytes() == b"gold" and run.as_dict()["removed"] == 3


@pytest.mark.req("G22")
def test_what_was_put_there_today_is_young_however_old_its_bytes_say_they_are(site: Site, tmp_path: Path) -> None:
    """As a hard link, `cp -p`, `rsync -t` and `tar x` leave it; and as `touch -d` does, to any year."""
    links = site.settings.links / "ada"
    links.mkdir(parents=True)
    source = write(tmp_path / "archived.h5")
    os.utime(source, (0, 0))
    os.link(source, links / "hard.h5")
    shutil.copy2(source, links / "copied.h5")
    for name, seconds in (("ancient.h5", -100_000_000_000), ("to_come.h5", 9_000_000_000)):
        os.utime(write(links / name), (seconds, seconds))
    made = now(site)
    os.utime(links, (0, 0))
    run = retention.expire(site)
    assert run.items == () and not run.failed and len(files(links)) == 4
    with at(made + timedelta(days=7)):
        assert len(done(retention.expire(site), "link")) == 4, "a time to come keeps nothing for ever"


@pytest.mark.req("G22")
def test_what_was_written_anew_since_its_folder_was_read_stays(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    links = site.settings.links
    for name in ("a.ntf", "b.ntf"):
        write(links / name)
    made, take = now(site), Work.take

    def written_meanwhile(self: Any, item: Any, folder: int, name: str) -> None:
        write(links / "b.ntf", b"new")
        take(self, item, folder, name)

    monkeypatch.setattr(Work, "take", written_meanwhile)
    with at(made + timedelta(days=7)):
        assert done(retention.expire(site), "link") == ["a.ntf"]
    assert files(links) == {"b.ntf": b"new"}


@pytest.mark.req("G22")
def test_a_folder_that_is_swapped_for_a_link_meanwhile_leads_nowhere(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = site.settings.links
    outside = tmp_path / "outside"
    write(outside / "a.ntf", b"gold")
    write(links / "ada" / "deep" / "a.ntf")
    write(links / "zoe" / "z.ntf")
    swapped, look = [], walking.names

    def swap(folder: int) -> Any:
        found = look(folder)
        if [name for name, _ in found] == ["deep"] and not swapped:
            swapped.append((links / "ada" / "deep").rename(tmp_path / "moved"))
            (links / "ada" / "deep").symlink_to(outside)
        return found

    with after(site, 8):
        monkeypatch.setattr(walking, "names", swap)
        run = retention.expire(site)
        assert swapped and files(outside) == {"a.ntf": b"gold"}
        assert [name for name, _ in run.failed] == ["ada/deep"] and not (links / "zoe" / "z.ntf").exists()
        monkeypatch.setattr(walking, "names", look)
        retention.expire(site)
    assert files(outside) == {"a.ntf": b"gold"}


@pytest.mark.req("G22", "F43")
def test_ages_mean_nothing_on_a_file_system_whose_clock_is_not_the_databases(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(site.settings.links / "ada" / "a.ntf")
    with after(site, 8):
        for off in (8 * DAY, -8 * DAY):
            monkeypatch.setattr(walking, "clock_of", lambda folder, off=off: time.time() + off)
            run = retention.expire(site)
            assert run.as_dict()["removed"] == 0 and (site.settings.links / "ada" / "a.ntf").exists()
            assert "ages of its files mean nothing" in run.failed[0][1]
            assert ("ahead" if off > 0 else "behind") in run.failed[0][1]


@pytest.mark.req("G22", "F43")
def test_a_file_system_is_asked_for_its_time_in_one_of_two_ways_and_without_an_answer_nothing_goes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = site.settings.links
    write(links / "a.ntf")
    opened, refused = os.open, [os.O_TMPFILE]

    def refuse(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if any(flags & each == each for each in refused):
            raise OSError(95, "Operation not supported", path)
        return opened(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refuse)  # as NFS, CIFS and many FUSE file systems do
    with walking.opened(links) as folder:
        told = walking.clock_of(folder)
        assert told is not None and abs(told - time.time()) < 5
    assert [each.name for each in links.iterdir()] == ["a.ntf"], "asking leaves nothing behind"
    refused.append(os.O_CREAT | os.O_EXCL)
    with after(site, 8):
        run = retention.expire(site)
        assert run.as_dict()["removed"] == 0 and "tells no time" in run.failed[0][1] and (links / "a.ntf").exists()
        refused.pop()
        assert done(retention.expire(site), "link") == ["a.ntf"]


@pytest.mark.req("G22")
def test_a_work_folder_goes_whole_a_week_after_its_last_change_and_never_while_it_is_used(
    site: Site, settings: Settings
) -> None:
    zone = settings.work / "pge"
    for name in ("1.aa", "2.bb", "3.cc"):
        write(zone / name / "out" / "a.txt")
        write(zone / name / "tmp" / "log")
    made = now(site)
    write(zone / "2.bb" / "tmp" / "log", b"yy")
    with Holdings(settings) as hand:
        hand.sql(
            "INSERT INTO pge_instance (pge, version, period_key, sensing, state, input_hash, folder, claim,"
            " lease_until) VALUES ('p', '1', 'k', tstzrange(now(), now() + interval '1 h'), 'running', '\\x01', '3.cc',"
            " gen_random_uuid(), 'infinity')"
        )
    with at(made + timedelta(days=7)):
        run = retention.expire(site)
    assert done(run, "work") == ["work/pge/1.aa"] and run.as_dict()["bytes"] == 2
    assert {each.name for each in zone.iterdir()} == {"2.bb", "3.cc"}


READ_ONLY = """
import subprocess, sys
subprocess.run(["mount", "--bind", sys.argv[1], sys.argv[1]], check=True)
subprocess.run(["mount", "-o", "remount,ro,bind", sys.argv[1]], check=True)
import orbitory.retention.run as run
from datetime import timedelta
real = run.clock
run.clock = lambda site: real(site) + timedelta(days=int(sys.argv[2]))
from orbitory.cli import main
sys.exit(main(["expire", "--json"]))
"""


def read_only(folder: Path, days: int, environment: dict[str, str]) -> dict[str, Any]:
    """What `orbitory expire` says while this folder is mounted read-only, for that process alone."""
    line = ["unshare", "--mount", sys.executable, "-c", READ_ONLY, str(folder), str(days)]
    told = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=False)
    if "unshare failed" in told.stderr or "mount:" in told.stderr:
        pytest.skip("only who may mount can make a folder read-only")
    answer: dict[str, Any] = json.loads(told.stdout)
    assert told.returncode == (1 if answer["failed"] else 0)
    return answer


@pytest.mark.fault("F20", how="an immutable or protected file that should be removed")
@pytest.mark.req("G22")
def test_what_cannot_be_removed_is_told_and_tried_again_and_the_rest_goes(
    site: Site, environment: dict[str, str]
) -> None:
    links = site.settings.links
    for name in ("a/a.ntf", "b/b.ntf", "c/c.ntf"):
        write(links / name)
    told = read_only(links / "b", 8, environment)
    assert [each["name"] for each in told["failed"]] == ["b/b.ntf"] and told["removed"] == 2
    assert "Read-only file system" in told["failed"][0]["why"] and files(links) == {"b/b.ntf": b"x"}
    (newest, *_) = retention.history(site)
    assert newest["verdict"] == "failed" and "links: b/b.ntf" in newest["trouble"] and newest["removed"] == 2
    with after(site, 8):
        assert retention.expire(site).as_dict()["removed"] == 1
    assert retention.history(site)[0]["verdict"] == "success"


@pytest.mark.req("G22")
def test_one_bad_folder_of_storage_keeps_no_other_granule_from_leaving(
    archive: Strips, environment: dict[str, str]
) -> None:
    archive.make(10)
    expire_at(archive, [1, 2, 7])
    site = archive.site
    (row,) = archive.sql(
        "SELECT s.path FROM asset s JOIN granule_asset l ON l.asset_id = s.id WHERE l.granule_id = 7 AND role = 'data'"
    )
    told = read_only((site.settings.storage / row["path"]).parent, 0, environment)
    assert told["removed"] == 2 and keys(archive, "deleted") == {key(archive, 1), key(archive, 2)}
    assert [each["name"] for each in told["failed"]] == [key(archive, 7)]
    assert wrong(site) == [], "it stays what it was, and no set is left half-way"
    assert retention.expire(site).as_dict()["removed"] == 1


@pytest.mark.req("G22")
def test_a_rule_that_fails_stops_no_other_and_three_failures_in_a_row_are_told_once_a_day(
    archive: Strips, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = archive.site
    archive.make(10)
    write(site.settings.links / "a.ntf")
    messages = "SELECT kind, text FROM outbox ORDER BY id"

    def broken(folder: int) -> float:
        raise ValueError("year -1199 is out of range")  # a bug, and no OSError

    monkeypatch.setattr(walking, "clock_of", broken)
    for number in range(1, 6):
        expire_at(archive, [number])
        run = retention.expire(site)
        assert done(run, "granule") == [key(archive, number)] and [name for name, _ in run.failed] == ["links"]
        assert len(archive.sql(messages)) == (number >= 3)
    ((told),) = archive.sql(messages)
    assert told["kind"] == "retention_failing" and "links: " in told["text"] and "out of range" in told["text"]
    archive.sql("UPDATE outbox SET actor = 'retention since run 1, 2001-01-01'")
    retention.expire(site)
    assert len(archive.sql(messages)) == 2, "it is told again on another day"
    monkeypatch.undo()
    assert not retention.expire(site).failed
    monkeypatch.setattr(walking, "clock_of", broken)
    for _ in range(3):
        retention.expire(site)
    assert len(archive.sql(messages)) == 3, "another series is another message"


@pytest.mark.req("G22")
def test_runs_that_were_killed_count_as_failed_and_that_none_comes_to_its_end_is_told(
    archive: Strips, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, messages = archive.site, "SELECT kind FROM outbox ORDER BY id"
    assert retention.watch(site), "where it never ran it is not watched"
    retention.begin(site, anew=True)
    assert retention.watch(site)
    for _ in range(2):
        retention.begin(site, anew=True)
    archive.sql("UPDATE retention_run SET started_at = started_at - interval '61 minutes'")
    for _ in range(2):
        assert not retention.watch(site)
    assert [row["kind"] for row in archive.sql(messages)] == ["retention_silent"], "one mail a day"
    monkeypatch.setattr(walking, "clock_of", lambda folder: None)
    write(site.settings.links / "a.ntf")
    retention.expire(site)
    assert [row["kind"] for row in archive.sql(messages)] == ["retention_silent", "retention_failing"]
    assert retention.watch(site)
    archive.sql("UPDATE retention_run SET finished_at = finished_at - interval '61 minutes'")
    assert not retention.watch(site)


@pytest.mark.req("G22")
def test_rejected_files_leave_quarantine_after_the_days_of_their_source_and_conflicts_stay(
    site: Site, settings: Settings
) -> None:
    with Holdings(settings) as hand:
        old = hand.reject("a.bin", sidecar=b"sum")
        young = hand.reject("b.bin")
        fight = hand.reject("c.bin")
        hand.sql("UPDATE arrival SET state = 'conflict', reason = 'conflict' WHERE id = %s", fight)
        hand.finish()
    assert done(retention.expire(site, dry=True), "quarantine") == []
    short = ruled(site, quarantine_days=1)
    shown = retention.expire(short, dry=True, as_of=clock(site) + timedelta(days=2))
    assert len(done(shown, "quarantine")) == 3 and len(list(quarantined(site))) == 4
    past(settings, old, "2 days")
    run = retention.expire(short)
    assert done(run, "quarantine") == [f"correlative/{old}/a.bin", f"correlative/{old}/a.bin.md5"]
    assert {row["id"] for row in quarantined(site)} == {young, fight} and wrong(site) == []
    assert not (settings.quarantine / "correlative" / str(old)).exists()
    assert not (settings.quarantine / "correlative" / f"{old}.json").exists()
    assert retention.expire(short).as_dict()["removed"] == 0
    past(settings, young, "2 days")
    correlative = site.catalogue.sources["correlative"].model_copy(update={"quarantine_days": 3})
    patient = replace(short, catalogue=replace(short.catalogue, sources={"correlative": correlative}))
    assert done(retention.expire(patient, dry=True), "quarantine") == [], "its source says otherwise"
    assert done(retention.expire(short, dry=True), "quarantine") == [f"correlative/{young}/b.bin"]


@pytest.mark.req("G22")
def test_what_the_audit_has_set_aside_leaves_quarantine_after_the_same_days(archive: Strips) -> None:
    archive.make(2)
    site = archive.site
    for folder in ("dark/1", "dark/2", "damaged/3"):
        write(site.settings.quarantine / folder / "a.ntf")
        write((site.settings.quarantine / folder).with_suffix(".json"))
    insert = (
        "INSERT INTO scan_finding (kind, path, name, asset_id, size, detail, scans, actor, moved_to, closed_at,"
        " outcome) VALUES (%(kind)s, %(to)s, 'a.ntf', %(asset)s, 1, 'x', 2, 'test', %(to)s,"
        " now() - %(days)s * interval '1 day', %(outcome)s)"
    )
    archive.sql(insert, kind="dark", to=b"dark/1/a.ntf", asset=None, days=91, outcome="quarantined")
    archive.sql(insert, kind="dark", to=b"dark/2/a.ntf", asset=None, days=89, outcome="quarantined")
    archive.sql(insert, kind="damaged", to=b"damaged/3/a.ntf", asset=1, days=91, outcome="repaired")
    shown, run = retention.expire(site, dry=True), retention.expire(site)
    assert done(run, "quarantine") == done(shown, "quarantine") == ["dark/1/a.ntf", "damaged/3/a.ntf"]
    assert sorted(files(site.settings.quarantine)) == ["dark/2.json", "dark/2/a.ntf"]
    assert len(archive.sql("SELECT id FROM scan_finding WHERE moved_to IS NULL")) == 2


@pytest.mark.fault("F50", how="quarantine is not mounted")
@pytest.mark.req("G22", "F50")
def test_what_is_not_there_has_not_gone_while_quarantine_is_not_mounted(site: Site, settings: Settings) -> None:
    with Holdings(settings) as hand:
        old = hand.reject("a.bin")
        hand.reject("b.bin")
        hand.finish()
    past(settings, old, "99 days")
    with psycopg.connect(settings.database, autocommit=True) as connection:  # a disk that is read-only took no more
        connection.execute("UPDATE arrival SET expired_at = now() WHERE id = %s", [old])
    quarantine, away = settings.quarantine, settings.quarantine.with_name("away")
    quarantine.rename(away)
    for made in (False, True):
        if made:
            quarantine.mkdir()
        run = retention.expire(site)
        assert [name for name, why in run.failed if "looks unmounted" in why] == ["quarantine"]
        assert made == quarantine.exists() and (not made or [*quarantine.iterdir()] == [])
    assert len(list(quarantined(site))) == 1
    quarantine.rmdir()
    away.rename(quarantine)
    assert done(retention.expire(site), "quarantine") == [f"correlative/{old}/a.bin"] and wrong(site) == []
    assert (quarantine / ".orbitory-quarantine").exists() and not list(quarantine.rglob("a.bin"))


@pytest.mark.req("G22")
def test_a_root_that_is_gone_takes_nothing_with_it(site: Site, tmp_path: Path) -> None:
    item = Item(kind="trash", name="a", rule="x", expires=clock(site), bytes=1)
    work = Work("trash", Pass(now=clock(site)))
    assert not work.take_beneath(item, tmp_path / "unmounted", b"a") and len(work.done().failed) == 1
    (tmp_path / "mounted").mkdir()
    assert work.take_beneath(item, tmp_path / "mounted", b"below/a") and work.done().removed == 0


@pytest.mark.req("G22")
def test_another_name_of_an_input_makes_no_work_folder_young(site: Site, settings: Settings) -> None:
    zone = settings.work / "pge"
    original = write(settings.storage / "a.ntf")
    (zone / "1.aa" / "in").mkdir(parents=True)
    os.link(original, zone / "1.aa" / "in" / "a.ntf")
    made = now(site)
    os.link(original, settings.storage / "b.ntf")  # of the next instance that reads it
    with at(made + timedelta(days=7)):
        assert done(retention.expire(site), "work") == ["work/pge/1.aa"]
    assert original.read_bytes() == b"x"


@pytest.mark.req("G22", "N10")
def test_the_trash_is_emptied_after_its_window_and_tombstones_stay(archive: Strips) -> None:
    archive.make(10)
    expire_at(archive, [1, 2])
    site = archive.site
    retention.expire(site)
    (row,) = archive.sql("SELECT encode(hash, 'hex') AS hash FROM removal_set")
    assert len(files(site.settings.trash)) == 4
    assert done(retention.expire(site), "trash") == []
    archive.sql("UPDATE removal_item SET trashed_at = trashed_at - interval '31 days' WHERE granule_id = 1")
    shown, run = retention.expire(site, dry=True), retention.expire(site)
    assert done(shown, "trash") == done(run, "trash") and len(done(run, "trash")) == 2
    assert len(files(site.settings.trash)) == 2 and keys(archive, "deleted") == {key(archive, 1), key(archive, 2)}
    with pytest.raises(ConfigurationError, match="trash was emptied: 2 files"):
        undo(site, row["hash"])
    with pytest.raises(ConfigurationError, match="the trash was emptied since"):
        retention.restore(site, [key(archive, 1)])
    assert retention.restore(site, [key(archive, 2)])[0].count == 1
    assert wrong(site) == []


@pytest.mark.fault("F50", how="the trash is not mounted")
@pytest.mark.req("N10", "F50")
def test_a_trash_that_is_not_mounted_is_neither_emptied_nor_filled_nor_searched(archive: Strips) -> None:
    archive.make(10)
    expire_at(archive, [1, 2])
    site = archive.site
    trash, away = site.settings.trash, site.settings.trash.with_name("away")
    retention.expire(site)
    (row,) = archive.sql("SELECT encode(hash, 'hex') AS hash FROM removal_set")
    archive.sql("UPDATE removal_item SET trashed_at = trashed_at - interval '31 days' WHERE granule_id = 1")
    trash.rename(away)
    trash.mkdir()
    expire_at(archive, [3])
    run = retention.expire(site)
    assert {name for name, why in run.failed if "looks unmounted" in why} == {"granules", "trash"}
    assert keys(archive, "deleted") == {key(archive, 1), key(archive, 2)} and [*trash.iterdir()] == []
    for act in (lambda: undo(site, row["hash"]), lambda: retention.restore(site, [key(archive, 2)])):
        with pytest.raises(IntegrityError, match="looks unmounted"):
            act()
    trash.rmdir()
    away.rename(trash)
    assert len(done(retention.expire(site), "trash")) == 2 and len(files(trash)) == 4
    assert retention.restore(site, [key(archive, 2)])[0].count == 1 and wrong(site) == []


@pytest.mark.req("G22")
def test_what_could_not_come_back_leaves_the_trash_in_its_time(archive: Strips) -> None:
    archive.make(10)
    expire_at(archive, [1, 2])
    site = archive.site
    retention.expire(site)
    (row,) = archive.sql("SELECT encode(hash, 'hex') AS hash FROM removal_set")
    (broken,) = archive.sql("SELECT min(trash_path) AS path FROM removal_item WHERE granule_id = 1")
    (site.settings.trash / broken["path"]).write_bytes(b"rotten")
    assert undo(site, row["hash"]).count == 1
    archive.sql("UPDATE removal_item SET trashed_at = trashed_at - interval '31 days'")
    assert len(done(retention.expire(site), "trash")) == 2 and files(site.settings.trash) == {} and wrong(site) == []


@pytest.mark.fault("F51", how="emptying the trash is cut short")
@pytest.mark.req("F51")
def test_emptying_the_trash_goes_on_where_it_was_cut_short(archive: Strips, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.make(10)
    expire_at(archive, [1, 2])
    site = archive.site
    retention.expire(site)
    archive.sql("UPDATE removal_item SET trashed_at = trashed_at - interval '31 days'")
    unlink, count = os.unlink, [0]

    def killed(path: Any, **more: Any) -> None:
        count[0] += 1
        if count[0] == 2:
            raise KeyboardInterrupt
        unlink(path, **more)

    monkeypatch.setattr(os, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        retention.expire(site)
    monkeypatch.undo()
    assert len(files(site.settings.trash)) == 3 and wrong(site) == []
    retention.expire(site)
    assert files(site.settings.trash) == {} and wrong(site) == []
    assert archive.sql("SELECT count(*) AS n FROM removal_item WHERE trash_path IS NOT NULL")[0]["n"] == 0
    assert {each.name for each in site.settings.trash.rglob("*")} == {"removal", ".orbitory-trash"}


def test_what_was_replaced_or_damaged_leaves_the_trash_by_when_it_came_there(site: Site, tmp_path: Path) -> None:
    trash = site.settings.trash
    kinds = ("replaced", "skipped", "damaged", "somebodys")
    for kind in kinds:
        os.utime(write(tmp_path / "elsewhere" / kind), (9_000_000_000,) * 2)
        write(trash / kind / "1" / "a.h5")
    made = now(site)
    for kind in kinds:
        (trash / kind / "2").mkdir()
        (tmp_path / "elsewhere" / kind).rename(trash / kind / "2" / "a.h5")
    with at(made + timedelta(days=30)):
        run = retention.expire(site)
    assert done(run, "trash") == ["trash/replaced/1", "trash/skipped/1", "trash/damaged/1"]
    assert sorted(files(trash)) == [
        *("damaged/2/a.h5", "replaced/2/a.h5", "skipped/2/a.h5"),
        *("somebodys/1/a.h5", "somebodys/2/a.h5"),
    ]


def test_a_keep_time_of_zero_keeps_for_ever(site: Site) -> None:
    write(site.settings.links / "a.ntf")
    write(site.settings.work / "pge" / "1.a" / "log")
    write(site.settings.trash / "replaced" / "1" / "a")
    with after(site, 9000):
        assert retention.expire(ruled(site, links_days=0, work_days=0, trash_days=0)).items == ()


def test_a_broken_file_of_rules_removes_nothing(settings: Settings, tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue"
    shutil.copytree(settings.catalogue, catalogue)
    (catalogue / "retention.toml").write_text("links_days = -1\ntrash_day = 3\n")
    with open_site(actor="test", settings=replace(settings, catalogue=catalogue)) as site, after(site, 9000):
        write(site.settings.links / "a.ntf")
        assert {problem.key for problem in site.catalogue.problems} == {"links_days", "trash_day"}
        assert len(site.catalogue.sources) > 3, "only retention stops"
        run = retention.expire(site)
        assert run.as_dict()["removed"] == 0 and (site.settings.links / "a.ntf").exists()
        assert "retention.toml" in run.failed[0][1]


NAMES = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=20
).filter(lambda name: name not in (".", "..") and len(os.fsencode(name)) < 200)
TREES = st.recursive(
    st.sampled_from(["file", "link", "folder link", "fifo"]),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.req("G22")
@given(tree=st.dictionaries(NAMES, TREES, max_size=4))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_any_tree_is_removed_and_nothing_it_points_to(tree: dict[str, Any], tmp_path_factory: Any) -> None:
    base = tmp_path_factory.mktemp("wild")
    gold = write(base / "outside" / "gold")

    def plant(folder: Path, what: dict[str, Any]) -> None:
        folder.mkdir()
        for name, inner in what.items():
            if isinstance(inner, dict):
                plant(folder / name, inner)
            elif inner == "file":
                (folder / name).write_bytes(b"x")
            elif inner == "fifo":
                os.mkfifo(folder / name)
            else:
                (folder / name).symlink_to(gold.parent if inner == "folder link" else gold)

    plant(base / "tree", tree)
    with walking.opened(base) as folder:
        walking.survey(folder, "tree", (base / "tree").stat())
        walking.remove(folder, "tree")
    assert sorted(each.name for each in base.iterdir()) == ["outside"] and gold.read_bytes() == b"x"
