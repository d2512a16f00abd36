"""The indented text that comes with IKONOS and GeoEye-1 products (``*_metadata.txt``, ``*_rpc.txt``).

Lines of ``=`` part it into sections; a titled section repeats a record for each source image or component; deeper lines
belong to the line above them. (Layout as in the vendor's files, and as GDAL's GeoEye reader and PGC's imagery_utils
read it.) Such a file counts its records, so that a missing one shows; its last section is about components, and a line
of ``=`` ends it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from orbitory.errors import DataError
from orbitory.extract.strips.records import Collector, Group, decoded

#: Bytes of one file; a product of a hundred components has some 100 kB.
SIZE_LIMIT = 4 << 20
#: Keys that begin a record of their section; what follows them in the section is theirs.
_RECORDS = frozenset({"SOURCE_IMAGE_ID", "COMPONENT_ID"})
_COUNTED = (("NUMBER_OF_SOURCE_IMAGES", "SOURCE_IMAGE_ID"), ("NUMBER_OF_COMPONENTS", "COMPONENT_ID"))
_FIRST_COEFFICIENT, _LAST_COEFFICIENT = "LINE_OFF", "SAMP_DEN_COEFF_20"
_NOT_IN_KEYS = re.compile(r"[^A-Z0-9]+")


@dataclass(frozen=True, slots=True)
class _Line:
    indent: int
    key: str
    value: str
    #: It has a colon.
    valued: bool


def read_geoeye_text(data: bytes) -> Group:
    """Sections, in them records and groups (``ID`` is what stood behind their name), in these values.

    Keys are upper case with ``_`` for anything but letters and digits: ``ACQUISITION_DATE_TIME``. Raises DataError
    ``metadata`` or ``policy``.
    """
    found = Collector("GeoEye text")
    content = decoded(data, SIZE_LIMIT, "GeoEye text")
    for lines in _sections(content):
        titled = not lines[0].valued
        if titled:
            found.open(lines[0].key)
        for record in _records(lines[titled:]):
            _read_record(found, record)
        if titled:
            found.close()
    root = found.finish()
    last = root.first("PRODUCT_COMPONENT_METADATA") is not None and content.rstrip().endswith("===")
    return _checked(replace(root, complete=last or _FIRST_COEFFICIENT in root.values))


def _sections(content: str) -> Iterator[list[_Line]]:
    lines: list[_Line] = []
    for raw in content.split("\n"):
        stripped = raw.strip()
        if stripped.startswith("==="):
            if lines:
                yield lines
            lines = []
        elif stripped and not stripped.startswith("---"):
            key, colon, value = stripped.partition(":")
            name = _NOT_IN_KEYS.sub("_", key.upper()).strip("_")[:64]
            indent = len(raw.expandtabs()) - len(raw.expandtabs().lstrip())
            lines.append(_Line(indent, name, value.strip(), bool(colon)))
    if lines:
        yield lines


def _records(lines: list[_Line]) -> Iterator[list[_Line]]:
    """What stands before the first record, then each record."""
    start = 0
    for position, line in enumerate(lines):
        if line.key in _RECORDS:
            yield lines[start:position]
            start = position
    yield lines[start:]


def _read_record(found: Collector, lines: list[_Line]) -> None:
    indents: list[int] = []
    for position, line in enumerate(lines):
        begins = line.key in _RECORDS
        while indents and indents[-1] >= line.indent:
            indents.pop()
            found.close()
        if begins or (position + 1 < len(lines) and lines[position + 1].indent > line.indent):
            found.open(line.key)
            found.add("ID", line.value)
            indents.append(-1 if begins else line.indent)
        else:
            found.add(line.key, line.value)
    for _ in indents:
        found.close()


def _checked(root: Group) -> Group:
    """The file, if it is one of these and holds as many records as it announces."""
    if _FIRST_COEFFICIENT in root.values and _LAST_COEFFICIENT not in root.values:
        raise DataError("metadata", f"truncated: rational polynomials without {_LAST_COEFFICIENT}")
    if root.first("SOURCE_IMAGE_METADATA") is None and _FIRST_COEFFICIENT not in root.values:
        raise DataError("metadata", "neither a Source Image Metadata section nor rational polynomials: no GeoEye text")
    for counter, record in _COUNTED:
        announced = [value for group in root.groups if (value := group.text(counter))]
        if announced and announced[0] != str(len(root.all(record))):
            reason = f"truncated: {counter} is {announced[0][:20]}, there are {len(root.all(record))}"
            raise DataError("metadata", reason)
    return root
