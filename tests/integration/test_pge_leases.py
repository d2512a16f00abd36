"""What a PGE instance is made from stays as it is until the instance has ended, whatever else wants to replace it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from orbitory.ingest.run import ingest
from orbitory.pge.runner import run
from orbitory.settings import Settings
from pge_runs import GOOD, Bench, bench_at


@pytest.fixture
def bench(settings: Settings, tmp_path: Path) -> Iterator[Bench]:
    """With a source whose files replace each other."""
    made = bench_at(settings, tmp_path)
    sources = made.settings.catalogue / "sources"
    text = (sources / "correlative.toml").read_text()
    for key, value in {"name": "logs", "landing": "logs", "duplicates": "replace"}.items():
        text = "\n".join(f'{key} = "{value}"' if each.startswith(f"{key} =") else each for each in text.splitlines())
    (sources / "logs.toml").write_text(text)
    with made.holdings:
        yield made


def deliver(bench: Bench, content: bytes) -> None:
    file = bench.settings.landing / "logs" / "day.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    os.utime(file, (0, 0))
    assert not ingest(bench.settings, "logs").failed


def instance_of_it(bench: Bench, state: str) -> int:
    """An instance in that state, made from all that is archived of the source."""
    held = {"owner": "test", "claim": uuid4(), "lease_until": "infinity"} if state == "running" else {}
    number = bench.instance(contents=(), state=state, **held)
    bench.holdings.sql(
        "INSERT INTO pge_input (instance_id, input, ordinal, granule_id, asset_id, digest)"
        " SELECT %s, 'main', 0, g.id, s.id, s.digest FROM granule g JOIN granule_asset l ON l.granule_id = g.id"
        " JOIN asset s ON s.id = l.asset_id WHERE g.source = 'logs'",
        number,
    )
    return number


def stored(bench: Bench) -> list[bytes]:
    return sorted(file.read_bytes() for file in (bench.settings.storage / "logs").rglob("day*.txt"))


@pytest.mark.fault("F48", how="a PGE holds what should be retired")
@pytest.mark.req("F53", "G13")
@pytest.mark.parametrize("state", ["ready", "running", "delivered"])
def test_a_file_that_an_instance_holds_is_not_retired_until_it_has_ended(bench: Bench, state: str) -> None:
    bench.define(GOOD)
    deliver(bench, b"one")
    number = instance_of_it(bench, state)
    deliver(bench, b"two")
    assert stored(bench) == [b"one", b"two"] and not bench.violations()
    bench.holdings.sql("UPDATE pge_instance SET state = 'superseded' WHERE id = %s", number)
    assert not ingest(bench.settings, "logs").failed
    assert stored(bench) == [b"two"], "with the next run"
    assert (bench.settings.trash / "replaced").is_dir() and not bench.violations()


@pytest.mark.parametrize("state", ["failed", "done", "cancelled", "superseded"])
def test_an_instance_that_has_ended_holds_nothing(bench: Bench, state: str) -> None:
    bench.define(GOOD)
    deliver(bench, b"one")
    instance_of_it(bench, state)
    deliver(bench, b"two")
    assert stored(bench) == [b"two"]


@pytest.mark.req("F53")
def test_an_input_that_was_replaced_while_its_instance_waited_its_turn_is_still_what_it_is_made_from(
    bench: Bench,
) -> None:
    bench.define(GOOD)
    deliver(bench, b"one")
    number = instance_of_it(bench, "ready")
    deliver(bench, b"two")
    with bench.site() as site:
        assert run(site, number).state == "delivered"
    assert bench.delivered(number)["VQLKM.probe.1.P000001.txt"] == b"one"


@pytest.mark.req("F53")
def test_a_copy_that_is_repaired_while_a_pge_reads_it_does_not_change_under_it(bench: Bench) -> None:
    bench.define("time.sleep(2); " + GOOD)
    deliver(bench, b"one")
    (file,) = (bench.settings.storage / "logs").rglob("day*.txt")
    number = instance_of_it(bench, "ready")

    def repair() -> bool:
        """Called every second while it runs."""
        if file.stat().st_nlink > 1:
            file.unlink()
            deliver(bench, b"one")
        return False

    with bench.site() as site:
        assert run(site, number, stopped=repair).state == "delivered"
    assert bench.delivered(number)["VQLKM.probe.1.P000001.txt"] == b"one"
    assert stored(bench) == [b"one"] and file.stat().st_nlink == 1
