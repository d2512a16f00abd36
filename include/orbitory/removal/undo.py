"""Bring a removed set back: see ``back`` for how."""

from __future__ import annotations

import logging

from orbitory.errors import ConfigurationError
from orbitory.removal.back import bring_back
from orbitory.removal.leaving import Progress
from orbitory.removal.outcome import AT_ONCE, Outcome, one_at_a_time, require_trash
from orbitory.removal.plan import hash_of
from orbitory.site import Site

log = logging.getLogger(__name__)


def undo(site: Site, set_hash: str, progress: Progress | None = None) -> Outcome:
    """Bring back all that left with the set of this hash; what had not left yet stays. What has expired is held then.

    A granule whose files are not whole any more, or that the archive was given again meanwhile, is left as it is and
    told; the same call tries again. Raises ConfigurationError when there is no such set, or the trash was emptied.
    """
    with one_at_a_time(site):
        site.storage.prepare(holds_assets=True)
        require_trash(site)
        row = site.inventory.one("removal_find", hash=hash_of(set_hash))
        if row is None or row["state"] == "planned":
            raise ConfigurationError(f"no set {set_hash} was ever removed: there is nothing to bring back")
        _require_full(site, row["id"])
        with site.inventory.transaction():
            site.inventory.run("removal_turn_back", id=row["id"])
            site.inventory.run("removal_spare", id=row["id"])
        return _bring_back(site, row["id"], row["hash"], progress)


def _require_full(site: Site, number: int) -> None:
    emptied = site.inventory.one("removal_emptied", id=number)
    if emptied and emptied["files"]:
        raise ConfigurationError(
            f"the trash was emptied: {emptied['files']} files of the set, which left {emptied['trashed_at']:%Y-%m-%d}, "
            f"are gone for good. Nothing was brought back; `orbitory restore NAME` brings back others one by one"
        )


def _bring_back(site: Site, number: int, set_hash: str, progress: Progress | None) -> Outcome:
    after, back, files, size = 0, 0, 0, 0
    left: dict[str, str] = {}
    gone = {"id": number, "states": ["marked", "trashed"], "limit": AT_ONCE}
    while rows := site.inventory.all("removal_next", after=after, **gone):
        after = rows[0]["upto"]
        wrong = bring_back(site, number, set_hash, rows)
        left |= {row["key"]: wrong[row["granule_id"]] for row in rows if row["granule_id"] in wrong}
        done = [row for row in rows if row["granule_id"] not in wrong]
        moved = {row["asset_id"]: row["bytes"] for row in done}
        back, files, size = (
            back + len({row["granule_id"] for row in done}),
            files + len(moved),
            size + sum(moved.values()),
        )
        if progress:
            progress(back)
    log.info("removal undone set=%s granules=%d left=%d", set_hash[:16], back, len(left))
    return Outcome(
        hash=set_hash,
        state="unfinished" if left else "undone",
        count=back,
        files=files,
        bytes=size,
        left=tuple(sorted(left.items())),
        back=True,
    )
