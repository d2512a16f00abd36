"""What happens to PGE instances that nobody runs: lost workers, archived outputs, people's second thoughts."""

from __future__ import annotations

from orbitory.errors import ConfigurationError
from orbitory.inventory import Row
from orbitory.pge import alert, delivery
from orbitory.pge.claims import MOST_LOST, Result, finish_delivery, give_up, result_of, was_delivered
from orbitory.site import Site

#: Deliveries younger than this may be in the making.
_YOUNG_SECONDS = 3600.0
#: What was delivered so long ago stands in the landing zone, or somebody took it away.
_GRACE = "10 minutes"


def recover(site: Site) -> list[Result]:
    """Take instances from workers that were lost: they are run once more, and then given up.

    Also removes deliveries in the making that nobody wants any more. May be repeated.
    """
    results = []
    with site.inventory.transaction():
        for lapsed in site.inventory.all("pge_lapsed"):
            row = site.inventory.one("pge_lock", instance=lapsed["id"])
            assert row is not None
            if was_delivered(site, row):
                results.append(finish_delivery(site, row))
            elif row["lost"] >= MOST_LOST:
                results.append(give_up(site, row))
            else:
                site.inventory.run("pge_lost", instance=row["id"])
                results.append(result_of(row, "ready"))
        clock = site.inventory.one("retention_clock")
    assert clock is not None
    delivery.clear_staging(delivery.home(site), age_seconds=_YOUNG_SECONDS, now=clock["now"].timestamp())
    return results


def settle(site: Site) -> list[Row]:
    """What was delivered and archived whole is done; those with a rejected or lost one failed; people are told.

    Set-based and cheap: called whenever something was ingested or is planned.
    """
    with site.inventory.transaction():
        site.inventory.run("pge_link_outputs", source=delivery.SOURCE)
        settled = site.inventory.all("pge_settle", source=delivery.SOURCE) + _vanished(site)
        for row in settled:
            if row["state"] == "failed":
                alert.tell(site, row, row["reason"], row["detail"])
    for row in settled:
        delivery.clear(delivery.home(site), delivery.folder_of(row))
    return settled


def _vanished(site: Site) -> list[Row]:
    """Fail those whose delivery was taken away before the ingest saw it; the disk is asked first, then the ledger."""
    home = delivery.home(site)
    if not home.is_dir():  # nothing can be told of a landing zone that is not mounted
        return []
    gone: dict[int, list[str]] = {}
    for row in site.inventory.all("pge_unseen", source=delivery.SOURCE, grace=_GRACE):
        if not delivery.stands(home, row["name"]):
            gone.setdefault(row["id"], []).append(row["name"])
    told = (
        site.inventory.one("pge_vanished", source=delivery.SOURCE, instance=instance, names=names)
        for instance, names in gone.items()
    )
    return [row for row in told if row]


def cancel(site: Site, instance: int, detail: str = "cancelled by a person") -> bool:
    """An instance that is not wanted any more; a worker that runs it ends it within seconds. False: it has ended."""
    with site.inventory.transaction():
        row = site.inventory.one("pge_lock", instance=instance)
        if row is None:
            raise ConfigurationError(f"there is no PGE instance {instance}: see `orbitory plan`")
        if row["state"] == "running" and was_delivered(site, row):
            finish_delivery(site, row)
        return site.inventory.one("pge_cancel", instance=instance, detail=detail) is not None
