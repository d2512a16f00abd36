"""Whole strips through the isolated child: one granule for each image, and a bad unit costs only itself."""

from __future__ import annotations

import json
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shapely

from corpus import CORPUS, manifest, needs_corpus
from extraction import codes, extracted, fate, generic_task
from orbitory.extract import ExtractTask, NotReady
from orbitory.model import GranuleFacts
from orbitory.workers import ExtractResult, _Died, _validated
from orbitory.zones import stat_of
from strip_samples import BOUNDS, GEOEYE, SCENE, TILED, VENDOR, image, imd, rpb, tar, unit, xml

NGA = "24AUG14WV030000014AUG24082814-P1BS-504548417070_01_P001_________AAE_0AAAAABPABJ0"


def of(result: ExtractResult) -> tuple[GranuleFacts, ...]:
    assert result.extraction is not None, result.error
    return result.extraction.granules


def sole(task: ExtractTask, folder: Path) -> ExtractResult:
    (result,) = extracted(folder, [task])
    return result


def header(result: ExtractResult) -> dict[str, Any]:
    assert result.extraction is not None
    found: dict[str, Any] = json.loads(zlib.decompress(result.extraction.header))
    return found


def bounds(granule: GranuleFacts) -> tuple[float, ...]:
    return tuple(shapely.from_wkb(granule.footprint).bounds)


# --- what comes out


@pytest.mark.req("N3")
@pytest.mark.parametrize("checksummed", [False, True])
@pytest.mark.parametrize(
    ("main", "beside"),
    [
        (f"{SCENE}.ntf", {f"{SCENE}.xml": xml()}),
        (f"{SCENE}.tif", {f"{SCENE}.imd": imd(), f"{SCENE}.rpb": rpb()}),
        (f"{NGA}.NTF", {f"{NGA}.tar": b""}),
    ],
)
def test_an_image_is_a_granule_by_its_name_and_its_metadata(
    tmp_path: Path, main: str, beside: dict[str, bytes], checksummed: bool
) -> None:
    image(tmp_path / main)
    for name, content in beside.items():
        (tmp_path / name).write_bytes(content)
        if name.endswith("tar"):
            inside = {f"DVD_VOL_1/{VENDOR}.XML": xml(), f"DVD_VOL_1/{VENDOR}-BROWSE.JPG": b"\xff\xd8\xff\xd9"}
            tar(tmp_path / name, inside)
    result = sole(unit(tmp_path, main, *beside, checksummed=checksummed), tmp_path)
    (granule,) = of(result)
    assert codes(result) == set()
    assert (granule.product, granule.sensor, granule.key, granule.file) == ("P1BS", "WV03", f"strip/{VENDOR}", 0)
    assert str(granule.sensing_start) == "2014-08-24 08:28:14.872450+00:00"
    assert granule.sensing_end == granule.sensing_start
    assert str(granule.created) == "2020-08-12 12:25:32+00:00"
    assert bounds(granule) == pytest.approx(BOUNDS, abs=0.005)
    assert granule.area_km2 == pytest.approx(379, rel=0.05)
    told = granule.search
    assert told["image"] == "WV03/10400100012AD900/20140824082814/P1BS//P001"
    assert told["strip_id"] == "WV03_10400100012AD900_P1BS_504548417070_01"
    assert (told["cloudcover"], told["sun_elev"], told["columns"], told["rows"]) == (0.05, 56.0, 64, 64)
    assert (told["ref_height"], told["spec_type"]) == (95.0, "Panchromatic")
    assert (told["cent_long"], told["cent_lat"]) == pytest.approx((33.0, 40.0), abs=0.001)
    assert any("IMD" in group or "NUMROWS" in group for group in header(result).values())


@pytest.mark.parametrize("ending", [".ntf", ".tif"])
def test_the_facts_are_the_same_whether_pixels_were_read_or_vouched_for(tmp_path: Path, ending: str) -> None:
    image(tmp_path / f"{SCENE}{ending}", bands=3)
    (tmp_path / f"{SCENE}.imd").write_bytes(imd(None))
    tasks = [unit(tmp_path, f"{SCENE}{ending}", f"{SCENE}.imd", checksummed=vouched) for vouched in (False, True)]
    read, vouched = extracted(tmp_path, tasks)
    assert of(read) == of(vouched)
    assert codes(read) == codes(vouched)


@pytest.mark.req("N4")
def test_metadata_of_the_strip_serve_its_tiles_and_each_tile_is_a_granule(tmp_path: Path) -> None:
    tiles = [f"{TILED.format(tile=tile)}.ntf" for tile in ("R1C1", "R1C2")]
    image(tmp_path / tiles[0])
    image(tmp_path / tiles[1], bounds=(33.1, 39.9, 33.3, 40.1))
    (tmp_path / f"{SCENE}.xml").write_bytes(xml(rows="128"))
    result = sole(unit(tmp_path, *tiles, f"{SCENE}.xml", number=7), tmp_path)
    first, second = of(result)
    assert codes(result) == set(), "the strip has more rows than its tiles, of course"
    assert (first.file, second.file) == (0, 7001)
    assert (first.search["tile"], second.search["tile"]) == ("R1C1", "R1C2")
    assert first.key != second.key
    assert (first.search["rows"], second.search["rows"]) == (64, 64)
    assert bounds(second) == pytest.approx((33.1, 39.9, 33.3, 40.1), abs=0.005)


def test_a_tile_that_does_not_tell_its_place_lies_somewhere_in_its_strip(tmp_path: Path) -> None:
    tile = f"{TILED.format(tile='R1C1')}.ntf"
    image(tmp_path / tile, bounds=None, rpcs=None)
    (tmp_path / f"{SCENE}.xml").write_bytes(xml())
    result = sole(unit(tmp_path, tile, f"{SCENE}.xml"), tmp_path)
    assert codes(result) == {"approximate_footprint"}
    assert of(result)[0].search["footprint_source"] == "strip"


@pytest.mark.parametrize("ending", [".ntf", ".tif"])
def test_an_image_with_polynomials_alone_is_placed_by_them_and_said_to_be_approximate(
    tmp_path: Path, ending: str
) -> None:
    image(tmp_path / f"{SCENE}{ending}", bounds=None)
    (tmp_path / f"{SCENE}.imd").write_bytes(imd(None))
    result = sole(unit(tmp_path, f"{SCENE}{ending}", f"{SCENE}.imd"), tmp_path)
    assert codes(result) == {"approximate_footprint"}
    assert bounds(of(result)[0]) == pytest.approx(BOUNDS, abs=0.01)


def test_over_180_degrees_a_strip_has_two_parts(tmp_path: Path) -> None:
    image(tmp_path / f"{SCENE}.tif", bounds=None, rpcs=None)
    (tmp_path / f"{SCENE}.imd").write_bytes(imd((179.9, -0.1, -179.9, 0.1)))
    (granule,) = of(sole(unit(tmp_path, f"{SCENE}.tif", f"{SCENE}.imd"), tmp_path))
    assert len(shapely.from_wkb(granule.footprint).geoms) == 2
    assert granule.area_km2 == pytest.approx(494, rel=0.01)


def test_a_name_without_sensor_gets_it_from_the_metadata(tmp_path: Path) -> None:
    image(tmp_path / f"{VENDOR}.TIF")
    (tmp_path / f"{VENDOR}.XML").write_bytes(xml())
    task = unit(tmp_path, f"{VENDOR}.TIF", f"{VENDOR}.XML", source="maxar")
    (granule,) = of(sole(task, tmp_path))
    assert (granule.sensor, granule.platform, granule.key) == ("WV03", "WV03", f"strip/{VENDOR}")
    assert granule.search["strip_id"] == "WV03_10400100012AD900_P1BS_504548417070_01"


def test_an_xml_goes_before_an_imd_and_loose_files_before_the_tar(tmp_path: Path) -> None:
    image(tmp_path / f"{SCENE}.ntf")
    (tmp_path / f"{SCENE}.imd").write_bytes(imd(cloud="0.2"))
    (tmp_path / f"{SCENE}.xml").write_bytes(xml(cloud="0.1"))
    tar(tmp_path / f"{SCENE}.tar", {f"{VENDOR}.XML": xml(cloud="0.3")})
    beside = [f"{SCENE}.{ending}" for ending in ("tar", "imd", "xml")]
    clouds = []
    for count in (3, 2, 1):
        (granule,) = of(sole(unit(tmp_path, f"{SCENE}.ntf", *beside[:count]), tmp_path))
        clouds.append(granule.search["cloudcover"])
    assert clouds == [0.1, 0.2, 0.3]


def test_metadata_of_geoeye_are_read_in_per_cent(tmp_path: Path) -> None:
    name = "01APR12OV05010005V120401M0011531714A222000100272M_000842666___GA_E0AAAAAAJABA0"
    image(tmp_path / f"{name}.ntf")
    text = GEOEYE.replace("2009-11-09", "2012-04-01").replace('"PAN"', '"MSI"')
    (tmp_path / f"{name}.pvl").write_text(text)
    (granule,) = of(sole(unit(tmp_path, f"{name}.ntf", f"{name}.pvl"), tmp_path))
    assert (granule.sensor, granule.search["cloudcover"]) == ("GE01", 0.16)


def test_a_twin_in_another_format_is_no_granule_but_must_be_sound(tmp_path: Path) -> None:
    image(tmp_path / f"{SCENE}.ntf")
    twin = image(tmp_path / f"{SCENE}.tif")
    (tmp_path / f"{SCENE}.xml").write_bytes(xml())
    task = unit(tmp_path, f"{SCENE}.ntf", f"{SCENE}.tif", f"{SCENE}.xml")
    assert len(of(sole(task, tmp_path))) == 1
    twin.write_bytes(twin.read_bytes()[:-200])
    result = sole(task, tmp_path)
    assert fate(result) == "structure"
    assert twin.name in str(result.error), "it is told which file of the unit is bad"


def test_what_was_derived_from_a_strip_needs_no_metadata(tmp_path: Path) -> None:
    name = f"{SCENE}_u08mr3413.tif"
    image(tmp_path / name)
    (granule,) = of(sole(unit(tmp_path, name), tmp_path))
    assert granule.key == f"strip/derived/{name}"
    assert granule.product == "strip_derived", "whoever looks for images gets none made of them"
    assert granule.search["catalog_id"] == "10400100012AD900"
    assert granule.footprint is not None


def test_documents_of_an_order_are_one_granule_and_not_parsed(tmp_path: Path) -> None:
    names = ["504548417070_01_README.XML", "504548417070_01_LAYOUT.JPG"]
    (tmp_path / names[0]).write_bytes(b"<README>")
    (tmp_path / names[1]).write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (granule,) = of(sole(unit(tmp_path, *names, source="maxar"), tmp_path))
    assert (granule.product, granule.key) == ("order", "order/504548417070_01")


# --- findings


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (imd(cloud="45"), "bad_value"),
        (imd(rows="99"), "size_mismatch"),
        (imd(order="504548417099_01_P001"), "name_content_mismatch"),
        (imd(time="2014-08-24T09:28:14Z"), "name_content_mismatch"),
        (imd().replace(b"meanSunEl", b"meanSunX"), "missing_attribute"),
    ],
)
def test_doubtful_metadata_are_findings(tmp_path: Path, content: bytes, code: str) -> None:
    image(tmp_path / f"{SCENE}.ntf")
    (tmp_path / f"{SCENE}.imd").write_bytes(content)
    result = sole(unit(tmp_path, f"{SCENE}.ntf", f"{SCENE}.imd"), tmp_path)
    assert codes(result) == {code}
    assert of(result)[0].search["rows"] == 64, "the image knows its own size"


def test_a_hundred_tiles_do_not_say_the_same_a_hundred_times(tmp_path: Path) -> None:
    tiles = [f"{TILED.format(tile=f'R{row}C1')}.ntf" for row in range(1, 21)]
    source = image(tmp_path / "x.ntf").read_bytes()
    for tile in tiles:
        (tmp_path / tile).write_bytes(source)
    (tmp_path / f"{SCENE}.xml").write_bytes(xml(order="504548417099_01_P001"))
    result = sole(unit(tmp_path, *tiles, f"{SCENE}.xml"), tmp_path)
    assert len(of(result)) == 20
    assert result.extraction is not None
    reasons = [finding.reason for finding in result.extraction.findings]
    assert len(reasons) == 8
    assert reasons[-1].endswith("(and 12 more)")


# --- refused, and alone


def test_a_bad_unit_costs_only_itself(tmp_path: Path) -> None:
    good = {f"{VENDOR}.XML": xml()}
    link = tarfile.TarInfo("x.xml")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    bomb = b'<!DOCTYPE a [<!ENTITY x "xx">]><isd><IMD><A>&x;</A></IMD></isd>'
    vrt = b"<VRTDataset rasterXSize='4' rasterYSize='4'><SourceFilename>/etc/passwd</SourceFilename></VRTDataset>"
    folders: dict[str, tuple[str, bytes | None, bytes | Path]] = {
        "good": ("archived", None, tar(tmp_path / "a.tar", good)),
        "link": ("policy", None, tar(tmp_path / "b.tar", good, link)),
        "up": ("policy", None, tar(tmp_path / "c.tar", {**good, "../../x.xml": b""})),
        "bomb": ("policy", None, tar(tmp_path / "d.tar", {f"{VENDOR}.XML": bomb})),
        "cut": ("structure", None, (tmp_path / "a.tar").read_bytes()[:2000]),
        "zipped": ("type", None, b"\x1f\x8b\x08" + bytes(600)),
        "empty": ("metadata", None, tar(tmp_path / "e.tar", {"README.TXT": b"hello"})),
        "truncated": ("metadata", None, tar(tmp_path / "f.tar", {f"{VENDOR}.XML": xml()[:-100]})),
        "other": (
            "metadata",
            None,
            tar(tmp_path / "g.tar", {f"{VENDOR}.XML": xml(catalog="10400100012AD9FF", time="2014-08-25T08:28:14Z")}),
        ),
        "vrt": ("type", vrt, (tmp_path / "a.tar")),
        "half": ("structure", b"half", (tmp_path / "a.tar")),
        "again": ("archived", None, (tmp_path / "a.tar")),
    }
    landing = tmp_path / "landing"
    whole = image(tmp_path / "x.ntf").read_bytes()
    tasks = []
    for number, (name, (_, main, bundle)) in enumerate(folders.items(), 1):
        folder = landing / name
        folder.mkdir(parents=True)
        main = whole[:-500] if main == b"half" else main
        (folder / f"{SCENE}.ntf").write_bytes(main or whole)
        (folder / f"{SCENE}.tar").write_bytes(bundle.read_bytes() if isinstance(bundle, Path) else bundle)
        tasks.append(unit(folder, f"{SCENE}.ntf", f"{SCENE}.tar", number=number))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    results = extracted(landing, tasks)
    assert dict(zip(folders, map(fate, results), strict=True)) == {name: code for name, (code, _, _) in folders.items()}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before, "nothing is written or unpacked"


@pytest.mark.fault("F40", how="a VRT called .ntf as a strip")
@pytest.mark.parametrize("checksummed", [False, True])
def test_a_raster_by_another_name_reaches_no_other_driver(tmp_path: Path, checksummed: bool) -> None:
    (tmp_path / f"{SCENE}.tif").write_text("<VRTDataset rasterXSize='4' rasterYSize='4'/>")
    (tmp_path / f"{SCENE}.xml").write_bytes(xml())
    assert fate(sole(unit(tmp_path, f"{SCENE}.tif", f"{SCENE}.xml", checksummed=checksummed), tmp_path)) == "type"


@pytest.mark.parametrize("checksummed", [False, True])
@pytest.mark.parametrize("ending", [".ntf", ".tif"])
def test_an_image_that_is_cut_off_is_refused_even_if_vouched_for(
    tmp_path: Path, ending: str, checksummed: bool
) -> None:
    path = (
        image(tmp_path / f"{SCENE}{ending}", COMPRESS="DEFLATE")
        if ending == ".tif"
        else image(tmp_path / f"{SCENE}{ending}")
    )
    path.write_bytes(path.read_bytes()[:-300])
    (tmp_path / f"{SCENE}.xml").write_bytes(xml())
    assert (
        fate(sole(unit(tmp_path, f"{SCENE}{ending}", f"{SCENE}.xml", checksummed=checksummed), tmp_path)) == "structure"
    )


def test_pixels_that_cannot_be_decoded_are_refused_unless_vouched_for(tmp_path: Path) -> None:
    path = image(tmp_path / f"{SCENE}.tif", COMPRESS="DEFLATE")
    data = bytearray(path.read_bytes())
    data[-7000:-6900] = b"\xff" * 100
    path.write_bytes(data)
    (tmp_path / f"{SCENE}.xml").write_bytes(xml())
    assert fate(sole(unit(tmp_path, f"{SCENE}.tif", f"{SCENE}.xml"), tmp_path)) == "structure"
    assert fate(sole(unit(tmp_path, f"{SCENE}.tif", f"{SCENE}.xml", checksummed=True), tmp_path)) == "archived"


@pytest.mark.fault("F31", how="an image without its metadata")
def test_an_image_without_metadata_is_refused(tmp_path: Path) -> None:
    image(tmp_path / f"{SCENE}.ntf")
    result = sole(unit(tmp_path, f"{SCENE}.ntf"), tmp_path)
    assert fate(result) == "metadata"
    assert "no XML, IMD, PVL or text beside it" in str(result.error)


def test_a_member_that_changed_since_it_was_verified_is_not_read(tmp_path: Path) -> None:
    image(tmp_path / f"{SCENE}.ntf")
    sidecar = tmp_path / f"{SCENE}.xml"
    sidecar.write_bytes(xml())
    task = unit(tmp_path, f"{SCENE}.ntf", f"{SCENE}.xml")
    known = stat_of(sidecar.stat())
    task = replace(task, members=(replace(task.members[0], stat=known),))
    assert fate(sole(task, tmp_path)) == "archived"
    sidecar.write_bytes(xml(cloud="0.5"))
    assert isinstance(sole(task, tmp_path).error, NotReady)


def test_an_answer_about_a_file_of_another_unit_is_not_believed(tmp_path: Path) -> None:
    task = unit(tmp_path, f"{SCENE}.ntf", f"{SCENE}.xml", number=3)

    def body(**changes: object) -> bytes:
        granule = {"product": "P1BS", "key": "k", "sensor": "WV03", **changes}
        return json.dumps({"id": 3, "extraction": {"kind": "nitf", "granules": [granule]}}).encode()

    for fine in ({}, {"file": 3001}, {"classification": "itar"}):
        assert _validated(body(**fine), b"", task).extraction is not None
    for wrong in ({"file": 3}, {"file": 999}, {"classification": "public"}):
        with pytest.raises(_Died):
            _validated(body(**wrong), b"", task)


# --- real files


@needs_corpus
def test_a_real_tiff_with_its_real_imd_and_rpb_is_a_strip(tmp_path: Path) -> None:
    name = "WV03_20100401120000_1040010001234500_10APR01120000-M2AS-000000000000_00_P001"
    for ending in ("tif", "IMD", "RPB"):
        (tmp_path / f"{name}.{ending}").write_bytes((CORPUS / "dg_metadata" / f"md_dg.{ending}").read_bytes())
    result = sole(unit(tmp_path, f"{name}.tif", f"{name}.IMD", f"{name}.RPB"), tmp_path)
    (granule,) = of(result)
    assert (granule.search["cloudcover"], granule.search["catalog_id"]) == (0.027, "1040010001234500")
    assert granule.footprint is not None


@needs_corpus
def test_a_real_ikonos_image_finds_its_component_in_the_common_text(tmp_path: Path) -> None:
    source = CORPUS / "dg_metadata"
    image, metadata, polynomials = (
        "po_000000_rgb_0010000.tif",
        "po_000000_metadata.txt",
        "po_000000_rgb_0010000_rpc.txt",
    )
    for name in (image, metadata, polynomials):
        real = "md_ge" + name.removeprefix("po_000000")
        (tmp_path / name).write_bytes((source / real).read_bytes())
    (granule,) = of(sole(unit(tmp_path, image, metadata, polynomials), tmp_path))
    assert (granule.sensor, granule.search["cloudcover"]) == ("IK01", 0.03)


@needs_corpus
def test_every_real_nitf_has_the_fate_as_a_strip_that_it_has_alone(tmp_path: Path) -> None:
    real = [row["path"] for row in manifest() if row["path"].startswith("nitf") and int(row["size"]) < 300_000]
    alone, strips = [], []
    for number, path in enumerate(real, 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / f"{SCENE}.ntf").write_bytes((CORPUS / path).read_bytes())
        (folder / f"{SCENE}.xml").write_bytes(xml())
        alone.append(generic_task(folder / f"{SCENE}.ntf", number))
        strips.append(unit(folder, f"{SCENE}.ntf", f"{SCENE}.xml", number=number))
    fates = [[fate(result) for result in extracted(tmp_path, tasks)] for tasks in (alone, strips)]
    assert len(real) > 30
    assert dict(zip(real, fates[0], strict=True)) == dict(zip(real, fates[1], strict=True))
