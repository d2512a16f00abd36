"""What is measured: one thing of ours beside one yardstick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from benchmarks.site import Bench

Side = Literal["ours", "theirs"]
Size = Literal["tiny", "small", "full"]


class NotInstalled(Exception):
    """A peer that the yardstick needs is not here; the text names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What one measured call did."""

    #: Files, rows, bytes …: both sides count the same.
    units: float
    #: What counts in place of the call's own time: a percentile of many calls, a limit that is given, bytes.
    cost: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One stage made ready: its data stand, and both sides can be called again and again."""

    #: The data, for people: how many, how large.
    what: str
    ours: Callable[[], Done]
    theirs: Callable[[], Done]
    #: Puts back what the side consumes. Not measured.
    ready: Callable[[Side], None] = lambda side: None
    #: More figures of ours, told after the last round.
    more: Callable[[], dict[str, Any]] = dict


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One line of the table. Its ratio is the yardstick's time for each unit, divided by ours."""

    name: str
    yardstick: str
    goal: float
    #: Of a rate; empty where a rate says nothing.
    unit: str
    prepare: Callable[[Bench], Case]
    #: By processor time, where the sides use different numbers of processes.
    basis: Literal["wall", "cpu"] = "wall"
    #: Programs of others without which there is no yardstick.
    needs: tuple[str, ...] = ()
    sizes: tuple[Size, ...] = ("tiny", "small", "full")
    #: A tiny run measures it only when it is named.
    slow: bool = False
    #: Below this a tiny run counts as broken; where fixed costs count at that size, less than half the goal.
    floor: float | None = None

    @property
    def gross(self) -> float:
        """The ratio below which a tiny run fails."""
        return self.goal / 2 if self.floor is None else self.floor
