"""Whether what HDF5 datasets store is all there and sound: pieces within the file, chunks that inflate to their size.

Values are not kept. Layouts: HDF5 file format specification 3.0, sections III.A.1 (B-trees) and IV.A.2.i (layout).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator

from orbitory.extract.hdf5_messages import DEFLATE, UNDEFINED, Storage, Unsupported
from orbitory.extract.hdf5_space import Space

#: What is stored and what it inflates to may have so many bytes in all; larger files go to the library.
INFLATED_LIMIT = 64 << 20
_NODE = struct.Struct("<4sBBHQQ")
#: Place, address, stored bytes, skipped filters.
_Chunk = tuple[tuple[int, ...], int, int, int]


class Budget:
    """Bytes that may still be inflated, of one file."""

    def __init__(self) -> None:
        """Start with ``INFLATED_LIMIT``."""
        self._left = INFLATED_LIMIT

    def take(self, size: int) -> None:
        """Use up ``size``. Raises Unsupported when there are not so many."""
        self._left -= size
        if self._left < 0:
            raise Unsupported(f"data that inflate to more than {INFLATED_LIMIT} bytes")


def check_elements(space: Space, storage: Storage, budget: Budget | None) -> None:
    """Refuse a dataset whose elements are not all in the file; with a ``budget``, whose chunks do not inflate."""
    if storage.address in (None, UNDEFINED) or not storage.size:
        return
    if not storage.chunk:
        space.claim(storage.address, storage.size)
        if budget is not None:
            budget.take(storage.size)
    elif budget is not None:
        budget.take(storage.size)
        size = math.prod(storage.chunk) * storage.width
        last: tuple[int, ...] = ()
        for place, address, stored, skipped in _chunks(space, storage, storage.address, None):
            if any(at >= length for at, length in zip(place, storage.shape, strict=True)) or place <= last:
                raise Unsupported("a chunk outside its dataset, or out of order")
            last = place
            budget.take(size)
            _check_chunk(space.bytes_at(address, stored), storage.filters, skipped, size)


def _check_chunk(stored: bytes, filters: tuple[int, ...], skipped: int, size: int) -> None:
    """``skipped``: bits of the filters that were not applied to this chunk."""
    if skipped >> len(filters):
        raise Unsupported("a chunk that skips filters which there are not")
    if DEFLATE not in filters or skipped >> filters.index(DEFLATE) & 1:
        if len(stored) != size:
            raise Unsupported(f"a chunk of {len(stored)} bytes: expected {size}")
        return
    inflate = zlib.decompressobj()
    try:
        found = len(inflate.decompress(stored, size + 1))
    except zlib.error as error:
        raise Unsupported(f"a chunk that does not inflate: {error}") from error
    if found != size or not inflate.eof or inflate.unused_data:
        raise Unsupported(f"a chunk that inflates to {found} bytes: expected {size}")


def _chunks(space: Space, storage: Storage, address: int, level: int | None) -> Iterator[_Chunk]:
    """The chunks below a B-tree node, whose keys must enclose their places."""
    axes = len(storage.chunk) + 1
    key = 8 + 8 * axes
    room = 2 * space.chunks_k
    start = space.claim(address, 24 + room * (key + 8) + key)
    signature, kind, height, used, _, _ = _NODE.unpack_from(space.data, start)
    if signature != b"TREE" or kind != 1 or not 1 <= used <= room or (level is not None and height != level):
        raise Unsupported("a dataset's B-tree of unknown form")
    steps = (*storage.chunk, storage.width)
    keys = [struct.unpack_from(f"<II{axes}Q", space.data, start + 24 + n * (key + 8)) for n in range(used + 1)]
    if any(at % step for each in keys for at, step in zip(each[2:], steps, strict=True)):
        raise Unsupported("a chunk that does not stand on the grid")
    for n in range(used):
        (stored, skipped, *place), above = keys[n], keys[n + 1][2:]
        child = struct.unpack_from("<Q", space.data, start + 24 + n * (key + 8) + key)[0]
        if height == 0:
            if place.pop() or not tuple(place) < above:
                raise Unsupported("a chunk beyond the key behind it")
            yield tuple(place), child, stored, skipped
        else:
            for found in _chunks(space, storage, child, height - 1):
                if not tuple(place[:-1]) <= found[0] < above:
                    raise Unsupported("a dataset's B-tree whose keys do not fit its chunks")
                yield found
