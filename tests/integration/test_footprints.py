"""Master footprints follow the granules: each held strip image has one row, with the columns that users know."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from shapely import from_wkb, to_wkt

from cloning import Clone
from holdings import Granule, Holdings
from ingesting import check
from orbitory.catalogue import load
from orbitory.cli import main
from orbitory.errors import ConfigurationError
from orbitory.footprint import from_ring
from orbitory.ingest import Selection
from orbitory.ingest.run import ingest
from orbitory.mfp import Parameters
from orbitory.mfp.paths import NoSuchPair, to_linux, to_windows
from orbitory.mfp.places import load_places
from orbitory.mfp.rows import refresh, refresh_all
from orbitory.names import identify
from orbitory.register import register
from orbitory.settings import CHECKOUT, Settings
from orbitory.simulate import simulate
from orbitory.site import open_site

RECORDS = sorted((Path(__file__).resolve().parents[1] / "data" / "cmr_ummg").glob("*.json"))
#: Where the places of the records are on a map.
COUNTRIES = {
    "WV01_20071231044012": "China",
    "WV01_20080103145241": "Chile",
    "WV03_20140824052550": None,  # the Maldives are too small for the boundaries that ship
    "WV03_20140824082814": "Turkey",
    "WV03_20140922093430": "Nigeria",
    "WV03_20150110163532": "United States of America",
}
#: Of a real row of nga_footprint_master_v2, in its order.
# fmt: off
REAL_COLUMNS = [
    "fpuid", "strip_id", "scene_id", "status", "catalog_id", "order_id", "prod_code", "country", "spec_type",
    "acq_time", "cloudcover", "cent_lat", "cent_long", "columns", "rows", "bits_pixel", "file_fmt", "off_nadir",
    "sun_elev", "prod_gsd", "ref_height", "xtrackva", "s_filename", "s_filepath", "sensor", "bands", "previewjpg",
    "previewurl", "added_date", "file_sz", "avsunazim", "avtargetaz", "stereopair", "pairname", "acq_date",
    "acq_year", "prod_short", "det_pitch", "intrackva", "acq_month", "zone_id", "source", "shape",
]
PGC_COLUMNS = [
    "SCENE_ID", "STRIP_ID", "CATALOG_ID", "SENSOR", "ACQ_TIME", "PROD_CODE", "SPEC_TYPE", "COLUMNS", "ROWS",
    "BANDS", "CLOUDCOVER", "SUN_ELEV", "OFF_NADIR", "TDI", "STATUS", "S_FILEPATH", "S_FILENAME", "O_FILEPATH",
    "O_DRIVE", "CENT_LAT", "CENT_LONG", "STEREOPAIR", "PAIRNAME", "P_FILEPATH", "SHAPE",
]
# fmt: on
STRIP = "WV01_102001003A7E9A00_P1BS_502788423060_01"
SCENE = "WV01_20150410052955_102001003A7E9A00_15APR10052955-P1BS-502788423060_01_P005"
TAKEN = datetime(2015, 4, 10, 5, 29, 55, 515646, tzinfo=UTC)
IMAGE = Granule(
    product="P1BS",
    sensor="WV01",
    created=datetime(2020, 7, 1, tzinfo=UTC),
    start=TAKEN,
    footprint="MULTIPOLYGON(((94.24 19.33, 94.43 19.33, 94.43 19.5, 94.24 19.5, 94.24 19.33)))",
    area_km2=377.0,
    search={
        **{"strip_id": STRIP, "scene_id": SCENE, "catalog_id": "102001003A7E9A00", "order_id": "502788423060_01_P005"},
        **{"prod_code": "P1BS", "spec_type": "Panchromatic", "cloudcover": 0.012, "cent_lat": 19.414, "columns": 31744},
        **{"cent_long": 94.338, "rows": 35840, "bits_pixel": 16, "file_fmt": "NITF", "off_nadir": 23.9, "bands": 1},
        **{"sun_elev": 78.1, "prod_gsd": 0.578, "ref_height": 418, "xtrackva": -4.1, "avsunazim": 162.9},
        **{"avtargetaz": 179.3, "prod_short": "1B", "det_pitch": 0.008, "intrackva": 23.1, "tdi": {"P": 16}},
        "image": "WV01/102001003A7E9A00/20150410052955/P1BS//P005",
    },
)


class Archive(Holdings):
    """Strips by hand, and their footprints."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, "nga")

    def strip(self, name: str = f"{SCENE}.ntf", granule: Granule = IMAGE, key: str = "") -> int:
        """Archive an image and bring its footprint up to date; returns the granule's number."""
        self.archive(name, name.encode(), granule, key)
        number: int = self.rows("SELECT max(id) AS id FROM granule")[0]["id"]
        self.refresh(number)
        return number

    def refresh(self, *granules: int, **parameters: Any) -> int:
        with open_site(actor="test", settings=self.settings) as site:
            return refresh(site, granules=granules, parameters=Parameters(**parameters))

    def rows(self, statement: str, *values: object) -> list[dict[str, Any]]:
        with self.db.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, values).fetchall()  # type: ignore[arg-type]

    def master(self) -> list[dict[str, Any]]:
        return self.rows("SELECT *, ST_AsText(shape) AS text FROM footprint_master ORDER BY granule_id")

    def aside(self) -> list[tuple[Any, ...]]:
        found = self.rows("SELECT granule_id, keeper_id, reason FROM footprint_archive ORDER BY granule_id")
        return [tuple(row.values()) for row in found]

    def preferred(self) -> list[int]:
        return [row["granule_id"] for row in self.master()]

    def put_aside(self, loser: int, keeper: int) -> None:
        """What an evaluation does."""
        self.sql(
            "WITH gone AS (DELETE FROM footprint_master WHERE granule_id = %s RETURNING *)"
            " INSERT INTO footprint_archive SELECT gone.*, %s, 're-order' FROM gone",
            *(loser, keeper),
        )

    def leave(self, granule: int, removal: str | None, state: str = "deleted") -> None:
        """The image leaves the archive, or is back where ``removal`` is None."""
        self.sql(
            "UPDATE asset SET state = %s, removal = %s FROM granule_asset l WHERE asset_id = id AND granule_id = %s",
            *("archived" if removal is None else state, removal if state == "deleted" else None, granule),
        )
        self.sql("UPDATE granule SET state = %s WHERE id = %s", "archived" if removal is None else state, granule)
        self.refresh(granule)


@pytest.fixture
def archive(settings: Settings) -> Iterator[Archive]:
    with Archive(settings) as opened:
        yield opened


def box(west: float, south: float, width: float = 0.2, height: float = 0.2) -> str:
    return f"MULTIPOLYGON((({west} {south}, {west + width} {south}, {west + width} {south + height}," + (
        f" {west} {south + height}, {west} {south})))"
    )


def facts(**changes: Any) -> dict[str, Any]:
    return {**IMAGE.search, **changes}


def deliver(settings: Settings, source: str, files: int, seed: int = 1, faults: str | None = None) -> None:
    simulate(load(settings.catalogue), source, files, seed, faults, settings.landing / source)


@contextmanager
def looking(settings: Settings) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with psycopg.connect(settings.database, row_factory=dict_row, autocommit=True) as connection:
        yield connection


# ------------------------------------------------------------------------------------------------------------ columns


@pytest.mark.req("N9", "N12")
@pytest.mark.parametrize("table", ["footprint_template", "footprint_master", "footprint_archive"])
def test_tables_have_the_columns_of_the_real_one_in_its_order(archive: Archive, table: str) -> None:
    found = archive.rows(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum", table
    )
    assert [row["attname"] for row in found][: len(REAL_COLUMNS)] == REAL_COLUMNS


def test_a_row_says_what_a_real_row_says(archive: Archive) -> None:
    number = archive.strip()
    (row,) = archive.master()
    told = {name: row[name] for name in REAL_COLUMNS if name in IMAGE.search}
    assert told == {name: IMAGE.search[name] for name in told}
    assert set(REAL_COLUMNS) - set(told) == {
        *("fpuid", "status", "country", "acq_time", "s_filename", "s_filepath", "sensor", "previewjpg", "previewurl"),
        *("added_date", "file_sz", "stereopair", "pairname", "acq_date", "acq_year", "acq_month", "zone_id", "source"),
        "shape",
    }
    assert (row["granule_id"], row["status"], row["source"], row["sensor"]) == (number, "unvalidated", "nga", "WV01")
    assert (row["acq_time"], row["acq_date"], row["acq_year"], row["acq_month"]) == (TAKEN, TAKEN.date(), 2015, 4)
    assert (row["s_filepath"], row["s_filename"]) == (f"/css/nga/nga/{SCENE}.ntf", f"{SCENE}.ntf")
    assert (row["country"], row["zone_id"]) == ("Myanmar", 32646)
    assert (row["part"], row["tile"], row["tdi"], row["generated"]) == ("P005", None, 16, IMAGE.created)
    assert row["file_sz"] == len(f"{SCENE}.ntf") / 1e9
    assert row["text"].startswith("MULTIPOLYGON(((94.24 19.33")
    assert [row[name] for name in ("stereopair", "pairname", "previewjpg", "previewurl")] == [None] * 4


@pytest.mark.req("N12")
def test_every_row_tells_the_path_for_windows_unless_windows_has_none(archive: Archive) -> None:
    for number, name in enumerate(("a.ntf", "b:c.ntf", "AUX.ntf")):
        archive.strip(name, key=f"strip/{number}")
    found = archive.rows("SELECT s_filepath, p_filepath FROM footprint_master ORDER BY granule_id")
    assert [tuple(row.values()) for row in found] == [
        ("/css/nga/nga/a.ntf", "P:/data/nga/a.ntf"),
        ("/css/nga/nga/b:c.ntf", None),
        ("/css/nga/nga/AUX.ntf", None),
    ]
    assert to_linux(found[0]["p_filepath"], Parameters()) == found[0]["s_filepath"]
    assert archive.refresh(1, 2, 3, windows_root="//server/nga/") == 1
    assert archive.master()[0]["p_filepath"] == "//server/nga/nga/a.ntf"
    archive.sql("UPDATE asset SET path = '/data/a.ntf', in_place = true WHERE path = 'nga/a.ntf'")
    archive.refresh(1)
    assert [archive.master()[0][name] for name in ("s_filepath", "p_filepath")] == ["/data/a.ntf", None]


@pytest.mark.req("N12")
def test_rows_and_the_mapping_of_paths_agree_on_what_windows_can_hold(archive: Archive) -> None:
    draw = random.Random(12)
    parts = [*'aZ09_-. é\\:<>|?*"\x01\x1f\x7f\xa0', "con", "AUX", "com1", "LPT²", "nul", ".ntf", "conx"]
    names = {"/".join("".join(draw.choices(parts, k=draw.randint(1, 4))) for _ in range(2)) for _ in range(3000)}
    rows = archive.rows("SELECT p, windows_path(p, 'P:/data/') AS windows FROM unnest(%s::text[]) AS p", sorted(names))
    for row in rows:
        try:
            expected = to_windows(f"/css/nga/{row['p']}", Parameters())
        except NoSuchPair:
            expected = None
        assert row["windows"] == expected, row["p"]
    assert 200 < sum(row["windows"] is not None for row in rows) < len(rows) - 200


def test_of_an_image_that_is_known_by_its_day_alone_no_time_is_told(archive: Archive) -> None:
    archive.strip(granule=replace(IMAGE, end=TAKEN + timedelta(hours=23)))
    (row,) = archive.master()
    assert (row["acq_time"], row["acq_date"], row["acq_year"]) == (None, TAKEN.date(), 2015)


def test_the_index_of_the_polar_geospatial_center_has_its_columns(archive: Archive) -> None:
    archive.strip()
    (row,) = archive.rows("SELECT * FROM footprint_pgc")
    assert list(row) == PGC_COLUMNS
    assert (row["SCENE_ID"], row["STATUS"], row["TDI"], row["O_DRIVE"]) == (SCENE, "online", 16, "nga")
    assert (row["S_FILEPATH"], row["O_FILEPATH"]) == (f"/css/nga/nga/{SCENE}.ntf", f"{SCENE}.ntf")
    assert row["P_FILEPATH"] == f"P:/data/nga/{SCENE}.ntf"


@pytest.mark.req("N9", "N13")
@pytest.mark.parametrize("file", RECORDS, ids=lambda file: file.name[:30])
def test_the_row_of_an_image_agrees_with_its_record_in_nasas_catalogue(archive: Archive, file: Path) -> None:
    record = json.loads(file.read_text(encoding="utf-8"))
    extent = record["SpatialExtent"]["HorizontalSpatialDomain"]["Geometry"]["GPolygons"][0]["Boundary"]["Points"]
    corners = [(point["Longitude"], point["Latitude"]) for point in extent]
    place = from_ring([lon for lon, _ in corners], [lat for _, lat in corners], great_circles=False)
    told = {each["Name"]: each["Values"][0] for each in record["AdditionalAttributes"]}
    image = next(each for each in record["RelatedUrls"] if each["URL"].endswith((".ntf", ".tif")))
    name, catalogue = image["URL"].rpartition("/")[2], load(archive.settings.catalogue)
    identity = identify(name, catalogue.source("nga"), catalogue)
    granule = Granule(
        product=identity.products[0],
        sensor=identity.sensor,
        start=datetime.fromisoformat(record["TemporalExtent"]["SingleDateTime"]),
        footprint=to_wkt(from_wkb(place.ewkb)),
        area_km2=place.area_km2,
        search={
            **{
                k: v
                for k, v in identity.details.items()
                if k in ("scene_id", "strip_id", "catalog_id", "order_id", "spec_type")
            },
            **{"prod_code": identity.products[0], "cloudcover": record["CloudCover"], "image": "an image"},
            **{"sun_elev": float(told["Mean Sun Elevation"]), "off_nadir": float(told["Maximum Angle Off Nadir"])},
        },
    )
    archive.strip(name, granule)
    (row,) = archive.master()
    sensor, bands, level = record["CollectionReference"]["ShortName"].split("_")
    assert (row["sensor"], f"L{row['prod_short']}", row["scene_id"]) == (sensor, level, record["GranuleUR"])
    assert row["spec_type"] == {"Pan": "Panchromatic", "MSI": "Multispectral"}[bands]
    assert row["acq_time"].isoformat() == datetime.fromisoformat(record["TemporalExtent"]["SingleDateTime"]).isoformat()
    assert row["scene_id"] == f"{sensor}_{record['GranuleUR'].split('_', 1)[1]}" and row["strip_id"].startswith(sensor)
    assert (row["cloudcover"], row["s_filename"]) == (record["CloudCover"], name)
    assert 0 <= row["cloudcover"] <= 1
    assert row["zone_id"] == (32600 if corners[0][1] > 0 else 32700) + int((corners[0][0] + 180) // 6) + 1
    assert row["country"] == COUNTRIES[record["GranuleUR"][:19]]


# ------------------------------------------------------------------------------------------------------------- upkeep


@pytest.mark.req("N9")
@pytest.mark.parametrize("source", ["nga", "maxar"])
def test_ingest_gives_every_image_that_is_held_one_row_and_nothing_else_any(settings: Settings, source: str) -> None:
    deliver(settings, source, 70, faults="all")
    check(ingest(settings, source))
    with looking(settings) as db:
        images = db.execute(
            "SELECT g.id FROM granule_current g JOIN granule_asset l ON l.granule_id = g.id JOIN asset s ON s.id ="
            " l.asset_id WHERE s.role = 'data' AND product NOT IN ('order', 'strip_derived') GROUP BY g.id ORDER BY 1"
        ).fetchall()
        rows = db.execute("SELECT granule_id AS id FROM footprint_master ORDER BY 1").fetchall()
        wrong = db.execute(
            "SELECT m.scene_id FROM footprint_master m JOIN granule g ON g.id = m.granule_id JOIN asset s ON s.id ="
            " m.asset_id WHERE '/css/nga/' || s.path <> m.s_filepath OR g.sensor <> m.sensor OR s.state <> 'archived'"
            " OR NOT ST_Equals(g.footprint, m.shape) OR m.catalog_id <> g.search ->> 'catalog_id' OR m.zone_id IS NULL"
        ).fetchall()
        browsed = db.execute("SELECT previewjpg FROM footprint_master WHERE previewjpg IS NOT NULL").fetchall()
        browses = db.execute("SELECT count(*) AS n FROM asset WHERE role = 'browse' AND state = 'archived'").fetchone()
    assert rows == images
    assert not wrong
    assert len(rows) > 20
    assert browses and bool(browsed) == bool(browses["n"])
    assert all(row["previewjpg"].lower().endswith((".jpg", ".jpeg")) for row in browsed)


def content(settings: Settings) -> list[dict[str, Any]]:
    """All footprints but what tells when and in which order they were written."""
    with looking(settings) as db:
        rows = db.execute(
            "SELECT x.*, g.key, k.key AS keeper, s.path FROM footprint_all x JOIN granule g ON g.id = x.granule_id"
            " LEFT JOIN granule k ON k.id = x.keeper_id LEFT JOIN asset s ON s.id = x.asset_id"
        ).fetchall()
    ours = ("fpuid", "granule_id", "asset_id", "keeper_id", "added_date", "moved_at")
    return sorted(({k: v for k, v in row.items() if k not in ours} for row in rows), key=str)


@pytest.mark.req("W10")
def test_workers_and_batches_change_no_row(clone: Clone) -> None:
    found = []
    for workers in (1, 2, 8):
        site = clone(f"f{workers}")
        deliver(site, "nga", 60, 7, "all")
        check(ingest(site, "nga", Selection(workers=workers)))
        found.append(content(site))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) > 20


@pytest.mark.req("N9")
def test_making_all_rows_anew_changes_nothing_and_brings_back_what_was_lost_or_altered(settings: Settings) -> None:
    deliver(settings, "nga", 40, faults="all")
    check(ingest(settings, "nga"))
    before = content(settings)
    with open_site(actor="test", settings=settings) as site, looking(settings) as db:
        assert refresh_all(site) == 0
        numbers = db.execute("SELECT fpuid, granule_id FROM footprint_master ORDER BY 1").fetchall()
        db.execute("UPDATE footprint_master SET country = 'nowhere', cloudcover = 0.99, shape = NULL")
        assert refresh_all(site) == len(numbers)
        assert db.execute("SELECT fpuid, granule_id FROM footprint_master ORDER BY 1").fetchall() == numbers
        assert content(settings) == before
        db.execute("DELETE FROM footprint_master")
        assert refresh_all(site) == len(numbers)
        assert content(settings) == before
        assert refresh_all(site, Parameters(linux_root="/explore/")) == len(before)
        (row,) = db.execute("SELECT s_filepath FROM footprint_master LIMIT 1").fetchall()
    assert row["s_filepath"].startswith("/explore/nga/")


def test_an_evaluated_row_that_changes_is_unvalidated_again(archive: Archive) -> None:
    number = archive.strip()
    archive.sql("UPDATE footprint_master SET status = 'validated'")
    assert archive.refresh(number) == 0
    assert archive.master()[0]["status"] == "validated"
    archive.sql("UPDATE granule SET search = search || '{\"cloudcover\": 0.5}' WHERE id = %s", number)
    assert archive.refresh(number) == 1
    assert [archive.master()[0][name] for name in ("status", "cloudcover")] == ["unvalidated", 0.5]


@pytest.mark.req("N9")
def test_of_two_versions_the_newer_is_preferred_and_the_older_comes_back_when_it_leaves(archive: Archive) -> None:
    old = archive.strip("a.ntf", key="strip/a")
    fpuid = archive.master()[0]["fpuid"]
    new = archive.strip("b.ntf", replace(IMAGE, created=datetime(2021, 1, 1, tzinfo=UTC)), key="strip/a")
    assert (archive.preferred(), archive.aside()) == ([new], [(old, new, "superseded")])
    archive.leave(new, "removed", "deleting")
    assert (archive.preferred(), archive.aside()) == ([old], [(new, old, "removed")])
    archive.leave(new, "expired")
    assert archive.aside() == [(new, old, "expired")]
    assert archive.master()[0]["fpuid"] == fpuid
    archive.leave(new, None)
    assert (archive.preferred(), archive.aside()) == ([new], [(old, new, "superseded")])


@pytest.mark.req("N9", "N6")
def test_a_choice_between_two_orders_stands_as_long_as_its_keeper_is_held(archive: Archive) -> None:
    keeper, loser = archive.strip("a.ntf", key="strip/a"), archive.strip("b.ntf", key="strip/b")
    archive.put_aside(loser, keeper)
    assert archive.refresh(keeper, loser) == 0
    archive.sql("UPDATE granule SET search = search || '{\"cloudcover\": 0.5}' WHERE id = %s", loser)
    assert archive.refresh(loser) == 1
    assert (archive.preferred(), archive.aside()) == ([keeper], [(loser, keeper, "re-order")])
    archive.leave(loser, "removed")
    assert (archive.preferred(), archive.aside()) == ([keeper], [(loser, keeper, "re-order")])
    archive.leave(loser, None)
    assert archive.aside() == [(loser, keeper, "re-order")]
    archive.leave(keeper, "removed")
    assert (archive.preferred(), archive.aside()) == ([loser], [(keeper, None, "removed")])


def test_a_bulk_load_that_has_no_statistics_yet_takes_no_time_that_grows_with_its_square(archive: Archive) -> None:
    """The planner, left alone, compares all with all: two thousand took a minute, twenty thousand would take hours."""
    template = archive.strip()
    archive.sql(
        "INSERT INTO granule (source, product, key, state, sensor, sensing, footprint, search)"
        " SELECT source, product, key || n, 'archived', sensor, sensing,"
        "        ST_Translate(footprint, n %% 50 * 0.3, n / 50 * 0.2 - 10), search"
        " FROM granule, generate_series(1, 4000) AS n WHERE id = %s",
        template,
    )
    archive.sql(
        "INSERT INTO asset (path, role, state, kind, size, digest) SELECT id::text, 'data', 'archived', 'nitf', 1, ''"
        " FROM granule WHERE id > %s",
        template,
    )
    archive.sql("INSERT INTO granule_asset SELECT path::bigint, id FROM asset WHERE path ~ '^[0-9]+$'")
    began = time.monotonic()
    with open_site(actor="test", settings=archive.settings) as site:
        assert refresh_all(site) == 4000
    assert time.monotonic() - began < 40


@pytest.mark.req("N12", "N13")
def test_the_command_loads_boundaries_and_makes_rows_anew(
    archive: Archive, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.strip()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["mfp", "boundaries", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"countries": 177, "zones": 122, "changed": 0}
    monkeypatch.setenv("ORBITORY_MFP_LINUX_ROOT", "/explore/")
    assert main(["mfp", "rows", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"changed": 1}
    assert archive.master()[0]["s_filepath"] == f"/explore/nga/{SCENE}.ntf"
    monkeypatch.setenv("ORBITORY_MFP_LINUX_ROOT", "explore")
    assert main(["mfp", "rows"]) == 2
    assert "linux_root is 'explore'" in capsys.readouterr().err
    assert main(["mfp", "boundaries", "--zones", "/nowhere"]) == 2


def test_a_row_in_both_tables_is_healed(archive: Archive) -> None:
    number = archive.strip()
    archive.sql("INSERT INTO footprint_archive SELECT m.*, NULL, 'superseded' FROM footprint_master m")
    assert archive.refresh(number) == 1
    assert (archive.preferred(), archive.aside()) == ([number], [])


def test_an_image_that_was_never_held_gets_no_row(archive: Archive) -> None:
    number = archive.strip()
    archive.sql("DELETE FROM footprint_master")
    archive.leave(number, "withdrawn")
    assert (archive.preferred(), archive.aside()) == ([], [])


def test_policy_replace_moves_the_old_row_aside(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    for file in (CHECKOUT / "include" / "catalogue").rglob("*.toml"):
        target = folder / file.relative_to(CHECKOUT / "include" / "catalogue")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.read_text().replace('duplicates = "version"', 'duplicates = "replace"'))
    replacing = replace(settings, catalogue=folder)
    deliver(replacing, "nga", 70, faults="all")
    check(ingest(replacing, "nga"))
    with looking(settings) as db:
        aside = db.execute(
            "SELECT a.reason, g.state, k.state AS keeper FROM footprint_archive a JOIN granule g ON g.id = a.granule_id"
            " LEFT JOIN granule k ON k.id = a.keeper_id"
        ).fetchall()
    assert aside
    assert all(row == {"reason": "replaced", "state": "deleted", "keeper": "archived"} for row in aside)


def test_what_is_registered_in_place_is_shown_where_it_stands(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "css" / "nga"
    simulate(load(settings.catalogue), "nga", 12, 3, None, folder)
    register(settings, "nga", folder)
    with looking(settings) as db:
        rows = db.execute("SELECT s_filepath, s_filename FROM footprint_master").fetchall()
    assert rows
    for row in rows:
        assert Path(row["s_filepath"]).is_file() and row["s_filepath"].startswith(f"{folder}/")
        assert Path(row["s_filepath"]).name == row["s_filename"]


# ------------------------------------------------------------------------------------------------------- spatial join


def square(west: float, south: float, east: float, north: float, **properties: Any) -> dict[str, Any]:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def geojson(folder: Path, name: str, *features: dict[str, Any]) -> Path:
    file = folder / name
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return file


@pytest.mark.req("N13")
@pytest.mark.parametrize(
    ("footprint", "radius_km", "country", "zone"),
    [
        (box(94.24, 19.33), 100, "Myanmar", 32646),
        (box(2.0, 48.0), 100, "France", 32631),  # its code is -99, as are those of four others
        (box(10.0, 61.0), 100, "Norway", 32632),
        (box(5.9, 60.5, 0.2), 100, "Norway", 32631),  # two equal halves: the first by number
        (box(5.95, 60.5, 0.2), 100, "Norway", 32632),
        (box(10.0, -0.15), 100, "Gabon", 32732),  # three quarters south of the equator
        (box(-33.0, 30.0), 100, None, 32625),  # amid the ocean
        (box(3.0, 53.2), 10, None, 32631),  # the North Sea: nothing within 10 km
        (box(2.4, 53.2), 200, "United Kingdom", 32631),
        (box(3.9, 53.2), 200, "Netherlands", 32631),
        # Fiji and Chukotka lie on both sides of 180 degrees
        ("MULTIPOLYGON(((179.9 -16.6,180 -16.6,180 -16.4,179.9 -16.4,179.9 -16.6)),"
         "((-180 -16.6,-179.95 -16.6,-179.95 -16.4,-180 -16.4,-180 -16.6)))", 100, "Fiji", 32760),
        ("MULTIPOLYGON(((179.95 66,180 66,180 66.2,179.95 66.2,179.95 66)),"
         "((-180 66,-179.9 66,-179.9 66.2,-180 66.2,-180 66)))", 100, "Russia", 32601),
        # the nearest land is on the other side of 180 degrees
        (box(-178.9, -16.6, 0.1), 300, "Fiji", 32701),
        (box(0.0, 89.0, 20, 0.5), 100, None, 32661),
        (box(0.0, -89.0, 20, 0.5), 100, "Antarctica", 32761),
        (box(20.0, 83.9, 1, 0.3), 0, None, 32661),
    ],
)  # fmt: skip
def test_the_largest_overlap_wins_else_the_nearest_within_the_radius(
    archive: Archive, footprint: str, radius_km: float, country: str | None, zone: int
) -> None:
    number = archive.strip(granule=replace(IMAGE, footprint=footprint))
    archive.refresh(number, search_radius_km=radius_km)
    (row,) = archive.master()
    assert (row["country"], row["zone_id"]) == (country, zone)


@pytest.mark.req("N13")
@pytest.mark.parametrize(
    ("west", "width", "winner"), [(9.82, 0.2, "west"), (9.88, 0.2, "west"), (9.9, 0.2, "east"), (9.95, 0.2, "east")]
)
def test_at_a_border_the_country_with_more_of_it_wins_and_the_first_of_equals(
    archive: Archive, tmp_path: Path, west: float, width: float, winner: str
) -> None:
    file = geojson(tmp_path, "two.json", square(0, 0, 10, 9, name="west"), square(10, 0, 20, 9, name="east"))
    archive.strip(granule=replace(IMAGE, footprint=box(west, 4, width)))
    load_boundaries(archive.settings, countries=file)
    assert archive.master()[0]["country"] == winner


def load_boundaries(settings: Settings, **files: Path) -> dict[str, Any]:
    with open_site(actor="test", settings=settings) as site:
        counts = load_places(site, countries=files.get("countries"), zones=files.get("zones"))
        return {**counts, "changed": refresh_all(site)}


@pytest.mark.req("N12", "N13")
def test_boundaries_are_replaced_by_files_and_come_back_without(archive: Archive, tmp_path: Path) -> None:
    archive.strip()
    countries = geojson(
        tmp_path,
        "countries.json",
        square(90, 15, 94.3, 25, NAME="Two parts", ISO_A3="-99"),
        square(94.3, 15, 100, 25, NAME="Two parts", ISO_A3="-99"),
        square(0, 0, 1, 1, NAME="Elsewhere", ISO_A3="-99"),
    )
    zones = geojson(tmp_path, "zones.json", square(90, 15, 100, 25, zone_id=3, name="third"))
    assert load_boundaries(archive.settings, countries=countries, zones=zones) == {
        **{"countries": 2, "zones": 1, "changed": 1}
    }
    assert [(row["country"], row["zone_id"]) for row in archive.master()] == [("Two parts", 3)]
    assert load_boundaries(archive.settings) == {"countries": 177, "zones": 122, "changed": 1}
    assert [(row["country"], row["zone_id"]) for row in archive.master()] == [("Myanmar", 32646)]


def test_the_zones_that_ship_cover_the_earth_once(archive: Archive) -> None:
    archive.strip()
    (row,) = archive.rows(
        "SELECT sum(ST_Area(boundary)) AS degrees, ST_Area(ST_Union(boundary)) AS covered, count(*) AS n FROM data_zone"
    )
    assert (row["degrees"], row["covered"], row["n"]) == (pytest.approx(360 * 180), pytest.approx(360 * 180), 122)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonsense", "is no GeoJSON"),
        ("[]", "is no GeoJSON of features"),
        ('{"features": []}', "is no GeoJSON of features"),
        ('{"features": [{"properties": {"name": "a"}, "geometry": null}]}', "feature 1.*geometry|expected a polygon"),
        ('{"features": [{"geometry": {"type": "Point", "coordinates": [1, 2]}}]}', "expected a polygon, got Point"),
        (json.dumps({"features": [square(0, 0, 1, 1)]}), "feature 1 has no name"),
        (json.dumps({"features": [square(0, 0, 1, 1, name="a\x1bb")]}), "feature 1 has no name"),
        (json.dumps({"features": [square(400_000, 0, 500_000, 1, name="a")]}), "expected longitude and latitude"),
        (json.dumps({"features": [square(170, 0, 190, 1, name="a")]}), "cut at 180"),
    ],
)
def test_boundaries_that_cannot_be_used_are_refused_and_nothing_changes(
    archive: Archive, tmp_path: Path, text: str, expected: str
) -> None:
    archive.strip()
    before = archive.master()
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=expected):
        load_boundaries(archive.settings, countries=file)
    assert archive.master() == before


# ------------------------------------------------------------------------------------------------------- stereo pairs


def seen(archive: Archive, scenes: Sequence[tuple[str, Granule]]) -> list[tuple[Any, Any]]:
    for key, granule in scenes:
        archive.strip(f"{key}.ntf", granule, key=key)
    return [(row["stereopair"], row["pairname"]) for row in archive.master()]


def partner(seconds: float, west: float = 94.24, **changes: Any) -> Granule:
    told = facts(**{"catalog_id": "102001003C718E00", **changes})
    return replace(IMAGE, start=TAKEN - timedelta(seconds=seconds), footprint=box(west, 19.33), search=told)


@pytest.mark.parametrize("turned", [False, True])
def test_stereo_partners_are_told_by_each_other_whichever_came_first(archive: Archive, turned: bool) -> None:
    scenes = [("a", IMAGE), ("b", partner(70))]
    found = seen(archive, scenes[::-1] if turned else scenes)
    name = "WV01_20150410_102001003C718E00_102001003A7E9A00"
    assert sorted(found) == [("102001003A7E9A00", name), ("102001003C718E00", name)]


@pytest.mark.parametrize(
    "other",
    [
        partner(70, 94.42),  # shows less than a tenth
        partner(3600),  # another pass
        partner(70, catalog_id="102001003A7E9A00"),  # the same strip, by another order
        partner(0, spec_type="SWIR", catalog_id="104A010003A7E9A0"),  # other bands
        replace(partner(70), sensor="WV02"),
        replace(partner(70), end=TAKEN + timedelta(hours=20)),  # its time is not known
    ],
)
def test_what_is_no_stereo_partner(archive: Archive, other: Granule) -> None:
    assert seen(archive, [("a", IMAGE), ("b", other)]) == [(None, None)] * 2


def test_a_partner_that_leaves_is_forgotten_and_the_next_best_taken(archive: Archive) -> None:
    seen(archive, [("a", IMAGE), ("b", partner(70, 94.3, catalog_id="102001000000000B")), ("c", partner(60))])
    assert archive.master()[0]["stereopair"] == "102001003C718E00"
    first, second, third = archive.preferred()
    archive.leave(third, "removed")
    assert archive.master()[0]["pairname"] == "WV01_20150410_102001000000000B_102001003A7E9A00"
    archive.leave(second, "removed")
    assert (archive.preferred(), archive.master()[0]["stereopair"]) == ([first], None)
    assert archive.master()[0]["pairname"] is None
