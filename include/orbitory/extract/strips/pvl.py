"""The parameter-value language of DigitalGlobe (IMD, RPB, TIL, GEO), GeoEye-1 and OrbView-3 (PVL) metadata files.

Grammar as in the files themselves and the Imagery Support Data documentation 1.1.2 (DigitalGlobe 2014): ``name =
value;`` with quoted texts, bare values and nested lists in parentheses, between ``BEGIN_GROUP = name`` and ``END_GROUP
= name``, until ``END``. The semicolon may be missing at the end of a line. A file without ``END`` is cut off.

The text is walked once from left to right, and no pattern can go back: its cost is linear in its size.
"""

from __future__ import annotations

import re

from orbitory.errors import DataError
from orbitory.extract.header import text
from orbitory.extract.strips.records import Collector, Group, decoded

#: Bytes of one file. An IMD has 5 kB, the largest GEO some 200 kB.
SIZE_LIMIT = 4 << 20
_LIST_DEPTH = 16
_OPENS = frozenset({"BEGIN_GROUP", "GROUP", "BEGIN_OBJECT", "OBJECT"})
_CLOSES = frozenset({"END_GROUP", "END_OBJECT"})
_MARKS = _OPENS | _CLOSES | {"END"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,63}(?![A-Za-z0-9_.:/-])")
_BLANKS = re.compile(r"[ \t\f\v]*")
_SPACE = re.compile(r"\s*")
_BARE = re.compile(r'[^;\n"]*')
#: What nearly all lines are: one value in quotes or bare.
_LINE = re.compile(
    r'\s*([A-Za-z_][A-Za-z0-9_]{0,63})[ \t]*=[ \t]*(?:"([^"\n]*)"|([^;\n"\'(=/ \t][^;\n"=/]*))(?:;|(?=\n))'
)
_IN_LIST = re.compile(r'[^()"]*')


def read_pvl(data: bytes) -> Group:
    """Groups and values; lists stay as they are written. Raises DataError ``metadata`` or ``policy``."""
    return _Reader(decoded(data, SIZE_LIMIT, "PVL")).read()


class _Reader:
    """One pass over a text."""

    def __init__(self, content: str) -> None:
        self._content = content
        self._at = 0
        self._found = Collector("PVL")

    def read(self) -> Group:
        while True:
            line = _LINE.match(self._content, self._at)
            if line and line[1].upper() not in _MARKS:
                self._found.add(line[1], " ".join(line[2].split()) if line[3] is None else line[3].strip())
                self._at = line.end()
                continue
            self._skip(_SPACE)
            name = self._name()
            key = name.upper()
            if key == "END":
                break
            if key in _CLOSES:
                self._close()
            else:
                self._expect_equals(name)
                value = self._value()
                if key in _OPENS:
                    self._found.open(value or "GROUP")
                else:
                    self._found.add(name, value)
            self._end_of_statement()
        if self._found.depth:
            raise self._damaged(f"END within group {self._found.name}")
        return self._found.finish()

    def _damaged(self, what: str) -> DataError:
        line = self._content.count("\n", 0, self._at) + 1
        return DataError("metadata", f"PVL line {line}: {text(what[:200])}")

    def _skip(self, blanks: re.Pattern[str]) -> None:
        """Over white space and comments."""
        while match := blanks.match(self._content, self._at):
            self._at = match.end()
            if not self._content.startswith("/*", self._at):
                return
            self._at = self._find("*/", self._at + 2, "comment") + 2

    def _find(self, mark: str, start: int, what: str) -> int:
        found = self._content.find(mark, start)
        if found < 0:
            raise self._damaged(f"truncated: a {what} does not end")
        return found

    def _name(self) -> str:
        match = _NAME.match(self._content, self._at)
        if match is not None:
            self._at = match.end()
            return match[0]
        if self._at >= len(self._content):
            raise self._damaged("truncated: it ends without END")
        raise self._damaged(f"expected a name, found {self._content[self._at : self._at + 20]!r}")

    def _expect_equals(self, name: str) -> None:
        self._skip(_BLANKS)
        if not self._content.startswith("=", self._at):
            raise self._damaged(f"expected '=' after {name}")
        self._at += 1

    def _close(self) -> None:
        self._skip(_BLANKS)
        name = ""
        if self._content.startswith("=", self._at):
            self._at += 1
            name = self._value()
        if not self._found.depth or name.upper() not in ("", self._found.name):
            raise self._damaged(f"END_GROUP {name} ends {self._found.name or 'no group'}")
        self._found.close()

    def _value(self) -> str:
        self._skip(_BLANKS)
        start = self._at
        if self._content.startswith("\n", start):
            self._skip(_SPACE)
            if not self._content.startswith(("(", '"', "'"), self._at):
                self._at = start
                return ""
            start = self._at
        first = self._content[start : start + 1]
        if first == "(":
            return self._list()
        if first and first in "\"'":
            end = self._find(first, start + 1, "quoted text")
            self._at = end + 1
            return " ".join(self._content[start + 1 : end].split())
        match = _BARE.match(self._content, start)
        value = match[0].partition("/*")[0] if match else ""
        self._at = start + len(value)
        if "=" in value:
            raise self._damaged(f"a line break is missing in {value[:60]!r}")
        return value.strip()

    def _list(self) -> str:
        start, depth = self._at, 0
        while True:
            match = _IN_LIST.match(self._content, self._at)
            self._at = match.end() if match else self._at
            mark = self._content[self._at : self._at + 1]
            if not mark:
                raise self._damaged("truncated: a list does not end")
            if mark == '"':
                self._at = self._find('"', self._at + 1, "quoted text")
            depth += {"(": 1, ")": -1}.get(mark, 0)
            self._at += 1
            if depth > _LIST_DEPTH:
                raise DataError("policy", f"PVL with lists nested deeper than {_LIST_DEPTH}")
            if depth == 0:
                return self._content[start : self._at]

    def _end_of_statement(self) -> None:
        self._skip(_BLANKS)
        following = self._content[self._at : self._at + 1]
        if following == ";":
            self._at += 1
        elif following not in ("", "\n"):
            raise self._damaged(f"expected ';' or the end of the line, found {following!r}")
