"""Which tests prove which requirement: ``@pytest.mark.req("W4")``.

A full run fails when an id of ``tests/required.txt`` has no passing test, or when ``docs/requirements.md`` no longer
says what the tests say; ``--write-requirements`` rewrites that table. ``--collect-only`` compares the lists of tests.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
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


class ProofTable:
    """Collects id → tests → outcome of one run, for one kind of mark."""

    #: The mark that names ids, what they look like, and what they are ids of.
    mark = ""
    pattern = ""
    noun = ""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.ids: dict[str, tuple[str, ...]] = {}
        self.outcomes: dict[str, set[str]] = defaultdict(set)
        self.complaints: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Learn which test proves what."""
        for item in items:
            ids = [str(name) for mark in item.iter_markers(self.mark) for name in mark.args]
            if wrong := [name for name in ids if not re.fullmatch(self.pattern, name)]:
                raise pytest.UsageError(f"{item.nodeid}: {wrong} is no {self.noun} id")
            if ids:
                self.ids[item.nodeid] = tuple(dict.fromkeys(ids))
                item.user_properties.append((f"{self.noun}s", self.ids[item.nodeid]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember how it went; a failing set-up or teardown is a failure."""
        for name, ids in report.user_properties:
            if name == f"{self.noun}s":  # where other processes run the tests, only they have collected them
                self.ids[report.nodeid] = tuple(map(str, ids))
        if report.nodeid in self.ids and (report.when == "call" or report.outcome != "passed"):
            self.outcomes[report.nodeid].add(report.outcome)

    def result(self, nodes: Iterable[str]) -> str:
        """The worst outcome of these tests, in one word."""
        seen = set().union(*(self.outcomes.get(node, {"not run"}) for node in nodes))
        return next((word for word in ("failed", "not run", "passed", "skipped") if word in seen), "no test")

    def is_whole(self, config: pytest.Config) -> bool:
        """Whether the run was asked for everything that the table is about."""
        chosen = any(config.getoption(name, None) for name in ("keyword", "markexpr", "deselect", "lf", "ignore"))
        return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not chosen

    def finish(self, *, ran: bool) -> None:
        """Judge a whole run or, if nothing ``ran``, a whole collection."""
        raise NotImplementedError

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Judge whole runs only: a selection proves nothing about what it left out."""
        stopped = session.shouldfail or session.shouldstop or session.exitstatus in (2, 3, 4)
        part = hasattr(session.config, "workerinput")  # of a run that another process keeps the table of
        if stopped or part or not self.is_whole(session.config):
            return
        self.finish(ran=not session.config.getoption("collectonly"))
        if self.complaints and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what is wrong, above the closing line."""
        if self.complaints:
            terminalreporter.section(f"{self.noun}s", red=True)
            for line in self.complaints:
                terminalreporter.line(line)


def names_of(nodes: Iterable[str]) -> str:
    """Cell that lists tests; every parametrised test counts under its one name."""
    return "<br>".join(f"`{test}`" for test in sorted({node.partition("[")[0] for node in nodes})) or "none"


class RequirementTable(ProofTable):
    """Which tests prove which requirement."""

    mark, pattern, noun = "req", r"[A-Z]+\d+", "requirement"

    def __init__(self, root: Path = ROOT, *, write: bool = False) -> None:
        """``root`` holds ``tests/required.txt`` and ``docs/requirements.md``."""
        super().__init__()
        self.required = required(root / "tests" / "required.txt")
        self.file = root / "docs" / "requirements.md"
        self.write = write

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """A test that only `make faults` runs proves nothing here."""
        super().pytest_collection_modifyitems([item for item in items if not item.get_closest_marker("long")])

    def rows(self) -> dict[str, tuple[str, str, str]]:
        """Id to title, tests and result."""
        proofs: dict[str, list[str]] = {name: [] for name in self.required}
        for node, ids in self.ids.items():
            for name in ids:
                proofs.setdefault(name, []).append(node)
        return {
            name: (self.required.get(name, ""), names_of(proofs[name]), self.result(proofs[name]))
            for name in sorted(proofs, key=_order)
        }

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


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option."""
    parser.addoption("--write-requirements", action="store_true", help="write docs/requirements.md after a full run")


def pytest_configure(config: pytest.Config) -> None:
    """Keep one table for the run."""
    config.pluginmanager.register(RequirementTable(write=config.getoption("--write-requirements")), "requirement-table")
