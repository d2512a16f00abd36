"""What storage has lost, brought back from the second copies: the way out of a lost file system."""

from __future__ import annotations

from collections.abc import Iterator

from orbitory.mirror.repairing import Repair, repair
from orbitory.scan.doubt import stands
from orbitory.site import Site

_PAGE = 500


def restore(site: Site) -> Iterator[Repair]:
    """Every file that storage lacks, or holds with another size, restored from its copy; the others are not read.

    May be repeated: what stands there already is passed over. Raises IntegrityError when storage looks unmounted, which
    a new empty one does until its sentinel was made.
    """
    site.storage.prepare(holds_assets=True)
    after = 0
    while rows := site.inventory.all("mirror_held", after=after, limit=_PAGE):
        after = rows[-1]["id"]
        lost = [row["id"] for row in rows if row["state"] == "suspect" or not stands(site, row)]
        yield from repair(site, lost) if lost else ()
