"""kill -9 before each system call of the incinerator that changes something: the next run finishes, nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pytest

from cloning import Clone
from faults import kills
from faults.oracle import Truth, violations_at_any_instant
from footprints import strips
from holdings import Holdings
from orbitory.audit import Violation, audit
from orbitory.settings import Settings
from orbitory.site import open_site
from retaining import expire_at, files, key, past

pytestmark = kills.marks

Run = Callable[..., kills.Done]
CALLS = ("renameat2", "mkdir", "unlink", "unlinkat", "rmdir", "syncfs", "sendto")
#: The command a week later: nobody can date a link or a folder back. What has expired leaves two by two.
LATER = (
    "import datetime, sys, orbitory.retention.granules as granules, orbitory.retention.run as run;"
    "from orbitory.cli import main; granules.MANY_AT_ONCE = 2; now = run.clock;"
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


def command(settings: Settings, line: Sequence[str], strace: Sequence[str] = ()) -> kills.Done:
    return kills.python(settings, "-c", LATER, *line, strace=strace)


def expire(settings: Settings, strace: Sequence[str] = ()) -> kills.Done:
    return command(settings, ("expire", "--json"), strace)


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
    quiet = clone.copy(first_of_all.settings, "quiet")
    log = quiet.landing.parent / "calls.log"
    # What has expired is renamed by a thread of its own.
    points = kills.points(partial(run, quiet), log, CALLS, most=kills.most_of_each(2), children=True)
    swept = kills.Sweep(points, children=True)
    assert {"renameat2", "syncfs", "sendto"} <= {call for call, _ in swept.points}
    for call, number in swept:
        at = replace(first_of_all, settings=clone.copy(first_of_all.settings, f"at_{call}_{number}"))
        swept.kill((call, number), partial(run, at.settings))
        swept.tell("at once", at_any_instant(at))
        second = run(at.settings)
        if "has no such granule" not in second.stderr:  # what was to be restored is back already
            swept.must_end(second)
        swept.tell("after the next one", at_rest(at))
    swept.judge()


@pytest.mark.fault("F51", how="SIGKILL before system calls of the incinerator")
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


@pytest.mark.fault("F51", how="SIGKILL before system calls of a restore")
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

    def restore(settings: Settings, strace: Sequence[str] = ()) -> kills.Done:
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
