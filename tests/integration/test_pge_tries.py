"""What a try may leave behind, who may start an instance again, and what goes wrong beside the PGE itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orbitory.errors import NotReady
from orbitory.pge import delivery
from orbitory.pge.crew import run_ready
from orbitory.pge.lineage import lineage
from orbitory.pge.recovery import cancel, recover, settle
from orbitory.pge.runner import run
from orbitory.settings import Settings
from pge_runs import GOOD, Bench, bench_at

KIND = '[[outputs]]\nname = "{kind}"\nproduct = "pge_viirs_quicklook"\npattern = "VQLKM.*.{kind}"\n'


@pytest.fixture
def bench(settings: Settings, tmp_path: Path) -> Iterator[Bench]:
    made = bench_at(settings, tmp_path)
    with made.holdings:
        yield made


@pytest.mark.req("F53")
@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("product(period='P9').write_text('a')", "wrong_output", "for period P9, expected P000001"),
        ("product(period=told['period'] + '0').write_text('a')", "wrong_output", "expected P000001"),
        ("product('png').write_bytes(b'a')", "wrong_output", "nothing but pictures"),
        ("product().touch(); os.chmod(out, 0)", "wrong_output", "is empty"),
        ("(out / (product().name + '.meta.json')).write_text('{}')", "foreign_output", "provenance"),
    ],
)
def test_a_pge_answers_for_its_own_period_and_not_for_its_provenance(
    bench: Bench, script: str, code: str, words: str
) -> None:
    bench.define(script)
    number = bench.instance()
    with bench.site() as site:
        result = run(site, number)
    assert (result.state, result.reason) == ("failed", code) and words in str(result.detail)
    assert not bench.delivered(number)


def test_a_file_that_fits_two_outputs_is_counted_for_neither(bench: Bench) -> None:
    bench.define(
        "product('txt').write_text('a')",
        outputs=KIND.format(kind="*").replace('"*"', '"all"') + KIND.format(kind="txt"),
    )
    with bench.site() as site:
        result = run(site, bench.instance())
    assert result.reason == "definition" and "'all' and 'txt'" in str(result.detail)


def test_one_that_makes_nothing_and_promised_nothing_is_done(bench: Bench) -> None:
    bench.define("", outputs=KIND.format(kind="txt") + "min = 0\n")
    number = bench.instance()
    with bench.site() as site:
        assert run(site, number).state == "delivered"
        assert [(row["id"], row["state"]) for row in settle(site)] == [(number, "done")]
    assert not bench.arrivals()


@pytest.mark.req("F53")
def test_a_bug_of_ours_costs_the_others_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.define("time.sleep(2); " + GOOD)
    bench.define(GOOD, name="bad")
    check = delivery.check

    def faulty(pge: object, *rest: object) -> object:
        if getattr(pge, "name", "") == "bad":
            raise RuntimeError("ours")
        return check(pge, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(delivery, "check", faulty)
    good, bad = [bench.instance(), bench.instance()], bench.instance("bad")
    results = {each.instance: (each.state, each.reason) for each in run_ready(bench.settings, "crew", 3)}
    assert results == {**dict.fromkeys(good, ("delivered", None)), bad: ("failed", "bug")}
    assert bench.row(bad)["reason"] == "bug"


@pytest.mark.req("F53")
def test_what_was_given_up_or_cancelled_is_started_again_by_a_person_alone(bench: Bench) -> None:
    bench.define(GOOD)
    lost, given_up = (
        {"state": "running", "owner": "pge_execution/x", "tries": 2, "run": '{"lost": 1}'},
        bench.instance(),
    )
    twice = bench.instance(**lost, lease_until="-infinity")
    with bench.site("planning") as site:
        assert [(each.state, each.reason) for each in recover(site)] == [("failed", "lost")]
        assert cancel(site, given_up)
    with bench.site("pge_execution/x") as site:
        for number, state in ((twice, "failed"), (given_up, "cancelled")):
            assert run(site, number, afresh=False).state == state
            assert bench.row(number)["state"] == state
            assert run(site, number).state == "delivered"


def test_what_was_ended_while_it_ran_goes_on_when_its_own_task_is_tried_again(bench: Bench) -> None:
    """As when a task is cleared that runs, or the worker is shut down: nobody gave the instance up."""
    bench.define(GOOD)
    ended = {"state": "cancelled", "reason": "ended", "owner": "pge_execution/x"}
    ours, theirs = bench.instance(**ended), bench.instance(**ended | {"owner": "pge_execution/y"})
    with bench.site("pge_execution/x") as site:
        assert run(site, ours, afresh=False).state == "delivered"
        assert run(site, theirs, afresh=False).state == "cancelled"


@pytest.mark.req("F53")
def test_a_pge_for_which_the_disk_is_too_small_fails_and_a_person_is_told(bench: Bench) -> None:
    bench.define(GOOD, disk_mb=16_777_216)
    number = bench.instance()
    with bench.site() as site:
        run(site, number)
    row = bench.row(number)
    assert (row["state"], row["reason"]) == ("failed", "definition") and "in all" in row["detail"]
    assert len(bench.messages()) == 1


def test_settling_and_lineage_by_name_look_at_few_rows_of_a_large_history(bench: Bench, owner_uri: str) -> None:
    with psycopg.connect(owner_uri, autocommit=True) as db:
        db.execute("ALTER TABLE pge_instance DISABLE TRIGGER USER")
        db.execute(
            "INSERT INTO pge_instance (pge, version, period_key, sensing, state, input_hash)"
            " SELECT 'p', '1', 'k' || i, tstzrange(now(), now() + interval '1 min'), 'done', sha256(i::text::bytea)"
            " FROM generate_series(1, 20000) i"
        )
        db.execute(
            "INSERT INTO pge_output (instance_id, name, product, digest, size)"
            " SELECT id, 'VQLKM.' || id, 'x', sha256(id::text::bytea), 1 FROM pge_instance"
        )
        db.execute("ALTER TABLE pge_instance ENABLE TRIGGER USER")
        db.execute("ANALYZE pge_instance, pge_output, arrival")

        def scanned() -> dict[str, int]:
            db.execute("SELECT pg_stat_force_next_flush()")
            rows = db.execute(
                "SELECT relname, seq_scan::int FROM pg_stat_user_tables WHERE relname LIKE 'pge_%'"
            ).fetchall()
            return dict(rows)

        before = scanned()
        with bench.site() as site:
            settle(site)
            with pytest.raises(NotReady):
                lineage(site.inventory, "VQLKM.none")
        time.sleep(1.2)
        after = scanned()
    assert {name: after[name] - before[name] for name in ("pge_instance", "pge_output")} == {
        "pge_instance": 0,
        "pge_output": 0,
    }
