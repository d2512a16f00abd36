"""One pass over a file's bytes: every announced checksum and our own BLAKE3 digest from the same buffer."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from blake3 import blake3

#: Bytes from the start of each file that are kept for the structural check.
HEAD_BYTES = 65_536
_BUFFER_BYTES = 1 << 20
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...


class _Crc32:
    """CRC-32 of zip and gzip, as eight hex digits."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: memoryview, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


class _Cksum:
    """POSIX ``cksum`` (IEEE Std 1003.1, cksum), in decimal as that command prints it.

    It is the CRC-32 polynomial without reflection; over bit-reversed bytes zlib's reflected one gives its remainder.
    """

    def __init__(self) -> None:
        self._value = 0
        self._length = 0

    def update(self, data: memoryview, /) -> None:
        self._length += len(data)
        self._feed(bytes(data))

    def _feed(self, data: bytes) -> None:
        self._value = zlib.crc32(data.translate(_REVERSED), self._value ^ 0xFFFFFFFF) ^ 0xFFFFFFFF

    def hexdigest(self) -> str:
        value, length = self._value, self._length
        self._feed(length.to_bytes((length.bit_length() + 7) // 8, "little"))
        remainder = int(f"{self._value:032b}"[::-1], 2) ^ 0xFFFFFFFF
        self._value = value
        return str(remainder)


def _new(algorithm: str) -> _Hash:
    match algorithm:
        case "crc32":
            return _Crc32()
        case "cksum":
            return _Cksum()
        case "blake3":
            return blake3()
        case _:
            return hashlib.new(algorithm, usedforsecurity=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """What one pass over the bytes gave."""

    size: int
    #: BLAKE3, 32 bytes: the archive's own identity of the bytes.
    blake3: bytes
    #: Announced algorithms → value as ``announcements.Announced`` spells it.
    values: dict[str, str]
    #: The first ``HEAD_BYTES`` of the file.
    head: bytes


class Hasher:
    """Hashes many files with one reused buffer (a fresh one for each small file costs several times the hashing)."""

    def __init__(self) -> None:
        """Allocate the buffer."""
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)

    def digest(self, descriptor: int, algorithms: Iterable[str] = (), *, copy_to: int | None = None) -> Digests:
        """Read ``descriptor`` from where it stands to its end, once; write the same bytes to ``copy_to`` if given.

        Raises OSError as the system reports it.
        """
        own = blake3()
        named = {algorithm: _new(algorithm) for algorithm in sorted(set(algorithms))}
        hashes: list[_Hash] = [own, *named.values()]
        head, size = b"", 0
        while count := os.readv(descriptor, [self._buffer]):
            chunk = self._view[:count]
            if not size:
                head = bytes(chunk[:HEAD_BYTES])
            size += count
            for each in hashes:
                each.update(chunk)
            while copy_to is not None and chunk:
                chunk = chunk[os.write(copy_to, chunk) :]
        values = {algorithm: each.hexdigest() for algorithm, each in named.items()}
        return Digests(size=size, blake3=own.digest(), values=values, head=head)
