"""Which tests provoke which fault: ``@pytest.mark.fault("F15", how="storage on a full tmpfs")``.

``make faults`` runs them all, also those marked ``long``, and rewrites the table in ``docs/faults.md``; a fault of
``tests/faults/matrix.txt`` without a test fails it, and so does a skip that ``tests/faults/skips.txt`` does not name.
Every full run and every full collection compares faults, ways and tests with the table; figures are not compared.

A test tells what it tried: ``record_property("points", 38)``, ``record_property("violations", 0)``, and
``record_property("figure", "0 of 1,100 acknowledged commits were lost")``.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from requirements_table import ROOT, ProofTable, names_of, required

_BEGIN, _END = "<!-- written by make faults -->\n", "<!-- end of what make faults writes -->\n"
_HEAD = "| fault | how provoked | tests | points tried | outcome |\n|---|---|---|---|---|\n"
_ELSEWHERE = "not here: "


class FaultTable(ProofTable):
    """Collects fault → ways, tests, figures and outcome of one run."""

    mark, pattern, noun = "fault", r"F\d\d", "fault"

    def __init__(self, root: Path = ROOT, *, long: bool = False, write: bool = False) -> None:
        """``long``: run the tests that take long, too."""
        super().__init__()
        self.matrix = required(root / "tests" / "faults" / "matrix.txt")
        self.allowed = set(required(root / "tests" / "faults" / "skips.txt"))
        self.file = root / "docs" / "faults.md"
        self.long, self.write = long, write
        self.ways: dict[str, dict[str, list[str]]] = {}
        self.figures: dict[str, dict[str, Any]] = defaultdict(dict)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Learn which test provokes what, then leave out what takes long."""
        super().pytest_collection_modifyitems(items)
        for item in items:
            for mark in item.iter_markers(self.mark):
                if not mark.kwargs.get("how"):
                    raise pytest.UsageError(f'{item.nodeid}: say how the fault is provoked, how="…"')
                for name in mark.args:
                    self.ways.setdefault(item.nodeid, {}).setdefault(name, []).append(mark.kwargs["how"])
        left_out = [] if self.long else [item for item in items if item.get_closest_marker("long")]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item not in left_out]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember how it went, and what it counted."""
        super().pytest_runtest_logreport(report)
        if report.when == "teardown" and report.nodeid in self.ids:
            self.figures[report.nodeid] = dict(report.user_properties)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Learn from another process what it collected, also what it left out."""
        self.ways.update(json.loads(getattr(node, "workeroutput", {}).get("faults", "{}")))

    def is_whole(self, config: pytest.Config) -> bool:
        """A run of all that provoke faults is whole, too."""
        only = config.getoption("markexpr", None) == self.mark and not config.getoption("keyword", None)
        everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
        return super().is_whole(config) or (everything and only and self.long)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand over what was collected, or judge."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["faults"] = json.dumps(self.ways)
        super().pytest_sessionfinish(session)

    def _tests(self, fault: str) -> list[str]:
        return sorted(node for node, ways in self.ways.items() if fault in ways)

    def listed(self) -> dict[str, tuple[str, str]]:
        """Fault to the ways in which it is provoked, and the tests."""
        found = {}
        for fault in sorted({*self.matrix, *(fault for ways in self.ways.values() for fault in ways)}):
            tests = self._tests(fault)
            ways = dict.fromkeys(way for test in tests for way in self.ways[test][fault])
            title = self.matrix.get(fault, "")
            reason = title.partition(_ELSEWHERE)[2]
            found[fault] = "<br>".join(ways) or (_ELSEWHERE + reason if reason else ""), names_of(tests)
        return found

    def _row(self, fault: str, how: str, tests: str) -> str:
        title = self.matrix.get(fault, "").partition(f"; {_ELSEWHERE}")[0]
        nodes = self._tests(fault)
        points = sum(int(self.figures[node].get("points", 1)) for node in nodes if node in self.outcomes)
        return f"| {fault} {title} | {how} | {tests} | {points:,} | {self.result(nodes)} |\n"

    def text(self) -> str:
        """The table and the figures below it."""
        rows = [self._row(fault, *cells) for fault, cells in self.listed().items()]
        told = {f"* {of['figure']}\n": None for _, of in sorted(self.figures.items()) if of.get("figure")}
        counted = [of for node, of in self.figures.items() if node in self.ways]
        points = sum(int(of.get("points", 1)) for of in counted)
        wrong = sum(int(of.get("violations", 0)) for of in counted)
        tests = len({node.partition("[")[0] for node in self.ways})
        total = f"{len(rows)} faults, {tests} tests, {points:,} points tried, {wrong:,} violations.\n"
        return f"{_HEAD}{''.join(rows)}\n## Figures\n\n{total}{chr(10) if told else ''}{''.join(told)}"

    def finish(self, *, ran: bool) -> None:
        """Every fault has a passing test, no test was skipped that should not be, and the document says so."""
        if ran and self.long:
            for fault, title in self.matrix.items():
                result = self.result(self._tests(fault))
                if result not in ("passed", "skipped") and _ELSEWHERE not in title:
                    self.complaints.append(f"{fault} ({title}) is not provoked: {result}")
            skipped = {node.partition("[")[0] for node, seen in self.outcomes.items() if "skipped" in seen}
            self.complaints += [
                f"{node} was skipped, tests/faults/skips.txt does not name it"
                for node in sorted(skipped - self.allowed)
            ]
        head, _, rest = self.file.read_text().partition(_BEGIN)
        written, _, foot = rest.partition(_END)
        if self.write:
            self.file.write_text(f"{head}{_BEGIN}{self.text()}{_END}{foot}")
            return
        current = {m[1]: (m[2], m[3]) for m in re.finditer(r"^\| (F\d\d) .*? \| (.*?) \| (.*?) \| ", written, re.M)}
        if current != self.listed():
            self.complaints.append(f"{self.file.name} does not list the tests that there are: run make faults")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Run all, and write what became of it."""
    parser.addoption("--faults", action="store_true", help="run the tests of faults that take long, too")
    parser.addoption("--write-faults", action="store_true", help="write docs/faults.md after a whole run")


def pytest_configure(config: pytest.Config) -> None:
    """Keep one table for the run."""
    table = FaultTable(long=config.getoption("--faults"), write=config.getoption("--write-faults"))
    config.pluginmanager.register(table, "fault-table")
