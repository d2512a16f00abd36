"""Export between two real databases: exactly what was shown goes, repeatedly nothing, and it can be taken back."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import shapely

from cloning import Clone
from exporting import Pair, configure, digest_of, pair, validate, wrong
from footprints import Strips
from holdings import SQUARE, SQUARE_KM2, Granule, Holdings
from orbitory import export
from orbitory.cli import main
from orbitory.errors import ConfigurationError, IntegrityError
from orbitory.export import Selection
from orbitory.export.bag import write_bag
from orbitory.export.preview import folder_of
from private_stack.postgres import Cluster


@pytest.mark.fault("F52", how="the same export twice")
@pytest.mark.req("N8")
@pytest.mark.parametrize("files", [True, False])
def test_a_full_export_makes_both_sites_equal_and_a_second_one_brings_nothing(sites: Pair, files: bool) -> None:
    shown = sites.preview(files=files)
    assert shown.counts["added"] == 20
    assert shown.counts["changed"] == shown.counts["removed"] == shown.counts["conflict"] == 0
    outcome = export.run(sites.dev.site, export.remote("prod"), shown.hash)
    assert (outcome.state, outcome.granules, outcome.problems) == ("done", 20, ())
    dev, prod = sites.digests()
    assert dev.inventory == prod.inventory
    assert (dev == prod) == files
    if files:
        assert wrong(sites.prod) == []
    assert wrong(sites.dev) == []
    again = sites.run(files=files)
    assert (again.rows, again.granules) == (0, 0)
    assert sites.preview(files=files).empty
    same = export.run(sites.dev.site, export.remote("prod"), shown.hash)
    assert (same.rows, same.granules) == (0, 0)


@pytest.mark.req("N8")
def test_an_undone_export_leaves_the_other_side_as_it_was(sites: Pair) -> None:
    sites.prod.make(5, sensor="WV01", prefix="102", first=9000)
    before = digest_of(sites.prod)
    footprints = sites.prod.sql("SELECT to_jsonb(f) AS f FROM footprint_all f ORDER BY fpuid")
    outcome = sites.run()
    assert digest_of(sites.prod) != before
    assert sites.undo(outcome.export) == 20
    assert digest_of(sites.prod) == before
    assert sites.prod.sql("SELECT to_jsonb(f) AS f FROM footprint_all f ORDER BY fpuid") == footprints
    assert wrong(sites.prod) == []
    assert sites.undo(outcome.export) == 0
    assert sites.run().granules == 20
    assert wrong(sites.prod) == []


@pytest.mark.req("N8")
def test_what_changed_or_was_removed_follows_and_comes_back_letter_for_letter(sites: Pair) -> None:
    sites.run()
    before = digest_of(sites.prod)
    rows = rows_of(sites)
    (one, two) = (row["id"] for row in sites.dev.sql("SELECT id FROM granule ORDER BY id LIMIT 2"))
    sites.dev.sql(
        "UPDATE granule SET orbit = 77, search = search || '{\"cloudcover\": 0.123456789}' WHERE id = %(n)s", n=one
    )
    sites.dev.follow()
    remove(sites, two)
    validate(sites.dev)
    shown = sites.preview()
    assert (shown.counts["added"], shown.counts["changed"], shown.counts["removed"]) == (0, 1, 1)
    (changed,) = (each for each in shown.samples if each["action"] == "changed")
    assert changed["fields"]["granule.orbit"] == ["null", "77"]
    assert changed["fields"]["footprint_master.cloudcover"][1] == "0.123456789"
    outcome = export.run(sites.dev.site, export.remote("prod"), shown.hash)
    assert outcome.problems == ()
    dev, prod = sites.digests()
    assert dev == prod
    assert wrong(sites.prod) == []
    assert sites.preview().empty
    sites.undo(outcome.export)
    assert digest_of(sites.prod) == before
    assert rows_of(sites) == rows
    assert wrong(sites.prod) == []


def expired(archive: Strips, granule: str) -> None:
    """A granule goes as the incinerator takes it."""
    from orbitory import retention

    archive.sql(f"UPDATE granule SET expires_at = now() - interval '1 day' WHERE id = {granule}")
    retention.expire(archive.site)


def rows_of(sites: Pair) -> list[dict[str, object]]:
    return sites.prod.sql("SELECT * FROM export_rows(ARRAY(SELECT id FROM granule)) ORDER BY granule_id")


def remove(sites: Pair, number: int) -> None:
    from orbitory import removal

    (row,) = sites.dev.sql("SELECT key FROM granule WHERE id = %(n)s", n=number)
    chosen = removal.Selection(kind="list", names=(row["key"],))
    removal.apply(sites.dev.site, removal.plan(sites.dev.site, chosen).hash, approval="test")


@pytest.mark.req("N8")
def test_tombstones_travel_so_that_late_copies_are_known_there_too(sites: Pair) -> None:
    (row,) = sites.dev.sql("SELECT id FROM granule ORDER BY id LIMIT 1")
    remove(sites, row["id"])
    validate(sites.dev)
    sites.run()
    assert len(sites.prod.sql("SELECT id FROM granule WHERE state = 'deleted'")) == 1
    assert len(sites.prod.sql("SELECT id FROM asset WHERE state = 'deleted' AND removal = 'removed'")) == 2
    dev, prod = sites.digests()
    assert dev == prod
    assert wrong(sites.prod) == []


@pytest.mark.req("N8")
def test_only_validated_images_without_open_findings_go_and_their_versions_stay_with_them(sites: Pair) -> None:
    ids = [row["id"] for row in sites.dev.sql("SELECT id FROM granule ORDER BY id LIMIT 6")]
    sites.dev.sql("UPDATE footprint_master SET status = 'unvalidated' WHERE granule_id = %(n)s", n=ids[0])
    sites.dev.sql("UPDATE footprint_master SET status = 'faulty' WHERE granule_id = %(n)s", n=ids[1])
    sites.dev.sql(
        "WITH r AS (INSERT INTO mfp_run (actor, params, finished_at)"
        " VALUES ('t', '{\"sensors\": [\"WV02\"]}', now()) RETURNING id)"
        " INSERT INTO mfp_finding (run_id, granule_id, key, sensor, code, level, reason)"
        " SELECT r.id, g.id, g.key, g.sensor, 'E05', 'error', 'told' FROM r, granule g WHERE g.id = %(n)s",
        n=ids[2],
    )
    sites.dev.sql(
        "INSERT INTO validation (asset_id, mode, verdict)"
        " SELECT asset_id, 'full', 'bad' FROM granule_asset WHERE granule_id = %(n)s",
        n=ids[3],
    )
    shown = sites.preview()
    assert (shown.counts["added"], shown.counts["held"]) == (16, 4)
    assert {row["why"] for row in shown.whys} == {
        "its footprint is unvalidated",
        "its footprint is faulty",
        "the newest evaluation has found an error in it",
        "its raster is bad",
    }
    sites.run()
    keys = {row["key"] for row in sites.dev.sql("SELECT key FROM granule WHERE id = ANY (%(n)s)", n=ids[:4])}
    assert not keys & {row["key"] for row in sites.prod.sql("SELECT key FROM granule")}
    validate(sites.dev)
    sites.dev.sql("DELETE FROM mfp_finding")
    sites.dev.sql("DELETE FROM validation")
    assert sites.run().granules == 4
    dev, prod = sites.digests()
    assert dev == prod


@pytest.mark.fault("F52", how="the other side changes after the preview")
@pytest.mark.req("N8", "F52")
def test_a_side_that_changed_after_the_preview_refuses_the_run(sites: Pair) -> None:
    sites.run()
    sites.dev.make(5, sensor="WV03", prefix="104", first=50)
    validate(sites.dev)
    shown = sites.preview()
    sites.prod.sql(
        "UPDATE footprint_master SET cloudcover = 0.5 WHERE fpuid = (SELECT min(fpuid) FROM footprint_master)"
    )
    with pytest.raises(ConfigurationError, match="no longer those of preview"):
        export.run(sites.dev.site, export.remote("prod"), shown.hash)
    assert len(sites.prod.sql("SELECT id FROM granule")) == 20
    again = sites.preview()
    assert (again.counts["added"], again.counts["conflict"]) == (5, 1)
    sites.dev.sql("UPDATE granule SET orbit = 5 WHERE sensor = 'WV03'")
    with pytest.raises(ConfigurationError, match="no longer those of preview"):
        export.run(sites.dev.site, export.remote("prod"), again.hash)


@pytest.mark.req("N8")
def test_edits_of_the_other_side_are_never_overwritten(sites: Pair) -> None:
    sites.run()
    sites.prod.sql("UPDATE granule SET classification = 'unrestricted' WHERE id = (SELECT min(id) FROM granule)")
    sites.dev.sql("UPDATE granule SET orbit = 9")
    shown = sites.preview()
    assert (shown.counts["changed"], shown.counts["conflict"]) == (19, 1)
    outcome = export.run(sites.dev.site, export.remote("prod"), shown.hash)
    assert (outcome.granules, outcome.conflicts) == (19, 1)
    (kept,) = sites.prod.sql("SELECT orbit, classification FROM granule WHERE id = (SELECT min(id) FROM granule)")
    assert kept == {"orbit": None, "classification": "unrestricted"}


@pytest.mark.req("N8")
def test_retention_of_the_other_side_is_its_own(sites: Pair) -> None:
    sites.run()
    sites.prod.sql("UPDATE granule SET expires_at = now() + interval '3 days'")
    sites.dev.sql("UPDATE granule SET expires_at = now() + interval '9 days', orbit = 3")
    sites.run()
    assert sites.prod.sql(
        "SELECT count(*) AS n FROM granule WHERE expires_at < now() + interval '4 days' AND orbit = 3"
    ) == [{"n": 20}]
    expired(sites.prod, "(SELECT min(id) FROM granule)")
    shown = sites.preview()
    assert (shown.counts["changed"], shown.counts["conflict"], shown.counts["kept"]) == (0, 0, 1)


@pytest.mark.req("N8")
def test_an_undo_is_refused_when_something_leans_on_what_came(sites: Pair) -> None:
    outcome = sites.run()
    sites.prod.sql("UPDATE granule SET orbit = 1 WHERE id = (SELECT min(id) FROM granule)")
    with pytest.raises(ConfigurationError, match="it was edited since"):
        sites.undo(outcome.export)
    sites.prod.sql("UPDATE granule SET orbit = NULL")
    sites.prod.sql(
        "INSERT INTO hold (granule_id, kind, reason, owner) SELECT min(id), 'legal', 'court', 'me' FROM granule"
    )
    with pytest.raises(ConfigurationError, match="court"):
        sites.undo(outcome.export)
    sites.prod.sql("UPDATE hold SET released = now(), released_by = 'me'")
    sites.dev.sql("UPDATE granule SET orbit = 2")
    later = sites.run()
    with pytest.raises(ConfigurationError, match="has brought it again"):
        sites.undo(outcome.export)
    assert sites.undo(later.export) == 20
    assert sites.undo(outcome.export) == 20
    assert sites.prod.sql("SELECT count(*) AS n FROM granule") == [{"n": 0}]


@pytest.mark.fault("F52", how="a constraint of the other side refuses a row")
@pytest.mark.req("N8", "F52")
def test_a_batch_that_the_other_side_refuses_leaves_no_row_of_it(sites: Pair) -> None:
    (sites.prod.site.settings.storage / ".orbitory-storage").touch()
    (row,) = sites.dev.sql("SELECT path FROM asset WHERE path LIKE '%%.ntf' ORDER BY path DESC LIMIT 1")
    sites.prod.sql(
        "INSERT INTO asset (path, role, state, kind, size, digest)"
        " VALUES (%(path)s, 'data', 'archived', 'nitf', 1, 'x')",
        path=row["path"],
    )
    with pytest.raises(IntegrityError, match="asset_path"):
        sites.run(batch=5)
    (count,) = sites.prod.sql("SELECT count(*) AS n, count(*) FILTER (WHERE state <> 'archived') AS half FROM granule")
    assert count["n"] in (5, 10, 15)
    assert count["half"] == 0
    sites.prod.sql("UPDATE asset SET state = 'deleted', removal = 'removed' WHERE size = 1 AND digest = 'x'")
    assert sites.run().granules == 20 - count["n"]


def test_strips_are_never_parted_between_batches(sites: Pair) -> None:
    sites.run(batch=3, files=False)
    rows = sites.prod.sql(
        "SELECT g.search ->> 'strip_id' AS strip, count(DISTINCT i.batch) AS batches"
        " FROM export_item i JOIN granule g ON g.id = i.granule_id GROUP BY 1"
    )
    assert len(rows) == 4
    assert {row["batches"] for row in rows} == {1}


def test_a_selection_brings_only_what_is_asked_for(sites: Pair) -> None:
    sites.dev.make(10, sensor="WV01", prefix="102", first=500)
    validate(sites.dev)
    assert sites.preview(sensors=("WV01",)).counts["added"] == 10
    assert sites.preview(products=("P1BS",)).counts["added"] == 30
    with pytest.raises(ConfigurationError, match="P9XX"):
        sites.preview(products=("P9XX",))
    assert sites.run(sensors=("WV01",)).granules == 10
    assert {row["sensor"] for row in sites.prod.sql("SELECT DISTINCT sensor FROM granule")} == {"WV01"}
    (row,) = sites.dev.sql(
        "SELECT min(lower(sensing)) AS first, max(lower(sensing)) AS last FROM granule WHERE sensor = 'WV02'"
    )
    assert sites.preview(sensed=(row["first"], row["last"]), sensors=("WV02",)).counts["added"] < 20
    assert sites.run().granules == 20


def test_a_product_type_whose_granules_carry_kinds_selects_all_that_its_source_delivered(sites: Pair) -> None:
    sites.dev.sql(
        "UPDATE granule SET source = 'correlative', product = CASE WHEN id % 2 = 0 THEN 'hdf5' ELSE 'text' END"
    )
    sites.dev.make(10, sensor="WV01", prefix="102", first=500)
    validate(sites.dev)
    assert sites.preview(products=("correlative",)).counts["added"] == 20
    assert sites.preview(products=("hdf5",)).counts["added"] == 10
    assert sites.run(products=("correlative",)).granules == 20
    assert {row["source"] for row in sites.prod.sql("SELECT DISTINCT source FROM granule")} == {"correlative"}


@pytest.mark.fault("F57", how="two sites of different schema")
@pytest.mark.req("N8")
def test_sites_of_another_schema_are_refused_with_both_versions(sites: Pair, postgres: Cluster) -> None:
    name = sites.prod.site.settings.database.rpartition("/")[2]
    newest, before = (row["name"] for row in sites.dev.sql("SELECT name FROM schema_migration ORDER BY 1 DESC LIMIT 2"))
    postgres.sql(f"DELETE FROM schema_migration WHERE name = '{newest}'", database=name)
    with pytest.raises(ConfigurationError, match=re.escape(f"here it is {newest}, at prod {before}")):
        sites.preview()


def test_a_site_that_is_not_configured_is_no_target_and_neither_is_this_one(
    sites: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="ORBITORY_SITE_PROD_NCCS_DATABASE is not set"):
        export.remote("prod-nccs")
    configure(monkeypatch, "SELF", sites.dev.site.settings)
    with pytest.raises(ConfigurationError, match="this very site"):
        export.preview(sites.dev.site, export.remote("self"), Selection())
    assert export.remotes() == ("prod", "self")


@pytest.mark.req("N8")
def test_deliveries_travel_with_their_files_so_that_even_the_ledger_is_equal(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = datetime(2024, 2, 10, 12, tzinfo=UTC)
    with pair(clone, monkeypatch) as sites, Holdings(sites.dev.site.settings) as made:
        for version, rank in (("A1", 1), ("A2", 2)):
            made.archive(
                f"{version}.bin", version.encode(), Granule(version=version, rank=rank, created=noon), key="one"
            )
        made.archive("b.bin", b"b", Granule(start=noon, footprint=SQUARE, area_km2=SQUARE_KM2))
        made.sql(
            "UPDATE granule SET superseded_by = (SELECT id FROM granule WHERE version = 'A2') WHERE version = 'A1'"
        )
        made.finish()
        outcome = sites.run()
        dev, prod = sites.digests()
        assert dev == prod
        assert wrong(sites.prod) == []
        assert sites.undo(outcome.export) == 3
        assert sites.prod.sql("SELECT count(*) AS n FROM arrival") == [{"n": 0}]
        assert wrong(sites.prod) == []
        sites.run()
        assert sites.digests()[1] == dev
        made.reject("bad.bin")  # what stands in quarantine stays here
        dev, prod = sites.digests()
        assert dev.inventory != prod.inventory
        assert dev.digest == prod.digest


def test_a_bag_is_complete_and_valid_and_its_tables_tell_every_granule(sites: Pair, tmp_path: Path) -> None:
    made = write_bag(sites.dev.site, Selection(sensors=("WV02",)), tmp_path / "bag")
    assert (made.granules, made.files) == (20, 40)
    folder = made.folder
    lines = (folder / "manifest-sha256.txt").read_text().splitlines() + (
        folder / "tagmanifest-sha256.txt"
    ).read_text().splitlines()
    for line in lines:
        value, name = line.split("  ", 1)
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == value
    payload = [each for each in (folder / "data").rglob("*") if each.is_file()]
    assert len(payload) == 40
    assert f"Payload-Oxum: {sum(each.stat().st_size for each in payload)}.40" in (folder / "bag-info.txt").read_text()
    assert (folder / "bagit.txt").read_text() == "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
    table = pyarrow.parquet.read_table(folder / "granules.parquet")
    assert table.num_rows == 20
    item = table.slice(0, 1).to_pylist()[0]
    assert (folder / item["assets"]["data"]["href"]).is_file()
    assert item["assets"]["metadata"]["roles"] == ["metadata"]
    assert item["links"] == []
    assert item["instruments"] == ["WV02"]
    assert len(set(table.column("id").to_pylist())) == 20
    assert b"stac-geoparquet" in pyarrow.parquet.read_metadata(folder / "granules.parquet").metadata
    assert shapely.from_wkb(item["geometry"]).is_valid
    with closing(sqlite3.connect(folder / "granules.gpkg")) as package:
        assert package.execute("SELECT count(*) FROM granules").fetchone() == (20,)
    with pytest.raises(ConfigurationError, match="exists already"):
        write_bag(sites.dev.site, Selection(), folder)


def test_a_bag_of_damaged_files_is_no_bag(sites: Pair, tmp_path: Path) -> None:
    (row,) = sites.dev.sql("SELECT path FROM asset ORDER BY path LIMIT 1")
    (sites.dev.site.settings.storage / row["path"]).write_bytes(b"x" * len(row["path"]))
    with pytest.raises(IntegrityError, match="damaged in storage"):
        write_bag(sites.dev.site, Selection(), tmp_path / "bag")
    assert not (tmp_path / "bag" / "bagit.txt").exists()


def test_a_preview_is_told_as_page_list_and_figures(sites: Pair) -> None:
    sites.run()
    sites.dev.sql(
        'UPDATE granule SET search = search || \'{"note": "<script>alert(1)</script>"}\''
        " WHERE id = (SELECT min(id) FROM granule)"
    )
    shown = sites.preview()
    folder = folder_of(sites.dev.site, shown.hash)
    page = (folder / "preview.html").read_text()
    assert shown.hash in page
    assert "<script>" not in page
    assert "granule.search" in page
    assert json.loads((folder / "preview.json").read_text())["changed"] == 1
    assert (folder / "preview.csv").read_text(encoding="utf-8-sig").count("changed") == 1
    outcome = export.run(sites.dev.site, export.remote("prod"), shown.hash)
    assert "all of it arrived" in (folder / f"export-{outcome.export}.html").read_text()


@pytest.mark.req("N12")
def test_paths_are_told_as_users_of_the_other_site_find_them(sites: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORBITORY_SITE_PROD_PATHS", "/css/prod/,Q:/data/")
    sites.run()
    (row,) = sites.prod.sql("SELECT s_filepath, p_filepath FROM footprint_master ORDER BY fpuid LIMIT 1")
    assert row["s_filepath"].startswith("/css/prod/nga/WV02/")
    assert row["p_filepath"].startswith("Q:/data/nga/WV02/")
    assert sites.preview().empty
    monkeypatch.setenv("ORBITORY_SITE_PROD_PATHS", "somewhere")
    with pytest.raises(ConfigurationError, match="ORBITORY_SITE_PROD_PATHS"):
        export.remote("prod")


def test_the_commands_do_what_their_contract_says(
    sites: Pair, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = sites.dev.site.settings
    monkeypatch.setenv("ORBITORY_DATABASE", settings.database)
    monkeypatch.setenv("ORBITORY_ROOT", str(settings.landing.parent))

    def call(*arguments: str) -> dict[str, Any]:
        assert main(["export", *arguments, "--json"]) == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        return told

    shown = call("preview", "--to", "prod", "--files")
    assert {name: shown[name] for name in ("added", "changed", "removed", "conflicts")} == {
        "added": 20, "changed": 0, "removed": 0, "conflicts": 0,
    }  # fmt: skip
    done = call("run", "--to", "prod", "--preview", shown["hash"])
    assert {"export", "rows", "seconds"} <= set(done)
    assert done["rows"] > 100
    assert [each["state"] for each in call("list")["exports"]] == ["done"]
    assert call("undo", str(done["export"]))["granules"] == 20
    assert main(["export", "run", "--to", "prod", "--preview", "0" * 64]) == 2


@pytest.mark.req("N8")
def test_lineage_travels_with_products_and_goes_with_them(sites: Pair) -> None:
    made, source = (row["id"] for row in sites.dev.sql("SELECT id FROM granule ORDER BY id LIMIT 2"))
    sites.dev.sql(
        "WITH i AS (INSERT INTO pge_instance (pge, version, period_key, sensing, state, input_hash)"
        " VALUES ('p', '1', 'k', '[2024-02-10, 2024-02-11)', 'done', 'hash') RETURNING id), o AS ("
        " INSERT INTO pge_output SELECT i.id, 'a.ntf', 'strip', s.digest, s.size, l.granule_id"
        " FROM i, granule_asset l JOIN asset s"
        " ON s.id = l.asset_id AND s.role = 'data' WHERE l.granule_id = %(made)s)"
        " INSERT INTO pge_input SELECT i.id, 'one', n, CASE WHEN n = 1 THEN l.granule_id END,"
        " CASE WHEN n = 1 THEN s.id END,"
        " CASE WHEN n = 2 THEN 'static.dat' END, s.digest FROM i, generate_series(1, 2) n, granule_asset l JOIN asset s"
        " ON s.id = l.asset_id AND s.role = 'data' WHERE l.granule_id = %(source)s",
        made=made,
        source=source,
    )
    outcome = sites.run()
    rows = sites.prod.sql(
        "SELECT p.input, p.ordinal, g.key, p.path, k.key AS made"
        " FROM pge_input p LEFT JOIN granule g ON g.id = p.granule_id"
        " JOIN pge_output o USING (instance_id) JOIN granule k ON k.id = o.granule_id ORDER BY p.ordinal"
    )
    keys = [row["key"] for row in sites.dev.sql("SELECT key FROM granule ORDER BY id LIMIT 2")]
    assert rows == [
        {"input": "one", "ordinal": 1, "key": keys[1], "path": None, "made": keys[0]},
        {"input": "one", "ordinal": 2, "key": None, "path": "static.dat", "made": keys[0]},
    ]
    assert wrong(sites.prod) == []
    assert sites.run().rows == 0
    sites.undo(outcome.export)
    assert (
        sites.prod.sql("SELECT id FROM pge_instance") == sites.prod.sql("SELECT instance_id AS id FROM pge_input") == []
    )
    assert wrong(sites.prod) == []


@pytest.mark.req("N8", "F52")
def test_an_export_that_cannot_go_on_is_closed_by_the_next_one_which_brings_the_rest(sites: Pair) -> None:
    shown = sites.preview()
    number, _ = export.begin(sites.dev.site, export.remote("prod"), shown.hash, batch=5)
    sites.dev.sql("UPDATE granule SET orbit = 4 WHERE id = (SELECT max(id) FROM granule)")
    with pytest.raises(ConfigurationError, match="changed here since they were compared"):
        export.copy(sites.dev.site, number)
    assert 0 < len(sites.prod.sql("SELECT id FROM granule")) < 20
    assert wrong(sites.prod) == []
    later = sites.run()
    assert 0 < later.granules < 20
    dev, prod = sites.digests()
    assert dev == prod
    assert {row["state"] for row in export.history(sites.dev.site)} == {"done"}
    sites.undo(later.export)
    sites.undo(number)
    assert sites.prod.sql("SELECT id FROM granule") == []


@pytest.mark.req("N8")
def test_deliveries_that_arrive_while_somebody_decides_do_not_stand_in_the_way(sites: Pair) -> None:
    shown = sites.preview()
    assert sites.preview().hash == shown.hash
    sites.dev.make(5, sensor="WV03", prefix="104", first=50)
    outcome = export.run(sites.dev.site, export.remote("prod"), shown.hash)
    assert outcome.granules == 20
    validate(sites.dev)
    assert sites.run().granules == 5
