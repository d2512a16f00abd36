"""What a person is told when a run failed: one message a run, however many files were bad.

File names and error texts are foreign. None reaches the subject; everywhere else each character that could break a
line, hide or turn text is shown as an escape, and HTML is escaped.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orbitory.inventory import Inventory, Row
from orbitory.model import OPEN_STATES, REASONS

#: So many errors are told one by one; the ledger holds all.
MOST_ERRORS = 20
_MOST_CHARACTERS = 300
#: Control, format (bidi, zero width), surrogate, private, unassigned; line and paragraph separators.
_UNREADABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A finished message. ``subject`` is one line of ASCII."""

    subject: str
    text: str
    html: str


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
    #: Files by state.
    counts: Mapping[str, int]
    #: Files by reason.
    reasons: Mapping[str, int]
    #: The first ``MOST_ERRORS`` files that failed: name, reason, stage, detail.
    errors: Sequence[Row]


def story_of(inventory: Inventory, *, source: str, actor: str, verdict: str, link: str) -> Story:
    """Read from the ledger what happened in the run that ``actor`` started."""
    run = inventory.one("notice_run", source=source, actor=actor)
    if run is None:
        return untold(source=source, verdict=verdict, link=link)
    return Story(
        source=source,
        verdict=verdict,
        link=link,
        run=run["id"],
        counts={row["state"]: row["files"] for row in inventory.all("notice_counts", run=run["id"])},
        reasons={row["reason"]: row["files"] for row in inventory.all("notice_reasons", run=run["id"])},
        errors=inventory.all("notice_errors", run=run["id"], most=MOST_ERRORS),
    )


def untold(*, source: str, verdict: str, link: str) -> Story:
    """What remains to be said when there is no run in the ledger, or no ledger to ask."""
    return Story(source=source, verdict=verdict, link=link, counts={}, reasons={}, errors=())


def readable(text: str, most: int = _MOST_CHARACTERS) -> str:
    r"""One line that shows what it holds.

    >>> readable("a\r\nBcc: x@y\u202e")
    'a\\r\\nBcc: x@y\\u202e'
    """
    shown = "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _UNREADABLE
        else character
        for character in text[: most + 1]
    )
    return shown if len(text) <= most else shown[:most] + " …"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """The message as readable words, for both forms."""

    title: str
    verdict: str
    figures: Sequence[tuple[str, ...]]
    reasons: Sequence[tuple[str, ...]]
    errors_title: str
    errors: Sequence[tuple[str, ...]]
    link: str


def compose(story: Story) -> Notice:
    """Write the message."""
    figures = _figures(story.counts)
    said = [f"{count:,} {word}" for word, count in figures if count]
    subject = f"[Orbitory] ingest of {story.source} failed: " + (", ".join(said) or "no files were counted")
    first = f"The first {MOST_ERRORS} of the files" if len(story.errors) == MOST_ERRORS else "The files"
    draft = _Draft(
        title=f"Ingest of {story.source} failed" + (f" (run {story.run})" if story.run is not None else ""),
        verdict=readable(story.verdict, 2000),
        figures=[(f"{count:,}", word) for word, count in figures],
        reasons=[(f"{files:,}", code, REASONS.get(code, "")) for code, files in story.reasons.items()],
        errors_title=f"{first} that failed:",
        errors=[(readable(row["name"]), row["reason"], row["stage"], readable(row["detail"])) for row in story.errors],
        link=story.link,
    )
    return Notice(
        subject=readable(subject, 180).encode("ascii", "replace").decode("ascii"), text=_text(draft), html=_html(draft)
    )


def _figures(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    words = ("archived", "duplicate", "conflict", "rejected", "waiting", "lost")
    figures = [(word, counts.get(word, 0)) for word in words]
    figures.append(("unfinished", sum(counts.get(state.value, 0) for state in OPEN_STATES)))
    return figures if counts else []


def _text(draft: _Draft) -> str:
    lines = [draft.title, "", draft.verdict, ""]
    lines += [f"{count:>12}  {word}" for count, word in draft.figures]
    if draft.reasons:
        lines += ["", "Why:", *(f"{files:>12}  {code}: {meaning}" for files, code, meaning in draft.reasons)]
    if draft.errors:
        lines += ["", draft.errors_title]
        lines += [f"  {name}\n      {code} ({stage}): {detail}" for name, code, stage, detail in draft.errors]
    return "\n".join([*lines, "", f"Run and log: {draft.link}", ""])


def _html(draft: _Draft) -> str:
    parts = ["<!DOCTYPE html>", "<html><body>", f"<h2>{html.escape(draft.title)}</h2>"]
    parts.append(f"<p>{html.escape(draft.verdict)}</p>")
    parts += _rows(("files", "became"), draft.figures)
    parts += _rows(("files", "reason", "meaning"), draft.reasons)
    if draft.errors:
        parts.append(f"<p>{html.escape(draft.errors_title)}</p>")
        parts += _rows(("file", "reason", "step", "detail"), draft.errors)
    parts += [f'<p><a href="{html.escape(draft.link)}">Run and log</a></p>', "</body></html>", ""]
    return "\n".join(parts)


def _rows(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    if not rows:
        return
    yield '<table cellpadding="4">'
    yield "<tr>" + "".join(f'<th align="left">{html.escape(cell)}</th>' for cell in head) + "</tr>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
    yield "</table>"
