"""A batch whose files a crash has left on their way is never left like that: its rows stand there and are not shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from orbitory.errors import ConfigurationError, IntegrityError
from orbitory.export.batch import carry
from orbitory.export.ledger import there_of
from orbitory.export.sites import Remote
from orbitory.export.undo import take_back
from orbitory.export.work import Work, work_of
from orbitory.inventory import Row
from orbitory.site import Site

log = logging.getLogger(__name__)


def halfway(here: Site, there: Site, to: Remote) -> Iterator[tuple[Work, Row]]:
    """Batches of this site's exports that are on their way in there, or on their way back."""
    for row in here.inventory.all("export_running", site=to.name):
        if (there_id := there_of(there, row["token"])) is not None:
            work = work_of(here, there, to, row)
            yield from ((work, batch) for batch in there.inventory.all("export_halfway", export=there_id))


def settle(here: Site, there: Site, to: Remote) -> None:
    """Finish such batches; take back what can never be finished, for this site's inventory does not hold it any more.

    That a file is not found is no reason to take anything back: its file system may be away. Call it while no other
    export works on that site. Raises IntegrityError or ConfigurationError when a batch is neither.
    """
    for work, batch in halfway(here, there, to):
        if batch["state"] == "placing":
            try:
                carry(work, batch["number"], batch["part"], batch["items"])
                continue
            except (IntegrityError, ConfigurationError) as error:
                if not _gone(work, batch["number"]):
                    raise
                log.warning("export=%d batch=%d is taken back: %s", work.id, batch["number"], error)
        take_back(there, work.there_id, work.token, batch)


def _gone(work: Work, number: int) -> bool:
    """Whether a file that has to come with the batch is not in the archive here any more, or in doubt."""
    rows = work.there.inventory.all("export_expected", export=work.there_id, number=number)
    told = {"paths": [row["path"] for row in rows], "digests": [row["digest"] for row in rows]}
    return bool(work.here.inventory.all("export_gone", **told))
