"""HDF5 metadata from bytes already read: groups, attributes and where datasets stand, in memory-safe Python.

It reads the common part of the format (superblocks 0 to 3, object headers 1 and 2, symbol tables, compact links) and
only what is exactly as the specification says. Everything else is ``Unsupported``; the HDF5 library then judges.
Layouts: HDF5 file format specification 3.0, sections III (groups) and IV.A.2 (links).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from itertools import pairwise

from orbitory.extract.hdf5_chunks import Budget, check_elements
from orbitory.extract.hdf5_layouts import Node, known, layout_of, learn
from orbitory.extract.hdf5_messages import UNDEFINED, Unsupported, name_in
from orbitory.extract.hdf5_space import Space

_DEPTH_LIMIT, _PATH_LIMIT = 64, 1024
_HEAP_LIMIT = 65_536
_CACHED = 512
_ENTRY = struct.Struct("<QQI4x16s")


def read_tree(data: bytes, *, elements: bool, like: str = "") -> Node:
    """The root group of the HDF5 file in ``data``, with all below it.

    With ``elements`` all chunks are inflated, to find damage in them. ``like``: equal for files that are likely to have
    their metadata at the same places. Raises Unsupported.
    """
    try:
        space, budget = Space(data), Budget() if elements else None
        key = (like, space.form)
        for layout in known(key):
            root = layout.filled(space)
            if root is not None:
                for storage in layout.stored:
                    check_elements(space, storage, budget)
                return root
        root = _node(space, space.root, "/", space.root_table)
        taken = layout_of(space, root)
        for node in root.walk():
            if node.storage is not None:
                check_elements(space, node.storage, budget)
        if taken is not None:
            learn(key, taken)
    except (struct.error, IndexError, ValueError) as error:
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
    if path.count("/") > _DEPTH_LIMIT or len(path) > _PATH_LIMIT:
        raise Unsupported(f"groups in more than {_DEPTH_LIMIT} levels, or with very long names")
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
    """Name, address and cached symbol table of each member of a group with a symbol table; its B-tree has one node."""
    tree, heap = struct.unpack("<QQ", table)
    names = _heap(space, heap)
    room = 2 * space.groups_k
    start = space.claim(tree, 24 + 8 * (2 * room + 1))
    signature, kind, height, used, *others = struct.unpack_from("<4sBBHQQ", space.data, start)
    if signature != b"TREE" or kind or height or used > room or others != [UNDEFINED, UNDEFINED]:
        raise Unsupported("a group's B-tree of several nodes, or of unknown form")
    keys = struct.unpack_from(f"<{2 * used + 1}Q", space.data, start + 24)
    fields: list[tuple[int, int, int, bytes]] = []
    counts = []
    for address in keys[1::2]:
        start = space.claim(address, 8 + 80 * space.symbols_k)
        signature, version, count = struct.unpack_from("<4sBxH", space.data, start)
        if signature != b"SNOD" or version != 1 or not 1 <= count <= 2 * space.symbols_k:
            raise Unsupported("a symbol table node of unknown form")
        fields += _ENTRY.iter_unpack(space.data[start + 8 : start + 8 + 40 * count])
        counts.append(count)
    if not fields:
        return []
    at, addresses, cached, tables = zip(*fields, strict=True)
    if max(cached) > 1:
        raise Unsupported("a soft link")
    owned = (each if known else None for each, known in zip(tables, cached, strict=True))
    return list(zip(_ordered(names, at, tuple(counts), keys[::2]), addresses, owned, strict=True))


@lru_cache(_CACHED)
def _ordered(names: bytes, at: tuple[int, ...], counts: tuple[int, ...], keys: tuple[int, ...]) -> tuple[str, ...]:
    """The names at ``at`` of a heap. The keys, by which the library finds the node of a name, must stand between them.

    ``counts``: names of each node.
    """
    found = tuple(_name(names, each) for each in at)
    bounds = [_name(names, key) if names[key : key + 1] != b"\0" else "" for key in keys]
    end = 0
    for count, (below, above) in zip(counts, pairwise(bounds), strict=True):
        node = found[end : end + count]
        end += count
        if not below < node[0] or not node[-1] <= above:
            raise Unsupported("a group's B-tree whose keys do not fit its names")
    return found


def _name(names: bytes, at: int) -> str:
    end = names.find(b"\0", at)
    if at >= len(names) or end < 0:
        raise Unsupported("a name outside its heap")
    return _member_name(names[at:end])


def _heap(space: Space, address: int) -> bytes:
    """The names of a group, in one piece."""
    signature, size, free, data = struct.unpack_from("<8sQQQ", space.data, space.claim(address, 32))
    if signature != b"HEAP\0\0\0\0" or size > _HEAP_LIMIT:
        raise Unsupported("a local heap of unknown form")
    names = space.bytes_at(data, size)
    for _ in range(size // 16 + 1):
        if free == 1:
            return names
        if free > size:
            break
        following, length = struct.unpack_from("<QQ", names, free)
        if not following or length < 16 or free % 8 or free + length > size:
            break
        free = following
    raise Unsupported("a local heap whose free space is damaged")
