"""Simulated strips and uploads are repeatable, are read by the libraries that users have, and their truth is true."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from collections import Counter
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from rasterio.transform import RPCTransformer

from ingesting import sizes_and_sums
from orbitory import announcements
from orbitory.catalogue import Catalogue, load
from orbitory.errors import ConfigurationError, DataError
from orbitory.extract.strips.pvl import read_pvl
from orbitory.extract.strips.strip_facts import describe, read_metadata
from orbitory.extract.upload import read_form
from orbitory.model import REASONS
from orbitory.names import identify
from orbitory.settings import CHECKOUT
from orbitory.simulate import fault_names, simulate
from orbitory.upload_form import ENDING

Truth = list[dict[str, object]]
SOURCES = ("nga", "maxar", "upload")
STRIPS = ("nga", "maxar")
WAITING = {"young", "temporary", "no_data", "set"}
#: Fault → fates of the files that are its own; what else a delivery holds is archived.
FATES = {
    "truncated": {("rejected", "structure")},
    "zero_length": {("rejected", "size")},
    "bit_flip": {("rejected", "checksum")},
    "wrong_magic": {("rejected", "type")},
    "newline_name": {("rejected", "name")},
    "undecodable_name": {("rejected", "name")},
    "growing": {("waiting", "young")},
    "temporary": {("waiting", "temporary")},
    "orphan_sidecar": {("waiting", "no_data")},
    "bad_sidecar": {("rejected", "checksum")},
    "wrong_sidecar": {("rejected", "checksum")},
    "two_sidecars_disagree": {("rejected", "checksum")},
    "symlink": {("rejected", "type")},
    "fifo": {("rejected", "type")},
    "missing_member": {("waiting", "set")},
    "truncated_xml": {("rejected", "metadata")},
    "empty_xml": {("rejected", "size")},
    "xml_bomb": {("rejected", "policy")},
    "xml_foreign": {("rejected", "policy")},
    "truncated_tar": {("rejected", "structure")},
    "tar_parent": {("rejected", "policy")},
    "tar_absolute": {("rejected", "policy")},
    "tar_link": {("rejected", "policy")},
    "tar_huge": {("rejected", "structure")},
    "vrt_as_tif": {("rejected", "type")},
    "image_alone": {("waiting", "set")},
    "bundle_alone": {("waiting", "set")},
    "unrecognised_name": {("rejected", "unrecognised")},
    "renamed_copy": {("duplicate", "")},
    "duplicate": {("duplicate", "")},
    "conflict": {("conflict", "conflict")},
    "newer_version": set(),
    "older_late": set(),
    "reorder": set(),
    "cloud_unknown": set(),
    "cloud_in_percent": set(),
    "catalog_disagrees": set(),
    "unknown_type": {("rejected", "policy")},
    "long_expiry": {("rejected", "policy")},
    "wrong_sha256": {("rejected", "checksum")},
    "wrong_size": {("rejected", "size")},
    "other_file": {("rejected", "metadata")},
    "unknown_class": {("rejected", "metadata")},
    "malformed_form": {("rejected", "metadata")},
    "form_with_doctype": {("rejected", "policy")},
    "file_alone": {("waiting", "set")},
    "form_alone": {("waiting", "set")},
}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load(CHECKOUT / "include" / "catalogue")


@pytest.fixture(scope="module", params=SOURCES)
def faulty(request: pytest.FixtureRequest, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory):
    """A delivery of 60 images or files with every fault: source, folder, ground truth."""
    out = tmp_path_factory.mktemp(request.param)
    return request.param, out, simulate(catalogue, request.param, 60, 11, "all", out)


@pytest.fixture(scope="module", params=STRIPS)
def good(request: pytest.FixtureRequest, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory):
    """A delivery of 48 strips without faults: source, folder, paths of its files."""
    out = tmp_path_factory.mktemp(f"good_{request.param}")
    truth = simulate(catalogue, request.param, 48, 5, None, out)
    return request.param, out, [out / str(entry["name"]) for entry in truth]


def _fates(truth: Truth) -> set[tuple[object, object]]:
    return {(entry["fate"], entry["reason"]) for entry in truth}


def _images(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.suffix.lower() in (".ntf", ".tif")]


def test_the_ground_truth_names_every_file_with_its_size_and_sum(faulty) -> None:
    _, out, truth = faulty
    assert {entry["name"]: (entry["size"], entry["sha256"]) for entry in truth} == sizes_and_sums(out)
    assert json.loads(json.dumps(truth)) == truth


def test_all_faults_together_bring_the_fates_of_each(faulty, catalogue: Catalogue) -> None:
    source, _, truth = faulty
    wanted = [name for name in fault_names(catalogue, source) if name != "two_sidecars_disagree" or source != "upload"]
    if source == "upload":
        wanted.remove("missing_member")  # no manifests there
    assert set().union(*(FATES[name] for name in wanted if name != "trailing_bytes")) <= _fates(truth)
    for fate, reason in _fates(truth):
        assert (reason in REASONS) if fate in ("rejected", "conflict") else (reason == "" or reason in WAITING)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (source, fault)
        for source in SOURCES
        for fault in fault_names(load(CHECKOUT / "include" / "catalogue"), source)
        if not (source == "upload" and fault in ("two_sidecars_disagree", "missing_member"))
    ],
)
def test_each_fault_can_be_had_alone(source: str, fault: str, catalogue: Catalogue, tmp_path: Path) -> None:
    truth = simulate(catalogue, source, 4, 3, [fault], tmp_path)
    expected = FATES.get(fault, {("rejected", "structure")} if source == "nga" else set())
    assert _fates(truth) == expected | {("archived", "")}


def test_complete_files_look_old_and_waiting_ones_new(faulty) -> None:
    _, out, truth = faulty
    for entry in truth:
        age = time.time() - (out / str(entry["name"])).lstat().st_mtime
        if entry["reason"] in ("temporary", "no_data"):
            assert age < 60
        elif entry["reason"] != "young":  # what belongs to a growing image may be complete itself
            assert 80_000 < age < 90_000


@pytest.mark.parametrize("source", SOURCES)
def test_a_file_is_the_same_whatever_else_is_made(source: str, catalogue: Catalogue, tmp_path: Path) -> None:
    few = simulate(catalogue, source, 9, 2, None, tmp_path / "few")
    many = simulate(catalogue, source, 40, 2, ["truncated"], tmp_path / "many")
    sums = {entry["sha256"] for entry in many}
    last = _last_order(few) if source == "maxar" else "MD5SUMS"
    assert all(
        entry["sha256"] in sums for entry in few if last not in str(entry["name"]) and "SUMS" not in entry["name"]
    )


def _last_order(truth: Truth) -> str:
    """The last order of a delivery, which may be cut off: its papers tell."""
    return max(name.partition("/")[0] for entry in truth if (name := str(entry["name"]))[0].isdigit())


def test_every_good_image_opens_and_reads(good, catalogue: Catalogue) -> None:
    source, out, paths = good
    drivers = Counter()
    for path in _images(paths):
        identity = identify(str(path.relative_to(out)), catalogue.source(source), catalogue)
        original = identity.details.get("level") == "1B" and identity.details["part_role"] != "derived"
        with rasterio.open(path) as image:
            drivers[image.driver] += 1
            assert image.driver == {".ntf": "NITF", ".tif": "GTiff"}[path.suffix.lower()]
            assert 48 <= image.height < 96 and image.width == 64
            assert image.read().std() > 100
            assert image.gcps[0] or not image.transform.is_identity or image.rpcs
            assert (image.rpcs is not None) == original, path
    assert len(drivers) == (2 if source == "nga" else 1)


def test_rational_polynomials_lead_to_the_corners(good) -> None:
    _, _, paths = good
    compared = 0
    for path in paths:
        if path.suffix.lower() != ".xml" or "README" in path.name:
            continue
        imd = read_metadata(path.read_bytes()).first("BAND_P", "BAND_B", "BAND_S1", "BAND_DC")
        image = next(
            (path.with_suffix(end) for end in (".ntf", ".NTF", ".tif", ".TIF") if path.with_suffix(end).exists()), None
        )
        if image is None or imd is None:
            continue
        longitude, latitude = float(imd.values["ULLON"]), float(imd.values["ULLAT"])
        with rasterio.open(image) as opened:
            if opened.rpcs is None or abs(latitude) > 80:
                continue
            with RPCTransformer(opened.rpcs) as transformer:
                x, y = transformer.xy([0], [0], zs=95, offset="ul")
        assert abs((float(x[0]) - longitude + 180) % 360 - 180) < 0.01
        assert abs(float(y[0]) - latitude) < 0.01
        compared += 1
    assert compared > 5


def test_metadata_say_what_the_names_say(good, catalogue: Catalogue) -> None:
    source, out, paths = good
    forms, sensors = Counter(), Counter()
    for path in paths:
        name = str(path.relative_to(out))
        if announcements.role_of(name, catalogue.source(source)) != "data":
            continue
        identity = identify(name, catalogue.source(source), catalogue)
        if identity.role != "metadata" or identity.details["part_role"] != "metadata":
            continue
        told = describe(read_metadata(path.read_bytes()), image=identity.details.get("catalog_id", ""))
        facts = told.facts
        assert not told.findings, path
        assert identity.sensor in (facts.sensor, "strip")
        assert facts.acq_time.replace(microsecond=0) == identity.sensing_start.replace(microsecond=0)
        if catalog := identity.details.get("catalog_id"):
            assert facts.catalog_id == catalog
        if facts.order_id and "order_id" in identity.details and "_" in identity.details["order_id"]:
            assert facts.order_id == identity.details["order_id"]
        forms[identity.form] += 1
        sensors[facts.sensor] += 1
    if source == "nga":
        assert set(forms) >= {"renamed_dg", "renamed_dg2", "renamed_ge", "renamed_ik", "raw_dg"}
        assert set(sensors) >= {"WV01", "WV02", "WV03", "WV04", "GE01", "IK01", "LG01"}
    else:
        assert set(forms) == {"raw_dg"}


def test_strips_lie_over_the_antimeridian_and_around_the_poles(good) -> None:
    _, _, paths = good
    windings, crossing = [], 0
    for path in paths:
        if path.suffix.lower() != ".xml" or "README" in path.name:
            continue
        band = next(g for g in read_metadata(path.read_bytes()).walk() if g.name.startswith("BAND_"))
        ring = np.array([float(band.values[f"{corner}LON"]) for corner in ("UL", "UR", "LR", "LL")])
        steps = np.diff(ring, append=ring[0])
        windings.append(round(abs(float(((steps + 180) % 360 - 180).sum()))))
        crossing += bool(np.abs(steps).max() > 180 and windings[-1] == 0)
    assert set(windings) == {0, 360}
    assert crossing >= 2


def test_files_of_one_image_are_one_unit(good, catalogue: Catalogue) -> None:
    source, out, paths = good
    units: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        name = str(path.relative_to(out))
        if announcements.role_of(name, catalogue.source(source)) == "data":
            identity = identify(name, catalogue.source(source), catalogue)
            place = name.rpartition("/")[0].removesuffix("/GIS_FILES")
            units.setdefault((place, identity.unit or name), []).append(identity.role)
    assert all("data" in roles or set(roles) == {"document"} for roles in units.values())
    images = [roles for roles in units.values() if "data" in roles]
    assert len(images) == 48
    assert all({"metadata", "bundle"} & set(roles) for roles in images if len(roles) > 1)
    assert sum(roles.count("data") for roles in images) > 48, "some strips are tiled"


def test_bundles_hold_the_metadata_under_the_vendors_name(good) -> None:
    source, _, paths = good
    if source == "maxar":
        pytest.skip("orders bring their metadata loose")
    bundles = [path for path in paths if path.suffix.lower() == ".tar"]
    assert len(bundles) > 5
    for path in bundles:
        with tarfile.open(path) as tar:
            names = [PurePosixPath(member.name) for member in tar.getmembers() if member.isreg()]
            folder = names[0].parent.name
            assert all(name.parent.name == folder and name.name.startswith(folder) for name in names)
            assert folder in path.name
            told = [tar.extractfile(str(name)).read() for name in names if name.suffix in (".XML", ".pvl")]
        assert read_metadata(told[0]).groups


def test_an_order_has_all_files_of_the_vendor(good) -> None:
    source, out, paths = good
    if source == "nga":
        pytest.skip("NGA sends no orders")
    names = [path.relative_to(out).as_posix() for path in paths]
    endings = {PurePosixPath(name).suffix for name in names if "_P001_PAN/" in name}
    assert endings >= {".TIF", ".IMD", ".XML", ".RPB", ".TIL", ".ATT", ".EPH", ".GEO", ".JPG", ".TXT"}
    order = names[0].partition("/")[0]
    assert {f"{order}/{order}_README.TXT", f"{order}/{order}_README.XML", f"{order}/{order}_LAYOUT.JPG"} < set(names)
    assert {f"{order}/GIS_FILES/{order}_ORDER_SHAPE.{end}" for end in ("shp", "shx", "dbf", "prj")} < set(names)
    for path in paths:
        if path.suffix in (".IMD", ".RPB", ".TIL", ".ATT", ".EPH", ".GEO"):
            assert read_pvl(path.read_bytes()).values
    outline = (out / order / "GIS_FILES" / f"{order}_ORDER_SHAPE.shp").read_bytes()
    assert int.from_bytes(outline[:4]) == 9994 and 2 * int.from_bytes(outline[24:28]) == len(outline)
    table = (out / order / "GIS_FILES" / f"{order}_ORDER_SHAPE.dbf").read_bytes()
    assert order.encode() in table and len(table) == 32 + 32 + 1 + 41 + 1


@pytest.mark.parametrize("source", STRIPS)
def test_one_image_under_two_orders_is_as_it_was_really_sold(source: str, catalogue: Catalogue, tmp_path: Path) -> None:
    truth = simulate(catalogue, source, 4, 1, ["reorder"], tmp_path)
    pair = [tmp_path / str(e["name"]) for e in truth if "09DEC06145817" in str(e["name"])]
    facts = [describe(read_metadata(path.read_bytes())).facts for path in pair if path.suffix.lower() == ".xml"]
    assert {fact.order_id for fact in facts} == {"052869840050_01_P002", "500060999100_01_P002"}
    assert {fact.catalog_id for fact in facts} == {"1030010002BB6200"}
    first, second = sorted(facts, key=lambda fact: fact.generation_time)
    assert (first.rows * 512, second.rows * 512) == (33_792, 30_720)
    assert (first.acq_time - second.acq_time).total_seconds() == pytest.approx(0.3968)


def test_hostile_bundles_are_what_they_are_called(catalogue: Catalogue, tmp_path: Path) -> None:
    faults = ["tar_parent", "tar_absolute", "tar_link", "tar_huge"]
    simulate(catalogue, "nga", 8, 1, faults, tmp_path)
    members = []
    for path in sorted(tmp_path.glob("WV01*.tar")):
        with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as tar:
            while True:
                try:
                    member = tar.next()
                except tarfile.ReadError:
                    break
                if member is None:
                    break
                members.append(member)
    assert any(".." in member.name for member in members)
    assert any(member.name.startswith("/") for member in members)
    assert any(member.issym() and member.linkname == "/etc/shadow" for member in members)
    assert any(member.size > 1 << 39 for member in members)


def test_repeats_share_their_names_or_their_bytes_with_good_strips(catalogue: Catalogue, tmp_path: Path) -> None:
    wanted = ["renamed_copy", "duplicate", "conflict", "newer_version", "older_late"]
    truth = simulate(catalogue, "nga", 12, 2, wanted, tmp_path)
    again = [entry for entry in truth if str(entry["name"]).startswith("redelivered/")]
    first = {str(entry["name"]): entry for entry in truth if entry not in again}
    sums = {entry["sha256"] for entry in first.values()}
    assert max(first) < "redelivered", "the first in the order of paths wins"
    kinds = Counter()
    for entry in again:
        name = str(entry["name"]).removeprefix("redelivered/")
        if name.endswith((".ntf", ".tif")):
            kinds[name in first, entry["sha256"] in sums, entry["fate"]] += 1
    assert kinds == {
        (False, True, "duplicate"): 1,  # under an archive's name
        (True, True, "duplicate"): 1,
        (True, False, "conflict"): 1,
        (True, False, "archived"): 3,  # newer, of two tiles; and older
    }


def test_good_forms_are_read_and_bad_ones_are_not(faulty) -> None:
    source, out, truth = faulty
    if source != "upload":
        pytest.skip("strips have no forms")
    read = SimpleNamespace(good=0, bad=0)
    for entry in truth:
        name = str(entry["name"])
        if not name.endswith(ENDING) or entry["fate"] != "archived":
            continue
        form = read_form((out / name).read_bytes())
        data = (out / name.removesuffix(ENDING)).read_bytes()
        assert (form.file, form.size) == (PurePosixPath(name).name.removesuffix(ENDING), len(data))
        assert form.sha256 in (None, hashlib.sha256(data).hexdigest())
        read.good += 1
    for entry in truth:
        if str(entry["name"]).endswith(ENDING) and entry["reason"] == "metadata":
            try:
                other = read_form((out / str(entry["name"])).read_bytes())
                read.bad += other.file.startswith("not_")
            except DataError as error:
                read.bad += error.code == "metadata"
    assert read.good > 20 and read.bad == 3


def test_what_cannot_be_simulated_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown fault renamed_copy; known for this source: all, truncated"):
        simulate(catalogue, "maxar", 5, 1, ["renamed_copy"], tmp_path)
    with pytest.raises(ConfigurationError, match=r"fault reorder cannot be made: 1 files are too few"):
        simulate(catalogue, "nga", 1, 1, ["reorder"], tmp_path)


def test_tens_of_files_a_second_and_more(catalogue: Catalogue, tmp_path: Path) -> None:
    started = time.process_time()
    truth = simulate(catalogue, "nga", 100, 1, None, tmp_path)
    assert len(truth) / (time.process_time() - started) > 50
