"""One pass over the bytes gives every checksum, equal to the tools people check with."""

import hashlib
import os
import subprocess
import zlib
from pathlib import Path

import pytest
from blake3 import blake3

from orbitory.checksum import HEAD_BYTES, Hasher

SIZES = [0, 1, 255, 65_536, 65_537, 3_000_001]


@pytest.fixture
def hasher() -> Hasher:
    return Hasher()


def _open(path: Path, content: bytes) -> int:
    path.write_bytes(content)
    return os.open(path, os.O_RDONLY)


@pytest.mark.parametrize("size", SIZES)
def test_all_algorithms_come_from_one_reading(tmp_path: Path, hasher: Hasher, size: int) -> None:
    content = os.urandom(size)
    descriptor = _open(tmp_path / "file", content)
    found = hasher.digest(descriptor, ["md5", "sha1", "sha256", "sha512", "crc32", "cksum", "blake3"])
    assert os.read(descriptor, 1) == b"", "the file was not read to its end exactly once"
    os.close(descriptor)
    assert found.size == size
    assert found.head == content[:HEAD_BYTES]
    assert found.blake3 == blake3(content).digest()
    assert found.values["blake3"] == blake3(content).hexdigest()
    for algorithm in ("md5", "sha1", "sha256", "sha512"):
        assert found.values[algorithm] == hashlib.new(algorithm, content).hexdigest()
    assert found.values["crc32"] == f"{zlib.crc32(content):08x}"


@pytest.mark.parametrize("size", SIZES)
def test_cksum_is_what_the_posix_command_prints(tmp_path: Path, hasher: Hasher, size: int) -> None:
    descriptor = _open(tmp_path / "file", os.urandom(size))
    printed = subprocess.run(["cksum", tmp_path / "file"], capture_output=True, text=True, check=True).stdout
    assert hasher.digest(descriptor, ["cksum"]).values["cksum"] == printed.split()[0]
    os.close(descriptor)


def test_a_copy_holds_the_bytes_that_were_hashed(tmp_path: Path, hasher: Hasher) -> None:
    content = os.urandom(2_500_000)
    descriptor = _open(tmp_path / "file", content)
    target = os.open(tmp_path / "copy", os.O_WRONLY | os.O_CREAT)
    assert hasher.digest(descriptor, copy_to=target).blake3 == blake3(content).digest()
    assert (tmp_path / "copy").read_bytes() == content


def test_the_buffer_of_one_file_never_leaks_into_the_next(tmp_path: Path, hasher: Hasher) -> None:
    hasher.digest(_open(tmp_path / "long", b"x" * 100_000))
    assert hasher.digest(_open(tmp_path / "short", b"yy")).head == b"yy"
