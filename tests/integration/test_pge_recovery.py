"""Workers that are lost, overtaken, killed or told to stop; outputs that the ingest refuses; many instances at once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orbitory import retention
from orbitory.errors import ConfigurationError, NotReady, Transient
from orbitory.ingest.run import ingest
from orbitory.pge import heartbeat, staging
from orbitory.pge.crew import run_ready
from orbitory.pge.recovery import cancel, recover
from orbitory.pge.runner import run
from orbitory.settings import CHECKOUT, Settings
from pge_runs import GOOD, Bench, bench_at
from retaining import after

#: Says that it has begun, then works for a minute, in a child that leaves the group.
SLOW = """
(out.parent / "tmp" / "begun").touch()
if os.fork() == 0:
    os.setsid()
    time.sleep(60)
time.sleep(60)
"""


@pytest.fixture
def bench(settings: Settings, tmp_path: Path) -> Iterator[Bench]:
    made = bench_at(settings, tmp_path)
    with made.holdings:
        yield made


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def begun(bench: Bench) -> bool:
    return bool(list(bench.settings.work.glob("pge/*/tmp/begun")))


def processes(bench: Bench) -> list[str]:
    """Command lines of this bench's PGEs that run."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(bench.folder) in words and int(folder.name) != os.getpid():
                found.append(words.decode())
    return found


def lapse(bench: Bench, instance: int) -> None:
    bench.holdings.sql("UPDATE pge_instance SET lease_until = now() - interval '1 second' WHERE id = %s", instance)


def command(bench: Bench, environment: dict[str, str], *words: str) -> subprocess.Popen[bytes]:
    environment = environment | {"ORBITORY_CATALOGUE": str(bench.settings.catalogue)}
    # It heeds an interrupt even where a shell has put the whole test run in the background.
    line = ["env", "--default-signal=INT", sys.executable, "-m", "orbitory", *words]
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=CHECKOUT)


@pytest.mark.fault("F53", how="SIGKILL of the worker that runs a PGE")
@pytest.mark.req("F53")
def test_a_killed_worker_leaves_no_process_and_its_instance_is_run_once_more_then_given_up(
    bench: Bench, environment: dict[str, str]
) -> None:
    bench.define(SLOW, wall_seconds=120.0)
    number = bench.instance()
    for expected in ("ready", "failed"):
        with command(bench, environment, "run-pge", str(number)) as worker:
            until(lambda: begun(bench))
            assert processes(bench)
            worker.send_signal(signal.SIGKILL)
        until(lambda: not processes(bench), 5)
        assert bench.row(number)["state"] == "running"
        with bench.site() as site:
            assert recover(site) == [], "its lease has not passed"
            with pytest.raises(NotReady, match="is run by"):
                run(site, number)
            lapse(bench, number)
            assert [each.state for each in recover(site)] == [expected]
        for kept in bench.settings.work.glob("pge/*/tmp/begun"):
            kept.unlink()
    row = bench.row(number)
    assert row["reason"] == "lost" and bench.messages() == [f"PGE probe failed: instance {number}, lost"]


def test_an_interrupted_command_ends_its_pge_and_cancels_the_instance_which_can_be_run_again(
    bench: Bench, environment: dict[str, str]
) -> None:
    bench.define(SLOW, wall_seconds=120.0)
    number = bench.instance()
    with command(bench, environment, "run-pge", "--ready") as worker:
        until(lambda: begun(bench))
        worker.send_signal(signal.SIGINT)
        assert worker.wait(20) == 130
    assert not processes(bench)
    row = bench.row(number)
    assert (row["state"], row["reason"], row["claim"], row["lease_until"]) == ("cancelled", "ended", None, None)
    bench.define(GOOD)
    with bench.site() as site:
        assert run(site, number).state == "delivered"


@pytest.mark.parametrize("how", ["cancelled", "overtaken"])
def test_a_worker_whose_claim_is_gone_ends_its_pge_and_writes_nothing(
    bench: Bench, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.2)
    bench.define(SLOW, wall_seconds=120.0)
    number = bench.instance()
    outcome: list[Any] = []

    def work() -> None:
        with bench.site("worker") as site:
            try:
                outcome.append(run(site, number))
            except Transient as error:
                outcome.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    until(lambda: begun(bench))
    if how == "cancelled":
        with bench.site("other") as site:
            assert cancel(site, number) and not cancel(site, number)
    else:
        bench.define(GOOD)

        def overtakes() -> bool:
            """The worker may speak between the two."""
            lapse(bench, number)
            with bench.site("other") as site, suppress(NotReady):
                return run(site, number).state == "delivered"
            return False

        until(overtakes)
    worker.join(20)
    assert not worker.is_alive() and not processes(bench)
    row = bench.row(number)
    assert row["state"] == ("cancelled" if how == "cancelled" else "delivered"), (row, outcome)
    assert bool(bench.delivered(number)) is (how == "overtaken")


@pytest.mark.req("F51")
def test_a_delivery_that_its_worker_could_not_report_any_more_is_found_and_not_made_again(bench: Bench) -> None:
    bench.define(GOOD)
    number = bench.instance()
    with bench.site() as site:
        assert run(site, number).state == "delivered"
        for archived in (False, True):
            if archived:
                ingest(bench.settings, "pge")
            bench.holdings.sql("UPDATE pge_instance SET state = 'running', owner = 'lost' WHERE id = %s", number)
            lapse(bench, number)
            bench.define("sys.exit(1)")
            assert [each.state for each in recover(site)] == ["delivered"]


def test_an_instance_that_is_not_ready_or_does_not_exist_is_not_run(bench: Bench) -> None:
    bench.define(GOOD)
    with bench.site() as site:
        with pytest.raises(ConfigurationError, match="no PGE instance 99"):
            run(site, 99)
        number = bench.instance(state="waiting", input_hash=None)
        with pytest.raises(NotReady, match="waiting"):
            run(site, number)


@pytest.mark.fault("F15", how="no room in the work folder of a PGE")
@pytest.mark.req("F53")
def test_no_room_for_what_it_may_write_is_no_failure_of_the_pge(bench: Bench) -> None:
    disk = shutil.disk_usage(bench.settings.work.parent)
    bench.define(GOOD, disk_mb=(disk.free + disk.total) // 2 >> 20)
    number = bench.instance()
    with bench.site() as site, pytest.raises(Transient, match="MB free"):
        run(site, number)
    row = bench.row(number)
    assert (row["state"], row["tries"], row["reason"]) == ("ready", 0, None)


@pytest.mark.req("F53")
def test_what_the_ingest_rejects_fails_the_instance_and_a_person_may_run_it_again(bench: Bench) -> None:
    bench.define("product('tif').write_bytes(b'II*\\0' + b'?' * 400)")
    number = bench.instance()
    with bench.site() as site:
        assert run(site, number).state == "delivered"
    assert ingest(bench.settings, "pge").rejected
    row = bench.row(number)
    assert (row["state"], row["reason"]) == ("failed", "output_rejected") and "VQLKM.probe" in row["detail"]
    assert len(bench.messages()) == 1
    bench.define(GOOD)
    with bench.site() as site:
        assert run(site, number).state == "delivered"
    ingest(bench.settings, "pge")
    assert bench.row(number)["state"] == "done"


@pytest.mark.req("G14")
@pytest.mark.timeout(120)
def test_many_at_once_reach_the_capacity_and_never_exceed_it(bench: Bench) -> None:
    bench.define(
        "began = time.time(); time.sleep(1); product().write_text(json.dumps([began, time.time()]))", memory_mb=64
    )
    numbers = [bench.instance() for _ in range(20)]
    results = run_ready(bench.settings, "crew", 6)
    assert [(each.instance, each.state) for each in results] == [(number, "delivered") for number in numbers]
    spans = [json.loads(next(v for k, v in bench.delivered(n).items() if k.endswith("txt"))) for n in numbers]
    running = [sum(began <= moment < ended for began, ended in spans) for moment, _ in spans]
    assert max(running) == 6


@pytest.mark.req("G16")
def test_three_and_one_of_another_pge_run_at_once_and_take_as_long_as_the_longest(bench: Bench) -> None:
    """None ends before all four have begun; so their times overlap, whatever the machine does."""
    together = """
began = time.time()
(pathlib.Path(told["temporary"]) / "begun").touch()
while not pathlib.Path(__file__).with_name("go").exists():
    time.sleep(0.05)
time.sleep({seconds})
product().write_text(json.dumps([began, time.time()]))
"""
    bench.define(together.format(seconds=0.2), name="image", memory_mb=64)
    bench.define(together.format(seconds=2), name="surface", memory_mb=64)
    numbers = [*(bench.instance("image") for _ in range(3)), bench.instance("surface")]

    def starter() -> None:
        until(lambda: len(list(bench.settings.work.glob("pge/*/tmp/begun"))) == 4)
        (bench.folder / "go").touch()

    threading.Thread(target=starter).start()
    assert {each.state for each in run_ready(bench.settings, "crew", 4)} == {"delivered"}
    spans = [json.loads(next(v for k, v in bench.delivered(n).items() if k.endswith("txt"))) for n in numbers]
    assert max(began for began, _ in spans) < min(ended for _, ended in spans), "all four at once"
    end, longest = max(ended for _, ended in spans), max(ended - began for began, ended in spans)
    assert end - min(began for began, _ in spans) < sum(ended - began for began, ended in spans)
    assert end - max(began for began, _ in spans) <= longest


def test_one_that_fails_costs_the_others_nothing(bench: Bench) -> None:
    bench.define(GOOD)
    bench.define("sys.exit(1)", name="bad")
    good, bad, good_too = bench.instance(), bench.instance("bad"), bench.instance()
    states = {each.instance: each.state for each in run_ready(bench.settings, "crew", 2)}
    assert states == {good: "delivered", bad: "failed", good_too: "delivered"}


@pytest.mark.req("G13")
def test_work_folders_of_tries_that_delivered_nothing_are_kept_for_a_week(bench: Bench) -> None:
    bench.define("sys.exit(1)")
    number = bench.instance()
    zone = bench.settings.work / staging.ZONE

    with bench.site() as site:
        run(site, number)
        run(site, number)
        tries = sorted(zone.iterdir())
        assert len(tries) == 2 and zone / bench.row(number)["folder"] in tries
        with after(site, 6.9):
            retention.expire(site)
        assert sorted(zone.iterdir()) == tries
        with after(site, 7.1):
            retention.expire(site)
        assert list(zone.iterdir()) == []
        run(site, number)
        (failed,) = zone.iterdir()
        bench.define(GOOD)
    with bench.site() as site:
        assert run(site, number).state == "delivered"
    assert list(zone.iterdir()) == [failed], "only what delivered is removed at once"


def test_a_folder_in_use_stays_and_a_delivery_in_the_making_goes_when_nobody_makes_it_any_more(bench: Bench) -> None:
    bench.define(GOOD)
    bench.instance(state="running", folder="1.abcd", lease_until="infinity")
    folders = [bench.settings.work / "pge" / "1.abcd", bench.settings.landing / ".pge-staging" / "9.y"]
    for folder in folders:
        folder.mkdir(parents=True)
    with bench.site() as site:
        recover(site)
        assert all(folder.exists() for folder in folders), "it may be in the making"
        for folder in folders:
            os.utime(folder, (0, 0))
        recover(site)
        retention.expire(site)
    assert [folder.exists() for folder in folders] == [True, False]


def test_an_instance_that_another_replaced_is_not_run_again(bench: Bench) -> None:
    bench.define(GOOD)
    number = bench.instance(state="cancelled", period_key="same")
    other = bench.instance(period_key="same", input_hash=b"other")
    with bench.site() as site, pytest.raises(ConfigurationError, match=f"{other} .ready. is for the same period"):
        run(site, number)


def test_a_bug_of_ours_is_stated_and_raised(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.define(GOOD)
    number = bench.instance()
    monkeypatch.setattr(staging, "configure", None)
    with bench.site() as site, pytest.raises(TypeError):
        run(site, number)
    row = bench.row(number)
    assert (row["state"], row["reason"]) == ("failed", "bug") and "TypeError" in row["detail"]
