"""Growth: what a file costs where there are many, and what more workers are worth.

Technique: batches are bounded, so memory does not follow the number of files; a step finds what other batches hold by
an index alone.
Limit: indexes that no longer fit the database's memory; the number of cores.
Tried: more workers than cores (the curve tells).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.deliveries import SOURCE, Delivery, jpss, land
from benchmarks.measure import Measured, measure
from benchmarks.site import Bench, command
from benchmarks.stage import Case, Done, Stage
from orbitory.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """An empty site for every ingest."""

    bench: Bench
    _fresh: list[Settings] = field(default_factory=list)

    def ready(self, delivery: Delivery) -> None:
        self._fresh[:] = [self.bench.site("growth")]
        land(delivery, self._fresh[0])

    def ingest(self, delivery: Delivery, workers: int) -> Done:
        """By the command line."""
        command(self._fresh[0], "ingest", SOURCE, "--workers", str(workers), "--json")
        return Done(units=len(delivery.files))

    def point(self, delivery: Delivery, workers: int) -> dict[str, float]:
        """One point of a curve."""
        self.ready(delivery)
        return _point(measure(lambda: self.ingest(delivery, workers), self.bench.cluster.pid()))


def _point(found: Measured) -> dict[str, float]:
    return {
        "cpu_milliseconds_each": round(1000 * found.each("cpu"), 3),
        "milliseconds_each": round(1000 * found.each("wall"), 3),
        "peak_memory": found.peak_memory,
    }


def _files(bench: Bench) -> Case:
    ground = _Ground(bench=bench)
    counts = bench.pick((50, 100), (1_000, 200_000), (1_000, 10_000, 50_000, 200_000))
    deliveries = [jpss(bench, f"growth{count}", count) for count in counts]

    def more() -> dict[str, Any]:
        return {"curve": [{"files": len(each.files), **ground.point(each, 2)} for each in deliveries]}

    return Case(
        what=f"{counts[-1]:,} files against {counts[0]:,}, 2 workers, start of the command included",
        ours=lambda: ground.ingest(deliveries[-1], 2),
        theirs=lambda: ground.ingest(deliveries[0], 2),
        ready=lambda side: ground.ready(deliveries[-1] if side == "ours" else deliveries[0]),
        more=more,
    )


def _workers(bench: Bench) -> Case:
    ground, delivery = _Ground(bench=bench), jpss(bench, "workers", bench.pick(100, 12_000, 12_000))

    def more() -> dict[str, Any]:
        return {"curve": [{"workers": count, **ground.point(delivery, count)} for count in (1, 2, 4, 8)]}

    return Case(
        what=f"{delivery}, 2 workers against 1",
        ours=lambda: ground.ingest(delivery, 2),
        theirs=lambda: ground.ingest(delivery, 1),
        ready=lambda side: ground.ready(delivery),
        more=more,
    )


STAGES = (
    Stage(
        name="growth-files",
        yardstick="the same with few files",
        goal=0.9,
        unit="files",
        prepare=_files,
        slow=True,
        sizes=("tiny", "full"),
    ),
    Stage(
        name="growth-workers",
        yardstick="one worker",
        goal=1.3,
        unit="files",
        prepare=_workers,
        floor=0.1,
        slow=True,
        sizes=("tiny", "full"),
    ),
)
