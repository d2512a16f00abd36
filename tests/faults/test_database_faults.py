"""The database server dies, refuses, waits, is full: what was acknowledged stays, the next run does the rest."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import psycopg
import pytest

from faults import kills
from faults.delivering import SOURCE, at_once, at_rest, deliver, put
from faults.delivering import ingest as command
from faults.oracle import Truth, archived, lost_since
from faults.servers import Server, server
from orbitory.errors import Transient
from orbitory.ingest.run import ingest
from orbitory.inventory import Inventory
from orbitory.settings import Settings
from private_stack.postgres import DAILY, OWNER

pytestmark = [pytest.mark.faults, pytest.mark.long, pytest.mark.timeout(900)]

#: Statements, in the order of a run, before which the server dies; with "+": once their answer was read.
MOMENTS = (
    *(
        "record_arrivals",
        "claim_batch",
        "apply_outcome",
        "lock_store",
        "store_granules",
        "store_files",
        "store_links+",
    ),
    *("archive_assets", "archive_granules+", "left_landing", "close_empty_batches", "landed_final"),
)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("own")) as started:
        yield started


class Crashing:
    """Lets the server die at one moment of the product's own work."""

    def __init__(self, own: Server, patch: pytest.MonkeyPatch, settings: Settings) -> None:
        self.own, self.patch, self.settings = own, patch, settings
        #: Everything that was archived when it died.
        self.before: dict[str, bytes] = {}
        self.died = False

    def die(self) -> None:
        if not self.died:
            self.died = True
            self.before = archived(self.settings.database)
            self.own.crash()
            self.own.cluster.start()

    def at(self, moment: str) -> None:
        """Before this statement, or after it."""
        name, after = moment.rstrip("+"), moment.endswith("+")
        for method in ("run", "one", "all"):
            self._wrap(method, name, after=after)

    def _wrap(self, method: str, name: str, *, after: bool) -> None:
        plain = getattr(Inventory, method)

        def wrapped(inventory: Inventory, query: str, **values: Any) -> Any:
            if query == name and not after:
                self.die()
            answer = plain(inventory, query, **values)
            if query == name and after:
                self.die()
            return answer

        self.patch.setattr(Inventory, method, wrapped)

    def amid_copy(self, name: str) -> None:
        """When half of the rows of this COPY were sent."""
        plain = Inventory.copy_in

        def wrapped(inventory: Inventory, query: str, rows: Iterable[Sequence[Any]], types: Sequence[str] = ()) -> int:
            return plain(inventory, query, self._half(list(rows)) if query == name else rows, types)

        self.patch.setattr(Inventory, "copy_in", wrapped)

    def _half(self, rows: list[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        for number, row in enumerate(rows):
            if number == len(rows) // 2:
                self.die()
            yield row


def run_through(settings: Settings) -> None:
    with contextlib.suppress(Transient):
        ingest(settings, SOURCE)


@pytest.mark.fault("F12", how="the server is stopped with -m immediate before and after statements, and amid COPY")
@pytest.mark.fault(
    "F11", how="the server is stopped with -m immediate, 100 files at a time acknowledged since the last"
)
def test_no_acknowledged_commit_is_lost_whenever_the_server_dies(
    own: Server, monkeypatch: pytest.MonkeyPatch, record_property: kills.Record
) -> None:
    settings = own.clone("crashes")
    problems, files, at_stake = [], {}, 0
    settled: dict[str, bytes] = {}
    for moment in (*MOMENTS, "copy_planned", "copy_extracted_file", "copy_extracted_granule"):
        contents = {f"{moment}/{n}.txt": f"{moment} {n}".encode() for n in range(100)}
        files |= put(settings.landing / SOURCE, contents).files
        truth = Truth(SOURCE, files)
        with monkeypatch.context() as patch:
            crashing = Crashing(own, patch, settings)
            (crashing.amid_copy if moment.startswith("copy_") else crashing.at)(moment)
            run_through(settings)
        assert crashing.died, moment
        problems += [f"{moment}: {each}" for each in lost_since(crashing.before, settings.database)]
        at_stake += len(crashing.before.keys() - settled.keys())
        settled = crashing.before
        problems += [f"{moment}, at once: {each}" for each in at_once(settings, truth)]
        ingest(settings, SOURCE)
        problems += [f"{moment}, after the next run: {each}" for each in at_rest(settings, truth)]
    lost = sum("was archived" in each for each in problems)
    record_property("points", len(MOMENTS) + 3)
    record_property("violations", len(problems))
    record_property("figure", f"server killed: {lost} of {at_stake:,} acknowledged commits lost")
    assert problems == []
    assert at_stake >= 1_000


@contextlib.contextmanager
def altered(own: Server, settings: Settings, what: str, undo: str) -> Iterator[None]:
    own.cluster.sql(f"ALTER {what.format(role=DAILY, database=settings.database.rpartition('/')[2])}")
    try:
        yield
    finally:
        own.cluster.sql(f"ALTER {undo.format(role=DAILY, database=settings.database.rpartition('/')[2])}")


@pytest.mark.fault(
    "F13", how="no connection is left, statements time out, the database is read-only; on the command line"
)
@pytest.mark.fault("F14", how="a lock that is never given within lock_timeout")
@pytest.mark.parametrize(
    ("name", "what", "undo", "told"),
    [
        ("full", "ROLE {role} CONNECTION LIMIT 0", "ROLE {role} CONNECTION LIMIT -1", "too many connections"),
        (
            "slow",
            "ROLE {role} SET statement_timeout = '1ms'",
            "ROLE {role} RESET statement_timeout",
            "statement timeout",
        ),
        (
            "reading",
            "DATABASE {database} SET default_transaction_read_only = on",
            "DATABASE {database} RESET default_transaction_read_only",
            "read-only transaction",
        ),
        ("locked", "ROLE {role} SET lock_timeout = '50ms'", "ROLE {role} RESET lock_timeout", "lock timeout"),
    ],
)
def test_a_database_that_does_not_serve_is_3_and_touches_nothing_in_landing(
    own: Server, name: str, what: str, undo: str, told: str
) -> None:
    settings = own.clone(name)
    truth = deliver(settings)
    landing = sorted(path.name for path in (settings.landing / SOURCE).rglob("*"))
    with (
        altered(own, settings, what, undo),
        psycopg.connect(own.cluster.uri(settings.database.rpartition("/")[2], OWNER)) as other,
    ):
        if name == "locked":
            other.execute("LOCK TABLE arrival IN ACCESS EXCLUSIVE MODE")
        done = command(settings)
    assert done.returncode == 3, done.stderr
    assert told in done.stderr
    assert sorted(path.name for path in (settings.landing / SOURCE).rglob("*")) == landing
    assert command(settings).returncode == 1
    assert at_rest(settings, truth) == []


@pytest.mark.fault("F13", how="the server is down; on the command line")
def test_a_database_that_is_down_is_3_and_the_next_run_finishes(own: Server) -> None:
    settings = own.clone("down")
    truth = deliver(settings)
    own.cluster.stop()
    try:
        done = command(settings)
    finally:
        own.cluster.start()
    assert done.returncode == 3, done.stderr
    assert "not available now" in done.stderr
    assert command(settings).returncode == 1
    assert at_rest(settings, truth) == []


@pytest.mark.fault("F14", how="two runs at once over the same names, and every transaction serializable")
@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
def test_two_runs_over_the_same_names_end_as_one_and_none_waits_for_ever(
    own: Server, record_property: kills.Record, isolation: str
) -> None:
    settings = own.clone(f"two_{isolation[:4]}")
    truth = deliver(settings, count=300)
    set_to = f"DATABASE {{database}} SET default_transaction_isolation = '{isolation}'"
    with altered(own, settings, set_to, "DATABASE {database} RESET default_transaction_isolation"):
        both = [threading.Thread(target=run_through, args=(settings,)) for _ in range(2)]
        for each in both:
            each.start()
        for each in both:
            each.join()
        run_through(settings)
        assert at_once(settings, truth) == []
    ingest(settings, SOURCE)
    assert at_rest(settings, truth) == []
    database = settings.database.rpartition("/")[2]
    deadlocks = own.cluster.sql(f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{database}'")
    record_property("figure", f"two runs over 300 names, {isolation}: {deadlocks} deadlocks")
    assert deadlocks == "0"
