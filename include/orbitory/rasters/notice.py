"""What people are told when a run found bad rasters: one message a run, with the list of all of them.

Names and reasons are foreign: each goes through ``readable``, and none reaches the subject.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from orbitory.inventory import Row
from orbitory.listing import Listing, list_files, readable
from orbitory.notices import plain
from orbitory.outbox import tell_all
from orbitory.rasters.judging import CODES, Verdict
from orbitory.rasters.rolling import Outcome
from orbitory.site import Site

_KIND = "rasters_bad"
_ABOUT = "raster_validation"
#: So many files are told one by one; the attached list and table ``validation`` hold all.
_SHOWN = 20
_COLUMNS = ("id", "path", "key", "sensor", "size", "mode", "verdict", "codes", "reasons")


def tell(site: Site, outcome: Outcome, *, verdict: str, link: str) -> None:
    """Put the message about the failed run of ``site.actor`` into the outbox; a run has one message."""
    bad = [row for row in outcome.found if row["verdict"] == Verdict.BAD.value]
    text = "\n".join(_lines(outcome, bad, verdict, link))
    subject = f"[Orbitory] raster validation failed: {len(bad):,} bad of {outcome.checked:,} checked"
    tell_all(site, _KIND, _ABOUT, plain(subject, text, _listing(bad)))


def _lines(outcome: Outcome, bad: list[Row], verdict: str, link: str) -> Iterator[str]:
    yield from ("Raster validation failed", "", readable(verdict, 2000), "", "Checked:")
    for row in outcome.counts:
        about = f"{readable(row['sensor'] or 'none', 40):<12} {row['verdict']:<12}"
        yield f"  {about} {row['files']:>12,} files {row['bytes']:>18,} bytes"
    codes = Counter(finding["code"] for row in bad for finding in row["findings"] if finding["level"] == "error")
    if codes:
        yield from ("", "Why:")
        yield from (f"  {count:>8,}  {code:<14} {CODES.get(code, '')}" for code, count in codes.most_common())
    if bad:
        yield from ("", f"The first {_SHOWN} bad files:" if len(bad) > _SHOWN else "Bad files:")
        yield from (f"  {readable(row['path'])}: {_told(row)}" for row in bad[:_SHOWN])
    yield from ("", f"Run and log: {link}", "")


def _told(row: Mapping[str, object]) -> str:
    findings = row["findings"]
    assert isinstance(findings, list)
    return "; ".join(f"{each['code']}: {readable(each['reason'])}" for each in findings)


def _listing(bad: list[Row]) -> Listing | None:
    rows = (row | {"codes": " ".join(each["code"] for each in row["findings"]), "reasons": _told(row)} for row in bad)
    return list_files("orbitory-bad-rasters", rows, columns=_COLUMNS)
