"""kill -9 before each system call that changes something, then run again: nothing lost, nothing doubled."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cloning import Clone
from faults.oracle import Truth, violations_at_any_instant, violations_at_rest
from orbitory.settings import Settings

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]

#: Calls that change something; the process is killed before some of each, evenly spread, or before every one.
CALLS = ("link", "linkat", "unlink", "renameat2", "syncfs", "fsync", "mkdir", "sendto")
MOST_OF_EACH = int(os.environ.get("ORBITORY_TEST_KILL_POINTS", "5"))


def deliver(settings: Settings) -> Truth:
    """Three good files, one with a sidecar, and a bad one."""
    landing = settings.landing / "correlative"
    landing.mkdir(parents=True)
    contents = {"a.txt": b"alpha\n", "sub/b.txt": b"beta\n", "c.txt": b"gamma\n"}
    contents["c.txt.sha256"] = hashlib.sha256(b"gamma\n").hexdigest().encode()
    contents["bad.txt"] = b"delta\n"
    contents["bad.txt.md5"] = b"0" * 32
    files = {}
    for name, content in contents.items():
        (landing / name).parent.mkdir(exist_ok=True)
        (landing / name).write_bytes(content)
        os.utime(landing / name, (1_700_000_000, 1_700_000_000))
        files[name] = hashlib.sha256(content).hexdigest(), "rejected" if name.startswith("bad") else "archived"
    return Truth("correlative", files)


def command(settings: Settings, *strace: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "ORBITORY_DATABASE": settings.database,
        "ORBITORY_ROOT": str(settings.landing.parent),
        "ORBITORY_CATALOGUE": str(settings.catalogue),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "include"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    line = [*strace, sys.executable, "-m", "orbitory", "ingest", "correlative", "--workers", "1", "--json"]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=False)


def calls_of_a_run(settings: Settings) -> list[tuple[str, int]]:
    """(call, its number) of what a quiet run does to files and inventory, evenly sampled."""
    deliver(settings)
    log = settings.landing.parent / "calls.log"
    run = command(settings, "strace", "-qq", "-o", str(log), "-e", f"trace={','.join(CALLS)}")
    assert run.returncode == 1, run.stderr
    counts: Counter[str] = Counter()
    points: dict[str, list[tuple[str, int]]] = {}
    for line in log.read_text().splitlines():
        if match := re.match(r"(\w+)\(", line):
            counts[match[1]] += 1
            points.setdefault(match[1], []).append((match[1], counts[match[1]]))
    return [point for each in points.values() for point in each[:: max(1, len(each) // MOST_OF_EACH)]]


@pytest.mark.req("W5")
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_kill_before_any_change_loses_nothing_and_the_next_run_finishes(clone: Clone) -> None:
    command(clone("warm"))  # so that no kill meets the writing of byte code
    chosen = calls_of_a_run(clone("quiet"))
    assert {"linkat", "unlink", "renameat2", "syncfs", "sendto"} <= {call for call, _ in chosen}
    problems: list[str] = []
    killed = 0
    for call, number in chosen:
        settings = clone(f"{call}_{number}")
        root = settings.landing.parent
        truth = deliver(settings)
        inject = f"inject={call}:signal=KILL:when={number}"
        first = command(settings, "strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
        killed += first.returncode in (-9, 137)
        where = f"kill before {call} #{number}"
        problems += [f"{where}, at once: {each}" for each in violations_at_any_instant(truth, root, settings.database)]
        second = command(settings)
        if second.returncode not in (0, 1):
            problems.append(f"{where}: the next run ended with {second.returncode}: {second.stderr[-300:]}")
        problems += [
            f"{where}, after the next run: {each}" for each in violations_at_rest(truth, root, settings.database)
        ]
    print(f"kill points: {len(chosen)}, killed: {killed}, violations: {len(problems)}")
    assert not problems
    assert killed >= len(chosen) * 0.9


@pytest.mark.req("W5")
def test_the_judge_sees_a_loss_a_dark_file_and_a_row_without_its_file(clone: Clone) -> None:
    settings = clone("judge")
    root = settings.landing.parent
    truth = deliver(settings)
    command(settings)
    assert violations_at_rest(truth, root, settings.database) == []
    victim = next(path for path in (root / "storage").rglob("*.txt"))
    content = victim.read_bytes()
    victim.write_bytes(content[:-1])
    assert any("other bytes" in each for each in violations_at_any_instant(truth, root, settings.database))
    victim.unlink()
    assert any("lost" in each for each in violations_at_any_instant(truth, root, settings.database))
    victim.write_bytes(content)
    (victim.parent / "dark.txt").write_bytes(b"nobody knows me")
    assert any("file without row" in each for each in violations_at_rest(truth, root, settings.database))
