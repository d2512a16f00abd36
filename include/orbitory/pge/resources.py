"""Who runs next: never more than there is room for, the important first, nobody for ever last.

A queue has a capacity in processors. Of what waits, priority decides; it grows with waiting, so that nothing starves.
Among equals the PGE goes first that runs least. Small ones may pass a large one that does not fit yet, but only for a
while: then what gets free is kept for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orbitory.catalogue import Catalogue
from orbitory.site import Site, is_person

#: Where PGEs wait that name no other queue.
DEFAULT_QUEUE = "default"
#: Waiting so long is worth one point of priority.
SECONDS_PER_POINT = 360.0
#: So long may others pass one that does not fit.
PATIENCE_SECONDS = 600.0
#: How long what was handed out waits for a worker before it is handed out again.
HAND_OUT_LEASE = "30 minutes"
_MOST_OF_A_PGE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An instance that could run."""

    id: int
    pge: str
    cpus: int
    priority: int
    waited_seconds: float

    @property
    def weight(self) -> float:
        """Its priority now."""
        return self.priority + self.waited_seconds / SECONDS_PER_POINT


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """An instance whose turn it is."""

    id: int
    pge: str
    period_key: str
    tries: int

    @property
    def run_id(self) -> str:
        """A name for its run that people can read."""
        period = "".join(c if c.isalnum() or c in "_+-." else "-" for c in self.period_key)[:120]
        return f"{self.pge}-{period}-{self.id}"


def choose(waiting: Sequence[Waiting], busy: Mapping[str, int], capacity: int) -> list[int]:
    """Whose turn it is now, in order. ``busy``: processors that each PGE uses; ``capacity``: those that there are.

    One that asks for more than there are gets all of them, alone.
    """
    running, chosen = Counter(busy), list[int]()
    free = capacity - running.total()
    left = sorted(waiting, key=lambda each: each.id)
    while left and free > 0:
        left.sort(key=lambda each: (-round(each.weight), running[each.pge], -each.waited_seconds, each.id))
        for each in left:
            cpus = min(each.cpus, capacity)
            if cpus <= free:
                break
            if each.waited_seconds > PATIENCE_SECONDS:
                return chosen
        else:
            return chosen
        left.remove(each)
        chosen.append(each.id)
        running[each.pge] += cpus
        free -= cpus
    return chosen


def hand_out(site: Site, queue: str, capacity: int, *, in_line: bool = False) -> list[Handed]:
    """Give a queue's next instances to the caller, who sees to it that they run; nobody else gets them meanwhile.

    ``in_line``: the caller's own queue lets no more run at once than the capacity. It then gets as many again to wait
    there, so that no processor idles between two; but not where an instance takes several processors, of which such a
    queue knows nothing, nor beside a person's ``run-pge``.
    """
    pges = {name: pge.run.cpus for name, pge in site.catalogue.pges.items() if pge.run.queue == queue}
    with site.inventory.transaction():
        site.inventory.one("pge_lock_queue", queue=queue)
        rows = site.inventory.all("pge_ready", queue=queue, pges=list(pges), most=_MOST_OF_A_PGE)
        running = site.inventory.all("pge_busy", queue=queue)
        busy: Counter[str] = Counter()
        for row in running:
            busy[row["pge"]] += min(pges.get(row["pge"], 1), capacity)
        waiting = [
            Waiting(
                id=row["id"],
                pge=row["pge"],
                cpus=pges[row["pge"]],
                priority=row["priority"],
                waited_seconds=row["waited"],
            )
            for row in rows
        ]
        narrow = all(pges.get(row["pge"], 1) == 1 for row in (*rows, *running))
        if in_line and narrow and not any(is_person(row["owner"]) for row in running):
            capacity *= 2
        chosen = choose(waiting, busy, capacity)
        site.inventory.run("pge_hand_out", instances=chosen, owner=site.actor, lease=HAND_OUT_LEASE)
    known = {row["id"]: row for row in rows}
    return [Handed(**{name: known[number][name] for name in ("id", "pge", "period_key", "tries")}) for number in chosen]


def queues(catalogue: Catalogue) -> list[str]:
    """Every queue that a PGE of the catalogue waits in, and the one that there always is."""
    return sorted({DEFAULT_QUEUE, *(pge.run.queue for pge in catalogue.pges.values())})


def slots_of(parallelism: int, queues: int = 1) -> int:
    """How many processors each queue may use where so many tasks run at once: two of five for all of them together."""
    return max(1, parallelism * 2 // 5 // queues)
