"""Export to another site.

Technique: each granule with all its files is one number that the database computes; keys that fall into buckets
with equal sums are not read. What goes is poured from COPY into COPY unread, two batches at a time.
Limit: the indexes of the other side; the yardstick writes the same rows into the same ones, but compares nothing,
checks no foreign key, keeps no trail and cannot be taken back.
Tried: rows one by one (50 times slower), a foreign data wrapper (no faster).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from benchmarks.deliveries import ingest_all, jpss, land
from benchmarks.rows import TABLES, make_tables
from benchmarks.seeds import multiply
from benchmarks.site import Bench, tool
from benchmarks.stage import Case, Done, Side, Stage
from orbitory import export
from orbitory.export import Preview, Remote
from orbitory.settings import Settings
from orbitory.site import Site, open_site

#: Of every kind of row that goes with a granule of JPSS: also the deliveries by which its files came.
_CARRIED = (*TABLES, "arrival")
_ROWS_PER_SECOND = 3_340
_SECONDS_PER_MILLION = 60.0
_runs = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sites:
    """A site with granules, and others to export to."""

    bench: Bench
    here: Settings
    granules: int
    shown: list[Preview] = field(default_factory=list)

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[Site, Remote]]:
        """Ours, and the other one."""
        there = self.bench.sites.folder / name
        told = {"DATABASE": self.bench.cluster.uri(f"clone_{name}"), "ROOT": str(there)}
        os.environ.update({f"ORBITORY_SITE_{name.upper()}_{key}": value for key, value in told.items()})
        with open_site(actor=f"benchmark/{next(_runs)}", settings=self.here) as site:
            yield site, export.remote(name)

    def preview(self, name: str) -> Preview:
        """What differs."""
        with self.open(name) as (site, remote):
            return export.preview(site, remote, export.Selection(), report=False)

    def run(self, name: str, found: Preview) -> int:
        """Bring it over; the rows of all tables."""
        with self.open(name) as (site, remote):
            outcome = export.run(site, remote, found.hash)
        if outcome.granules != self.granules or outcome.problems:
            raise RuntimeError(f"{outcome.granules} of {self.granules} granules went over: {outcome.problems}")
        return outcome.rows


def _sites(bench: Bench) -> _Sites:
    """Rows as ingest leaves them: with headers, footprints, checksums that were announced, and deliveries."""
    here, (ingested, times) = bench.site("development"), bench.pick((100, 5), (500, 40), (500, 400))
    land(jpss(bench, "delivered", ingested, announced=True), here)
    ingest_all(here)
    multiply(here, times)
    return _Sites(bench=bench, here=here, granules=ingested * times)


def _fresh(sites: _Sites) -> None:
    sites.bench.site("production")
    sites.shown[:] = [sites.preview("production")]


def _run(bench: Bench) -> Case:
    sites = bench.once(_sites)
    psql = tool("psql")

    def ready(side: Side) -> None:
        if side == "ours":
            _fresh(sites)
        else:
            make_tables(bench.site("plain"), _CARRIED)

    def ours() -> Done:
        sites.run("production", sites.shown[0])
        return Done(units=sites.granules)

    def theirs() -> Done:
        for table in _CARRIED:
            out = [psql, "-Xqd", sites.here.database, "-c", f"\\copy {table} TO STDOUT (FORMAT binary)"]
            into = [psql, "-Xqd", bench.cluster.uri("clone_plain", "postgres")]
            into += ["-c", f"\\copy plain_{table} FROM STDIN (FORMAT binary)"]
            with subprocess.Popen(out, stdout=subprocess.PIPE) as source:
                subprocess.run(into, stdin=source.stdout, check=True)
            if source.returncode:
                raise RuntimeError(f"psql could not read {table}")
        return Done(units=sites.granules)

    return Case(
        what=f"{sites.granules:,} granules, each a file and its checksum file, seven rows in all; files stay",
        ours=ours,
        theirs=theirs,
        ready=ready,
    )


def _rate(bench: Bench) -> Case:
    sites = bench.once(_sites)

    def ready(side: Side) -> None:
        if side == "ours":
            _fresh(sites)

    return Case(
        what=f"rows of all tables, {sites.granules:,} granules",
        ours=lambda: Done(units=sites.run("production", sites.shown[0])),
        theirs=lambda: Done(units=_ROWS_PER_SECOND, cost=1.0),
        ready=ready,
    )


def _unchanged(bench: Bench) -> Case:
    sites = bench.once(_sites)
    bench.site("unchanged")
    sites.run("unchanged", sites.preview("unchanged"))

    def ours() -> Done:
        if not sites.preview("unchanged").empty:
            raise RuntimeError("something differs after the export")
        return Done(units=sites.granules)

    return Case(
        what=f"{sites.granules:,} granules that are the same at both sites",
        ours=ours,
        theirs=lambda: Done(units=1_000_000, cost=_SECONDS_PER_MILLION),
    )


STAGES = (
    Stage(
        name="export",
        yardstick=r"psql \copy out and \copy in, same rows and indexes",
        goal=0.5,
        unit="granules",
        prepare=_run,
        needs=("psql",),
        floor=0.005,
    ),
    Stage(
        name="export-rows",
        yardstick="3,340 rows a second",
        goal=1.0,
        unit="rows",
        prepare=_rate,
        slow=True,
        floor=0.05,
    ),
    Stage(
        name="export-preview",
        yardstick="60 s for a million granules",
        goal=1.0,
        unit="granules",
        prepare=_unchanged,
        floor=0.005,
    ),
)
