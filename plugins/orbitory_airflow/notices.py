"""One mail for one failed run, by the SMTP notifier, over the Connection ``orbitory_smtp``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from airflow.sdk import BaseHook

from orbitory import notices
from orbitory.catalogue import Source
from orbitory.errors import OrbitoryError
from orbitory.inventory import connect
from orbitory_airflow.runtime import actor_of, inventory_uri, link_to

log = logging.getLogger(__name__)

#: Airflow Connection of the mail server; its extra field ``from_email`` is the sender.
MAIL_SERVER = "orbitory_smtp"


def send_notice(source: Source) -> Callable[[Mapping[str, Any]], None]:
    """A callback for the task that gives a run's verdict."""
    return partial(_send, source.name, tuple(source.notify))


def _send(source: str, recipients: tuple[str, ...], context: Mapping[str, Any]) -> None:
    """Tell ``recipients``, or the postmaster where nobody is named. The run's outcome stands, mail or not."""
    try:
        notice = notices.compose(_story(source, context))
        _mail(notice, recipients or (_postmaster(),))
    except Exception as error:  # noqa: BLE001 - a notice must never change what it reports
        log.warning(
            "no mail was sent about this failure (%s: %s); see Connection %s", type(error).__name__, error, MAIL_SERVER
        )


def _story(source: str, context: Mapping[str, Any]) -> notices.Story:
    verdict = str(context.get("exception") or "the task that gives the verdict was killed")
    told = {"source": source, "verdict": verdict, "link": link_to(context)}
    try:
        actor = actor_of(context)
        with connect(inventory_uri(), actor=actor) as inventory:
            return notices.story_of(inventory, actor=actor, **told)
    except OrbitoryError as error:
        log.warning("the notice goes without figures: %s", error)
        return notices.untold(**told)


def _postmaster() -> str:
    """The address that every mail domain must have (RFC 5321, 4.5.1): a failure is never told to nobody."""
    sender = str(BaseHook.get_connection(MAIL_SERVER).extra_dejson.get("from_email", ""))
    return f"postmaster@{sender.rpartition('@')[2] or 'localhost'}"


def _mail(notice: notices.Notice, recipients: tuple[str, ...]) -> None:
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    # Called without Airflow's rendering on purpose: subject and body hold foreign text, which must not meet Jinja.
    SmtpNotifier(
        smtp_conn_id=MAIL_SERVER, to=list(recipients), subject=notice.subject, html_content=notice.html
    ).notify({})
    log.info("told %s by mail", ", ".join(recipients))
