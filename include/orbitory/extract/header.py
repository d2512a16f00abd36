"""A file's attributes as bounded JSON that a jsonb column accepts: no NUL, no lone surrogate, no NaN."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

#: Characters of JSON that one file's header may take; more is cut, visibly.
HEADER_LIMIT = 4 << 20
TEXT_LIMIT = 32_768
LIST_LIMIT = 512
_DEPTH_LIMIT = 16


def text(value: bytes | str) -> str:
    """Foreign text, made harmless; undecodable bytes as ``\\xNN``. What fixed-length fields pad with NUL is dropped."""
    if isinstance(value, str):
        if value.isascii() and "\0" not in value and len(value) <= TEXT_LIMIT:
            return value
        data = value.encode("utf-8", "surrogatepass")
    else:
        data = value
    data = data.rstrip(b"\0")
    if data.isascii() and b"\0" not in data and len(data) <= TEXT_LIMIT:
        return data.decode("ascii")
    shown = data[:TEXT_LIMIT].decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    return shown if len(data) <= TEXT_LIMIT else f"{shown}… ({len(data)} bytes)"


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` (numpy or Python) in JSON's types. Arrays of one element stand for it; long ones keep their start."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= 64 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes | str):
        return text(value)
    if depth > _DEPTH_LIMIT:
        return "…"
    if isinstance(value, dict):
        items = list(value.items())[:LIST_LIMIT]
        return {text(str(key)): plain(each, depth + 1) for key, each in items}
    if isinstance(value, list | tuple):
        return [plain(each, depth + 1) for each in value[:LIST_LIMIT]]
    return _plain_array(value, depth) if hasattr(value, "tolist") else type(value).__name__


def _plain_array(value: Any, depth: int) -> Any:
    size, dimensions = getattr(value, "size", 1), getattr(value, "ndim", 0)
    if size == 1 and dimensions > 0:
        return plain(value.reshape(-1)[0], depth + 1)
    if size > LIST_LIMIT:
        return {"shape": list(value.shape), "first": plain(value.reshape(-1)[:16], depth + 1)}
    listed = (value.reshape(-1) if dimensions > 1 and 1 in value.shape else value).tolist()
    return str(listed)[:64] if hasattr(listed, "tolist") else plain(listed, depth + 1)


#: A value, and its JSON; empty where ``plain`` would make something else of the value.
Told = tuple[Any, str]

encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
quoted = lru_cache(4096)(encode)


class Harmless(dict[str, Any]):
    """Attributes in the order of their names, with their JSON; empty where ``plain`` must make it."""

    __slots__ = ("encoded",)

    def __init__(self, names: tuple[str, ...], told: Iterable[Told]) -> None:
        """Take what is told of each name."""
        values, texts = zip(*told, strict=True) if names else ((), ())
        super().__init__(zip(names, values, strict=True))
        self.encoded = _members(names) % texts if all(texts) else ""


@lru_cache(512)
def _members(names: tuple[str, ...]) -> str:
    return f"{{{','.join(f'{quoted(name)}:'.replace('%', '%%') + '%s' for name in names)}}}"


class Header:
    """Collects attributes by object until the limit is reached."""

    def __init__(self) -> None:
        """Start empty."""
        self._objects: dict[str, Mapping[str, Any]] = {}
        self._encoded: dict[str, str] = {}
        self._left = HEADER_LIMIT

    @property
    def full(self) -> bool:
        """Nothing more is taken."""
        return self._left <= 0

    def add(self, path: bytes | str, attributes: Mapping[str, Any]) -> None:
        """Keep ``attributes`` of the object at ``path``, if there is room."""
        if self.full or not attributes:
            return
        kept, encoded = attributes, attributes.encoded if isinstance(attributes, Harmless) else ""
        if not encoded:
            kept = {text(name): plain(value) for name, value in attributes.items()}
            encoded = encode(kept)
        self._keep(text(path), kept, encoded)

    def _keep(self, path: str, kept: Mapping[str, Any], encoded: str) -> None:
        self._left -= len(encoded)
        if self.full:
            path, encoded = "…", '"cut: header too large"'
        else:
            self._objects[path] = kept
        self._encoded[path] = encoded

    def of(self, path: str) -> Mapping[str, Any]:
        """What was kept of the object at ``path``."""
        return self._objects.get(path, {})

    def packed(self) -> bytes:
        """Compressed JSON; empty when there is nothing."""
        if not self._encoded:
            return b""
        members = ",".join(f"{quoted(path)}:{encoded}" for path, encoded in self._encoded.items())
        return zlib.compress(f"{{{members}}}".encode(), 1)
