"""Do the tests notice when the modules that keep files safe do something else? ``make mutants``.

Each mutant is one small change of one module, in a copy of the checkout: a statement is left out, a condition turned
round, a comparison shifted, a number raised, a flag flipped. Its tests must fail. What survives is printed, and fails
the command unless ``docs/mutants.md`` names it with a reason.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = Path("include/orbitory")
DOCUMENT = ROOT / "docs" / "mutants.md"
#: A mutant that runs so many times longer than the sound module, and this many seconds on top, has hung.
SLOWER, SECONDS = 5, 60

_INTEGRATION = "tests/integration/test_"
_STEPS = f"{_INTEGRATION}steps.py"
_STRIPS = f"{_INTEGRATION}strip_units.py::test_a"
_INGEST = f"{_INTEGRATION}ingest.py::test"
_REGISTER = f"{_INTEGRATION}register.py::test"
#: The quick tests of each module, those that are likely to fail first.
TESTS = {
    "ingest/archive.py": (
        _STEPS,
        f"{_STRIPS}_unit_that_changes_while_it_is_archived_leaves_nothing_in_storage_and_is_taken_again",
        f"{_STRIPS}_tile_shares_metadata_that_are_suspect_and_its_delivery_makes_them_whole",
        f"{_REGISTER}_every_good_file_gets_its_rows_and_the_tree_is_untouched",
        f"{_REGISTER}_a_registered_file_that_changes_before_its_rows_appear_is_rejected_where_it_stands",
        f"{_INGEST}_a_source_is_added_by_a_file_alone_and_its_policy_rules_repeated_names",
        "tests/faults/test_io_errors.py::test_what_a_failed_sync_left_is_never_believed_even_after_a_kill",
    ),
    "ingest/ledger.py": (
        _STEPS,
        f"{_INGEST}_rejected_files_stand_in_quarantine_with_their_sidecars_and_a_note",
        f"{_REGISTER}_what_is_bad_or_double_stays_where_it_is_and_is_told",
    ),
    "ingest/retire.py": (
        _STEPS,
        f"{_INGEST}_rejected_files_stand_in_quarantine_with_their_sidecars_and_a_note",
        f"{_INGEST}_a_source_is_added_by_a_file_alone_and_its_policy_rules_repeated_names",
        f"{_STRIPS}_quarantine_that_holds_other_bytes_under_a_name_is_never_taken_for_an_earlier_try",
        f"{_REGISTER}_a_registered_file_is_never_repaired_and_its_duplicate_is_kept",
        f"{_INTEGRATION}retention_back.py::test_a_held_granule_is_not_replaced_by_its_newer_version_until_it_is_released",
        f"{_INTEGRATION}hostile_deliveries.py::test_what_a_form_says_is_text_wherever_it_is_shown",
    ),
    "storage.py": (
        "tests/unit/test_zones.py",
        _STEPS,
        f"{_STRIPS}_unit_that_changes_while_it_is_archived_leaves_nothing_in_storage_and_is_taken_again",
    ),
    "removal/guard.py": (
        f"{PACKAGE}/removal/guard.py",
        f"{_INTEGRATION}removal_safety.py::test_a_loser_stays_when_its_keeper_is_faulty_or_has_lost_any_of_its_files",
    ),
    "scan/guard.py": (f"{PACKAGE}/scan/guard.py",),
}
#: Not among them: what takes minutes.
_LEFT_OUT = "not ten_thousand"

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One module with one change."""

    module: str
    line: int
    #: The line as it stands.
    text: str
    before: str
    after: str
    source: str

    @property
    def label(self) -> str:
        """What tells it from the others, wherever its line has moved."""
        if self.after == "pass":
            return f"{self.module}: left out: `{self.text}`"
        return f"{self.module}: `{self.text}`: `{self.before}` → `{self.after}`"


def mutants(module: str, source: str) -> Iterator[Mutant]:
    r"""Every change of ``source`` that we try.

    >>> [f"{each.before} → {each.after}" for each in mutants("a.py", "if a and not b < 2:\n    f(x)\n")]
    ['a and (not b < 2) → a or not b < 2', 'f(x) → pass', 'not b < 2 → b < 2', 'b < 2 → b <= 2', '2 → 3']
    >>> [f"{each.before} → {each.after}" for each in mutants("a.py", "x = 1 if f(x) else y == True\n")]
    ['f(x) → not f(x)', '1 → 2', 'y == True → y != True', 'True → False']
    """
    tree, lines = ast.parse(source), source.splitlines()
    tests = {id(node.test) for node in ast.walk(tree) if isinstance(node, ast.If | ast.While | ast.IfExp)}
    decorators = {
        id(part) for node in ast.walk(tree) for top in getattr(node, "decorator_list", ()) for part in ast.walk(top)
    }
    for number, node in enumerate(ast.walk(tree)):
        change = None if id(node) in decorators else _change(node, is_test=id(node) in tests)
        if change is None:
            continue
        assert isinstance(node, ast.expr | ast.stmt)
        other = copy.deepcopy(tree)
        target = next(each for place, each in enumerate(ast.walk(other)) if place == number)
        before, new = ast.unparse(target), change(target)
        yield Mutant(
            module=module,
            line=node.lineno,
            text=lines[node.lineno - 1].strip(),
            before=" ".join(before.split()),
            after=ast.unparse(new),
            source=ast.unparse(ast.fix_missing_locations(_Replace(target, new).visit(other))),
        )


class _Replace(ast.NodeTransformer):
    def __init__(self, target: ast.AST, new: ast.AST) -> None:
        self.target, self.new = target, new

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.target else self.generic_visit(node)


def _change(node: ast.AST, *, is_test: bool) -> Callable[[Any], ast.AST] | None:
    """How to change this node: takes it, in a tree of its own, and answers what comes in its place."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="log")))):
            return None  # what is told to the log is no behaviour
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.AugAssign() | ast.Continue() | ast.Break():
            return lambda _: ast.Pass()
        case ast.BoolOp():
            return lambda each: ast.BoolOp(ast.Or() if isinstance(each.op, ast.And) else ast.And(), each.values)
        case ast.UnaryOp(op=ast.Not()):
            return lambda each: each.operand
        case ast.Compare():
            return _shift
        case ast.Constant(value=bool()):
            return lambda each: ast.Constant(not each.value)
        case ast.Constant(value=int()):
            return lambda each: ast.Constant(each.value + 1)
        case ast.expr() if is_test:
            return lambda each: ast.UnaryOp(ast.Not(), each)
    return None


def _shift(node: ast.Compare) -> ast.AST:
    return ast.Compare(node.left, [_COMPARED[type(node.ops[0])](), *node.ops[1:]], node.comparators)


class Bench:
    """A copy of the checkout in which modules may be broken."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.versions = folder, 0
        left_out = shutil.ignore_patterns(".git", ".venv", ".bench", ".orbitory", ".fuzz", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, folder, ignore=left_out, symlinks=True)

    def passes(self, module: str, source: str, patience: float) -> bool:
        """Whether the tests of ``module`` pass with this source; one that hangs does not."""
        file = self.folder / PACKAGE / module
        sound = file.read_text()
        self._put(file, source)
        words = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", "-k", _LEFT_OUT]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        run = subprocess.Popen(
            [*words, *TESTS[module]],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return run.wait(timeout=patience) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            run.send_signal(signal.SIGTERM)  # pytest stops its servers
            run.wait()
            self._put(file, sound)

    def _put(self, file: Path, source: str) -> None:
        """Bytecode is kept by time in seconds and size: give every version a time of its own."""
        file.write_text(source)
        self.versions += 1
        os.utime(file, (self.versions, self.versions))


def chosen(modules: list[str], sample: int) -> list[Mutant]:
    """Mutants of the modules, the same ones in every run; ``sample`` of each module."""
    found = []
    for module in modules:
        every = list(mutants(module, (ROOT / PACKAGE / module).read_text()))
        print(f"{module}: {len(every)} mutants", flush=True)
        found += random.Random(module).sample(every, min(sample, len(every)))
    return found


def main() -> int:
    """Try the mutants and say which of them no test notices."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--module", choices=TESTS, action="append", help="only these modules")
    parser.add_argument("--sample", type=int, default=25, help="so many mutants of each module")
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    modules = asked.module or list(TESTS)
    todo = chosen(modules, asked.sample)
    explained = " ".join(DOCUMENT.read_text().split())  # labels may be broken into lines there
    with tempfile.TemporaryDirectory(prefix="mutants-") as home:
        free = SimpleQueue[Bench]()
        for number in range(asked.workers):
            free.put(Bench(Path(home, str(number))))
        bench = free.get()
        patience = {}
        for module in modules:
            started = time.monotonic()
            if not bench.passes(module, (ROOT / PACKAGE / module).read_text(), 3_600):
                sys.exit(f"the tests of {module} fail as it is: {' '.join(TESTS[module])}")
            patience[module] = SLOWER * (time.monotonic() - started) + SECONDS
        free.put(bench)

        def survives(mutant: Mutant) -> bool:
            bench = free.get()
            try:
                return bench.passes(mutant.module, mutant.source, patience[mutant.module])
            finally:
                free.put(bench)

        survivors = []
        with ThreadPoolExecutor(asked.workers) as pool:
            try:
                for mutant, survived in zip(todo, pool.map(survives, todo), strict=True):
                    print("survived" if survived else "killed", f"{mutant.label} (line {mutant.line})", flush=True)
                    survivors += [mutant] if survived else []
            finally:
                pool.shutdown(cancel_futures=True)
    unexplained = [each for each in survivors if each.label not in explained]
    print(f"{len(todo)} mutants, {len(todo) - len(survivors)} killed, {len(survivors)} survived, of which")
    print(f"{len(unexplained)} are not explained in {DOCUMENT.relative_to(ROOT)}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
