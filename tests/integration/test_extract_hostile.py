"""Files that are valid in form and hostile in content: bombs, links out, other formats in disguise."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint

from extraction import codes, extracted, fate, generic_task, hdf5, outside, sole
from orbitory.settings import CHECKOUT

CRASHES = CHECKOUT / "tests" / "data" / "hdf5_crash"


@pytest.mark.fault("F39", how="a dataset of 8 TiB in some kB")
def test_a_dataset_that_claims_terabytes_is_refused_unread(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("x", shape=(1 << 20, 1 << 20), dtype="f8", chunks=(1024, 1024), compression="gzip")
    assert sole(tmp_path / "huge.h5") == "policy"


@pytest.mark.fault("F39", how="chunks of 64 MiB that inflate a thousandfold")
def test_what_inflates_beyond_the_budget_is_archived_and_says_so(tmp_path: Path) -> None:
    packed = zlib.compress(bytes(64 << 20), 1)
    with h5py.File(tmp_path / "wide.h5", "w") as file:
        x = file.create_dataset("x", shape=(60, 64 << 20), dtype="u1", chunks=(1, 64 << 20), compression="gzip")
        for row in range(60):
            x.id.write_direct_chunk((row, 0), packed)
    (result,) = extracted(tmp_path, [generic_task(tmp_path / "wide.h5")])
    assert fate(result) == "archived"
    assert codes(result) == {"not_fully_read"}


@pytest.mark.fault("F39", how="external raw data, virtual datasets")
@pytest.mark.parametrize("kind", ["raw", "raw_above", "virtual"])
def test_hdf5_that_shows_other_files_is_refused_by_policy(tmp_path: Path, kind: str) -> None:
    folder = outside(tmp_path)
    landing = tmp_path / "landing"
    landing.mkdir()
    with h5py.File(landing / "a.h5", "w") as file:
        if kind == "virtual":
            layout = h5py.VirtualLayout(shape=(4,), dtype="i8")
            layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", shape=(4,))
            file.create_virtual_dataset("v", layout)
        else:
            name = str(folder / "secret") if kind == "raw" else "../elsewhere/secret"
            file.create_dataset("raw", shape=(32,), dtype="u1", external=[(name, 0, 32)])
    assert sole(landing / "a.h5") == "policy"


def test_raw_data_in_a_file_beside_it_make_it_part_of_a_set(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", shape=(32,), dtype="u1", external=[("a.raw", 0, 32)])
    (result,) = extracted(tmp_path, [generic_task(tmp_path / "a.h5")])
    assert codes(result) == {"unsupported"}


@pytest.mark.fault("F39", how="external links, absolute and climbing; a soft link to itself")
@pytest.mark.parametrize("target", ["other.h5", "/etc/passwd", "../elsewhere/other.h5"])
def test_external_links_are_noted_and_never_followed(tmp_path: Path, target: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink(target, "/x")
        file["soft"] = h5py.SoftLink("/soft")
    (result,) = extracted(tmp_path, [generic_task(tmp_path / "a.h5")])
    assert fate(result) == "archived"
    assert codes(result) == {"external_link"}


@pytest.mark.fault("F40", how="VRT and WMS called .ntf, .vrt, .wms")
def test_rasters_by_another_name_reach_no_other_driver(tmp_path: Path) -> None:
    source = outside(tmp_path) / "secret"
    vrt = f"<VRTDataset rasterXSize='4' rasterYSize='4'><SourceFilename>{source}</SourceFilename></VRTDataset>"
    (tmp_path / "a.ntf").write_text(vrt)
    (tmp_path / "a.vrt").write_text(vrt)
    (tmp_path / "a.wms").write_text("<GDAL_WMS><Service name='TMS'/></GDAL_WMS>")
    named, plain, service = extracted(tmp_path, [generic_task(tmp_path / name) for name in ("a.ntf", "a.vrt", "a.wms")])
    assert fate(named) == "type"
    assert [each.extraction and each.extraction.kind for each in (plain, service)] == ["xml", "xml"]


@pytest.mark.fault("F08", "F39", how="damaged HDF5 at which libhdf5 dies with SIGSEGV, between sound files")
def test_a_file_that_kills_its_parser_costs_itself(tmp_path: Path) -> None:
    deadly = sorted(CRASHES.iterdir())
    for number, file in enumerate(deadly):
        (tmp_path / f"{number}.h5").write_bytes(file.read_bytes())
    sound = [hdf5(tmp_path / f"good{number}.h5") for number in range(3)]
    paths = [sound[0], tmp_path / "0.h5", sound[1], tmp_path / "1.h5", sound[2]]
    results = extracted(tmp_path, [generic_task(path, number) for number, path in enumerate(paths)])
    fates = [fate(result) for result in results]
    assert fates[::2] == ["archived"] * 3
    assert set(fates[1::2]) <= {"parser_crashed", "structure"}  # newer libraries may see the damage


@pytest.mark.fault("F39", how="a filter that nobody has, 3,000 attributes, links in a circle, groups 500 deep")
def test_hdf5_with_strange_contents_costs_at_most_itself(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "filter.h5", "w") as file:
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((4,))
        made.set_filter(32_767, h5py.h5z.FLAG_OPTIONAL, (1, 2))
        space = h5py.h5s.create_simple((4,))
        x = h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_INT32, space, made)
        h5py.Dataset(x).id.write_direct_chunk((0,), bytes(16))
    with h5py.File(tmp_path / "attributes.h5", "w", libver="latest") as file:
        for number in range(3_000):
            file.attrs[f"a{number}"] = number
    with h5py.File(tmp_path / "circle.h5", "w") as file:
        file.create_group("a")["b"] = file["/"]
        file["c"] = h5py.SoftLink("/d")
        file["d"] = h5py.SoftLink("/c")
    with h5py.File(tmp_path / "deep.h5", "w", libver="latest") as file:
        group = h5py.h5g.open(file.id, b"/")
        for _ in range(500):
            group = h5py.h5g.create(group, b"g")
    names = ("filter", "attributes", "circle", "deep")
    tasks = [generic_task(tmp_path / f"{name}.h5", number) for number, name in enumerate(names)]
    found = dict(zip(names, extracted(tmp_path, tasks), strict=True))
    assert {name: fate(result) for name, result in found.items()} == dict.fromkeys(names, "archived")
    assert codes(found["filter"]) == {"unsupported"}


def endless_pages(path: Path) -> None:
    """A TIFF of 100,000 pages of one pixel."""
    page = 2 + 12 * 5 + 4
    content = bytearray(b"II*\0" + struct.pack("<I", 16) + bytes(8))
    for number in range(100_000):
        at = 16 + (number + 1) * page if number < 99_999 else 0
        tags = ((256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (273, 4, 1, 8), (279, 4, 1, 1))
        content += struct.pack("<H", 5) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + struct.pack("<I", at)
    path.write_bytes(content)


def huge_and_sparse(path: Path) -> None:
    """5 MB on disk, 37 GiB of pixels."""
    how = {"tiled": True, "sparse_ok": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    with rasterio.open(
        path, "w", driver="GTiff", width=200_000, height=200_000, count=1, dtype="uint8", **how
    ) as image:
        image.write(np.ones((1, 1, 1), "u1"), window=((0, 1), (0, 1)))


def absurd_nitf(path: Path) -> None:
    """Rows and columns of 99,999,999."""
    with rasterio.open(path, "w", driver="NITF", width=4, height=4, count=1, dtype="uint8") as image:
        image.write(np.ones((1, 4, 4), "uint8"))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"0000000400000004", b"9999999999999999", 1))


def bad_points(path: Path) -> None:
    """Ground control points at infinity, rational polynomials of nothing."""
    points = [GroundControlPoint(row=r, col=c, x=1e308, y=-1e308, z=0) for r, c in ((0, 0), (0, 4), (4, 4), (4, 0))]
    with rasterio.open(
        path, "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8", gcps=points, crs=4326
    ) as image:
        image.write(np.ones((1, 4, 4), "uint8"))
        image.update_tags(ns="RPC", LINE_OFF="nan", LAT_OFF="1e999", LINE_NUM_COEFF="0 " * 20)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.fault(
    "F40", how="100,000 pages, 37 GiB of pixels in 5 MB, absurd sizes in a NITF, points at infinity, .aux.xml"
)
@pytest.mark.parametrize(
    ("make", "name", "fates"),
    [
        (endless_pages, "pages.tif", {"archived", "timeout"}),
        (huge_and_sparse, "sparse.tif", {"archived", "timeout"}),
        (absurd_nitf, "absurd.ntf", {"structure", "policy"}),
        (bad_points, "points.tif", {"archived"}),
    ],
)
def test_rasters_of_absurd_size_or_place_cost_at_most_themselves(
    tmp_path: Path, make: Callable[[Path], None], name: str, fates: set[str]
) -> None:
    make(tmp_path / name)
    (tmp_path / f"{name}.aux.xml").write_text("<PAMDataset><SRS>EPSG:4326</SRS></PAMDataset>")
    hdf5(tmp_path / "good.h5")
    tasks = [generic_task(tmp_path / name, 0), generic_task(tmp_path / "good.h5", 1)]
    hostile, good = extracted(tmp_path, tasks, timeout_seconds=4)
    assert fate(good) == "archived"
    assert fate(hostile) in fates, str(hostile.error)
    if hostile.extraction:
        assert all(granule.footprint is None for granule in hostile.extraction.granules)
