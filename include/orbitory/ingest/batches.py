"""Cut a run's units into batches: bounded, by sensor, and never through one granule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from orbitory.ingest.units import Unit

#: Mapped groups of one run stay far below Airflow's max_map_length (1,024); what is left over waits for the next run.
MOST_BATCHES = 200
#: Below this many files a batch costs more to start than to do.
LEAST_FILES = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How large a batch may grow. One unit, or one cluster of the same granule, may exceed it alone."""

    files: int
    bytes: int

    def shared_among(self, workers: int, files: int) -> Bounds:
        """Smaller batches, so that ``workers`` find something to do among ``files``."""
        if workers == 1:
            return self
        return Bounds(files=min(self.files, max(LEAST_FILES, -(-files // (2 * workers)))), bytes=self.bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The units of one batch."""

    partition: str
    units: tuple[Unit, ...]

    @property
    def files(self) -> int:
        """Files, sidecars included."""
        return sum(unit.files for unit in self.units)

    @property
    def bytes(self) -> int:
        """Bytes, sidecars included."""
        return sum(unit.bytes for unit in self.units)

    @property
    def newest(self) -> datetime:
        """Latest sensing time in the slice."""
        return max((unit.span[1] for unit in self.units if unit.span), default=datetime.min.replace(tzinfo=UTC))


def cut(units: Sequence[Unit], bounds: Bounds) -> list[Slice]:
    """Slices of at most ``bounds``, newest sensing time first; at most ``MOST_BATCHES`` of them.

    Units of one sensor whose sensing intervals overlap may hold the same granule (another packaging, version or copy),
    and so may units whose names share a key: they stay in one slice, so that the winner never depends on which worker
    is faster.
    """
    sensors: dict[str, str] = {}  # copies under names that tell no sensor go with those that tell it
    for unit in sorted(units, key=order):
        sensors[unit.key] = min(sensors.get(unit.key, unit.sensor), unit.sensor)
    partitions: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        partitions[sensors[unit.key] if unit.key else unit.sensor].append(unit)
    slices = [
        Slice(partition=sensor, units=tuple(part))
        for sensor, members in sorted(partitions.items())
        for part in _fill(_clusters(members), bounds)
    ]
    return sorted(slices, key=lambda each: (each.newest, each.partition), reverse=True)[:MOST_BATCHES]


def order(unit: Unit) -> tuple[datetime, bytes]:
    """The order in which winners are decided: sensing time, then path."""
    return (unit.span[0] if unit.span else datetime.min.replace(tzinfo=UTC), unit.main.path)


def _clusters(units: list[Unit]) -> Iterator[list[Unit]]:
    cluster: list[Unit] = []
    end: datetime | None = None
    first: dict[str, tuple[datetime, bytes]] = {}
    for unit in sorted(units, key=order):
        first.setdefault(unit.key, order(unit))
    for unit in sorted(units, key=lambda unit: (first[unit.key] if unit.key else order(unit), order(unit))):
        span = unit.span
        same = cluster and ((unit.key and unit.key == cluster[-1].key) or (span and span == cluster[-1].span))
        if cluster and not same and not (span and end and span[0] < end):
            yield cluster
            cluster, end = [], None
        cluster.append(unit)
        if span:
            end = max(end, span[1]) if end else span[1]
    if cluster:
        yield cluster


def _fill(clusters: Iterator[list[Unit]], bounds: Bounds) -> Iterator[list[Unit]]:
    part: list[Unit] = []
    files = size = 0
    for cluster in clusters:
        more_files, more_bytes = sum(unit.files for unit in cluster), sum(unit.bytes for unit in cluster)
        if part and (files + more_files > bounds.files or size + more_bytes > bounds.bytes):
            yield part
            part, files, size = [], 0, 0
        part += cluster
        files, size = files + more_files, size + more_bytes
    if part:
        yield part
