"""Reports of evaluations: the page, the lists and the files for GIS say what was found, and a browser shows it."""

from __future__ import annotations

import csv
import ctypes
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from playwright.sync_api import Page, expect, sync_playwright

from footprints import Strips, evaluate
from orbitory import cli
from orbitory.errors import ConfigurationError, NotReady, Transient
from orbitory.mfp.coverage import Area
from orbitory.mfp.evaluate import Request, begin, finish, work
from orbitory.mfp.report import FILES, GIS, PAGE, Report, write_report

HOSTILE = "</script><script>alert(1)</script>\u202e=cmd|'/c calc'!A0"
PICTURES = Path(__file__).resolve().parents[2] / "docs" / "screenshots"


def harm(archive: Strips) -> None:
    """Errors, warnings, footprints that are none or not split, a hostile text, an image delivered twice."""
    archive.again(1, "999999999999_01")
    archive.sql("UPDATE footprint_master SET shape = ST_Translate(shape, 0.1, 0) WHERE fpuid % 20 = 7")
    archive.sql("UPDATE footprint_master SET country = %(text)s WHERE fpuid %% 25 = 3", text=HOSTILE)
    archive.sql("UPDATE footprint_master SET shape = NULL WHERE granule_id = 44")
    archive.sql(
        "UPDATE footprint_master SET shape = ST_Multi(ST_MakeEnvelope(170, 60, 190, 70, 4326)) WHERE granule_id = 33"
    )
    archive.sql(
        "UPDATE footprint_master SET shape = ST_GeomFromText('MULTIPOLYGON(((0 0,1 1,1 0,0 1,0 0)))', 4326)"
        " WHERE granule_id = 35"
    )
    archive.sql("UPDATE footprint_master SET shape = 'SRID=4326;MULTIPOLYGON EMPTY' WHERE granule_id = 36")


def findings(archive: Strips, run: int) -> list[dict[str, Any]]:
    return archive.sql("SELECT * FROM mfp_finding WHERE run_id = %(run)s", run=run)


@pytest.mark.req("N9")
def test_lists_hold_every_finding_and_figure_and_a_spreadsheet_runs_none_of_them(archive: Strips) -> None:
    archive.make(100)
    harm(archive)
    run = evaluate(archive).run
    report = write_report(archive.site)
    assert report.folder == archive.site.settings.reports / "mfp" / str(run)
    assert set(report.files) == {PAGE, *FILES} == {path.name for path in report.folder.iterdir()}
    with (report.folder / "findings.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    found = findings(archive, run)
    assert sorted((row["code"], row["key"]) for row in rows) == sorted((row["code"], row["key"]) for row in found)
    assert [row["level"] for row in rows] == sorted((row["level"] for row in rows), key=["error", "warning"].index)
    assert not [cell for row in rows for cell in row.values() if re.match(r"\s*[=@]|[+-](?!\d)", cell)]
    placed = [row for row in rows if row["latitude"]]
    assert placed and all(-90 <= float(row["latitude"]) <= 90 for row in placed)
    with (report.folder / "coverage.csv").open(encoding="utf-8-sig", newline="") as file:
        (line,) = csv.DictReader(file)
    assert (line["sensor"], line["year"], int(line["rows"])) == ("WV02", "2010", 100)


@pytest.mark.fault("F38", how="markup and scripts in metadata, to a report")
@pytest.mark.req("N9")
def test_the_page_escapes_foreign_text_loads_nothing_and_lets_only_its_own_script_act(archive: Strips) -> None:
    archive.make(100)
    harm(archive)
    evaluate(archive)
    page = write_report(archive.site).page.read_text()
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page and "\u202e" not in page
    assert page.count("<script>") == 1
    assert set(re.findall(r"(?:src|href)=([^ >]*)", page)) == {
        f'"{name}"' for name in (*FILES, "data:,", "#findings-title")
    }
    assert "default-src 'none'" in page and "unsafe-inline" not in page


@pytest.mark.req("N9")
def test_what_changed_since_the_last_evaluation_is_told_sensor_by_sensor(archive: Strips) -> None:
    archive.make(50)
    archive.sql("UPDATE footprint_master SET country = 'Atlantis' WHERE granule_id IN (1, 2)")
    first = evaluate(archive)
    page = write_report(archive.site).page.read_text()
    assert "This is the first evaluation of these sensors" in page
    archive.make(50, sensor="WV03", prefix="104", first=5000)  # which places all of them rightly again
    archive.sql("UPDATE footprint_master SET country = 'Atlantis' WHERE granule_id IN (2, 3, 60)")
    second = evaluate(archive)
    only = evaluate(archive, sensors=("WV03",))
    third = evaluate(archive)
    page = write_report(archive.site, second.run).page.read_text()
    assert f"Compared with evaluation {first.run} " in page and "It did not look at WV03" in page
    assert numbers(page, "codes") == [["2", "3", "1", "1"]]
    page = write_report(archive.site, third.run).page.read_text()
    assert f"Compared with evaluation {second.run} " in page, f"not with {only.run}, which looked at less"
    assert numbers(page, "codes") == [["3", "3", "0", "0"]]


def numbers(page: str, table: str) -> list[list[str]]:
    """Figures of each row of a table of the page."""
    body = page.split(f'<table id="{table}">')[1].split("<tbody>")[1].split("</tbody>")[0]
    return [re.findall(r'data-value="([^"]*)"', row) for row in body.split("</tr>")[:-1]]


@pytest.mark.req("N9")
def test_a_report_of_a_sound_archive_says_so_and_tells_its_coverage(archive: Strips) -> None:
    archive.make(50)
    outcome = evaluate(archive, area=Area(west=-180, south=-90, east=180, north=90))
    page = write_report(archive.site).page.read_text()
    assert "no errors" in page and "Nothing was found" in page
    assert f"{outcome.coverage['sensors']['WV02']['union_km2']:,.0f}" in page
    assert "Share of the area of interest (-180, -90, 180, 90)" in page


@pytest.mark.req("N9")
def test_a_sensor_that_was_not_evaluated_to_its_end_is_no_success(archive: Strips) -> None:
    archive.make(5)
    archive.make(5, sensor="WV03", prefix="104", first=5000)
    done, left = begin(archive.site, Request())
    work(archive.site, done.run, done.sensor)
    assert finish(archive.site, done.run).failed
    page = write_report(archive.site).page.read_text()
    assert "not all sensors were evaluated" in page and left.sensor in page


class Ogr:
    """GDAL's reader of vectors, as QGIS uses it: from the library that rasterio brings."""

    def __init__(self, path: Path) -> None:
        with rasterio.Env():  # so that it finds its data
            (library,) = (Path(rasterio.__file__).parents[1] / "rasterio.libs").glob("libgdal*")
            self.gdal = ctypes.CDLL(str(library))
            for name in ("GDALOpenEx", "GDALDatasetGetLayerByName", "OGR_L_GetNextFeature", "OGR_F_GetGeometryRef"):
                getattr(self.gdal, name).restype = ctypes.c_void_p
            self.gdal.GDALAllRegister()
            self.data = ctypes.c_void_p(self.gdal.GDALOpenEx(os.fsencode(path), 0x04 | 0x40, None, None, None))
        assert self.data, f"GDAL does not open {path}"

    def count(self, layer: str, box: tuple[float, float, float, float] | None = None) -> int:
        handle = ctypes.c_void_p(self.gdal.GDALDatasetGetLayerByName(self.data, layer.encode()))
        assert handle, f"there is no layer {layer}"
        self.gdal.OGR_L_SetSpatialFilter(handle, None)
        if box:
            self.gdal.OGR_L_SetSpatialFilterRect(handle, *map(ctypes.c_double, box))
        self.gdal.OGR_L_GetFeatureCount.restype = ctypes.c_longlong
        return int(self.gdal.OGR_L_GetFeatureCount(handle, 1))

    def close(self) -> None:
        self.gdal.GDALClose(self.data)


@pytest.mark.req("N9")
def test_the_geopackage_holds_all_footprints_and_findings_and_gdal_finds_them_by_place(archive: Strips) -> None:
    archive.make(100)
    harm(archive)
    run = evaluate(archive).run
    path = write_report(archive.site).folder / "footprints.gpkg"
    (one,) = archive.sql("SELECT ST_XMin(shape) AS w, ST_YMin(shape) AS s FROM footprint_master WHERE granule_id = 50")
    found = findings(archive, run)
    ogr = Ogr(path)
    assert ogr.count("footprints") == 101
    near = (one["w"], one["s"], one["w"] + 0.01, one["s"] + 0.01)
    assert 1 <= ogr.count("footprints", near) <= 3
    assert ogr.count("findings") == len(found)
    ogr.close()
    with sqlite3.connect(path) as package:
        assert package.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert package.execute("PRAGMA foreign_key_check").fetchall() == []
        assert [package.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")] == [
            0x47504B47,
            10400,
        ]
        columns = "geom, scene_id, acq_time, preferred, p_filepath"
        row = package.execute(f"SELECT {columns} FROM footprints WHERE granule_id = 50").fetchone()
        reordered = "preferred = 0 AND reason = 're-order'"
        aside = package.execute(f"SELECT count(*) FROM footprints WHERE {reordered}").fetchone()
        without = package.execute("SELECT count(*) FROM footprints WHERE geom IS NULL").fetchone()
        triggers = package.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").fetchone()
    package.close()
    (known,) = archive.sql("SELECT ST_AsBinary(shape) AS wkb, * FROM footprint_master WHERE granule_id = 50")
    assert row[0][:4] == b"GP\0\x03" and row[0][40:] == known["wkb"]
    assert row[1:] == (known["scene_id"], f"{known['acq_time']:%Y-%m-%dT%H:%M:%S}.000Z", 1, known["p_filepath"])
    assert (aside, without, triggers) == ((1,), (1,), (14,))


@pytest.mark.req("N9")
def test_geoparquet_has_every_column_with_its_type_and_tells_where_its_rows_are(archive: Strips) -> None:
    archive.make(100)
    harm(archive)
    run = evaluate(archive).run
    folder = write_report(archive.site).folder
    table = pq.read_table(folder / "footprints.parquet")
    names = [
        row["name"]
        for row in archive.sql(
            "SELECT attname AS name FROM pg_attribute WHERE attrelid = 'footprint_all'::regclass ORDER BY attnum"
        )
    ]
    assert table.column_names == [*(name for name in names if name != "shape"), "geometry", "bbox"]
    some = ("acq_time", "acq_date", "rows", "cloudcover", "preferred")
    assert [str(table.schema.field(name).type) for name in some] == [
        "timestamp[us, tz=UTC]",
        "date32[day]",
        "int64",
        "double",
        "bool",
    ]
    geo = json.loads(pq.read_metadata(folder / "footprints.parquet").metadata[b"geo"])
    (column,) = geo["columns"].values()
    assert (geo["version"], geo["primary_column"], column["encoding"]) == ("1.1.0", "geometry", "WKB")
    rows = {row["granule_id"]: row for row in table.to_pylist()}
    assert len(rows) == 101 and sum(row["preferred"] for row in rows.values()) == 100
    known = archive.sql("SELECT granule_id, ST_AsBinary(shape) AS wkb, * FROM footprint_all")
    for row in known:
        assert rows[row["granule_id"]]["geometry"] == row["wkb"]
        assert rows[row["granule_id"]]["acq_time"] == row["acq_time"]
    shapes = [shapely.from_wkb(row["geometry"]) for row in rows.values() if row["geometry"]]
    assert column["bbox"] == pytest.approx(list(shapely.total_bounds(shapes)))
    assert rows[36]["bbox"] is None and rows[44]["geometry"] is None
    assert pq.read_metadata(folder / "findings.parquet").num_rows == len(findings(archive, run))


@pytest.mark.req("N9")
def test_a_repetition_replaces_the_report_and_only_the_newest_keeps_files_for_gis(
    archive: Strips, tmp_path: Path
) -> None:
    archive.make(20)
    first = evaluate(archive).run
    old = write_report(archive.site, first)
    (old.folder / f".{PAGE}.part").write_text("left by a writer that was killed")
    assert write_report(archive.site, first).files == old.files
    assert set(old.files) == {path.name for path in old.folder.iterdir()}
    evaluate(archive)
    copy = write_report(archive.site, folder=tmp_path / "copy" / "of it")
    assert (old.folder / GIS[0]).exists(), "a copy elsewhere takes nothing away"
    new = write_report(archive.site)
    assert {path.name for path in old.folder.iterdir()} == set(old.files) - set(GIS)
    assert set(new.files) == set(copy.files) == {path.name for path in copy.folder.iterdir()}


@pytest.mark.req("N9")
def test_many_findings_make_no_large_page_and_the_list_has_them_all(archive: Strips) -> None:
    archive.make(3000, files=False)
    archive.sql("UPDATE footprint_master SET country = 'Atlantis', shape = ST_Translate(shape, 0.1, 0)")
    run = evaluate(archive, sample=0).run
    report = write_report(archive.site, gis=False)
    assert set(report.files) == {PAGE, *FILES} - set(GIS)
    page = report.page.read_text()
    told = len(findings(archive, run))
    assert told > 6000 and f"of {told:,}; " in page
    assert page.count('<th scope="row" class="key">') < 1000 and report.files[PAGE] < 1_500_000
    assert len((report.folder / "findings.csv").read_text().splitlines()) == told + 1


@pytest.mark.req("N9")
def test_what_cannot_be_reported_is_refused_with_the_way_out(archive: Strips, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="no evaluation is finished yet"):
        write_report(archive.site)
    archive.make(5)
    (part,) = begin(archive.site, Request())
    with pytest.raises(NotReady, match=f"evaluation {part.run} is not finished"):
        write_report(archive.site, part.run)
    with pytest.raises(ConfigurationError, match="there is no evaluation 77: see `orbitory mfp history`"):
        write_report(archive.site, 77)
    work(archive.site, part.run, part.sensor)
    finish(archive.site, part.run)
    (tmp_path / "file").touch()
    with pytest.raises(Transient, match="could not be written to"):
        write_report(archive.site, folder=tmp_path / "file")
    assert write_report(archive.site).run == part.run, "the lock was given back"


def test_the_command_writes_the_newest_report_or_the_one_asked_for(
    archive: Strips, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    archive.make(5)
    first, second = evaluate(archive).run, evaluate(archive).run
    monkeypatch.setenv("ORBITORY_DATABASE", archive.site.settings.database)
    monkeypatch.setenv("ORBITORY_ROOT", str(archive.site.settings.reports.parent))
    assert cli.main(["mfp", "report", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["run"] == second and Path(told["page"]).is_file() and set(told["files"]) == {PAGE, *FILES}
    out = tmp_path / "out"
    assert cli.main(["mfp", "report", str(first), "--out", str(out), "--no-gis"]) == 0
    assert f"evaluation {first}: {out}/{PAGE}" in capsys.readouterr().out
    assert cli.main(["mfp", "report", "99"]) == 2
    assert "there is no evaluation 99" in capsys.readouterr().err


@pytest.fixture
def reported(archive: Strips) -> Report:
    """Findings of all kinds near and far, with a history."""
    archive.make(2100, files=False)
    archive.make(200, sensor="WV03", prefix="104", first=5000, files=False)
    archive.again(1, "999999999999_01")
    evaluate(archive, sample=0)
    archive.sql("UPDATE footprint_master SET country = 'Atlantis' WHERE fpuid % 120 = 0")
    evaluate(archive, sample=0)
    archive.sql("UPDATE footprint_master SET shape = ST_Translate(shape, 0.1, 0) WHERE fpuid % 97 = 0")
    archive.sql("UPDATE footprint_master SET sun_elev = -999 WHERE fpuid % 211 = 0")
    archive.sql("UPDATE footprint_master SET shape = NULL WHERE granule_id = 44")
    archive.sql(
        "UPDATE footprint_master SET shape = ST_Multi(ST_MakeEnvelope(170, 60, 190, 70, 4326)) WHERE granule_id = 33"
    )
    evaluate(archive, sample=0)
    return write_report(archive.site, gis=False)


@pytest.fixture
def browser_page(reported: Report) -> Iterator[tuple[Page, list[str]]]:
    """The page in a real browser, and everything it complained of or asked for."""
    noise: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000}, locale="en-GB", timezone_id="UTC")
        page.on("console", lambda message: noise.append(message.text))
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.on("request", lambda request: noise.append(request.url))
        page.goto(reported.page.as_uri())
        yield page, noise
        browser.close()


@pytest.mark.browser
@pytest.mark.req("N9")
def test_in_a_browser_the_page_asks_for_nothing_and_its_map_and_tables_work(
    browser_page: tuple[Page, list[str]], reported: Report, tmp_path: Path
) -> None:
    page, noise = browser_page
    world = page.locator(".world svg")
    assert world.locator("path.land").get_attribute("d") and world.locator("path.cell").count() > 0
    assert world.locator("path.outline").count() >= 2 and world.locator(".mark.l-error").count() > 10
    expect(world.locator(".mark text").first).to_have_text(re.compile(r"E\d\d"))
    assert page.locator("figure svg.map").count() == 3
    for lack in ("table:not(:has(caption))", "th:not([scope])", "svg:not([aria-hidden]):not(:has(title))"):
        assert page.locator(lack).count() == 0, lack
    codes = page.locator("#findings tbody tr td:first-child")
    first = codes.all_text_contents()
    heading = page.get_by_role("button", name="Latitude")
    heading.focus()
    page.keyboard.press("Enter")
    latitudes = page.locator("#findings tbody tr td:nth-child(7)")
    values = [float(cell.get_attribute("data-value") or "nan") for cell in latitudes.all()]
    assert values == sorted(values) and len(values) == len(first)
    expect(page.locator("#findings th").nth(6)).to_have_attribute("aria-sort", "ascending")
    heading.click()
    values = [float(cell.get_attribute("data-value") or "nan") for cell in latitudes.all()]
    assert values == sorted(values, reverse=True)
    expect(page.get_by_role("status")).to_have_text("Sorted by Latitude, descending.")

    page.get_by_label("Narrow").fill("e06 wv03")
    shown = page.locator("#findings tbody tr:visible")
    assert 0 < shown.count() < len(first)
    assert all("E06" in text and "WV03" in text for text in shown.all_text_contents())
    page.get_by_label("Narrow").fill("")

    whole = world.get_attribute("viewBox") or ""
    page.get_by_role("button", name="Nearer").click()
    nearer = world.get_attribute("viewBox") or ""
    assert float(nearer.split()[2]) == float(whole.split()[2]) / 2
    world.focus()
    page.keyboard.press("ArrowRight")
    assert float((world.get_attribute("viewBox") or "").split()[0]) > float(nearer.split()[0])
    page.get_by_role("button", name="Whole Earth").click()
    expect(world).to_have_attribute("viewBox", whole)
    page.get_by_label("footprints by cell").uncheck()
    assert world.locator("path.cell:visible").count() == 0
    page.get_by_label("footprints by cell").check()
    assert [text for text in noise if text != reported.page.as_uri()] == []
    picture(page, tmp_path)


def picture(page: Page, tmp_path: Path) -> None:
    """Keep what is missing in the documentation: the report and its map, by day and by night."""
    for theme, name in (("light", "mfp-report.png"), ("dark", "mfp-report-map.png")):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        page.evaluate("scroll(0, 0)" if theme == "light" else "document.getElementById('map-title').scrollIntoView()")
        file = tmp_path / name
        page.screenshot(path=file)
        assert file.stat().st_size > 20_000, "an empty page"
        if not (PICTURES / name).exists() or os.environ.get("ORBITORY_SCREENSHOTS"):
            shutil.copyfile(file, PICTURES / name)
