"""A process that may not have more files, memory, bytes or time: it says so or dies, and nothing is lost."""

from __future__ import annotations

import shutil

import pytest

from cloning import Clone
from faults import kills
from faults.delivering import at_once, at_rest, deliver, ingest, let_go
from faults.disks import needs_mount, tmpfs

pytestmark = [
    pytest.mark.faults,
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed"),
]


@pytest.mark.fault("F21", how="RLIMIT_NOFILE, RLIMIT_AS and RLIMIT_CPU at several sizes, from far too little to enough")
@pytest.mark.parametrize(
    ("limit", "values"),
    [
        ("nofile", (8, 12, 16, 20, 24, 32)),
        ("as", (120 << 20, 200 << 20, 300 << 20, 500 << 20)),
        ("cpu", (1, 2, 30)),
    ],
)
def test_whatever_a_limit_stops_nothing_is_lost_and_the_next_run_finishes(
    clone: Clone, record_property: kills.Record, limit: str, values: tuple[int, ...]
) -> None:
    stopped, problems = 0, []
    for value in values:
        settings = clone(f"{limit}_{value}")
        truth = deliver(settings)
        done = ingest(settings, ("prlimit", f"--{limit}={value}"))
        stopped += done.returncode not in (0, 1)
        problems += at_once(settings, truth)
        let_go(settings)
        assert ingest(settings).returncode in (0, 1)
        problems += at_rest(settings, truth)
    record_property("points", len(values))
    record_property("violations", len(problems))
    assert problems == []
    assert stopped or limit == "cpu", "no limit was met"


@pytest.mark.fault("F21", how="RLIMIT_FSIZE below the size of a file that is copied to another file system")
@needs_mount
def test_a_file_that_is_too_large_to_be_written_is_told_and_waits(clone: Clone) -> None:
    settings = clone("fsize")
    with tmpfs(settings.storage, "size=16m"):
        truth = deliver(settings, size=600_000)
        done = ingest(settings, ("prlimit", "--fsize=100000"))
        assert done.returncode == 3, done.stderr
        assert "File too large" in done.stderr
        assert at_once(settings, truth) == []
        assert [path for path in settings.storage.rglob("*") if path.is_file() and path.stat().st_size == 100_000] == []
        assert ingest(settings).returncode in (0, 1)
        assert at_rest(settings, truth) == []
