"""HDF5 by its bytes: what the reader takes it reads as the HDF5 library does, and all else it leaves to the library."""

from __future__ import annotations

import math
import os
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus import CORPUS, manifest, needs_corpus
from hdf5_judge import by_bytes, by_library, disagreements
from orbitory.catalogue import load
from orbitory.extract import ExtractTask, jpss, sniff
from orbitory.extract.hdf5_bytes import read_tree
from orbitory.extract.hdf5_layouts import Layout, Node
from orbitory.extract.hdf5_messages import Unsupported
from orbitory.extract.hdf5_space import Space
from orbitory.names import identify
from orbitory.settings import CHECKOUT
from orbitory.simulate import simulate

SEED = 20260101
CATALOGUE = load(CHECKOUT / "include" / "catalogue")
ORDERS = ("<", ">")
NUMBERS = [order + kind for order in ORDERS for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")]
patient = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
names = st.text(st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_characters="/."), min_size=1, max_size=12)


@st.composite
def values(draw: st.DrawFn) -> object:
    """What an attribute or dataset may hold, of the common kinds and of others."""
    count = draw(st.integers(1, 5))
    shape = draw(st.sampled_from([(), (1,), (1, 1), (count,), (count, 1), (1, count), (2, 2), (0,)]))
    bits = draw(st.binary(min_size=64, max_size=64))
    match draw(st.sampled_from(["number", "number", "text", "text", "text", "other"])):
        case "number":
            kind = np.dtype(draw(st.sampled_from(NUMBERS)))
            return (
                np.frombuffer(bits[: 5 * kind.itemsize], kind)[: max(1, int(np.prod(shape)))]
                .copy()
                .reshape(-1)[: int(np.prod(shape))]
                .reshape(shape)
            )
        case "text":
            width = draw(st.integers(1, 70))
            texts = [draw(st.binary(max_size=width)) for _ in range(math.prod(shape))]
            return np.array(texts, f"S{width}").reshape(shape)
    return draw(
        st.sampled_from(
            [
                "variable",
                b"variable",
                True,
                h5py.Empty("f4"),
                np.complex128(1j),
                np.zeros(2, [("a", "i2"), ("b", "f4")]),
            ]
        )
    )


@st.composite
def files(draw: st.DrawFn, folder: Path) -> bytes:
    """A small file that h5py wrote, of any form that it can give it."""
    path = folder / "made.h5"
    low = draw(st.sampled_from(["earliest", "earliest", "v108", "v110", "latest"]))
    block = draw(st.sampled_from([0, 512, 2048]))
    with h5py.File(path, "w", libver=(low, "latest"), userblock_size=block, track_order=draw(st.booleans())) as file:
        groups: list[h5py.Group] = [file]
        for name in draw(st.lists(names, max_size=30, unique=True)):
            parent = draw(st.sampled_from(groups))
            if draw(st.booleans()):
                groups.append(parent.create_group(name))
            else:
                _make_dataset(draw, parent, name)
        things: list[h5py.HLObject] = []
        file.visititems(lambda _, thing: things.append(thing))
        for thing in (file, *things):
            for name, value in draw(st.dictionaries(names, values(), max_size=6)).items():
                thing.attrs[name] = value
    return path.read_bytes()


def _make_dataset(draw: st.DrawFn, parent: h5py.Group, name: str) -> None:
    value = np.asarray(draw(values().filter(lambda each: not isinstance(each, h5py.Empty | str | bytes))))
    how: dict[str, object] = {}
    if value.ndim and value.size and draw(st.booleans()):
        how["chunks"] = tuple(draw(st.integers(1, length + 1)) for length in value.shape)
        how["maxshape"] = (None,) * value.ndim
        how["compression"] = draw(st.sampled_from([None, "gzip", "lzf"]))
        how["shuffle"] = draw(st.booleans())
        how["fletcher32"] = draw(st.integers(0, 9)) == 0
    if draw(st.booleans()):
        how["track_times"] = True
    parent.create_dataset(name, data=value, **how)


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Simulated JPSS files of all products."""
    out = tmp_path_factory.mktemp("granules")
    simulate(CATALOGUE, "idps", 24, 5, "", out)
    return sorted(out.rglob("*.h5"))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_files_that_h5py_makes_are_read_as_the_library_reads_them(tmp_path: Path, data: st.DataObject) -> None:
    content = data.draw(files(tmp_path))
    found = by_bytes(content)
    if found is not None:
        assert by_library(tmp_path / "made.h5") == found[1]


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_damage_to_files_that_h5py_makes_is_left_to_the_library(tmp_path: Path, data: st.DataObject) -> None:
    content = data.draw(files(tmp_path))
    rng = random.Random(data.draw(st.integers(0, 1 << 32)))
    assert disagreements(mutants(rng, content, 8), tmp_path)[1] == []


@needs_corpus
def test_real_files_are_read_as_the_library_reads_them(tmp_path: Path) -> None:
    taken, wrong = disagreements(_real(), tmp_path)
    assert wrong == []
    assert taken >= 30


def _real() -> Iterator[tuple[str, bytes]]:
    for row in manifest():
        path = CORPUS / row["path"]
        if int(row["size"]) < 2_000_000:
            content = path.read_bytes()
            if sniff(content[:65_536]) == "hdf5":
                yield row["path"], content


def test_jpss_files_of_all_products_are_read_from_bytes(granules: list[Path]) -> None:
    assert len(granules) >= 24
    for path in granules:
        found = by_bytes(path.read_bytes())
        assert found, path.name
        assert found[1] == by_library(path), path.name


def read(content: bytes, like: str) -> tuple[object, ...] | None:
    """All that the reader tells of a file; None where it leaves it to the library."""
    try:
        root = read_tree(content, elements=True, like=like)
    except Unsupported:
        return None
    return tuple((node.path, node.attributes, node.attributes.encoded, node.storage) for node in root.walk())


def test_files_of_a_known_layout_are_read_as_if_it_were_unknown(
    granules: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = Layout.filled
    hits: list[object] = []

    def counted(self: Layout, space: Space) -> Node | None:
        found = filled(self, space)
        hits.append(found)
        return found

    for path in granules:
        content = path.read_bytes()
        expected = read(content, f"unknown {path.name}")
        read(content, path.name[:5])
        monkeypatch.setattr(Layout, "filled", counted)
        assert read(content, path.name[:5]) == expected
        assert hits.pop() is not None
        monkeypatch.undo()


def test_a_layout_takes_no_damaged_file_that_a_walk_refuses(granules: list[Path]) -> None:
    """Each damaged file is read by the layout of the sound one, and by a walk."""
    rng = random.Random(SEED)
    taken = refused = 0
    for path in granules[:12]:
        content = path.read_bytes()
        for number, (what, damaged) in enumerate(mutants(rng, content, 60)):
            read(content, path.name)
            found = read(damaged, path.name)
            assert found == read(damaged, f"unknown {number} {path.name}"), f"{path.name}: {what}"
            taken += found is not None
            refused += found is None
    assert taken > 50
    assert refused > 50


@pytest.mark.slow
def test_what_is_read_of_damaged_jpss_files_is_what_the_library_reads(granules: list[Path], tmp_path: Path) -> None:
    rng = random.Random(SEED)
    taken = 0
    for path in granules:
        more, wrong = disagreements(mutants(rng, path.read_bytes(), 40), tmp_path)
        assert wrong == [], path.name
        taken += more
    assert taken > 50


def mutants(rng: random.Random, content: bytes, count: int) -> Iterator[tuple[str, bytes]]:
    """Copies with flipped bits, foreign words or missing bytes; most of the damage is to structures."""
    marks = [at for mark in (b"TREE", b"SNOD", b"HEAP", b"OHDR", b"OCHK", b"\x89HDF") for at in _places(content, mark)]
    for number in range(count):
        damaged = bytearray(content)
        near = rng.choice(marks) + rng.randrange(-200, 200) if rng.random() < 0.7 else rng.randrange(len(content))
        at = min(max(near, 0), len(content) - 8)
        match number % 4:
            case 0:
                damaged[at] ^= 1 << rng.randrange(8)
            case 1:
                damaged[at : at + 8] = struct.pack("<Q", rng.choice([0, 1, len(content), 1 << 63, (1 << 64) - 1]))
            case 2:
                source = rng.randrange(len(content) - 8)
                damaged[at : at + 8] = content[source : source + 8]
            case 3:
                del damaged[rng.randrange(len(content)) :]
        yield f"{number} at {at}", bytes(damaged)


def _places(content: bytes, mark: bytes) -> Iterator[int]:
    at = content.find(mark)
    while at >= 0:
        yield at
        at = content.find(mark, at + 1)


def made(path: Path) -> bytes:
    """A file with groups, attributes and data in one piece, in chunks and packed."""
    with h5py.File(path, "w", libver=("earliest", "v110")) as file:
        file.attrs["title"] = np.bytes_(b"a title")
        group = file.create_group("group")
        group.attrs["numbers"] = np.arange(5.0)
        group["data"] = np.arange(100)
        group.create_dataset("packed", data=np.arange(4000), chunks=(1000,), compression="gzip", shuffle=True)
    return path.read_bytes()


def test_values_are_pythons_own(tmp_path: Path) -> None:
    root = read_tree(made(tmp_path / "a.h5"), elements=True)
    assert root.attributes == {"title": "a title"}
    assert list(root.members) == ["group"]
    group = root.members["group"]
    assert group.attributes == {"numbers": [0.0, 1.0, 2.0, 3.0, 4.0]}
    assert [(each.path, each.is_dataset) for each in group.members.values()] == [
        ("/group/data", True),
        ("/group/packed", True),
    ]


def test_damage_in_packed_data_is_seen_only_when_elements_are_read(tmp_path: Path) -> None:
    content = made(tmp_path / "a.h5")
    packed = content.rindex(zlib.compress(bytes(64), 4)[:1])
    damaged = content[: packed + 40] + bytes(8) + content[packed + 48 :]
    assert read_tree(damaged, elements=False).members["group"].attributes
    with pytest.raises(Unsupported):
        read_tree(damaged, elements=True)


def test_a_group_within_itself_is_left_to_the_library(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["again"] = file["/"]
    with pytest.raises(Unsupported, match=r"several names|references"):
        read_tree((tmp_path / "a.h5").read_bytes(), elements=False)


def test_structures_that_overlap_cost_no_more_than_the_file_has_bytes(tmp_path: Path) -> None:
    """Continuations that lead to one another for ever."""
    content = bytearray(made(tmp_path / "a.h5"))
    message = content.index(struct.pack("<HH", 0x10, 16))
    content[message + 8 : message + 24] = struct.pack("<QQ", message, 24)
    with pytest.raises(Unsupported, match="overlaps others"):
        read_tree(bytes(content), elements=False)


@pytest.mark.parametrize("path", ["/g" * 200, f"/{'g' * 600}" * 3])
def test_deep_groups_and_long_paths_are_left_to_the_library(tmp_path: Path, path: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group(f"{path}/x")
    with pytest.raises(Unsupported, match="levels"):
        read_tree((tmp_path / "a.h5").read_bytes(), elements=False)


@pytest.mark.parametrize("size", [0, 1, 8, 9, 24, 60, 95, 96])
def test_a_file_that_ends_within_its_superblock_is_left_to_the_library(tmp_path: Path, size: int) -> None:
    with pytest.raises(Unsupported):
        read_tree(made(tmp_path / "a.h5")[:size], elements=False)


def test_data_that_would_inflate_without_end_are_left_to_the_library(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", shape=(100_000_000,), dtype="u1", chunks=(100_000_000,), compression="gzip")[0] = 1
    with pytest.raises(Unsupported, match="inflate to more"):
        read_tree((tmp_path / "a.h5").read_bytes(), elements=True)


@pytest.mark.parametrize("checksummed", [False, True])
def test_granules_are_the_same_whoever_reads_them(
    granules: list[Path], monkeypatch: pytest.MonkeyPatch, checksummed: bool
) -> None:
    tasks = [_task(path, checksummed) for path in granules]
    found = [jpss.extract(task) for task in tasks]
    monkeypatch.setattr(jpss, "tree_of", lambda source, **_: None)
    assert found == [jpss.extract(task) for task in tasks]


def test_the_library_is_not_asked_for_ordinary_granules(granules: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpss, "open_hdf5", lambda source: pytest.fail("the library was asked"))
    for path in granules:
        assert jpss.extract(_task(path, False)).granules


def _task(path: Path, checksummed: bool) -> ExtractTask:
    identity = identify(path.name, CATALOGUE.source("idps"), CATALOGUE)
    return ExtractTask(
        id=1,
        path=os.fsencode(path),
        extractor="jpss",
        source="idps",
        name=path.name,
        identity=identity,
        checksummed=checksummed,
    )
