"""An export on its way: its two sides, and what they hold for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from blake3 import blake3

from orbitory.errors import ConfigurationError
from orbitory.export.ledger import there_of
from orbitory.export.sites import Remote
from orbitory.inventory import Row
from orbitory.mfp import Parameters
from orbitory.retention.holds import let_go as release
from orbitory.retention.holds import place as place_holds
from orbitory.site import Site

#: So long granules are held here while their files are on their way; whoever finishes the batch lets go of them.
_HELD = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """An export on its way: both sides, and its numbers on either."""

    here: Site
    there: Site
    #: Name of the other side.
    site: str
    #: Numbers of the export.
    id: int
    there_id: int
    token: str
    files: bool
    #: By which footprints tell the paths of files: here, there.
    paths: tuple[Parameters, Parameters]


def work_of(here: Site, there: Site, to: Remote, row: Row) -> Work:
    """The export of this row of the ledger. Raises ConfigurationError when the other side knows nothing of it."""
    there_id = there_of(there, row["token"])
    if there_id is None:
        raise ConfigurationError(
            f"{to.name} knows nothing of export {row['id']}: begin it again with its preview's hash"
        )
    return Work(
        here=here,
        there=there,
        site=to.name,
        id=row["id"],
        there_id=there_id,
        token=str(row["token"]),
        files=row["files"],
        paths=(Parameters.of_deployment(), to.paths),
    )


def set_hash(token: object) -> str:
    """Of the removal set by which granules of an export leave the other side."""
    return blake3(f"export {token}".encode()).hexdigest()


def hold(work: Work, number: int) -> list[int]:
    """While files of a batch are on their way, nothing takes them out of the archive here; granules that are held."""
    inventory = work.here.inventory
    granules = [row["id"] for row in inventory.all("export_living", export=work.id, number=number)]
    now = inventory.one("export_now")
    assert now is not None
    with inventory.transaction():
        let_go(work, granules)  # of a try that was cut short
        place_holds(work.here, granules, kind="export", reason=_reason(work), until=now["now"] + _HELD)
    return granules


def let_go(work: Work, granules: Sequence[int]) -> None:
    """Their files have arrived, or need not."""
    if granules:
        release(work.here, granules, kind="export", reason=_reason(work))


def _reason(work: Work) -> str:
    return f"export {work.id} to {work.site}"
