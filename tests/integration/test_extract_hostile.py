"""Files that are valid in form and hostile in content: bombs, links out, other formats in disguise."""

from __future__ import annotations

import zlib
from pathlib import Path

import h5py
import pytest

from extraction import codes, extracted, fate, generic_task, outside, sole


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
