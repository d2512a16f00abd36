"""The right to run a PGE instance, and to say what became of it; one worker has it at a time.

Every write is guarded by the claim: a worker that was taken for lost, or whose instance was cancelled, writes nothing
more. What was made is known to the inventory before it appears in the landing zone, and appears there while the claim
is held; so whoever takes over can tell a delivery from none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from orbitory.errors import ConfigurationError, NotReady, Transient
from orbitory.inventory import Inventory, Row
from orbitory.pge import alert, delivery, staging
from orbitory.pge.executor import Run
from orbitory.pge.failures import RunFailed, kept
from orbitory.site import Site

log = logging.getLogger(__name__)

#: How long a worker may be silent before it is taken for lost.
LEASE = "2 minutes"
#: For so long only he who tried it may try a failed instance again.
PAUSE = "30 minutes"
#: An instance whose worker was lost is run again this often.
MOST_LOST = 1


class Overtaken(Transient):
    """The instance was taken over or cancelled: this try stops at once and has written nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one try of an instance came to."""

    instance: int
    pge: str
    #: The instance's state now; ``ready``: it failed and may be tried again.
    state: str
    reason: str | None = None
    detail: str | None = None
    #: Exit status, run time, …; empty where nothing ran.
    run: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As other systems read it."""
        words = {name: getattr(self, name) for name in ("instance", "pge", "state", "reason", "detail")}
        figures = ("exit_status", "wall_seconds", "cpu_seconds", "peak_bytes")
        return words | {name: self.run.get(name) for name in figures}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An instance under this worker's claim."""

    site: Site
    row: Row
    claim: UUID

    @property
    def id(self) -> int:
        """Number of the instance."""
        number: int = self.row["id"]
        return number

    def beat(self, inventory: Inventory | None = None) -> bool:
        """Say that we are alive, perhaps over another connection than the site's; False when the claim is lost."""
        speaks = inventory or self.site.inventory
        return bool(speaks.run("pge_fence", instance=self.id, claim=self.claim, lease=LEASE))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction that holds only while the claim does. Raises Overtaken."""
        with self.site.inventory.transaction():
            if not self.beat():
                raise Overtaken(f"instance {self.id} was cancelled or taken over by another try: this one stops")
            yield


def take(site: Site, instance: int, *, afresh: bool) -> Held | Result:
    """Claim the instance, also from an earlier try of ours or a lost worker; or what became of it already.

    ``afresh``: one that failed or was cancelled starts again, with all its retries. What was ended while we ran it may
    always go on: nobody asks for it again who does not want it. Raises NotReady when it is not its turn or another runs
    it, ConfigurationError when there is no such instance or another one took its place.
    """
    inventory = site.inventory
    with inventory.transaction():
        row = inventory.one("pge_lock", instance=instance)
        if row is None:
            raise ConfigurationError(f"there is no PGE instance {instance}: see `orbitory plan`")
        if settled := _settled(site, row):
            return settled
        over = row["state"] in ("failed", "cancelled")
        if over and not (afresh or (row["reason"] == "ended" and row["owner"] == site.actor)):
            return result_of(row, row["state"])
        taken = inventory.one(
            "pge_take",
            instance=instance,
            owner=site.actor,
            lease=LEASE,
            tries=1 if over else row["tries"] + 1,
            lost=0 if over else row["lost"] + (row["state"] == "running"),
            folder=staging.name_for(instance),
            afresh=over,
        )
        inventory.run("pge_forget_outputs", instance=instance)
    assert taken is not None
    return Held(site=site, row=taken, claim=taken["claim"])


def _settled(site: Site, row: Row) -> Result | None:
    """What became of it already, if nothing is left to run; otherwise raises where it is not ours to run."""
    number, state = row["id"], row["state"]
    if state in ("waiting", "expired", "superseded"):
        raise NotReady(f"instance {number} of {row['pge']} is {state}: see `orbitory why {number}`")
    if state in ("delivered", "done"):
        return result_of(row, state)
    if state == "running" and row["owner"] != site.actor and not row["lapsed"]:
        raise NotReady(f"instance {number} of {row['pge']} is run by {row['owner']}")
    if state == "cancelled" and (other := site.inventory.one("pge_rival", instance=number)):
        raise ConfigurationError(
            f"instance {number} was replaced: {other['id']} ({other['state']}) is for the same period now"
        )
    if was_delivered(site, row):
        return finish_delivery(site, row)
    if state == "running" and row["lost"] >= MOST_LOST:
        return give_up(site, row)
    return None


def end(site: Site, row: Row, fate: tuple[str, str | None, str], runs: list[Run]) -> None:
    """It ended without a delivery. ``fate``: state, reason and detail."""
    state, reason, detail = fate
    site.inventory.run(
        "pge_ended",
        instance=row["id"],
        state=state,
        reason=reason,
        detail=kept(detail),
        pause=PAUSE,
        run=json.dumps(runs[-1].figures() if runs else {}),
        log_tail=kept(runs[-1].log_tail) if runs else None,
    )


def result_of(row: Row, state: str, run: dict[str, Any] | None = None, failure: RunFailed | None = None) -> Result:
    """What a caller is told."""
    return Result(
        instance=row["id"],
        pge=row["pge"],
        state=state,
        reason=failure.code if failure else row.get("reason"),
        detail=failure.detail if failure else row.get("detail"),
        run=run if run is not None else row.get("run") or {},
    )


def was_delivered(site: Site, row: Row) -> bool:
    """Whether the last try reached the landing zone, and was stopped or failed before it could say so.

    The disk is asked first: what is gone from there the ingest has written down before.
    """
    if row["reason"] in ("output_rejected", "output_lost"):  # it said so, and it is over
        return False
    folder = delivery.folder_of(row)
    names = [f"{folder}/{each['name']}" for each in site.inventory.all("pge_outputs", instance=row["id"])]
    if not names:
        return False
    if delivery.stands(delivery.home(site), folder):
        return True
    return site.inventory.one("pge_arrived", source=delivery.SOURCE, names=names) is not None


def finish_delivery(site: Site, row: Row) -> Result:
    """Say what its try could not, within the caller's transaction."""
    site.inventory.run("pge_delivered", instance=row["id"])
    log.info("PGE instance %d had delivered when its try was cut short", row["id"])
    return result_of(row | {"reason": None, "detail": None}, "delivered")


def give_up(site: Site, row: Row) -> Result:
    """It cost one worker too many: a person must look. Within the caller's transaction."""
    failure = RunFailed("lost", f"its worker gave no sign of life and was {row['owner']}")
    end(site, row, ("failed", failure.code, failure.detail), [])
    alert.tell(site, row, failure.code, failure.detail)
    return result_of(row, "failed", None, failure)
