"""kill -9 before each system call of a removal, or of its undoing, that changes something: a repetition finishes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cloning import Clone
from faults.oracle import Truth, violations_at_any_instant
from footprints import strips
from orbitory.audit import audit
from orbitory.digest import digest
from orbitory.removal import Selection, plan
from orbitory.settings import Settings
from orbitory.site import open_site

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]

CALLS = ("renameat2", "mkdir", "syncfs", "fsync", "sendto")
MOST_OF_EACH = int(os.environ.get("ORBITORY_TEST_KILL_POINTS", "2"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An archive of ten images, three of which are to go."""

    settings: Settings
    hash: str
    #: Of the whole archive before.
    digest: str
    #: Files that are to go, and all.
    going: frozenset[str]
    files: dict[str, bytes]


def prepare(settings: Settings) -> Prepared:
    with strips(settings) as archive:
        archive.make(10)
        rows = archive.sql("SELECT key FROM granule WHERE id IN (2, 3, 7)")
        shown = plan(archive.site, Selection(kind="list", names=tuple(row["key"] for row in rows)))
        going = archive.sql("SELECT DISTINCT path FROM removal_item")
        return Prepared(
            settings=settings,
            hash=shown.hash,
            digest=digest(archive.site.inventory, archive.site.storage).digest,
            going=frozenset(row["path"] for row in going),
            files=standing(settings.storage),
        )


def copy(clone: Clone, of: Prepared, name: str) -> Prepared:
    return replace(of, settings=clone.copy(of.settings, name))


def standing(root: Path) -> dict[str, bytes]:
    return {
        str(each.relative_to(root)): each.read_bytes()
        for each in sorted(root.rglob("*"))
        if each.is_file() and not each.name.startswith(".")
    }


def command(at: Prepared, action: str, *strace: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "ORBITORY_DATABASE": at.settings.database,
        "ORBITORY_ROOT": str(at.settings.landing.parent),
        "ORBITORY_CATALOGUE": str(at.settings.catalogue),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "include"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    line = [*strace, sys.executable, "-m", "orbitory", "delete", action, at.hash, "--force", "--json"]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=False)


def calls_of(at: Prepared, action: str) -> list[tuple[str, int]]:
    """(call, its number) of what a quiet run does to files and inventory, evenly sampled, the last ones always."""
    log = at.settings.landing.parent / f"calls{action}.log"
    run = command(at, action, "strace", "-qq", "-o", str(log), "-e", f"trace={','.join(CALLS)}")
    assert run.returncode == 0, run.stderr
    counts: Counter[str] = Counter(
        match[1] for line in log.read_text().splitlines() if (match := re.match(r"(\w+)\(", line))
    )
    assert {"renameat2", "syncfs", "sendto"} <= set(counts)
    return [
        (call, number) for call, count in counts.items() for number in range(count, 0, -max(1, count // MOST_OF_EACH))
    ]


def at_any_instant(at: Prepared) -> list[str]:
    """No byte is gone, no row is visible without its file, and only the removal itself is unfinished."""
    root = at.settings.landing.parent
    found = violations_at_any_instant(Truth("nga", {}), root, at.settings.database)
    everywhere = Counter(standing(root / "storage").values())
    if (root / "trash").is_dir():
        everywhere += Counter(standing(root / "trash").values())
    found += [
        f"{path} stands {everywhere[content]} times" for path, content in at.files.items() if everywhere[content] != 1
    ]
    with open_site(actor="test", settings=at.settings) as site:
        found += [f"{each.invariant}: {each.detail}" for each in audit(site) if "cut short" not in each.detail]
    return found


def at_rest(at: Prepared, gone: frozenset[str]) -> list[str]:
    found = at_any_instant(at)
    if set(at.files) - set(standing(at.settings.storage)) != gone:
        found.append("storage holds something else than it should")
    with open_site(actor="test", settings=at.settings) as site:
        found += [each.detail for each in audit(site) if "cut short" in each.detail]
        if not gone and digest(site.inventory, site.storage).digest != at.digest:
            found.append("the archive is not what it was")
    return found


@pytest.mark.req("N6", "N10")
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_kill_before_any_change_of_a_removal_loses_nothing_and_the_same_call_finishes(clone: Clone) -> None:
    prepared = {"--apply": prepare(clone("prepared"))}
    prepared["--undo"] = copy(clone, prepared["--apply"], "applied")
    assert command(prepared["--undo"], "--apply").returncode == 0
    problems: list[str] = []
    points = {action: calls_of(copy(clone, at, f"quiet{action[2:]}"), action) for action, at in prepared.items()}
    killed = 0
    for action, call, number in [(action, *point) for action, each in points.items() for point in each]:
        where = f"{action}, kill before {call} #{number}"
        at = copy(clone, prepared[action], f"{action[2:]}_{call}_{number}")
        inject = f"inject={call}:signal=KILL:when={number}"
        first = command(at, action, "strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
        killed += first.returncode in (-9, 137)
        problems += [f"{where}, at once: {each}" for each in at_any_instant(at)]
        second = command(at, action)
        if second.returncode:
            problems.append(f"{where}: the next one ended with {second.returncode}: {second.stderr[-300:]}")
        gone = at.going if action == "--apply" else frozenset[str]()
        problems += [f"{where}, after the next one: {each}" for each in at_rest(at, gone)]
        if action == "--apply" and number % 3 == 0:  # an interrupted removal can be brought back, too
            assert command(at, "--undo").returncode == 0
            problems += [f"{where}, brought back: {each}" for each in at_rest(at, frozenset())]
    chosen = sum(len(each) for each in points.values())
    print(f"kill points: {chosen}, killed: {killed}, violations: {len(problems)}")
    assert not problems
    assert killed >= chosen * 0.9 - 1  # how often the inventory is asked at the very end differs a little


def test_a_removal_that_was_cut_short_can_be_turned_back_at_once_and_nobody_else_finishes_it(clone: Clone) -> None:
    at = prepare(clone("turned"))
    inject = "inject=renameat2:signal=KILL:when=3"
    assert command(at, "--apply", "strace", "-qq", "-o", "/dev/null", "-e", "trace=renameat2", "-e", inject).returncode
    with open_site(actor="test", settings=at.settings) as site:
        told = [each.detail for each in audit(site)]
        assert told == ["its removal was cut short: repeat `--apply`"]
        assert site.inventory.all("deleting_assets") == [], "the recovery of an ingest would take it for its own"
    assert command(at, "--undo").returncode == 0
    assert at_rest(at, frozenset()) == []
