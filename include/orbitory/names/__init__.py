"""What a file name alone tells: grammars, and which names can be stored at all."""

from __future__ import annotations

import unicodedata

from orbitory.catalogue import Catalogue, Source
from orbitory.errors import DataError
from orbitory.model import Identity
from orbitory.names.idps import idps_identity, read_idps
from orbitory.names.pges import pge_identity
from orbitory.names.scenes import family, strip_identity, strip_key
from orbitory.names.strips import read_strip
from orbitory.names.uploads import upload_identity

__all__ = ["check_storable", "family", "identify", "identify_any", "read_idps", "read_strip", "strip_key"]

#: Grammars that take every storable name.
_TAKES_ALL = ("any", "upload")

#: Longest last part of a name, in bytes: leaves room below the 255 of file systems for endings and temporary marks.
MAX_BASE_BYTES = 200
#: Longest name relative to the landing folder, in bytes, and most folders in it: stays far below PATH_MAX everywhere.
MAX_PATH_BYTES = 1_000
MAX_FOLDERS = 32

#: Control, format (bidi overrides, zero-width), surrogate, private use, line and paragraph separators.
_UNSTORABLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def identify(name: str, source: Source, catalogue: Catalogue) -> Identity:
    """What ``name`` tells by the grammar of ``source``.

    Folders before it say nothing, but for the few files that are called alike in every Maxar order.

    Raises DataError: ``name`` when it cannot be stored, ``unrecognised`` when it fits no grammar or names a product
    that the source does not list, ``time`` when its times are impossible.
    """
    check_storable(name.encode("utf-8", "surrogatepass"))
    base = name.rpartition("/")[2]
    if source.grammar == "any":
        (product_type,) = catalogue.types_of(source)
        return Identity(form="any", product_type=product_type.name, products=(), sensor=product_type.sensor)
    if source.grammar == "idps":
        return idps_identity(base, source, catalogue)
    if source.grammar == "pge":
        return pge_identity(base, source, catalogue)
    if source.grammar == "upload":
        return upload_identity(name, source, catalogue)
    return strip_identity(name, source, catalogue)


def identify_any(name: str, catalogue: Catalogue) -> tuple[str, Identity]:
    """The source whose grammar fits ``name``, and what it tells; grammars that take every name are not asked.

    Raises DataError as ``identify`` does, with the reason of every grammar.
    """
    reasons: list[str] = []
    for source in catalogue.sources.values():
        if source.grammar not in _TAKES_ALL:
            try:
                return source.name, identify(name, source, catalogue)
            except DataError as error:
                if error.code != "unrecognised":
                    raise
                reasons.append(f"{source.name}: {error.detail}")
    raise DataError("unrecognised", "; ".join(reasons) or "no source of this catalogue tells files by their names")


def check_storable(name: bytes) -> None:
    """Raise DataError ``name`` when a name relative to its landing folder cannot be kept, shown and typed safely.

    Spaces, quotes, shell characters and other scripts may pass: no step hands names to a shell, and storage paths are
    made from a safe alphabet (``layout``).
    """
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            "name", f"the name is not UTF-8: byte {error.object[error.start]:#04x} at {error.start}"
        ) from None
    *folders, base = text.split("/")
    if any(part in ("", ".", "..") for part in (*folders, base)):
        raise DataError("name", f"{text!r} is not a plain name below its folder")
    if len(base.encode()) > MAX_BASE_BYTES:
        raise DataError("name", f"the name has {len(base.encode())} bytes, at most {MAX_BASE_BYTES} are accepted")
    if len(name) > MAX_PATH_BYTES or len(folders) > MAX_FOLDERS:
        raise DataError(
            "name",
            f"{len(folders)} folders and {len(name)} bytes, at most {MAX_FOLDERS} and {MAX_PATH_BYTES} are accepted",
        )
    if not text.isprintable():
        for char in text:
            if unicodedata.category(char) in _UNSTORABLE:
                called = unicodedata.name(char, "a control character")
                raise DataError("name", f"the name {text!r} holds U+{ord(char):04X}, {called}")
