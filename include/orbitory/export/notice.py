"""What people are shown before they approve an export, and told when a run needs them.

Keys and reasons are foreign: each goes through ``readable``, and none reaches a subject.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orbitory.errors import ConfigurationError
from orbitory.export.ledger import hash_of
from orbitory.export.preview import Preview
from orbitory.listing import readable
from orbitory.notices import plain
from orbitory.outbox import tell_all
from orbitory.site import Site

_FIELDS = 5


def question(site: Site, preview_hash: str, to: str) -> tuple[str, str]:
    """Subject and text (Markdown) by which somebody decides whether the differences of this hash are to go."""
    row = site.inventory.one("export_find", hash=hash_of(preview_hash), site=to)
    if row is None:
        raise ConfigurationError(f"there is no preview {preview_hash} for {to}: start another run")
    found = Preview.of_dict(row["counts"])
    changes = sum(found.counts[name] for name in ("added", "changed", "removed"))
    return f"Export {changes:,} granules to {to}?", "\n".join(_asked(found))


def _asked(found: Preview) -> Iterator[str]:
    counts = found.counts
    much = ", ".join(f"{counts[name]:,} {name}" for name in ("added", "changed", "removed"))
    yield f"**{much}** at {found.site};"
    yield f"{found.assets:,} files ({found.bytes:,} bytes) {'travel, too' if found.files else 'do not travel'}."
    if counts["removed"]:
        yield "Files of what is removed move into the trash there, whether or not files travel."
    if found.lineage:
        yield f"{found.lineage:,} records of what products were made from follow."
    yield from ("", "Guards:", "")
    yield from (f"- {'✔' if guard['good'] else '▲'} {_plain(guard['told'])}" for guard in found.guards)
    yield from ("", "The first of each kind:", "", "```")
    for each in found.samples:
        yield _plain(f"{each['action']} {each['key']} {each['why']}")
        fields = list(each["fields"].items())
        yield from (_plain(f"    {name}: {old} → {new}") for name, (old, new) in fields[:_FIELDS])
    yield from ("```", "", f"Hash of the preview, which must still be the same when it is copied: `{found.hash}`")


def _plain(text: str) -> str:
    return readable(text).replace("`", "'").replace("<", "‹").replace(">", "›")


def ask(site: Site, found: Preview, *, link: str) -> None:
    """Mail that an export waits for approval; a run has one such message."""
    lines = [*_asked(found), "", f"Approve or reject it here: {link}"]
    _send(site, "export_approval", f"[Orbitory] approval needed: an export to {found.site}", lines)


def tell(site: Site, verdict: str, *, link: str) -> None:
    """Mail that a run did not end well."""
    lines = ["An export did not end well", "", readable(verdict, 2000), "", f"Run and log: {link}"]
    _send(site, "export_failed", "[Orbitory] an export did not end well", lines)


def _send(site: Site, kind: str, subject: str, lines: Sequence[str]) -> None:
    tell_all(site, kind, "export", plain(subject, "\n".join(lines) + "\n"))
