"""What an export owes the other side: every column, nothing overwritten, nothing taken that is needed."""

from __future__ import annotations

from typing import Any

import pytest

from cloning import Clone
from exporting import FIRST, Pair, configure, deliver_again, digest_of, make, pair, remove, validate, wrong
from footprints import Strips, choose, strips
from holdings import Granule, Holdings
from orbitory import export, removal, retention
from orbitory.errors import ConfigurationError, IntegrityError, OrbitoryError, Transient
from orbitory.export.compare import Selection
from orbitory.export.ledger import one_at_a_time
from orbitory.mfp.rows import refresh


def orbits(archive: Strips) -> dict[str, Any]:
    return {row["key"]: row["orbit"] for row in archive.sql("SELECT key, orbit FROM granule")}


@pytest.mark.req("N8")
def test_every_column_of_a_footprint_travels_so_that_the_other_side_finds_nothing_to_refresh(sites: Pair) -> None:
    sites.dev.sql(
        "UPDATE footprint_master SET country = 'Chile', zone_id = 7, stereopair = 's', pairname = 'p', previewurl = 'u'"
    )
    sites.run()
    sites.dev.sql("UPDATE granule SET orbit = 4")
    sites.run()
    rows = [
        each.sql(
            "SELECT to_jsonb(f) - '{fpuid,granule_id,asset_id}'::text[] AS f FROM footprint_all f ORDER BY scene_id"
        )
        for each in (sites.dev, sites.prod)
    ]
    assert rows[0] == rows[1]
    assert rows[0][0]["f"]["p_filepath"].startswith("P:/data/")
    found_out = "'{status,country,zone_id,stereopair,pairname}'::text[]"
    shown = f"SELECT to_jsonb(f) - {found_out} AS f FROM footprint_all f ORDER BY scene_id"
    before = sites.prod.sql(shown)
    refresh(sites.prod.site, granules=[row["id"] for row in sites.prod.sql("SELECT id FROM granule")])
    assert sites.prod.sql(shown) == before
    assert sites.preview().empty


@pytest.mark.req("N8")
def test_no_column_takes_the_place_of_another(sites: Pair) -> None:
    sites.dev.sql(
        "UPDATE footprint_master SET country = 'c', zone_id = 7, stereopair = 's', pairname = 'p', previewurl = 'u',"
        " ref_height = 1.5, xtrackva = 2.5, det_pitch = 3.5, intrackva = 4.5, tile = 'R1C1', generated = '2020-01-02Z',"
        " added_date = '2020-01-03Z', previewjpg = '/css/nga/j'"
    )
    sites.dev.sql(
        "UPDATE granule SET orbit = 4, collection = 'c', version = 'v', version_rank = 5, platform = 'p', source = 's',"
        " classification = 'licensed', expires_at = '2099-01-01Z', stored_at = '2020-01-04Z'"
    )
    sites.dev.sql(
        "UPDATE asset SET checksums = '[1]', findings = '[2]', header = '3', fixity_at = '2020-01-05Z',"
        " in_place = role = 'metadata', removal = NULL"
    )
    sites.run(files=False)
    for table, own, key in (
        ("granule", "{id}", "key"),
        ("asset", "{id}", "path"),
        ("footprint_master", "{fpuid,granule_id,asset_id}", "scene_id"),
    ):
        rows = f"SELECT to_jsonb(t) - '{own}'::text[] AS row FROM {table} t ORDER BY {key}"
        here, there = sites.dev.sql(rows), sites.prod.sql(rows)
        assert (len(here), here) == (40 if table == "asset" else 20, there)


@pytest.mark.req("N8")
def test_what_an_export_does_not_compare_is_named_and_nothing_else(sites: Pair) -> None:
    (row,) = sites.dev.sql("SELECT pg_get_viewdef('export_content') AS text, export_own_columns() AS own")
    columns = {
        each["name"]
        for each in sites.dev.sql(
            "SELECT attname::text AS name FROM pg_attribute WHERE attrelid = 'footprint_archive'::regclass"
            " AND attnum > 0 AND NOT attisdropped"
        )
    }
    compared = {name for name in columns if f"r.{name}" in row["text"] or f'r."{name}"' in row["text"]}
    assert columns - compared == set(row["own"]) - {"keeper_id", "granule_id"}


@pytest.mark.req("N8", "F52")
def test_an_export_that_was_taken_back_or_closed_is_not_carried_on(sites: Pair) -> None:
    sites.dev.make(5, sensor="WV01", prefix="102", first=500)
    validate(sites.dev)
    shown = sites.preview()
    number, parts = export.begin(sites.dev.site, export.remote("prod"), shown.hash)
    assert [part["part"] for part in parts] == ["WV01", "WV02"]
    export.copy(sites.dev.site, number, "WV01")
    sites.undo(number)
    with pytest.raises(ConfigurationError, match="undone"):
        export.copy(sites.dev.site, number, "WV02")
    assert sites.prod.sql("SELECT id FROM granule") == []
    shown = sites.preview()
    number, _ = export.begin(sites.dev.site, export.remote("prod"), shown.hash)
    export.copy(sites.dev.site, number, "WV01")
    there = sites.prod.sql("SELECT max(id) AS id FROM export")[0]["id"]
    export.undo(sites.prod.site, there)
    with pytest.raises(ConfigurationError, match="undone"):
        export.copy(sites.dev.site, number, "WV02")
    assert sites.run().granules == 25
    assert {row["id"]: row["state"] for row in export.history(sites.dev.site)}[number] == "undone"


@pytest.mark.req("N8", "F52")
def test_an_export_is_not_finished_before_all_of_it_has_arrived(sites: Pair) -> None:
    number, _ = export.begin(sites.dev.site, export.remote("prod"), sites.preview().hash, batch=5)
    with pytest.raises(ConfigurationError, match="batches 1, 2, 3, 4 have not arrived"):
        export.finish(sites.dev.site, number)
    export.copy(sites.dev.site, number)
    sites.prod.sql("DELETE FROM export_item WHERE granule_id = (SELECT max(id) FROM granule)")
    (problem,) = export.finish(sites.dev.site, number).problems
    assert problem == "20 granules were sent, 19 are in the ledger there"


@pytest.mark.req("N8")
def test_an_undo_that_was_cut_short_never_overwrites_what_was_edited_meanwhile(sites: Pair) -> None:
    sites.run()
    before = digest_of(sites.prod)
    sites.dev.sql("UPDATE granule SET orbit = 4")
    outcome = sites.run(batch=5)
    edited = (
        "(SELECT g.id FROM granule g JOIN export_item i ON i.granule_id = g.id AND i.batch = 1 ORDER BY g.id LIMIT 1)"
    )
    sites.prod.sql("UPDATE granule SET footprint = NULL WHERE id = (SELECT max(granule_id) FROM export_item)")
    with pytest.raises(ConfigurationError, match="it was edited since"):
        sites.undo(outcome.export)
    sites.prod.sql("UPDATE granule g SET footprint = f.shape FROM footprint_master f WHERE f.granule_id = g.id")
    sites.prod.sql("UPDATE export SET state = 'undoing' WHERE id = (SELECT max(id) FROM export)")  # killed here
    sites.prod.sql(f"UPDATE granule SET orbit = 99 WHERE id = {edited}")
    with pytest.raises(ConfigurationError, match=r"it was edited since.*What was taken back before stays so"):
        sites.undo(outcome.export)
    assert set(orbits(sites.prod).values()) == {None, 4, 99}
    sites.prod.sql("UPDATE granule SET orbit = 4 WHERE orbit = 99")
    sites.undo(outcome.export)
    assert digest_of(sites.prod) == before


@pytest.mark.req("N8")
def test_who_withdraws_a_granule_decides_that_for_his_own_side(sites: Pair) -> None:
    sites.run()
    key = sites.dev.sql(f"SELECT key FROM granule WHERE id = {FIRST}")[0]["key"]
    retention.withdraw(sites.dev.site, [key], reason="bad")
    validate(sites.dev)
    shown = sites.preview()
    assert (shown.empty, shown.counts["held"]) == (True, 1)
    assert "withdrawn here" in shown.whys[0]["why"]
    retention.undo_withdrawal(sites.dev.site, [key])
    validate(sites.dev)
    retention.withdraw(sites.prod.site, [key], reason="bad")
    sites.dev.sql("UPDATE granule SET orbit = 4")
    shown = sites.preview()
    assert (shown.counts["changed"], shown.counts["kept"], shown.counts["conflict"]) == (19, 1, 0)
    sites.run()
    assert sites.prod.sql("SELECT count(*) AS n FROM granule WHERE state = 'withdrawn'") == [{"n": 1}]
    retention.undo_withdrawal(sites.prod.site, [key])
    validate(sites.prod)
    sites.run()
    dev, prod = sites.digests()
    assert dev.digest == prod.digest
    assert wrong(sites.prod) == []


@pytest.mark.req("N8")
def test_a_preview_is_made_however_much_more_the_other_side_holds(sites: Pair) -> None:
    sites.prod.sql(
        "INSERT INTO granule (source, product, key, state, sensor)"
        " SELECT 'z', 'z', 'z/' || n || repeat('x', 40), 'archived', 'z' FROM generate_series(1, 100000) n"
    )
    assert sites.preview().counts["added"] == 20


@pytest.mark.req("N8")
def test_no_difference_is_lost_among_many_granules_that_are_the_same(sites: Pair) -> None:
    for archive in (sites.dev, sites.prod):
        archive.sql(
            "INSERT INTO granule (source, product, key, version_rank, created, state, sensor, orbit)"
            " SELECT 'z', 'z', 'z/' || n / 2, n % 2, '2020-01-01Z', 'archived', 'z', n FROM generate_series(1, 30000) n"
        )
    sites.run()
    assert sites.preview().empty
    sites.dev.sql("UPDATE granule SET orbit = orbit / 2 * 2 + (orbit + 1) % 2 WHERE sensor = 'z' AND orbit % 500 < 2")
    sites.prod.sql("DELETE FROM granule WHERE sensor = 'z' AND orbit % 500 = 250")
    sites.dev.sql("DELETE FROM granule WHERE sensor = 'z' AND orbit % 500 = 300")
    shown = sites.preview()
    assert {name: count for name, count in shown.counts.items() if count} == {"added": 60, "conflict": 180}


@pytest.mark.req("N8", "F52")
def test_files_on_their_way_are_held_and_one_that_is_damaged_meanwhile_never_stops_the_next_export(sites: Pair) -> None:
    shown = sites.preview()
    number, _ = export.begin(sites.dev.site, export.remote("prod"), shown.hash)
    (row,) = sites.dev.sql("SELECT id, path FROM asset ORDER BY path LIMIT 1")
    file = sites.dev.site.settings.storage / row["path"]
    file.write_bytes(b"short")
    with pytest.raises(IntegrityError, match=f"{row['path']} is damaged here"):
        export.copy(sites.dev.site, number)
    found = removal.plan(sites.dev.site, removal.Selection(kind="rule", rule="sensor = WV02"))
    assert len(found.held) == 20
    assert all("export" in each["why"] for each in found.held)
    sites.dev.sql("UPDATE asset SET state = 'suspect' WHERE id = %(n)s", n=row["id"])
    with pytest.raises(ConfigurationError, match="look at a new preview"):
        sites.run()  # has taken that batch back, so the differences are others
    assert sites.run().granules == 19
    assert wrong(sites.prod) == []
    assert sites.dev.sql("SELECT id FROM hold WHERE released IS NULL") == []


@pytest.mark.req("N8")
def test_lineage_follows_products_that_were_exported_before_their_instance_was_done(sites: Pair) -> None:
    make(sites.dev, FIRST, "delivered")
    sites.run()
    assert sites.preview().empty
    sites.dev.sql("UPDATE pge_instance SET state = 'done'")
    shown = sites.preview()
    assert (shown.lineage, shown.empty) == (1, False)
    outcome = export.run(sites.dev.site, export.remote("prod"), shown.hash)
    (row,) = sites.prod.sql(
        "SELECT p.granule_id IS NOT NULL AS known FROM pge_instance i JOIN pge_input p ON p.instance_id = i.id"
    )
    assert row["known"]
    assert sites.preview().empty
    sites.undo(outcome.export)
    assert sites.prod.sql("SELECT id FROM pge_instance") == []
    assert sites.preview().lineage == 1


@pytest.mark.req("N8")
def test_lineage_of_an_export_that_was_closed_by_the_next_one_comes_with_that(sites: Pair) -> None:
    make(sites.dev, FIRST, "done")
    number, _ = export.begin(sites.dev.site, export.remote("prod"), sites.preview().hash, batch=5)
    sites.dev.sql("UPDATE granule SET orbit = 4 WHERE id = (SELECT max(id) FROM granule)")
    with pytest.raises(ConfigurationError):
        export.copy(sites.dev.site, number)
    sites.run()
    assert len(sites.prod.sql("SELECT id FROM pge_instance")) == 1


@pytest.mark.req("N8")
def test_what_waits_there_to_make_what_an_export_brings_gives_way_until_that_is_undone(sites: Pair) -> None:
    make(sites.dev, FIRST, "done")
    sites.prod.sql(
        "INSERT INTO pge_instance (pge, version, period_key, sensing, state)"
        " VALUES ('p', '1', 'k', '[2024-02-10, 2024-02-11)', 'waiting')"
    )
    outcome = sites.run()
    states = "SELECT state FROM pge_instance ORDER BY id"
    assert [row["state"] for row in sites.prod.sql(states)] == ["cancelled", "done"]
    sites.undo(outcome.export)
    assert [row["state"] for row in sites.prod.sql(states)] == ["waiting"]


@pytest.mark.req("N8")
def test_a_removal_that_was_undone_here_is_undone_there(sites: Pair) -> None:
    sites.run()
    gone = remove(sites.dev)
    validate(sites.dev)
    sites.run(approval="test")
    assert sites.prod.sql("SELECT count(*) AS n FROM granule WHERE state = 'deleted'") == [{"n": 1}]
    removal.undo(sites.dev.site, gone)
    validate(sites.dev)
    outcome = sites.run()
    assert outcome.problems == ()
    dev, prod = sites.digests()
    assert dev.digest == prod.digest
    assert sites.preview().empty
    assert wrong(sites.prod) == []
    sites.undo(outcome.export)
    assert sites.prod.sql("SELECT count(*) AS n FROM granule WHERE state = 'deleted'") == [{"n": 1}]
    assert wrong(sites.prod) == []


@pytest.mark.req("N8")
@pytest.mark.parametrize("content", ["", "corrected "])
@pytest.mark.parametrize("between", [True, False])
def test_what_was_removed_and_came_again_replaces_what_stands_there_under_the_same_names(
    sites: Pair, content: str, between: bool
) -> None:
    sites.run()
    before = digest_of(sites.prod)
    key = sites.dev.sql(f"SELECT key FROM granule WHERE id = {FIRST}")[0]["key"]
    remove(sites.dev)
    validate(sites.dev)
    if between:
        before = digest_of(sites.prod) if not sites.run(approval="test").problems else before
        before = digest_of(sites.prod)
    deliver_again(sites.dev, key, content)
    outcome = sites.run(approval="test")
    assert outcome.problems == ()
    dev, prod = sites.digests()
    assert dev.digest == prod.digest
    assert sites.preview().empty
    assert wrong(sites.prod) == []
    sites.undo(outcome.export)
    assert digest_of(sites.prod) == before
    assert wrong(sites.prod) == []


@pytest.mark.req("N8")
def test_that_a_granule_expires_is_no_part_of_what_an_export_makes_equal(sites: Pair) -> None:
    sites.run()
    retention.retain(sites.dev.site, rule="sensor = WV02", until="2099-01-01", reason="long")
    assert sites.preview().empty
    dev, prod = sites.digests()
    assert dev.digest == prod.digest
    assert dev.inventory != prod.inventory


@pytest.mark.req("N8")
def test_what_is_held_or_shared_there_stays_there_and_the_rest_goes(sites: Pair) -> None:
    sites.run()
    keys = [row["key"] for row in sites.dev.sql("SELECT key FROM granule ORDER BY id LIMIT 2")]
    retention.hold(sites.prod.site, [keys[0]], reason="court", until="never", kind="legal")
    remove(sites.dev, f"key = ANY (ARRAY['{keys[0]}', '{keys[1]}'])")
    validate(sites.dev)
    shown = sites.preview()
    assert (shown.counts["removed"], shown.counts["kept"]) == (1, 1)
    assert "court" in shown.whys[0]["why"]
    assert sites.run(approval="test").problems == ()
    assert [row["key"] for row in sites.prod.sql("SELECT key FROM granule WHERE state = 'deleted'")] == [keys[1]]
    retention.release(sites.prod.site, [keys[0]], kind="legal")
    sites.run(approval="test")
    assert len(sites.prod.sql("SELECT key FROM granule WHERE state = 'deleted'")) == 2
    assert wrong(sites.prod) == []


@pytest.mark.req("N8")
def test_versions_of_a_granule_go_together_or_stay_as_they_are_there(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pair(clone, monkeypatch) as sites, Holdings(sites.dev.site.settings) as made:
        made.archive("A1.bin", b"1", Granule(version="A1", rank=1), key="one")
        sites.run()
        sites.prod.sql("UPDATE granule SET orbit = 5")
        made.archive("A2.bin", b"2", Granule(version="A2", rank=2), key="one")
        sites.dev.site.inventory.run("rank_versions", keys=["one"])
        shown = sites.preview()
        assert (shown.counts["conflict"], shown.empty) == (2, True)
        assert len(sites.prod.sql("SELECT id FROM granule_current")) == 1
        assert {row["key"] for row in export.findings(sites.dev.site)} == {"one"}
        sites.prod.sql("UPDATE granule SET orbit = NULL")
        assert sites.run().granules == 2
        assert export.findings(sites.dev.site) == []
        assert [row["version"] for row in sites.prod.sql("SELECT version FROM granule_current")] == ["A2"]


@pytest.mark.req("N8", "N6")
def test_images_between_which_an_evaluation_chose_go_together_or_stay(sites: Pair) -> None:
    first = sites.dev.sql(f"SELECT id FROM granule WHERE id = {FIRST}")[0]["id"]
    other = sites.dev.again(first, "059999999999_01", cloudcover=0.9)
    choose(sites.dev.site, "WV02")
    validate(sites.dev)
    assert other not in sites.dev.preferred()
    sites.run()
    masters = len(sites.prod.preferred())
    sites.dev.sql("UPDATE granule SET search = search || '{\"cloudcover\": 0.99}' WHERE id = %(n)s", n=first)
    sites.dev.sql("UPDATE granule SET search = search || '{\"cloudcover\": 0.0}' WHERE id = %(n)s", n=other)
    sites.dev.follow()
    choose(sites.dev.site, "WV02")
    validate(sites.dev)
    assert first not in sites.dev.preferred()
    (key,) = sites.dev.sql("SELECT key FROM granule WHERE id = %(n)s", n=first)
    sites.prod.sql("UPDATE granule SET orbit = 5 WHERE key = %(key)s", key=key["key"])
    shown = sites.preview()
    assert (shown.counts["conflict"], shown.counts["changed"]) == (2, 0)
    sites.run()
    assert len(sites.prod.preferred()) == masters


@pytest.mark.req("N8")
def test_what_each_site_finds_out_for_itself_is_no_edit(sites: Pair) -> None:
    sites.run()
    sites.prod.sql(
        "UPDATE footprint_master SET status = 'faulty', stereopair = 'x', pairname = 'y', country = 'Peru', zone_id = 3"
    )
    assert sites.preview().empty
    assert sites.preview().counts["conflict"] == 0
    sites.dev.sql("UPDATE granule SET orbit = 4")
    assert sites.run().granules == 20
    rows = sites.prod.sql("SELECT DISTINCT stereopair, pairname, country, zone_id FROM footprint_master")
    assert rows == [{"stereopair": "x", "pairname": "y", "country": "Peru", "zone_id": 3}]


@pytest.mark.req("N8")
def test_paths_that_the_other_side_has_written_otherwise_stay(sites: Pair) -> None:
    sites.run()
    sites.prod.sql(
        "UPDATE footprint_master SET s_filepath = '/other', previewjpg = '/j', added_date = '2001-01-01'"
        f" WHERE granule_id = {FIRST}"
    )
    sites.dev.sql("UPDATE granule SET orbit = 4")
    assert sites.run().granules == 20
    rows = sites.prod.sql(
        "SELECT s_filepath, previewjpg, extract(year FROM added_date)::int AS y FROM footprint_master"
        " ORDER BY granule_id"
    )
    assert rows[0] == {"s_filepath": "/other", "previewjpg": "/j", "y": 2001}
    assert rows[1]["s_filepath"].startswith("/css/nga/nga/WV02/")


@pytest.mark.req("N8")
def test_two_sites_that_export_into_one_never_overwrite_each_other(
    sites: Pair, clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites.run(files=False)
    with strips(clone("dev2")) as second:
        second.make(20)
        validate(second)
        both = Pair(dev=second, prod=sites.prod)
        assert both.preview(files=False).empty
        second.sql("UPDATE granule SET orbit = 4")
        shown = both.preview(files=False)
        assert (shown.counts["changed"], shown.counts["conflict"]) == (0, 20)


@pytest.mark.req("N8")
def test_files_may_follow_rows_that_came_without_them_once(sites: Pair) -> None:
    first = sites.run(files=False)
    assert not (sites.prod.site.settings.storage / "nga").exists()
    shown = sites.preview(files=True)
    assert (shown.counts["changed"], shown.counts["added"], shown.assets) == (20, 0, 40)
    outcome = export.run(sites.dev.site, export.remote("prod"), shown.hash)
    assert outcome.problems == ()
    dev, prod = sites.digests()
    assert dev == prod
    assert wrong(sites.prod) == []
    assert sites.preview(files=True).empty
    sites.undo(outcome.export)
    assert sites.preview(files=True).counts["changed"] == 20
    sites.undo(first.export)
    assert sites.prod.sql("SELECT id FROM granule") == []


@pytest.mark.req("N8")
def test_an_undo_is_refused_with_words_whatever_leans_on_what_came(sites: Pair) -> None:
    outcome = sites.run()
    own = sites.prod.sql("SELECT nextval('granule_id_seq') AS id")[0]["id"]
    sites.prod.sql(
        "INSERT INTO granule (id, source, product, key, state, sensor) OVERRIDING SYSTEM VALUE"
        " VALUES (%(n)s, 's', 'p', 'own', 'deleted', 'WV02')",
        n=own,
    )
    for leaning, undone, why in (
        (
            "INSERT INTO footprint_archive (sensor, source, granule_id, keeper_id, reason)"
            f" VALUES ('WV02', 's', {own}, {FIRST}, 're-order')",
            "DELETE FROM footprint_archive",
            "it is preferred to own",
        ),
        (
            "WITH r AS (INSERT INTO reprocess_request (mode, products, sensors, names, sensing, reason, actor, code,"
            " files, bytes) VALUES ('verify', '{}', '{}', '{}', '(,)', 'manual', 'a', '1', 1, 1) RETURNING id), b AS ("
            " INSERT INTO reprocess_batch SELECT id, 1, '(,)', 1, 1 FROM r RETURNING request_id)"
            " INSERT INTO reprocess_problem SELECT request_id, 1, (SELECT min(id) FROM asset), 'x', 'y' FROM b",
            "DELETE FROM reprocess_request",
            "has found something in it",
        ),
        (
            "WITH i AS (INSERT INTO pge_instance (pge, version, period_key, sensing, state, input_hash)"
            " VALUES ('own', '1', 'k', '[2024-02-10, 2024-02-11)', 'done', 'h') RETURNING id)"
            f" INSERT INTO pge_output SELECT id, 'a', 'p', '', 1, {FIRST} FROM i",
            "DELETE FROM pge_instance",
            "has made it",
        ),
    ):
        sites.prod.sql(leaning)
        with pytest.raises(ConfigurationError, match=f"{why}.*Nothing was changed"):
            sites.undo(outcome.export)
        sites.prod.sql(undone)
    assert sites.undo(outcome.export) == 20


@pytest.mark.req("N8")
def test_what_was_just_arriving_at_the_preview_is_another_exports(sites: Pair) -> None:
    sites.dev.sql(f"UPDATE granule SET state = 'stored' WHERE id = {FIRST}")
    shown = sites.preview()
    assert shown.counts["added"] == 19
    sites.dev.sql("UPDATE granule SET state = 'archived' WHERE state = 'stored'")
    assert export.run(sites.dev.site, export.remote("prod"), shown.hash).granules == 19
    assert sites.run().granules == 1


@pytest.mark.req("N8")
def test_a_delivery_is_answered_where_it_was_delivered_and_nowhere_else(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pair(clone, monkeypatch) as sites, Holdings(sites.dev.site.settings) as made:
        made.archive("one.pdr", b"1")
        made.sql("UPDATE arrival SET role = 'manifest'")
        due = {"source": "correlative"}
        assert len(sites.dev.site.inventory.all("receipts_due", **due)) == 1
        sites.run()
        assert len(sites.prod.sql("SELECT id FROM arrival WHERE role = 'manifest'")) == 1
        assert sites.prod.site.inventory.all("receipts_due", **due) == []
        assert sites.prod.site.inventory.all("status_runs") == []


@pytest.mark.req("N8")
def test_a_preview_is_bound_to_the_place_it_was_made_for(
    sites: Pair, clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = sites.preview()
    configure(monkeypatch, "PROD", clone("elsewhere"))
    with pytest.raises(OrbitoryError, match="no longer those of preview"):
        export.run(sites.dev.site, export.remote("prod"), shown.hash)
    assert Selection.of_dict(Selection(without=(3, 4)).as_dict()) == Selection(without=(3, 4))


@pytest.mark.fault("F52", how="two exports into one site")
@pytest.mark.req("N8", "F52")
def test_two_exports_into_one_site_never_work_at_once(sites: Pair) -> None:
    shown = sites.preview()
    with one_at_a_time(sites.prod.site), pytest.raises(Transient, match="another export into that site is at work"):
        export.run(sites.dev.site, export.remote("prod"), shown.hash)
    assert export.run(sites.dev.site, export.remote("prod"), shown.hash).granules == 20


@pytest.mark.req("N8", "F52")
def test_what_arrives_there_by_another_way_meanwhile_is_not_doubled(sites: Pair) -> None:
    number, _ = export.begin(sites.dev.site, export.remote("prod"), sites.preview().hash, batch=5)
    sites.prod.make(7)
    with pytest.raises(ConfigurationError, match="changed at prod since they were compared"):
        export.copy(sites.dev.site, number)
    assert len(sites.prod.sql("SELECT id FROM granule")) == 7
    assert sites.run().granules == 13
    dev, prod = sites.digests()
    assert dev.digest == prod.digest
