"""Where an archived file stands below storage: a safe path from a template, never from raw input."""

from __future__ import annotations

import posixpath
import re
from datetime import UTC, datetime

from blake3 import blake3

from orbitory.catalogue import Source
from orbitory.model import Identity

#: Longest part of a path between slashes, in bytes.
MAX_SEGMENT_BYTES = 200

_VARIABLE = re.compile(r"\{([a-z]+)\}")
_FOREIGN = re.compile(r"[^A-Za-z0-9._+-]")
_ENDING = re.compile(r"\.[A-Za-z0-9]{1,16}\Z")
#: Looks as if it had been made safe here. Such a name gets a mark of its own, or it could take another's path.
_MARKED = re.compile(r"-[0-9a-f]{16}(?:\.[A-Za-z0-9]{1,16})?\Z")


def storage_path(source: Source, name: str, identity: Identity, start: datetime | None, kind: str) -> str:
    """Path below storage by the template of ``source``; its variables are ``definitions.STORAGE_VARIABLES``.

    ``name`` is relative to the landing folder; ``start`` is the begin of sensing, else the one that the name tells.
    A part that becomes empty is left out. Names that differ in what the template uses give different paths.
    """
    values = _values(source, name, identity, start, kind)
    segments: list[str] = []
    for part in source.storage.split("/"):
        text = _VARIABLE.sub(lambda match: values[match[1]], part)
        segments += text.split("/") if part == "{folder}" else [text]
    return "/".join(safe_segment(segment) for segment in segments if segment)


def _values(source: Source, name: str, identity: Identity, start: datetime | None, kind: str) -> dict[str, str]:
    moment = start or identity.sensing_start
    utc = moment.astimezone(UTC) if moment else None
    return {
        "source": source.name,
        "platform": identity.platform,
        "sensor": identity.sensor,
        "level": identity.details.get("level", ""),
        "strip": _strip(identity),
        "product": "-".join(identity.products),
        "year": f"{utc.year:04d}" if utc else "undated",
        "doy": f"{utc:%j}" if utc else "",
        "month": f"{utc:%m}" if utc else "",
        "day": f"{utc:%d}" if utc else "",
        "kind": kind,
        "folder": posixpath.dirname(name),
        "name": posixpath.basename(name),
    }


def _strip(identity: Identity) -> str:
    """Of an order's documents, the folder or order that they stand for, as licences are called alike in all folders."""
    told = identity.details
    return (told.get("vendor_id") if identity.form == "order" else told.get("strip_id")) or told.get("order", "")


def safe_segment(text: str) -> str:
    """``text`` as one path segment of letters, digits and ``._+-``, at most 200 bytes, no leading dot or dash.

    What had to be changed gets a short BLAKE3 mark of the original before its ending, so that names stay distinct.

    >>> safe_segment("ozone_2013.nc")
    'ozone_2013.nc'
    >>> safe_segment("../ozone 2013.nc")
    '_._ozone_2013-6a0eca073d743a6b.nc'
    """
    safe = _FOREIGN.sub("_", text)
    if safe[0] in ".-":
        safe = "_" + safe[1:]
    if safe == text and len(safe) <= MAX_SEGMENT_BYTES and not _MARKED.search(safe):
        return safe
    mark = blake3(text.encode("utf-8", "surrogatepass")).hexdigest(length=8)
    ending = match[0] if (match := _ENDING.search(safe)) else ""
    stem = safe.removesuffix(ending)[: MAX_SEGMENT_BYTES - len(mark) - 1 - len(ending)]
    return f"{stem}-{mark}{ending}"
