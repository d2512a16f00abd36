"""kill -9 before each system call of a removal, or of its undoing, that changes something: a repetition finishes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from cloning import Clone
from faults import kills
from faults.oracle import Truth, violations_at_any_instant
from footprints import strips
from orbitory.audit import audit
from orbitory.digest import digest
from orbitory.removal import Selection, plan
from orbitory.settings import Settings
from orbitory.site import open_site

pytestmark = kills.marks

CALLS = ("renameat2", "mkdir", "syncfs", "fsync", "sendto")


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


def command(at: Prepared, action: str, strace: Sequence[str] = ()) -> kills.Done:
    return kills.orbitory(at.settings, "delete", action, at.hash, "--force", strace=strace)


def points_of(at: Prepared, action: str) -> list[kills.Point]:
    log = at.settings.landing.parent / f"calls{action}.log"
    found = kills.points(partial(command, at, action), log, CALLS, most=kills.most_of_each(2))
    assert {"renameat2", "syncfs", "sendto"} <= {call for call, _ in found}
    return found


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


@pytest.mark.fault("F51", how="SIGKILL before system calls of a removal, and of its undoing")
@pytest.mark.req("N6", "N10")
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_kill_before_any_change_of_a_removal_loses_nothing_and_the_same_call_finishes(clone: Clone) -> None:
    prepared = {"--apply": prepare(clone("prepared"))}
    prepared["--undo"] = copy(clone, prepared["--apply"], "applied")
    assert command(prepared["--undo"], "--apply").returncode == 0
    sweeps = {
        action: kills.Sweep(points_of(copy(clone, ready, f"quiet{action[2:]}"), action), what=f"{action}, kill")
        for action, ready in prepared.items()
    }
    for action, sweep in sweeps.items():
        for call, number in sweep:
            at = copy(clone, prepared[action], f"{action[2:]}_{call}_{number}")
            sweep.kill((call, number), partial(command, at, action))
            sweep.tell("at once", at_any_instant(at))
            sweep.must_end(command(at, action))
            gone = at.going if action == "--apply" else frozenset[str]()
            sweep.tell("after the next one", at_rest(at, gone))
            if action == "--apply" and number % 3 == 0:  # an interrupted removal can be brought back, too
                assert command(at, "--undo").returncode == 0
                sweep.tell("brought back", at_rest(at, frozenset()))
    kills.judge(*sweeps.values())


def test_a_removal_that_was_cut_short_can_be_turned_back_at_once_and_nobody_else_finishes_it(clone: Clone) -> None:
    at = prepare(clone("turned"))
    sweep = kills.Sweep([("renameat2", 3)])
    sweep.kill(("renameat2", 3), partial(command, at, "--apply"))
    sweep.judge(missed=0)
    with open_site(actor="test", settings=at.settings) as site:
        told = [each.detail for each in audit(site)]
        assert told == ["its removal was cut short: repeat `--apply`"]
        assert site.inventory.all("deleting_assets") == [], "the recovery of an ingest would take it for its own"
    assert command(at, "--undo").returncode == 0
    assert at_rest(at, frozenset()) == []
