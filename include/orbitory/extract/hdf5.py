"""HDF5 by its low-level interface: attributes, and a walk that really reads every dataset within a budget.

What is refused or only noted follows from the file, never from its name: external links are not followed, virtual
datasets and raw data at foreign paths are refused, what the library at hand cannot decode is archived as unsupported.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5p, h5s, h5t, h5z

from orbitory.errors import DataError
from orbitory.extract import OpenFile, warning
from orbitory.extract.faults import FAULTS, Unreadable, fault
from orbitory.extract.header import Header, text
from orbitory.model import Finding

#: A dataset that claims more than this, and more than deflate could have packed into the file, is refused unread.
CLAIM_LIMIT = 1 << 40
_DEFLATE_RATIO = 1100
_SLAB_BYTES = 16 << 20
_CHUNK_LIMIT = 512 << 20
_WHOLE_BYTES = 64 << 20
_VLEN_ELEMENTS = 4096
_OBJECT_LIMIT = 1_000_000
_BUDGET_BYTES = 1 << 30
_BUDGET_RATIO = 64


def open_hdf5(source: OpenFile) -> h5f.FileID:
    """Open read-only. Raises DataError("structure")."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    try:
        return h5f.open(source.path.encode(), h5f.ACC_RDONLY, access)
    except FAULTS as error:
        raise fault("the file", error) from error


def attributes(owner: Any, findings: list[Finding]) -> dict[str, Any]:
    """All attributes of an open object, raw as numpy arrays. What cannot be decoded becomes a finding."""
    names: list[bytes] = []
    found: dict[str, Any] = {}
    try:
        h5a.iterate(owner, names.append)
        for name in names:
            try:
                found[name.decode("utf-8", "backslashreplace")] = _attribute(owner, name)
            except Unreadable as error:
                findings.append(warning("unsupported", f"attribute {text(name)}: {error}"))
    except FAULTS as error:
        raise fault(f"attribute {text(names[len(found)]) if len(found) < len(names) else ''}", error) from error
    return found


def _attribute(owner: Any, name: bytes) -> Any:
    attribute = h5a.open(owner, name)
    kind, space = attribute.get_type(), attribute.get_space()
    if space.get_simple_extent_type() == h5s.NULL:
        return None
    shape = space.get_simple_extent_dims()
    if isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str():
        values = np.empty(shape, f"S{kind.get_size()}")
    elif isinstance(kind, h5t.TypeIntegerID | h5t.TypeFloatID):
        values = np.empty(shape, kind.dtype)
    else:
        return _converted(attribute, kind, shape)
    if values.size:
        attribute.read(values, mtype=kind)  # the file's own type: no conversion, three times as fast
    return values


def _converted(attribute: Any, kind: Any, shape: tuple[int, ...]) -> Any:
    _check_references(kind)
    values = np.empty(shape, attribute.dtype)
    try:
        if values.size:
            attribute.read(values)
    except FAULTS as error:
        if "no appropriate function for conversion path" in str(error):
            raise Unreadable("its type converts to none that numpy has") from error
        raise
    return values


def _check_references(kind: Any) -> None:
    """Refuse references that the library cannot read.

    Revised references exist from datatype version 4 on (HDF5 format specification IV.A.2.d); in an older message they
    are damage. Variable-length sequences of region references make h5py write beyond its buffers.
    """
    match kind.get_class():
        case h5t.COMPOUND:
            for index in range(kind.get_nmembers()):
                _check_references(kind.get_member_type(index))
        case h5t.ARRAY:
            _check_references(kind.get_super())
        case h5t.VLEN:
            inner = kind.get_super()
            if inner.get_class() == h5t.REFERENCE and inner.get_size() > 8 and inner.equal(h5t.STD_REF_DSETREG):
                raise DataError("policy", "holds variable-length sequences of region references: unsafe to read")
            _check_references(inner)
        case h5t.REFERENCE:
            version, flavour = kind.encode()[2] >> 4, kind.encode()[3] & 0x0F
            if flavour >= 2 and version < 4:
                raise DataError("structure", f"a revised reference in a datatype message of version {version}")
            if flavour >= 2:
                raise Unreadable("revised references (HDF5 1.12) are not decoded")


def children(group: h5g.GroupID) -> list[bytes]:
    """Names of hard-linked members; external and soft links are never followed."""
    names: list[bytes] = []
    group.links.iterate(names.append)
    return [name for name in names if group.links.get_info(name).type == h5l.TYPE_HARD]


def read_everything(file: h5f.FileID, size: int, header: Header) -> list[Finding]:
    """Open every object, read every attribute (into ``header``) and every dataset; what it met, as findings.

    Attributes that ``header`` already holds are not read again.
    Raises DataError("structure") for damage, DataError("policy") for what reaches outside the file or over the limits.
    """
    findings: list[Finding] = []
    names: list[bytes] = []
    budget = _Budget(_BUDGET_BYTES + _BUDGET_RATIO * size)
    try:
        h5o.visit(file, lambda name: names.append(name) if len(names) < _OBJECT_LIMIT else True)
        root = h5g.open(file, b"/")  # its links do not keep it open
        root.links.visit(lambda name, info: _note_link(name, info, findings), info=True)
    except FAULTS as error:
        raise fault("the tree of groups", error) from error
    if len(names) == _OBJECT_LIMIT:
        findings.append(warning("not_fully_read", f"more than {_OBJECT_LIMIT} objects: the rest was not read"))
    for name in [b"/", *(name for name in names if name != b".")]:
        with _looking_at(name, findings):
            thing = h5o.open(file, name)
            if not header.of(f"/{text(name.lstrip(b'/'))}"):
                header.add(name, attributes(thing, findings))
            if isinstance(thing, h5d.DatasetID):
                _read_dataset(thing, size, budget)
    if budget.exceeded:
        findings.append(warning("not_fully_read", f"inflates to more than {budget.total} bytes: the rest was not read"))
    return findings


def check_reach(file: h5f.FileID) -> list[Finding]:
    """What ``read_everything`` says of links and of how data are stored, without reading them: 1 ms for 30 datasets.

    Raises DataError("policy") for data that are kept or shown from outside the file.
    """
    findings: list[Finding] = []
    names: list[bytes] = []

    def see(name: bytes, info: Any) -> bool | None:
        _note_link(name, info, findings)
        if info.type == h5l.TYPE_HARD:
            names.append(name)
        return True if len(names) >= _OBJECT_LIMIT else None

    try:
        root = h5g.open(file, b"/")
        root.links.visit(see, info=True)
    except FAULTS as error:
        raise fault("the tree of groups", error) from error
    if len(names) == _OBJECT_LIMIT:
        findings.append(warning("not_fully_read", f"more than {_OBJECT_LIMIT} objects: the rest was not read"))
    for name in names:
        with _looking_at(name, findings):
            thing = h5o.open(file, name)
            if isinstance(thing, h5d.DatasetID) and thing.get_offset() is None:  # else it stands here in one piece
                plan = thing.get_create_plist()
                _check_storage(plan, plan.get_layout())
    return findings


@contextmanager
def _looking_at(name: bytes, findings: list[Finding]) -> Iterator[None]:
    """Say which object it was that could not be read; what this library has no means for is only a finding."""
    try:
        yield
    except Unreadable as error:
        findings.append(warning("unsupported", f"{text(name)}: {error}"))
    except DataError as error:
        raise DataError(error.code, f"{text(name)}: {error.detail}") from error
    except FAULTS as error:
        raise fault(text(name), error) from error


def _note_link(name: bytes, info: Any, findings: list[Finding]) -> None:
    if info.type == h5l.TYPE_EXTERNAL:
        findings.append(warning("external_link", f"{text(name)} points into another file; it was not followed"))


class _Budget:
    """Bytes that may still be inflated."""

    def __init__(self, total: int) -> None:
        self.total = self._left = total
        self.exceeded = False

    def take(self, count: int) -> bool:
        """Whether ``count`` more may be read."""
        if count > self._left:
            self.exceeded = True
            return False
        self._left -= count
        return True


def _read_dataset(dataset: h5d.DatasetID, size: int, budget: _Budget) -> None:
    plan = dataset.get_create_plist()
    layout = plan.get_layout()
    _check_storage(plan, layout)
    space = dataset.get_space()
    if space.get_simple_extent_type() == h5s.NULL:
        return
    shape, kind = space.get_simple_extent_dims(), dataset.get_type()
    _check_references(kind)
    claimed = math.prod(shape) * kind.get_size()
    if claimed > CLAIM_LIMIT and claimed > _DEFLATE_RATIO * size:
        raise DataError("policy", f"claims {claimed} bytes in a file of {size}: limit {CLAIM_LIMIT}")
    if not claimed or not (dataset.get_storage_size() or layout == h5d.COMPACT):
        return  # nothing is stored
    parts = _slabs(shape, kind) if layout != h5d.CHUNKED or claimed <= _WHOLE_BYTES else _chunks(dataset, plan, shape)
    values = None
    for start, count in parts:
        volume = math.prod(count) * kind.get_size()
        if volume > _CHUNK_LIMIT or not budget.take(volume):
            budget.exceeded = True
            break
        if values is None or values.shape != count:
            values = np.empty(count, dataset.dtype)
        if shape:
            space.select_hyperslab(start, count)
        dataset.read(h5s.create_simple(count) if shape else h5s.ALL, space if shape else h5s.ALL, values)


def _check_storage(plan: Any, layout: int) -> None:
    """Refuse what shows other files' bytes; say what the library cannot decode.

    Raw data in a file beside this one makes it part of a set; anywhere else it is none of our business.
    """
    if layout == h5d.VIRTUAL:
        raise DataError("policy", "is a virtual dataset: it shows what other files hold")
    for index in range(plan.get_external_count()):
        name = plan.get_external(index)[0]
        if posixpath.basename(name) != name or name in (b"", b".", b".."):
            raise DataError("policy", f"keeps its raw data outside, at {text(name)!r}")
    if plan.get_external_count():
        raise Unreadable(f"keeps its raw data in {text(plan.get_external(0)[0])!r} beside it: part of a set, not read")
    for index in range(plan.get_nfilters()):
        code, _, _, label = plan.get_filter(index)
        if not h5z.filter_avail(code):
            raise Unreadable(f"needs filter {code} ({text(label)}), which the library at hand lacks")


def _slabs(shape: tuple[int, ...], kind: Any) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(start, count) of blocks of bounded size that cover ``shape`` in storage order."""
    whole = kind.detect_class(h5t.VLEN) or (isinstance(kind, h5t.TypeStringID) and kind.is_variable_str())
    most = _VLEN_ELEMENTS if whole else max(1, _SLAB_BYTES // kind.get_size())
    steps, room = list(shape), most
    for axis in reversed(range(len(shape))):
        steps[axis] = max(1, min(shape[axis], room))
        room //= max(1, shape[axis])
    for cell in np.ndindex(*(-(-n // step) for n, step in zip(shape, steps, strict=True))):
        start = tuple(i * step for i, step in zip(cell, steps, strict=True))
        yield start, tuple(min(step, n - at) for at, step, n in zip(start, steps, shape, strict=True))


def _chunks(dataset: Any, plan: Any, shape: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(start, count) of the chunks that are stored; the others hold nothing but the fill value."""
    chunk = plan.get_chunk()
    stored: list[tuple[int, ...]] = []
    dataset.chunk_iter(lambda info: stored.append(info.chunk_offset))
    for start in stored:
        if any(at >= n for at, n in zip(start, shape, strict=True)):
            continue
        yield start, tuple(min(step, n - at) for at, step, n in zip(start, chunk, shape, strict=True))
