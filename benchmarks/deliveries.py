"""Files to measure with, as the simulator makes them, and sites driven up to the step that is measured."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.site import Bench, command
from benchmarks.stage import Done, Side
from orbitory import ingest
from orbitory.model import Tally
from orbitory.settings import Settings
from orbitory.simulate.items import Writer, sidecar
from orbitory.simulate.passes import JpssWorkshop
from orbitory.site import Site, open_site

#: Of one satellite, one granule in a file: about 50 kB each.
SMALL = ("SVM01", "SATMS", "GCRSO", "SOMTC", "GMTCO", "GATMO", "SCRIS")
#: Products whose files can be made almost exactly as large as asked.
LARGE = ("SVM01", "SATMS")
SOURCE = "idps"
STEPS: tuple[Callable[[Site, int], Tally], ...] = (ingest.verify, ingest.extract, ingest.store, ingest.archive)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A folder of JPSS files; it is copied, never used up."""

    folder: Path
    #: Without sidecars.
    files: tuple[Path, ...]
    bytes: int

    def __str__(self) -> str:
        """For people."""
        each = self.bytes / len(self.files)
        told = f"{each / 1e6:.0f} MB" if each > 1e6 else f"{each / 1e3:.0f} kB"
        return f"{len(self.files):,} JPSS files of {told}"


def jpss(  # noqa: PLR0913 - each with its default
    bench: Bench, name: str, count: int, granule_bytes: int = 0, *, announced: bool = False, seed: int = 1
) -> Delivery:
    """``count`` good files, all different. ``announced``: each with its SHA-256 beside it."""
    folder = bench.folder(name)
    workshop = JpssWorkshop(bench.catalogue, bench.catalogue.source(SOURCE), seed, granule_bytes)
    wanted = LARGE if granule_bytes else SMALL
    places = [n for n, each in enumerate(workshop.passes) if each.platform == "j01" and each.products[0] in wanted]
    writer = Writer(folder)
    for number in range(count):
        turn, which = divmod(number, len(places))
        item = workshop.item(workshop.file(turn * len(workshop.passes) + places[which]))
        writer.write(item)
        if announced:
            writer.write(sidecar(item, "sha256"))
    truth = [row for row in writer.finish() if row["name"].endswith(".h5")]
    return Delivery(
        folder=folder,
        files=tuple(folder / row["name"] for row in truth),
        bytes=sum(row["size"] for row in truth),
    )


def land(delivery: Delivery, settings: Settings) -> None:
    """Copy the delivery into a site's landing zone; times stay, so nothing has to wait."""
    target = settings.landing / SOURCE
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", delivery.folder, target], check=True)


def forget(files: Iterable[Path]) -> None:
    """Take these out of the kernel's memory: the next one to read them waits for the disk."""
    os.sync()
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of ingest, to be measured again and again on the same files, each time at a fresh site."""

    bench: Bench
    delivery: Delivery
    step: Callable[[Site, int], Tally]
    #: Of the site; each step that is measured beside another has its own.
    name: str
    _ready: list[Driven] = field(default_factory=list)

    def ready(self, side: Side = "ours", *, known: bool = False) -> None:
        """For ours: a fresh site, its batches taken as far as this step. ``known``: the archive holds all files."""
        if side != "ours":
            return
        settings = self.bench.site(self.name)
        if known:
            land(self.delivery, settings)
            ingest_all(settings)
        self.take(settings)

    def take(self, settings: Settings) -> None:
        """The same at this site, whatever it holds."""
        land(self.delivery, settings)
        self._ready[:] = [self.bench.opened(self.name, driven(settings, self.step, f"benchmark/{self.name}"))]

    def run(self) -> Done:
        """Carry it out for every batch."""
        (found,) = self._ready
        done = sum(self.step(found.site, batch).done for batch in found.batches)
        if done != len(self.delivery.files):
            raise RuntimeError(f"{self.step.__name__}: {done} of {len(self.delivery.files)} files went through")
        return Done(units=done)


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """An open site whose batches wait for one step."""

    site: Site
    batches: tuple[int, ...]


@contextmanager
def driven(settings: Settings, before: Callable[[Site, int], Tally], actor: str) -> Iterator[Driven]:
    """Detect what stands in landing, and take it through all steps that come ``before`` this one."""
    with open_site(actor=actor, settings=settings) as site:
        batches = tuple(batch.id for batch in ingest.detect(site, SOURCE).batches)
        for step in STEPS[: STEPS.index(before)]:
            for batch in batches:
                step(site, batch)
        yield Driven(site=site, batches=batches)


def ingest_all(settings: Settings) -> None:
    """What stands in landing into the archive, by the command line."""
    command(settings, "ingest", SOURCE, "--workers", "2", "--json")
