"""File systems that are full, read-only or elsewhere: nothing partial stays, and the next run with room ends well.

Each zone stands on a small file system of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cloning import Clone
from faults import kills
from faults.delivering import SOURCE, at_once, at_rest, deliver, ingest, let_go
from faults.disks import filled, immutable, needs_mount, out_of_inodes, read_only, tmpfs
from faults.oracle import Truth
from orbitory.settings import Settings

pytestmark = [*kills.marks, needs_mount]


def is_stopped(done: kills.Done, settings: Settings, truth: Truth) -> None:
    """The run failed, said why, and left nothing half done."""
    assert done.returncode in (2, 3), done.stderr
    assert "Traceback" not in done.stderr
    assert at_once(settings, truth) == []
    incoming = settings.storage / ".incoming"
    assert [path for path in incoming.rglob("*") if path.is_file()] == []


def goes_on(settings: Settings, truth: Truth) -> None:
    done = ingest(settings)
    assert done.returncode in (0, 1), done.stderr
    assert at_rest(settings, truth) == []


@pytest.mark.fault("F15", how="storage, quarantine, trash or landing is a tmpfs filled to its last byte")
@pytest.mark.fault("F16", how="storage, quarantine, trash or landing is a tmpfs without a free inode")
@pytest.mark.long
@pytest.mark.parametrize("full", [filled, out_of_inodes])
@pytest.mark.parametrize("zone", ["storage", "quarantine"])
def test_a_full_zone_stops_the_run_and_with_room_again_it_is_finished(
    clone: Clone, zone: str, full: Callable[[Path], contextlib.AbstractContextManager[None]]
) -> None:
    settings = clone(f"full_{zone}_{full.__name__}")
    with tmpfs(getattr(settings, zone), "size=256k,nr_inodes=60") as folder:
        ingest(settings)  # makes what stands in an empty storage
        truth = deliver(settings, size=6_000)
        with full(folder):
            is_stopped(ingest(settings), settings, truth)
        goes_on(settings, truth)


@pytest.mark.fault("F15", how="landing is a tmpfs filled to its last byte while it is ingested")
@pytest.mark.fault("F22", how="landing on another file system than storage")
def test_a_full_landing_zone_is_ingested_and_so_emptied(clone: Clone) -> None:
    settings = clone("full_landing")
    with tmpfs(settings.landing, "size=256k,nr_inodes=60") as folder:
        truth = deliver(settings, size=6_000)
        with filled(folder):
            done = ingest(settings)
            assert done.returncode == 1, done.stderr
        assert at_rest(settings, truth) == []


@pytest.mark.fault("F20", how="a zone is remounted read-only")
@pytest.mark.long
@pytest.mark.parametrize("zone", ["storage", "landing", "quarantine"])
def test_a_read_only_zone_stops_the_run_and_changes_no_file(clone: Clone, zone: str) -> None:
    settings = clone(f"read_only_{zone}")
    ingest(settings)
    truth = deliver(settings)
    with read_only(getattr(settings, zone)):
        done = ingest(settings)
        assert "Read-only file system" in done.stderr
        is_stopped(done, settings, truth)
    goes_on(settings, truth)


@pytest.mark.fault("F20", how="chattr +i on storage, on a landing folder, on a landing file")
@pytest.mark.long
@pytest.mark.parametrize("what", ["storage/correlative", "landing/correlative", "landing/correlative/2.txt"])
def test_what_is_immutable_stops_the_run_and_is_finished_when_it_is_not(clone: Clone, what: str) -> None:
    settings = clone(f"immutable_{len(what)}")
    truth = deliver(settings)
    path = settings.landing.parent / what
    if not path.exists():
        path.mkdir(parents=True)
        (settings.storage / ".orbitory-storage").touch()
    with immutable(path):
        is_stopped(ingest(settings), settings, truth)
    goes_on(settings, truth)


@pytest.mark.fault("F22", how="SIGKILL before every change, with storage on another file system")
@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_kill_at_any_change_of_a_copy_to_another_file_system_loses_nothing(
    clone: Clone, record_property: kills.Record
) -> None:
    calls = ("link", "linkat", "unlink", "renameat2", "syncfs", "fsync", "write", "mkdir")
    quiet = clone("quiet")
    with tmpfs(quiet.storage, "size=1m"):
        deliver(quiet)
        log = quiet.landing.parent / "calls.log"
        points = kills.points(partial(ingest, quiet), log, calls, most=1_000, status=(1,))
    assert {"link", "write"} <= {call for call, _ in points}, "names appear by link, after a copy"
    sweep = kills.Sweep(points)
    for call, number in sweep:
        settings = clone(f"{call}_{number}")
        with tmpfs(settings.storage, "size=1m"):
            truth = deliver(settings)
            sweep.kill((call, number), partial(ingest, settings))
            sweep.tell("at once", at_once(settings, truth))
            let_go(settings)
            sweep.must_end(ingest(settings), 1)
            sweep.tell("after the next run", at_rest(settings, truth))
        clone.drop(settings)
    sweep.judge(record=record_property)


@pytest.mark.fault("F22", how="link answers EXDEV, EPERM, EOPNOTSUPP, EMLINK")
@pytest.mark.long
@pytest.mark.parametrize("error", ["EXDEV", "EPERM", "EOPNOTSUPP", "EMLINK"])
def test_where_links_are_not_possible_files_are_copied(clone: Clone, error: str) -> None:
    settings = clone(f"no_link_{error}")
    truth = deliver(settings)
    inode = (settings.landing / SOURCE / "2.txt").stat().st_ino
    done = ingest(settings, kills.injecting("linkat", "1+", f"error={error}"))
    assert done.returncode == 1, done.stderr
    assert at_rest(settings, truth) == []
    assert (settings.storage / "correlative/text/2.txt").stat().st_ino != inode
