"""The parsers of ours that read foreign bytes. Each either returns or raises DataError; anything else is a bug."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from orbitory.announcements import parse
from orbitory.catalogue import Catalogue, load
from orbitory.errors import DataError
from orbitory.extract.strips.strip_facts import describe, read_metadata
from orbitory.extract.strips.tar_members import tar_members
from orbitory.extract.structure import Bytes
from orbitory.extract.upload import read_form
from orbitory.names import check_storable, identify, identify_any
from orbitory.settings import CHECKOUT
from orbitory.upload_form import written
from orbitory.zones import display

SEEDS = Path(__file__).parent / "seeds"
_SIDECARS = ("A.h5.md5", "A.h5.sha256", "A.h5.sha512", "A.h5.crc", "A.h5.cksum", "MD5SUMS", "manifest.txt")
_BLOCK = 512


@cache
def _catalogue() -> Catalogue:
    return load(CHECKOUT / "include" / "catalogue")


def name(data: bytes) -> None:
    """A name as the file system holds it, by every grammar."""
    with suppress(DataError):
        check_storable(data)
    shown = display(data)
    for source in _catalogue().sources.values():
        with suppress(DataError):
            identity = identify(shown, source, _catalogue())
            assert identity.product_type in source.products
    with suppress(DataError):
        identify_any(shown, _catalogue())


def metadata(data: bytes) -> None:
    """IMD, PVL, RPB, XML or the text of GeoEye, to facts; also as the polynomials of another file."""
    with suppress(DataError):
        group = read_metadata(data)
        group.plain()
        with suppress(DataError):
            describe(group, image="0000000")
        describe(_ANY_IMAGE, polynomials=group)


_ANY_IMAGE = read_metadata((SEEDS / "metadata" / "short.imd").read_bytes())


def _announced(file: str, data: bytes) -> None:
    with suppress(DataError):
        for each in parse(file, data, _catalogue().source("idps")):
            assert not each.target.startswith("/") and ".." not in each.target.split("/"), each
            assert each.value.isascii() and each.value == each.value.lower(), each


def record(data: bytes) -> None:
    """A Product Delivery Record."""
    _announced("order.PDR", data)


def sidecar(data: bytes) -> None:
    """A checksum sidecar or a manifest."""
    for file in _SIDECARS:
        _announced(file, data)


def form(data: bytes) -> None:
    """The form of an upload; what is accepted is written and read again as the same."""
    with suppress(DataError):
        told = read_form(data)
        assert read_form(written(told)) == told


def tar(data: bytes) -> None:
    """The index of a TAR, with the sums of its headers put right, which no mutation would."""
    blocks = [data[at : at + _BLOCK] for at in range(0, len(data), _BLOCK)]
    content = b"".join(_with_its_sum(block) if len(block) == _BLOCK and any(block) else block for block in blocks)
    descriptor = _memory()
    os.ftruncate(descriptor, len(content))
    os.pwrite(descriptor, content, 0)
    with suppress(DataError):
        for member in tar_members(Bytes(descriptor, len(content))):
            assert 0 <= member.offset <= member.offset + member.size <= len(content), member
            assert not member.name.startswith(("/", "\\")) and ".." not in member.name.split("/"), member


@cache
def _memory() -> int:
    return os.memfd_create("tar")


def _with_its_sum(block: bytes) -> bytes:
    total = sum(block) - sum(block[148:156]) + 8 * 0x20
    return block[:148] + b"%06o\0 " % total + block[156:]


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (name, metadata, record, sidecar, form, tar)
}
