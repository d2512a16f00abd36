"""Hostile files through every family of sources, watched by strace: they cost themselves, and reach nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from corpus import CORPUS
from extraction import sole
from faults.trace import OPTIONS, Call, calls, is_below
from orbitory.catalogue import load
from orbitory.settings import CHECKOUT
from orbitory.simulate import simulate
from orbitory.workers import landlock_abi

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]

SCENE = "WV02_20100902221603_1030010007C2B700_10SEP02221603-M1BS-052807128030_01_P{:03}"
VENDOR = "10SEP02221603-M1BS-052807128030_01_P001"
#: What the process that parses may read beside its source's landing folder: Python's code, tables of GDAL and PROJ.
LIBRARIES = (
    *{Path(sysconfig.get_paths()[name]).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")},
    *(CHECKOUT / "include", "/usr/share/proj", "/usr/share/gdal"),
)
#: What any program of ours reads: the system's libraries, settings and devices.
SYSTEM = (
    *("/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev"),
    *(Path(path).resolve() for path in (sys.prefix, sys.base_prefix, CHECKOUT)),
)
#: Reasons that blame a file. None says that a process broke out, or that the machine was at fault.
REFUSALS = {"policy", "metadata", "structure", "type", "size", "checksum", "parser_crashed", "timeout"}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder beside the site that nobody may touch."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "secret").write_bytes(b"TOP SECRET DATA!" * 4)
    (folder / "secret.xml").write_text("<isd><IMD/></isd>")
    (folder / "secret.dtd").write_text('<!ENTITY x "told">')
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = 42
    picture(folder / "other.tif", "GTiff")
    return folder


def state_of(folder: Path) -> dict[str, tuple[str, int, int]]:
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.iterdir()
    }


def picture(path: Path, driver: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"driver": driver, "width": 4, "height": 4, "count": 1, "dtype": "uint8"}
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(path, "w", **options) as image:
        image.write(np.ones((1, 4, 4), "u1"))
    return path


def vrt(secrets: Path) -> str:
    return (
        '<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{secrets}/other.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )


def documents(secrets: Path) -> dict[str, str]:
    """XML that asks its reader for other files, or for all its memory."""
    laughs = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(12))
    body = "<isd><IMD><CATID>&{};</CATID></IMD></isd>"
    xs = "http://www.w3.org/2001"
    return {
        "entity": f'<!DOCTYPE isd [<!ENTITY x SYSTEM "file://{secrets}/secret">]>{body.format("x")}',
        "dtd": f'<!DOCTYPE isd SYSTEM "{secrets}/secret.dtd">{body.format("x")}',
        "parameter": f'<!DOCTYPE isd [<!ENTITY % p SYSTEM "{secrets}/secret.dtd"> %p;]>{body.format("x")}',
        "laughs": f'<!DOCTYPE isd [<!ENTITY a0 "ha">{laughs}]>{body.format("a12")}',
        "include": f'<isd xmlns:i="{xs}/XInclude"><IMD><i:include href="{secrets}/secret.xml"/></IMD></isd>',
        "style": f'<?xml-stylesheet type="text/xsl" href="{secrets}/secret.xml"?><isd><IMD/></isd>',
        "schema": f'<isd xmlns:s="{xs}/XMLSchema-instance" s:noNamespaceSchemaLocation="{secrets}/secret.xml"/>',
    }


def bundles(secrets: Path, name: str) -> dict[str, bytes]:
    """TARs that want to be unpacked somewhere else, or to take something along."""
    content = b"<isd><IMD/></isd>"

    def tar(**attributes: object) -> bytes:
        member = tarfile.TarInfo(f"{name}.xml")
        member.size = len(content)
        for attribute, value in attributes.items():
            setattr(member, attribute, value)
        return (member.tobuf(tarfile.GNU_FORMAT) + content * bool(member.size)).ljust(10_240, b"\0")

    return {
        "parent": tar(name=f"../../../../{secrets.name}/{name}.xml"),
        "absolute": tar(name=f"{secrets}/{name}.xml"),
        "link": tar(type=tarfile.SYMTYPE, linkname=f"{secrets}/secret.xml", size=0),
        "hard_link": tar(type=tarfile.LNKTYPE, linkname=f"{secrets}/secret.xml", size=0),
        "device": tar(type=tarfile.CHRTYPE, devmajor=1, devminor=5, size=0),
        "fifo": tar(type=tarfile.FIFOTYPE, size=0),
        "huge": tar(size=1 << 40),
        "sparse": tar(type=tarfile.GNUTYPE_SPARSE),
    }


# What is delivered. Each function returns the names of the files that are good.


def correlative(landing: Path, secrets: Path) -> set[str]:
    landing.mkdir(parents=True)
    for path in sorted((CORPUS / "hdf5_bad").glob("cve-*")) if (CORPUS / "hdf5_bad").is_dir() else ():
        shutil.copy(path, landing)
    for path in sorted((CORPUS / "geotiff_bad").glob("*"))[:8] if (CORPUS / "geotiff_bad").is_dir() else ():
        shutil.copy(path, landing)
    with h5py.File(landing / "links.h5", "w") as file:
        file["external"] = h5py.ExternalLink(str(secrets / "other.h5"), "/x")
        file["near"] = h5py.ExternalLink("../../../elsewhere/other.h5", "/x")
    with h5py.File(landing / "raw.h5", "w") as file:
        file.create_dataset("raw", shape=(32,), dtype="u1", external=[(str(secrets / "secret"), 0, 32)])
    with h5py.File(landing / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout(shape=(1,), dtype="i8")
        layout[:] = h5py.VirtualSource(str(secrets / "other.h5"), "x", shape=(1,))
        file.create_virtual_dataset("v", layout)
    with h5py.File(landing / "vast.h5", "w") as file:
        file.create_dataset("x", shape=(1 << 20, 1 << 20), dtype="f8", chunks=(1024, 1024), compression="gzip")
    with h5py.File(landing / "bomb.h5", "w") as file:
        x = file.create_dataset("x", shape=(8, 64 << 20), dtype="u1", chunks=(1, 64 << 20), compression="gzip")
        for row in range(8):
            x.id.write_direct_chunk((row, 0), zlib.compress(bytes(64 << 20), 1))
    for path in sorted((CHECKOUT / "tests" / "data" / "hdf5_crash").iterdir()):
        shutil.copy(path, landing / f"deadly_{path.name}")
    for name in ("a.vrt", "a.ntf", "a.tif"):
        (landing / name).write_text(vrt(secrets))
    (landing / "a.wms").write_text(
        '<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1/</ServerUrl></Service></GDAL_WMS>'
    )
    (landing / "zip.tif").write_bytes(b"PK\x03\x04" + bytes(64))
    os.mkfifo(landing / "pipe.h5")
    for name, text in documents(secrets).items():
        (landing / f"{name}.xml").write_text(text)
    for name, data in bundles(secrets, "a").items():
        (landing / f"{name}.tar").write_bytes(data)
    picture(landing / "good.tif", "GTiff")
    (landing / "good.tif.aux.xml").write_text(vrt(secrets))
    (landing / "link.h5").symlink_to(secrets / "other.h5")
    (landing / "folder").symlink_to(secrets)
    (landing / "sum.txt").write_text("x")
    (landing / "sum.txt.sha256").write_text(f"{'0' * 64}  ../../../elsewhere/secret\n")
    (landing / "MD5SUMS").write_text(f"{'0' * 32}  ../../elsewhere/secret\n{'0' * 32}  {secrets}/secret\n")
    return {"good.tif", "links.h5", "bomb.h5"}


def good_strips(landing: Path) -> set[str]:
    """A valid delivery, and the names of its images."""
    truth = simulate(load(CHECKOUT / "include" / "catalogue"), landing.name, 2, 1, None, landing)
    images = {str(file["name"]) for file in truth if str(file["name"]).lower().endswith((".ntf", ".tif"))}
    assert images
    return images


def nga(landing: Path, secrets: Path) -> set[str]:
    good, number = good_strips(landing), 0

    def scene() -> Path:
        nonlocal number
        number += 1
        return picture(landing / f"{SCENE.format(number)}.ntf", "NITF")

    for text in documents(secrets).values():
        scene().with_suffix(".xml").write_text(text)
    for kind in bundles(secrets, ""):
        image = scene()
        image.with_suffix(".tar").write_bytes(bundles(secrets, image.stem)[kind])
    disguised = scene()
    disguised.write_text(vrt(secrets))
    disguised.with_suffix(".xml").write_text("<isd><IMD/></isd>")
    linked = scene()
    linked.with_suffix(".xml").symlink_to(secrets / "secret.xml")
    image = scene()
    image.with_suffix(".xml").write_text("<isd><IMD/></isd>")
    image.unlink()
    image.symlink_to(secrets / "other.tif")
    return good


def maxar(landing: Path, secrets: Path) -> set[str]:
    good = good_strips(landing)
    for number, text in enumerate((*documents(secrets).values(), "")):
        folder = landing / f"0528071280{number}0_01" / f"0528071280{number}0_01_P001_MUL"
        stem = VENDOR.replace("052807128030", f"0528071280{number}0")
        image = picture(folder / f"{stem}.TIF", "GTiff")
        if not text:
            image.write_text(vrt(secrets))
        (folder / f"{stem}.XML").write_text(text or "<isd><IMD/></isd>")
        (folder / f"{stem}.TIL").write_text(
            f'numTiles = 1;\nBEGIN_GROUP = TILE_1\n\tfilename = "{secrets}/other.tif";\n'
        )
        (folder / f"{stem}.IMD").write_text(
            'BEGIN_GROUP = IMAGE_1\n\tfilename = "../../../../elsewhere/secret";\nEND;\n'
        )
    return good


def upload(landing: Path, secrets: Path) -> set[str]:
    folder = landing / "mallory-1"
    folder.mkdir(parents=True)

    def put(name: str, content: bytes, form: str = "") -> None:
        (folder / name).write_bytes(content)
        usual = (
            f'<upload version="1"><file>{name}</file><size>{len(content)}</size><type>user_data</type>'
            "<expires>3d</expires><sender>mallory</sender><created>2024-01-01T00:00:00Z</created></upload>"
        )
        (folder / f"{name}.upload.xml").write_text(form or usual)

    for name, text in documents(secrets).items():
        form = (
            text.replace("<isd", '<upload version="1"')
            .replace("isd>", "upload>")
            .replace("!DOCTYPE isd", "!DOCTYPE upload")
        )
        put(f"{name}.txt", b"x", form)
        put(f"{name}.xml", text.encode())
    for name, data in bundles(secrets, "a").items():
        put(f"{name}.tar", data)
    put("path.txt", b"x", f'<upload version="1"><file>{secrets}/secret</file><size>64</size></upload>')
    put("a.tif", vrt(secrets).encode())
    put("link.txt", b"x")
    (folder / "link.txt.upload.xml").unlink()
    (folder / "link.txt.upload.xml").symlink_to(secrets / "secret.xml")
    put("good.txt", b"good")
    return {"mallory-1/good.txt"}


Delivery = Callable[[Path, Path], set[str]]


@pytest.mark.req("N14", "W9")
@pytest.mark.fault(
    *("F08", "F33", "F34", "F35", "F36", "F39", "F40"),
    how="hostile HDF5, rasters, TAR, XML, links and FIFOs in four sources, every system call seen",
)
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("deliver", [correlative, upload, nga, maxar])
def test_hostile_files_cost_themselves_and_nothing_else_is_read_or_written(
    environment: dict[str, str],
    site_root: Path,
    secrets: Path,
    tmp_path: Path,
    deliver: Delivery,
    record_property: Callable[[str, object], None],
) -> None:
    source = deliver.__name__
    landing = site_root / "landing" / source
    good = deliver(landing, secrets)
    settle(landing)
    before = state_of(secrets)
    log = tmp_path / "trace"
    sole(picture(tmp_path / "warm" / "up.tif", "GTiff"))  # so that the byte code of all parsers is written
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    run = orbitory(environment, "ingest", source, "--workers", "1", "--json", strace=log)
    assert run.returncode in (0, 1), run.stderr
    seen = list(calls(log))

    assert outside_of_libraries(seen, landing) == []
    assert beyond_the_site(seen, site_root, secrets) == []
    assert state_of(secrets) == before
    for name in good:
        shown = json.loads(orbitory(environment, "show", name, "--json").stdout)
        assert {each["state"] for each in shown["arrivals"]} == {"archived"}, name
    refused = json.loads(orbitory(environment, "quarantine", "list", "--json").stdout)
    assert {each["reason"] for each in refused} <= REFUSALS
    assert len(refused) > (15 if CORPUS.is_dir() else 8)  # without the corpus there are fewer
    assert json.loads(orbitory(environment, "audit", "--json").stdout)["violations"] == []
    record_property("points", len(refused))
    record_property(
        "figure",
        f"{source}: {len(refused)} hostile files refused, {len(seen):,} system calls seen, none reached outside",
    )


def settle(landing: Path) -> None:
    for path in landing.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)


def orbitory(
    environment: dict[str, str], *arguments: str, strace: Path | None = None
) -> subprocess.CompletedProcess[str]:
    before = ["strace", *OPTIONS, "-o", str(strace)] if strace else []
    line = [*before, sys.executable, "-m", "orbitory", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=500, check=False)


def outside_of_libraries(seen: list[Call], landing: Path) -> list[str]:
    """What confined processes read beside the landing folder and libraries, or changed anywhere."""
    confined = [call for call in seen if call.confined]
    assert any(call.reads and is_below(call.opened, (landing,)) for call in confined), "the trace must show the parser"
    own = [f"/proc/{process}" for process in {call.process for call in confined}]
    return [
        call.line
        for call in confined
        if call.changes
        or (call.worked and call.name in ("fork", "vfork", "execve", "socket", "connect"))
        or (call.reads and not is_below(call.opened, (landing, *LIBRARIES, *own)))
    ]


def beyond_the_site(seen: list[Call], root: Path, secrets: Path) -> list[str]:
    """What any process changed outside of the site, read outside of site and system, or dialled."""
    wrong = []
    for call in seen:
        touched = (call.opened,) if call.opened else call.paths
        changed = call.changes and not all(is_below(path, (root, "/dev/null", "/proc/self/fd")) for path in touched)
        read = call.reads and (not is_below(call.opened, (root, *SYSTEM)) or is_below(call.opened, (secrets,)))
        if changed or read or call.dials:
            wrong.append(call.line)
    return wrong


@pytest.mark.skipif(landlock_abi() == 0, reason="this kernel has no Landlock")
def test_the_trace_sees_a_parser_that_reads_what_it_must_not(tmp_path: Path, secrets: Path) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    (landing / "a").write_text("x")
    script = (
        "import ctypes, sys; ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"
        f"open({str(landing / 'a')!r}).read(); open({str(secrets / 'secret')!r}, 'rb').read()\n"
        f"open({str(landing / 'b')!r}, 'w').close()\n"
        "import socket; socket.socket(socket.AF_INET).close()"
    )
    log = tmp_path / "trace"
    subprocess.run(["strace", *OPTIONS, "-o", str(log), sys.executable, "-c", script], check=True)
    seen = list(calls(log))
    assert len(outside_of_libraries(seen, landing)) == 3
    assert len(beyond_the_site(seen, landing, secrets)) == 2
