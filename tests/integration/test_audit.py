"""Every invariant that the audit promises to watch is broken here once, on purpose, and must be told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from holdings import SQUARE, SQUARE_KM2, Granule, Holdings
from orbitory import audit as auditing
from orbitory import tree
from orbitory.audit import Violation, audit
from orbitory.ingest.run import ingest
from orbitory.pge.recovery import settle
from orbitory.pge.runner import run as run_pge
from orbitory.settings import Settings
from orbitory.site import open_site
from pge_runs import GOOD, Bench, bench_at

NOON = datetime(2024, 2, 10, 12, tzinfo=UTC)


@pytest.fixture
def holdings(settings: Settings) -> Iterator[Holdings]:
    """One archived file with a footprint, one in quarantine with its sidecar, one waiting; the run is finished."""
    with Holdings(settings) as made:
        made.archive("a.bin", b"alpha", Granule(start=NOON, footprint=SQUARE, area_km2=SQUARE_KM2))
        made.reject("bad.bin", sidecar=b"d41d8cd98f00b204e9800998ecf8427e")
        made.wait("half.bin")
        made.finish()
        made.begin()
        yield made


@pytest.fixture
def owner(owner_uri: str) -> Iterator[psycopg.Connection]:
    """A hand that may do what no program of ours may: rewrite rows behind the triggers' back."""
    with psycopg.connect(owner_uri, autocommit=True) as connection:
        yield connection


@pytest.fixture
def check(settings: Settings) -> Callable[..., list[Violation]]:
    """Audit the test's site."""

    def run(*, hash_files: bool = True) -> list[Violation]:
        with open_site(actor="test", settings=settings) as site:
            return list(audit(site, hash_files=hash_files))

    return run


Check = Callable[..., list[Violation]]


def only(violations: list[Violation], invariant: str, *words: str) -> Violation:
    """The one violation found, which must be of ``invariant`` and say all of ``words``."""
    __tracebackhide__ = True
    assert [violation.invariant for violation in violations] == [invariant], violations
    for word in words:
        assert word in f"{violations[0].name}: {violations[0].detail}"
    return violations[0]


def behind_the_triggers(owner: psycopg.Connection, table: str, statement: str) -> None:
    owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    owner.execute(statement)
    owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def test_a_sound_archive_has_no_violations(holdings: Holdings, check: Check) -> None:
    assert check() == []


def test_an_empty_site_has_no_violations(check: Check) -> None:
    assert check() == []


# I1: every file ever seen is in exactly one place


def test_a_lost_arrival_is_told(holdings: Holdings, check: Check) -> None:
    arrival = holdings.arrive("gone.bin")
    (holdings.landing / "gone.bin").unlink()
    holdings.sql("UPDATE arrival SET state = 'lost', landed = false WHERE id = %s", arrival)
    only(check(), "I1", "gone.bin", "is lost")


def test_a_file_missing_from_quarantine_is_told(holdings: Holdings, check: Check) -> None:
    shutil.rmtree(holdings.settings.quarantine / "correlative")
    found = check()
    assert {(v.invariant, v.name) for v in found} == {("I1", "bad.bin"), ("I1", "bad.bin.md5")}
    assert "nothing is there" in found[0].detail


def test_a_file_changed_in_quarantine_is_told(holdings: Holdings, check: Check) -> None:
    next(holdings.settings.quarantine.rglob("bad.bin")).write_bytes(b"longer than before")
    only(check(), "I1", "bad.bin", "came with 3 bytes, in quarantine it has 18")


def test_a_file_in_quarantine_that_no_arrival_accounts_for_is_told(holdings: Holdings, check: Check) -> None:
    (holdings.settings.quarantine / "correlative" / "stray.bin").write_bytes(b"?")
    only(check(), "I1", "correlative/stray.bin", "no arrival accounts for it")


def test_a_rejected_file_without_a_place_is_told(holdings: Holdings, check: Check) -> None:
    shutil.rmtree(holdings.settings.quarantine / "correlative")
    holdings.sql("UPDATE arrival SET quarantine_path = NULL WHERE state = 'rejected'")
    found = check()
    assert {v.invariant for v in found} == {"I1"} and len(found) == 2
    assert "neither in the landing zone nor in quarantine" in found[0].detail


@pytest.mark.parametrize("state", ["archived", "duplicate"])
def test_an_end_without_a_stored_file_is_told(
    holdings: Holdings, check: Check, owner: psycopg.Connection, state: str
) -> None:
    arrival = holdings.archive("b.bin", b"beta")
    holdings.pass_through(arrival, state)
    holdings.sql("UPDATE arrival SET asset_id = NULL WHERE id = %s", arrival)
    found = [v for v in check() if v.invariant == "I1"]
    only(found, "I1", "b.bin", f"is {state} but names no file in storage")


def test_an_archived_arrival_whose_file_is_recorded_otherwise_is_told(holdings: Holdings, check: Check) -> None:
    holdings.sql("UPDATE arrival SET digest = decode(repeat('00', 32), 'hex') WHERE name = 'a.bin'")
    only(check(), "I1", "a.bin", "BLAKE3 0000")


# I2: what is archived exists, byte for byte


def test_an_archived_file_that_is_gone_is_told(holdings: Holdings, check: Check) -> None:
    holdings.stored("a.bin").unlink()
    only(check(), "I2", "correlative/a.bin", "storage has no such file")


def test_an_archived_file_of_another_size_is_told(holdings: Holdings, check: Check) -> None:
    holdings.stored("a.bin").write_bytes(b"alph")
    only(check(), "I2", "correlative/a.bin", "4 bytes on disk, 5 in the inventory")


@pytest.mark.fault("F24", how="one byte changed in storage")
def test_one_changed_byte_in_storage_is_told_unless_hashing_was_declined(holdings: Holdings, check: Check) -> None:
    holdings.stored("a.bin").write_bytes(b"alphA")
    only(check(), "I2", "correlative/a.bin", "BLAKE3")
    assert check(hash_files=False) == []


def test_a_visible_granule_without_an_archived_file_is_told(
    holdings: Holdings, check: Check, owner: psycopg.Connection
) -> None:
    owner.execute("DELETE FROM granule_asset")
    assert {(v.invariant, v.name) for v in check()} == {("I2", "correlative/a.bin"), ("I3", "correlative/a.bin")}


@pytest.mark.fault("F50", how="the mark of storage is gone before an audit")
def test_unmounted_storage_is_one_violation_and_not_a_flood(holdings: Holdings, check: Check) -> None:
    shutil.rmtree(holdings.settings.storage)
    only(check(), "I2", ".orbitory-storage", "looks unmounted")


# I3: nothing stands in storage that no row speaks of


@pytest.mark.parametrize("name", ["dark.bin", "a/b/c.bin", "a-b", "\udcff.bin"])
def test_a_file_without_a_row_is_told(holdings: Holdings, check: Check, name: str) -> None:
    dark = holdings.settings.storage / "correlative" / name
    dark.parent.mkdir(parents=True, exist_ok=True)
    dark.write_bytes(b"?")
    shown = os.fsencode(name).decode("utf-8", "backslashreplace")
    only(check(), "I3", f"correlative/{shown}", "the inventory has no row for it")


def test_a_link_in_place_of_an_archived_file_is_told(holdings: Holdings, check: Check, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"alpha")
    holdings.stored("a.bin").unlink()
    holdings.stored("a.bin").symlink_to(tmp_path / "elsewhere")
    only(check(), "I3", "correlative/a.bin", "is a link")


def remove(holdings: Holdings, state: str) -> None:
    holdings.sql("UPDATE asset SET state = %s, removal = CASE %s WHEN 'deleted' THEN 'expired' END", state, state)


def test_a_deleted_file_that_still_stands_is_told(holdings: Holdings, check: Check) -> None:
    holdings.sql("UPDATE granule SET expires_at = now() - interval '1 day'")
    for state in ("deleting", "deleted"):
        remove(holdings, state)
        holdings.sql("UPDATE granule SET state = %s", state)
    only(check(), "I3", "correlative/a.bin", "no row for it")


def test_copies_in_flight_and_the_sentinel_are_no_archived_files(holdings: Holdings, check: Check) -> None:
    part = holdings.settings.storage / ".incoming" / "7" / "12"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    assert check() == []


def test_an_intent_whose_file_is_not_placed_yet_or_just_placed_is_sound(holdings: Holdings, check: Check) -> None:
    arrival = holdings.archive("b.bin", b"beta")
    holdings.sql("UPDATE asset SET state = 'stored' WHERE path LIKE '%%b.bin'")
    holdings.sql("UPDATE granule SET state = 'stored' WHERE key LIKE '%%b.bin'")
    holdings.sql("UPDATE arrival SET state = 'stored', landed = true WHERE id = %s", arrival)
    shutil.copy(holdings.stored("b.bin"), holdings.landing / "b.bin")
    assert check() == []
    holdings.stored("b.bin").unlink()
    assert check() == []


# I5: a landing name goes only after its file was archived


def test_a_file_gone_from_landing_in_mid_work_is_told(holdings: Holdings, check: Check) -> None:
    holdings.arrive("b.bin")
    (holdings.landing / "b.bin").unlink()
    only(check(), "I5", "b.bin", "is detected, but its name is gone")


def test_a_landing_name_given_up_in_mid_work_is_told(holdings: Holdings, check: Check) -> None:
    arrival = holdings.arrive("b.bin")
    holdings.sql("UPDATE arrival SET landed = false WHERE id = %s", arrival)
    only(check(), "I5", "b.bin", "its landing name was given up")


# I7: nothing is deleted without a reason


@pytest.mark.parametrize("state", ["deleting", "deleted"])
def test_a_deletion_without_reason_is_told(holdings: Holdings, check: Check, state: str) -> None:
    holdings.stored("a.bin").unlink()
    remove(holdings, state)
    holdings.sql("UPDATE granule SET state = %s, expires_at = now() + interval '1 day'", state)
    found = check()
    assert {v.invariant for v in found} == {"I7"} and len(found) == 2, found
    assert "expires only at" in found[0].detail


def test_an_expired_or_replaced_granule_may_go(holdings: Holdings, check: Check) -> None:
    holdings.archive("b.bin", b"beta", Granule(rank=1), key="correlative/a.bin")
    holdings.sql(
        "UPDATE granule o SET superseded_by = n.id FROM granule n WHERE o.version_rank = 0 AND n.version_rank = 1"
    )
    holdings.stored("a.bin").unlink()
    holdings.sql("UPDATE asset SET state = 'deleted', removal = 'replaced' WHERE path LIKE '%%a.bin'")
    holdings.sql("UPDATE granule SET state = 'deleted' WHERE version_rank = 0")
    assert check() == []


def test_an_intent_that_was_taken_back_is_no_deletion(holdings: Holdings, check: Check) -> None:
    holdings.sql(
        "INSERT INTO asset (path, role, state, kind, size, digest) VALUES ('x', 'data', 'stored', 'opaque', 1, 'd')"
    )
    holdings.sql("UPDATE asset SET state = 'deleted', removal = 'withdrawn' WHERE path = 'x'")
    assert check() == []


# I8: history is whole and leads to the present


DELETE_SIDECAR = "DELETE FROM arrival WHERE name = 'bad.bin.md5'"
DELETE_EVENT = "DELETE FROM event WHERE subject = 'asset' AND to_state ="


@pytest.mark.fault("F60", how="history changed by its owner, triggers off")
@pytest.mark.parametrize(
    ("table", "statement", "words"),
    [
        (
            "arrival",
            "UPDATE arrival SET state = 'conflict' WHERE name = 'bad.bin'",
            "is conflict but its history ends in rejected",
        ),
        ("granule", "UPDATE granule SET state = 'withdrawn'", "is withdrawn but its history ends in archived"),
        ("batch", DELETE_SIDECAR, "was deleted while it was rejected"),
        ("arrival", DELETE_SIDECAR, "is gone although its history ends in rejected"),
        ("event", f"{DELETE_EVENT} 'archived'", "is archived but its history ends in stored"),
        ("event", f"{DELETE_EVENT} 'stored'", "starts from stored but the one before it ended in nothing"),
        ("event", "DELETE FROM event WHERE subject = 'granule'", "is archived but has no history"),
        (
            "event",
            "UPDATE event SET to_state = 'lost' WHERE subject = 'arrival' AND to_state = 'verified'",
            "starts from verified but the one before it ended in lost",
        ),
    ],
)
def test_history_that_was_tampered_with_is_told(
    holdings: Holdings, check: Check, owner: psycopg.Connection, table: str, statement: str, words: str
) -> None:
    behind_the_triggers(owner, table, statement)
    found = [violation for violation in check() if violation.invariant == "I8"]
    assert [violation for violation in found if words in violation.detail], found


def test_a_waiting_file_that_its_sender_withdrew_is_sound(holdings: Holdings, check: Check) -> None:
    (holdings.landing / "half.bin").unlink()
    holdings.sql("DELETE FROM arrival WHERE state = 'waiting'")
    assert check() == []


@pytest.mark.fault("F60", how="triggers of history switched off")
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DROP TRIGGER event_append_only ON event", "history could be rewritten"),
        ("ALTER TABLE event DISABLE TRIGGER event_append_only", "history could be rewritten"),
        ("ALTER TABLE granule DISABLE TRIGGER granule_updated", "changes of state are not recorded"),
        ("DROP TRIGGER arrival_deleted ON arrival", "arrival_deleted of table arrival is absent"),
        ("GRANT DELETE ON event TO PUBLIC", "may DELETE history"),
    ],
)
def test_history_left_unguarded_is_told(
    holdings: Holdings, check: Check, owner: psycopg.Connection, statement: str, words: str
) -> None:
    owner.execute(statement)
    only(check(), "I8", words)


# I10: nothing stays amid its steps


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ("UPDATE batch SET lease_until = now() - interval '1 second'", "the lease of batch"),
        ("UPDATE batch SET done_at = now()", "is done"),
    ],
)
def test_an_arrival_that_nobody_works_on_is_told(holdings: Holdings, check: Check, batch: str, words: str) -> None:
    holdings.arrive("b.bin")
    assert check() == []
    holdings.sql(batch)
    only(check(), "I10", "b.bin", "is detected", words)


def test_an_archived_name_left_in_landing_is_told_when_its_batch_is_over(holdings: Holdings, check: Check) -> None:
    holdings.sql("UPDATE arrival SET landed = true WHERE name = 'a.bin'")
    assert check() == []
    holdings.sql("UPDATE batch SET done_at = now()")
    only(check(), "I10", "a.bin", "still stands in the landing zone")


def test_an_intent_that_nobody_will_finish_is_told(holdings: Holdings, check: Check) -> None:
    holdings.sql(
        "INSERT INTO asset (path, role, state, kind, size, digest) VALUES ('x', 'data', 'stored', 'opaque', 1, 'd')"
    )
    holdings.sql("INSERT INTO granule (source, product, key, state, sensor) VALUES ('s', 'p', 'k', 'stored', 's')")
    assert {(v.invariant, v.name) for v in check()} == {("I10", "x"), ("I10", "k")}


def test_a_redrive_cut_short_is_told(holdings: Holdings, check: Check) -> None:
    holdings.sql("UPDATE arrival SET detail = 're-driving: told wrongly' WHERE name = 'bad.bin'")
    only(check(), "I10", "bad.bin", "on its way back")


# I11: figures are the ledger's


STATISTIC = "UPDATE ingest_statistic SET"
FOREIGN = "INSERT INTO ingest_statistic SELECT run_id, source, 'ATMS', 'archived', 3, 3 FROM ingest_statistic LIMIT 1"
COUNTS = "UPDATE ingest_run SET counts = counts ||"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (f"{STATISTIC} files = files + 1 WHERE state = 'archived'", "say 2 files, 5 bytes; the ledger says 1 files"),
        (f"{STATISTIC} bytes = 0 WHERE state = 'rejected'", "the ledger says 2 files"),
        ("DELETE FROM ingest_statistic WHERE state = 'archived'", "the statistics say 0 files"),
        (FOREIGN, "the ledger says 0 files"),
        (f"""{COUNTS} '{{"detected": 9}}'""", "9 detected, but its fates add up to 4"),
        (f"""{COUNTS} '{{"detected": 5, "archived": 2}}'""", "says 2 archived, the ledger says 1"),
    ],
)
def test_figures_that_differ_from_the_ledger_are_told(
    holdings: Holdings, check: Check, statement: str, words: str
) -> None:
    holdings.sql(statement)
    only(check(), "I11", words)


def test_figures_of_a_run_under_way_are_not_judged(holdings: Holdings, check: Check) -> None:
    holdings.archive("b.bin", b"beta")
    assert check() == []


# I13: footprints belong on the Earth


@pytest.mark.parametrize(
    ("footprint", "area", "words"),
    [
        ("MULTIPOLYGON(((0 0,2 2,2 0,0 2,0 0)))", 24_000, "is invalid: Self-intersection"),
        ("MULTIPOLYGON(((0 80,10 80,10 95,0 95,0 80)))", 1_000, "off the Earth"),
        ("MULTIPOLYGON(((-999.3 0,1 0,1 1,-999.3 0)))", 1_000, "off the Earth"),
        ("MULTIPOLYGON(((0 0,NaN 0,1 1,0 0)))", 1_000, "off the Earth or not finite"),
        ("MULTIPOLYGON EMPTY", 1_000, "is empty"),
        ("MULTIPOLYGON(((179 0,-179 0,-179 2,179 2,179 0)))", 49_000, "not split at the antimeridian"),
        (SQUARE, None, "has no area"),
        (SQUARE, -1, "impossible area"),
        (SQUARE, 6e8, "impossible area"),
        (SQUARE, 100_000, "covers about 12308 km2, but 100000 km2 are recorded"),
    ],
)
def test_an_impossible_footprint_is_told(
    holdings: Holdings, check: Check, footprint: str, area: float | None, words: str
) -> None:
    holdings.sql("UPDATE granule SET footprint = ST_GeomFromText(%s, 4326), area_km2 = %s", footprint, area)
    only(check(), "I13", "correlative/a.bin", words)


@pytest.mark.parametrize(
    ("footprint", "area"),
    [
        ("MULTIPOLYGON(((179 0,180 0,180 2,179 2,179 0)),((-180 0,-179 0,-179 2,-180 2,-180 0)))", 49_440),
        ("MULTIPOLYGON(((-180 80,-60 80,60 80,180 80,180 90,-180 90,-180 80)))", 3_900_000),
        ("MULTIPOLYGON(((-180 -90,180 -90,180 90,-180 90,-180 -90)))", 510_064_471),
        ("MULTIPOLYGON(((-180 -60,180 -60,180 60,-180 60,-180 -60)))", 441_700_000),
    ],
    ids=["split at the antimeridian", "pole cap", "whole Earth", "band around the Earth"],
)
def test_footprints_at_the_edges_of_the_map_are_sound(
    holdings: Holdings, check: Check, footprint: str, area: float
) -> None:
    holdings.sql("UPDATE granule SET footprint = ST_GeomFromText(%s, 4326), area_km2 = %s", footprint, area)
    assert check() == []


# A live archive moves under the checker


def test_what_only_seems_wrong_because_a_run_is_at_work_is_no_violation(
    holdings: Holdings, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    holdings.archive("b.bin", b"beta")
    walk = tree.walk

    def meanwhile(root: Path, *, skip: Collection[bytes] = ()) -> Iterator[tree.Entry]:
        if root == holdings.settings.storage:  # the rows were read a moment ago
            holdings.archive("new.bin", b"new")
            holdings.sql("UPDATE granule SET expires_at = now() - interval '1 day' WHERE key LIKE '%%b.bin'")
            holdings.sql("UPDATE granule SET state = 'deleting' WHERE key LIKE '%%b.bin'")
            holdings.sql("UPDATE asset SET state = 'deleting' WHERE path LIKE '%%b.bin'")
            holdings.stored("b.bin").unlink()
        yield from walk(root, skip=skip)

    monkeypatch.setattr(tree, "walk", meanwhile)
    assert check() == []


def test_a_flood_of_violations_is_cut_short_and_says_so(
    holdings: Holdings, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "MOST_PER_RULE", 3)
    for number in range(6):
        (holdings.settings.storage / f"dark-{number}").write_bytes(b"?")
    found = check()
    assert [violation.invariant for violation in found] == ["I3"] * 4
    assert "only the first 3 are shown" in found[-1].detail


def test_pages_and_windows_of_any_size_find_the_same(
    holdings: Holdings, check: Check, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b.bin", "a/b.bin", "a-b.bin", "é.bin", "Z.bin"):
        holdings.archive(name, name.encode())
    holdings.stored("a/b.bin").unlink()
    (holdings.settings.storage / "correlative" / "a.b").write_bytes(b"?")
    behind_the_triggers(owner, "granule", "UPDATE granule SET state = 'withdrawn' WHERE key LIKE '%Z.bin'")
    whole = check()
    monkeypatch.setattr(auditing, "_PAGE", 1)
    monkeypatch.setattr(auditing, "_WINDOW", 1)
    assert check() == whole
    assert sorted(violation.invariant for violation in whole) == ["I2", "I3", "I8"]


# PGEs: what they made, what they are made from, and that somebody sees to it


@pytest.fixture
def bench(settings: Settings, tmp_path: Path) -> Iterator[Bench]:
    made = bench_at(settings, tmp_path)
    with made.holdings:
        made.define(GOOD)
        yield made


def made(bench: Bench, *, archived: bool = True) -> int:
    """An instance that has delivered, or is done."""
    number = bench.instance()
    with bench.site() as site:
        assert run_pge(site, number).state == "delivered"
    if archived:
        ingest(bench.settings, "pge")
        with bench.site() as site:
            settle(site)
        assert bench.row(number)["state"] == "done"
    return number


def told(bench: Bench, invariant: str, *words: str) -> None:
    with bench.site() as site:
        only(list(audit(site)), invariant, *words)


def test_pges_that_wait_run_deliver_or_are_done_as_they_should_are_sound(bench: Bench) -> None:
    made(bench)
    made(bench, archived=False)
    bench.instance()
    assert bench.violations() == []


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE pge_output SET digest = 'other'", "never held a file with the BLAKE3"),
        ("UPDATE pge_output SET granule_id = NULL", "belongs to no granule"),
        ("DELETE FROM pge_output", "no output of it is known"),
    ],
)
def test_a_done_instance_whose_outputs_are_not_what_the_archive_holds_is_told(
    bench: Bench, statement: str, words: str
) -> None:
    made(bench)
    bench.holdings.sql(statement)
    told(bench, "I2", "is done", words)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE pge_input SET digest = 'other'", "has BLAKE3"),
        ("UPDATE pge_input SET asset_id = asset_id + 1000", "is unknown"),
        ("DELETE FROM pge_input", "without any input"),
    ],
)
def test_an_input_that_is_not_archived_as_it_was_frozen_is_told(bench: Bench, statement: str, words: str) -> None:
    bench.instance()
    bench.holdings.sql(statement)
    told(bench, "I2", "is ready", words)


def test_an_instance_whose_worker_has_long_been_silent_is_told(bench: Bench) -> None:
    running = "UPDATE pge_instance SET state = 'running', owner = 'w', claim = gen_random_uuid(), lease_until = now()"
    bench.instance()
    bench.holdings.sql(running)
    assert bench.violations() == [], "the next planning takes it up"
    bench.holdings.sql("UPDATE pge_instance SET lease_until = now() - interval '1 hour'")
    told(bench, "I10", "is running by w", "whose lease ended")


def test_a_delivery_that_is_gone_before_the_ingest_saw_it_is_told(bench: Bench) -> None:
    made(bench, archived=False)
    next((bench.settings.landing / "pge").rglob("VQLKM.*.txt")).unlink()
    told(bench, "I10", "is delivered", "unseen by ingest")


@pytest.mark.fault("F60", how="history of PGEs changed by its owner")
def test_history_of_pge_instances_that_was_tampered_with_is_told(bench: Bench, owner: psycopg.Connection) -> None:
    bench.instance()
    behind_the_triggers(owner, "pge_instance", "UPDATE pge_instance SET state = 'failed'")
    told(bench, "I8", "is failed but its history ends in ready")
