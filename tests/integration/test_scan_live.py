"""The rolling audit beside a live archive: deliveries and removals at the same time give no false finding."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import psycopg
import pytest

from mirroring import mirrored, write
from orbitory import removal
from orbitory.mirror.copying import mirror
from orbitory.mirror.repairing import repair
from orbitory.settings import Settings
from orbitory.site import open_site
from scanning import compare, read, violations


def deliver(settings: Settings, first: int, count: int) -> None:
    write(settings.landing / "correlative", *range(first, first + count))


def ingesting(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "orbitory", "ingest", "correlative"]
    return subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Looking(Thread):
    """Compares and reads all the time until it is told to stop; what it raises is raised by ``stop``."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings, self.looks, self.enough = settings, 0, Event()
        self.raised: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.enough.is_set():
                compare(self.settings)
                read(self.settings)
                self.looks += 1
        except BaseException as error:  # noqa: BLE001 - told by stop
            self.raised = error

    def stop(self) -> None:
        self.enough.set()
        self.join()
        if self.raised:
            raise self.raised


@pytest.mark.fault("F48", "F50", how="audit, ingest, removal and repair at the same time")
@pytest.mark.req("B9", "F50")
def test_ingest_removal_and_repair_at_the_same_time_give_no_false_finding(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    settings = mirrored(settings, tmp_path)
    deliver(settings, 0, 40)
    assert ingesting(environment).wait() == 0
    looking = Looking(settings)
    looking.start()
    try:
        for turn in range(1, 4):
            deliver(settings, 40 * turn, 40)
            names = tuple(f"site_{number:02}.csv" for number in range(10 * turn, 10 * turn + 5))
            running = ingesting(environment)
            with open_site(actor="test", settings=settings) as site:
                mirror(site, "default")
                shown = removal.plan(site, removal.Selection(kind="list", names=names))
                removal.apply(site, shown.hash, approval="test")
                rows = site.inventory.all("scan_oldest", since="infinity")
                assert all(each.whole for each in repair(site, [row["id"] for row in rows[:10]]))
            assert running.wait() == 0
    finally:
        looking.stop()
    assert looking.looks >= 3
    with psycopg.connect(settings.database) as connection:
        # Not even one that closed by itself.
        assert connection.execute("SELECT kind, name, detail FROM scan_finding").fetchall() == []
    with open_site(actor="test", settings=settings) as site:
        (row,) = site.inventory.all("scan_held", low="", high=None)
    assert row["archive"] == 160 - 15
    assert violations(settings) == []
