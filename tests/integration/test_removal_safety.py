"""What removal must never do: lose what nothing else shows, say that it is gone, or remove what nobody has seen."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest
from psycopg.types.json import Jsonb

import orbitory.pge.planner
from footprints import Strips, choose
from orbitory.audit import audit
from orbitory.errors import ConfigurationError
from orbitory.removal import Selection, apply, plan, undo
from orbitory.removal.leaving import Leaving
from orbitory.settings import Settings
from orbitory.site import open_site
from planning import QUICKLOOK, Archive

ORDER = "500060999100_01"
DUPLICATES = Selection()


def pair(archive: Strips, count: int = 5) -> tuple[int, int]:
    """An archive with one image under two orders, the second of them put aside; (keeper, loser)."""
    archive.make(count)
    loser = archive.again(1, ORDER, cloudcover=0.39, sun_elev=5.0)
    choose(archive.site, "WV02")
    return 1, loser


def key(archive: Strips, number: int) -> str:
    return str(archive.sql("SELECT key FROM granule WHERE id = %(n)s", n=number)[0]["key"])


def listed(archive: Strips, *granules: int) -> Selection:
    return Selection(kind="list", names=tuple(key(archive, number) for number in granules))


def state(archive: Strips, number: int) -> str:
    return str(archive.sql("SELECT state FROM granule WHERE id = %(n)s", n=number)[0]["state"])


def wrong(archive: Strips) -> list[str]:
    return [f"{each.invariant} {each.name}: {each.detail}" for each in audit(archive.site)]


def add_file(archive: Strips, number: int, path: str) -> int:
    """One more file of metadata, of a granule; its number."""
    (made,) = archive.sql(
        "INSERT INTO asset (path, role, state, kind, size, digest)"
        " VALUES (%(path)s, 'metadata', 'archived', 'text', length(%(path)s), '\\x') RETURNING id",
        path=path,
    )
    archive.sql("INSERT INTO granule_asset VALUES (%(g)s, %(a)s)", g=number, a=made["id"])
    archive.write()
    return int(made["id"])


def cut_short(archive: Strips, set_hash: str) -> None:
    """As when the machine stops right after a set was approved."""
    row = archive.site.inventory.one("removal_find", hash=bytes.fromhex(set_hash))
    assert row is not None
    archive.site.inventory.run("removal_approve", id=row["id"], actor="test", reason="test")


def kill_before_moving(archive: Strips, set_hash: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Leaving, "rename", die)
        with pytest.raises(KeyboardInterrupt):
            apply(archive.site, set_hash)


@pytest.mark.req("N6")
def test_what_was_removed_and_delivered_again_is_another_set(archive: Strips) -> None:
    archive.make(50)
    asked = listed(archive, 1)
    first = plan(archive.site, asked)
    assert apply(archive.site, first.hash).count == 1
    columns = (
        "source, product, key, version, version_rank, created, platform, sensor, sensing, footprint, area_km2, search"
    )
    (new,) = archive.sql(
        f"INSERT INTO granule (state, {columns}) SELECT 'archived', {columns} FROM granule WHERE id = 1 RETURNING id"
    )
    archive.sql(
        "WITH file AS (INSERT INTO asset (path, role, state, kind, size, digest)"
        " SELECT path, role, 'archived', kind, size, digest FROM asset JOIN granule_asset ON asset_id = id"
        " WHERE granule_id = 1 RETURNING id, path)"
        " INSERT INTO granule_asset (granule_id, asset_id) SELECT %(g)s, id FROM file",
        g=new["id"],
    )
    for row in archive.sql("SELECT path FROM asset WHERE removal = 'removed'"):
        (archive.site.settings.storage / row["path"]).write_bytes(row["path"].encode())
    archive.follow()
    second = plan(archive.site, asked)
    assert len(second.items) == 1 and second.hash != first.hash
    done = apply(archive.site, second.hash)
    assert (done.state, done.count) == ("applied", 1) and state(archive, new["id"]) == "deleted"
    assert wrong(archive) == []
    back = undo(archive.site, second.hash)
    assert (back.state, back.count) == ("undone", 1) and "again since" in undo(archive.site, first.hash).left[0][1]


@pytest.mark.req("N5", "N6")
def test_the_better_one_stays_although_it_was_worse_when_it_was_put_aside(archive: Strips) -> None:
    keeper, loser = pair(archive)
    shown = plan(archive.site, DUPLICATES)
    assert len(shown.items) == 1
    archive.sql(
        "UPDATE granule SET search = search || %(s)s WHERE id = %(n)s",
        s=Jsonb({"cloudcover": 0.0, "sun_elev": 80}),
        n=loser,
    )
    archive.follow()
    found = plan(archive.site, DUPLICATES)
    assert not found.items and "better than its keeper by now" in found.held[0]["why"]
    with pytest.raises(ConfigurationError, match="no longer"):
        apply(archive.site, shown.hash)
    archive.sql("UPDATE granule SET search = search || %(s)s WHERE id = %(n)s", s=Jsonb({"cloudcover": 0.95}), n=keeper)
    archive.follow()
    found = plan(archive.site, DUPLICATES)
    assert not found.items and "no evaluation has looked at its keeper as it is now" in found.held[0]["why"]
    assert state(archive, loser) == "archived"


@pytest.mark.req("N6")
def test_a_loser_stays_when_its_keeper_is_faulty_or_has_lost_any_of_its_files(archive: Strips) -> None:
    keeper, loser = pair(archive)
    archive.sql("UPDATE footprint_master SET status = 'faulty' WHERE granule_id = %(n)s", n=keeper)
    assert "its keeper is faulty" in plan(archive.site, DUPLICATES).held[0]["why"]
    archive.sql("UPDATE footprint_master SET status = 'validated'")
    shown = plan(archive.site, DUPLICATES)
    (beside,) = archive.sql(
        "SELECT path FROM asset JOIN granule_asset ON asset_id = id WHERE granule_id = %(n)s AND role = 'metadata'",
        n=keeper,
    )
    target = archive.site.settings.storage / beside["path"]
    content = target.read_bytes()
    target.unlink()
    done = apply(archive.site, shown.hash)
    assert (done.state, done.count) == ("unfinished", 0) and done.left[0][1].endswith("is missing")
    assert state(archive, loser) == "archived"
    target.write_bytes(content)
    assert plan(archive.site, DUPLICATES).hash == shown.hash
    assert apply(archive.site, shown.hash).state == "applied" and wrong(archive) == []


@pytest.mark.req("N6")
def test_a_marked_loser_comes_back_when_its_keeper_has_left_meanwhile(
    archive: Strips, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, loser = pair(archive, 50)
    shown = plan(archive.site, DUPLICATES)
    kill_before_moving(archive, shown.hash, monkeypatch)
    assert state(archive, loser) == "deleting"
    found = plan(archive.site, listed(archive, keeper))
    assert not found.items and found.held[0]["why"].startswith(f"it stays in the place of {key(archive, loser)}")
    archive.sql("UPDATE granule SET state = 'deleting' WHERE id = %(n)s", n=keeper)  # a newer version has replaced it
    archive.follow()
    done = apply(archive.site, shown.hash)
    assert (done.state, done.count) == ("unfinished", 0) and "not held, or not preferred" in done.left[0][1]
    assert state(archive, loser) == "archived" and loser in archive.preferred()
    assert not [each for each in wrong(archive) if "cut short" in each]


@pytest.mark.req("N10")
def test_metadata_that_came_after_the_plan_keep_their_image(archive: Strips) -> None:
    archive.make(50)
    shown = plan(archive.site, listed(archive, 1, 2))
    cut_short(archive, shown.hash)
    late = add_file(archive, 1, "nga/WV02/late.imd")
    done = apply(archive.site, shown.hash)
    assert (done.state, done.count) == ("unfinished", 1)
    assert done.left == ((key(archive, 1), "its files are not those that were shown any more"),)
    assert state(archive, 1) == "archived" and state(archive, 2) == "deleted" and wrong(archive) == []
    assert apply(archive.site, shown.hash) == done, "a repetition removes no more"
    again = plan(archive.site, listed(archive, 1))
    assert again.files == 3 and apply(archive.site, again.hash).state == "applied"
    archive.sql("UPDATE asset SET state = 'archived', removal = NULL WHERE id = %(n)s", n=late)
    assert [each for each in wrong(archive) if each.startswith("I3 nga/WV02/late.imd")]


@pytest.mark.fault("F51", how="a removal is cut short and the world changes")
@pytest.mark.req("N6", "N10")
def test_a_set_that_was_cut_short_removes_only_what_would_still_be_planned(archive: Strips) -> None:
    archive.make(50)
    rule = Selection(kind="rule", rule="cloudcover > 0.36")
    shown = plan(archive.site, rule)
    assert len(shown.items) == 3
    cut_short(archive, shown.hash)
    archive.sql("UPDATE granule SET search = search || '{\"cloudcover\": 0.0}' WHERE id = 40")
    archive.follow()
    done = apply(archive.site, shown.hash)
    assert (done.count, [each for each, _ in done.left]) == (2, [key(archive, 40)])
    assert state(archive, 40) == "archived" and wrong(archive) == []
    archive.sql("UPDATE granule SET search = search || '{\"cloudcover\": 0.39}' WHERE id = 40")
    archive.follow()
    assert apply(archive.site, shown.hash) == done, "an approval is for once"
    archive.sql("UPDATE granule SET state = 'deleting' WHERE id = 40")
    assert [each for each in wrong(archive) if each.startswith("I7")], "a set that has spared it does not excuse that"


@pytest.mark.req("N6")
def test_undo_brings_back_what_its_own_set_took_and_nothing_else(archive: Strips) -> None:
    archive.make(50)
    archive.sql("UPDATE asset SET in_place = true")
    first, second = plan(archive.site, listed(archive, 1, 2)), plan(archive.site, listed(archive, 1))
    cut_short(archive, first.hash)
    assert apply(archive.site, second.hash).count == 1
    assert undo(archive.site, first.hash).count == 0
    assert state(archive, 1) == "deleted" and state(archive, 2) == "archived"


@pytest.mark.req("N6")
def test_one_file_that_was_rotten_before_keeps_no_other_image_in_the_trash(archive: Strips) -> None:
    archive.make(50)
    (bad,) = archive.sql(
        "SELECT path FROM asset JOIN granule_asset ON asset_id = id WHERE granule_id = 1 AND role = 'data'"
    )
    target = archive.site.settings.storage / bad["path"]
    target.write_bytes(b"X" + target.read_bytes()[1:])
    shown = plan(archive.site, listed(archive, 1, 2, 3))
    apply(archive.site, shown.hash)
    back = undo(archive.site, shown.hash)
    assert (back.state, back.count) == ("unfinished", 2) and [name for name, _ in back.left] == [key(archive, 1)]
    assert [state(archive, number) for number in (1, 2, 3)] == ["deleted", "archived", "archived"]
    assert wrong(archive) == []


@pytest.mark.fault("F48", how="a PGE is planned while its input is removed")
@pytest.mark.req("N6", "N10")
def test_no_pge_is_planned_with_what_is_about_to_go(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = Archive(settings, QUICKLOOK)
    with planned.db:
        plan_while_something_goes(planned, monkeypatch)


def plan_while_something_goes(planned: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    one = planned.viirs("SVM05", 0)
    planned.viirs("GMTCO", 0)
    for number in range(5, 60):
        planned.viirs("SVM05", number)
    storage = planned.settings.storage
    storage.mkdir(parents=True, exist_ok=True)
    (storage / ".orbitory-storage").touch()
    for row in planned.db.execute("SELECT path FROM asset").fetchall():
        (storage / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        (storage / row["path"]).write_bytes(b"x")
    (row,) = planned.db.execute("SELECT key FROM granule WHERE id = %s", [one]).fetchall()
    asked, judged = Selection(kind="list", names=(row["key"],)), orbitory.pge.planner.judge_all
    others: list[threading.Thread] = []

    def remove() -> None:
        with open_site(actor="operator", settings=planned.settings) as site:
            apply(site, plan(site, asked).hash)

    def judge_slowly(*given: object, **named: object) -> object:
        found = judged(*given, **named)  # type: ignore[arg-type]
        if not others:
            others.append(threading.Thread(target=remove))
            others[0].start()
            others[0].join(3)
        return found

    monkeypatch.setattr(orbitory.pge.planner, "judge_all", judge_slowly)
    planned.plan()
    others[0].join(60)
    (kept,) = planned.db.execute("SELECT state FROM granule WHERE id = %s", [one]).fetchall()
    assert not others[0].is_alive() and (planned.states()[0], kept["state"]) == ("ready", "archived")


@pytest.mark.req("N10", "N15")
def test_a_list_of_few_names_looks_at_few_files(archive: Strips) -> None:
    archive.make(3_000, files=False)
    with archive.db.transaction():
        archive.sql("UPDATE asset SET state = 'deleting' WHERE id <= 3000")
        archive.sql("UPDATE asset SET state = 'deleted', removal = 'removed' WHERE id <= 3000")
    archive.sql("ANALYZE")
    (told,) = archive.sql("SELECT path FROM asset WHERE id = 6")
    names = (key(archive, 2_000), told["path"], *(f"nga/nothing/{number}.ntf" for number in range(20)))
    before = read_in_full(archive)
    found = plan(archive.site, Selection(kind="list", names=names))
    assert read_in_full(archive) == before
    assert len(found.items) == 1 and len(found.unknown) == 21
    assert found.unknown[0] == {"name": told["path"], "why": "was removed before"}


def read_in_full(archive: Strips) -> dict[str, int]:
    """How many rows of the tables of files were read without an index so far."""
    time.sleep(1.1)  # what was counted is told by the next transaction, but not more often
    archive.site.inventory.run("removal_drop_plan")
    with archive.db.transaction():
        archive.sql("SELECT pg_stat_clear_snapshot()")
        rows = archive.sql("SELECT relname, seq_tup_read FROM pg_stat_user_tables")
    return {row["relname"]: row["seq_tup_read"] for row in rows if row["relname"] in ("asset", "granule_asset")}


def test_no_row_of_which_a_set_tells_is_ever_deleted(archive: Strips, settings: Settings) -> None:
    with psycopg.connect(settings.owner_database, autocommit=True) as owner:

        def made(statement: str, *values: object) -> int:
            row = owner.execute(f"INSERT INTO {statement} RETURNING id", values).fetchone()
            assert row is not None
            return int(row[0])

        granule = "granule (source, product, key, state, sensor) VALUES ('nga', 'P', %s, 'archived', 'WV02')"
        loser, keeper = made(granule, "loser"), made(granule, "keeper")
        columns = "path, role, state, kind, size, digest"
        file = made(f"asset ({columns}) VALUES ('a.ntf', 'data', 'archived', 'nitf', 1, %s)", b"")
        told = made("removal_set (hash, kind, actor) VALUES (%s, 'list', 'test')", bytes(32))
        item = "removal_item (set_id, granule_id, asset_id, path, bytes, keeper_id, reason)"
        owner.execute(f"INSERT INTO {item} VALUES (%s, %s, %s, 'a.ntf', 1, %s, '')", [told, loser, file, keeper])
        for table, number in (("granule", loser), ("granule", keeper), ("asset", file)):
            with pytest.raises(psycopg.errors.ForeignKeyViolation, match=f"{table} {number} .* a removal tells of it"):
                owner.execute(f"DELETE FROM {table} WHERE id = %s", [number])
        owner.execute("DELETE FROM removal_set WHERE id = %s", [told])
        for table, number in (("granule", loser), ("granule", keeper), ("asset", file)):
            assert owner.execute(f"DELETE FROM {table} WHERE id = %s", [number]).rowcount == 1
