"""What a metadata file holds, whatever its notation: named texts in named groups. Bounded, however it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orbitory.errors import DataError

#: Groups within groups; vendor files have at most five.
DEPTH_LIMIT = 24
#: Groups and values of one file; the largest vendor files have a few thousand.
ENTRY_LIMIT = 50_000
#: Characters of one value that are kept; longer ones are lists of orbit points that nothing here reads.
VALUE_LIMIT = 32_768

# What no text file holds: NUL and other control characters except white space.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Values and groups under one name. Names are upper case; of a repeated value the first stands."""

    name: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    #: False for a whole file that may be cut off, where the notation does not tell.
    complete: bool = True

    def text(self, *names: str) -> str | None:
        """The first of these values that is there and not empty."""
        for name in names:
            if found := self.values.get(name):
                return found
        return None

    def walk(self) -> Iterator[Group]:
        """This group and all below it, in the order of the file."""
        pending = [self]
        while pending:
            group = pending.pop()
            yield group
            pending += reversed(group.groups)

    def plain(self) -> dict[str, Any]:
        """As JSON would have it: groups of one name in a list."""
        found: dict[str, Any] = dict(self.values)
        for group in self.groups:
            known = found.get(group.name)
            if known is None:
                found[group.name] = group.plain()
            elif isinstance(known, list):
                known.append(group.plain())
            else:
                found[group.name] = [known, group.plain()]
        return found

    def all(self, *names: str) -> list[Group]:
        """Every group of one of these names, at any depth, in the order of the file."""
        return [group for group in self.walk() if group.name in names]

    def first(self, *names: str) -> Group | None:
        """The first group of the first of these names that is there at all."""
        return next((found[0] for name in names if (found := self.all(name))), None)


class Collector:
    """Builds a ``Group`` from the inside; refuses (DataError ``policy``) what exceeds the limits."""

    def __init__(self, what: str) -> None:
        """``what`` names the notation in messages."""
        self._what = what
        self._left = ENTRY_LIMIT
        self._open: list[tuple[str, dict[str, str], list[Group]]] = [("", {}, [])]

    @property
    def depth(self) -> int:
        """Groups that are open."""
        return len(self._open) - 1

    @property
    def name(self) -> str:
        """Name of the innermost open group; empty outside of all."""
        return self._open[-1][0]

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise DataError("policy", f"{self._what} with more than {ENTRY_LIMIT} entries")

    def open(self, name: str) -> None:
        """Begin a group."""
        self._count()
        if self.depth >= DEPTH_LIMIT:
            raise DataError("policy", f"{self._what} with groups nested deeper than {DEPTH_LIMIT}")
        self._open.append((name.upper(), {}, []))

    def close(self) -> None:
        """End the innermost group."""
        name, values, groups = self._open.pop()
        self._open[-1][2].append(Group(name=name, values=values, groups=tuple(groups)))

    def add(self, name: str, value: str) -> None:
        """Keep a value of the innermost group, unless it has one of that name."""
        self._count()
        self._open[-1][1].setdefault(name.upper(), value[:VALUE_LIMIT])

    def finish(self) -> Group:
        """All that was read; groups still open end here."""
        while self.depth:
            self.close()
        _, values, groups = self._open[0]
        return Group(values=values, groups=tuple(groups))


def decoded(data: bytes, limit: int, what: str) -> str:
    """Foreign bytes as text with ``\\n`` between lines: UTF-8 with or without mark, else Latin-1.

    Raises DataError: ``policy`` above ``limit`` bytes, ``metadata`` for what is no text.
    """
    if len(data) > limit:
        raise DataError("policy", f"{what} of {len(data)} bytes; at most {limit} are read")
    try:
        found = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        found = data.decode("latin-1")
    if wrong := _CONTROL.search(found):
        raise DataError("metadata", f"{what} is not text: it holds U+{ord(wrong[0]):04X} at {wrong.start()}")
    return found.replace("\r\n", "\n").replace("\r", "\n")
