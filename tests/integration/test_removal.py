"""Guarded removal: exactly the set that was shown goes, rows and files together, and comes back whole."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from footprints import Strips, choose
from orbitory.audit import audit
from orbitory.digest import digest
from orbitory.errors import ConfigurationError, IntegrityError, Transient
from orbitory.ingest.run import ingest
from orbitory.register import register
from orbitory.removal import Selection, apply, leaving, plan, undo
from orbitory.removal.outcome import one_at_a_time
from orbitory.settings import Settings
from orbitory.simulate import simulate
from orbitory.site import Site, open_site

OLD, NEW = "strip/09DEC06145817-P1BS-052869840050_01_P002", "strip/09DEC06145817-P1BS-500060999100_01_P002"
DUPLICATES = Selection()


def wrong(site: Site) -> list[str]:
    return [f"{each.invariant} {each.name}: {each.detail}" for each in audit(site)]


def digest_of(site: Site) -> str:
    return digest(site.inventory, site.storage).digest


def files(root: Path) -> dict[str, bytes]:
    return {str(each.relative_to(root)): each.read_bytes() for each in sorted(root.rglob("*")) if each.is_file()}


@pytest.mark.req("N5", "N6")
def test_of_the_real_pair_one_goes_with_all_its_files_and_comes_back_as_it_was(settings: Settings) -> None:
    with open_site(actor="test", settings=settings) as site:
        simulate(site.catalogue, "maxar", 40, 3, "reorder", settings.landing / "maxar")
        ingest(settings, "maxar")
        choose(site, "WV02")
        before, stored = digest_of(site), files(settings.storage)
        shown = plan(site, DUPLICATES)
        assert plan(site, DUPLICATES) == shown and digest_of(site) == before, "a dry run changed something"
        ((loser, keeper),) = [(each["loser"], each["keeper"]) for each in shown.items]
        assert (loser, keeper) == (OLD, NEW)
        assert "is above score" in shown.items[0]["reason"] and shown.items[0]["reason"].startswith("re-order")
        done = apply(site, shown.hash)
        assert (done.state, done.count, done.files, done.bytes) == ("applied", 1, shown.files, shown.bytes)
        gone = set(stored) - set(files(settings.storage))
        assert len(gone) == shown.files == 2 and all("052869840050_01_P002" in each for each in gone)
        assert sum(len(stored[each]) for each in gone) == shown.bytes
        trashed = files(settings.trash / "removal" / shown.hash[:16])
        assert trashed == {each: stored[each] for each in gone}
        assert wrong(site) == []
        assert plan(site, DUPLICATES).items == ()
        assert apply(site, shown.hash) == done, "a repetition does nothing"
        back = undo(site, shown.hash)
        assert (back.state, back.count, back.files, back.bytes) == ("undone", 1, shown.files, shown.bytes)
        assert digest_of(site) == before and files(settings.storage) == stored and wrong(site) == []
        assert not files(settings.trash / "removal")
        choose(site, "WV02")
        assert plan(site, DUPLICATES) == shown


ORDER = "500060999100_01"
WORSE = {"cloudcover": 0.39, "sun_elev": 5.0}


def pair(archive: Strips, count: int = 5, *, number: int = 1) -> tuple[int, int]:
    """An archive with one image under two orders, the second of them put aside; (keeper, loser)."""
    archive.make(count)
    loser = archive.again(number, ORDER, **WORSE)
    choose(archive.site, "WV02")
    return number, loser


def key(archive: Strips, number: int) -> str:
    return str(archive.sql("SELECT key FROM granule WHERE id = %(n)s", n=number)[0]["key"])


def states(archive: Strips, number: int) -> set[str]:
    """Of a granule and its files."""
    rows = archive.sql(
        "SELECT g.state AS granule, s.state AS asset, s.removal FROM granule g"
        " JOIN granule_asset l ON l.granule_id = g.id JOIN asset s ON s.id = l.asset_id WHERE g.id = %(n)s",
        n=number,
    )
    return {" ".join(filter(None, (row["granule"], row["asset"], row["removal"]))) for row in rows}


def paths(archive: Strips, number: int, role: str = "data") -> list[str]:
    rows = archive.sql(
        "SELECT s.path FROM granule_asset l JOIN asset s ON s.id = l.asset_id"
        " WHERE l.granule_id = %(n)s AND s.role = %(role)s",
        n=number,
        role=role,
    )
    return [row["path"] for row in rows]


@pytest.mark.req("N5")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            "part = 'P002', order_id = (SELECT left(order_id, 15) FROM footprint_master LIMIT 1) || '_P002'",
            "another part",
        ),
        ("prod_code = 'M1BS'", "another sensor, catalog id or product"),
        ("prod_code = 'A1BS'", "another sensor, catalog id or product"),
        ("catalog_id = '1030000000000FFF'", "another sensor, catalog id or product"),
        ("catalog_id = NULL", "another sensor, catalog id or product"),
        ("acq_time = acq_time + interval '1.5 seconds'", "another time"),
        ("shape = ST_Translate(shape, 0, 0.14)", "of its ground"),
        ("shape = ST_Scale(shape, ST_MakePoint(1.3, 1.3), ST_Centroid(shape))", "of its ground"),
        ("shape = NULL", "nothing of its ground"),
        ("keeper_id = NULL", "not preferred"),
    ],
    ids=["sibling", "multispectral", "swir", "stereo", "nameless", "later", "neighbour", "whole", "placeless", "alone"],
)
def test_what_is_not_provably_the_same_image_stays_whatever_put_it_aside(
    archive: Strips, change: str, why: str
) -> None:
    _, loser = pair(archive, 1)
    assert len(plan(archive.site, DUPLICATES).items) == 1
    archive.sql(f"UPDATE footprint_archive SET {change} WHERE granule_id = %(n)s", n=loser)
    shown = plan(archive.site, DUPLICATES)
    assert not shown.items and not shown.files
    ((held,),) = [shown.held]
    assert held["key"] == key(archive, loser) and why in held["why"]


@pytest.mark.req("N6")
def test_a_set_that_has_changed_since_it_was_shown_is_refused_and_told(archive: Strips) -> None:
    _, loser = pair(archive, 1500)
    shown, stored = plan(archive.site, DUPLICATES), files(archive.site.settings.storage)
    other = archive.again(6, "500060999200_01", **WORSE)
    choose(archive.site, "WV02")
    with pytest.raises(ConfigurationError, match=f"2 granules instead of 1.*{key(archive, other)} is new"):
        apply(archive.site, shown.hash)
    archive.sql(
        "UPDATE asset SET digest = '\\x00'"
        " WHERE id = (SELECT max(asset_id) FROM granule_asset WHERE granule_id = %(n)s)",
        n=loser,
    )
    with pytest.raises(ConfigurationError, match="is no longer"):
        apply(archive.site, shown.hash)
    with pytest.raises(ConfigurationError, match="no plan"):
        apply(archive.site, "ab" * 32)
    with pytest.raises(ConfigurationError, match="is no hash"):
        apply(archive.site, "latest")
    assert set(files(archive.site.settings.storage)) - set(stored) == set(
        paths(archive, other) + paths(archive, other, "metadata")
    )
    assert states(archive, loser) == {"archived archived"}


@pytest.mark.req("N6")
def test_a_loser_stays_when_its_keeper_is_not_whole_or_not_there(archive: Strips) -> None:
    keeper, loser = pair(archive, 1)
    shown = plan(archive.site, DUPLICATES)
    target = archive.site.settings.storage / paths(archive, keeper)[0]
    content = target.read_bytes()
    target.write_bytes(content[:-1] + b"!")
    done = apply(archive.site, shown.hash)
    assert done.state == "unfinished" and done.count == 0
    ((left, why),) = done.left
    assert left == key(archive, loser) and "damaged" in why and states(archive, loser) == {"archived archived"}
    target.unlink()
    assert "missing" in apply(archive.site, shown.hash).left[0][1]
    target.write_bytes(content)
    assert apply(archive.site, shown.hash).state == "applied"
    archive.sql("INSERT INTO validation (asset_id, mode, verdict) SELECT asset_id, 'full', 'bad' FROM footprint_master")
    undo(archive.site, shown.hash)
    assert [each["why"] for each in plan(archive.site, DUPLICATES).held] == ["the raster of its keeper is bad"]


@pytest.mark.req("N10")
def test_more_than_a_hundredth_or_a_thousand_of_a_sensor_needs_approval(archive: Strips) -> None:
    archive.make(500)
    archive.make(10, sensor="WV01", prefix="102", first=1000)
    site = archive.site

    def rule(text: str) -> Selection:
        return Selection(kind="rule", rule=text)

    for text, told in (
        ("sensor = WV02 and cloudcover < 0.02", "26 of 500 of WV02 (5.2 %)"),
        ("sensor = WV02", "500 of 500"),
    ):
        shown = plan(site, rule(text))
        with pytest.raises(ConfigurationError, match="needs approval") as refused:
            apply(site, shown.hash)
        assert told in str(refused.value) and "--force" in str(refused.value)
    assert archive.sql("SELECT count(*) AS n FROM granule WHERE state = 'archived'") == [{"n": 510}]
    few = plan(site, rule("sensor = WV02 and cloudcover < 0.01"))
    assert few.too_much() and not plan(site, rule('key ~ "*_P003" and sensor = WV01')).too_much()
    assert apply(site, few.hash, approval="somebody").count == len(few.items) == 13
    assert archive.sql("SELECT reason FROM removal_set WHERE state = 'applied'") == [{"reason": "somebody"}]


@pytest.mark.req("N10")
def test_a_list_takes_keys_and_paths_in_every_style_and_tells_what_it_does_not_know(archive: Strips) -> None:
    archive.make(1000)
    storage = archive.site.settings.storage
    first, second, third, fourth = (paths(archive, number)[0] for number in (1, 2, 3, 4))
    beside = paths(archive, 5, "metadata")[0]
    windows = "P:/data/" + third
    names = (
        key(archive, 1),
        first,
        "/css/nga/" + second,
        windows.replace("/", "\\"),
        fourth,
        beside,
        "nga/nothing.ntf",
    )
    shown = plan(archive.site, Selection(kind="list", names=names))
    assert [each["loser"] for each in shown.items] == sorted(key(archive, number) for number in (1, 2, 3, 4))
    assert {each["name"]: each["why"] for each in shown.unknown} == {
        beside: "stands beside an image (metadata) and goes with it: name the image",
        "nga/nothing.ntf": "the archive holds nothing of this name",
    }
    assert shown.files == 8 and not shown.too_much()
    before, held = digest_of(archive.site), files(storage)
    apply(archive.site, shown.hash)
    assert len(held) - len(files(storage)) == 8
    for number in (1, 2, 3, 4):
        assert states(archive, number) == {"deleted deleted removed"}
    assert states(archive, 5) == {"archived archived"}
    assert not {1, 2, 3, 4} & archive.preferred() and len(archive.preferred()) == 996
    tombs = archive.sql("SELECT path, digest, size FROM asset WHERE removal = 'removed'")
    assert len(tombs) == 8 and all(row["digest"] and row["size"] for row in tombs)
    again = plan(archive.site, Selection(kind="list", names=names[:2]))
    assert not again.items and {each["why"] for each in again.unknown} == {"was removed before"}
    undo(archive.site, shown.hash)
    assert digest_of(archive.site) == before and files(storage) == held and len(archive.preferred()) == 1000


@pytest.mark.req("N10")
def test_a_rule_chooses_by_what_is_known_alone(archive: Strips) -> None:
    archive.make(40)
    archive.sql("UPDATE granule SET search = search - 'cloudcover' WHERE id = 40")
    archive.sql('UPDATE granule SET search = search || \'{"cloudcover": "NaN"}\' WHERE id = 39')
    first = archive.sql("SELECT min(lower(sensing)) AS t FROM granule")[0]["t"]
    archive.sql(
        "INSERT INTO validation (asset_id, mode, verdict) SELECT asset_id, 'full', 'bad' FROM granule_asset"
        " JOIN asset s ON s.id = asset_id WHERE granule_id IN (2, 3) AND s.role = 'data'"
    )

    def chosen(rule: str) -> list[int]:
        shown = plan(archive.site, Selection(kind="rule", rule=rule))
        return sorted(
            row["id"]
            for each in shown.items
            for row in archive.sql("SELECT id FROM granule WHERE key = %(k)s", k=each["loser"])
        )

    assert chosen("cloudcover >= 0.37") == [38]  # of 38 to 40: what is not known, or no number, fulfils nothing
    assert chosen("cloudcover != 0.01") == [n for n in range(1, 39) if n != 2]
    assert chosen("verdict = bad AND cloudcover > 0.01") == [3]
    assert chosen(f'sensed <= "{first.isoformat()}"') == [1]
    assert chosen('key ~ "strip/10JAN01000000-P1BS-*_P001"') == [1]
    assert chosen("key ~ strip_10*") == [] and chosen("sensor = WV01") == [] and chosen("platform = none") == []
    assert len(chosen("footprint = master and year = 2010 and superseded = no and source = nga")) == 40


def test_a_file_that_holds_something_that_stays_stays_whole(archive: Strips) -> None:
    archive.make(5)
    (shared,) = archive.sql(
        "SELECT s.id, s.path FROM granule_asset JOIN asset s ON s.id = asset_id WHERE granule_id = 1 AND role = 'data'"
    )
    archive.sql("INSERT INTO granule_asset VALUES (2, %(a)s)", a=shared["id"])
    archive.sql(
        "INSERT INTO granule_asset SELECT 3, asset_id FROM granule_asset JOIN asset s ON s.id = asset_id"
        " WHERE granule_id = 4 AND s.role = 'metadata'"
    )

    def shown(*numbers: int) -> tuple[set[str], dict[str, str]]:
        found = plan(archive.site, Selection(kind="list", names=tuple(key(archive, number) for number in numbers)))
        return {each["loser"] for each in found.items}, {each["key"]: each["why"] for each in found.held}

    went, held = shown(1, 5)
    assert went == {key(archive, 5)} and held[key(archive, 1)].startswith(
        f"{shared['path']} also holds {key(archive, 2)}"
    )
    assert shown(1, 2) == ({key(archive, 1), key(archive, 2)}, {})
    done = plan(archive.site, Selection(kind="list", names=(key(archive, 4),)))
    assert done.files == 1, "metadata that another image needs stay"
    apply(archive.site, done.hash, approval="test")
    assert states(archive, 4) == {"deleted deleted removed", "deleted archived"} and states(archive, 3) == {
        "archived archived"
    }
    undo(archive.site, done.hash)
    assert states(archive, 4) == {"archived archived"}


def test_what_a_newcomer_leans_on_stays_until_it_has_arrived(archive: Strips) -> None:
    archive.make(1000)
    names = Selection(kind="list", names=(key(archive, 1), key(archive, 2)))
    shown = plan(archive.site, names)
    archive.sql("INSERT INTO ingest_run (source, actor, session) VALUES ('nga', 'x', false)")
    archive.sql(
        "INSERT INTO arrival (source, path, name, role, run_id, state, asset_id, dev, ino, size, mtime_ns, ctime_ns)"
        " SELECT 'nga', 'copy.ntf', 'copy.ntf', 'data', 1, 'stored', asset_id, 0, 0, 1, 1, 1"
        " FROM footprint_master WHERE granule_id = 1"
    )
    with pytest.raises(ConfigurationError, match="1 granules instead of 2"):
        apply(archive.site, shown.hash)
    ((held,),) = [plan(archive.site, names).held]
    assert held["key"] == key(archive, 1) and "copy.ntf is just being delivered" in held["why"]


@pytest.mark.req("N10", "F50")
def test_a_missing_file_leaves_only_when_the_audit_has_missed_it_before(archive: Strips) -> None:
    archive.make(1000)
    (archive.site.settings.storage / paths(archive, 1)[0]).unlink()
    asked = Selection(kind="list", names=(key(archive, 1), key(archive, 2)))
    shown = plan(archive.site, asked)
    done = apply(archive.site, shown.hash)
    assert (done.state, done.count) == ("unfinished", 1) and states(archive, 1) == {"archived archived"}
    assert done.left == done.failed and "is missing in storage, which no audit has noted yet" in done.left[0][1]
    archive.sql("UPDATE asset SET state = 'suspect' WHERE path = %(p)s", p=paths(archive, 1)[0])
    shown = plan(archive.site, asked)
    assert apply(archive.site, shown.hash).state == "applied"
    assert wrong_of(archive) == []
    back = undo(archive.site, shown.hash)
    assert back.left == ((key(archive, 1), "its file was missing already when it was removed"),)
    assert states(archive, 1) == {"deleted deleted removed"}
    assert undo(archive.site, shown.hash).left == back.left and wrong_of(archive) == []
    target = archive.site.settings.storage / paths(archive, 1)[0]
    target.write_bytes(paths(archive, 1)[0].encode())  # its disk was only away
    assert undo(archive.site, shown.hash).left == () and states(archive, 1) == {"archived archived"}
    assert wrong_of(archive) == []


@pytest.mark.fault("F50", how="the mark of storage is gone before a removal")
def test_nothing_is_touched_while_storage_looks_unmounted(archive: Strips) -> None:
    archive.make(1000)
    shown = plan(archive.site, Selection(kind="list", names=(key(archive, 1),)))
    sentinel = archive.site.settings.storage / ".orbitory-storage"
    sentinel.unlink()
    for act in (apply, undo):
        with pytest.raises(IntegrityError, match="unmounted"):
            act(archive.site, shown.hash)
    assert states(archive, 1) == {"archived archived"}
    sentinel.touch()
    apply(archive.site, shown.hash)
    sentinel.unlink()
    with pytest.raises(IntegrityError, match="unmounted"):
        undo(archive.site, shown.hash)


def test_work_goes_batch_by_batch_and_what_shares_a_file_goes_together(
    archive: Strips, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.make(60)
    archive.sql(
        "INSERT INTO granule_asset SELECT 50, asset_id FROM granule_asset JOIN asset s ON s.id = asset_id"
        " WHERE granule_id = 2 AND s.role = 'metadata'"
    )
    monkeypatch.setattr(leaving, "AT_ONCE", 3)
    monkeypatch.setattr(sys.modules["orbitory.removal.undo"], "AT_ONCE", 3)
    seen: list[int] = []
    before = digest_of(archive.site)
    shown = plan(archive.site, Selection(kind="rule", rule="source = nga"))
    done = apply(archive.site, shown.hash, approval="test", progress=seen.append)
    assert (done.count, done.files, done.left) == (60, 120, ())
    assert seen[0] == 4 and seen == sorted(seen) and seen[-1] == 60 and len(seen) == 20
    assert not [each for each in files(archive.site.settings.storage) if not each.startswith(".")]
    assert undo(archive.site, shown.hash).count == 60 and digest_of(archive.site) == before


def test_two_removals_never_work_at_once(archive: Strips, settings: Settings) -> None:
    archive.make(1000)
    shown = plan(archive.site, Selection(kind="list", names=(key(archive, 1),)))
    with (
        open_site(actor="other", settings=settings) as other,
        one_at_a_time(other),
        pytest.raises(Transient, match="another removal is at work"),
    ):
        apply(archive.site, shown.hash)
    assert apply(archive.site, shown.hash).count == 1


def wrong_of(archive: Strips) -> list[str]:
    return wrong(archive.site)


def test_what_the_trash_no_longer_holds_whole_stays_there_and_the_rest_comes_back(archive: Strips) -> None:
    archive.make(50)
    settings = archive.site.settings
    shown = plan(archive.site, Selection(kind="list", names=(key(archive, 1), key(archive, 2), key(archive, 3))))
    apply(archive.site, shown.hash)
    trashed = settings.trash / "removal" / shown.hash[:16] / paths(archive, 1)[0]
    content = trashed.read_bytes()
    trashed.write_bytes(content + b"!")
    archive.sql(
        "INSERT INTO asset (path, role, state, kind, size, digest) VALUES (%(p)s, 'data', 'stored', 'nitf', 1, '\\x')",
        p=paths(archive, 2)[0],
    )
    back = undo(archive.site, shown.hash)
    assert (back.state, back.count) == ("unfinished", 1) and "1 granules with 2 files brought back" in back.message
    assert dict(back.left) == {
        key(archive, 1): f"{trashed} is damaged",
        key(archive, 2): f"the archive was given {paths(archive, 2)[0]} again since: remove that first",
    }
    assert states(archive, 3) == {"archived archived"}
    assert states(archive, 1) == states(archive, 2) == {"deleted deleted removed"}
    trashed.write_bytes(content)
    archive.sql("DELETE FROM asset WHERE state = 'stored'")
    again = undo(archive.site, shown.hash)
    assert (again.state, again.count) == ("undone", 2)
    assert states(archive, 1) == states(archive, 2) == {"archived archived"}


def test_only_the_rows_leave_of_what_was_registered_in_place(settings: Settings) -> None:
    with open_site(actor="test", settings=settings) as site:
        place = settings.storage / "old"
        simulate(site.catalogue, "nga", 12, 5, None, place)
        register(settings, "nga", place)
        standing, before = files(settings.storage), digest_of(site)
        (row, *_) = site.inventory.all("current_dump")
        assert row["path"].startswith("old/")
        shown = plan(site, Selection(kind="list", names=(row["path"],)))
        assert shown.bytes == 0 and shown.in_place == shown.files >= 1
        done = apply(site, shown.hash, approval="test")
        assert (done.state, done.bytes) == ("applied", 0)
        assert files(settings.storage) == standing and not files(settings.trash / "removal")
        assert row["path"] not in {each["path"] for each in site.inventory.all("current_dump")}
        assert wrong(site) == []
        undo(site, shown.hash)
        assert digest_of(site) == before and wrong(site) == []


def test_the_audit_still_tells_what_left_without_approval(archive: Strips) -> None:
    archive.make(1000)
    shown = plan(archive.site, Selection(kind="list", names=(key(archive, 1),)))
    apply(archive.site, shown.hash)
    assert wrong_of(archive) == []
    archive.sql("UPDATE removal_set SET state = 'planned'")
    told = wrong_of(archive)
    assert [each.partition(" ")[0] for each in told] == ["I7", "I7"] and key(archive, 1) in told[0]
