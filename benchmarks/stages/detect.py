"""detect: what stands in landing that the ledger does not know.

Technique: names in the order of their bytes, from scandir and from an index of the ledger, page by page; the two are
merged, and only what no batch holds is looked at: one stat each. The steps themselves make sure that what a batch holds
is still what was detected.
Limit: the kernel's listing of folders, and one row of the ledger for each name that stands in landing.
Tried: a stat of every name and the whole scan by COPY into a temporary table (3 times slower), inotify (its queue
overflows at 16,384 events and it sees nothing that other machines write), the ledger in memory (0.9 GB at a million
rows), a question for each name (18 times slower).
"""

from __future__ import annotations

import itertools
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.deliveries import SOURCE
from benchmarks.site import Bench, tool
from benchmarks.stage import Case, Done, Side, Stage
from orbitory import ingest
from orbitory.settings import Settings
from orbitory.site import Site, open_site

_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
#: Every file has this age, past every minimum.
_OLD = "yesterday"

_RUN = "INSERT INTO ingest_run (source, actor, session) VALUES (%s, 'benchmark/known', false) RETURNING id"
_BATCH = """
INSERT INTO batch (run_id, source, partition, files, bytes, lease_until)
VALUES (%s, %s, 'VIIRS', 1, 1, now() + interval '1 day') RETURNING id"""
# What is known was delivered before and is gone, or stands in landing and is being worked on by another run.
_KNOWN = """
INSERT INTO arrival (source, path, name, role, run_id, batch_id, state, landed, sensor,
                     dev, ino, size, mtime_ns, ctime_ns)
SELECT %s, convert_to(n, 'UTF8'), n, 'data', %s, %s, CASE WHEN here THEN 'detected' ELSE 'archived' END, here, 'VIIRS',
       0, 0, 0, 0, 0
FROM (SELECT unnest(%s::text[]) AS n, true AS here
      UNION ALL
      SELECT 'j01/19990101/SVM01_' || lpad(i::text, 59, '0') || '.h5', false FROM generate_series(1, %s) i) f"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Landing:
    """A landing zone that fills up, and a ledger that knows most of it."""

    bench: Bench
    settings: Settings
    site: Site
    known: int
    new: int
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def folder(self) -> Path:
        return self.settings.landing / SOURCE

    def deliver(self, count: int) -> list[str]:
        """So many files more: empty, for detect reads none."""
        made = []
        for number in itertools.islice(self._numbers, count):
            begin = _BEGIN + timedelta(seconds=86 * number)
            name = (
                f"j01/{begin:%Y%m%d}/SVM01_j01_d{begin:%Y%m%d}_t{begin:%H%M%S}0_e{begin:%H%M%S}9"
                f"_b{10_000 + number // 70:05d}_c20260101000000{number % 1_000_000:06d}_noac_ops.h5"
            )
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            made.append(name)
        subprocess.run(["find", self.folder, "-newermt", _OLD, "-exec", "touch", "-d", _OLD, "{}", "+"], check=True)
        return made

    def detect(self, expected: int) -> Done:
        actor = f"benchmark/{self.settings.database.rpartition('/')[2]}/{next(_actors)}"
        with open_site(actor=actor, settings=self.settings) as site:
            found = ingest.detect(site, SOURCE)
        if (count := sum(batch.count for batch in found.batches)) != expected:
            raise RuntimeError(f"detect found {count} new files, not {expected}")
        return Done(units=1)

    def find(self) -> Done:
        line = [tool("find"), str(self.folder), "-type", "f", "-printf", "%s %T@ %C@ %i %p\\n"]
        subprocess.run(line, stdout=subprocess.DEVNULL, check=True)
        return Done(units=1)


_actors = itertools.count(1)


def _landing(bench: Bench) -> _Landing:
    settings = bench.site("detect")
    known, ever = bench.pick((2_000, 10_000), (200_000, 1_000_000), (200_000, 1_000_000))
    site = bench.opened("detect", open_site(actor="benchmark", settings=settings))
    landing = _Landing(bench=bench, settings=settings, site=site, known=known, new=known // 100)
    names = landing.deliver(known)
    run = bench.sql(settings, _RUN, SOURCE)[0][0]
    batch = bench.sql(settings, _BATCH, run, SOURCE)[0][0]
    bench.sql(settings, _KNOWN, SOURCE, run, batch, names, ever - known)
    bench.sql(settings, "VACUUM ANALYZE arrival")
    return landing


def _some_new(bench: Bench) -> Case:
    landing = bench.once(_landing)

    def ready(side: Side) -> None:
        if side == "ours":
            landing.deliver(landing.new)

    return Case(
        what=f"{landing.known:,} files in landing, {landing.new:,} of them new; all known ever: 5 times as many",
        ours=lambda: landing.detect(landing.new),
        theirs=landing.find,
        ready=ready,
    )


def _nothing_new(bench: Bench) -> Case:
    landing = bench.once(_landing)
    return Case(
        what=f"{landing.known:,} files in landing, none of them new",
        ours=lambda: landing.detect(0),
        theirs=landing.find,
    )


STAGES = (
    Stage(
        name="detect-one-percent-new",
        yardstick="find -printf with size, times and inode",
        goal=1 / 1.5,
        unit="scans",
        prepare=_some_new,
        floor=0.01,
    ),
    Stage(
        name="detect-nothing-new",
        yardstick="find -printf with size, times and inode",
        goal=1.0,
        unit="scans",
        prepare=_nothing_new,
        floor=0.01,
    ),
)
