"""Announced checksums: which files hold them, and what they say.

Three conventions (no public format of IDPS is known): a sidecar beside each file as md5sum, BSD or POSIX cksum write
it; a manifest for a folder in the same line formats; and the Product Delivery Record of ESDS-RFC-030 (ODL text).
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from orbitory.catalogue import Source
from orbitory.errors import DataError

_HEX_DIGITS = {"crc32": 8, "md5": 32, "sha1": 40, "sha256": 64, "blake3": 64, "sha512": 128}
#: What a sidecar's ending promises. ``.crc`` is used for both CRCs: 8 hex digits, or decimal with a size.
_PROMISED: dict[str, tuple[str, ...]] = {
    "md5": ("md5",),
    "sha1": ("sha1",),
    "sha256": ("sha256",),
    "sha512": ("sha512",),
    "blake3": ("blake3",),
    "crc": ("crc32", "cksum"),
    "crc32": ("crc32",),
    "cksum": ("cksum", "md5", "sha1", "sha256", "sha512"),  # GNU cksum -a writes any of them
}
_ANY = ("cksum", "crc32", "md5", "sha1", "sha256", "sha512")
#: Names of algorithms as BSD, GNU, OpenSSL and delivery records write them, without dashes.
_SPELLED = {
    **{name.upper(): name for name in (*_HEX_DIGITS, "cksum")},
    **{"SHA2256": "sha256", "SHA2512": "sha512"},
}
_TAGGED = re.compile(r"(?P<tag>[A-Za-z0-9-]{2,10}) ?\((?P<name>.+)\) ?= ?(?P<value>[0-9A-Fa-f]+)")
_CKSUM = re.compile(r"(?P<value>[0-9]{1,10})[ \t](?P<size>[0-9]{1,18})(?:[ \t](?P<name>.+))?")
_PLAIN = re.compile(r"(?P<value>[0-9A-Fa-f]{8,128})(?:[ \t]+\*?(?P<name>[^ \t].*))?")
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
_MAX_LINE = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """One checksum that the sender vouches for."""

    #: The file it speaks of, relative to the announcing file's folder; never outside it.
    target: str
    #: md5 sha1 sha256 sha512 blake3 crc32 cksum; ``size`` where a delivery record gives nothing but the size.
    algorithm: str
    #: Lower-case hex digits; decimal for ``cksum`` and ``size``.
    value: str
    #: Announced size in bytes, where there is one.
    size: int | None = None
    #: Where a delivery record says that the file stands at its sender; what is announced does not depend on it.
    directory: str = field(default="", compare=False)


def is_temporary(name: str, source: Source) -> bool:
    """Whether the sender is not finished with ``name``: it or a folder it stands in has a temporary name."""
    temporary = _globs(source.completeness.temporary)
    return any(temporary.fullmatch(part.lower()) for part in name.split("/"))


def role_of(name: str, source: Source) -> str:
    """``data``, ``checksum`` (a sidecar) or ``manifest`` (for a folder, delivery records included)."""
    if _is_record(name, source) or _is_manifest(name, source):
        return "manifest"
    return "data" if target_of(name, source) is None else "checksum"


def target_of(name: str, source: Source) -> str | None:
    """The data file that the sidecar ``name`` belongs to, in the same folder; None when it is no sidecar."""
    stem, _, ending = name.rpartition(".")
    if ending.lower() not in source.checksums.sidecars or not posixpath.basename(stem):
        return None
    return None if _is_manifest(name, source) else stem


def parse(name: str, content: bytes, source: Source) -> list[Announced]:
    """What the sidecar, manifest or delivery record ``name`` announces.

    Raises DataError ``checksum`` when it is malformed, announces nothing, or names a file outside its folder.
    """
    base = posixpath.basename(name)
    target = target_of(base, source)
    try:
        lines = _lines(content)
        if target is not None:
            found = _sidecar(lines, target, _PROMISED[base.rpartition(".")[2].lower()])
        elif _is_record(base, source):
            found = _record(lines)
        else:
            found = _manifest(lines, base)
    except ValueError as error:
        raise DataError("checksum", str(error)) from None
    return found


def _is_record(name: str, source: Source) -> bool:
    return source.checksums.pdr and name.lower().endswith(".pdr")


def _is_manifest(name: str, source: Source) -> bool:
    return bool(_globs(source.checksums.manifests).fullmatch(posixpath.basename(name).lower()))


@lru_cache(maxsize=64)
def _globs(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(pattern.lower()) for pattern in patterns) or r"(?!)")


def _lines(content: bytes) -> list[str]:
    """Lines of text; file names in it read as ``zones.display`` shows them."""
    if b"\0" in content:
        raise ValueError("holds NUL bytes: expected text in UTF-8")
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "backslashreplace")
    return [line.removesuffix("\r") for line in text.split("\n")]


def _sidecar(lines: Sequence[str], target: str, promised: Sequence[str]) -> list[Announced]:
    found = []
    for number, entry in _entries(lines, promised):
        if entry.target and posixpath.basename(entry.target) != target:
            raise ValueError(f"line {number} speaks of {entry.target!r}, expected {target!r}")
        found.append(Announced(target=target, algorithm=entry.algorithm, value=entry.value, size=entry.size))
    return found


def _manifest(lines: Sequence[str], base: str) -> list[Announced]:
    """What each line announces, but for the manifest itself: ``md5sum *`` lists the file it is just writing."""
    promised = next(((name,) for name in _HEX_DIGITS if base.lower().startswith(name)), _ANY)
    found = []
    for number, entry in _entries(lines, promised):
        if not entry.target:
            raise ValueError(f"line {number} names no file")
        if entry.target != base:
            found.append(entry)
    if not found:
        raise ValueError("names no file but itself")
    return found


def _entries(lines: Sequence[str], promised: Sequence[str]) -> Iterator[tuple[int, Announced]]:
    """Number and content of each line that is not blank or a comment; the target may be empty."""
    empty = True
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            empty = False
            try:
                yield number, _entry(line, promised)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
    if empty:
        raise ValueError("announces nothing: it is empty")


def _entry(line: str, promised: Sequence[str]) -> Announced:
    """One line: ``ALGORITHM (name) = hash``, ``crc size name``, ``hash  name``, ``hash *name`` or a bare value."""
    if len(line) > _MAX_LINE:
        raise ValueError(f"longer than {_MAX_LINE} characters")
    escaped = line.startswith("\\")  # GNU coreutils: the name holds escaped newlines or backslashes
    text = line[1:] if escaped else line
    size = None
    if match := _TAGGED.fullmatch(text.rstrip()):
        name, algorithm = match["name"], _spelled(match["tag"])
        if algorithm not in promised:
            raise ValueError(f"holds {algorithm}, expected {' or '.join(promised)}")
    elif "cksum" in promised and (match := _CKSUM.fullmatch(text)):
        name, algorithm, size = match["name"], "cksum", int(match["size"])
    elif match := _PLAIN.fullmatch(text) or _PLAIN.fullmatch(text.strip()):
        name, algorithm = match["name"], _by_length(match["value"], promised)
    elif "cksum" in promised and _is_count(text.strip()):
        return Announced(target="", algorithm="cksum", value=_checked("cksum", text.strip()))
    else:
        raise ValueError(f"expected a checksum and a file name, found {text[:60]!r}")
    target = _inside(re.sub(r"\\[\\nr]", lambda found: _ESCAPES[found[0]], name) if escaped else name) if name else ""
    return Announced(target=target, algorithm=algorithm, value=_checked(algorithm, match["value"]), size=size)


def _spelled(tag: str) -> str:
    algorithm = _SPELLED.get(tag.upper().replace("-", ""))
    if algorithm is None:
        raise ValueError(f"algorithm {tag!r} is not supported, expected {', '.join((*_HEX_DIGITS, 'cksum'))}")
    return algorithm


def _by_length(value: str, promised: Sequence[str]) -> str:
    for algorithm in promised:
        if _HEX_DIGITS.get(algorithm) == len(value):
            return algorithm
    if "cksum" in promised and _is_count(value):
        return "cksum"
    raise ValueError(f"{len(value)} hex digits are no {' or '.join(promised)}")


def _checked(algorithm: str, value: str) -> str:
    """``value`` as we write it. Raises ValueError when it cannot be one of ``algorithm``."""
    if algorithm == "cksum":
        if not _is_count(value) or int(value) >= 1 << 32:
            raise ValueError(f"{value[:60]!r} is no cksum: expected a decimal number below 2**32")
        return str(int(value))
    if not re.fullmatch(rf"[0-9A-Fa-f]{{{_HEX_DIGITS[algorithm]}}}", value):
        raise ValueError(f"{value[:60]!r} is no {algorithm}: expected {_HEX_DIGITS[algorithm]} hex digits")
    return value.lower()


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18


def _inside(name: str) -> str:
    """``name`` without detours. Raises ValueError when it leads out of its folder."""
    if name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"names {name[:200]!r}, which is outside its own folder")
    return posixpath.normpath(name)


def _record(lines: Sequence[str]) -> list[Announced]:
    """A Product Delivery Record: ``KEY = value;`` statements; each FILE_SPEC object names one file.

    DIRECTORY_ID says where the file stands at the sender; here it stands beside the record.
    """
    found: list[Announced] = []
    total = None
    spec: dict[str, str] | None = None
    for statement in (part.strip() for line in lines for part in line.split(";")):
        key, _, value = (part.strip().strip('"').strip() for part in statement.partition("="))
        match key.upper(), value.upper():
            case (("OBJECT" | "GROUP"), "FILE_SPEC"):
                spec = {}
            case (("END_OBJECT" | "END_GROUP"), ("FILE_SPEC" | "")) if spec is not None:
                found.append(_specified(spec))
                spec = None
            case "TOTAL_FILE_COUNT", _ if _is_count(value):
                total = int(value)
            case name, _ if spec is not None:
                spec[name] = value
    if spec is not None:
        raise ValueError("a FILE_SPEC does not end: the record is truncated")
    if not found:
        raise ValueError("holds no FILE_SPEC")
    if total not in (None, len(found)):
        raise ValueError(f"TOTAL_FILE_COUNT is {total}, but {len(found)} files are named")
    return found


def _specified(spec: dict[str, str]) -> Announced:
    name, length = spec.get("FILE_ID", ""), spec.get("FILE_SIZE", "")
    if not name or "/" in name or name in (".", ".."):
        raise ValueError(f"FILE_ID must be a plain file name, found {name[:200]!r}")
    if not _is_count(length):
        raise ValueError(f"FILE_SIZE of {name[:200]!r} must be a number of bytes, found {length[:60]!r}")
    size, directory = int(length), spec.get("DIRECTORY_ID", "")
    tag, value = spec.get("FILE_CKSUM_TYPE", ""), spec.get("FILE_CKSUM_VALUE", "")
    if not tag and not value:
        return Announced(target=name, algorithm="size", value=str(size), size=size, directory=directory)
    algorithm = _spelled(tag)
    return Announced(target=name, algorithm=algorithm, value=_checked(algorithm, value), size=size, directory=directory)
