"""What is done about findings: nothing is deleted, and everything can be taken back.

A dark file is renamed into ``quarantine/dark/<number>/``, with a note of where it stood. A missing or damaged file
becomes ``suspect``: nobody is given it any more. Where a second copy agrees with the inventory, it takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from orbitory.inventory import Row
from orbitory.mirror.repairing import Repair, repair
from orbitory.scan.aside import finish_moves, set_dark_aside
from orbitory.scan.doubt import make_suspect
from orbitory.scan.findings import AGREEING, Kind
from orbitory.scan.guard import Limits
from orbitory.scan.partitions import Partition
from orbitory.site import Site

_AT_ONCE = 200
#: Reasons told of so many findings together.
_SHOWN = 20
#: What limits judge together.
_TOGETHER: tuple[tuple[Kind, ...], ...] = (("missing", "damaged"), ("dark",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What was done, in files."""

    #: Dark ones that stand in quarantine now.
    quarantined: int = 0
    suspect: int = 0
    repaired: int = 0
    #: Suspect ones that were read again and are whole.
    whole: int = 0
    #: Why nothing was done about the rest; empty: nothing was held back.
    held_back: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return asdict(self)

    def more(self, *, whole: int = 0, held_back: Sequence[str] = ()) -> Acted:
        """The same, with so many more that are whole again, or reasons why nothing was done."""
        return replace(self, whole=self.whole + whole, held_back=(*self.held_back, *held_back))

    def __add__(self, other: Acted) -> Acted:
        """Both together."""
        return Acted(
            quarantined=self.quarantined + other.quarantined,
            suspect=self.suspect + other.suspect,
            repaired=self.repaired + other.repaired,
            whole=self.whole + other.whole,
            held_back=(*self.held_back, *other.held_back),
        )


def act(site: Site, partition: Partition, *, seen: int, limits: Limits, kinds: Sequence[Kind] = ()) -> Acted:
    """Act on what enough runs agree on, kind by kind, unless it is too much; ``seen``: files on disk in this range."""
    finish_moves(site)
    opened = {row["kind"]: row for row in site.inventory.all("scan_open", **partition.span)}
    if not any(row["here"] for row in opened.values()):
        return Acted()
    held = site.inventory.one("scan_held", **partition.as_dict())
    assert held is not None
    done = Acted()
    for together in _TOGETHER:
        chosen = [kind for kind in together if kind in (kinds or together)]
        rows = [opened[kind] for kind in together if kind in opened]
        if not chosen or not any(row["here"] for row in rows):
            continue
        dark = together == ("dark",)
        if not dark:
            done += _mend(site, partition, chosen)
        here, everywhere = sum(row["here"] for row in rows), sum(row["everywhere"] for row in rows)
        of = seen if dark else held["here"]
        if not any(row["fresh"] for row in rows):
            continue
        if limits.exceeded(here, of, everywhere, held["archive"]):
            told = f"{here:,} of {of:,} files in {partition.name} are {' or '.join(together)}, {everywhere:,} in all"
            done += Acted(held_back=(f"{told}: so many at once mean that storage is at fault, nothing was done",))
        else:
            done += _set_aside(site, partition) if dark else _doubt(site, partition, chosen)
    return done


def _ready(site: Site, partition: Partition, kinds: Sequence[str], *, anew: bool = True) -> Iterable[list[Row]]:
    after = 0
    asked = {"agreeing": AGREEING, "actor": site.actor, "kinds": list(kinds), "limit": _AT_ONCE, "anew": anew}
    while rows := site.inventory.all("scan_ready", after=after, **asked, **partition.span):
        yield rows
        after = rows[-1]["id"]


def _doubt(site: Site, partition: Partition, kinds: Sequence[str]) -> Acted:
    """Make files suspect that still are missing or damaged, then let second copies take their places."""
    done = Acted()
    for rows in _ready(site, partition, kinds):
        fresh, doubted = make_suspect(site, rows)
        repairs = repair(site, doubted)
        left = {each.asset for each in repairs if not each.repaired and not each.whole}
        done += Acted(suspect=len(left & set(fresh))) + _counted(repairs)
    return done


def _mend(site: Site, partition: Partition, kinds: Sequence[str]) -> Acted:
    """Let second copies take the places of suspect files, which had none before, or whose repair was cut short."""
    done = Acted()
    for rows in _ready(site, partition, kinds, anew=False):
        done += _counted(repair(site, [row["asset_id"] for row in rows]))
    return done


def _counted(repairs: Sequence[Repair]) -> Acted:
    return Acted(repaired=sum(each.repaired for each in repairs), whole=sum(each.whole for each in repairs))


def _set_aside(site: Site, partition: Partition) -> Acted:
    done = Acted()
    for rows in _ready(site, partition, ("dark",)):
        moved, kept = set_dark_aside(site, rows)
        done += Acted(quarantined=moved, held_back=tuple(kept[:_SHOWN]))
    return done
