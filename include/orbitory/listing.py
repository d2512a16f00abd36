"""Lists of what needs a person, as CSV that a spreadsheet opens without running anything."""

from __future__ import annotations

import codecs
import csv
import io
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import NoneType

from orbitory.inventory import Row

#: A longer list is sent compressed.
MOST_PLAIN_BYTES = 1 << 20
#: A list that is longer still when compressed ends here and says so; mail servers often refuse more than 10 MB.
MOST_BYTES = 5 << 20
_COLUMNS = ("id", "unit", "name", "sensor", "size", "state", "reason", "stage", "detail", "folder")
#: With these a spreadsheet takes a cell for a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@")
_MOST_CHARACTERS = 300
#: Names may be that long.
_MOST_IN_CELL = 4096
#: zlib's window bits for gzip's format.
_GZIP = 31
#: So many compressed bytes zlib may hold back at most, our last line included.
_HELD_BACK = 256 << 10
#: Control, format (bidi, zero width), surrogate, private, unassigned; line and paragraph separators.
_UNREADABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A finished file to attach."""

    name: str
    content: bytes
    #: Files it names.
    files: int
    #: Files that found no room in it.
    more: int


def readable(text: str, most: int = _MOST_CHARACTERS) -> str:
    r"""One line that shows what it holds.

    >>> readable("a\r\nBcc: x@y\u202e")
    'a\\r\\nBcc: x@y\\u202e'
    """
    shown = "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _UNREADABLE
        else character
        for character in text[: most + 1]
    )
    return shown if len(text) <= most else shown[:most] + " …"


def list_files(
    stem: str, rows: Iterable[Row], most_bytes: int = MOST_BYTES, *, columns: Sequence[str] = _COLUMNS
) -> Listing | None:
    """Write ``rows`` (of statement ``notice_files``, or with other ``columns``) while they are read; None: no rows.

    Memory is bounded by ``MOST_PLAIN_BYTES`` and ``most_bytes``, however many rows there are.
    """
    packer, packed, plain = zlib.compressobj(wbits=_GZIP), bytearray(), bytearray()
    files = more = 0
    plain += head(columns)
    packed += packer.compress(plain)
    for row in rows:
        if len(packed) > most_bytes - _HELD_BACK:
            more += 1
            continue
        line = line_of([row[column] for column in columns])
        packed += packer.compress(line)
        if len(plain) <= MOST_PLAIN_BYTES:
            plain += line
        files += 1
    if not files:
        return None
    if more:
        packed += packer.compress(line_of([f"{more} more lines are left out: this list would be too large for a mail"]))
    packed += packer.flush()
    if not more and len(plain) <= min(MOST_PLAIN_BYTES, most_bytes):
        return Listing(name=f"{stem}.csv", content=bytes(plain), files=files, more=0)
    return Listing(name=f"{stem}.csv.gz", content=bytes(packed), files=files, more=more)


def head(columns: Sequence[str]) -> bytes:
    """How such a list begins: by the mark spreadsheets know the encoding."""
    return codecs.BOM_UTF8 + line_of(columns)


def line_of(cells: Sequence[object]) -> bytes:
    """One line of such a list; no cell runs anything. Numbers stay numbers, None is empty."""
    line = io.StringIO()
    plain = (int, float, NoneType)
    csv.writer(line, quoting=csv.QUOTE_ALL).writerow(
        [cell if isinstance(cell, plain) else _cell(str(cell)) for cell in cells]
    )
    return line.getvalue().encode()


def _cell(text: str) -> str:
    """Foreign text as text: on one line, and never a formula."""
    shown = readable(text, _MOST_IN_CELL)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown
