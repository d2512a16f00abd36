"""Layouts: where all metadata of an HDF5 file stand. Files of one product have them at the same places.

A layout has every byte of the structures that were read of one file, but for values of attributes and times of change.
Where another file has the same bytes at the same places, a walk over it would meet the same structures: only its values
are taken. What the walk would check of what is outside of them, the file's end and its elements, is checked anew.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from orbitory.extract.hdf5_messages import UNDEFINED, Storage
from orbitory.extract.hdf5_space import Space
from orbitory.extract.header import Harmless, Told

#: Layouts are kept for so many kinds of files, so many for each, of so many bytes.
_KEYS, _VARIANTS, _LAYOUT_BYTES = 64, 8, 262_144
_Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A group or a dataset: its attributes and members, both in the order of their names."""

    #: Absolute path; "/" is the root.
    path: str
    attributes: Harmless
    members: dict[str, Node]
    #: None for a group.
    storage: Storage | None

    @property
    def is_group(self) -> bool:
        """Or a dataset."""
        return self.storage is None

    @property
    def is_dataset(self) -> bool:
        """Or a group."""
        return self.storage is not None

    def walk(self) -> Iterator[Node]:
        """This one and all below, each before its members."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            if node.members:
                pending += reversed(node.members.values())


@dataclass(frozen=True, slots=True)
class _Form:
    """How a node is made anew."""

    #: The one that the layout was taken from.
    node: Node
    #: Of its attributes.
    names: tuple[str, ...]
    #: For each of them the number of its field, and how to read it.
    reads: tuple[tuple[int, Callable[[bytes], Told]], ...]
    #: Of the members.
    members: dict[str, _Form]
    #: Whether anything in it may differ from the one that there was.
    varies: bool

    def filled(self, values: Sequence[bytes]) -> Node:
        """The node with these values."""
        node, attributes = self.node, self.node.attributes
        if self.reads:
            attributes = Harmless(self.names, [read(values[number]) for number, read in self.reads])
        members = {name: form.filled(values) if form.varies else form.node for name, form in self.members.items()}
        return Node(node.path, attributes, members, node.storage)


class Layout:
    """What stands where in the files of one product."""

    def __init__(self, space: Space, root: Node, claims: Sequence[tuple[int, int]]) -> None:
        """Take it from a file of which ``root`` was read, with these claims, in order."""
        fields = {
            starts[field.block] + field.start: field
            for starts, found in space.fields.values()
            for field in found
            if field.varies
        }
        pending = sorted(fields, reverse=True)
        parts, numbers = list[str](), dict[int, int]()
        at = count = 0
        for start, size in claims:  # before each the gap; fixed bytes and values take turns
            parts.append(f"{start - at}x")
            at, end = start, start + size
            while pending and pending[-1] < end:
                place = pending.pop()
                parts.append(f"{place - at}s{fields[place].size}s")
                at = place + fields[place].size
                numbers[place] = count
                count += 1
            parts.append(f"{end - at}s0s")
            at = end
            count += 1
        self._struct = struct.Struct("".join(parts))
        self._fixed = self._struct.unpack_from(space.data)[::2]
        self._size = sum(size for _, size in claims)
        self._root = _form(root, space, numbers)
        storages = (node.storage for node in root.walk() if node.storage is not None)
        #: Where elements stand.
        self.stored = tuple(each for each in storages if each.address not in (None, UNDEFINED) and each.size)

    def filled(self, space: Space) -> Node | None:
        """The root of another file; None if it is of another layout."""
        if len(space.data) < self._struct.size:
            return None
        found = self._struct.unpack_from(space.data)
        if found[::2] != self._fixed:
            return None
        space.take(self._size)
        return self._root.filled(found[1::2])


def _form(node: Node, space: Space, numbers: dict[int, int]) -> _Form:
    starts, fields = space.fields[node.path]
    places = {field.form.name: (starts[field.block] + field.start, field.form.decode) for field in fields if field.form}
    reads = tuple((numbers[place], decode) for place, decode in (places[name] for name in node.attributes))
    members = {name: _form(each, space, numbers) for name, each in node.members.items()}
    return _Form(
        node, tuple(node.attributes), reads, members, bool(reads) or any(each.varies for each in members.values())
    )


def layout_of(space: Space, root: Node) -> Layout | None:
    """The layout of a file of which ``root`` alone was read yet; None where headers are of version 2, or overlap."""
    claims = sorted(space.claims)
    apart = all(start + size <= following for (start, size), (following, _) in pairwise(claims))
    if not apart or sum(size for _, size in claims) > _LAYOUT_BYTES:
        return None
    if any(node.path not in space.fields for node in root.walk()):
        return None
    return Layout(space, root, claims)


_layouts: dict[_Key, list[Layout]] = {}


def known(key: _Key) -> Sequence[Layout]:
    """Layouts that a file may be of; ``key``: what is alike in all files of one layout."""
    return _layouts.get(key, ())


def learn(key: _Key, layout: Layout) -> None:
    """Keep a layout."""
    if len(_layouts) >= _KEYS:
        _layouts.clear()
    _layouts[key] = [layout, *_layouts.get(key, ())][:_VARIANTS]
