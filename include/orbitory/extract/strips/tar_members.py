"""A TAR's members by name and offset, as its headers list them: nothing is unpacked, nothing else is read.

POSIX.1-1988 (ustar) and older headers, with the long names of GNU and POSIX.1-2001 (pax). What could write outside of
its folder when somebody unpacks it is refused: absolute names, ``..``, links, devices.
"""

from __future__ import annotations

from dataclasses import dataclass

from orbitory.errors import DataError
from orbitory.extract.header import text
from orbitory.extract.structure import Bytes

_BLOCK = 512
#: A bundle of one image holds some twenty files, of a whole order some hundreds.
MEMBER_LIMIT = 10_000
_NAME_LIMIT = 65_536
_FILES, _FOLDER = b"\x0007", b"5"
_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_REFUSED = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a FIFO"}


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file in a TAR."""

    name: str
    offset: int
    size: int


def tar_members(data: Bytes) -> list[TarMember]:
    """All files in it; of those with the same name the last, as unpacking would leave it.

    Raises DataError: ``structure`` when it is cut off or damaged, ``policy`` for what must not be unpacked.
    """
    found: dict[str, TarMember] = {}
    at, told = 0, dict[str, bytes]()
    for _ in range(2 * MEMBER_LIMIT):
        block = data.at(at, _BLOCK)
        if not any(block):
            return list(found.values())
        _check_sum(block, at)
        size = _size(block, at, told.get("size", b""))
        start, kind = at + _BLOCK, block[156:157]
        at = start + size + -size % _BLOCK
        if start + size > data.size:
            raise DataError("structure", f"truncated: the TAR member at {start} has {size} bytes")
        if kind in (_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL):
            if size > _NAME_LIMIT:
                raise DataError("policy", f"TAR with a name of {size} bytes")
            if kind == _GNU_NAME:
                told["path"] = data.at(start, size).rstrip(b"\0")
            elif kind == _PAX:
                told |= _pax(data.at(start, size))
            continue
        name = _checked(told.get("path") or _name(block))
        told = {}
        if kind in _FILES and not name.endswith("/"):
            found[name] = TarMember(name, start, size)
        elif kind != _FOLDER and kind not in _FILES:
            what = _REFUSED.get(kind, f"of type {text(kind)!r}")
            raise DataError("policy", f"TAR member {name!r} is {what}: only files and folders are accepted")
    raise DataError("policy", f"TAR with more than {MEMBER_LIMIT} members")


def _check_sum(block: bytes, at: int) -> None:
    if _octal(block[148:156], at) != sum(block) - sum(block[148:156]) + 8 * 0x20:
        raise DataError("structure", f"TAR is damaged: no header at {at}")


def _size(block: bytes, at: int, extended: bytes) -> int:
    if extended.isdigit() and len(extended) < 20:
        return int(extended)
    field = block[124:136]
    # GNU writes what is too large for octal digits in binary
    return int.from_bytes(field[1:], "big") if field[0] == 0x80 else _octal(field, at)


def _octal(field: bytes, at: int) -> int:
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise DataError("structure", f"TAR is damaged: no header at {at}")
    return int(digits or b"0", 8)


def _name(block: bytes) -> bytes:
    name, prefix = block[:100].split(b"\0")[0], block[345:500].split(b"\0")[0]
    return prefix + b"/" + name if prefix and block[257:263] == b"ustar\0" else name


def _pax(data: bytes) -> dict[str, bytes]:
    """Its records: ``length key=value\\n``."""
    found: dict[str, bytes] = {}
    while data:
        length = data.partition(b" ")[0]
        count = int(length) if length.isdigit() and len(length) < 8 else 0
        key, equals, value = data[len(length) + 1 : count].partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise DataError("structure", "TAR is damaged: extended header")
        found[text(key)] = value[:-1]
        data = data[count:]
    return found


def _checked(raw: bytes) -> str:
    name = text(raw)
    parts = name.replace("\\", "/").split("/")
    if not name or not parts[0] or ".." in parts or parts[0].endswith(":"):
        raise DataError("policy", f"TAR member {name[:200]!r} would be unpacked outside of its folder")
    return name
