"""One face of HDF5 objects for extractors, whoever reads them: ``hdf5_bytes.Node`` from bytes, or the HDF5 library."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from h5py import h5d, h5g, h5o

from orbitory.extract import OpenFile
from orbitory.extract.hdf5 import attributes, children, open_hdf5, read_everything
from orbitory.extract.hdf5_bytes import read_tree
from orbitory.extract.hdf5_layouts import Node
from orbitory.extract.hdf5_messages import Unsupported
from orbitory.extract.header import Header, text
from orbitory.model import Finding

#: Larger files are read by the library: where attributes are enough it need not read all; else it takes less memory.
WHOLE_LIMIT, ELEMENTS_LIMIT = 16 << 20, 48 << 20


class Thing(Protocol):
    """A group or dataset. What the library reads may fail with any of ``FAULTS``."""

    @property
    def path(self) -> str:
        """Absolute, harmless to show."""

    @property
    def is_group(self) -> bool:
        """Or something else, then without members."""

    @property
    def is_dataset(self) -> bool:
        """Or something else."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Values as Python's scalars and lists, or as numpy arrays."""

    @property
    def members(self) -> Mapping[str, Thing]:
        """Hard-linked members by name."""


@dataclass(frozen=True, slots=True)
class LibraryObject:
    """An object that the library opened; what cannot be decoded of its attributes goes to ``findings``."""

    id: Any
    path: str
    findings: list[Finding]

    @property
    def is_group(self) -> bool:
        """Or something else, then without members."""
        return isinstance(self.id, h5g.GroupID)

    @property
    def is_dataset(self) -> bool:
        """Or something else."""
        return isinstance(self.id, h5d.DatasetID)

    @property
    def attributes(self) -> dict[str, Any]:
        """Read anew each time."""
        return attributes(self.id, self.findings)

    @property
    def members(self) -> Mapping[str, LibraryObject]:
        """Opened when they are asked for."""
        return _LibraryMembers(self)


class _LibraryMembers(Mapping[str, LibraryObject]):
    def __init__(self, owner: LibraryObject) -> None:
        self._owner = owner
        found = children(owner.id) if owner.is_group else []
        self._names = {os.fsdecode(name): name for name in found}

    def __contains__(self, name: object) -> bool:
        return name in self._names  # what is not among them may be a link out of the file

    def __getitem__(self, name: str) -> LibraryObject:
        own = self._names[name]
        path = f"{self._owner.path.rstrip('/')}/{text(own)}"
        return LibraryObject(h5o.open(self._owner.id, own), path, self._owner.findings)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def tree_of(source: OpenFile, *, elements: bool, like: str = "") -> Node | None:
    """The whole file as ``hdf5_bytes`` reads it; None where only the library can tell what it holds."""
    if source.size > (ELEMENTS_LIMIT if elements else WHOLE_LIMIT):
        return None
    try:
        return read_tree(source.whole(), elements=elements, like=like)
    except Unsupported:
        return None


def keep_attributes(root: Node, header: Header) -> None:
    """Add to ``header`` the attributes of all objects that it does not hold."""
    for node in root.walk():
        if not header.of(node.path):
            header.add(node.path.lstrip("/") or "/", node.attributes)


def hdf5_findings(source: OpenFile, header: Header) -> list[Finding]:
    """Read the whole file; what it met, as findings. Raises DataError like ``hdf5.read_everything``."""
    root = tree_of(source, elements=True)
    if root is not None:
        keep_attributes(root, header)
        return []
    file = open_hdf5(source)
    try:
        return read_everything(file, source.size, header)
    finally:
        file.close()
