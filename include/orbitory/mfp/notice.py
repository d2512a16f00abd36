"""What people are told when an evaluation found errors: one message a run, with the list of all findings.

Keys and reasons are foreign: each goes through ``readable``, and none reaches the subject.
"""

from __future__ import annotations

from collections.abc import Iterator

from orbitory.inventory import Row
from orbitory.listing import list_files, readable
from orbitory.mfp.evaluate import Outcome
from orbitory.mfp.findings import CODES
from orbitory.notices import plain
from orbitory.outbox import tell_all
from orbitory.site import Site

_KIND = "mfp_errors"
_ABOUT = "mfp_evaluation"
#: So many findings are told one by one; the attached list and table ``mfp_finding`` hold all.
_SHOWN = 20
_MOVES = ("put_aside", "brought_back", "would_put_aside", "would_bring_back")
_COLUMNS = ("code", "level", "sensor", "key", "reason", "hint")


def tell(site: Site, outcome: Outcome, *, link: str, page: str = "") -> None:
    """Put the message about the failed run of ``site.actor`` into the outbox; a run has one. ``page``: its report."""
    inventory = site.inventory
    first = inventory.all("mfp_first_findings", run=outcome.run, limit=_SHOWN)
    text = "\n".join(_lines(outcome, first, link, page))
    stem = f"orbitory-mfp-{outcome.run}"
    listing = list_files(stem, inventory.stream("mfp_findings", run=outcome.run), columns=_COLUMNS)
    errors, rows = outcome.counts["errors"], outcome.counts["rows"]
    subject = f"[Orbitory] evaluation of footprints failed: {errors:,} errors in {rows:,} footprints"
    tell_all(site, _KIND, _ABOUT, plain(subject, text, listing))


def withdraw(site: Site) -> None:
    """The run was repeated and is well: a message that was not sent yet never will be."""
    site.inventory.run("drop_message", kind=_KIND, source=_ABOUT, actor=site.actor)


def _lines(outcome: Outcome, first: list[Row], link: str, page: str) -> Iterator[str]:
    counts = outcome.counts
    yield from ("Evaluation of the master footprints failed", "", readable(outcome.message, 2000), "", "Sensors:")
    for sensor, part in sorted(counts["sensors"].items()):
        moved = ", ".join(f"{part[name]:,} {name.replace('_', ' ')}" for name in _MOVES if name in part)
        elapsed = sum(part["seconds"].values())
        yield f"  {readable(sensor, 40):<12} {part['rows']:>12,} footprints, {moved}, elapsed {elapsed:,.1f} s"
    if counts["codes"]:
        yield from ("", "Why:")
        yield from (f"  {count:>10,}  {code}  {CODES.get(code, '')}" for code, count in counts["codes"].items())
    if first:
        yield from ("", "The first findings:")
        for row in first:
            yield f"  {row['code']} {row['level']}: {readable(row['key'])}: {readable(row['reason'])}"
    yield from ("", *([f"Report: {page}"] if page else []), f"Run and log: {link}", "")
