"""What people are told when the rolling audit found or did something: one message a run, with the list of all of it.

Names are foreign: each goes through ``readable``, and none reaches the subject.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orbitory.inventory import Row
from orbitory.listing import list_files, readable
from orbitory.notices import plain
from orbitory.outbox import tell_all
from orbitory.scan.outcome import Cycle, Outcome
from orbitory.site import Site

_KIND = "audit_findings"
_ABOUT = "archive_audit"
_SHOWN = 20
_COLUMNS = ("kind", "name", "detail", "first_seen", "scans", "outcome", "moved_to")


def tell(site: Site, outcome: Outcome, pace: Cycle | None, *, verdict: str, link: str) -> None:
    """Put the message about the run of ``site.actor`` into the outbox; a run has one."""
    text = "\n".join(_lines(outcome, pace, verdict, link))
    listing = list_files("orbitory-audit", (_row(each) for each in outcome.findings), columns=_COLUMNS)
    counts = f"{outcome.counted():,} open, {outcome.counted('repaired'):,} repaired, "
    counts += f"{outcome.counted('quarantined'):,} set aside"
    tell_all(site, _KIND, _ABOUT, plain(f"[Orbitory] archive audit: {counts}", text, listing))


def _lines(outcome: Outcome, pace: Cycle | None, verdict: str, link: str) -> Iterator[str]:
    yield from ("The archive audit needs somebody to look", "", readable(verdict, 2000))
    if pace is not None:
        yield from ("", f"{str(pace)[0].upper()}{str(pace)[1:]}.")
    for title, count, rows in _parts(outcome):
        if count:
            yield from ("", f"{title} ({count:,}):")
            yield from (
                f"  {row['kind']:<8} {readable(row['name'])}: {readable(row['detail'])}" for row in rows[:_SHOWN]
            )
            if count > _SHOWN:
                yield f"  and {count - _SHOWN:,} more; see the attached list"
    yield from ("", "What each means and what to do: docs/operations.md, archive audit.", f"Run and log: {link}", "")


def _parts(outcome: Outcome) -> Iterator[tuple[str, int, Sequence[Row]]]:
    yield "Open", outcome.counted(), outcome.open
    for name, title in (("repaired", "Restored from the second copy"), ("quarantined", "Set aside in quarantine/dark")):
        yield title, outcome.counted(name), [row for row in outcome.findings if row["outcome"] == name]


def _row(row: Row) -> Row:
    moved = bytes(row["moved_to"]).decode("utf-8", "backslashreplace") if row["moved_to"] else ""
    return row | {"first_seen": f"{row['first_seen']:%Y-%m-%d %H:%M:%S}", "moved_to": moved}
