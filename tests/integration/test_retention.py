"""Granules leave when their time is over, neither later nor earlier, and a dry run tells exactly which."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from footprints import Strips
from orbitory import retention
from orbitory.errors import ConfigurationError, IntegrityError
from orbitory.removal import apply, found, undo
from orbitory.removal.leaving import Leaving
from orbitory.removal.outcome import one_at_a_time
from orbitory.retention import granules, stores
from orbitory.retention.naming import clock
from orbitory.settings import Settings
from orbitory.site import Site, open_site
from retaining import after, archive, digest_of, expire_at, files, key, keys, ruled, wrong

__all__ = ["archive"]


def names(run: retention.Run, *, blocked: bool = False) -> set[str]:
    return {item.name for item in run.items if bool(item.blocked_by) == blocked}


@pytest.mark.req("G22", "N10")
def test_a_dry_run_tells_exactly_what_goes_and_changes_nothing(archive: Strips) -> None:
    archive.make(20)
    expire_at(archive, [2, 3, 7])
    expire_at(archive, [4, 5], "now() + interval '1 hour'")
    site, before = archive.site, digest_of(archive.site)
    stored = files(site.settings.storage)
    shown = retention.expire(site, dry=True)
    assert names(shown) == {key(archive, number) for number in (2, 3, 7)}
    assert shown.as_dict()["removed"] == 0 and digest_of(site) == before and files(site.settings.storage) == stored
    assert archive.sql("SELECT count(*) AS n FROM removal_set")[0]["n"] == 0
    done = retention.expire(site)
    assert names(done) == names(shown) and done.as_dict()["removed"] == 3
    assert keys(archive, "deleted") == names(shown)
    gone = set(stored) - set(files(site.settings.storage))
    assert len(gone) == 6 and sum(len(stored[each]) for each in gone) == done.as_dict()["bytes"]
    assert {row["removal"] for row in archive.sql("SELECT removal FROM asset WHERE state = 'deleted'")} == {"expired"}
    again = retention.expire(site)
    assert again.items == () and again.as_dict()["removed"] == 0


@pytest.mark.req("G22")
def test_only_a_dry_run_sees_another_moment_and_what_it_saw_cannot_be_applied(archive: Strips) -> None:
    archive.make(1000)
    expire_at(archive, [1, 2], "now() + interval '3 days'")
    site = archive.site
    later = clock(site) + timedelta(days=4)
    assert names(retention.expire(site, dry=True, as_of=later)) == {key(archive, 1), key(archive, 2)}
    assert names(retention.expire(site, dry=True)) == set()
    with pytest.raises(ConfigurationError, match="only a dry run"):
        retention.expire(site, as_of=later)
    assert archive.sql("SELECT count(*) AS n FROM removal_set")[0]["n"] == 0
    assert retention.expire(site).as_dict()["removed"] == 0 and len(keys(archive)) == 1000


@pytest.mark.fault("F49", how="every granule of a type expires")
@pytest.mark.req("G22", "F49")
def test_when_a_mistake_lets_everything_expire_a_person_is_asked_and_the_other_types_go(archive: Strips) -> None:
    archive.make(60)
    archive.make(40, sensor="WV03", prefix="104", first=100)
    archive.sql("UPDATE granule SET product = 'M1BS' WHERE sensor = 'WV03'")
    site = ruled(archive.site, approve_granules=20)
    expire_at(archive, range(1, 61))
    expire_at(archive, range(61, 72))
    shown = retention.expire(site, dry=True)
    done = retention.expire(site)
    assert names(shown) == names(done) == {key(archive, number) for number in range(61, 72)}
    assert len(names(done, blocked=True)) == 60 and len(keys(archive, "deleted")) == 11
    ((name, set_hash),) = done.as_dict()["approve"].items()
    assert name == "strip_pan" and all("needs approval: 60 of 60" in i.blocked_by for i in done.items if i.blocked_by)
    with pytest.raises(ConfigurationError, match=r"more than 1 % and 20 of a product type needs approval"):
        apply(site, set_hash)
    assert apply(site, set_hash, approval="somebody").count == 60
    assert len(keys(archive)) == 29 and undo(site, set_hash).count == 60


@pytest.mark.parametrize(("expired", "asked"), [(10, False), (11, True)])
def test_a_share_is_a_fraction_of_what_is_held(archive: Strips, expired: int, asked: bool) -> None:
    archive.make(100)
    expire_at(archive, range(1, expired + 1))
    done = retention.expire(ruled(archive.site, approve_granules=0, approve_share=0.1))
    assert done.as_dict()["removed"] == (0 if asked else expired)


@pytest.mark.fault("F43", how="a machine 8 days ahead")
@pytest.mark.req("G22", "F43")
def test_a_machine_whose_clock_is_8_days_ahead_removes_nothing(
    archive: Strips, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    archive.make(20)
    expire_at(archive, range(1, 21), "now() + interval '7 days'")
    link = archive.site.settings.links / "ada" / "a.ntf"
    work = archive.site.settings.work / "pge" / "1.abcd" / "out"
    link.parent.mkdir(parents=True)
    work.mkdir(parents=True)
    link.symlink_to("/nowhere")
    ahead = (
        "import sys, time, datetime as d\n"
        "real, day = time.time, 86400\n"
        "time.time = lambda: real() + 8 * day\n"
        "class Ahead(d.datetime):\n"
        "    @classmethod\n"
        "    def now(cls, tz=None): return super().now(tz) + d.timedelta(days=8)\n"
        "d.datetime = Ahead\n"
        "from orbitory.cli import main\n"
        "sys.exit(main(['expire', '--json']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", ahead], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(keys(archive)) == 20 and link.is_symlink() and work.is_dir()
    assert '"removed": 0' in done.stdout


@pytest.mark.fault("F50", how="the mark of storage is gone before retention")
@pytest.mark.req("G22", "F50")
def test_nothing_at_all_goes_while_storage_looks_unmounted(archive: Strips) -> None:
    archive.make(5)
    expire_at(archive, [1, 2])
    old = archive.site.settings.links / "old.h5"
    old.parent.mkdir()
    old.write_bytes(b"x")
    sentinel = archive.site.settings.storage / ".orbitory-storage"
    sentinel.unlink()
    with after(archive.site, 8):
        for dry in (True, False):
            with pytest.raises(IntegrityError, match=r"unmounted. Nothing was removed anywhere"):
                retention.expire(archive.site, dry=dry)
        run = retention.begin(archive.site)
        done = [retention.clean(archive.site, run, rule) for rule in retention.RULES]
    assert all(each.failed and "unmounted" in each.trouble and not each.removed for each in done)
    sentinel.touch()
    assert len(keys(archive)) == 5 and old.exists()


@pytest.mark.req("G22", "F48")
def test_what_somebody_holds_stays_until_it_is_released_or_its_end(archive: Strips) -> None:
    archive.make(10)
    expire_at(archive, range(1, 6))
    site = archive.site
    assert retention.hold(site, [key(archive, 1)], reason="reprocessing campaign", until="never") == [key(archive, 1)]
    retention.hold(site, [key(archive, 2)], reason="court order 7", until="2999-01-01", kind="legal")
    path = archive.sql(
        "SELECT path FROM asset s JOIN granule_asset l ON l.asset_id = s.id WHERE l.granule_id = 3 AND s.role = 'data'"
    )[0]["path"]
    retention.hold(site, [path], reason="soon over", until="2999-01-01")
    archive.sql("UPDATE hold SET until = now() - interval '1 second' WHERE granule_id = 3")
    done = retention.expire(site)
    assert names(done) == {key(archive, number) for number in (3, 4, 5)}
    why = {item.name: item.blocked_by for item in done.items if item.blocked_by}
    assert "(person): reprocessing campaign" in why[key(archive, 1)]
    assert "(legal) until 2999-01-01 00:00 UTC: court order 7" in why[key(archive, 2)]
    listed = retention.holds(site)
    assert [(row["name"], row["kind"]) for row in listed] == [(key(archive, 1), "person"), (key(archive, 2), "legal")]
    assert retention.release(site, [key(archive, 1), key(archive, 2)]) == [key(archive, 1)], (
        "a legal hold is no person's"
    )
    assert names(retention.expire(site)) == {key(archive, 1)}
    retention.release(site, [key(archive, 2)], kind="legal")
    assert names(retention.expire(site)) == {key(archive, 2)}


def test_a_hold_needs_a_reason_an_end_to_come_and_something_to_hold(archive: Strips) -> None:
    archive.make(2)
    site, name = archive.site, key(archive, 1)
    with pytest.raises(ConfigurationError, match="say why"):
        retention.hold(site, [name], reason=" ", until="never")
    with pytest.raises(ConfigurationError, match="is over"):
        retention.hold(site, [name], reason="x", until="2001-01-01")
    with pytest.raises(ConfigurationError, match="holds no such granule"):
        retention.hold(site, [name, "nothing"], reason="x", until="never")
    with pytest.raises(ConfigurationError, match="kinds person"):
        retention.hold(site, [name], reason="x", until="never", kind="friend")  # type: ignore[arg-type]
    assert retention.holds(site) == []


@pytest.fixture
def other(settings: Settings) -> Any:
    with open_site(actor="other", settings=settings) as site:
        yield site


@pytest.mark.fault("F48", how="a hold between choice and mark")
@pytest.mark.req("F48")
def test_a_hold_placed_between_the_choice_and_the_mark_is_seen(
    archive: Strips, other: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.make(4)
    expire_at(archive, [1, 2])
    choose = found._choose_expired

    def held_meanwhile(*asked: Any) -> None:
        choose(*asked)
        retention.hold(other, [key(archive, 1)], reason="at the last second", until="never")

    monkeypatch.setattr(found, "_choose_expired", held_meanwhile)
    done = retention.expire(archive.site)
    assert keys(archive, "deleted") == {key(archive, 2)} and done.as_dict()["removed"] == 1
    assert {item.name: item.blocked_by for item in done.items if item.blocked_by}[key(archive, 1)].endswith(
        "last second"
    )
    assert wrong(archive.site) == [], "a set of which something stays is no unfinished one"


@pytest.mark.fault("F48", how="a hold between mark and rename")
@pytest.mark.req("F48")
def test_a_hold_between_the_mark_and_the_rename_comes_too_late_and_says_so(
    archive: Strips, other: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.make(4)
    expire_at(archive, [1, 2])
    rename = Leaving.rename

    def held_meanwhile(self: Any, rows: Any) -> Any:
        with pytest.raises(ConfigurationError, match="holds no such granule"):
            retention.hold(other, [key(archive, 1)], reason="too late", until="never")
        return rename(self, rows)

    monkeypatch.setattr(Leaving, "rename", held_meanwhile)
    assert retention.expire(archive.site).as_dict()["removed"] == 2
    assert retention.holds(archive.site) == []


@pytest.mark.fault("F48", how="a hold while the mark is not committed")
@pytest.mark.req("F48")
def test_who_holds_while_the_mark_is_not_committed_waits_and_learns_that_it_is_too_late(
    archive: Strips, other: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.make(4)
    expire_at(archive, [1])
    wanted, told = key(archive, 1), []

    def hold() -> None:
        try:
            retention.hold(other, [wanted], reason="just now", until="never")
        except ConfigurationError as error:
            told.append(str(error))

    waiting = threading.Thread(target=hold)
    take = Leaving.take

    def held_meanwhile(self: Any) -> Any:
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive(), "it must wait for the row"
        return take(self)

    monkeypatch.setattr(Leaving, "take", held_meanwhile)
    assert retention.expire(archive.site).as_dict()["removed"] == 1
    waiting.join(10)
    assert len(told) == 1 and "leave the archive just now" in told[0] and retention.holds(archive.site) == []


@pytest.mark.fault("F48", how="an expiry changed between choice and mark")
@pytest.mark.req("F48", "F49")
def test_an_expiry_that_is_changed_at_the_last_second_is_seen(
    archive: Strips, other: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.make(4)
    expire_at(archive, [1, 2])
    choose = found._choose_expired

    def kept_meanwhile(*asked: Any) -> None:
        choose(*asked)
        retention.retain(other, names=[key(archive, 1)], until="never", reason="still wanted")

    monkeypatch.setattr(found, "_choose_expired", kept_meanwhile)
    retention.expire(archive.site)
    assert keys(archive, "deleted") == {key(archive, 2)}


@pytest.mark.fault("F14", "F48", how="a row that another session has locked")
def test_a_row_that_somebody_else_is_changing_waits_for_the_next_run_and_holds_up_no_other(
    archive: Strips, settings: Settings
) -> None:
    archive.make(4)
    expire_at(archive, [1, 2])
    with psycopg.connect(settings.database) as busy:
        busy.execute("SELECT FROM granule WHERE id = 1 FOR NO KEY UPDATE")
        assert names(retention.expire(archive.site)) == {key(archive, 2)}
    assert names(retention.expire(archive.site)) == {key(archive, 1)}


@pytest.mark.fault("F48", how="a PGE plans with what has expired")
@pytest.mark.req("F48")
def test_inputs_of_a_pge_that_is_about_to_run_stay(archive: Strips) -> None:
    archive.make(4)
    expire_at(archive, [1, 2])
    archive.sql(
        "INSERT INTO pge_instance (pge, version, period_key, sensing, state, input_hash)"
        " VALUES ('p', '1', 'k', tstzrange(now(), now() + interval '1 h'), 'ready', '\\x01')"
    )
    archive.sql(
        "INSERT INTO pge_input SELECT i.id, 'main', 1, 1, s.id, NULL, s.digest FROM pge_instance i, asset s"
        " JOIN granule_asset l ON l.asset_id = s.id WHERE l.granule_id = 1 AND s.role = 'data'"
    )
    done = retention.expire(archive.site)
    assert names(done) == {key(archive, 2)}
    assert [item.blocked_by for item in done.items if item.blocked_by] == ["PGE instance 1 (p, ready) is made from it"]
    archive.sql("UPDATE pge_instance SET state = 'cancelled'")


def test_what_is_in_doubt_stays(archive: Strips) -> None:
    archive.make(4)
    expire_at(archive, [1, 2])
    archive.sql(
        "UPDATE asset SET state = 'suspect' WHERE id = (SELECT min(asset_id) FROM granule_asset WHERE granule_id = 1)"
    )
    done = retention.expire(archive.site)
    assert names(done) == {key(archive, 2)} and "is suspect" in next(i.blocked_by for i in done.items if i.blocked_by)
    archive.sql("UPDATE asset SET state = 'archived' WHERE state = 'suspect'")


def test_what_cannot_go_does_not_keep_the_rest_from_going(archive: Strips) -> None:
    archive.make(40)
    expire_at(archive, range(1, 21), "now() - interval '2 days'")
    expire_at(archive, range(21, 31))
    site = ruled(archive.site, most_granules=5)
    retention.hold(site, [key(archive, number) for number in range(1, 21)], reason="campaign", until="never")
    shown = retention.expire(site, dry=True)
    done = retention.expire(site)
    assert names(done) == names(shown) and done.as_dict()["removed"] == 5
    retention.expire(site)
    assert keys(archive, "deleted") == {key(archive, number) for number in range(21, 31)}


@pytest.mark.req("N10")
def test_one_of_those_that_left_comes_back_alone_and_stays_for_a_week(archive: Strips) -> None:
    archive.make(10)
    expire_at(archive, [1, 2, 3])
    site = archive.site
    stored = files(site.settings.storage)
    retention.expire(site)
    (outcome,) = retention.restore(site, [key(archive, 2)])
    assert (outcome.state, outcome.count, outcome.files) == ("undone", 1, 2)
    assert keys(archive, "deleted") == {key(archive, 1), key(archive, 3)} and wrong(site) == []
    back = files(site.settings.storage)
    assert {each: stored[each] for each in back} == back and len(back) == len(stored) - 4
    assert retention.expire(site).as_dict()["removed"] == 0, "it is held"
    retention.release(site, [key(archive, 2)])
    assert names(retention.expire(site)) == {key(archive, 2)}
    for number in (3, 2, 1):
        assert retention.restore(site, [key(archive, number)])[0].count == 1
    assert files(site.settings.storage) == stored
    with pytest.raises(ConfigurationError, match="has no such granule"):
        retention.restore(site, [key(archive, 1)])


def test_what_is_damaged_in_the_trash_stays_there_and_the_rest_comes_back(archive: Strips) -> None:
    archive.make(10)
    expire_at(archive, [1, 2])
    site = archive.site
    retention.expire(site)
    (row,) = archive.sql("SELECT min(trash_path) AS path FROM removal_item WHERE granule_id = 1")
    broken = site.settings.trash / row["path"]
    broken.chmod(0o600)
    broken.write_bytes(b"rotten")
    left = {
        name: why for each in retention.restore(site, [key(archive, 1), key(archive, 2)]) for name, why in each.left
    }
    assert set(left) == {key(archive, 1)} and "is damaged" in left[key(archive, 1)]
    assert keys(archive, "deleted") == {key(archive, 1)}
    assert [row["name"] for row in retention.holds(site)] == [key(archive, 2)]


def test_a_whole_set_comes_back_by_its_hash_even_after_one_of_it_came_back_alone(archive: Strips) -> None:
    archive.make(10)
    expire_at(archive, [1, 2, 3])
    before = digest_of(archive.site)
    retention.expire(archive.site)
    (row,) = archive.sql("SELECT encode(hash, 'hex') AS hash FROM removal_set")
    retention.restore(archive.site, [key(archive, 2)])
    assert undo(archive.site, row["hash"]).count == 2 and digest_of(archive.site) == before


def test_a_restored_granule_that_expires_again_leaves_again(archive: Strips) -> None:
    archive.make(2)
    expire_at(archive, [1])
    for _ in range(2):
        assert retention.expire(archive.site).as_dict()["removed"] == 1
        retention.restore(archive.site, [key(archive, 1)])
        retention.release(archive.site, [key(archive, 1)])
    assert retention.expire(archive.site).as_dict()["removed"] == 1


@pytest.mark.req("G22")
def test_expiry_is_changed_by_name_and_by_rule_and_the_change_is_kept(archive: Strips) -> None:
    archive.make(10)
    expire_at(archive, range(1, 11))
    site = archive.site
    assert retention.retain(site, names=[key(archive, 1)], until="never", reason="reference scene") == 1
    assert retention.retain(site, rule="sensor = WV02 and cloudcover < 0.05", until="2999-01-01", reason="clear") == 5
    changed = archive.sql("SELECT granule_id, after, reason, actor FROM expiry_change ORDER BY id")
    assert len(changed) == 6 and {row["actor"] for row in changed} == {"test"}
    assert names(retention.expire(site)) == {key(archive, number) for number in range(6, 11)}
    with pytest.raises(ConfigurationError, match="is over"):
        retention.retain(site, names=[key(archive, 1)], until="2001-01-01", reason="x")
    with pytest.raises(ConfigurationError, match="by names, or by a rule"):
        retention.retain(site, until="never", reason="x")


def test_the_calendar_tells_what_goes_on_which_of_the_next_days(archive: Strips) -> None:
    archive.make(10)
    expire_at(archive, [1, 2])
    expire_at(archive, [3], "now() + interval '10 days'")
    expire_at(archive, [4], "now() + interval '31 days'")
    today = clock(archive.site).date()
    size = {
        row["granule_id"]: row["n"]
        for row in archive.sql(
            "SELECT granule_id, sum(size)::int AS n FROM granule_asset JOIN asset ON id = asset_id GROUP BY 1"
        )
    }
    assert retention.calendar(archive.site) == [
        {"day": str(today), "product_type": "strip_pan", "granules": 2, "bytes": size[1] + size[2]},
        {"day": str(today + timedelta(days=10)), "product_type": "strip_pan", "granules": 1, "bytes": size[3]},
    ]


@pytest.mark.req("G22")
def test_who_waits_for_somebody_else_has_not_failed_unless_it_lasts(
    archive: Strips, other: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(granules, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(stores, "PATIENCE_SECONDS", 0.1)
    archive.make(2)
    expire_at(archive, [1])
    with one_at_a_time(other):
        done = retention.expire(archive.site)
        assert not done.failed and retention.history(archive.site)[0]["verdict"] == "success"
        assert ["another removal is at work" in each.skipped for each in done.rules if each.skipped] == [True, True]
        archive.sql("UPDATE retention_statistic SET at = at - interval '7 hours'")
        done = retention.expire(archive.site)
        assert [name for name, why in done.failed if "for more than 6 hours" in why] == ["granules", "trash"]
    assert retention.expire(archive.site).as_dict()["removed"] == 1
