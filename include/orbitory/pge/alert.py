"""The message about a PGE instance that needs a person, kept in the outbox together with the failure itself."""

from __future__ import annotations

from orbitory.inventory import Row
from orbitory.notices import plain
from orbitory.outbox import Address, enqueue
from orbitory.pge.failures import FAILURES
from orbitory.site import Site

_KIND = "pge_failed"


def tell(site: Site, row: Row, code: str, detail: str) -> None:
    """Put the message into the outbox, within the caller's transaction: sent by whoever sends what is due."""
    source = site.catalogue.sources.get("pge")
    number, pge = row["id"], row["pge"]
    text = (
        f"PGE {pge}, instance {number} for {row['period_key']}, failed: {FAILURES[code]} ({code}).\n\n"
        f"{detail}\n\n"
        f"Nothing of it was archived. See it with `orbitory why {number}`; when the cause is gone, run it again with\n"
        f"`orbitory run-pge {number}`, or clear its run in Airflow.\n"
    )
    address = Address(
        kind=_KIND,
        about=pge,
        actor=f"pge instance {number}, try {row.get('tries', 0)}, {code}",
        recipients=source.notify if source else [],
    )
    enqueue(site.inventory, address, plain(f"PGE {pge} failed: instance {number}, {code}", text))
