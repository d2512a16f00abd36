"""Retention and audit.

Technique: what has expired is picked in the order of one index and leaves by rename into the trash, marked before and a
tombstone after; storage is walked in the order of paths beside the inventory, and only differences are looked at again;
files are read from disk, a few of them ahead. All of it gives way to ingest.
Limit: of a removal its rows: history, set, ledger and tombstones, while the yardstick leaves no trace; of an audit the
disk, for what the kernel remembers proves nothing.
Tried: picking without that index (2,000 times slower at 5 million rows), deletion one by one (100 times slower), all
names in memory (0.9 GB a million).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from benchmarks.deliveries import Delivery, forget, ingest_all, jpss, land
from benchmarks.site import Bench, environment, tool
from benchmarks.stage import Case, Done, Side, Stage
from orbitory.checksum import Hasher
from orbitory.definitions import Retention
from orbitory.retention import granules
from orbitory.retention.naming import clock
from orbitory.retention.outcome import Pass
from orbitory.scan.fixity import plan_fixity, verify
from orbitory.scan.partitions import partitions
from orbitory.scan.reconcile import reconcile
from orbitory.settings import CHECKOUT, Settings
from orbitory.site import open_site

_LIMIT_SECONDS = 0.05
_runs = count(1)
#: What an archive does beside ingest, again and again.
_UPKEEP = "while :; do bin/orbitory audit --reconcile; bin/orbitory audit --fixity; bin/orbitory expire; done"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Archive:
    """An archive of files that have all expired; it is copied, never used up."""

    delivery: Delivery
    settings: Settings

    def stored(self) -> list[Path]:
        return sorted(self.settings.storage.rglob("*.h5"))


def _archive(bench: Bench) -> _Archive:
    delivery = jpss(bench, "kept", bench.pick(200, 2_000, 10_000))
    settings = bench.site("kept")
    land(delivery, settings)
    ingest_all(settings)
    return _Archive(delivery=delivery, settings=settings)


def _pick(bench: Bench) -> Case:
    expired = bench.pick(50, 10_000, 10_000)
    settings = bench.copy(bench.filled(), "expired")
    bench.sql(
        settings,
        "UPDATE granule SET expires_at = now() - interval '1 hour' WHERE id %% %s = 0 AND id <= %s * %s::bigint",
        *(bench.rows // expired, bench.rows // expired, expired),
    )
    bench.sql(settings, "VACUUM ANALYZE granule")
    site = bench.opened("picking", open_site(actor="benchmark", settings=settings))
    products = [row["product"] for row in site.inventory.all("removal_known_products")]
    asked = {"products": products, "until": datetime.now(UTC), "as_of": None, "limit": expired, "without": []}

    def ours() -> Done:
        with site.inventory.transaction():
            site.inventory.run("removal_create_chosen")
            started = time.perf_counter()
            found = site.inventory.run("removal_choose_expired", after=None, after_id=0, **asked)
            took = time.perf_counter() - started
            site.inventory.run("removal_drop_plan")
        if found != expired:
            raise RuntimeError(f"{found} granules had expired, not {expired}")
        return Done(units=1, cost=took)

    what = f"{expired:,} expired of {bench.rows:,} granules"
    return Case(what=what, ours=ours, theirs=lambda: Done(units=1, cost=_LIMIT_SECONDS))


def _removal(bench: Bench) -> Case:
    archive = bench.once(_archive)
    removed, target = bench.home / "work" / "removed", "removal"
    fresh: list[Settings] = []

    def ready(side: Side) -> None:
        if side == "ours":
            fresh[:] = [bench.copy(archive.settings, target)]
            bench.sql(fresh[0], "UPDATE granule SET expires_at = now() - interval '1 hour'")
        else:
            shutil.rmtree(removed, ignore_errors=True)
            subprocess.run(["cp", "-a", archive.settings.storage, removed], check=True)

    def ours() -> Done:
        with open_site(actor="benchmark/removal", settings=fresh[0]) as site:
            trusting = Retention(most_granules=1_000_000, approve_granules=1_000_000)
            site = replace(site, catalogue=replace(site.catalogue, retention=trusting))
            done = granules.expire(site, Pass(now=clock(site), listing=False))
        if done.failed or not done.removed:
            raise RuntimeError(f"{done.removed} granules were removed: {done.failed[:1]}")
        return Done(units=len(archive.delivery.files))

    def theirs() -> Done:
        subprocess.run([tool("rm"), "-r", removed], check=True)
        return Done(units=len(archive.delivery.files))

    return Case(what=f"{archive.delivery}, into the trash", ours=ours, theirs=theirs, ready=ready)


def _reconcile(bench: Bench) -> Case:
    archive = bench.once(_archive)

    def ours() -> Done:
        with open_site(actor=f"benchmark/{next(_runs)}", settings=archive.settings) as site:
            files = sum(reconcile(site, each).files for each in partitions(site))
        return Done(units=files)

    def theirs() -> Done:
        line = [tool("find"), str(archive.settings.storage), "-type", "f", "-printf", "%s %p\\n"]
        subprocess.run(line, stdout=subprocess.DEVNULL, check=True)
        return Done(units=len(archive.delivery.files))

    return Case(what=f"storage of {archive.delivery}", ours=ours, theirs=theirs)


def _fixity(bench: Bench) -> Case:
    archive = bench.once(_archive)
    files = archive.stored()

    def ready(side: Side) -> None:
        forget(files)

    def ours() -> Done:
        with open_site(actor=f"benchmark/{next(_runs)}", settings=archive.settings) as site:
            read = sum(verify(site, part.as_dict()).files for part in plan_fixity(site, None))
        return Done(units=read)

    def theirs() -> Done:
        hasher = Hasher()
        for file in files:
            with file.open("rb", buffering=0) as handle:
                hasher.digest(handle.fileno())
        return Done(units=len(files))

    return Case(what=f"{archive.delivery}, not in the kernel's memory", ours=ours, theirs=theirs, ready=ready)


@contextmanager
def _upkeep(settings: Settings) -> Iterator[None]:
    process = subprocess.Popen(
        ["bash", "-c", _UPKEEP],
        cwd=CHECKOUT,
        env=environment(settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _beside(bench: Bench) -> Case:
    archive = bench.once(_archive)
    delivery = jpss(bench, "beside", bench.pick(100, 1_000, 10_000), seed=2)
    fresh: list[Settings] = []

    def ready(side: Side) -> None:
        fresh[:] = [bench.copy(archive.settings, "beside")]
        land(delivery, fresh[0])

    def alone() -> Done:
        ingest_all(fresh[0])
        return Done(units=len(delivery.files))

    def ours() -> Done:
        with _upkeep(fresh[0]):
            return alone()

    return Case(what=f"{delivery} into an archive of {archive.delivery}", ours=ours, theirs=alone, ready=ready)


STAGES = (
    Stage(
        name="retention-pick",
        yardstick="50 ms",
        goal=1.0,
        unit="pages",
        prepare=_pick,
    ),
    Stage(
        name="retention-removal",
        yardstick="rm -r of the same files",
        goal=0.5,
        unit="files",
        prepare=_removal,
        floor=0.002,
    ),
    Stage(
        name="audit-reconcile",
        yardstick="find -printf '%s %p'",
        goal=0.25,
        unit="files",
        prepare=_reconcile,
        floor=0.002,
    ),
    Stage(
        name="audit-fixity",
        yardstick="a loop that reads and hashes the same files",
        goal=0.9,
        unit="files",
        prepare=_fixity,
        floor=0.02,
    ),
    Stage(
        name="ingest-beside-upkeep",
        yardstick="the same ingest alone",
        goal=0.9,
        unit="files",
        prepare=_beside,
        slow=True,
        floor=0.1,
    ),
)
