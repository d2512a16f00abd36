"""detect: what stands in the landing zone that no batch holds yet, cut into batches."""

from __future__ import annotations

import fnmatch
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from orbitory.catalogue import Source
from orbitory.errors import ConfigurationError
from orbitory.ingest.batches import Bounds, Slice, cut
from orbitory.ingest.ledger import LEASE, stat_in
from orbitory.ingest.retire import finish_clearing, finish_retiring
from orbitory.ingest.units import Candidate, Look, Unit, group
from orbitory.inventory import Row
from orbitory.model import State
from orbitory.quarantine import finish_redrives
from orbitory.site import Site
from orbitory.zones import Seen, display, names_below, read_small, seen_at

log = logging.getLogger(__name__)

#: So many names of the ledger are asked for at once.
_PAGE = 10_000

#: A unit and the number of its batch; none while it waits.
Planned = tuple[int | None, Unit]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRef:
    """What one mapped task group gets: the number of its batch, and a label for people."""

    id: int
    partition: str
    count: int

    def as_dict(self) -> dict[str, int | str]:
        """Plain values for XCom."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What of the landing zone a run shall look at, and how finely it cuts."""

    workers: int = 1
    #: Only these sensors; empty: all.
    sensors: tuple[str, ...] = ()
    #: Shell pattern for names relative to the landing folder, or their last part.
    pattern: str = "*"
    #: At most this many data files.
    limit: int | None = None
    #: Say what would be done; write nothing.
    dry_run: bool = False

    @property
    def whole(self) -> bool:
        """Whether nothing was left out by choice."""
        return not self.sensors and self.pattern == "*" and self.limit is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What detect found: the run and its batches; of a dry run only the figures."""

    run: int | None
    batches: tuple[BatchRef, ...] = ()
    #: Dry run: files by the state they would get.
    would: dict[str, int] = field(default_factory=dict)


def start_run(site: Site, source: Source, params: dict[str, Any], *, session: bool) -> int:
    """Open this actor's run of ``source``, or find it again. ``session``: it dies with this connection."""
    row = site.inventory.one(
        "start_run", source=source.name, actor=site.actor, params=json.dumps(params), session=session
    )
    assert row is not None
    run: int = row["id"]
    site.inventory.one("set_run", run=run)
    if session:
        site.inventory.one("hold_run", run=run)
    return run


def detect(site: Site, source_name: str, selection: Selection | None = None, *, session: bool = False) -> Detection:
    """Finish what a crash left, then write what stands in landing into the ledger and cut it into batches.

    May be repeated: a second detect of the same run returns the batches that still have something to do. Two at once
    take turns; no file gets into two batches. ``session``: the run dies with this connection (command line).
    """
    selection = selection or Selection()
    source = site.catalogue.source(source_name)
    site.prepare(source)
    if selection.dry_run:
        return _rehearse(site, source, selection)
    params = asdict(selection) | {"sensors": list(selection.sensors)}
    run = start_run(site, source, params, session=session)
    recover(site, source, run)
    with site.inventory.transaction():
        slices, waiting = _decide(site, source, selection)
        _record(site, source, run, slices, waiting)
    batches = tuple(BatchRef(**row) for row in site.inventory.all("open_batches", run=run))
    log.info("run %d of %s: %d batches with %d files", run, source.name, len(batches), sum(b.count for b in batches))
    return Detection(run=run, batches=batches)


def recover(site: Site, source: Source, run: int, root: Path | None = None) -> None:
    """Finish half-done removals, and adopt the batches of runs that ended or died. ``root``: of a registered folder."""
    finish_redrives(site)
    finish_clearing(site, source)
    finish_retiring(site, source)
    place = None if root is None else str(root)
    with site.inventory.transaction():
        rows = site.inventory.all("adopt_batches", source=source.name, run=run, lease=LEASE, root=place)
        adopted = [row["id"] for row in rows]
        moved = site.inventory.run("adopt_arrivals", run=run, batches=adopted)
        site.inventory.run("close_empty_batches", run=run)
    if adopted:
        log.warning("run %d of %s adopted %d unfinished batches with %d files", run, source.name, len(adopted), moved)


def _decide(site: Site, source: Source, selection: Selection) -> tuple[list[Slice], list[Unit]]:
    """Scan and decide, under the source's lock, inside the caller's transaction."""
    inventory, landing = site.inventory, site.landing_of(source)
    inventory.one("lock_detect", source=source.name)
    files, withdrawn = _candidates(site, source)
    if not selection.dry_run:
        inventory.run("forget_withdrawn", ids=withdrawn)
    look = Look(
        read=lambda path, limit: read_small(landing, path, limit),
        ever_seen=lambda names: {
            row["name"] for row in inventory.all("ever_seen", source=source.name, names=list(names))
        },
    )
    units = [unit for unit in group(files, source, site.catalogue, look) if _selected(unit, selection)]
    complete = [unit for unit in units if unit.state is State.DETECTED]
    if selection.limit is not None:
        complete = sorted(complete, key=lambda unit: unit.main.path)[: selection.limit]
    bounds = Bounds(files=source.batch.max_files, bytes=source.batch.max_bytes)
    slices = cut(complete, bounds.shared_among(selection.workers, sum(unit.files for unit in complete)))
    return slices, [unit for unit in units if unit.state is State.WAITING]


def _candidates(site: Site, source: Source) -> tuple[list[Candidate], list[int]]:
    """Files that no batch holds, new ones and waiting ones; and the numbers of waiting ones that are gone.

    Two sorted streams are merged, so that memory holds one folder's names, one page of the ledger, and what is found.
    What a batch holds is known by its name alone: the steps themselves make sure of its bytes.
    """
    row = site.inventory.one("seconds_now")
    assert row is not None
    landing, files, withdrawn = site.landing_of(source), [], []
    ledger = _landed(site, source)
    known, waits = next(ledger, _END)
    for name in names_below(landing):
        while known is not None and known < name:
            if waits is not None:
                withdrawn.append(waits["id"])
            known, waits = next(ledger, _END)
        held, waited = known == name, None
        if held:
            waited = waits
            known, waits = next(ledger, _END)
        # What another run archived since its folder was listed is gone by now; what still stands is new.
        if (not held or waited is not None) and (seen := seen_at(landing, name)):
            files.append(_candidate(seen, waited, row["now"]))
    rest = chain([(known, waits)], ledger)
    return files, withdrawn + [waits["id"] for _, waits in rest if waits is not None]


#: Behind the last name of the ledger.
_END: tuple[bytes | None, Row | None] = (None, None)


def _landed(site: Site, source: Source) -> Iterator[tuple[bytes | None, Row | None]]:
    """Names that the ledger knows in landing, in the order of their bytes; the rows of those that wait."""
    after = b""
    while (page := _page(site, source, after)) and page["paths"] is not None:
        numbers = page["waiting"]
        rows = site.inventory.all("waiting_arrivals", ids=numbers) if numbers else []
        waiting = {row["path"]: row for row in rows}
        for after in page["paths"].split(b"\0"):
            yield after, waiting.get(after)


def _page(site: Site, source: Source, after: bytes) -> Row | None:
    return site.inventory.one("landed_page", source=source.name, after=after, limit=_PAGE)


def _candidate(seen: Seen, waits: Row | None, now: float) -> Candidate:
    """A file as the decisions want it. ``waits``: its row, if it waits; ``now``: seconds, by the database's clock."""
    same = waits is not None and stat_in(waits) == seen.stat
    return Candidate(
        path=seen.path,
        name=display(seen.path),
        stat=seen.stat,
        regular=seen.regular,
        age=now - seen.stat.mtime_ns / 1e9,
        waited=waits["waited"] if waits is not None else 0.0,
        unchanged=waits["unchanged"] if waits is not None and same else 0.0,
    )


def _selected(unit: Unit, selection: Selection) -> bool:
    name = unit.main.name
    wanted = fnmatch.fnmatchcase(name, selection.pattern) or fnmatch.fnmatchcase(
        name.rpartition("/")[2], selection.pattern
    )
    return wanted and (not selection.sensors or unit.sensor in selection.sensors)


def _record(site: Site, source: Source, run: int, slices: Sequence[Slice], waiting: Sequence[Unit]) -> None:
    fill_planned(site, [*((None, unit) for unit in waiting), *insert_batches(site, source, run, slices)])
    site.inventory.run("record_arrivals", source=source.name, run=run)
    site.inventory.run("join_sidecars", source=source.name)


def insert_batches(
    site: Site, source: Source, run: int, slices: Sequence[Slice], root: Path | None = None
) -> list[Planned]:
    """Make a batch of each slice. ``root``: the registered folder in which the files stay."""
    place = None if root is None else str(root)
    planned: list[Planned] = []
    for part in slices:
        about = {"partition": part.partition, "files": part.files, "bytes": part.bytes, "root": place}
        row = site.inventory.one("insert_batch", run=run, source=source.name, lease=LEASE, **about)
        assert row is not None
        planned += [(row["id"], unit) for unit in part.units]
    return planned


def fill_planned(site: Site, planned: Iterable[Planned]) -> None:
    """Fill the table ``planned``, which lasts as long as the transaction."""
    site.inventory.run("create_planned")
    site.inventory.copy_in("copy_planned", _planned_rows(planned))


def _planned_rows(planned: Iterable[Planned]) -> Iterator[tuple[object, ...]]:
    """Rows of ``copy_planned``: every file of every unit, with the batch it goes to."""
    for batch, unit in planned:
        start, end = unit.span or (None, None)
        for part in unit.parts:
            for file in (part.file, *part.sidecars):
                stat, own = file.stat, file is part.file
                yield (
                    *(file.path, file.name, part.role if own else "checksum"),
                    *(None if file is unit.main else unit.main.path, batch),
                    *(unit.state.value, unit.reason, unit.detail, unit.sensor, start, end),
                    *(stat.dev, stat.ino, stat.size, stat.mtime_ns, stat.ctime_ns),
                    json.dumps(part.announced if own else []),
                )


def _rehearse(site: Site, source: Source, selection: Selection) -> Detection:
    """What detect would do, without a trace in the inventory."""
    if not site.landing_of(source).is_dir():
        raise ConfigurationError(f"landing folder {site.landing_of(source)} of source {source.name} does not exist")
    with site.inventory.transaction():
        slices, waiting = _decide(site, source, selection)
    would = {
        "batches": len(slices),
        "detected": sum(part.files for part in slices),
        "waiting": sum(unit.files for unit in waiting),
    }
    for part in slices:
        log.info("dry run of %s: batch of %s with %d files", source.name, part.partition, part.files)
    return Detection(run=None, would=would)
