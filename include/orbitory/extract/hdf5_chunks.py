"""Whether what HDF5 datasets store is all there and sound: pieces within the file, chunks that inflate to their size.

Values are not kept. Layouts: HDF5 file format specification 3.0, sections III.A.1 (B-trees) and IV.A.2.i (layout).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise

from orbitory.extract.hdf5_messages import DEFLATE, UNDEFINED, Storage, Unsupported
from orbitory.extract.hdf5_space import Space

#: What is stored and what it inflates to may have so many bytes in all; larger files go to the library.
INFLATED_LIMIT = 96 << 20
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
        for place, address, stored, skipped in _chunks(space, storage, storage.address):
            if any(at >= length for at, length in zip(place, storage.shape, strict=True)):
                raise Unsupported("a chunk outside its dataset")
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


def _chunks(space: Space, storage: Storage, address: int) -> Iterator[_Chunk]:
    """The chunks of a B-tree of one node. Its keys, by which the library finds them, stand between their places."""
    axes = len(storage.chunk) + 1
    room = 2 * space.chunks_k
    start = space.claim(address, 24 + room * (16 + 8 * axes) + 8 + 8 * axes)
    signature, kind, height, used, *others = struct.unpack_from("<4sBBHQQ", space.data, start)
    if signature != b"TREE" or kind != 1 or height or not 1 <= used <= room or others != [UNDEFINED, UNDEFINED]:
        raise Unsupported("a dataset's B-tree of several nodes, or of unknown form")
    keys = struct.Struct(f"<II{axes}QQ")  # a key, and the address of the chunk behind it
    entries = list(keys.iter_unpack(space.data[start + 24 : start + 24 + keys.size * used]))
    last = struct.unpack_from(f"<8x{axes}Q", space.data, start + 24 + keys.size * used)
    steps = (*storage.chunk, storage.width)
    bounds = [*(entry[2:-1] for entry in entries), last]
    if any(at % step for place in bounds for at, step in zip(place, steps, strict=True)):
        raise Unsupported("a chunk that does not stand on the grid")
    if any(place[-1] for place in bounds[:-1]) or any(a >= b for a, b in pairwise(bounds)):
        raise Unsupported("chunks that are not in order")
    for stored, skipped, *place, chunk in entries:
        yield tuple(place[:-1]), chunk, stored, skipped
