"""A fault that no test provokes fails the run of all faults, and the written table lists the tests that there are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orbitory.settings import CHECKOUT
from table_projects import edit, run

PROJECT = {
    "pytest.ini": (
        "[pytest]\ntestpaths = tests\npythonpath = tests\nmarkers =\n"
        "    req(*ids): x\n    fault(*ids, how): x\n    long: x\n"
    ),
    "tests/conftest.py": "pytest_plugins = ['requirements_table', 'fault_table']\n",
    "tests/required.txt": "",
    "tests/faults/matrix.txt": "# comment\nF01  power cut\nF02  full disk\nF03  pull; not here: nothing is pulled\n",
    "tests/faults/skips.txt": "",
    "docs/faults.md": "Head\n\n<!-- written by make faults -->\n<!-- end of what make faults writes -->\nFoot\n",
    "tests/test_it.py": (
        "import pytest\n"
        "@pytest.mark.fault('F01', how='a snapshot')\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_first(n, record_property):\n"
        "    record_property('points', 20)\n"
        "    record_property('figure', f'snapshot {n}: 0 lost')\n"
        "    assert n\n"
        "@pytest.mark.long\n"
        "@pytest.mark.fault('F02', how='a small disk')\n"
        "def test_second(): assert True\n"
        "def test_other(): assert True\n"
    ),
}
ALL = ("--faults", "-m", "fault")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    for name in ("requirements_table.py", "fault_table.py"):
        shutil.copy(CHECKOUT / "tests" / name, tmp_path / "tests")
    assert run(tmp_path, "--write-requirements", "--write-faults")[0] == 0
    return tmp_path


@pytest.mark.parametrize("processes", [(), ("-n", "2")])
def test_the_table_has_ways_tests_figures_and_outcomes_between_its_head_and_foot(
    project: Path, processes: tuple[str, ...]
) -> None:
    assert run(project, *ALL, "--write-faults", *processes)[0] == 0
    table = (project / "docs" / "faults.md").read_text()
    assert table.startswith("Head\n")
    assert table.endswith("Foot\n")
    assert "| F01 power cut | a snapshot | `tests/test_it.py::test_first` | 40 | passed |" in table
    assert "| F02 full disk | a small disk | `tests/test_it.py::test_second` | 1 | passed |" in table
    assert "| F03 pull | not here: nothing is pulled | none | 0 | no test |" in table
    assert "3 faults, 2 tests, 41 points tried, 0 violations." in table
    assert "* snapshot 1: 0 lost\n* snapshot 2: 0 lost\n" in table


def test_what_takes_long_runs_only_when_all_faults_are_asked_for(project: Path) -> None:
    assert "3 passed, 1 deselected" in run(project)[1]
    assert "3 passed, 1 deselected" in run(project, *ALL)[1], "all but the one that provokes nothing"
    assert "4 passed" in run(project, "--faults")[1]


@pytest.mark.parametrize(
    ("words", "old", "new"),
    [
        ((), "def test_second", "def test_renamed"),
        (("-n", "2"), "def test_second", "def test_renamed"),
        (ALL, "a small disk", "a tmpfs"),
        (("--collect-only",), "'F02'", "'F01'"),
    ],
)
def test_a_table_that_lists_other_tests_or_ways_fails_every_whole_run(
    project: Path, words: tuple[str, ...], old: str, new: str
) -> None:
    assert run(project, *words)[0] == 0
    edit(project, old, new)
    code, output = run(project, *words)
    assert code == 1
    assert "faults.md does not list the tests that there are" in output


def test_figures_and_outcomes_may_differ_from_what_is_written(project: Path) -> None:
    edit(project, "'points', 20", "'points', 30")
    assert run(project)[0] == 0


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("@pytest.mark.fault('F02', how='a small disk')\n", "", "F02 (full disk) is not provoked: no test"),
        ("def test_second(): assert True", "def test_second(): assert 0", "F02 (full disk) is not provoked: failed"),
        ("def test_second(): assert True", "def test_second(): pytest.skip('no')", "test_second was skipped"),
    ],
)
def test_a_fault_that_nothing_provokes_and_a_skip_that_is_not_known_fail_the_run(
    project: Path, old: str, new: str, why: str
) -> None:
    edit(project, old, new)
    code, output = run(project, *ALL, "--write-faults")
    assert code == 1
    assert why in output


def test_a_skip_that_is_known_is_allowed(project: Path) -> None:
    edit(project, "def test_second(): assert True", "def test_second(): pytest.skip('no')")
    (project / "tests" / "faults" / "skips.txt").write_text("tests/test_it.py::test_second  no such device\n")
    assert run(project, *ALL, "--write-faults")[0] == 0


@pytest.mark.parametrize(("old", "new"), [("'F02'", "'G2'"), (", how='a small disk'", "")])
def test_a_mark_that_is_no_fault_or_says_not_how_is_refused(project: Path, old: str, new: str) -> None:
    edit(project, old, new)
    assert run(project)[0] == 4
