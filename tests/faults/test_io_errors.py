"""Every system call on files fails once, or for good: the run says so, nothing is lost, and the next one finishes."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from cloning import Clone
from faults import kills
from faults.delivering import SOURCE, at_once, at_rest, deliver, ingest
from faults.disks import needs_mount, tmpfs
from orbitory.settings import Settings

pytestmark = kills.marks

#: What the next runs may answer: 1 for the rejected file.
WELL = (0, 1)
CALLS = ("linkat", "unlink", "renameat2", "syncfs", "fsync", "mkdir")


def told_well(done: kills.Done) -> list[str]:
    """A message with what to do, and never a traceback."""
    if done.returncode in (*WELL, 2, 3, 4) and "Traceback" not in done.stderr:
        return []
    return [f"ended with {done.returncode}: {done.stderr[-400:]}"]


def errors_at(
    clone: Clone, calls: tuple[str, ...], error: str, record: kills.Record, *, most: int = 1_000
) -> kills.Sweep:
    """Let each of these calls fail once, hold the judge against what is left, and run again."""
    quiet = clone("quiet")
    deliver(quiet)
    log = quiet.landing.parent / "calls.log"
    points = kills.points(partial(ingest, quiet), log, calls, most=most, status=(1,))
    sweep = kills.Sweep(points, what=error)
    for call, number in sweep:
        settings = clone(f"{call}_{number}_{error}")
        truth = deliver(settings)
        done = ingest(settings, kills.injecting(call, number, f"error={error}"))
        sweep.tell("at once", [*told_well(done), *at_once(settings, truth)])
        sweep.must_end(ingest(settings), 1)
        sweep.tell("after the next run", at_rest(settings, truth))
        clone.drop(settings)
    record("points", len(points))
    record("violations", len(sweep.problems))
    print("\n".join(sweep.problems))
    return sweep


@pytest.mark.fault("F18", how="EIO once at every link, unlink, rename, fsync, syncfs and mkdir of an ingest")
@pytest.mark.fault("F19", how="each fsync and syncfs fails once and then succeeds")
@pytest.mark.long
@pytest.mark.timeout(1200)
def test_an_error_at_any_call_is_told_and_the_next_run_finishes(clone: Clone, record_property: kills.Record) -> None:
    assert errors_at(clone, CALLS, "EIO", record_property).problems == []


@pytest.mark.fault("F15", "F16", how="ENOSPC once at links, renames, mkdir and syncs of an ingest")
@pytest.mark.fault("F20", how="EROFS once at links, renames, mkdir and syncs of an ingest")
@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("error", ["ENOSPC", "EROFS"])
def test_no_room_or_no_right_for_a_moment_is_told_and_the_next_run_finishes(
    clone: Clone, record_property: kills.Record, error: str
) -> None:
    assert errors_at(clone, ("linkat", "renameat2", "mkdir", "syncfs"), error, record_property, most=4).problems == []


def stored(settings: Settings) -> dict[str, int]:
    """Names and inodes in storage."""
    return {
        str(path.relative_to(settings.storage)): path.stat().st_ino
        for path in settings.storage.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.mark.fault("F19", how="the syncfs of storage fails once, SIGKILL before the names are taken back")
def test_what_a_failed_sync_left_is_never_believed_even_after_a_kill(clone: Clone) -> None:
    settings = clone("failed")
    truth = deliver(settings)
    settings.storage.mkdir()
    failing = kills.injecting(
        "unlink", 1, "signal=KILL", "syncfs:error=EIO:when=1", paths=[settings.storage, *_intended(clone)]
    )
    assert ingest(settings, failing).returncode in (-9, 137)
    left = stored(settings)
    assert left, "the names must still stand there"
    assert ingest(settings).returncode in WELL
    now = stored(settings)
    assert left.keys() <= now.keys()
    assert [name for name, inode in left.items() if now[name] == inode] == [], (
        "bytes that may never have reached a disk"
    )
    assert at_rest(settings, truth) == []


def _intended(clone: Clone) -> list[Path]:
    """Where the files will stand, learned from another site."""
    other = clone("other")
    deliver(other)
    assert ingest(other).returncode in WELL
    return [clone.folder / "failed" / "storage" / name for name in stored(other)]


@pytest.mark.fault("F18", how="EIO at every read of a landing file")
def test_a_file_that_cannot_be_read_stays_in_landing_until_it_can(clone: Clone) -> None:
    settings = clone("unreadable")
    truth = deliver(settings)
    bad = settings.landing / SOURCE / "2.txt"
    done = ingest(settings, kills.injecting("readv", "1+", "error=EIO", paths=[bad]))
    assert done.returncode == 3
    assert re.search(r"cannot read 2\.txt .*Input/output error", done.stderr)
    assert bad.exists()
    assert at_once(settings, truth) == []
    assert ingest(settings).returncode in WELL
    assert at_rest(settings, truth) == []


@pytest.mark.fault("F18", how="EIO at write, fsync and close of a copy in storage")
@pytest.mark.fault("F22", how="storage on another file system than landing")
@needs_mount
@pytest.mark.parametrize("call", ["write", "fsync", "close"])
def test_a_copy_that_cannot_be_written_is_thrown_away_and_landing_kept(clone: Clone, call: str) -> None:
    settings = clone(f"copy_{call}")
    truth = deliver(settings)
    with tmpfs(settings.storage, "size=1m"):
        if call == "fsync":  # is asked for each file once a sync of all has failed
            assert (
                ingest(settings, kills.injecting("syncfs", "1+", "error=EIO", paths=[settings.storage])).returncode == 3
            )
        parts = [settings.storage / ".incoming" / "1" / str(number) for number in range(1, 9)]
        done = ingest(settings, kills.injecting(call, "1+", "error=EIO", paths=parts))
        assert done.returncode == 3, done.stderr
        assert "Input/output error" in done.stderr
        assert at_once(settings, truth) == []
        assert stored(settings) == {}
        assert ingest(settings).returncode in WELL
        assert at_rest(settings, truth) == []
