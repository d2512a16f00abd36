"""The archived files of a slice, page by page, and the record of what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from orbitory.inventory import Row
from orbitory.site import Site

#: Units held in memory, and committed together.
_UNITS = 200
_MOST_DETAIL = 2_000
#: Roles of files that hold granules; the others stand beside them.
_HOLDERS = ("data", "document")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A part of a request's sensing time, and the values that select its units."""

    site: Site
    request: int
    number: int
    conditions: Mapping[str, Any]

    def count(self, changed: int) -> None:
        """Add to the rows that were written, inside their transaction."""
        if changed:
            self.site.inventory.run("reprocess_changed", request=self.request, number=self.number, changed=changed)


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit as it is archived: the row of the file that speaks for it, first, and those of the others."""

    rows: tuple[Row, ...]

    @property
    def own(self) -> tuple[Row, ...]:
        """The files that were archived with it; others met an equal copy that was there already."""
        return tuple(row for row in self.rows if row["own"])

    @property
    def readable(self) -> tuple[Row, ...]:
        """The files that are read together, the one that speaks for them first; empty when no granule depends on it.

        Where that file has left the archive before the others, the next that holds granules speaks.
        """
        rows = [row for row in self.rows if row["role"] not in ("checksum", "manifest")]
        if not any(row["own"] and row["role"] in _HOLDERS for row in rows):
            return ()
        return tuple(
            sorted(rows, key=lambda row: (row["id"] != row["unit_id"], row["role"] not in _HOLDERS, row["id"]))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with one archived file."""

    asset: int
    code: str
    detail: str


def pages(piece: Slice) -> Iterator[list[Unit]]:
    """The units of the slice in the order of their numbers. No transaction stays open while they are read."""
    after = 0
    while rows := piece.site.inventory.all("reprocess_page", **piece.conditions, after=after, limit=_UNITS):
        after = rows[-1]["unit_id"]
        yield [Unit(tuple(unit)) for _, unit in groupby(rows, itemgetter("unit_id"))]


def record(piece: Slice, problems: Sequence[Problem]) -> None:
    """Write the problems down, the first of each file."""
    if not problems:
        return
    first = {problem.asset: problem for problem in reversed(problems)}
    piece.site.inventory.run(
        "reprocess_problems",
        request=piece.request,
        number=piece.number,
        assets=list(first),
        codes=[problem.code for problem in first.values()],
        details=[problem.detail[:_MOST_DETAIL] for problem in first.values()],
    )
