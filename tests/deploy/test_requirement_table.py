"""A requirement without a passing test fails a full run, and the written table always says what the tests say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orbitory.settings import CHECKOUT
from table_projects import edit, run

PROJECT = {
    "pytest.ini": "[pytest]\ntestpaths = tests\npythonpath = tests\nmarkers = req(*ids): x\n",
    "tests/conftest.py": "pytest_plugins = ['requirements_table']\n",
    "tests/required.txt": "# comment\nW1  First thing\nW2  Second thing\n",
    "tests/test_it.py": (
        "import pytest\n"
        "@pytest.mark.req('W1')\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_first(n): assert n\n"
        "@pytest.mark.req('W2', 'G10')\n"
        "def test_second(): assert True\n"
    ),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "docs").mkdir()
    shutil.copy(CHECKOUT / "tests" / "requirements_table.py", tmp_path / "tests")
    return tmp_path


def test_the_table_is_written_once_and_then_stays_the_same(project: Path) -> None:
    assert run(project, "--write-requirements")[0] == 0
    table = (project / "docs" / "requirements.md").read_text()
    assert "| W1 | First thing | `tests/test_it.py::test_first` | passed |" in table
    assert "| G10 |  | `tests/test_it.py::test_second` | passed |" in table
    assert run(project)[0] == 0
    assert run(project, "--collect-only")[0] == 0
    run(project, "--write-requirements")
    assert (project / "docs" / "requirements.md").read_text() == table


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("'W2', 'G10'", "'G10'", "W2 (Second thing) has no passing proof: no test"),
        ("def test_second(): assert True", "def test_second(): pytest.skip('no')", "no passing proof: skipped"),
    ],
)
def test_a_required_id_that_nothing_proves_fails_the_run(project: Path, old: str, new: str, why: str) -> None:
    edit(project, old, new)
    code, output = run(project, "--write-requirements")
    assert code == 1
    assert why in output


def test_one_failing_test_of_several_is_no_proof(project: Path) -> None:
    edit(project, "assert n", "assert n == 1")
    code, output = run(project, "--write-requirements")
    assert code == 1
    assert "W1 (First thing) has no passing proof: failed" in output


def test_a_part_of_the_tests_is_not_judged(project: Path) -> None:
    for words in (["-k", "first"], ["tests/test_it.py::test_first"], ["tests"]):
        assert run(project, *words)[0] == 0, words


def test_a_table_that_is_out_of_date_fails_the_run_and_the_collection(project: Path) -> None:
    run(project, "--write-requirements")
    edit(project, "def test_second", "def test_renamed")
    for words in ([], ["--collect-only"]):
        code, output = run(project, *words)
        assert code == 1
        assert "requirements.md does not say what the tests say" in output


def test_a_mark_that_is_no_requirement_id_is_refused(project: Path) -> None:
    edit(project, "'W1'", "'W1, W2'")
    code, output = run(project)
    assert code == 4
    assert "is no requirement id" in output
