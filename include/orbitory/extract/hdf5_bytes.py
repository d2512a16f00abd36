"""HDF5 metadata from bytes already read: groups, attributes and where datasets stand, in memory-safe Python.

It reads the common part of the format (superblocks 0 to 3, object headers 1 and 2, symbol tables, compact links) and
only what is exactly as the specification says. Everything else is ``Unsupported``; the HDF5 library then judges.
Layouts: HDF5 file format specification 3.0, sections III (groups) and IV.A.2 (links).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from orbitory.extract.hdf5_chunks import Budget, check_elements
from orbitory.extract.hdf5_messages import Storage, Unsupported, name_in
from orbitory.extract.hdf5_space import Space
from orbitory.extract.header import Harmless

_DEPTH_LIMIT = 64
_NODE = struct.Struct("<4sBBHQQ")
_ENTRY = struct.Struct("<QQI4x16s")


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


def read_tree(data: bytes, *, elements: bool) -> Node:
    """The root group of the HDF5 file in ``data``, with all below it.

    With ``elements`` all chunks are inflated, to find damage in them. Raises Unsupported.
    """
    try:
        space = Space(data)
        root = _node(space, space.root, "/", space.root_table)
        budget = Budget()
        for node in root.walk():
            if node.storage is not None:
                check_elements(space, node.storage, budget if elements else None)
    except struct.error as error:
        raise Unsupported("a structure is cut off") from error
    return root


def _node(space: Space, address: int, path: str, cached: bytes | None) -> Node:
    """The object at ``address``; ``cached``: the symbol table that is said to be its own, elsewhere."""
    header = space.header(address, path)
    if cached is not None and header.table != cached:
        raise Unsupported("a group whose symbol table is not the one that its parent says")
    if header.storage is not None:
        return Node(path, header.attributes, {}, header.storage)
    if header.table is not None:
        members = _symbols(space, header.table)
    else:
        members = [(*named, None) for named in sorted(map(_link, header.links))]
    if any(a[0] >= b[0] for a, b in pairwise(members)):
        raise Unsupported("names of a group that are not in order")
    if path.count("/") > _DEPTH_LIMIT:
        raise Unsupported(f"groups in more than {_DEPTH_LIMIT} levels")
    folder = path.rstrip("/")
    below = {name: _node(space, at, f"{folder}/{name}", own) for name, at, own in members}
    return Node(path, header.attributes, below, None)


def _link(message: bytes) -> tuple[str, int]:
    """Name and address of a hard link."""
    version, flags = message[:2]
    if version != 1 or flags > 0x1F:
        raise Unsupported(f"a link message of version {version} with flags {flags:#x}")
    at = 2
    if flags & 0x08 and message[at]:
        raise Unsupported("a link that is not a hard one")
    at += (flags >> 3 & 1) + 8 * (flags >> 2 & 1)
    if flags & 0x10 and message[at] > 1:
        raise Unsupported("a link in an unknown character set")
    at += flags >> 4 & 1
    width = 1 << (flags & 3)
    size = int.from_bytes(message[at : at + width], "little")
    at += width
    address = struct.unpack_from("<Q", message, at + size)[0]
    return _member_name(message[at : at + size]), address


def _member_name(name: bytes) -> str:
    if b"/" in name or name == b"." or len(name) > 1024:
        raise Unsupported("a member without a proper name")
    return name_in(name)


def _symbols(space: Space, table: bytes) -> list[tuple[str, int, bytes | None]]:
    """Name, address and cached symbol table of each member of a group with a symbol table."""
    tree, heap = struct.unpack_from("<QQ", table)
    return list(_branch(space, tree, _heap(space, heap), None))


def _heap(space: Space, address: int) -> bytes:
    """The names of a group, in one piece."""
    signature, size, free, data = struct.unpack_from("<8sQQQ", space.data, space.claim(address, 32))
    if signature != b"HEAP\0\0\0\0":
        raise Unsupported("a local heap of unknown form")
    names = space.bytes_at(data, size)
    for _ in range(size // 16 + 1):
        if free == 1:
            return names
        following, length = struct.unpack_from("<QQ", names, free)
        if not following or length < 16 or free % 8 or free + length > size:
            break
        free = following
    raise Unsupported("a local heap whose free space is damaged")


def _branch(space: Space, address: int, names: bytes, level: int | None) -> Iterator[tuple[str, int, bytes | None]]:
    """Members below a node of a group's B-tree. Its keys, by which the library finds members, must enclose them."""
    room = 2 * space.groups_k
    start = space.claim(address, 24 + 8 * (2 * room + 1))
    signature, kind, height, used, _, _ = _NODE.unpack_from(space.data, start)
    if signature != b"TREE" or kind or used > room or (level is not None and (height != level or not used)):
        raise Unsupported("a group's B-tree of unknown form")
    words = struct.unpack_from(f"<{2 * used + 1}Q", space.data, start + 24)
    for at in range(0, 2 * used, 2):
        below, child, above = words[at : at + 3]
        found = list(_branch(space, child, names, height - 1) if height else _leaf(space, child, names))
        if not _key(names, below) < found[0][0] or not found[-1][0] <= _key(names, above):
            raise Unsupported("a group's B-tree whose keys do not fit its names")
        yield from found


def _key(names: bytes, at: int) -> str:
    end = names.find(b"\0", at)
    if at >= len(names) or end < 0:
        raise Unsupported("a name outside its heap")
    return _member_name(names[at:end]) if end > at else ""


def _leaf(space: Space, address: int, names: bytes) -> Iterator[tuple[str, int, bytes | None]]:
    room = 2 * space.symbols_k
    start = space.claim(address, 8 + 40 * room)
    signature, version, _, count = struct.unpack_from("<4sBBH", space.data, start)
    if signature != b"SNOD" or version != 1 or not 1 <= count <= room:
        raise Unsupported("a symbol table node of unknown form")
    for at in range(start + 8, start + 8 + 40 * count, 40):
        name, header, cached, table = _ENTRY.unpack_from(space.data, at)
        if cached > 1:
            raise Unsupported("a soft link")
        yield _key(names, name), header, table if cached else None
