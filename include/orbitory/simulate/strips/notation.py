"""What a metadata file says, in the two notations of its vendors: PVL, and XML with names in capitals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape


class Text(str):
    """A value that PVL writes in quotes."""

    __slots__ = ()


#: Names with a value, the rows of a list (tuple), or a group (list), in the order of the file.
Entries = list[tuple[str, "str | tuple[str, ...] | Entries"]]

#: PVL numbers its groups where XML repeats their name.
_NUMBERED = re.compile(r"^(IMAGE|TILE)_\d+$")


def pvl(entries: Entries) -> bytes:
    """``name = value;`` and ``BEGIN_GROUP``, until ``END;``."""
    return "".join([*_pvl(entries, ""), "END;\n"]).encode()


def _pvl(entries: Entries, indent: str) -> Iterator[str]:
    for name, value in entries:
        if isinstance(value, list):
            yield f"{indent}BEGIN_GROUP = {name}\n"
            yield from _pvl(value, indent + "\t")
            yield f"{indent}END_GROUP = {name}\n"
        elif isinstance(value, tuple):
            rows = f",\n{indent}\t\t".join(value)
            yield f"{indent}{name} = (\n{indent}\t\t{rows});\n"
        else:
            yield f'{indent}{name} = "{value}";\n' if isinstance(value, Text) else f"{indent}{name} = {value};\n"


def xml(root: str, entries: Entries, *, namespace: str = "") -> bytes:
    """One element for each name; of a list of rows one for each row, of a list of numbers one for all."""
    opening = f'{root} xmlns="{namespace}"' if namespace else root
    lines = ['<?xml version="1.0" encoding="UTF-8"?>\n', f"<{opening}>\n", *_xml(entries, "\t"), f"</{root}>\n"]
    return "".join(lines).encode()


def _xml(entries: Entries, indent: str) -> Iterator[str]:
    for written, value in entries:
        name = _NUMBERED.sub(r"\1", written.upper())
        if isinstance(value, list):
            yield f"{indent}<{name}>\n"
            yield from _xml(value, indent + "\t")
            yield f"{indent}</{name}>\n"
        elif isinstance(value, tuple):
            rows = value if value[0].startswith("(") else (" ".join(value),)
            bare = (" ".join(row.strip("()").replace(",", " ").split()) for row in rows)
            inner = "".join(f"{indent}\t<{name}>{row}</{name}>\n" for row in bare)
            yield f"{indent}<{name}List>\n{inner}{indent}</{name}List>\n"
        else:
            yield f"{indent}<{name}>{escape(value.strip())}</{name}>\n"
