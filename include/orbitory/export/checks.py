"""What is checked on the other side once everything has arrived."""

from __future__ import annotations

import os
from collections.abc import Iterator

from orbitory.export.work import Work
from orbitory.zones import stat_at

#: So many files are read again; so many granules are compared again, and their files looked for.
_READ = 20
_LOOKED_FOR = 1_000


def check(work: Work) -> Iterator[str]:
    """Everything that is wrong there with what this export has brought, in words."""
    there = work.there.inventory
    with there.transaction():
        there.one("export_by_index")  # whatever the planner knows of tables that have just grown
        told = there.one("export_check", export=work.there_id)
        some = there.one("export_check_some", export=work.there_id, some=_LOOKED_FOR)
    sent = work.here.inventory.one("export_sent", export=work.id)
    assert told is not None
    assert some is not None
    assert sent is not None
    if told["items"] != sent["items"]:
        yield f"{sent['items']:,} granules were sent, {told['items']:,} are in the ledger there"
    if some["unlike"]:
        yield f"{some['unlike']:,} granules are not what they should be there, first {some['first']}"
    if told["orphans"]:
        yield f"{told['orphans']:,} granules stand there without a file, or are not shown"
    if not work.files:
        return  # rows alone: who brings the files by other means knows when they stand
    files = there.all("export_sample_files", export=work.there_id, limit=_LOOKED_FOR)
    storage = work.there.settings.storage
    missing = [row["path"] for row in files if not _stands(work, row["path"], row["size"])]
    if missing:
        yield f"{len(missing):,} of {len(files):,} files looked for are not in {storage}, first {missing[0]}"
        return
    for row in files[:_READ]:
        if work.there.storage.digest(row["path"]) != row["digest"]:
            yield f"{row['path']} has other bytes there than the inventory says"


def _stands(work: Work, path: str, size: int) -> bool:
    found = stat_at(work.there.settings.storage, os.fsencode(path))
    return found is not None and found.size == size
