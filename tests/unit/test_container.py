"""First bytes against names, stated lengths against sizes."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from orbitory.errors import DataError
from orbitory.extract import HEAD_BYTES, quick_check, sniff
from orbitory.extract.container import hdf5_offset
from orbitory.extract.structure import CHECKS, Bytes, tiff_end

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def hdf5(**how: object) -> bytes:
    with io.BytesIO() as file:
        with h5py.File(file, "w", **how) as h5:
            h5["x"] = np.arange(100)
        return file.getvalue()


def nitf(length: int | str, size: int, *, version: bytes = b"NITF02.10") -> bytes:
    field = f"{length:012d}" if isinstance(length, int) else length
    return (version + b" " * 333 + field.encode() + b"000404000").ljust(size, b"\0")


def refusal(name: str, content: bytes, size: int | None = None) -> str:
    with pytest.raises(DataError) as refused:
        quick_check(name, content[:HEAD_BYTES], len(content) if size is None else size)
    return refused.value.code


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (SIGNATURE + bytes(100), "hdf5"),
        (bytes(512) + SIGNATURE, "hdf5"),
        (bytes(2048) + SIGNATURE, "hdf5"),
        (bytes(600) + SIGNATURE, "opaque"),
        (b"CDF\x01" + bytes(28), "netcdf3"),
        (b"CDF\x05" + bytes(28), "netcdf3"),
        (b"CDF\x03" + bytes(28), "opaque"),
        (b"II*\0\x08\0\0\0", "geotiff"),
        (b"MM\0+\0\x08\0\0", "geotiff"),
        (b"NITF02.10", "nitf"),
        (b"NSIF01.00", "nitf"),
        (b"NITF is a format", "text"),
        (b"\x0e\x03\x13\x01", "hdf4"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"<!DOCTYPE HTML><p>", "html"),
        (b"\n <html>", "html"),
        (b"<?xml version='1.0'?>", "xml"),
        (b"\xef\xbb\xbf{}", "json"),
        (b"[1, 2]", "json"),
        ("Grüße\n".encode(), "text"),
        (b"abc\0def", "opaque"),
        (b"\xff\xfe\x00", "opaque"),
        ("ä".encode() * 2048 + b"\xc3", "text"),
    ],
)
def test_a_kind_is_told_by_its_first_bytes(head: bytes, kind: str) -> None:
    assert sniff(head) == kind


@pytest.mark.fault("F42", how="first bytes that the name does not promise")
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.h5", b"<html><body>503 Service Unavailable"),
        ("a.h5", b"\x1f\x8b\x08\0\0\0\0\0"),
        ("a.H5", b"Hello Cumulus!\n"),
        ("a.nc", b"{}"),
        ("a.nc", b"II*\0\x08\0\0\0"),
        ("a.tif", b"\xff\xd8\xff\xe0"),
        ("b/GE01_20150410011735.ntf", b"Hello Cumulus!\n"),
        ("a.NTF", b"<VRTDataset rasterXSize='4'>"),
        ("a.json", b"<html>"),
        ("a.xml", b"\x1f\x8b\x08"),
        ("a.hdf", b"CDF\x01"),
        ("family_00002.h5", b"<html>"),
        ("family_00002.h5", b"\x89HDF\r\nX\n" + bytes(1000)),
    ],
)
def test_a_name_that_promises_another_kind_is_refused_as_type(name: str, content: bytes) -> None:
    assert refusal(name, content) == "type"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.nc", b"CDF\x01" + bytes(28), "netcdf3"),
        ("a.hdf", b"\x0e\x03\x13\x01", "hdf4"),
        ("a.json", b"\xff\xfe{", "opaque"),
        ("a.IMD", b"version = 1;", "text"),
        ("README", b"text", "text"),
        ("a.txt", b"\x89PNG\r\n\x1a\n", "png"),
        ("set_00002.h5", bytes(range(256)), "opaque"),
        ("set-r.h5", bytes(range(256)), "opaque"),
    ],
)
def test_a_name_that_promises_nothing_or_this_kind_is_accepted(name: str, content: bytes, kind: str) -> None:
    assert quick_check(name, content, len(content)) == kind


def test_an_empty_file_is_refused_as_size() -> None:
    assert refusal("a.h5", b"") == "size"
    assert refusal("README", b"") == "size"


@pytest.mark.parametrize("how", [{}, {"libver": "latest"}, {"userblock_size": 512}, {"userblock_size": 2048}])
def test_hdf5_ends_where_its_superblock_says(how: dict[str, object]) -> None:
    content = hdf5(**how)
    assert quick_check("a.h5", content, len(content)) == "hdf5"
    for size in (len(content) - 1, len(content) + 1, len(content) + 4096, hdf5_offset(content) + 100):
        assert refusal("a.h5", content[:size], size) == "structure"


def test_damaged_superblocks_are_refused_as_structure() -> None:
    content = hdf5()
    for at, value in ((8, 9), (13, 3), (13, 0)):
        damaged = content[:at] + bytes([value]) + content[at + 1 :]
        assert refusal("a.h5", damaged) == "structure"
    assert refusal("a", content[:20]) == "structure"


def test_the_first_file_of_an_hdf5_family_may_end_before_the_whole_does(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "set_%05d.h5", "w", driver="family", memb_size=4096) as h5:
        h5["x"] = np.arange(5000)
    first, second = ((tmp_path / f"set_{n:05d}.h5").read_bytes() for n in (0, 1))
    assert quick_check("renamed.h5", first, len(first)) == "hdf5"
    assert quick_check("set_00001.h5", second, len(second)) == "opaque"
    assert refusal("renamed.h5", second) == "type"


@pytest.mark.parametrize("version", [b"NITF02.10", b"NSIF01.00", b"NITF02.00"])
def test_nitf_has_the_length_that_its_header_states(version: bytes) -> None:
    for size in (1000, 1001):  # real files carry at most one stray byte
        assert quick_check("a.ntf", nitf(1000, size, version=version), size) == "nitf"
    for size in (999, 1002, 400):
        assert refusal("a.ntf", nitf(1000, size, version=version)) == "structure"
    assert refusal("a.ntf", nitf("u8,0,,0.0174", 1000, version=version)) == "structure"
    assert quick_check("a.ntf", nitf(999999999999, 1000, version=version), 1000) == "nitf"


def test_nitf_2_0_with_a_downgrading_event_states_its_length_further_on() -> None:
    content = bytearray(nitf(1000, 1000, version=b"NITF02.00"))
    content[280:286] = b"999998"
    content[382:394] = b"000000001000"
    assert quick_check("a.ntf", bytes(content), 1000) == "nitf"


def tiff(strips: list[tuple[int, int]], size: int) -> bytes:
    entries = [(256, 3, 1, 10), (257, 3, 1, 10 * len(strips)), (258, 3, 1, 8), (259, 3, 1, 5), (278, 3, 1, 10)]
    entries += [(273, 4, 1, strips[0][0]), (279, 4, 1, strips[0][1])]
    block = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + block + bytes(4)).ljust(size, b"\1")


def opened(tmp_path: Path, content: bytes) -> Bytes:
    path = tmp_path / "file"
    path.write_bytes(content)
    return Bytes(os.open(path, os.O_RDONLY), len(content))


def test_a_tiff_reaches_as_far_as_its_furthest_strip(tmp_path: Path) -> None:
    assert tiff_end(opened(tmp_path, tiff([(200, 50)], 300))) == 250
    with pytest.raises(DataError, match="structure"):
        tiff_end(opened(tmp_path, tiff([(200, 50)], 249)))
    with pytest.raises(DataError, match="structure"):
        tiff_end(opened(tmp_path, tiff([(200, 50)], 250)[:60]))


@pytest.mark.fault("F40", how="pages of a TIFF in a circle")
def test_a_tiff_whose_pages_point_at_each_other_ends(tmp_path: Path) -> None:
    content = bytearray(tiff([(200, 50)], 250))
    content[8 + 2 + 7 * 12 : 8 + 2 + 7 * 12 + 4] = (8).to_bytes(4, "little")
    assert tiff_end(opened(tmp_path, bytes(content))) == 250


def gif(data: int, *, width: int = 10, height: int = 10) -> bytes:
    blocks = b"".join(bytes([len(part)]) + part for part in (b"\xaa" * 255,) * (data // 255)) + b"\0"
    frame = struct.pack("<BHHHHB", 0x2C, 0, 0, width, height, 0) + b"\x08" + blocks
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b"\x21\xfe\x02hi\0" + frame + b"\x3b"


@pytest.mark.parametrize(
    ("content", "sound"),
    [
        (gif(255, width=100, height=100), True),
        (gif(255, width=100, height=100)[:-1], False),
        (gif(255, width=100, height=100) + b"\0", False),
        (gif(2550), False),  # more codes than the frame has pixels: the overflow of CVE-2018-17433
    ],
)
def test_a_gif_is_walked_to_its_trailer(tmp_path: Path, content: bytes, sound: bool) -> None:
    data = opened(tmp_path, content)
    if sound:
        CHECKS["gif"](data)
    else:
        with pytest.raises(DataError, match="structure"):
            CHECKS["gif"](data)


def test_classic_netcdf_is_as_long_as_its_header_lays_out(tmp_path: Path) -> None:
    netcdf = pytest.importorskip("netCDF4")
    for layout in ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"):
        path = tmp_path / f"{layout}.nc"
        with netcdf.Dataset(path, "w", format=layout) as dataset:
            dataset.title = "odd"
            dataset.createDimension("time", None)
            dataset.createDimension("x", 5)
            dataset.createVariable("fixed", "i2", ("x",))[:] = np.arange(5)
            dataset.createVariable("growing", "f4", ("time", "x"))[:] = np.ones((3, 5))
            dataset.createVariable("flags", "i1", ("time",))[:] = np.arange(3)
        content = path.read_bytes()
        CHECKS["netcdf3"](opened(tmp_path, content))
        for changed in (content + bytes(4), content[:-8], content[:50], content[: len(content) // 2]):
            with pytest.raises(DataError, match="structure"):
                CHECKS["netcdf3"](opened(tmp_path, changed))
