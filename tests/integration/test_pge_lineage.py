"""From what a product was made, down to digests; and the command line of running PGEs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from orbitory.errors import NotReady
from orbitory.ingest.run import ingest
from orbitory.pge.executor import LocalExecutor
from orbitory.pge.lineage import lineage
from orbitory.pge.runner import run
from orbitory.settings import CHECKOUT, Settings
from pge_runs import GOOD, Bench, bench_at

ALPHA, BETA = blake3(b"alpha").hexdigest(), blake3(b"beta").hexdigest()


@pytest.fixture
def bench(settings: Settings, tmp_path: Path) -> Iterator[Bench]:
    made = bench_at(settings, tmp_path)
    with made.holdings:
        yield made


def orbitory(bench: Bench, environment: dict[str, str], *words: str, expect: int = 0) -> Any:
    environment = environment | {"ORBITORY_CATALOGUE": str(bench.settings.catalogue)}
    line = [sys.executable, "-m", "orbitory", *words]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert done.returncode == expect, done.stderr
    return json.loads(done.stdout) if "--json" in words and done.stdout else done.stdout + done.stderr


def made(bench: Bench, number: int) -> None:
    with bench.site() as site:
        assert run(site, number).state == "delivered"
    ingest(bench.settings, "pge")
    assert bench.row(number)["state"] == "done"


@pytest.mark.req("G17")
def test_lineage_leads_from_any_name_to_the_digests_of_inputs_and_outputs(bench: Bench) -> None:
    bench.define(GOOD)
    number = bench.instance(contents=(b"alpha", b"beta"))
    made(bench, number)
    name = "VQLKM.probe.1.P000001.txt"
    with bench.site() as site:
        told = lineage(site.inventory, name)
        (step,) = told["instances"]
        assert [(each["granule"], each["blake3"]) for each in step["inputs"]] == [
            ("NPP/VIIRS-M1-SDR/P000001_0.h5", ALPHA),
            ("NPP/VIIRS-M1-SDR/P000001_1.h5", BETA),
        ]
        (output,) = step["outputs"]
        assert output["blake3"] == blake3(b"alphabeta").hexdigest() and output["granule"]
        assert (bench.settings.storage / output["path"]).read_bytes() == b"alphabeta"
        names = (
            str(number),
            f"{number}/{name}",
            f"{number}-1/{name}",
            output["path"],
            output["granule"],
            "P000001_0.h5",
        )
        for other in (*names, "idps/P000001_1.h5", "NPP/VIIRS-M1-SDR/P000001_0.h5"):
            assert lineage(site.inventory, other)["instances"] == told["instances"], other
        for foreign in ("%", "_____", "nothing.h5", "' OR 1=1 --"):
            with pytest.raises(NotReady, match="no PGE has made or used"):
                lineage(site.inventory, foreign)


@pytest.mark.req("G17")
def test_lineage_goes_on_through_products_that_were_made_of_products(bench: Bench) -> None:
    bench.define(GOOD)
    first = bench.instance()
    made(bench, first)
    second = bench.instance(contents=())
    bench.holdings.sql(
        "INSERT INTO pge_input (instance_id, input, ordinal, granule_id, asset_id, digest)"
        " SELECT %s, 'main', 0, o.granule_id, s.id, s.digest FROM pge_output o JOIN asset s ON s.digest = o.digest"
        " AND s.role = 'data' AND s.path LIKE 'pge/%%' WHERE o.instance_id = %s",
        *(second, first),
    )
    made(bench, second)
    with bench.site() as site:
        for name in (str(first), str(second), "idps/P000001_0.h5"):
            steps = lineage(site.inventory, name)["instances"]
            assert [each["instance"] for each in steps] == [first, second], name


def test_the_command_line_runs_what_is_ready_and_tells_what_became_of_it(
    bench: Bench, environment: dict[str, str]
) -> None:
    bench.define(GOOD)
    bench.define("sys.exit(2)", name="bad")
    good, bad = bench.instance(), bench.instance("bad")
    told = orbitory(bench, environment, "run-pge", "--ready", "--workers", "2", "--json", expect=1)
    assert [(each["instance"], each["pge"], each["state"], each["reason"], each["exit_status"]) for each in told] == [
        (good, "probe", "delivered", None, 0),
        (bad, "bad", "failed", "exit", 2),
    ]
    assert orbitory(bench, environment, "run-pge", "--ready", "--json") == []
    assert "delivered" in orbitory(bench, environment, "run-pge", str(good))
    assert "exit status 2" in orbitory(bench, environment, "run-pge", str(bad), expect=1)
    assert "no PGE instance 99" in orbitory(bench, environment, "run-pge", "99", expect=2)
    assert "either" in orbitory(bench, environment, "run-pge", expect=2)
    assert "either" in orbitory(bench, environment, "run-pge", "1", "--ready", expect=2)
    waits = bench.instance()
    assert f"{waits} is cancelled" in orbitory(bench, environment, "cancel-pge", str(waits))
    assert bench.row(waits)["state"] == "cancelled"
    assert "has ended already" in orbitory(bench, environment, "cancel-pge", str(good), expect=1)
    assert orbitory(bench, environment, "lineage", str(good), "--json")["instances"][0]["state"] == "delivered"
    assert ALPHA[:16] in orbitory(bench, environment, "lineage", str(good))
    assert "no PGE has made" in orbitory(bench, environment, "lineage", "nothing", expect=3)


@pytest.mark.req("G23", "G15")
def test_figures_by_day_and_pge_and_the_backlog_equal_the_ledger(bench: Bench, environment: dict[str, str]) -> None:
    bench.define("time.sleep(.2); " + GOOD)
    bench.define("sys.exit(2)", name="bad", retries=1)
    bench.define("os.kill(os.getpid(), 9)", name="worse")
    numbers = [
        bench.instance(),
        bench.instance(),
        bench.instance("bad"),
        bench.instance("bad"),
        bench.instance("worse"),
    ]
    bench.instance()
    with bench.site() as site:
        for number in [*numbers, numbers[2]]:
            run(site, number)
    for per in ("day", "hour"):
        told = orbitory(bench, environment, "stats", "--pge", "--per", per, "--json")
        throughput = {
            row["pge"]: (row["started"], row["completed"], row["failed"], row["backlog"]) for row in told["throughput"]
        }
        assert throughput == {"probe": (2, 2, 0, 1), "bad": (3, 0, 1, 1), "worse": (1, 0, 1, 0)}
        runs = {row["pge"]: row for row in told["runs"]}
        assert {pge: row["ended"] for pge, row in runs.items()} == {
            "probe": {"0": 2},
            "bad": {"2": 2},
            "worse": {"signal 9": 1},
        }
        rows = [bench.row(number) for number in numbers[:2]]
        seconds = [row["run"]["wall_seconds"] for row in rows]
        task = sum((row["finished_at"] - row["started_at"]).total_seconds() for row in rows)
        assert runs["probe"]["wall_seconds"] == pytest.approx(sum(seconds))
        assert runs["probe"]["longest_seconds"] == pytest.approx(max(seconds))
        assert runs["probe"]["beside_seconds"] == pytest.approx(task - sum(seconds), abs=1e-3)
        assert runs["probe"]["peak_bytes"] == max(row["run"]["peak_bytes"] for row in rows)
        backlog = [(row["queue"], row["pge"], row["state"], row["instances"]) for row in told["backlog"]]
        assert backlog == [
            ("default", "bad", "ready", 1),
            ("default", "probe", "delivered", 2),
            ("default", "probe", "ready", 1),
        ]
    assert orbitory(bench, environment, "status", "--json")["sandbox"]["pge"] == LocalExecutor().confinement
    shown = orbitory(bench, environment, "stats", "--pge")
    assert "signal 9" in shown and "READY AT ITS END" in shown
