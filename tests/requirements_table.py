"""Which tests prove which requirement: ``@pytest.mark.req("W4")``.

A full run fails when an id of ``tests/required.txt`` has no passing test, or when ``docs/requirements.md`` no longer
says what the tests say; ``--write-requirements`` rewrites that table. ``--collect-only`` compares the lists of tests.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Requirements and the tests that prove them

Written by the test run (`make requirements`); do not edit. A required id without a passing test fails the run.

| id | requirement | tests | last result |
|---|---|---|---|
"""


def required(file: Path) -> dict[str, str]:
    """Id to title, from lines such as ``W4  Only ids and counts …``; ``#`` starts a comment."""
    lines = (line.split("#")[0].strip() for line in file.read_text().splitlines())
    return {words[0]: words[2].strip() for line in lines if line and (words := line.partition(" "))}


def _order(identifier: str) -> tuple[str, int]:
    letters = identifier.rstrip("0123456789")
    return letters, int(identifier[len(letters) :] or 0)


class RequirementTable:
    """Collects id → tests → outcome of one run."""

    def __init__(self, root: Path = ROOT, *, write: bool = False) -> None:
        """``root`` holds ``tests/required.txt`` and ``docs/requirements.md``."""
        self.required = required(root / "tests" / "required.txt")
        self.file = root / "docs" / "requirements.md"
        self.write = write
        self.ids: dict[str, tuple[str, ...]] = {}
        self.outcomes: dict[str, set[str]] = defaultdict(set)
        self.complaints: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Learn which test proves what."""
        for item in items:
            ids = [str(name) for mark in item.iter_markers("req") for name in mark.args]
            if wrong := [name for name in ids if not re.fullmatch(r"[A-Z]+\d+", name)]:
                raise pytest.UsageError(f"{item.nodeid}: {wrong} is no requirement id")
            if ids:
                self.ids[item.nodeid] = tuple(dict.fromkeys(ids))
                item.user_properties.append(("requirements", self.ids[item.nodeid]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember how it went; a failing set-up or teardown is a failure."""
        for name, ids in report.user_properties:
            if name == "requirements":  # where other processes run the tests, only they have collected them
                self.ids[report.nodeid] = tuple(map(str, ids))
        if report.nodeid in self.ids and (report.when == "call" or report.outcome != "passed"):
            self.outcomes[report.nodeid].add(report.outcome)

    def _result(self, nodes: list[str]) -> str:
        seen = set().union(*(self.outcomes.get(node, {"not run"}) for node in nodes))
        return next((word for word in ("failed", "not run", "passed", "skipped") if word in seen), "no test")

    def rows(self) -> dict[str, tuple[str, str, str]]:
        """Id to title, tests and result; every parametrised test counts under its one name."""
        proofs: dict[str, list[str]] = {name: [] for name in self.required}
        for node, ids in self.ids.items():
            for name in ids:
                proofs.setdefault(name, []).append(node)
        found = {}
        for name in sorted(proofs, key=_order):
            tests = sorted({node.partition("[")[0] for node in proofs[name]})
            listed = "<br>".join(f"`{test}`" for test in tests) or "none"
            found[name] = (self.required.get(name, ""), listed, self._result(proofs[name]))
        return found

    def text(self) -> str:
        """The whole table, the same for the same tests and outcomes."""
        return HEAD + "".join(f"| {name} | {' | '.join(cells)} |\n" for name, cells in self.rows().items())

    def finish(self, *, ran: bool) -> None:
        """Compare a full run (or, if nothing ``ran``, a full collection) with what is required and written."""
        if ran:
            for name, (title, _, result) in self.rows().items():
                if name in self.required and result != "passed":
                    self.complaints.append(f"{name} ({title}) has no passing proof: {result}")
        if self.write and ran:
            self.file.write_text(self.text())
            return
        written = self.file.read_text() if self.file.exists() else ""
        if not ran:  # only which tests there are
            tests = {name: cells[1] for name, cells in self.rows().items()}
            current = {m[1]: m[2] for m in re.finditer(r"^\| ([A-Z]+\d+) \| .*? \| (.*?) \| [^|]* \|$", written, re.M)}
            same = tests == current
        else:
            same = written == self.text()
        if not same:
            self.complaints.append(f"{self.file.name} does not say what the tests say: run make requirements")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Judge full runs only: a selection proves nothing about what it left out."""
        config = session.config
        chosen = any(config.getoption(name, None) for name in ("keyword", "markexpr", "deselect", "lf", "ignore"))
        stopped = session.shouldfail or session.shouldstop or session.exitstatus in (2, 3, 4)
        part = hasattr(config, "workerinput")  # of a run that another process keeps the table of
        if config.args_source is not pytest.Config.ArgsSource.TESTPATHS or chosen or stopped or part:
            return
        self.finish(ran=not config.getoption("collectonly"))
        if self.complaints and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what is wrong, above the closing line."""
        if self.complaints:
            terminalreporter.section("requirements", red=True)
            for line in self.complaints:
                terminalreporter.line(line)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option."""
    parser.addoption("--write-requirements", action="store_true", help="write docs/requirements.md after a full run")


def pytest_configure(config: pytest.Config) -> None:
    """Keep one table for the run."""
    config.pluginmanager.register(RequirementTable(write=config.getoption("--write-requirements")), "requirement-table")
