"""Deliveries, kills, repetitions, holds and expiry in any order: what must always hold does after each step."""

from __future__ import annotations

import hashlib
import importlib
import os
import secrets
import signal
import sys
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import FrameType

import psycopg
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from cloning import Clone
from faults import warm
from faults.oracle import Truth, violations_at_any_instant
from ingesting import digest_of
from orbitory import ingest
from orbitory.errors import Transient
from orbitory.ingest.run import ingest as ingest_all
from orbitory.retention import expire, hold, release
from orbitory.retention.naming import clock
from orbitory.retention.outcome import Item
from orbitory.settings import CHECKOUT
from orbitory.site import open_site
from retaining import at, wrong

SOURCE = "correlative"
STEPS = (ingest.verify, ingest.extract, ingest.store, ingest.archive)
NAMES = st.sampled_from(["a.txt", "b.txt", "sub/c.txt", "broken.h5"])
CONTENTS = st.sampled_from([b"alpha\n", b"beta\n", b"gamma\n"])
_OURS = str(CHECKOUT / "include" / "orbitory")


class Machine(RuleBasedStateMachine):
    """A site of its own; ``held`` and what may be gone is known here, all else is read from disk and tables."""

    clone: Clone
    kills = 0

    @initialize()
    def empty(self) -> None:
        self.site = self.clone(f"m{secrets.token_hex(6)}")
        self.looking = psycopg.connect(self.site.database, autocommit=True)
        self.root = self.site.landing.parent
        self.landing = self.site.landing / SOURCE
        self.landing.mkdir(parents=True)
        #: SHA-256 of what was delivered and nobody took back: it must be somewhere.
        self.kept: dict[str, str] = {}
        #: Granules whose time may be over: they and their bytes may leave.
        self.expiring: set[str] = set()
        self.held: set[str] = set()
        self.stored: dict[str, str] = {}
        self.history: list[tuple[object, ...]] = []
        self.runs_of_dags = 0

    # --- what people and machines do ----------------------------------------------------------------------------------

    @rule(name=NAMES, content=CONTENTS)
    def deliver(self, name: str, content: bytes) -> None:
        """Anew, again, or with other bytes: under a temporary name, then renamed, as a sender would."""
        path = self.landing / name
        path.parent.mkdir(exist_ok=True)
        if path.exists():
            self.take_back(path)
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(content)
        os.utime(part, (1_700_000_000, 1_700_000_000))
        part.replace(path)
        self.kept[hashlib.sha256(content).hexdigest()] = name

    def take_back(self, path: Path) -> None:
        """What its sender replaces may be gone, unless the archive has it already."""
        told = hashlib.sha256(path.read_bytes()).hexdigest()
        if not any(digest == told for place, digest in self.on_disk().items() if self.root / place != path):
            self.kept.pop(told, None)

    @rule(steps=st.integers(0, len(STEPS)))
    def stages(self, steps: int) -> None:
        """A run that goes so far and is never heard of again."""
        self.runs_of_dags += 1
        with open_site(actor=f"dag/run{self.runs_of_dags}", settings=self.site) as site:
            for batch in ingest.detect(site, SOURCE).batches:
                for step in STEPS[:steps]:
                    step(site, batch.id)

    @rule()
    def whole_run(self) -> None:
        ingest_all(self.site, SOURCE, ingest.Selection(workers=1))

    @rule(after=st.one_of(st.integers(1, 400), st.integers(1, 4_000)))
    def killed_run(self, after: int) -> None:
        self.kill(after, lambda: ingest_all(self.site, SOURCE, ingest.Selection(workers=1)))

    @rule(after=st.integers(1, 2_000))
    def killed_expiry(self, after: int) -> None:
        self.kill(after, lambda: self.incinerate(1))

    @rule()
    def time_passes(self) -> None:
        """Leases end."""
        self.sql("UPDATE batch SET lease_until = now() - interval '1 second'")

    @rule(name=NAMES)
    def place_hold(self, name: str) -> None:
        key = f"{SOURCE}/{name}"
        if key in self.archived():
            with open_site(actor="anna@here", settings=self.site) as site:
                hold(site, [key], reason="needed", until="never")
            self.held.add(key)

    @rule()
    def end_holds(self) -> None:
        if self.held:
            with open_site(actor="anna@here", settings=self.site) as site:
                release(site, sorted(self.held))
            self.held.clear()

    @rule(name=NAMES)
    def date(self, name: str) -> None:
        """Let a granule expire within the day."""
        self.sql("UPDATE granule SET expires_at = now() + interval '1 hour' WHERE key = %s", f"{SOURCE}/{name}")
        self.expiring.add(f"{SOURCE}/{name}")

    @rule(days=st.sampled_from([0, 1, 40]))
    def expiry(self, days: int) -> None:
        self.incinerate(days)

    def incinerate(self, days: int) -> tuple[Item, ...]:
        """A run of the incinerator so many days from now."""
        with open_site(actor="dag/retention", settings=self.site) as site:
            moment = clock(site) + timedelta(days=days)
            with at(moment):
                return expire(site).items

    @rule()
    def settle(self) -> None:
        """Nothing more happens: runs finish everything, one more changes nothing, the audit is content."""
        self.finish()

    def finish(self) -> None:
        self.time_passes()
        for _ in range(2):  # what its sender replaced amid a run goes back to waiting, and is taken by the next one
            ingest_all(self.site, SOURCE, ingest.Selection(workers=1))
        self.incinerate(0)
        before = digest_of(self.site), self.events()
        assert ingest_all(self.site, SOURCE, ingest.Selection(workers=1)).detected == 0
        assert (digest_of(self.site), self.events()) == before, "one more run changes nothing (I9)"
        assert [path for path in self.landing.rglob("*") if path.is_file()] == []
        left = self.sql(
            "SELECT name, state FROM arrival WHERE state IN ('detected', 'verified', 'extracted', 'stored')"
        )
        assert left == [], "nothing is left in between (I10)"
        with open_site(actor="judge", settings=self.site) as site:
            assert wrong(site) == []

    # --- what must hold at every moment -------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_and_nothing_seen_without_its_bytes(self) -> None:
        """I1, I2: somewhere on disk stands whatever was delivered and has no leave to go."""
        expected = {name: (told, "archived") for told, name in self.kept.items() if not self.may_be_gone(name)}
        in_trash = {digest for place, digest in self.on_disk().items() if place.startswith("trash")}
        truth = Truth(SOURCE, {f"{name} {told}": (told, fate) for name, (told, fate) in expected.items()})
        found = violations_at_any_instant(truth, self.root, self.site.database)
        lost = {f"lost: {name} {told}" for name, (told, _) in expected.items() if told in in_trash}
        # Contents are told apart here, so no key is a name in landing: which goes too early (I5) the sweeps tell.
        early = {
            f"left landing before its fate was committed: {name} {told} is None" for name, (told, _) in expected.items()
        }
        assert set(found) - lost - early == set()

    def may_be_gone(self, name: str) -> bool:
        return f"{SOURCE}/{name}" in self.expiring

    @invariant()
    def no_stored_file_ever_changes(self) -> None:
        """I6."""
        now = {place: told for place, told in self.on_disk().items() if place.startswith("storage")}
        assert {place: told for place, told in self.stored.items() if now.get(place, told) != told} == {}
        self.stored |= now

    @invariant()
    def nothing_leaves_that_is_held_or_not_yet_due(self) -> None:
        """I7."""
        gone = {key for (key,) in self.sql("SELECT key FROM granule WHERE state IN ('deleting', 'deleted')")}
        assert gone <= self.expiring
        assert self.held <= self.archived()

    @invariant()
    def history_only_grows(self) -> None:
        """I8."""
        events = self.events()
        assert events[: len(self.history)] == self.history
        self.history = events

    # --- how it is done -----------------------------------------------------------------------------------------------

    def kill(self, after: int, act: Callable[[], object]) -> None:
        """Do it in a process of its own, killed after so many calls and returns of our functions."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads of libraries, of which the child uses none
            child = os.fork()
        if child == 0:
            left = after

            def count(frame: FrameType, event: str, _: object) -> None:
                nonlocal left
                left -= frame.f_code.co_filename.startswith(_OURS)
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)

            code = 1
            try:
                warm.fork_parsers()
                sys.setprofile(count)
                act()
                code = 0
            except Transient:
                code = 0
            finally:
                os._exit(code)
        status = os.waitpid(child, 0)[1]
        assert status in (0, signal.SIGKILL), status
        Machine.kills += status == signal.SIGKILL
        for _ in range(200):  # the server notices
            others = self.sql(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            if not others:
                return
            time.sleep(0.05)

    def on_disk(self) -> dict[str, str]:
        zones = (self.root / zone for zone in ("landing", "storage", "quarantine", "trash"))
        return {
            str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for zone in zones
            for path in zone.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }

    def archived(self) -> set[str]:
        return {key for (key,) in self.sql("SELECT key FROM granule WHERE state = 'archived'")}

    def events(self) -> list[tuple[object, ...]]:
        return self.sql("SELECT id, md5(e::text) FROM event e ORDER BY id")

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        done = self.looking.execute(statement.encode(), values)
        return done.fetchall() if done.description else []

    def teardown(self) -> None:
        if hasattr(self, "looking"):
            with self.looking:
                self.finish()
            self.clone.drop(self.site)


def run(clone: Clone, number: int, examples: int, steps: int) -> str:
    """Run so many scenarios of so many steps; what was done, in words."""
    print(f"seed {number}: ORBITORY_TEST_SEED={number} repeats it")
    importlib.import_module("faults.everything")  # killed runs are forks of this process
    machine = seed(number)(type("Machine", (Machine,), {"clone": clone}))
    Machine.kills = 0
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    return f"seed {number}: {examples} scenarios of up to {steps} steps, {Machine.kills} kills, 0 violations"


#: What both tests provoke.
ANY_ORDER = pytest.mark.fault(
    "F01", "F02", "F03", "F04", "F05", "F06", "F27", "F28", "F51", how="any order of steps, kills and repetitions"
)


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(1_800)
@ANY_ORDER
def test_whatever_happens_in_whatever_order_nothing_is_lost(
    clone: Clone, record_property: Callable[[str, object], None]
) -> None:
    record_property(
        "figure",
        run(clone, int(os.environ.get("ORBITORY_TEST_SEED", 20261122)), 6, 12),
    )


@pytest.mark.faults
@pytest.mark.long
@pytest.mark.timeout(3_600)
@ANY_ORDER
def test_whatever_happens_for_long_in_whatever_order_nothing_is_lost(
    clone: Clone, record_property: Callable[[str, object], None]
) -> None:
    number = int(os.environ.get("ORBITORY_TEST_SEED", secrets.randbelow(1 << 32)))
    record_property("figure", run(clone, number, 60, 30))
