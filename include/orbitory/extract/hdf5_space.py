"""HDF5 object headers in bytes already read, by address. Every structure is claimed: together they may take no more
bytes than the file has, so that no file, however damaged, costs more than its size.

Layouts: HDF5 file format specification 3.0, sections II (superblock) and IV.A.1 (object headers).
"""

from __future__ import annotations

import struct

from orbitory.extract.container import HEAD_BYTES, hdf5_offset
from orbitory.extract.hdf5_headers import Field, Messages, ObjectHeader, known, learn
from orbitory.extract.hdf5_messages import UNDEFINED, Unsupported

_WORD = 0xFFFFFFFF
_MESSAGE = struct.Struct("<HHB3x")
_COMPACT_MESSAGE = struct.Struct("<BHB")


class Space:
    """A whole HDF5 file. Raises Unsupported for whatever is not as expected; ``struct.error`` for what is cut off."""

    def __init__(self, data: bytes) -> None:
        """Read the superblock."""
        self.data = data
        self._left = len(data)
        self._headers: set[int] = set()
        #: What was claimed: where it begins in ``data``, and its size.
        self.claims: list[tuple[int, int]] = []
        #: By path: where the blocks of a header of version 1 begin in ``data``, and what may differ in them.
        self.fields: dict[str, tuple[list[int], list[Field]]] = {}
        self._base = base = hdf5_offset(data[:HEAD_BYTES])
        version = data[base + 8] if 0 <= base < len(data) - 8 else -1
        #: Symbol table and B-tree that the superblock says the root group has.
        self.root_table: bytes | None = None
        #: Half of the entries that nodes have room for: of symbols, of groups' B-trees, of chunks' B-trees.
        self.symbols_k, self.groups_k, self.chunks_k = 4, 16, 32
        if version in (0, 1):
            self.root = self._old_superblock(version)
        elif version in (2, 3):
            self.root = self._new_superblock()
        else:
            raise Unsupported(f"superblock version {version}")
        #: What the superblock says but for the file's end.
        self.form = (version, base, self.root, self.root_table, self.symbols_k, self.groups_k, self.chunks_k)

    def claim(self, address: int, size: int) -> int:
        """Where the ``size`` bytes at ``address`` begin in ``data``."""
        start = self._base + address
        self._left -= size
        if start + size > len(self.data) or self._left < 0:
            raise Unsupported(f"a structure of {size} bytes at {address} reaches behind the end, or overlaps others")
        self.claims.append((start, size))
        return start

    def take(self, size: int) -> None:
        """Count ``size`` bytes as claimed."""
        self._left -= size

    def bytes_at(self, address: int, size: int) -> bytes:
        """The ``size`` bytes at ``address``, claimed."""
        start = self.claim(address, size)
        return self.data[start : start + size]

    def _old_superblock(self, version: int) -> int:
        start = self._base + 8
        *versions, symbols_k, groups_k, flags = struct.unpack_from("<8BHHI", self.data, start)
        if versions != [version, 0, 0, versions[3], 0, 8, 8, versions[7]] or flags or not symbols_k or not groups_k:
            raise Unsupported("a superblock of unknown form")
        self.symbols_k, self.groups_k = symbols_k, groups_k
        start += 16
        if version == 1:
            self.chunks_k = struct.unpack_from("<H", self.data, start)[0]
            start += 4
        base, free, end, driver, _, root, cached = struct.unpack_from("<6QI", self.data, start)
        self._check_extent(base, end)
        if (free, driver) != (UNDEFINED, UNDEFINED) or cached > 1 or not self.chunks_k:
            raise Unsupported("a superblock with a driver, free space or an unknown root")
        if cached:
            self.root_table = self.data[start + 56 : start + 72]
        return int(root)

    def _new_superblock(self) -> int:
        start = self._base
        widths, base, extension, end, root, total = struct.unpack_from("<3s4QI", self.data, start + 9)
        self._check_extent(base, end)
        if widths != b"\x08\x08\x00" or extension != UNDEFINED or total != check_sum(self.data[start : start + 44]):
            raise Unsupported("a superblock with an extension, flags or a wrong checksum")
        return int(root)

    def _check_extent(self, base: int, end: int) -> None:
        if base != self._base or end != len(self.data):
            raise Unsupported(f"a superblock that says {base} to {end} of a file from {self._base} to {len(self.data)}")

    def header(self, address: int, path: str) -> ObjectHeader:
        """The header of the object at ``address``, of which there is but one; ``path`` tells which one to expect."""
        if address in self._headers:
            raise Unsupported("an object with several names")
        self._headers.add(address)
        start = self._base + address
        if self.data.startswith(b"OHDR", start):
            return self._new_header(address).finished()
        key = (path.rstrip("0123456789"), self.data[start : start + 16])
        for template in known(key):
            left, claims, starts = self._left, len(self.claims), list[int]()
            found = template.filled(self, address + 16, starts)
            if found is not None:
                self.claim(address, 16)
                self.fields[path] = starts, template.fields
                return found
            self._left = left
            del self.claims[claims:]
        messages = self._old_header(address)
        found = messages.finished()
        self.fields[path] = messages.starts, messages.fields
        learn(key, messages, found)
        return found

    def _old_header(self, address: int) -> Messages:
        version, _, count, references, size = struct.unpack_from("<BBHII", self.data, self.claim(address, 16))
        if version != 1 or references != 1:
            raise Unsupported(f"an object header of version {version} with {references} references")
        found = Messages((address + 16, size))
        for place, length in found.blocks:
            at = start = self.claim(place, length)
            end = at + length
            while at < end:
                kind, length, flags = _MESSAGE.unpack_from(self.data, at)
                at += 8 + length
                if at > end or length & 7:
                    raise Unsupported("a message reaches behind its header")
                found.take(kind, flags, self.data[at - length : at], at - length - start)
                count -= 1
            found.starts.append(start)
            found.contents.append(self.data[start:end])
        if count:
            raise Unsupported("an object header with another number of messages than it says")
        return found

    def _new_header(self, address: int) -> Messages:
        start = self._base + address
        version, flags = self.data[start + 4 : start + 6]
        if version != 2 or flags > 0x3F:
            raise Unsupported(f"an object header of version {version} with flags {flags:#x}")
        prefix = 6 + 16 * (flags >> 5 & 1) + 4 * (flags >> 4 & 1)
        width = 1 << (flags & 3)
        size = int.from_bytes(self.data[start + prefix : start + prefix + width], "little")
        skip, head = prefix + width, 4 + 2 * (flags >> 2 & 1)
        found = Messages((address, skip + size + 4))
        for place, length in found.blocks:
            at = self.claim(place, length)
            end = at + length - 4
            if end < at + skip or struct.pack("<I", check_sum(self.data[at:end])) != self.data[end : end + 4]:
                raise Unsupported("an object header with a wrong checksum")
            if found.contents and not self.data.startswith(b"OCHK", at):
                raise Unsupported("the continuation of an object header is none")
            at += skip
            skip = 4
            while end - at >= head:
                kind, size, given = _COMPACT_MESSAGE.unpack_from(self.data, at)
                at += head + size
                if at > end:
                    raise Unsupported("a message reaches behind its header")
                found.take(kind, given, self.data[at - size : at], 0)
            found.contents.append(b"")
        return found


def _turned(value: int, places: int) -> int:
    return (value << places | value >> 32 - places) & _WORD


def check_sum(data: bytes) -> int:
    """Bob Jenkins' lookup3 of ``data``, as HDF5 uses it.

    >>> hex(check_sum(b"Four score and seven years ago"))
    '0x17770551'
    """
    a: int = 0xDEADBEEF + len(data) & _WORD
    b = c = a
    if not data:
        return c
    words: tuple[int, ...] = struct.unpack(f"<{-(-len(data) // 12) * 3}I", data + bytes(-len(data) % 12))
    last = len(words) - 3
    for at in range(0, last, 3):
        a, b, c = a + words[at] & _WORD, b + words[at + 1] & _WORD, c + words[at + 2] & _WORD
        for places in (4, 6, 8, 16, 19, 4):
            a, b, c = b, c + b & _WORD, (a - c & _WORD) ^ _turned(c, places)
    a, b, c = a + words[last] & _WORD, b + words[last + 1] & _WORD, c + words[last + 2] & _WORD
    for places in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _turned(b, places) & _WORD
        a, b, c = b, c, a
    return b
