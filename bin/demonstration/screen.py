"""What the demonstration shows: one table of fates, one of reasons, the mails, and what to try next."""

from __future__ import annotations

import mailbox
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.header import decode_header, make_header
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orbitory.model import OPEN_STATES, REASONS

FATES = ("archived", "duplicate", "conflict", "rejected", "waiting")
_OPEN = tuple(state.value for state in OPEN_STATES)
#: Why a file waits in the landing zone.
WAITS = {
    "young": "changed a moment ago: its sender may still be writing",
    "temporary": "stands under a temporary name",
    "no_data": "a checksum whose data file is not here yet",
    "no_checksum": "its checksum has not arrived",
    "open": "a program has it open for writing",
    "set": "others of its set are not here yet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one source."""

    source: str
    run_state: str
    page: str
    #: Tasks that failed, besides the report.
    broken: tuple[str, ...]
    #: Files by state, over all runs.
    counts: Mapping[str, int]
    #: Files by fate as the simulator foretold; empty when the delivery is an old one.
    foretold: Mapping[str, int]

    @property
    def unfinished(self) -> int:
        """Files that are neither at their end nor waiting."""
        return sum(self.counts.get(state, 0) for state in (*_OPEN, "lost"))

    @property
    def as_foretold(self) -> bool:
        """Whether every fate has the number of files it should have."""
        return not self.foretold or all(self.counts.get(fate, 0) == self.foretold.get(fate, 0) for fate in FATES)

    @property
    def well(self) -> bool:
        """Whether the machinery worked; bad data in quarantine is what it is for."""
        return not self.broken and not self.unfinished and self.as_foretold

    def verdict(self) -> str:
        """The run's state in Airflow, and whether that is as it should be."""
        if self.broken:
            return f"[red]{self.run_state}: {', '.join(self.broken)} did not work[/]"
        if self.unfinished:
            return f"[red]{self.run_state}: {self.unfinished} files are unfinished[/]"
        if not self.as_foretold:
            return f"[red]{self.run_state}, but not as foretold: {dict(self.foretold)}[/]"
        if self.run_state == "failed":
            return "[green]failed, as it must[/]: bad data"
        return f"[green]{self.run_state}[/]"


def fates(console: Console, outcomes: Iterable[Outcome]) -> None:
    """Files by source and fate."""
    table = Table(title="What became of the files", title_justify="left")
    table.add_column("source", no_wrap=True)
    for fate in FATES:
        table.add_column(fate, justify="right")
    table.add_column("run in Airflow", min_width=28)
    for outcome in outcomes:
        figures = [f"{outcome.counts.get(fate, 0):,}" for fate in FATES]
        table.add_row(outcome.source, *figures, outcome.verdict())
    console.print(table)


def reasons(console: Console, title: str, rows: Iterable[Mapping[str, object]], meanings: Mapping[str, str]) -> None:
    """Files by source and reason, with what the reason means."""
    table = Table(title=title, title_justify="left")
    for head in ("source", "reason", "files", "meaning"):
        table.add_column(head, justify="right" if head == "files" else "left")
    for row in rows:
        reason = str(row["reason"])
        table.add_row(str(row["source"]), reason, f"{row['files']:,}", meanings.get(reason, ""))
    if table.row_count:
        console.print(table)


def quarantine(console: Console, rows: Iterable[Mapping[str, object]]) -> None:
    """Why files stand in quarantine."""
    reasons(console, "In quarantine, each with its reason beside it", rows, REASONS)


def waiting(console: Console, rows: Iterable[Mapping[str, object]]) -> None:
    """Why files wait."""
    reasons(console, "Waiting in the landing zone for a later run", rows, WAITS)


def products(console: Console, told: Mapping[str, Mapping[str, int]], lineage: Iterable[str]) -> None:
    """Instances of PGEs by state, and from what one of their products was made."""
    table = Table(title="What was made of them", title_justify="left")
    for head in ("PGE", "made", "failed", "under way", "waiting for inputs"):
        table.add_column(head, justify="left" if head == "PGE" else "right", no_wrap=True)
    for pge, counts in sorted(told.items()):
        under_way = sum(counts.get(state, 0) for state in ("ready", "running", "delivered"))
        figures = (counts.get("done", 0), counts.get("failed", 0), under_way, counts.get("waiting", 0))
        table.add_row(pge, *(f"{figure:,}" for figure in figures))
    console.print(table)
    _lines(console, lineage)


def footprints(console: Console, told: Iterable[str]) -> None:
    """What evaluation made of the strips."""
    _lines(console, told)


def _lines(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(escape(line), soft_wrap=True)
    console.print()


def mails(console: Console, folder: Path) -> None:
    """The last messages that the stack's mail server caught."""
    if not folder.is_dir():
        return
    caught = sorted(mailbox.Maildir(folder, create=False), key=lambda mail: str(mail["Date"]))
    for mail in caught[-2:]:
        subject = str(make_header(decode_header(str(mail["Subject"]))))
        console.print(f"[bold]Mail[/] to {escape(str(mail['To']))}: {escape(subject)}")
    if caught:
        console.print(f"[dim]{len(caught)} in all, caught in {escape(str(folder))}[/]\n")
