"""One message for one failed run: kept in the outbox first, then sent.

At once if the mail server takes it, by the DAG `outbox` otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException

from orbitory import notices, outages, outbox
from orbitory.catalogue import Source
from orbitory.errors import OrbitoryError
from orbitory.inventory import connect
from orbitory_airflow.runtime import actor_of, inventory_uri, link_to, open_run

if TYPE_CHECKING:
    from orbitory.site import Site

log = logging.getLogger(__name__)

#: Airflow Variable of each source whose people were told that the inventory is away: since when. Kept by Airflow, as
#: the inventory cannot keep it.
_AWAY = "orbitory_inventory_away_{}"


def send_notice(source: Source) -> Callable[[Mapping[str, Any]], None]:
    """A callback for the task that gives a run's verdict; Airflow calls it when the verdict stands."""
    return partial(_tell, source)


def _tell(source: Source, context: Mapping[str, Any]) -> None:
    """The task has put the message into the outbox, unless it was killed. The run's outcome stands, mail or not."""
    from orbitory_airflow.mail import send

    try:
        if not _kept(source, context):
            _tell_away(source, context)
            return
        actor = actor_of(context)
        with connect(inventory_uri(), actor=actor) as inventory:
            if outbox.deliver(inventory, send, actor=actor).delayed:
                log.warning("no mail was sent about this failure yet: the outbox keeps the message and tries again")
    except Exception as error:  # noqa: BLE001 - a notice must never change what it reports
        log.warning("no mail was sent about this failure (%s: %s)", type(error).__name__, error)


def _kept(source: Source, context: Mapping[str, Any]) -> bool:
    """Make sure that the outbox has the message; False when the inventory cannot be asked."""
    actor = actor_of(context)
    try:
        with connect(inventory_uri(), actor=actor) as inventory:
            if not outages.stopping(inventory, source, actor=actor):  # told when it began
                outbox.tell_failure(inventory, source, actor=actor, verdict=_verdict(context), link=link_to(context))
    except OrbitoryError as error:
        log.warning("the notice goes without figures, and is not kept: %s", error)
        return False
    return True


def _tell_away(source: Source, context: Mapping[str, Any]) -> None:
    """Say that the inventory is away, once until it is back; again when the mail server did not take it.

    When Airflow cannot be asked either, rather twice than never.
    """
    from airflow.sdk import Variable

    from orbitory_airflow.mail import send

    name, since = _AWAY.format(source.name), None
    try:
        since = Variable.get(name, default=None)
    except Exception as error:  # noqa: BLE001 - whatever keeps Airflow from answering
        log.warning("whether it was told already is not known: %s", error)
    if since:
        log.warning("no mail: that the inventory is away was told at %s", since)
        return
    send(_bare(source, context))
    try:
        Variable.set(name, f"{datetime.now(UTC):%FT%TZ}", description="The inventory is away: this was told.")
    except Exception as error:  # noqa: BLE001 - likewise; the mail has gone
        log.warning("the next failed run will tell it again: %s", error)


def tell_back(site: Site, source: Source) -> None:
    """Say that the inventory is back, if its being away was told."""
    from airflow.sdk import Variable

    name = _AWAY.format(source.name)
    if since := Variable.get(name, default=None):
        outages.tell_back(site.inventory, source, since=since)
        Variable.delete(name)


def _verdict(context: Mapping[str, Any]) -> str:
    return str(context.get("exception") or "the task that gives the verdict was killed")


def _bare(source: Source, context: Mapping[str, Any]) -> outbox.Message:
    """What can be said without the inventory."""
    link = link_to(context)
    verdict = (
        f"{_verdict(context)}. The inventory cannot be asked, so there are no figures. Every run tries again and goes "
        f"on by itself once it is back; that is told, too. Until then this is the only message about it."
    )
    notice = notices.compose(notices.untold(source=source.name, verdict=verdict, link=link))
    return outbox.Message(
        id=0,
        source=source.name,
        recipients=tuple(source.notify),
        subject=notice.subject,
        text=notice.text,
        html=notice.html,
        attachment_name=None,
        attachment=None,
        created_at=datetime.now(UTC),
    )


def send_due() -> None:
    """Send what the outbox holds and is due. Fails when a message was given up: nobody else would say so.

    Retention, which cannot tell by itself that it has stopped, is looked at before.
    """
    from orbitory import retention
    from orbitory_airflow.mail import send

    try:
        with open_run() as site:
            if not retention.watch(site):
                log.warning("no run of retention has come to its end for an hour: see `orbitory expire --history`")
    except OrbitoryError as error:  # what waits goes out all the same
        log.error("retention cannot be watched: %s", error)
    with connect(inventory_uri(), actor=actor_of(get_current_context())) as inventory:
        done = outbox.deliver(inventory, send)
    log.info("outbox: %d sent, %d tried again later, %d given up", done.sent, done.delayed, done.failed)
    if done.failed:
        raise AirflowFailException(f"{done.failed} messages were given up: see `orbitory outbox list`, then `retry`")
