"""Whole deliveries through all five steps: every file meets the fate that its sender's ground truth foretells."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import psycopg
import pytest

from cloning import Clone
from ingesting import Truth, agree, check, digest_of, ledger
from orbitory import ingest as ingest_steps
from orbitory.catalogue import load
from orbitory.ingest import Selection
from orbitory.ingest.run import ingest
from orbitory.inventory import connect
from orbitory.settings import Settings
from orbitory.simulate import simulate
from orbitory.site import open_site

Deliver = Callable[..., Truth]


@pytest.fixture
def deliver(settings: Settings) -> Deliver:
    """Write a simulated delivery straight into the landing folder of its source."""

    def write(source: str, files: int = 40, seed: int = 1, faults: str | None = None) -> Truth:
        return simulate(load(settings.catalogue), source, files, seed, faults, settings.landing / source)

    return write


@pytest.mark.fault(
    "F23", "F24", "F25", "F30", "F31", "F32", "F33", "F42", how="every fault of the simulator in one delivery"
)
@pytest.mark.req("W3", "G25")
@pytest.mark.parametrize("source", ["idps", "correlative"])
def test_every_file_of_a_delivery_with_every_fault_meets_its_fate(
    settings: Settings, deliver: Deliver, source: str
) -> None:
    truth = deliver(source, 60, faults="all")
    report = check(ingest(settings, source))
    agree(settings, truth, report)


@pytest.mark.req("W7")
def test_two_bad_files_among_98_cost_only_themselves(settings: Settings, deliver: Deliver) -> None:
    deliver("idps", 98)
    landing = settings.landing / "idps"
    victims = sorted(landing.rglob("*.h5"))[:2]
    for victim in victims:
        for sidecar in victim.parent.glob(f"{victim.name}.*"):
            sidecar.unlink()
        status = victim.stat()
        os.truncate(victim, status.st_size // 2)
        os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))
    report = check(ingest(settings, "idps"))
    assert report.rejected == 2
    assert report.archived == report.detected - 2
    assert report.failed and "2 files were rejected" in report.message
    assert sorted(name for name, (state, _) in ledger(settings).items() if state == "rejected") == sorted(
        str(victim.relative_to(landing)) for victim in victims
    )


@pytest.mark.req("W6")
def test_a_second_run_changes_nothing(settings: Settings, deliver: Deliver) -> None:
    deliver("idps", 40, faults="all")
    ingest(settings, "idps")
    before = digest_of(settings)
    report = check(ingest(settings, "idps"))
    assert (report.archived, report.duplicate, report.conflict, report.rejected) == (0, 0, 0, 0)
    assert digest_of(settings) == before


@pytest.mark.req("W10")
def test_serial_and_parallel_runs_end_in_the_same_digest(settings: Settings, clone: Clone) -> None:
    digests = {}
    for workers in (1, 2, 8):
        site = clone(f"w{workers}")
        simulate(load(site.catalogue), "idps", 120, 7, "all", site.landing / "idps")
        check(ingest(site, "idps", Selection(workers=workers)))
        digests[workers] = digest_of(site)
    assert len(set(digests.values())) == 1, digests


def test_a_back_dated_late_arrival_is_found(settings: Settings, deliver: Deliver, tmp_path: Path) -> None:
    deliver("correlative", 12)
    ingest(settings, "correlative")
    late = settings.landing / "correlative" / "late.txt"
    late.write_text("older than everything archived so far\n")
    os.utime(late, (0, 0))
    assert check(ingest(settings, "correlative")).archived == 1


@pytest.mark.fault("F25", how="a file that was changed a moment ago")
def test_a_file_that_waits_is_taken_when_it_has_come_to_rest(settings: Settings) -> None:
    landing = settings.landing / "correlative"
    landing.mkdir(parents=True)
    (landing / "young.txt").write_text("young\n")
    assert check(ingest(settings, "correlative")).waiting == 1
    os.utime(landing / "young.txt", (time.time() - 3600,) * 2)
    assert check(ingest(settings, "correlative")).archived == 1


def test_a_renamed_temporary_file_leaves_no_trace_of_its_old_name(settings: Settings) -> None:
    landing = settings.landing / "correlative"
    landing.mkdir(parents=True)
    (landing / "a.txt.part").write_text("half")
    assert check(ingest(settings, "correlative")).waiting == 1
    (landing / "a.txt.part").rename(landing / "a.txt")
    os.utime(landing / "a.txt", (0, 0))
    report = check(ingest(settings, "correlative"))
    assert (report.detected, report.archived) == (1, 1)
    assert ledger(settings) == {"a.txt": ("archived", "")}


@pytest.mark.parametrize("page", [1, 2, 10_000])
def test_detect_takes_in_what_no_batch_holds_and_nothing_twice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(import_module("orbitory.ingest.detect"), "_PAGE", page)
    landing = settings.landing / "correlative"
    (landing / "a").mkdir(parents=True)

    def deliver(*names: str) -> None:
        for name in names:
            (landing / name).write_text(name)
            os.utime(landing / name, (0, 0))

    def detect(run: str, pattern: str = "*") -> int:
        with open_site(actor=run, settings=settings) as site:
            found = ingest_steps.detect(site, "correlative", Selection(pattern=pattern))
        return sum(batch.count for batch in found.batches)

    def waiting() -> list[tuple[object, ...]]:
        with psycopg.connect(settings.database) as connection:
            return connection.execute("SELECT id, name, first_seen FROM arrival WHERE state = 'waiting'").fetchall()

    deliver("a/1.txt", "a-2.txt", "b.txt", "gone.txt.part", "stays.txt.part", "z.txt.part")
    assert detect("dag/1") == 3
    (stays,) = [row for row in waiting() if row[1] == "stays.txt.part"]
    deliver("a/0.txt", "a/2.txt", "zz.txt")
    for name in ("gone.txt.part", "z.txt.part"):
        (landing / name).unlink()
    assert detect("dag/2") == 3
    assert {name: state for name, (state, _) in ledger(settings).items()} == {
        **dict.fromkeys(("a/0.txt", "a/1.txt", "a/2.txt", "a-2.txt", "b.txt", "zz.txt"), "detected"),
        "stays.txt.part": "waiting",
    }
    assert detect("dag/3", "nothing*") == 0
    assert waiting() == [stays], "what waits and still stands is the same row, so that it knows how long"


def test_a_rehearsal_writes_nothing(settings: Settings, deliver: Deliver) -> None:
    truth = deliver("correlative", 12)
    report = ingest(settings, "correlative", Selection(dry_run=True))
    assert report.run is None
    assert report.detected == len(truth)
    assert ledger(settings) == {}


def test_a_selection_leaves_the_rest_alone(settings: Settings, deliver: Deliver) -> None:
    deliver("idps", 40)
    report = check(ingest(settings, "idps", Selection(sensors=("ATMS",))))
    assert report.archived > 0
    with connect(settings.database, actor="test") as inventory:
        sensors = {row["sensor"] for row in inventory.all("ledger_dump")}
    assert sensors == {"ATMS"}


@pytest.mark.fault("F28", how="other bytes under an archived name, by each policy")
@pytest.mark.parametrize(
    ("policy", "fate", "current", "zones"),
    [
        ("error", "conflict", b"one", ("storage", "quarantine")),
        ("skip", "duplicate", b"one", ("storage", "trash")),
        ("version", "archived", b"two", ("storage", "storage")),
        ("replace", "archived", b"two", ("trash", "storage")),
    ],
)
@pytest.mark.req("G25")
def test_a_source_is_added_by_a_file_alone_and_its_policy_rules_repeated_names(
    settings: Settings, tmp_path: Path, policy: str, fate: str, current: bytes, zones: tuple[str, str]
) -> None:
    catalogue = tmp_path / "catalogue"
    shutil.copytree(settings.catalogue, catalogue)
    text = (catalogue / "sources" / "correlative.toml").read_text()
    text = text.replace('name = "correlative"', 'name = "logs"').replace('landing = "correlative"', 'landing = "logs"')
    text = "\n".join(
        f'duplicates = "{policy}"' if line.startswith("duplicates") else line for line in text.splitlines()
    )
    (catalogue / "sources" / "logs.toml").write_text(text)
    settings = replace(settings, catalogue=catalogue)
    for content in (b"one", b"two"):
        landing = settings.landing / "logs"
        landing.mkdir(parents=True, exist_ok=True)
        (landing / "day.txt").write_bytes(content)
        os.utime(landing / "day.txt", (0, 0))
        report = check(ingest(settings, "logs"))
        assert not (landing / "day.txt").exists()
    assert getattr(report, fate) == 1
    with connect(settings.database, actor="test") as inventory:
        held = [(settings.storage / row["path"]).read_bytes() for row in inventory.all("current_dump")]
    assert held == [current]
    stands = [
        (path.read_bytes(), zone)
        for zone in ("storage", "quarantine", "trash")
        for path in getattr(settings, zone).rglob("day.txt")
    ]
    assert sorted(stands) == [(b"one", zones[0]), (b"two", zones[1])], "neither delivery was thrown away"


def test_rejected_files_stand_in_quarantine_with_their_sidecars_and_a_note(settings: Settings) -> None:
    landing = settings.landing / "correlative"
    landing.mkdir(parents=True)
    (landing / "reason.json").write_text("{}")
    (landing / "reason.json.sha256").write_text("0" * 64)
    for file in landing.iterdir():
        os.utime(file, (0, 0))
    report = check(ingest(settings, "correlative"))
    assert report.rejected == 2
    notes = list(settings.quarantine.glob("correlative/*.json"))
    assert len(notes) == 1
    assert json.loads(notes[0].read_text())["reason"] == "checksum"
    assert {path.name for path in notes[0].with_suffix("").iterdir()} == {"reason.json", "reason.json.sha256"}
