"""Nothing that retention does loses what somebody still needs: missing mounts, restores, holds, second thoughts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from footprints import Strips
from holdings import Granule, Holdings
from orbitory import retention
from orbitory.errors import ConfigurationError
from orbitory.ingest import retire
from orbitory.removal import leaving, undo
from orbitory.removal.leaving import Leaving
from orbitory.settings import Settings
from orbitory.site import Site, open_site
from retaining import archive, digest_of, expire_at, files, key, keys, wrong

__all__ = ["archive"]


def leave(archive: Strips, *numbers: int) -> None:
    expire_at(archive, numbers)
    assert retention.expire(archive.site).as_dict()["removed"] == len(numbers)


def again(archive: Strips, number: int, content: bytes) -> int:
    """The same granule delivered once more; its number."""
    site = archive.site
    columns = (
        "source, product, key, version, version_rank, created, platform, sensor, sensing, footprint, area_km2, search"
    )
    (new,) = archive.sql(
        f"INSERT INTO granule (state, {columns}) SELECT 'archived', {columns} FROM granule WHERE id = %(n)s"
        " RETURNING id",
        n=number,
    )
    (file,) = archive.sql(
        "INSERT INTO asset (path, role, state, kind, size, digest)"
        " SELECT path, role, 'archived', kind, %(size)s, '\\x' FROM asset JOIN granule_asset ON asset_id = id"
        " WHERE granule_id = %(n)s AND role = 'data' RETURNING id, path",
        n=number,
        size=len(content),
    )
    archive.sql("INSERT INTO granule_asset VALUES (%(g)s, %(a)s)", g=new["id"], a=file["id"])
    (site.settings.storage / file["path"]).write_bytes(content)
    archive.sql("UPDATE asset SET digest = %(d)s WHERE id = %(a)s", d=blake3(content).digest(), a=file["id"])
    archive.follow()
    return int(new["id"])


def place_of(archive: Strips, number: int) -> Path:
    (row,) = archive.sql(
        "SELECT path FROM asset JOIN granule_asset ON asset_id = id WHERE granule_id = %(n)s AND role = 'data'",
        n=number,
    )
    return archive.site.settings.storage / str(row["path"])


@pytest.mark.req("G22", "F50")
@pytest.mark.parametrize("when", ["_ready", "rename"])
def test_what_goes_missing_while_a_set_leaves_is_no_file_that_has_left(
    archive: Strips, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A mount below storage that goes away: the sentinel stands, the files do not."""
    archive.make(10)
    expire_at(archive, [1, 2, 7])
    site = archive.site
    below, away = place_of(archive, 7).parent, site.settings.storage.with_name("away")
    step, before = getattr(Leaving, when), digest_of(site)

    def unmounted(self: Any, rows: Any) -> Any:
        if not away.exists():
            below.rename(away)
        return step(self, rows)

    with monkeypatch.context() as patched:
        patched.setattr(Leaving, when, unmounted)
        done = retention.expire(site)
    assert keys(archive, "deleted") == {key(archive, 1), key(archive, 2)} and done.as_dict()["removed"] == 2
    assert [name for name, _ in done.failed] == [key(archive, 7)] and "is missing in storage" in done.failed[0][1]
    away.rename(below)
    assert wrong(site) == [] and keys(archive, "deleting") == set()
    assert retention.expire(site).as_dict()["removed"] == 1
    assert retention.restore(site, [key(archive, 1), key(archive, 2), key(archive, 7)])
    assert digest_of(site) == before


@pytest.mark.fault("F50", how="storage goes away while a set leaves")
@pytest.mark.req("G22", "F50")
@pytest.mark.parametrize("when", ["_ready", "rename"])
def test_storage_that_is_unmounted_while_a_set_leaves_stops_it_and_the_next_run_goes_on(
    archive: Strips, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    archive.make(10)
    expire_at(archive, [1, 2, 7])
    site = archive.site
    storage, away, step = site.settings.storage, site.settings.storage.with_name("away"), getattr(Leaving, when)

    def unmounted(self: Any, rows: Any) -> Any:
        storage.rename(away)
        storage.mkdir()
        return step(self, rows)

    with monkeypatch.context() as patched:
        patched.setattr(Leaving, when, unmounted)
        done = retention.expire(site)
    assert "looks unmounted" in done.failed[0][1] and keys(archive, "deleted") == set()
    storage.rmdir()
    away.rename(storage)
    assert retention.expire(site).as_dict()["removed"] == 3 and wrong(site) == []
    for number in (1, 2, 7):
        assert retention.restore(site, [key(archive, number)])[0].count == 1


@pytest.mark.req("N10")
def test_what_left_was_emptied_and_was_delivered_again_comes_back_as_it_was_last(archive: Strips) -> None:
    archive.make(4)
    site, name = archive.site, key(archive, 1)
    leave(archive, 1)
    archive.sql("UPDATE removal_item SET trashed_at = trashed_at - interval '31 days'")
    retention.expire(site)
    with pytest.raises(ConfigurationError, match="and the trash was emptied since"):
        retention.restore(site, [name])
    second = again(archive, 1, b"second")
    leave(archive, second)
    assert retention.restore(site, [name])[0].count == 1 and place_of(archive, second).read_bytes() == b"second"
    retention.release(site, [name])
    leave(archive, second)
    third = again(archive, 1, b"third!")
    leave(archive, third)
    assert retention.restore(site, [name])[0].count == 1 and place_of(archive, third).read_bytes() == b"third!"
    assert wrong(site) == []


@pytest.mark.req("N10")
def test_a_whole_expired_set_that_comes_back_stays_for_a_week(archive: Strips) -> None:
    archive.make(10)
    leave(archive, 1, 2)
    (row,) = archive.sql("SELECT encode(hash, 'hex') AS hash FROM removal_set")
    assert undo(archive.site, row["hash"]).count == 2
    assert retention.expire(archive.site).as_dict()["removed"] == 0
    assert {each["reason"] for each in retention.holds(archive.site)} == {"restored"}


@pytest.mark.req("G22")
def test_what_a_person_said_of_an_expiry_outlives_a_withdrawal(archive: Strips) -> None:
    archive.make(5)
    site = archive.site
    expire_at(archive, [1, 2], "now() + interval '3 days'")
    expire_at(archive, [3], "now() + interval '1 hour'")
    names = [key(archive, number) for number in (1, 2, 3, 4)]
    retention.withdraw(site, names, reason="bad")
    retention.retain(site, names=names[:1], until="never", reason="reference")
    archive.sql("UPDATE granule SET expires_at = now() - interval '1 minute' WHERE id = 3")
    archive.sql(
        "UPDATE withdrawal w SET after = g.expires_at, before = g.expires_at FROM granule g"
        " WHERE g.id = w.granule_id AND g.id = 3"
    )
    retention.undo_withdrawal(site, names)
    days = {
        row["id"]: row["days"]
        for row in archive.sql(
            "SELECT id, round(extract(epoch FROM expires_at - now()) / 86400)::int AS days FROM granule ORDER BY id"
        )
    }
    assert days == {1: None, 2: 3, 3: 7, 4: None, 5: None}
    assert retention.expire(site).as_dict()["removed"] == 0 and len(keys(archive)) == 5
    told = [row["reason"] for row in archive.sql("SELECT reason FROM expiry_change ORDER BY id")]
    assert told.count("reference") == 1 and "withdrawn: bad" in told and "its withdrawal was taken back" in told


def versions(settings: Settings, site: Site, hand: Holdings) -> None:
    """Two versions of one granule, the older replaced by the newer."""
    hand.archive("a1.bin", b"one", Granule(version="A1", rank=1), key="k")
    hand.archive("a2.bin", b"two", Granule(version="A2", rank=2), key="k")
    site.inventory.run("rank_versions", keys=["k"])
    hand.finish()


@pytest.mark.req("F48")
def test_a_held_granule_is_not_replaced_by_its_newer_version_until_it_is_released(settings: Settings) -> None:
    with open_site(actor="test", settings=settings) as site, Holdings(settings) as hand:
        versions(settings, site, hand)
        retention.hold(site, ["correlative/a1.bin"], reason="court order", until="never", kind="legal")
        source = site.catalogue.sources["correlative"].model_copy(update={"duplicates": "replace"})
        retire.finish_retiring(site, source)
        assert sorted(files(settings.storage)) == [
            ".orbitory-storage",
            "correlative/a1.bin",
            "correlative/a2.bin",
        ]
        retention.release(site, ["correlative/a1.bin"], kind="legal")
        retire.finish_retiring(site, source)
        assert sorted(files(settings.storage)) == [".orbitory-storage", "correlative/a2.bin"] and wrong(site) == []


@pytest.mark.fault("F48", how="a hold while a newer version replaces")
@pytest.mark.req("F48")
def test_a_hold_that_comes_while_a_newer_version_replaces_is_seen_or_told_that_it_is_too_late(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        open_site(actor="test", settings=settings) as site,
        open_site(actor="other", settings=settings) as other,
        Holdings(settings) as hand,
    ):
        versions(settings, site, hand)
        source = site.catalogue.sources["correlative"].model_copy(update={"duplicates": "replace"})
        asked = site.inventory.all

        def held_meanwhile(query: str, **values: Any) -> Any:
            if query == "replaced_lock":
                retention.hold(other, ["correlative/a1.bin"], reason="at the last second", until="never")
            return asked(query, **values)

        monkeypatch.setattr(site.inventory, "all", held_meanwhile)
        retire.finish_retiring(site, source)
        assert (settings.storage / "correlative" / "a1.bin").exists() and wrong(site) == []


def replaced(site: Site) -> None:
    """What an ingest of the source does about older versions."""
    source = site.catalogue.sources["correlative"].model_copy(update={"duplicates": "replace"})
    retire.finish_retiring(site, source)


@pytest.mark.req("B9")
def test_a_version_stays_while_the_one_that_replaces_it_is_not_whole(settings: Settings) -> None:
    with open_site(actor="test", settings=settings) as site, Holdings(settings) as hand:
        versions(settings, site, hand)
        hand.sql("UPDATE asset SET state = 'suspect' WHERE path = 'correlative/a2.bin'")
        replaced(site)
        assert "correlative/a1.bin" in files(settings.storage) and not (settings.trash / "replaced").exists()
        hand.sql("UPDATE asset SET state = 'archived' WHERE path = 'correlative/a2.bin'")
        replaced(site)
        assert sorted(files(settings.storage)) == [".orbitory-storage", "correlative/a2.bin"] and wrong(site) == []


@pytest.mark.req("B9", "F48")
def test_a_version_that_is_withdrawn_or_doubted_in_the_same_instant_replaces_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        open_site(actor="test", settings=settings) as site,
        open_site(actor="other", settings=settings) as other,
        Holdings(settings) as hand,
    ):
        versions(settings, site, hand)
        one, once = site.inventory.one, [True]

        def withdrawn_meanwhile(query: str, **values: Any) -> Any:
            if query == "lock_store" and once:
                once.clear()
                retention.withdraw(other, ["correlative/a2.bin"], reason="bad")
            return one(query, **values)

        monkeypatch.setattr(site.inventory, "one", withdrawn_meanwhile)
        replaced(site)
        assert not once and "correlative/a1.bin" in files(settings.storage)
        assert not (settings.trash / "replaced").exists() and wrong(site) == []


@pytest.mark.req("B9")
def test_a_withdrawn_version_that_is_replaced_is_gone_with_its_file(settings: Settings) -> None:
    with open_site(actor="test", settings=settings) as site, Holdings(settings) as hand:
        versions(settings, site, hand)
        hand.sql("UPDATE granule SET state = 'withdrawn' WHERE version = 'A1'")
        replaced(site)
        states = hand.db.execute("SELECT version, state FROM granule ORDER BY version").fetchall()
        assert states == [("A1", "deleted"), ("A2", "archived")] and wrong(site) == []


@pytest.mark.req("F50")
def test_ingest_does_not_wait_for_a_trash_that_is_not_mounted(settings: Settings) -> None:
    with open_site(actor="test", settings=settings) as site, Holdings(settings) as hand:
        versions(settings, site, hand)
        replaced(site)
        hand.archive("a3.bin", b"three", Granule(version="A3", rank=3), key="k")
        site.inventory.run("rank_versions", keys=["k"])
        away = settings.trash.with_name("away")
        settings.trash.rename(away)
        settings.trash.mkdir()
        replaced(site)
        assert "correlative/a2.bin" in files(settings.storage) and [*settings.trash.iterdir()] == []
        hand.sql("UPDATE asset SET state = 'deleting' WHERE path = 'correlative/a2.bin'")
        replaced(site)
        assert "correlative/a2.bin" in files(settings.storage) and [*settings.trash.iterdir()] == []
        settings.trash.rmdir()
        away.rename(settings.trash)
        replaced(site)
        assert "correlative/a2.bin" not in files(settings.storage)


@pytest.mark.req("F50")
def test_a_trash_that_should_hold_what_is_on_its_way_is_not_made_anew(
    archive: Strips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power is cut between the rename and the tombstone, and the trash is not mounted when it is back."""
    archive.make(10)
    expire_at(archive, [1, 2])
    site = archive.site
    trash, away = site.settings.trash, site.settings.trash.with_name("away")

    def cut(self: Any, rows: Any, renamed: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Leaving, "bury", cut)
        with pytest.raises(KeyboardInterrupt):
            retention.expire(site)
    trash.rename(away)
    trash.mkdir()
    run = retention.expire(site)
    assert any("looks unmounted" in why for _, why in run.failed) and [*trash.iterdir()] == []
    assert keys(archive, "deleting") == {key(archive, 1), key(archive, 2)}
    trash.rmdir()
    away.rename(trash)
    assert retention.expire(site).as_dict()["removed"] == 2 and wrong(site) == []


@pytest.mark.req("F50")
def test_nothing_is_put_back_where_nothing_around_it_stands(archive: Strips, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount below storage goes away between two files of one granule."""
    archive.make(10)
    expire_at(archive, [7])
    site = archive.site
    top = site.settings.storage / place_of(archive, 7).relative_to(site.settings.storage).parts[0]
    away, move = site.settings.storage.with_name("away"), leaving.move_once

    def unmounting(source: Path, target: Path) -> bool:
        moved = move(source, target)
        if not away.exists():
            top.rename(away)
            top.mkdir()
        return moved

    with monkeypatch.context() as patched:
        patched.setattr(leaving, "move_once", unmounting)
        done = retention.expire(site)
    assert [name for name, _ in done.failed] == [key(archive, 7)]
    assert [*top.iterdir()] == [] and keys(archive, "deleting") == {key(archive, 7)}
    top.rmdir()
    away.rename(top)
    assert retention.expire(site).as_dict()["removed"] == 1 and wrong(site) == []
