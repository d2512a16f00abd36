"""``make bench`` measures ours and its yardsticks in turns, and writes what it found in a form that others can read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.__main__ import measured
from benchmarks.measure import Measured, interleave, ratio
from benchmarks.stage import Case, Done, Stage
from benchmarks.stages import modules
from orbitory.settings import CHECKOUT

TINY: Any = SimpleNamespace(size="tiny", cluster=SimpleNamespace(pid=lambda: None))


def stage(**more: Any) -> Stage:
    told = {"name": "test", "yardstick": "none", "goal": 1.0, "unit": "files", "prepare": lambda bench: case()}
    return Stage(**told | more)


def case(calls: list[str] | None = None, costs: Sequence[float] = (1.0, 2.0)) -> Case:
    told = calls if calls is not None else []

    def call(side: str, cost: float) -> Done:
        told.append(side)
        return Done(units=1, cost=cost)

    ours, theirs = costs
    return Case(what="nothing", ours=lambda: call("ours", ours), theirs=lambda: call("theirs", theirs))


@pytest.mark.slow
def test_a_tiny_run_writes_results_details_and_page_in_their_form(tmp_path: Path) -> None:
    variables = {**os.environ, "PYTHONPATH": "include:bin:tests:."}
    line = [sys.executable, "-m", "benchmarks", "--size", "tiny", "--out", str(tmp_path)]
    line += ["--only", "verify-own", "--only", "verify-one", "--only", "search"]
    done = subprocess.run(line, cwd=CHECKOUT, env=variables, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    found = json.loads((tmp_path / "results.json").read_text())
    names = ["verify-own-digest", "verify-one-pass", "search-box-and-day", "search-deep-page"]
    assert [entry["stage"] for entry in found] == names
    for entry in found:
        assert isinstance(entry["yardstick"], str)
        assert entry["ratio"] > 0
        assert entry["met"] is (entry["ratio"] >= entry["goal"])
        assert len(entry["ours"]) == len(entry["theirs"]) == 2
        for figures in (*entry["ours"], *entry["theirs"]):
            assert {"seconds", "cpu_seconds", "units", "rate", "bytes_read", "peak_memory"} == set(figures)
    details = json.loads((tmp_path / "details.json").read_text())
    assert {"machine", "versions", "size", "measured"} <= set(details)
    page = (tmp_path / "performance.md").read_text()
    assert all(f"| {name} |" in page for name in names)
    assert "**Technique**" in page
    assert not (tmp_path / "run" / "work").exists()


def test_ours_and_theirs_take_turns() -> None:
    calls: list[str] = []
    interleave(case(calls), 3, None)
    assert calls == ["ours", "theirs"] * 3


def test_a_ratio_is_the_median_of_their_time_for_a_unit_over_ours() -> None:
    def took(seconds: float, units: float) -> Measured:
        return Measured(units=units, seconds=seconds, cpu_seconds=1, bytes_read=0, peak_memory=0)

    rounds = [(took(10, 100), took(theirs, 10)) for theirs in (1, 2, 9)]
    assert ratio(rounds, "wall") == pytest.approx(2.0)
    assert ratio(rounds, "cpu") == pytest.approx(10.0)


def test_a_peer_that_is_missing_is_told_and_no_failure() -> None:
    line = measured(TINY, stage(needs=("no-such-program",)))
    assert (line.entry()["ratio"], line.entry()["met"]) == (None, False)
    assert line.entry()["note"] == "not installed: no-such-program"
    assert not line.broken


def test_a_stage_that_breaks_is_told_and_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def breaks(bench: object) -> Case:
        raise RuntimeError("no files")

    line = measured(TINY, stage(prepare=breaks))
    assert line.broken
    assert line.entry()["note"] == "broke: no files"
    assert "no files" in capsys.readouterr().err


def test_a_tiny_run_fails_only_far_below_a_goal() -> None:
    assert not measured(TINY, stage(prepare=lambda bench: case(costs=(1.0, 0.6)))).gross
    assert measured(TINY, stage(prepare=lambda bench: case(costs=(1.0, 0.4)))).gross


def test_every_stage_has_a_name_of_its_own_and_every_module_tells_technique_limit_and_what_was_tried() -> None:
    names = [each.name for _, stages in modules() for each in stages]
    assert len(names) == len(set(names))
    for module, _ in modules():
        assert all(f"\n{word}: " in str(module.__doc__) for word in ("Technique", "Limit", "Tried"))
