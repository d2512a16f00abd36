"""One pass over a file's bytes: every announced checksum and our own BLAKE3 digest from the same buffer."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
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
    """Hashes many files with reused buffers (a fresh one for each small file costs several times the hashing).

    Of a file that fills a buffer, a second thread computes our own digest and reads ahead, while this one computes what
    was announced: both let go of the interpreter. It lives no longer than the call.
    """

    def __init__(self) -> None:
        """Allocate the buffers."""
        self._views = (memoryview(bytearray(_BUFFER_BYTES)), memoryview(bytearray(_BUFFER_BYTES)))

    def digest(self, descriptor: int, algorithms: Iterable[str] = (), *, copy_to: int | None = None) -> Digests:
        """Read ``descriptor`` from where it stands to its end, once; write the same bytes to ``copy_to`` if given.

        Raises OSError as the system reports it.
        """
        own = blake3()
        named = {algorithm: _new(algorithm) for algorithm in sorted(set(algorithms))}

        def advance(chunk: memoryview, following: memoryview) -> int:
            own.update(chunk)
            return os.readv(descriptor, [following])

        current, following = self._views
        count = os.readv(descriptor, [current])
        head, size = bytes(current[: min(count, HEAD_BYTES)]), 0
        busy = count == _BUFFER_BYTES and (named or copy_to is not None)
        with ThreadPoolExecutor(1) if busy else nullcontext() as beside:
            while count:
                chunk = current[:count]
                size += count
                ahead = beside.submit(advance, chunk, following) if beside else None
                for each in named.values():
                    each.update(chunk)
                while copy_to is not None and chunk:
                    chunk = chunk[os.write(copy_to, chunk) :]
                count = ahead.result() if ahead else advance(current[:count], following)
                current, following = following, current
        values = {algorithm: each.hexdigest() for algorithm, each in named.items()}
        return Digests(size=size, blake3=own.digest(), values=values, head=head)
