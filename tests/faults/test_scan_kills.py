"""kill -9 before each change that the rolling audit or a repair makes: nothing is lost, the next run finishes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psycopg
import pytest

from cloning import Clone
from faults import kills
from faults.oracle import Truth, violations_at_any_instant
from mirroring import deliver, mirrored_catalogue
from orbitory import removal
from orbitory.audit import audit
from orbitory.digest import digest
from orbitory.mirror.copying import mirror
from orbitory.settings import Settings
from orbitory.site import open_site
from scanning import compare, later

pytestmark = kills.marks

CALLS = ("renameat2", "rename", "link", "linkat", "unlink", "fsync", "syncfs", "sendto")
#: Of these every one is a point: between two of them bytes stand in no final place.
ALL_OF = {"renameat2", "rename", "link", "linkat", "fsync", "syncfs"}
AUDIT, MIRROR = ("audit", "--fixity", "--reconcile"), ("mirror", "run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An archive with a mirror, in which a file is missing, one is damaged, and one has no row."""

    settings: Settings
    digest: str
    #: Every content that must stand somewhere.
    contents: frozenset[bytes]


def prepare(settings: Settings, catalogue: Path) -> Prepared:
    settings = replace(settings, catalogue=catalogue, mirrors={"default": settings.landing.parent / "second"})
    deliver(settings, *range(8))
    with open_site(actor="test", settings=settings) as site:
        assert mirror(site, "default").copied == 8
        before = digest(site.inventory, site.storage).digest
    files = {each.name: each for each in settings.storage.rglob("*.csv")}
    contents = {file.read_bytes() for file in files.values()} | {b"dark"}
    files["site_03.csv"].unlink()
    bad = files["site_05.csv"].read_bytes()[::-1]
    files["site_05.csv"].write_bytes(bad)
    (settings.storage / "stray.bin").write_bytes(b"dark")
    compare(settings)
    return Prepared(settings=settings, digest=before, contents=frozenset(contents | {bad}))


def copy(clone: Clone, of: Prepared, name: str) -> Prepared:
    settings = clone.copy(of.settings, name)
    mirrors = {"default": settings.landing.parent / "second"}
    return replace(of, settings=replace(settings, catalogue=of.settings.catalogue, mirrors=mirrors))


def command(at: Prepared, verb: Sequence[str], strace: Sequence[str] = ()) -> kills.Done:
    later(at.settings)
    return kills.orbitory(at.settings, *verb, strace=strace, ORBITORY_MIRROR=str(at.settings.mirrors["default"]))


def at_any_instant(at: Prepared) -> list[str]:
    """What is visible is there, whole but for what was damaged before; and no content is gone from the zones."""
    root = at.settings.landing.parent
    found = violations_at_any_instant(Truth("correlative", {}), root, at.settings.database)
    found = [each for each in found if "site_03.csv" not in each and "site_05.csv" not in each]
    everywhere = Counter(
        each.read_bytes()
        for zone in ("storage", "quarantine", "second")
        for each in (root / zone).rglob("*")
        if each.is_file()
    )
    return found + [f"{content!r} is gone" for content in at.contents if not everywhere[content]]


def at_rest(at: Prepared) -> list[str]:
    found = at_any_instant(at)
    with open_site(actor="test", settings=at.settings) as site:
        found += [f"{each.invariant} {each.name}: {each.detail}" for each in audit(site)]
        if digest(site.inventory, site.storage).digest != at.digest:
            found.append("the archive is not what it was")
    if [each for each in at.settings.storage.rglob("*") if each.name.startswith(("stray", ".dark"))]:
        found.append("the dark file still stands in storage")
    return found


def points_of(at: Prepared, log: Path, verb: Sequence[str]) -> list[kills.Point]:
    run, most = partial(command, at, verb), kills.most_of_each(2)
    return kills.points(run, log, CALLS, most=most, every=ALL_OF, status=(0, 1), children=True)


@pytest.mark.fault("F51", how="SIGKILL before system calls of the rolling audit")
@pytest.mark.req("B8", "B9", "F51")
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_kill_before_any_change_of_an_audit_loses_nothing_and_the_next_run_finishes(
    clone: Clone, tmp_path: Path
) -> None:
    catalogue = mirrored_catalogue(tmp_path / "catalogue")
    prepared = prepare(clone("prepared"), catalogue)
    quiet = copy(clone, prepared, "quiet")
    points = points_of(quiet, tmp_path / "calls.log", AUDIT)
    assert at_rest(quiet) == []
    assert {"renameat2", "link", "fsync", "sendto"} <= {call for call, _ in points}
    sweep = kills.Sweep(points)
    for call, number in sweep:
        at = copy(clone, prepared, f"{call}_{number}")
        sweep.kill((call, number), partial(command, at, AUDIT))
        sweep.tell("at once", at_any_instant(at))
        for _ in range(2):  # what only one look has seen since waits for the next
            second = command(at, AUDIT)
        sweep.tell("at rest", at_rest(at))
        sweep.must_end(second)
    sweep.judge()


def prepare_mirror(settings: Settings, catalogue: Path) -> Prepared:
    """A mirror that has some copies, of which one has rotted and one is of a file that left for good."""
    settings = replace(settings, catalogue=catalogue, mirrors={"default": settings.landing.parent / "second"})
    for first in (0, 4):
        deliver(settings, *range(first, first + 4))
        if not first:
            with open_site(actor="test", settings=settings) as site:
                assert mirror(site, "default").copied == 4
                shown = removal.plan(site, removal.Selection(kind="list", names=("site_01.csv",)))
                removal.apply(site, shown.hash, approval="test")
    with psycopg.connect(settings.database, autocommit=True) as connection:
        connection.execute("UPDATE removal_item SET state = 'emptied', trash_path = NULL")
        connection.execute(
            "UPDATE mirror_copy SET copied_at = now() - interval '2 days', verified_at = now() - interval '2 days'"
        )
    (rotten,) = settings.mirrors["default"].rglob("site_02.csv")
    rotten.chmod(0o644)
    rotten.write_bytes(b"rotten")
    with open_site(actor="test", settings=settings) as site:
        whole = digest(site.inventory, site.storage).digest
    contents = frozenset(file.read_bytes() for file in settings.storage.rglob("*.csv"))
    return Prepared(settings=settings, digest=whole, contents=contents)


def copies_differ(at: Prepared) -> list[str]:
    """What the mirror holds beside, instead, or without an original; and what the inventory says of it."""
    held, kept = (
        {
            str(file.relative_to(root)): file.read_bytes()
            for file in root.rglob("*")
            if file.name[0] != "." and file.is_file()
        }
        for root in (at.settings.mirrors["default"], at.settings.storage)
    )
    found = [
        f"{name}: copy and original differ"
        for name in sorted(held.keys() | kept.keys())
        if held.get(name) != kept.get(name)
    ]
    with psycopg.connect(at.settings.database) as connection:
        rows = connection.execute(
            "SELECT a.path FROM mirror_copy c JOIN asset a ON a.id = c.asset_id WHERE c.verified_at IS NOT NULL"
        ).fetchall()
    return found if {row[0] for row in rows} == kept.keys() else [*found, f"the inventory knows copies of {rows}"]


@pytest.mark.fault("F51", how="SIGKILL before system calls of a mirror run")
@pytest.mark.req("B8", "F51")
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_kill_before_any_change_of_a_mirror_run_is_made_good_by_the_next_runs(clone: Clone, tmp_path: Path) -> None:
    catalogue = mirrored_catalogue(tmp_path / "catalogue")
    prepared = prepare_mirror(clone("prepared"), catalogue)
    points = points_of(copy(clone, prepared, "quiet"), tmp_path / "calls.log", MIRROR)
    assert {"rename", "unlink", "syncfs", "sendto"} <= {call for call, _ in points}
    sweep = kills.Sweep(points)
    for call, number in sweep:
        at = copy(clone, prepared, f"{call}_{number}")
        sweep.kill((call, number), partial(command, at, MIRROR))
        sweep.tell("at once", at_any_instant(at))
        for _ in range(2):  # the first finds what has rotted, the second makes it anew
            second = command(at, MIRROR)
        sweep.tell("at rest", [*at_rest(at), *copies_differ(at)])
        sweep.must_end(second)
    sweep.judge()
