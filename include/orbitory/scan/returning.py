"""Dark files on their way back: from quarantine to the landing zone, to be looked at like any delivery.

Their paths in storage begin with their source, whose template tells what of the rest was the folder they came in. Where
it tells none they keep the folders they stood in, so that files of one unit stay together and equal names do not meet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from orbitory.catalogue import Source
from orbitory.errors import Transient
from orbitory.inventory import Row
from orbitory.inventory.locks import Lock, alone
from orbitory.quarantine import Return, tidy
from orbitory.scan.aside import finish_moves, set_dark_aside
from orbitory.scan.findings import AGREEING
from orbitory.site import Site
from orbitory.zones import move, own_errors, sync_folder

_PAGE = 500


def return_dark(site: Site, source: str | None = None) -> Iterator[Return]:
    """Move every dark file in quarantine back, or those of one source; never overwrites.

    Likewise those that runs agree on and that limits have kept in storage: who calls this has looked at them. What
    cannot go says why and stays. May be repeated. Raises Transient while another re-drive is at work.
    """
    with alone(site.inventory, Lock.REDRIVE) as is_alone:
        if not is_alone:
            raise Transient("another re-drive is at work: try again when it has ended")
        finish_moves(site)
        after, asked = 0, {"source": source, "agreeing": AGREEING, "limit": _PAGE}
        while rows := site.inventory.all("scan_held_back", after=after, **asked):
            after = rows[-1]["id"]
            set_dark_aside(site, rows)
        after = 0
        while rows := site.inventory.all("scan_dark", source=source, after=after, limit=_PAGE):
            after = rows[-1]["id"]
            for row in rows:
                if (told := _return(site, row)) is not None:
                    yield told


def _return(site: Site, row: Row) -> Return | None:
    """Nothing is told of one that somebody has taken away."""
    held = site.settings.quarantine / os.fsdecode(row["moved_to"])
    if not os.path.lexists(held):
        return None
    known = site.catalogue.sources.get(row["source"])
    below = _landing_name(known, os.fsdecode(row["path"])) if known else ""
    if known is None or not below:
        return _told(row, f"kept: {row['source']!r} is no source; move it to the landing folder where it belongs")
    target = site.landing_of(known) / below
    with own_errors(f"move {row['name']} back to {target.parent}"):
        if os.path.lexists(target) or _is_link(target.parent, site.landing_of(known)):
            return _told(row, f"kept: another file stands in its way in {target.parent}")
        move(held, target)
        sync_folder(target.parent)
    site.inventory.run("scan_returned", id=row["id"])
    tidy(held.parent)
    return _told(row, f"in the landing zone of {row['source']} again", returned=True)


def _landing_name(source: Source, path: str) -> str:
    """Where a file of this path in storage may have landed, relative to the landing folder of its source."""
    template, parts = source.storage.split("/"), path.split("/")
    made = template.index("{folder}") if "{folder}" in template else 1
    return "/".join(parts[min(made, len(parts) - 1) :] if len(parts) > 1 else [])


def _is_link(folder: Path, landing: Path) -> bool:
    """Whether a sender has planted a link, or a file, on the way."""
    ways = [each for each in (folder, *folder.parents) if each != landing and each.is_relative_to(landing)]
    return any(each.is_symlink() or (each.exists() and not each.is_dir()) for each in ways)


def _told(row: Row, detail: str, *, returned: bool = False) -> Return:
    return Return(id=row["id"], name=row["name"], source=row["source"], returned=returned, detail=detail)
