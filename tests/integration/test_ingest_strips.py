"""Deliveries of strips and uploads through all five steps: each file meets the fate that its ground truth foretells."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import psycopg
import pytest

from cloning import Clone
from ingesting import Truth, agree, check, digest_of
from orbitory.catalogue import load
from orbitory.ingest import Selection
from orbitory.ingest.run import ingest
from orbitory.settings import Settings
from orbitory.simulate import simulate

SOURCES = ("nga", "maxar", "upload")


def deliver(settings: Settings, source: str, files: int, seed: int = 1, faults: str | None = "all") -> Truth:
    """Write a simulated delivery straight into the landing folder of its source."""
    return simulate(load(settings.catalogue), source, files, seed, faults, settings.landing / source)


@pytest.mark.fault("F23", "F31", "F32", "F35", "F36", "F42", how="every fault of the simulator in deliveries of strips")
@pytest.mark.req("W3", "G25", "N3", "N4")
@pytest.mark.parametrize("source", SOURCES)
def test_every_file_of_a_delivery_with_every_fault_meets_its_fate(settings: Settings, source: str) -> None:
    truth = deliver(settings, source, 70)
    report = check(ingest(settings, source))
    agree(settings, truth, report)


@pytest.mark.parametrize("source", ["nga", "maxar"])
def test_good_strips_are_found_where_they_lie_without_a_warning(settings: Settings, source: str) -> None:
    deliver(settings, source, 48, 5, None)
    check(ingest(settings, source))
    with psycopg.connect(settings.database) as connection:
        warned = connection.execute(
            "SELECT path, f FROM asset CROSS JOIN jsonb_array_elements(findings) AS f WHERE f ->> 'level' <> 'info'"
        ).fetchall()
        placeless = connection.execute(
            "SELECT key FROM granule WHERE footprint IS NULL AND product NOT IN ('order', 'manifest')"
        ).fetchall()
    assert not warned
    assert not placeless


@pytest.mark.req("W10")
@pytest.mark.parametrize("source", SOURCES)
def test_workers_and_order_of_arrival_change_nothing(clone: Clone, source: str) -> None:
    digests = {}
    for workers in (1, 2, 8):
        site = clone(f"w{workers}")
        deliver(site, source, 60, 7)
        shuffle(site.landing / source, workers)
        check(ingest(site, source, Selection(workers=workers)))
        digests[workers] = digest_of(site)
    assert len(set(digests.values())) == 1, digests


def shuffle(folder: Path, seed: int) -> None:
    """Let the files arrive in another order: new inodes, and other times among those that are complete."""
    draw = random.Random(seed)
    files = sorted(each for each in folder.rglob("*") if each.is_file() and not each.is_symlink())
    draw.shuffle(files)
    now = time.time()
    for path in files:
        young = now - path.stat().st_mtime < 3600
        content, moment = path.read_bytes(), now if young else now - 80_000 - draw.randrange(5_000)
        path.unlink()
        path.write_bytes(content)
        os.utime(path, (moment, moment))


@pytest.mark.req("W6")
@pytest.mark.parametrize("source", SOURCES)
def test_a_second_run_changes_nothing(settings: Settings, source: str) -> None:
    deliver(settings, source, 60)
    ingest(settings, source)
    before = digest_of(settings)
    report = check(ingest(settings, source))
    assert (report.archived, report.duplicate, report.conflict, report.rejected) == (0, 0, 0, 0)
    assert digest_of(settings) == before
