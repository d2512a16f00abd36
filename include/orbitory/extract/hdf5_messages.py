"""Messages of HDF5 object headers, from bytes: attributes with numbers and fixed-length texts, and forms of datasets.

Whatever is not exactly as known here is ``Unsupported``: the HDF5 library then judges the file. Layouts: HDF5 file
format specification 3.0, section IV.A.2.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from orbitory.extract.header import LIST_LIMIT, TEXT_LIMIT, Told, encode

UNDEFINED = (1 << 64) - 1
_HEAD_LIMIT = 1024
_RANK_LIMIT = 32
_CLAIM_LIMIT = 1 << 40
_CACHED = 4096
_SHORT = 64
_REPEATED = 64

_INTEGERS = {1: "B", 2: "H", 4: "I", 8: "Q"}
#: Datatype messages of IEEE 754 numbers: size → format, class bits without the byte order, what follows the size.
_FLOATS = {
    4: ("f", 0x1F20, bytes.fromhex("00002000170800177f000000")),
    8: ("d", 0x3F20, bytes.fromhex("00004000340b0034ff030000")),
}
_REFERENCES = {8: 0, 12: 1}  # size → kind: to an object, to a region
_SHUFFLE, DEFLATE = 2, 1


class Unsupported(Exception):
    """Not of the subset that is read from bytes, or damaged: the message says what was met."""


@dataclass(frozen=True, slots=True)
class Form:
    """How the bytes of one attribute become its value."""

    name: str
    #: Where the value begins in the message, and the bytes it takes.
    start: int
    size: int
    #: Gives its one element, or a list of several. Texts that are not plain ASCII stay bytes.
    decode: Callable[[bytes], Told]


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a dataset's elements stand: in one piece, in chunks under a B-tree, or (address None) in no other place."""

    shape: tuple[int, ...]
    #: Bytes of one element, and of all.
    width: int
    size: int
    address: int | None
    #: Elements of a chunk along each axis; empty where there are no chunks.
    chunk: tuple[int, ...] = ()
    #: Filters of its chunks, in the order in which they were applied.
    filters: tuple[int, ...] = ()

    def at(self, address: int) -> Storage:
        """The same elsewhere."""
        return Storage(self.shape, self.width, self.size, address, self.chunk, self.filters)


def form_of(message: bytes) -> Form:
    """The form of an attribute message, versions 1 to 3, whose value is all there."""
    if len(message) < 9:
        raise Unsupported("an attribute message is cut off")
    version = message[0]
    name, kind, space = struct.unpack_from("<HHH", message, 2)
    if version == 1:
        start = 8 + (name + 7 & ~7) + (kind + 7 & ~7) + (space + 7 & ~7)
    else:
        start = 8 + (version == 3) + name + kind + space
    if start > _HEAD_LIMIT:
        raise Unsupported("an attribute whose name or type is very long")
    form = _form(message[:start])
    if form.start + form.size > len(message):
        raise Unsupported("an attribute's value is cut off")
    return form


@lru_cache(_CACHED)
def _form(head: bytes) -> Form:
    """What the beginning of an attribute message, up to its value, says. Many files repeat it byte by byte."""
    version, flags, *sizes = struct.unpack_from("<BBHHH", head)
    if version not in (1, 2, 3) or flags:
        raise Unsupported(f"an attribute message of version {version} with flags {flags:#x}")
    at, parts = 8 + (version == 3), []
    for size in sizes:
        parts.append(head[at : at + size])
        at += size + 7 & ~7 if version == 1 else size
    if at != len(head) or (version == 3 and head[8] > 1):
        raise Unsupported("an attribute message is cut off, or in an unknown character set")
    code, width = kind_of(parts[1])
    shape, _ = space_of(parts[2])
    count = math.prod(shape)
    if code == "r" or not 1 <= count <= LIST_LIMIT or sum(axis > 1 for axis in shape) > 1:
        raise Unsupported(f"an attribute of type {code} and shape {shape}")
    if not parts[0].endswith(b"\0"):
        raise Unsupported("an attribute's name is cut off")
    return Form(name_in(parts[0][:-1]), at, width * count, _decoder(code, width, count))


def _decoder(code: str, width: int, count: int) -> Callable[[bytes], Told]:
    if code == "s":
        read = _short_text if width <= _SHORT else _text
        if count == 1:
            return read
        return lambda raw: _listed([read(raw[at : at + width]) for at in range(0, len(raw), width)])
    unpack = struct.Struct(f"{code[0]}{count}{code[1]}").unpack
    if count == 1:
        return lru_cache(_REPEATED)(lambda raw: _number(*unpack(raw)))
    return lru_cache(_REPEATED if width * count <= _SHORT else 0)(lambda raw: _listed(map(_number, unpack(raw))))


def _listed(elements: Iterable[Told]) -> Told:
    values, texts = zip(*elements, strict=True)
    return list(values), f"[{','.join(texts)}]" if all(texts) else ""


def _number(value: float) -> Told:
    return value, repr(value) if math.isfinite(value) else ""


def _text(field: bytes) -> Told:
    data = field.rstrip(b"\0")
    if not data.isascii() or b"\0" in data or len(data) > TEXT_LIMIT:
        return data, ""
    value = data.decode("ascii")
    return value, encode(value)


#: What short texts say is often said again, by other granules and files.
_short_text = lru_cache(_CACHED)(_text)


def name_in(name: bytes) -> str:
    """The name of an attribute or link, where it is an ordinary one."""
    if not name or b"\0" in name:
        raise Unsupported("a name that is empty or holds NUL")
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise Unsupported("a name that is not UTF-8") from error


@lru_cache(_CACHED)
def kind_of(message: bytes) -> tuple[str, int]:
    """Format and bytes of one element, by a datatype message: "<I" as in ``struct``, "s" text, "r" reference."""
    if len(message) < 8:
        raise Unsupported("a datatype message is cut off")
    version, kind, bits = message[0] >> 4, message[0] & 0xF, int.from_bytes(message[1:4], "little")
    size = int.from_bytes(message[4:8], "little")
    order = "<>"[bits & 1]
    if version not in (1, 2, 3):
        raise Unsupported(f"datatype message version {version}")
    if kind == 0 and size in _INTEGERS and not bits & ~0b1001 and message[8:12] == struct.pack("<HH", 0, 8 * size):
        code = _INTEGERS[size]
        return order + (code.lower() if bits & 0b1000 else code), size
    if kind == 1 and size in _FLOATS and (bits & ~1, message[8:20]) == _FLOATS[size][1:]:
        return order + _FLOATS[size][0], size
    if kind == 3 and size and bits & 0xF <= 2 and bits >> 4 <= 1:
        return "s", size
    if kind == 7 and _REFERENCES.get(size) == bits:
        return "r", size
    raise Unsupported(f"a datatype of class {kind} with {size} bytes")


@lru_cache(_CACHED)
def space_of(message: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Lengths of the axes, and how long they may become, by a dataspace message; both empty for a scalar."""
    if len(message) < 4:
        raise Unsupported("a dataspace message is cut off")
    version, rank, flags, kind = message[:4]
    if version not in (1, 2) or rank > _RANK_LIMIT or flags > 1 or (version == 2 and kind != (rank > 0)):
        raise Unsupported(f"a dataspace of version {version}, rank {rank}, flags {flags:#x}")
    start, words = (8 if version == 1 else 4), rank * (1 + flags)
    if start + 8 * words > len(message):
        raise Unsupported("a dataspace message is cut off")
    values = struct.unpack_from(f"<{words}Q", message, start)
    shape, most = values[:rank], values[rank:] or values[:rank]
    if any(a > b for a, b in zip(shape, most, strict=True)) or math.prod(shape) > _CLAIM_LIMIT:
        raise Unsupported(f"a dataspace of shape {shape}")
    return shape, most


def storage_of(messages: Mapping[int, bytes]) -> Storage:
    """Where a dataset's elements stand, by the messages of its header: type → message."""
    try:
        space, kind, layout = messages[0x01], messages[0x03], messages[0x08]
    except KeyError as error:
        raise Unsupported(f"a dataset without message {error}") from error
    if any(len(message) > _HEAD_LIMIT for message in messages.values()):
        raise Unsupported("a dataset with a very long message")
    shape, width, filters = _dataset_form(space, kind, messages.get(0x05), messages.get(0x04), messages.get(0x0B))
    size = math.prod(shape) * width
    if size > _CLAIM_LIMIT or len(layout) < 2:
        raise Unsupported(f"a dataset of {size} bytes, its layout in {len(layout)}")
    version, form = layout[:2]
    if version not in (3, 4) or (version == 4 and form == 2):
        raise Unsupported(f"a layout of version {version} and class {form}")
    if form == 2 and len(layout) >= 11 + 4 * (len(shape) + 1):
        ranks, address, *chunk = struct.unpack_from(f"<BQ{len(shape) + 1}I", layout, 2)
        if ranks != len(chunk) or len(chunk) < 2 or chunk.pop() != width or not all(chunk):
            raise Unsupported("a layout that does not fit its dataset")
        return Storage(shape, width, size, address, tuple(chunk), filters)
    if form == 1 and len(layout) >= 18 and not filters:
        address, stored = struct.unpack_from("<QQ", layout, 2)
        if stored == size:
            return Storage(shape, width, size, address)
    elif form == 0 and len(layout) >= 4 + size and not filters and layout[2:4] == struct.pack("<H", size & 0xFFFF):
        return Storage(shape, width, size, None)
    raise Unsupported("a layout that does not fit its dataset")


@lru_cache(_CACHED)
def _dataset_form(
    space: bytes, kind: bytes, fill: bytes | None, old_fill: bytes | None, pipeline: bytes | None
) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
    """Shape, bytes of an element and filters."""
    shape, _ = space_of(space)
    _, width = kind_of(kind)
    if fill is not None:
        _check_fill(fill, width)
    if old_fill is not None:
        _check_fill_value(old_fill, width)
    return shape, width, _filters(pipeline, width) if pipeline is not None else ()


def _check_fill(message: bytes, width: int) -> None:
    if len(message) < 4:
        raise Unsupported("a fill value message is cut off")
    version = message[0]
    if version in (1, 2):
        allocated, written, defined = message[1:4]
        start, given = 4, version == 1 or bool(defined)
    else:
        allocated, written, defined = message[1] & 3, message[1] >> 2 & 3, message[1] >> 5
        start, given = 2, bool(defined)
    if version not in (1, 2, 3) or not 1 <= allocated <= 3 or written > 2 or defined > 1:
        raise Unsupported(f"a fill value message of version {version}")
    if version == 3 and message[1] >> 4 & 1:
        raise Unsupported("a fill value that is said to be undefined")
    if given:
        _check_fill_value(message[start:], width)


def _check_fill_value(message: bytes, width: int) -> None:
    size = int.from_bytes(message[:4], "little")
    if len(message) < 4 + size or size not in (0, width):
        raise Unsupported(f"a fill value of {size} bytes for elements of {width}")


def _filters(message: bytes, width: int) -> tuple[int, ...]:
    """Filters of a pipeline in the order in which they were applied: shuffle, deflate, or both."""
    if len(message) < 2 or message[0] not in (1, 2) or not 1 <= message[1] <= 2:
        raise Unsupported("a filter pipeline of unknown form")
    version, count = message[:2]
    found: list[int] = []
    at = 8 if version == 1 else 2
    try:
        for _ in range(count):
            if version == 1:
                code, label, flags, values = struct.unpack_from("<HHHH", message, at)
                at += 8 + label
                padding = 4 * (values % 2)
            else:
                (code, flags, values), label, padding = struct.unpack_from("<HHH", message, at), 0, 0
                at += 6
            given = struct.unpack_from(f"<{values}I", message, at)
            at += 4 * values + padding
            known = (code == _SHUFFLE and given == (width,)) or (code == DEFLATE and len(given) == 1 and given[0] <= 9)
            if not known or flags > 1 or label % 8:
                raise Unsupported(f"filter {code} with {given}")
            found.append(code)
    except struct.error as error:
        raise Unsupported("a filter pipeline is cut off") from error
    if found not in ([_SHUFFLE], [DEFLATE], [_SHUFFLE, DEFLATE]):
        raise Unsupported(f"filters {found}")
    return tuple(found)
