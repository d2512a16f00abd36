"""kill -9 before each system call of the incinerator that changes something: the next run finishes, nothing is lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cloning import Clone
from faults.oracle import Truth, violations_at_any_instant
from footprints import strips
from holdings import Holdings
from orbitory.audit import Violation, audit
from orbitory.settings import Settings
from orbitory.site import open_site
from retaining import expire_at, files, key, past

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]

Run = Callable[..., subprocess.CompletedProcess[str]]
CALLS = ("renameat2", "mkdir", "unlink", "unlinkat", "rmdir", "syncfs", "sendto")
MOST_OF_EACH = int(os.environ.get("ORBITORY_TEST_KILL_POINTS", "2"))
#: The command a week later: nobody can date a link or a folder back.
LATER = (
    "import datetime, sys, orbitory.retention.run as run; from orbitory.cli import main; now = run.clock;"
    "run.clock = lambda site: now(site) + datetime.timedelta(days=8); sys.exit(main(sys.argv[1:]))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An archive of ten images: three have expired, two lie in the trash for too long; old links, a work folder, a
    rejected file and one that the audit has set aside, whose time is over, too.
    """

    settings: Settings
    #: Paths of what leaves.
    going: frozenset[str]
    before: dict[str, bytes]


def prepare(settings: Settings) -> Prepared:
    with strips(settings) as archive:
        archive.make(10)
        expire_at(archive, [8, 9])
        stored = files(settings.storage)
        assert expire(settings).returncode == 0
        emptied = frozenset(stored) - frozenset(files(settings.storage))
        archive.sql("UPDATE removal_item SET trashed_at = trashed_at - interval '40 days'")
        expire_at(archive, [2, 3, 7])
        rows = archive.sql(
            "SELECT s.path FROM asset s JOIN granule_asset l ON l.asset_id = s.id WHERE l.granule_id IN (2, 3, 7)"
        )
        for name in ("ada/a.ntf", "ada/b.ntf"):
            link = settings.links / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(settings.storage / rows[0]["path"])
        for place in (settings.work / "pge" / "1.aa" / "out" / "log", settings.quarantine / "dark" / "1" / "a.ntf"):
            place.parent.mkdir(parents=True)
            place.touch()
        archive.sql(
            "INSERT INTO scan_finding (kind, path, name, size, detail, scans, actor, moved_to, closed_at, outcome)"
            " VALUES ('dark', 'a', 'a', 0, 'x', 2, 'test', 'dark/1/a.ntf', now() - interval '99 days', 'quarantined')"
        )
        with Holdings(settings) as hand:
            unit = hand.reject("a.bin", sidecar=b"")
            hand.finish()
        past(settings, unit, "99 days")
        return Prepared(
            settings=settings,
            going=frozenset(row["path"] for row in rows),
            before={path: content for path, content in stored.items() if path not in emptied},
        )


def command(settings: Settings, line: Sequence[str], strace: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "ORBITORY_DATABASE": settings.database,
        "ORBITORY_ROOT": str(settings.landing.parent),
        "ORBITORY_CATALOGUE": str(settings.catalogue),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "include"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    words = [*strace, sys.executable, "-c", LATER, *line]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)


def expire(settings: Settings, strace: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    return command(settings, ("expire", "--json"), strace)


def calls_of(settings: Settings, run: Run) -> list[tuple[str, int]]:
    """(call, its number) of what a quiet run does, evenly sampled, the last ones always."""
    log = settings.landing.parent / "calls.log"
    done = run(settings, ("strace", "-qq", "-o", str(log), "-e", f"trace={','.join(CALLS)}"))
    assert done.returncode == 0, done.stderr
    counts: Counter[str] = Counter(
        match[1] for line in log.read_text().splitlines() if (match := re.match(r"(\w+)\(", line))
    )
    assert {"renameat2", "syncfs", "sendto"} <= set(counts)
    return [
        (call, number) for call, count in counts.items() for number in range(count, 0, -max(1, count // MOST_OF_EACH))
    ]


def at_any_instant(at: Prepared) -> list[str]:
    """What is not to go stands; what goes is whole in one place; no row is visible without its file."""
    root = at.settings.landing.parent
    found = violations_at_any_instant(Truth("nga", {}), root, at.settings.database)
    places = [files(root / "storage"), files(root / "trash") if (root / "trash").is_dir() else {}]
    everywhere = Counter(content for place in places for content in place.values() if content)
    found += [
        f"{path} stands {everywhere[content]} times"
        for path, content in at.before.items()
        if content and everywhere[content] != 1
    ]
    with open_site(actor="test", settings=at.settings) as site:
        found += [f"{each.invariant}: {each.detail}" for each in audit(site) if not _is_under_way(each)]
    return found


def _is_under_way(each: Violation) -> bool:
    """That a set was cut short is no loss: the audit says who finishes it."""
    return each.invariant == "I10" and each.name.startswith("set ") and "cut short" in each.detail


def at_rest(at: Prepared) -> list[str]:
    found = at_any_instant(at)
    if set(at.before) - set(files(at.settings.storage)) != at.going:
        found.append("storage holds something else than it should")
    if len(files(at.settings.trash)) != len(at.going):
        found.append("the trash holds something else than it should")
    if [each for each in at.settings.links.rglob("*") if each.is_symlink()]:
        found.append("old links stand")
    zones = (at.settings.quarantine, at.settings.work)
    found += [f"{each} stands" for zone in zones for each in zone.rglob("*") if each.is_file() and each.name[0] != "."]
    with open_site(actor="test", settings=at.settings) as site:
        found += [each.detail for each in audit(site)]
        found += [str(row) for row in site.inventory.all("scan_quarantined", source=None, reason=None)]
    return found


def sweep(
    clone: Clone, run: Run, prepared: Callable[[Settings], Prepared], at_rest: Callable[[Prepared], list[str]]
) -> None:
    first_of_all = prepared(clone("prepared"))
    points = calls_of(clone.copy(first_of_all.settings, "quiet"), run)
    problems: list[str] = []
    killed = 0
    for call, number in points:
        where = f"kill before {call} #{number}"
        at = replace(first_of_all, settings=clone.copy(first_of_all.settings, f"at_{call}_{number}"))
        inject = f"inject={call}:signal=KILL:when={number}"
        first = run(at.settings, ("strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject))
        killed += first.returncode in (-9, 137)
        problems += [f"{where}, at once: {each}" for each in at_any_instant(at)]
        second = run(at.settings)
        if second.returncode and "has no such granule" not in second.stderr:
            problems.append(f"{where}: the next one ended with {second.returncode}: {second.stderr[-300:]}")
        problems += [f"{where}, after the next one: {each}" for each in at_rest(at)]
    print(f"kill points: {len(points)}, killed: {killed}, violations: {len(problems)}")
    assert not problems
    assert killed >= len(points) * 0.9 - 1  # how often the inventory is asked at the very end differs a little


@pytest.mark.req("G22", "N10", "F51")
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_kill_before_any_change_of_the_incinerator_loses_nothing_and_the_next_run_finishes(clone: Clone) -> None:
    sweep(clone, expire, prepare, at_rest)


def prepare_restore(settings: Settings) -> Prepared:
    """Three images have left together."""
    with strips(settings) as archive:
        archive.make(10)
        expire_at(archive, [2, 3, 7])
        before = files(settings.storage)
        assert expire(settings).returncode == 0
        return Prepared(settings=settings, going=frozenset(), before=before)


@pytest.mark.req("N10", "F51")
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_kill_before_any_change_of_a_restore_loses_nothing_and_the_next_one_finishes(clone: Clone) -> None:
    with_its_name = {"key": ""}

    def prepared(settings: Settings) -> Prepared:
        at = prepare_restore(settings)
        with strips(settings) as archive:
            with_its_name["key"] = key(archive, 3)
        return at

    def restore(settings: Settings, strace: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        return command(settings, ("restore", with_its_name["key"]), strace)

    def restored(at: Prepared) -> list[str]:
        found = at_any_instant(at)
        with open_site(actor="test", settings=at.settings) as site:
            found += [each.detail for each in audit(site)]
            held = [row["name"] for row in site.inventory.all("hold_list", granules=None, all=False, limit=10)]
        if held != [with_its_name["key"]] or len(files(at.settings.trash)) != 4:
            found.append(f"held: {held}; the trash holds {len(files(at.settings.trash))} files")
        return found

    sweep(clone, restore, prepared, restored)
