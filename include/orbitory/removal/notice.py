"""What people are shown before they approve a set, and told when a run needs them.

Names and reasons are foreign: each goes through ``readable``, and none reaches a subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orbitory.errors import ConfigurationError
from orbitory.inventory import Row
from orbitory.listing import Listing, list_files, readable
from orbitory.notices import plain
from orbitory.outbox import tell_all
from orbitory.removal.plan import Plan, hash_of
from orbitory.site import Site

_COLUMNS = ("loser", "keeper", "reason", "sensor", "files", "bytes")
_LINE = 400


def question(site: Site, set_hash: str) -> tuple[str, str]:
    """Subject and text (Markdown) by which somebody decides whether the set of this hash is to go."""
    row = site.inventory.one("removal_find", hash=hash_of(set_hash))
    if row is None:
        raise ConfigurationError(f"there is no plan {set_hash}: start another run")
    counts: Mapping[str, Any] = row["counts"]
    subject = f"Remove {counts['granules']:,} granules ({counts['bytes']:,} bytes)?"
    return subject, "\n".join(_asked(set_hash, counts))


def _asked(set_hash: str, counts: Mapping[str, Any]) -> Iterator[str]:
    much = f"{counts['granules']:,} granules, {counts['files']:,} files, {counts['bytes']:,} bytes"
    yield f"**{much}** would leave the archive. Their files go into the trash, their rows stay as tombstones, and"
    yield "`orbitory delete --undo` with the hash below brings all of it back."
    yield from ("", f"Why you are asked: {_plain(counts['why'])}.", "", f"By {counts.get('by', 'sensor')}:", "")
    yield from (f"- {_plain(share)}" for share in counts["shares"])
    shown: Sequence[Row] = counts["samples"]
    yield from ("", f"The first {len(shown)}:" if len(shown) < counts["granules"] else "All of them:", "")
    yield from (f"- `{told(each)}`" for each in shown)
    yield from ("", f"Hash of the set, which must still be the same when it is removed: `{set_hash}`")


def told(item: Mapping[str, Any]) -> str:
    """One granule that would go, on one line that ends no block of Markdown."""
    kept = f" ← stays: {item['keeper']}" if item["keeper"] else ""
    return _plain(f"{item['loser']} ({item['files']} files, {item['bytes']:,} bytes){kept}; {item['reason']}")


def _plain(text: str) -> str:
    return readable(text, _LINE).replace("`", "'").replace("<", "‹").replace(">", "›")


def ask(site: Site, plan: Plan, *, link: str) -> None:
    """Mail that a set waits for approval; a run has one such message."""
    lines = [
        *_asked(plan.hash, {**_counts(plan), "samples": plan.items[:10]}),
        "",
        f"Approve or reject it here: {link}",
    ]
    subject = f"[Orbitory] approval needed: {len(plan.items):,} granules are to be removed"
    send(site, "removal_approval", subject, lines, list_files("orbitory-removal", plan.items, columns=_COLUMNS))


def tell(site: Site, verdict: str, left: Iterable[tuple[str, str]], *, link: str) -> None:
    """Mail that a run did not end well."""
    rows = [{"key": key, "why": why} for key, why in left]
    lines = ["A removal did not end well", "", readable(verdict, 2000), ""]
    lines += [f"  {readable(row['key'])}: {readable(row['why'])}" for row in rows[:20]]
    lines += ["", f"Run and log: {link}"]
    listing = list_files("orbitory-removal-left", rows, columns=("key", "why"))
    send(site, "removal_failed", "[Orbitory] a removal did not end well", lines, listing)


def _counts(plan: Plan) -> dict[str, Any]:
    return {
        "granules": len(plan.items),
        "files": plan.files,
        "bytes": plan.bytes,
        "why": plan.too_much(),
        "shares": [str(share) for share in plan.shares],
        "by": "product type" if plan.limits.both else "sensor",
    }


def send(site: Site, kind: str, subject: str, lines: Sequence[str], listing: Listing | None = None) -> None:
    """Put a message to all who are told of failures into the outbox; one of each kind for the actor of ``site``."""
    tell_all(site, kind, "removal", plain(subject, "\n".join(lines) + "\n", listing))
