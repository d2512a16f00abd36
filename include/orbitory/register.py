"""Give an archive that already stands on disk its rows: verify, extract and store, without touching a single file.

The files keep their places: rows hold paths relative to storage where they stand in it, else absolute ones. Work goes
folder by folder in batches like any other, so memory is bounded and a killed registration is taken up where it stopped:
what has its rows is passed over.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

from orbitory import announcements
from orbitory.catalogue import Source
from orbitory.errors import ConfigurationError, DataError
from orbitory.ingest.batches import Bounds, cut
from orbitory.ingest.detect import BatchRef, fill_planned, insert_batches, recover, start_run
from orbitory.ingest.ledger import stat_in
from orbitory.ingest.report import RunReport, report
from orbitory.ingest.run import processes, work_all
from orbitory.ingest.units import MANIFEST_BYTES, Candidate, Look, group, read_manifest
from orbitory.inventory import Row
from orbitory.settings import Settings
from orbitory.site import Site, open_site, person
from orbitory.zones import Seen, display, read_small, scan

log = logging.getLogger(__name__)

#: Called after each batch with the number of files that were looked at so far.
Progress = Callable[[int], None]


def register(
    settings: Settings, source_name: str, folder: Path, workers: int = 1, progress: Progress | None = None
) -> RunReport:
    """Register what stands below ``folder`` as data of a source; returns the figures of this run alone.

    Duplicates, rejects and conflicts stay where they are, told by the report and the ledger. Raises
    ConfigurationError for a folder that cannot be registered, and the first failure of a batch after the report.
    """
    with open_site(actor=f"{person()}/{secrets.token_hex(3)}", settings=settings) as site:
        source = site.catalogue.source(source_name)
        root = _checked(site, folder)
        site.prepare(source)
        run = start_run(site, source, {"register": str(root), "workers": workers}, session=True)
        recover(site, source, run, root)
        registration = _Registration(
            site=site, source=source, run=run, root=root, workers=workers, announced=_manifests(root, source)
        )
        failures = list(registration.work(registration.open_batches()))
        looked = 0
        for chunk in _chunks(root, source.batch.max_files):
            while (batches := registration.plan(chunk)) and not failures:
                failures += registration.work(batches)
            looked += len(chunk)
            if progress:
                progress(looked)
        result = report(site, source_name)
    if failures:
        raise failures[0]
    return result


def _checked(site: Site, folder: Path) -> Path:
    try:
        root = folder.resolve(strict=True)
    except OSError as error:
        raise ConfigurationError(f"cannot register {folder}: {error.strerror}") from error
    if not root.is_dir():
        raise ConfigurationError(f"cannot register {folder}: it is no folder; name the folder that holds the archive")
    settings = site.settings
    for name in ("landing", "quarantine", "trash", "work"):
        zone = Path(getattr(settings, name)).resolve()
        if root.is_relative_to(zone) or zone.is_relative_to(root):
            raise ConfigurationError(f"cannot register {root}: it overlaps the {name} zone {zone}")
    return root


def _manifests(root: Path, source: Source) -> dict[str, list[dict[str, object]]]:
    """They may speak of files in other folders, which other chunks hold; those that are malformed say nothing here."""
    announced: dict[str, list[dict[str, object]]] = {}
    for seen in scan(root):
        name = display(seen.path)
        if seen.regular and announcements.role_of(name, source) == "manifest":
            with suppress(DataError):
                for target, entry in read_manifest(name, read_small(root, seen.path, MANIFEST_BYTES), source):
                    announced.setdefault(target, []).append(entry)
    return announced


def _chunks(root: Path, files: int) -> Iterator[list[Seen]]:
    """What stands below ``root``, in lists of about ``files``; never through a folder, whose files may be one unit."""
    chunk: list[Seen] = []
    folder = b""
    for seen in scan(root):
        here = seen.path.rpartition(b"/")[0]
        if len(chunk) >= files and here != folder:
            yield chunk
            chunk = []
        folder = here
        chunk.append(seen)
    if chunk:
        yield chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class _Registration:
    """One run over one folder."""

    site: Site
    source: Source
    run: int
    root: Path
    workers: int
    #: What the manifests anywhere below the folder announce, by the name of the file they speak of.
    announced: Mapping[str, Sequence[dict[str, object]]]

    def plan(self, chunk: Sequence[Seen]) -> tuple[BatchRef, ...]:
        """Cut what of the chunk has no rows yet into batches, and write them into the ledger."""
        inventory, source = self.site.inventory, self.source
        storage = self.site.storage.root.resolve()
        inside = self.root.relative_to(storage) if self.root.is_relative_to(storage) else self.root
        with inventory.transaction():
            inventory.one("lock_detect", source=source.name)
            inventory.run("create_seen")
            inventory.copy_in("copy_seen", _seen_rows(chunk))
            prefix = "" if self.root == storage else f"{inside}/"
            at = {"source": source.name, "root": str(self.root), "prefix": prefix}
            rows = inventory.all("register_candidates", run=self.run, **at)
            known = {row["path"] for row in rows if row["known"]}
            found = group([_candidate(row) for row in rows], source, self.site.catalogue, self._look())
            # A unit is looked at again as a whole when one of its files is new or was mended.
            units = [unit for unit in found if not {part.file.path for part in unit.parts} <= known]
            bounds = Bounds(files=source.batch.max_files, bytes=source.batch.max_bytes)
            slices = cut(units, bounds.shared_among(self.workers, len(rows)))
            fill_planned(self.site, insert_batches(self.site, source, self.run, slices, self.root))
            inventory.run("register_arrivals", source=source.name, run=self.run)
            inventory.run("register_members")
        return self.open_batches()

    def _look(self) -> Look:
        return Look(
            read=lambda path, limit: read_small(self.root, path, limit),
            ever_seen=lambda names: {name for name in names if os.path.lexists(self.root / name)},
            announced=self.announced,
        )

    def open_batches(self) -> tuple[BatchRef, ...]:
        """What this run has planned or adopted and not finished."""
        return tuple(BatchRef(**row) for row in self.site.inventory.all("open_batches", run=self.run))

    def work(self, batches: Sequence[BatchRef]) -> Iterator[Exception]:
        """Do the steps of every batch; yields what failed."""
        with ExitStack() as stack:
            pool = stack.enter_context(processes(self.workers, "spawn")) if self.workers > 1 else None
            results = work_all(self.site.settings, self.site.actor, batches, pool)
            for failure in stack.enter_context(closing(results)):
                if failure is not None:
                    log.error("a batch failed: %s", failure)
                    yield failure


def _seen_rows(found: Sequence[Seen]) -> Iterator[tuple[object, ...]]:
    """Rows of ``copy_seen``."""
    for seen in found:
        stat = seen.stat
        yield (
            *(seen.path, display(seen.path), stat.dev, stat.ino, stat.size, stat.mtime_ns, stat.ctime_ns),
            seen.regular,
        )


def _candidate(row: Row) -> Candidate:
    """It stands where it belongs: nobody is writing it, and nothing else is still to come."""
    return Candidate(
        path=row["path"],
        name=row["name"],
        stat=stat_in(row),
        regular=row["regular"],
        age=math.inf,
        waited=math.inf,
        unchanged=math.inf,
    )
