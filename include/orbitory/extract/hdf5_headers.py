"""What the messages of one HDF5 object header say together; and templates: forms of headers that were seen before.

The files of one product repeat each header byte by byte, except for values, addresses and times. A template has the
rest of a header that was read message by message; where another header has the same rest, its values need no more.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from orbitory.extract.hdf5_messages import UNDEFINED, Form, Storage, Unsupported, form_of, storage_of
from orbitory.extract.header import Harmless, Told

_NIL, _LINK_INFO, _KIND, _LINK, _LAYOUT, _ATTRIBUTE = 0x00, 0x02, 0x03, 0x06, 0x08, 0x0C
_CONTINUATION, _TABLE, _CHANGED, _ATTRIBUTE_INFO = 0x10, 0x11, 0x12, 0x15
#: Messages that stand once in the header of a group, or of a dataset.
_OF_GROUPS = frozenset({0x02, 0x0A, 0x11, 0x12, 0x15})
_OF_DATASETS = frozenset({0x01, 0x03, 0x04, 0x05, 0x08, 0x0B, 0x12, 0x15})
_SINGLE = _OF_GROUPS | _OF_DATASETS
#: Constant, not to be shared: flags that change nothing for a reader.
_HARMLESS_FLAGS = 0b101

#: Templates are kept for so many paths and beginnings, so many for each, of headers of so many bytes.
_KEYS, _VARIANTS, _TEMPLATE_BYTES = 2048, 4, 16_384


@dataclass(frozen=True, slots=True)
class ObjectHeader:
    """What an object header says: of a dataset where it has a ``storage``, else of a group."""

    #: In the order of their names.
    attributes: Harmless
    #: Of a dataset.
    storage: Storage | None
    #: Addresses of B-tree and heap, of a group that has them.
    table: bytes | None
    #: Link messages, of a group without.
    links: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """What may differ between headers of one form: bytes of a block."""

    block: int
    start: int
    size: int
    #: Type of the message.
    kind: int
    form: Form | None = None

    @property
    def varies(self) -> bool:
        """Whether it says nothing of where structures stand."""
        return self.kind in (_ATTRIBUTE, _CHANGED)


class Messages:
    """Collects the messages of one header, in the order of its blocks."""

    def __init__(self, first: tuple[int, int]) -> None:
        """Begin with the header's own block: address and length."""
        self.blocks = [first]
        #: Bytes of the blocks that were read to their end, and where they begin in the file.
        self.contents: list[bytes] = []
        self.starts: list[int] = []
        self.fields: list[Field] = []
        self._attributes: dict[str, Told] = {}
        self._single: dict[int, bytes] = {}
        self._links: list[bytes] = []

    def take(self, kind: int, flags: int, message: bytes, start: int) -> None:
        """One message, which begins at ``start`` of the block at hand."""
        if flags & ~_HARMLESS_FLAGS:
            raise Unsupported(f"a message of type {kind} with flags {flags:#x}")
        if kind == _ATTRIBUTE:
            form = form_of(message)
            if form.name in self._attributes:
                raise Unsupported("two attributes of one name")
            self._attributes[form.name] = form.decode(message[form.start : form.start + form.size])
            self._field(start + form.start, form.size, kind, form)
        elif kind == _CONTINUATION:
            self.blocks.append(struct.unpack_from("<QQ", message))
            self._field(start, 8, kind)
        elif kind == _LINK:
            self._links.append(message)
        elif kind in _SINGLE and kind not in self._single:
            self._single[kind] = message
            self._note_address(kind, message, start)
        elif kind != _NIL:
            raise Unsupported(f"a message of type {kind}, or its second")

    def _note_address(self, kind: int, message: bytes, start: int) -> None:
        if kind == _TABLE and len(message) >= 16:
            self._field(start, 16, kind)
        elif kind == _CHANGED and len(message) >= 8:
            self._field(start + 4, 4, kind)
        elif kind == _LAYOUT and len(message) >= 11 and message[1] in (1, 2):  # in one piece, in chunks
            self._field(start + 1 + message[1], 8, kind)

    def _field(self, start: int, size: int, kind: int, form: Form | None = None) -> None:
        self.fields.append(Field(len(self.contents), start, size, kind, form))

    def finished(self) -> ObjectHeader:
        """What they say, when all are there."""
        single = self._single
        if _ATTRIBUTE_INFO in single:
            _check_compact(single[_ATTRIBUTE_INFO], 2, "attributes")
        names = tuple(sorted(self._attributes))
        attributes = Harmless(names, map(self._attributes.__getitem__, names))
        if _KIND in single and single.keys() <= _OF_DATASETS and not self._links:
            return ObjectHeader(attributes, storage_of(single), None)
        if not single.keys() <= _OF_GROUPS or (_TABLE in single) == (_LINK_INFO in single):
            raise Unsupported("an object that is neither a group nor a dataset")
        if _LINK_INFO in single:
            _check_compact(single[_LINK_INFO], 8, "links")
            return ObjectHeader(attributes, None, None, self._links)
        if self._links or len(single[_TABLE]) < 16:
            raise Unsupported("a symbol table that is cut off, or has links beside it")
        return ObjectHeader(attributes, None, single[_TABLE][:16])


def _check_compact(message: bytes, width: int, what: str) -> None:
    """Refuse attributes or links that are kept in a heap. ``width``: bytes of the highest creation order."""
    version, flags = message[:2]
    heap, names = struct.unpack_from("<QQ", message, 2 + width * (flags & 1))
    if version or flags > 3 or (heap, names) != (UNDEFINED, UNDEFINED):
        raise Unsupported(f"{what} in a heap")


class Claimed(Protocol):
    """The file: see ``hdf5_space.Space``."""

    data: bytes

    def claim(self, address: int, size: int) -> int:
        """Where the ``size`` bytes at ``address`` begin in ``data``. Raises Unsupported."""


class Template:
    """The form of a header of version 1."""

    def __init__(self, messages: Messages, found: ObjectHeader) -> None:
        """Take it from a header that was read message by message."""
        self.fields = fields = messages.fields
        self._blocks: list[tuple[int, struct.Struct, tuple[bytes, ...]]] = []
        for number, content in enumerate(messages.contents):
            at, parts = 0, []
            for field in fields:
                if field.block == number:
                    parts.append(f"{field.start - at}s{field.size}s")
                    at = field.start + field.size
            layout = struct.Struct(f"{''.join(parts)}{len(content) - at}s")
            self._blocks.append((len(content), layout, layout.unpack(content)[::2]))
        self._next = [index for index, field in enumerate(fields) if field.kind == _CONTINUATION]
        forms = {field.form.name: (index, field.form.decode) for index, field in enumerate(fields) if field.form}
        self._names = tuple(found.attributes)
        self._attributes = [forms[name] for name in self._names]
        self._storage = found.storage
        self._place = next((index for index, field in enumerate(fields) if field.kind in (_TABLE, _LAYOUT)), None)

    def filled(self, space: Claimed, address: int, starts: list[int]) -> ObjectHeader | None:
        """The header whose messages begin at ``address``; None if it is of another form. ``starts``: of its blocks."""
        values: list[bytes] = []
        for number, (length, layout, fixed) in enumerate(self._blocks):
            if number:
                address = int.from_bytes(values[self._next[number - 1]], "little")
            starts.append(space.claim(address, length))
            found = layout.unpack_from(space.data, starts[-1])
            if found[::2] != fixed:
                return None
            values += found[1::2]
        attributes = Harmless(self._names, [decode(values[index]) for index, decode in self._attributes])
        place = values[self._place] if self._place is not None else None
        storage = self._storage
        if storage is None:
            return ObjectHeader(attributes, None, place)
        if place is not None:
            storage = storage.at(int.from_bytes(place, "little"))
        return ObjectHeader(attributes, storage, None)


_Key = tuple[str, bytes]
_templates: dict[_Key, list[Template]] = {}


def known(key: _Key) -> Sequence[Template]:
    """Templates that a header may be of: ``key`` is its path without the number, and its first bytes."""
    return _templates.get(key, ())


def learn(key: _Key, messages: Messages, found: ObjectHeader) -> None:
    """Keep the template of a header."""
    if found.links or sum(map(len, messages.contents)) > _TEMPLATE_BYTES:
        return
    if len(_templates) >= _KEYS:
        _templates.clear()
    _templates[key] = [Template(messages, found), *_templates.get(key, ())][:_VARIANTS]
