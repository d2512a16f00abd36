"""kill -9 at every batch boundary of an export, and inside: the same call finishes it, as if nothing had happened.

Also while a batch is taken back whose file is gone here, and where an ingest there comes between two tries of an undo.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from cloning import Clone
from exporting import deliver_again, digest_of, make, remove, validate, wrong_at
from faults import kills
from footprints import strips
from orbitory.digest import Digest, digest
from orbitory.ingest.retire import finish_retiring
from orbitory.settings import Settings
from orbitory.site import open_site

pytestmark = kills.marks

CALLS = ("linkat", "renameat2", "syncfs", "sendto")
#: Runs the verb in batches of few granules, so that there are edges to be killed at.
_SMALL = (
    "import sys, orbitory.export; run = sys.modules['orbitory.export.run'];"
    "run.begin.__kwdefaults__['batch'] = run.run.__kwdefaults__['batch'] = 5;"
    "from orbitory.cli import main; sys.exit(main())"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """Two sites with a preview between them, or an export that is to be taken back."""

    dev: Settings
    prod: Settings
    #: Arguments of the command to be killed.
    command: tuple[str, ...]
    #: What the other side is at first, and after a quiet run.
    before: Digest

    def call(self, *arguments: str, strace: Sequence[str] = ()) -> kills.Done:
        words = ("-c", _SMALL, "export", *(arguments or self.command), "--json")
        other = {
            "ORBITORY_SITE_PROD_DATABASE": self.prod.database,
            "ORBITORY_SITE_PROD_ROOT": str(self.prod.landing.parent),
        }
        return kills.python(self.dev, *words, strace=strace, patience=180, **other)

    def killable(self, strace: Sequence[str]) -> kills.Done:
        return self.call(strace=strace)

    def exporting(self) -> tuple[str, ...]:
        """How what differs now is brought over."""
        shown = hash_in(self.call("preview", "--to", "prod", "--files").stdout)
        return ("run", "--to", "prod", "--preview", shown, "--force")

    def digest(self, settings: Settings) -> Digest:
        with open_site(actor="test", settings=settings) as site:
            return digest(site.inventory, site.storage)


def prepare(clone: Clone, name: str, *, undo: bool = False) -> Sites:
    """Ten images there already; then two of them change, one is removed, one corrected, and fifteen come."""
    dev, prod = clone(f"{name}_dev"), clone(f"{name}_prod")
    sites = Sites(dev=dev, prod=prod, command=(), before=Digest(digest="", inventory="", storage=""))
    with strips(dev) as here, strips(prod) as there:
        here.make(10)
        validate(here)
        shown = hash_in(sites.call("preview", "--to", "prod", "--files").stdout)
        assert sites.call("run", "--to", "prod", "--preview", shown).returncode == 0
        here.sql("UPDATE granule SET orbit = 8 WHERE id IN (2, 3)")
        keys = {number: here.sql("SELECT key FROM granule WHERE id = %(n)s", n=number)[0]["key"] for number in (7, 9)}
        remove(here, "id IN (7, 9)")
        deliver_again(here, keys[9], "corrected ")
        make(here, "2", "done")
        here.make(15, sensor="WV01", prefix="102", first=400)
        validate(here)
        before = digest_of(there)
    command = sites.exporting()
    if undo:
        assert sites.call(*command).returncode == 0
        command = ("undo", "2")
    return Sites(dev=dev, prod=prod, command=command, before=before)


def copy(clone: Clone, of: Sites, name: str) -> Sites:
    """The same two sites anew. A preview is about one site and no other, so there is another one."""
    at = replace(of, dev=clone.copy(of.dev, f"{name}_dev"), prod=clone.copy(of.prod, f"{name}_prod"))
    if "--preview" in at.command:
        at = replace(at, command=at.exporting())
    return at


def hash_in(text: str) -> str:
    found = re.search(r'"hash": "([0-9a-f]{64})"', text)
    return found[1] if found else ""


def prepare_half_way(clone: Clone, name: str) -> Sites:
    """An export that stopped at a file, which the inventory calls suspect since; the next one takes that batch back."""
    at = prepare(clone, name)
    with strips(at.dev) as here:
        (row,) = here.sql("SELECT id, path FROM asset WHERE path LIKE 'nga/WV01/%' ORDER BY path DESC LIMIT 1")
        (at.dev.storage / row["path"]).write_bytes(b"short")
        assert "is damaged here" in at.call().stderr
        here.sql("UPDATE asset SET state = 'suspect' WHERE id = %(n)s", n=row["id"])
    return replace(at, command=at.exporting())


def points_of(at: Sites, *, refused: bool = False) -> list[kills.Point]:
    log, most = at.dev.landing.parent / "calls.log", kills.most_of_each(2)
    return kills.points(at.killable, log, CALLS, most=most, status=(1, 2, 3, 4) if refused else (0,), children=True)


def recover(settings: Settings) -> None:
    """The part of an ingest that finishes what a crash left on its way out."""
    with open_site(actor="test", settings=settings) as site:
        finish_retiring(site, site.catalogue.sources["correlative"])


def settled(found: list[str]) -> list[str]:
    return [each for each in found if "cut short" not in each]


@pytest.mark.fault("F51", "F52", how="SIGKILL before system calls of an export, and of its undoing")
@pytest.mark.req("N8", "F51", "F52")
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("undo", "ingest"), [(False, False), *(pytest.param(True, each, marks=pytest.mark.long) for each in (False, True))]
)
def test_a_kill_at_any_point_is_finished_by_the_same_call_as_if_nothing_had_happened(
    clone: Clone, undo: bool, ingest: bool
) -> None:
    prepared = prepare(clone, "prepared", undo=undo)
    quiet = copy(clone, prepared, "quiet")
    points = points_of(quiet)
    wanted = quiet.before if undo else quiet.digest(quiet.dev)
    assert quiet.digest(quiet.prod) == wanted
    sweep = kills.Sweep(points, children=True)
    for call, number in sweep:
        at = copy(clone, prepared, f"{call}_{number}")
        sweep.kill((call, number), at.killable)
        sweep.tell("at once", settled(wrong_at(at.prod)))
        if ingest:
            recover(at.prod)
        sweep.must_end(at.call())
        sweep.tell("after the next one", wrong_at(at.prod) + wrong_at(at.dev))
        if at.digest(at.prod) != wanted:
            sweep.tell("after the next one", ["the other side is not what it should be"])
    sweep.judge()


@pytest.mark.fault("F52", how="SIGKILL while a batch of an export is taken back")
@pytest.mark.req("N8", "F52")
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_kill_while_a_batch_is_taken_back_is_finished_by_the_next_export(clone: Clone) -> None:
    prepared = prepare_half_way(clone, "prepared")
    sweep = kills.Sweep(points_of(copy(clone, prepared, "quiet"), refused=True), children=True)
    for call, number in sweep:
        at = copy(clone, prepared, f"{call}_{number}")
        sweep.kill((call, number), at.killable)
        sweep.tell("at once", settled(wrong_at(at.prod)))
        recover(at.prod)
        at.call()  # takes back what is left of it, and is refused, for the differences are others then
        sweep.must_end(at.call(*at.exporting()))
        sweep.tell("after the next one", wrong_at(at.prod))
        left = json.loads(at.call("preview", "--to", "prod", "--files").stdout)
        if any(left[name] for name in ("added", "changed", "removed", "unfinished")):
            sweep.tell("after the next one", ["it left something"])
    sweep.judge()
