"""Damaged copies of real files: cut off, appended to, flipped. What the libraries cannot read must not be archived."""

from __future__ import annotations

import os
import random
import signal
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio

from corpus import CORPUS, manifest, needs_corpus
from extraction import codes, extracted, fate, generic_task
from orbitory.extract import ExtractTask, sniff
from orbitory.workers import ExtractResult, Isolated

SEED = 20260101
MUTANTS = 10_000
#: Kinds whose files state where they end.
STATED = ("hdf5", "netcdf3", "nitf")
Change = Callable[[random.Random, bytes], bytes]


def cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(1, len(content) - 8)]


def append(rng: random.Random, content: bytes) -> bytes:
    return content + rng.randbytes(rng.choice((8, 512, 5000)))


def flip(rng: random.Random, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 2, 8))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def overwrite(rng: random.Random, content: bytes) -> bytes:
    start = rng.randrange(min(len(content), 4096))
    return content[:start] + bytes(64) + content[start + 64 :]


def damaged(
    folder: Path, change: Change, kinds: tuple[str, ...], share: int = 1
) -> list[tuple[str, Path, ExtractResult]]:
    """(kind of the sound file, damaged file, result) for every ``share``-th small sound file of ``kinds``."""
    rng = random.Random(f"{SEED}{change.__name__}")
    made: list[tuple[str, Path, str]] = []
    for row in manifest()[::share]:
        kind = sniff((CORPUS / row["path"]).read_bytes()[:65_536])
        if row["verdict"] == "ok" and kind in kinds and int(row["size"]) < 150_000 and "_bad" not in row["kind"]:
            path = folder / f"{len(made):04d}"
            path.write_bytes(change(rng, (CORPUS / row["path"]).read_bytes()))
            made.append((kind, path, row["path"]))
    tasks = [generic_task(path, number, name) for number, (_, path, name) in enumerate(made)]
    results = extracted(folder, tasks, timeout_seconds=4)
    return [(kind, path, result) for (kind, path, _), result in zip(made, results, strict=True)]


@pytest.mark.fault("F23", how="real files cut anywhere")
@needs_corpus
def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    found = damaged(tmp_path, cut, (*STATED, "geotiff"))
    assert len(found) > 250
    assert {(kind, path) for kind, path, result in found if fate(result) not in ("structure", "type", "size")} == set()


@pytest.mark.fault("F23", how="real files with foreign bytes behind")
@needs_corpus
def test_foreign_bytes_behind_a_file_are_refused_or_noted(tmp_path: Path) -> None:
    found = damaged(tmp_path, append, (*STATED, "geotiff"))
    for kind, path, result in found:
        if kind in STATED:
            assert fate(result) == "structure", (kind, path)
        else:
            assert "trailing_bytes" in codes(result), (kind, path)


@pytest.mark.fault("F23", "F39", "F40", how="real HDF5, GeoTIFF and NITF with bits flipped, headers overwritten")
@needs_corpus
@pytest.mark.parametrize("change", [flip, overwrite])
def test_what_the_libraries_cannot_read_is_never_archived_as_sound(tmp_path: Path, change: Change) -> None:
    found = damaged(tmp_path, change, ("hdf5", "geotiff", "nitf"), 3)
    refused = 0
    for kind, path, result in found:
        sound = reads(kind, path)
        refused += fate(result) != "archived"
        if not sound and not codes(result) & {"unsupported", "part_of_set"}:
            assert fate(result) != "archived", (kind, path)
    assert 10 < refused < len(found)


@needs_corpus
def test_flipped_pixels_that_still_read_are_not_refused(tmp_path: Path) -> None:
    """A file is refused for damage that a reader meets or that its stated layout shows, not on suspicion."""
    for kind, path, result in damaged(tmp_path, flip, ("hdf5", "geotiff", "nitf"), 3):
        if fate(result) == "structure" and reads(kind, path):
            detail = str(result.error)
            assert any(
                word in detail for word in ("truncated", "foreign bytes", "superblock", "NITF header", "GDAL signalled")
            ), detail


@needs_corpus
def test_texts_are_archived_whatever_happens_to_their_bytes(tmp_path: Path) -> None:
    for change in (cut, flip):
        folder = tmp_path / change.__name__
        folder.mkdir()
        for _, path, result in damaged(folder, change, ("json", "text", "xml")):
            assert fate(result) == "archived", path


def reads(kind: str, path: Path) -> bool:
    """Whether a plain reader gets through the file: the high-level interfaces, in a process that may die."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # not the test runner's, which no loop in C would ever see
        signal.alarm(4)
        verdict = b"0"
        try:
            (_read_hdf5 if kind == "hdf5" else _read_raster)(path, kind)
            verdict = b"1"
        finally:
            os.write(sender, verdict)
            os._exit(0)
    os.close(sender)
    with os.fdopen(receiver, "rb") as stream:
        verdict = stream.read()
    os.waitpid(child, 0)
    return verdict == b"1"


def _read_hdf5(path: Path, _: str) -> None:
    with h5py.File(path, "r") as file:
        things = [file]
        file.visititems(lambda name, thing: things.append(thing))
        for thing in things:
            for name in thing.attrs:
                key = name if isinstance(name, bytes) else name.encode()
                if not h5py.h5a.open(thing.id, key).get_type().detect_class(h5py.h5t.REFERENCE):
                    thing.attrs[name]
            if isinstance(thing, h5py.Dataset) and thing.shape is not None and thing.nbytes < 1 << 28:
                zlib.crc32(repr(thing[()]).encode())


def _read_raster(path: Path, kind: str) -> None:
    warnings.simplefilter("ignore")
    with (
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"),
        rasterio.open(path, driver={"geotiff": "GTiff", "nitf": "NITF"}[kind]) as image,
    ):
        for band in image.indexes:
            image.checksum(band)


def small(folder: Path) -> list[tuple[str, bytes]]:
    """One small file of each kind that a C library reads, with attributes, chunks and filters."""
    folder.mkdir()
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset(
            "x", data=np.arange(4096).reshape(64, 64), chunks=(16, 16), compression="gzip", shuffle=True
        )
        file["x"].attrs["units"] = "K"
        file.create_group("g")["text"] = ["a", "bb", "ccc"]
    for name, driver in (("a.tif", "GTiff"), ("a.ntf", "NITF")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(folder / name, "w", driver=driver, width=64, height=64, count=1, dtype="uint8") as image:
                image.write(np.arange(4096, dtype="uint8").reshape(1, 64, 64))
    return [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]


@pytest.mark.long
@pytest.mark.faults
@pytest.mark.timeout(3_000)
@pytest.mark.fault("F08", "F23", "F39", "F40", how="10,000 files cut, prolonged, flipped and overwritten at random")
def test_ten_thousand_mutants_end_no_service(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    kept, mutants, counts = small(tmp_path / "whole"), tmp_path / "mutants", Counter[str]()
    mutants.mkdir()
    rng = random.Random(SEED)

    def made() -> Iterator[ExtractTask]:
        for number in range(MUTANTS):
            name, content = kept[number % len(kept)]
            path = mutants / f"{number}{Path(name).suffix}"
            path.write_bytes(rng.choice((cut, append, flip, flip, flip, overwrite))(rng, content))
            yield generic_task(path, number)

    with Isolated(mutants, timeout_seconds=4) as isolated:
        for number, result in enumerate(isolated.map(made())):
            assert result.id == number
            counts[fate(result)] += 1
    assert counts.total() == MUTANTS
    assert set(counts) <= {"archived", "structure", "type", "policy", "size", "parser_crashed", "timeout"}
    told = ", ".join(f"{count:,} {what}" for what, count in counts.most_common())
    record_property("points", MUTANTS)
    record_property("figure", f"{MUTANTS:,} mutants of HDF5, GeoTIFF and NITF: {told}; 0 crashes of the service")
