"""What a run tells: a table, ``results.json``, ``details.json``, the plot and the page for people."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.measure import Measured, ratio
from benchmarks.site import PEERS
from benchmarks.stage import Stage
from benchmarks.stages import modules
from orbitory.settings import CHECKOUT

Entry = dict[str, Any]

_HEAD = """<!-- Made by `make bench` and `make bench-full`; the words stand in benchmarks/stages/. -->
# Performance

What each stage does in a given time, held against a yardstick that was measured beside it: ours, theirs, ours, theirs,
three rounds, on the same files in the same minutes. **A ratio is the yardstick's time for each unit divided by
ours**, the median of the rounds: 1 is as fast as the yardstick, 2 twice as fast. A goal of "at most 1.5 times its time"
is the ratio 0.67. Where the yardstick is a limit in seconds, the ratio is that limit divided by our time.

What is read stands in the kernel's memory, unless a line says otherwise; the database is durable (`fsync` on), on the
same disk, and set up as `make up` does it. Processor seconds are those of client, children and database together.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where results go."""

    results: Path
    details: Path
    page: Path
    plot: Path
    #: For what is deleted again.
    home: Path

    @classmethod
    def of(cls, out: Path | None) -> Self:
        """In one folder, or in the checkout."""
        data, docs = (out, out) if out else (CHECKOUT / "benchmarks", CHECKOUT / "docs")
        return cls(
            results=data / "results.json",
            details=data / "details.json",
            page=docs / "performance.md",
            plot=docs / "performance.svg",
            home=((out or CHECKOUT / ".bench") / "run").absolute(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What was found about one stage, or why nothing was."""

    stage: Stage
    size: str
    what: str = ""
    rounds: tuple[tuple[Measured, Measured], ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    #: Seconds, preparation included.
    took: float = 0.0
    problem: str = ""
    #: It is our fault that nothing was found.
    broken: bool = False

    @property
    def ratio(self) -> float | None:
        """The median; None when nothing was measured."""
        return ratio(list(self.rounds), self.stage.basis) if self.rounds else None

    @property
    def gross(self) -> bool:
        """Whether it lies so far below its goal that something must be wrong."""
        return self.ratio is not None and self.ratio < self.stage.gross

    def entry(self) -> Entry:
        """For ``results.json``."""
        stage, found = self.stage, self.ratio
        told: Entry = {
            "stage": stage.name,
            "yardstick": stage.yardstick,
            "ratio": None if found is None else _rounded(found),
            "goal": _rounded(stage.goal),
            "met": found is not None and found >= stage.goal,
            "size": self.size,
            "unit": stage.unit,
            "basis": stage.basis,
            "what": self.what,
            "took_seconds": round(self.took, 1),
        }
        for number, side in enumerate(("ours", "theirs")):
            if self.rounds:
                told[side] = [_figures(each[number]) for each in self.rounds]
        return told | ({"note": self.problem} if self.problem else {}) | dict(self.more)

    def row(self) -> str:
        """For the table on the screen."""
        return row(self.entry())


def row(entry: Entry) -> str:
    """One line of the table."""
    found = "-" if entry["ratio"] is None else f"{entry['ratio']:.3g}"
    verdict = entry.get("note") or ("met" if entry["met"] else "not met")
    return f"{entry['stage']:32} {found:>8} {entry['goal']:8.3g}  {verdict:8} {entry['yardstick']}"


def write(places: Places, lines: Iterable[Line], details: Mapping[str, Any]) -> None:
    """Write all of it. What other runs found about other stages stays; each entry says its size."""
    known = json.loads(places.results.read_text()) if places.results.exists() else []
    found = {entry["stage"]: entry for entry in known} | {line.stage.name: line.entry() for line in lines}
    order = [stage.name for _, stages in modules() for stage in stages]
    entries = [found[name] for name in order if name in found]
    places.results.write_text(json.dumps(entries, indent=1) + "\n")
    places.details.write_text(json.dumps({"measured": time.strftime("%F"), **details}, indent=1) + "\n")
    drawn = _draw(places)
    places.page.write_text(_page(entries, details, places.plot.name if drawn else ""))


def _draw(places: Places) -> bool:
    """The plot, by the benchmark's own environment; whether there is one."""
    python = PEERS / "python"
    if not python.exists():
        print(f"{places.plot.name}: not drawn, matplotlib is not installed in {PEERS.parent}")
        return False
    subprocess.run([python, Path(__file__).with_name("plot.py"), places.results, places.plot], check=True)
    return True


def _page(entries: list[Entry], details: Mapping[str, Any], plot: str) -> str:
    found = {entry["stage"]: entry for entry in entries}
    machine = details["machine"]
    text = [
        _HEAD,
        f"Machine: {machine['processor']}, {machine['cores']} cores"
        f" ({'with' if machine['sha_instructions'] else 'without'} SHA instructions),"
        f" {machine['memory'] / 2**30:.0f} GiB, {machine['file_system']}, kernel {machine['kernel']}.",
        "",
        *([f"![Ratios against goals]({plot})", ""] if plot else []),
    ]
    for module, stages in modules():
        shown = [found[stage.name] for stage in stages if stage.name in found]
        if shown:
            title, _, words = (module.__doc__ or "").partition("\n")
            text += [f"## {title.rstrip('.')}", "", *_paragraphs(words), *_table(shown), ""]
    return "\n".join(text)


def _paragraphs(words: str) -> list[str]:
    """The docstring's Technique, Limit and Tried, each as a paragraph."""
    lines: list[str] = []
    for line in words.strip().splitlines():
        name, colon, rest = line.partition(": ")
        if colon and name in ("Technique", "Limit", "Tried"):
            lines += [*([""] if lines else []), f"**{name}**: {rest}"]
        else:
            lines.append(line)
    return [*lines, ""]


def _table(entries: Sequence[Entry]) -> list[str]:
    heads = ("stage", "yardstick", "ratio", "goal", "", "ours", "processor seconds", "measured")
    lines = [_cells(heads), _cells("---" for _ in heads)]
    for entry in entries:
        found = "-" if entry["ratio"] is None else f"{entry['ratio']:.3g}"
        verdict = entry.get("note") or ("met" if entry["met"] else "not met")
        rounds = entry.get("ours", [])
        rate = f"{_median(rounds, 'rate'):,.4g} {entry['unit']}/s" if rounds and entry["unit"] else "-"
        cpu = f"{_median(rounds, 'cpu_seconds'):.2f}" if rounds else "-"
        told = f"{entry['what']} ({entry['size']})"
        goal = f"{entry['goal']:.3g}"
        lines.append(_cells((entry["stage"], entry["yardstick"], found, goal, verdict, rate, cpu, told)))
    for entry in entries:
        if curve := entry.get("curve"):
            lines += ["", f"{entry['stage']}:", "", _cells(curve[0]), _cells("---" for _ in curve[0])]
            lines += [_cells(f"{value:,}" for value in point.values()) for point in curve]
    return lines


def _median(rounds: Iterable[Mapping[str, float]], name: str) -> float:
    return statistics.median(each[name] for each in rounds)


def _cells(words: Iterable[str]) -> str:
    return f"| {' | '.join(words)} |"


def _figures(measured: Measured) -> dict[str, float]:
    told = {name: _rounded(value) for name, value in asdict(measured).items()}
    return told | {"rate": _rounded(measured.units / max(measured.seconds, 1e-9))}


def _rounded(value: float) -> float:
    """Four digits say more than was measured."""
    if not value or abs(value) >= 10_000:
        return round(value)
    return round(value, 3 - math.floor(math.log10(abs(value))))
