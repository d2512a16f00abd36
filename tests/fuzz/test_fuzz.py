"""Whatever bytes our parsers meet, they read them or refuse them as the file's fault; no input does anything else."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz.targets import SEEDS, TARGETS
from orbitory.errors import DataError

RUNS = 3_000
needs_atheris = pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel here")


@pytest.mark.parametrize("target", TARGETS)
def test_every_input_that_was_ever_kept_is_read_or_refused(target: str) -> None:
    kept = sorted((SEEDS / target).iterdir())
    assert kept
    for seed in kept:
        TARGETS[target](seed.read_bytes())


def fuzz(target: str, *options: str | Path, seconds: float) -> subprocess.CompletedProcess[str]:
    script = Path(__file__).with_name("fuzz.py")
    line = [sys.executable, script, target, "-timeout=10", "-print_final_stats=1", *options]
    return subprocess.run(line, capture_output=True, text=True, timeout=seconds, check=False)


@needs_atheris
@pytest.mark.slow
@pytest.mark.fault("F30", "F32", "F35", "F36", how="names, metadata, records, sidecars, forms and TARs by atheris")
@pytest.mark.parametrize("target", TARGETS)
def test_inputs_that_find_new_ways_through_a_parser_make_it_raise_nothing_else(
    target: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    done = fuzz(target, f"-runs={RUNS}", f"-artifact_prefix={tmp_path}/", tmp_path, SEEDS / target, seconds=250)
    print(done.stderr[-3000:])
    assert done.returncode == 0
    ran = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert ran is not None and int(ran[1]) >= RUNS
    record_property("figure", f"{int(ran[1]):,} inputs to {target}, 0 crashes")


@needs_atheris
def test_the_fuzzer_finds_a_parser_that_raises_something_else(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text(
        "import sys, atheris\n"
        "def parse(data):\n    if data[:3] == b'FUZ': raise KeyError(data)\n"
        "atheris.instrument_func(parse); atheris.Setup(sys.argv, parse); atheris.Fuzz()\n"
    )
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / "near").write_bytes(b"FUX")
    line = [sys.executable, script, "-runs=200000", "-seed=1", f"-artifact_prefix={tmp_path}/", tmp_path / "seed"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0 and "KeyError" in done.stdout + done.stderr
    assert list(tmp_path.glob("crash-*"))


def test_a_target_swallows_only_what_blames_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("not told as the file's fault")

    monkeypatch.setattr("fuzz.targets.tar_members", broken)
    with pytest.raises(ValueError, match="not told"):
        TARGETS["tar"](b"")

    def refusing(*_: object) -> None:
        raise DataError("structure", "no TAR")

    monkeypatch.setattr("fuzz.targets.tar_members", refusing)
    TARGETS["tar"](b"")
