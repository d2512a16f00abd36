"""What a person is told when a run failed: one message a run, however many files were bad.

File names and error texts are foreign. None reaches the subject; everywhere else each character that could break a
line, hide or turn text is shown as an escape, and HTML is escaped. The attached list names every bad file.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orbitory.inventory import Inventory, Row
from orbitory.listing import Listing, list_files, readable
from orbitory.model import OPEN_STATES, REASONS

__all__ = ["MOST_ERRORS", "Notice", "Story", "compose", "duration", "plain", "readable", "story_of", "untold"]

#: So many errors are told one by one; the attached list and the ledger hold all.
MOST_ERRORS = 20
#: A column of the text form is no wider; a longer cell shifts its line.
_WIDEST = 24
_FATES = ("archived", "duplicate", "conflict", "rejected", "waiting", "lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A finished message. ``subject`` is one line of ASCII."""

    subject: str
    text: str
    html: str
    #: Number of the run in the inventory, if it has one.
    run: int | None = None
    attachment: Listing | None = None


def plain(subject: str, text: str, attachment: Listing | None = None) -> Notice:
    """A message whose HTML form shows ``text`` as it is."""
    page = f"<!DOCTYPE html>\n<html><body><pre>{html.escape(text)}</pre></body></html>\n"
    return Notice(subject=subject, text=text, html=page, attachment=attachment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What there is to tell about one failed run."""

    source: str
    #: Why the run counts as failed.
    verdict: str
    #: Where to read more.
    link: str
    #: Number of the run in the inventory; None when it has none, or the inventory could not be asked.
    run: int | None = None
    #: Since its start.
    seconds: float = 0.0
    #: Files and bytes by sensor and state.
    counts: Sequence[Row] = ()
    #: Files by reason.
    reasons: Mapping[str, int]
    #: The first ``MOST_ERRORS`` files that failed: name, reason, stage, detail.
    errors: Sequence[Row]
    #: Every file that failed.
    listing: Listing | None = None


def story_of(inventory: Inventory, *, source: str, actor: str, verdict: str, link: str) -> Story:
    """Read from the ledger what happened in the run that ``actor`` started."""
    run = inventory.one("notice_run", source=source, actor=actor)
    if run is None:
        return untold(source=source, verdict=verdict, link=link)
    number = run["id"]
    return Story(
        source=source,
        verdict=verdict,
        link=link,
        run=number,
        seconds=run["seconds"],
        counts=inventory.all("notice_counts", run=number),
        reasons={row["reason"]: row["files"] for row in inventory.all("notice_reasons", run=number)},
        errors=inventory.all("notice_errors", run=number, most=MOST_ERRORS),
        listing=list_files(f"orbitory-{source}-run-{number}", inventory.stream("notice_files", run=number)),
    )


def untold(*, source: str, verdict: str, link: str) -> Story:
    """What remains to be said when there is no run in the ledger, or no ledger to ask."""
    return Story(source=source, verdict=verdict, link=link, reasons={}, errors=())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """A part of the message; first comes its head."""

    title: str
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """The message as readable words, for both forms."""

    title: str
    verdict: str
    tables: Sequence[_Table]
    last: str
    link: str


def compose(story: Story) -> Notice:
    """Write the message."""
    totals: Counter[str] = Counter()
    for row in story.counts:
        totals[_fate(row)] += row["files"]
    said = [f"{totals[fate]:,} {fate}" for fate in (*_FATES, "unfinished") if totals[fate]]
    subject = f"[Orbitory] ingest of {story.source} failed: " + (", ".join(said) or "no files were counted")
    first = f"The first {MOST_ERRORS} of the files" if len(story.errors) == MOST_ERRORS else "The files"
    reasons = [(f"{files:,}", code, REASONS.get(code, "")) for code, files in story.reasons.items()]
    errors = [(readable(row["name"]), row["reason"], row["stage"], readable(row["detail"])) for row in story.errors]
    tables = [
        _Table(title="Files", rows=list(_by_sensor(story.counts, totals))),
        _Table(title="Figures", rows=list(_figures(story))),
        _Table(title="Why", rows=[("files", "reason", "meaning"), *reasons]),
        _Table(title=f"{first} that failed", rows=[("file", "reason", "step", "detail"), *errors]),
    ]
    draft = _Draft(
        title=f"Ingest of {story.source} failed" + (f" (run {story.run})" if story.run is not None else ""),
        verdict=readable(story.verdict, 2000),
        tables=[table for table in tables if len(table.rows) > 1],
        last=_attached(story.listing),
        link=story.link,
    )
    return Notice(
        subject=readable(subject, 180).encode("ascii", "replace").decode("ascii"),
        text=_text(draft),
        html=_html(draft),
        run=story.run,
        attachment=story.listing,
    )


def _fate(row: Row) -> str:
    return "unfinished" if row["state"] in OPEN_STATES else str(row["state"])


def _by_sensor(counts: Sequence[Row], totals: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """One line a sensor and one for all, with a column for each fate that any file met."""
    fates = [fate for fate in (*_FATES, "unfinished") if totals.get(fate)]
    sensors: dict[str, Counter[str]] = {}
    for row in counts:
        sensors.setdefault(row["sensor"] or "none", Counter())[_fate(row)] += row["files"]
    yield ("sensor", *fates)
    for sensor, files in sensors.items():
        yield (readable(sensor, 40), *(f"{files[fate]:,}" for fate in fates))
    if sensors:
        yield ("all", *(f"{totals[fate]:,}" for fate in fates))


def _figures(story: Story) -> Iterator[tuple[str, str]]:
    """How much it was and how long it took."""
    yield "figure", "value"
    if not story.counts:
        return
    files = sum(row["files"] for row in story.counts)
    size = sum(row["bytes"] for row in story.counts)
    archived = sum(row["bytes"] for row in story.counts if row["state"] == "archived")
    seconds = max(story.seconds, 0.001)
    yield "elapsed", duration(story.seconds)
    yield "all files", f"{files:,} ({files / seconds:,.1f} a second)"
    yield "all bytes", f"{size:,} ({size / seconds / 1e6:,.1f} MB a second)"
    yield "bytes archived", f"{archived:,}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> duration(3725.26), duration(0.31)
    ('1 h 2 min 5.3 s', '0.3 s')
    """
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = [f"{count} {unit}" for count, unit in ((hours, "h"), (minutes, "min")) if count]
    return " ".join([*parts, f"{rest:.1f} s"])


def _attached(listing: Listing | None) -> str:
    if listing is None:
        return ""
    files = "the one file that needs" if listing.files == 1 else f"all {listing.files:,} files that need"
    if listing.more:
        files = f"the first {listing.files:,} of {listing.files + listing.more:,} files that need"
    return f"Attached: {listing.name}, {files} a look, sidecars included."


def _text(draft: _Draft) -> str:
    lines = [draft.title, "", draft.verdict]
    for table in draft.tables:
        lines += ["", f"{table.title}:"]
        widths = [max(len(row[column]) for row in table.rows) for column in range(len(table.rows[0]) - 1)]
        for row in table.rows:
            cells = [cell.ljust(min(width, _WIDEST)) for cell, width in zip(row[:-1], widths, strict=True)]
            lines.append("  " + "  ".join([*cells, row[-1]]))
    return "\n".join([*lines, "", *filter(None, (draft.last,)), f"Run and log: {draft.link}", ""])


def _html(draft: _Draft) -> str:
    parts = ["<!DOCTYPE html>", "<html><body>", f"<h2>{html.escape(draft.title)}</h2>"]
    parts.append(f"<p>{html.escape(draft.verdict)}</p>")
    for table in draft.tables:
        parts += [f"<h3>{html.escape(table.title)}</h3>", '<table cellpadding="4">']
        for number, row in enumerate(table.rows):
            tag = "td" if number else 'th align="left"'
            cells = "".join(f"<{tag}>{html.escape(cell)}</{tag[:2]}>" for cell in row)
            parts.append(f"<tr>{cells}</tr>")
        parts.append("</table>")
    parts += [f"<p>{html.escape(draft.last)}</p>"] if draft.last else []
    parts += [f'<p><a href="{html.escape(draft.link)}">Run and log</a></p>', "</body></html>", ""]
    return "\n".join(parts)
