"""HDF5 files by the thousand: the container is written once by the library, then only its values are replaced.

Files of one shape (same products, number of granules, era, packaging) differ in attribute values of fixed size and in a
few unfiltered chunks. Version 1 object headers carry no checksum, so both may be overwritten in place. Offsets are
read from the object headers (HDF5 File Format Specification 3.0, section IV.A), never guessed.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import h5py
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.generic]
#: Name to a two-dimensional array; texts as fixed-length bytes one longer than the longest (null-terminated).
Attributes = dict[str, Values]

_CONTINUATION, _ATTRIBUTE = 0x10, 0x0C


@dataclass(slots=True, kw_only=True)
class DataSet:
    """One array under ``All_Data``: the whole of it, its rows per granule, and its fill value."""

    data: Values
    #: Rows of one granule, which is also the chunk's height.
    rows: int
    fill: int | float | None = None
    #: Only this granule's (raw packets); None when granules are joined along the first axis.
    granule: int | None = None
    #: Never deflated, so that it can be replaced in place.
    replaceable: bool = False


@dataclass(slots=True, kw_only=True)
class Collection:
    """One product in a file."""

    name: str
    group: Attributes
    aggregate: Attributes
    granules: list[Attributes]
    arrays: dict[str, DataSet] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Content:
    """All that a file says. To fill a template, give only what differs."""

    root: Attributes
    collections: list[Collection]
    user_block: bytes = b""


class Template:
    """One finished file and where its values stand in it."""

    def __init__(self, content: Content, *, user_block: int, deflate: bool) -> None:
        """Write ``content`` with a user block of that size; ``deflate`` compresses as IDPS does (shuffle, level 5)."""
        self._user_block = user_block
        self._attributes: dict[tuple[str, str], tuple[int, int]] = {}
        self._chunks: dict[str, list[tuple[int, int]]] = {}
        file = io.BytesIO()
        with h5py.File(file, "w", libver=("earliest", "v110"), userblock_size=user_block) as h5:
            for group in ("All_Data", "Data_Products"):
                h5.create_group(group)
            _write_attributes(h5, content.root)
            for collection in content.collections:
                _write_collection(h5, collection, deflate)
            h5.flush()
            addresses = self._locate(h5, content)
        self._image = bytearray(file.getvalue())
        self._image[: len(content.user_block)] = content.user_block
        for path, address in addresses.items():
            for name, place in _attribute_places(self._image, address, user_block).items():
                self._attributes[path, name] = place

    def _locate(self, h5: h5py.File, content: Content) -> dict[str, int]:
        paths = ["/"]
        for collection in content.collections:
            paths += [group_path(collection), aggregate_path(collection)]
            paths += [granule_path(collection, n) for n in range(len(collection.granules))]
            for name, array in collection.arrays.items():
                if array.replaceable:
                    path = array_path(collection, name)
                    store = h5[path].id
                    info = [store.get_chunk_info(n) for n in range(store.get_num_chunks())]
                    self._chunks[path] = [(chunk.byte_offset, chunk.size) for chunk in info]
        return {path: h5py.h5o.get_info(h5[path].id).addr + self._user_block for path in paths}

    def fill(self, content: Content) -> bytes:
        """A copy of the file with the values of ``content``, each of exactly the size the template has.

        Raises ValueError when a text is longer, or an array has another shape than the template's.
        """
        image = bytearray(self._image)
        if len(content.user_block) > self._user_block:
            raise ValueError(f"user block of {len(content.user_block)} bytes does not fit into {self._user_block}")
        image[: self._user_block] = content.user_block.ljust(self._user_block, b"\0")
        self._put(image, "/", content.root)
        for collection in content.collections:
            self._put(image, group_path(collection), collection.group)
            self._put(image, aggregate_path(collection), collection.aggregate)
            for n, granule in enumerate(collection.granules):
                self._put(image, granule_path(collection, n), granule)
            for name, array in collection.arrays.items():
                self._put_array(image, array_path(collection, name), array)
        return bytes(image)

    def _put(self, image: bytearray, path: str, values: Mapping[str, Values]) -> None:
        for name, value in values.items():
            offset, size = self._attributes[path, name]
            raw = value.tobytes()
            if len(raw) > size or (value.dtype.kind != "S" and len(raw) != size):
                raise ValueError(f"{path}@{name}: the template holds {size} bytes, got {len(raw)}")
            image[offset : offset + size] = raw.ljust(size, b"\0")

    def _put_array(self, image: bytearray, path: str, array: DataSet) -> None:
        places = self._chunks[path]
        raw = array.data.tobytes()
        if len(raw) != sum(size for _, size in places):
            raise ValueError(f"{path}: the template holds {sum(size for _, size in places)} bytes, got {len(raw)}")
        done = 0
        for offset, size in places:
            image[offset : offset + size] = raw[done : done + size]
            done += size


def group_path(collection: Collection) -> str:
    """Where the attributes of a collection stand."""
    return f"/Data_Products/{collection.name}"


def aggregate_path(collection: Collection) -> str:
    """Where the attributes of its aggregate stand."""
    return f"/Data_Products/{collection.name}/{collection.name}_Aggr"


def granule_path(collection: Collection, n: int) -> str:
    """Where the attributes of its ``n``-th granule stand."""
    return f"/Data_Products/{collection.name}/{collection.name}_Gran_{n}"


def array_path(collection: Collection, name: str) -> str:
    """Where one of its arrays stands."""
    return f"/All_Data/{collection.name}_All/{name}"


def _write_collection(h5: h5py.File, collection: Collection, deflate: bool) -> None:
    stored = [
        _write_array(h5, array_path(collection, name), array, deflate) for name, array in collection.arrays.items()
    ]
    arrays = list(collection.arrays.values())
    h5.create_group(group_path(collection))
    _write_attributes(h5[group_path(collection)], collection.group)
    whole = h5.create_dataset(aggregate_path(collection), (len(stored),), dtype=h5py.ref_dtype)
    whole[:] = np.array([dataset.ref for dataset in stored], dtype=h5py.ref_dtype)
    _write_attributes(whole, collection.aggregate)
    for n, attributes in enumerate(collection.granules):
        regions = [
            dataset.regionref[...]
            if array.granule is not None
            else dataset.regionref[n * array.rows : (n + 1) * array.rows]
            for dataset, array in zip(stored, arrays, strict=True)
            if array.granule in (None, n)
        ]
        part = h5.create_dataset(granule_path(collection, n), (len(regions),), dtype=h5py.regionref_dtype)
        part[:] = np.array(regions, dtype=h5py.regionref_dtype)
        _write_attributes(part, attributes)


def _write_array(h5: h5py.File, path: str, array: DataSet, deflate: bool) -> h5py.Dataset:
    chunk = (array.rows, *array.data.shape[1:])
    filters = {"compression": "gzip", "compression_opts": 5, "shuffle": True} if deflate else {}
    growable = (None,) * array.data.ndim
    dataset = h5.create_dataset(
        path, array.data.shape, array.data.dtype, chunks=chunk, maxshape=growable, fillvalue=array.fill, **filters
    )
    if not array.replaceable:
        dataset[...] = array.data
        return dataset
    for first in range(0, array.data.shape[0], array.rows):
        place = (first, *(0,) * (array.data.ndim - 1))
        # Mask 3: this chunk skips both filters, as the library itself does with data that do not shrink.
        dataset.id.write_direct_chunk(place, array.data[first : first + array.rows].tobytes(), 3 if deflate else 0)
    return dataset


def _write_attributes(owner: h5py.HLObject, attributes: Attributes) -> None:
    for name, value in attributes.items():
        if value.dtype.kind == "S":
            stored = h5py.h5t.C_S1.copy()
            stored.set_size(value.dtype.itemsize)
            stored.set_strpad(h5py.h5t.STR_NULLTERM)
        else:
            stored = h5py.h5t.py_create(value.dtype, logical=True)
        space = h5py.h5s.create_simple(value.shape)
        h5py.h5a.create(owner.id, name.encode(), stored, space).write(np.ascontiguousarray(value))


def _attribute_places(image: bytearray, address: int, base: int) -> dict[str, tuple[int, int]]:
    """Name to offset and size of the value, for each attribute message of the object header at ``address``."""
    version, _, _, _, size = struct.unpack_from("<BBHII", image, address)
    if version != 1:
        raise ValueError(f"object header of version {version} at {address}: expected 1, which has no checksum")
    places: dict[str, tuple[int, int]] = {}
    blocks = [(address + 16, size)]
    while blocks:
        offset, length = blocks.pop()
        end = offset + length
        while offset + 8 <= end:
            kind, body = struct.unpack_from("<HH", image, offset)
            offset += 8
            if kind == _CONTINUATION:
                where, more = struct.unpack_from("<QQ", image, offset)
                blocks.append((where + base, more))
            elif kind == _ATTRIBUTE:
                name_size, *others = struct.unpack_from("<HHH", image, offset + 2)
                name = bytes(image[offset + 8 : offset + 8 + name_size - 1]).decode()
                head = 8 + sum(-(-part // 8) * 8 for part in (name_size, *others))
                dimensions = offset + 8 + -(-name_size // 8) * 8 + -(-others[0] // 8) * 8
                places[name] = (offset + head, _value_size(image, offset + 8 + -(-name_size // 8) * 8, dimensions))
            offset += body
    return places


def _value_size(image: bytearray, datatype: int, dataspace: int) -> int:
    (element,) = struct.unpack_from("<I", image, datatype + 4)
    rank = image[dataspace + 1]
    shape = struct.unpack_from(f"<{rank}Q", image, dataspace + 8)
    total: int = element
    for length in shape:
        total *= length
    return total
