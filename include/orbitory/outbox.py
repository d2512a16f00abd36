"""Messages to people, kept in the inventory until the mail server took them.

A message is committed together with the verdict that it tells, so neither exists without the other and no run waits
for a mail server. Whoever sends holds the row's lock meanwhile: two senders never send one message at once. A sender
that dies between the server's answer and our commit sends again; both copies carry one Message-ID, by which a mail
program shows them as one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from orbitory.catalogue import Source
from orbitory.errors import ConfigurationError
from orbitory.inventory import Inventory, Row
from orbitory.listing import readable
from orbitory.notices import Notice, compose, plain, story_of
from orbitory.site import Site

log = logging.getLogger(__name__)

#: With the pauses of statement ``message_failed``, about four days: as long as mail servers themselves try.
MOST_TRIES = 100
#: After so many that were not taken the server is left alone until the next time.
_MOST_DELAYED = 3
_KIND = "ingest_failed"
#: So many failures are told to the same people within an hour one by one; more are gathered.
MOST_APART = 20
#: What is gathered: it is about one run each, and may come by the thousand.
_FAILURES = (_KIND, "pge_failed")
_MOST_LINES = 50


class Refused(Exception):
    """The mail server will never take this message: trying again cannot help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message that is due."""

    id: int
    source: str
    #: Empty: nobody is named, so the postmaster shall know.
    recipients: tuple[str, ...]
    subject: str
    text: str
    html: str
    attachment_name: str | None
    attachment: bytes | None
    created_at: datetime

    @property
    def key(self) -> str:
        """Left part of the Message-ID: the same whenever, by whomever and how often it is sent."""
        return f"orbitory.outbox.{self.id}.{self.created_at:%Y%m%dT%H%M%S%f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a sender achieved."""

    sent: int = 0
    #: Not taken, tried again later.
    delayed: int = 0
    #: Given up: a person must look.
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """To whom a message goes, and what makes it the same message: kind, thing it is about, and actor."""

    kind: str
    #: Source, PGE, or part of the program.
    about: str
    #: Run that tells.
    actor: str
    recipients: Sequence[str]


def tell_failure(inventory: Inventory, source: Source, *, actor: str, verdict: str, link: str) -> Notice:
    """Put the message about the failed run of ``actor`` into the outbox, within the caller's transaction if any.

    A run has one message: a repeated call changes nothing.
    """
    notice = compose(story_of(inventory, source=source.name, actor=actor, verdict=verdict, link=link))
    enqueue(inventory, Address(kind=_KIND, about=source.name, actor=actor, recipients=source.notify), notice)
    return notice


def tell_all(site: Site, kind: str, about: str, notice: Notice, *, actor: str = "") -> None:
    """Put a message into the outbox, to everybody who is told of any source.

    Of one kind, about one thing and of one actor (else the run of ``site``) there is one: a repeated call changes
    nothing.
    """
    recipients = {each for source in site.catalogue.sources.values() for each in source.notify}
    address = Address(kind=kind, about=about, actor=actor or site.actor, recipients=sorted(recipients))
    enqueue(site.inventory, address, notice)


def enqueue(inventory: Inventory, address: Address, notice: Notice) -> None:
    """Put a message into the outbox, within the caller's transaction if any."""
    attached = notice.attachment
    inventory.run(
        "enqueue_message",
        kind=address.kind,
        source=address.about,
        actor=address.actor,
        run=notice.run,
        recipients=list(address.recipients),
        subject=notice.subject,
        text=notice.text,
        html=notice.html,
        attachment_name=attached.name if attached else None,
        attachment=attached.content if attached else None,
    )


def withdraw_failure(inventory: Inventory, source: Source, *, actor: str) -> None:
    """The run of ``actor`` was repeated and is well: a message that was not sent yet never will be."""
    inventory.run("drop_message", kind=_KIND, source=source.name, actor=actor)


def deliver(inventory: Inventory, send: Callable[[Message], None], *, actor: str | None = None) -> Delivery:
    """Hand what is due to ``send``, one after the other; ``actor``: only what tells about that run.

    ``send`` returns when the mail server has taken the message, raises Refused when it never will, and anything else
    when it may later. Any number of senders may be at work. When failures come in crowds, what is due about them goes
    to each recipient as one message, by whoever sends all that is due.
    """
    if actor is None:
        _gather(inventory)
    elif inventory.all("crowd", kinds=list(_FAILURES), most=MOST_APART, actor=actor):
        return Delivery()
    sent = delayed = failed = after = 0
    while delayed < _MOST_DELAYED:
        with inventory.transaction():
            row = inventory.one("claim_message", after=after, actor=actor)
            if row is None:
                break
            after = row["id"]
            error = _attempt(send, row)
            if error is None:
                inventory.run("message_sent", id=after)
                sent += 1
                continue
            told = " ".join(f"{type(error).__name__}: {error}".split())[:1000]
            refused = isinstance(error, Refused)
            state = inventory.one("message_failed", id=after, error=told, refused=refused, most=MOST_TRIES)
            given_up = state is not None and state["state"] == "failed"
            failed += given_up
            delayed += not given_up
        fate = "given up" if given_up else "tried again later"
        log.warning("message %d about %s was not sent, %s: %s", after, row["source"], fate, told)
    return Delivery(sent=sent, delayed=delayed, failed=failed)


def _gather(inventory: Inventory) -> None:
    """Put one message in the place of a crowd."""
    with inventory.transaction():
        rows = inventory.all("crowd", kinds=list(_FAILURES), most=MOST_APART, actor=None)
        crowds: dict[tuple[str, ...], list[Row]] = {}
        for row in rows:
            crowds.setdefault(tuple(row["recipients"]), []).append(row)
        for recipients, crowd in crowds.items():
            if len(crowd) > 1:
                number = f"{crowd[0]['id']}-{crowd[-1]['id']}"
                address = Address(kind="failures", about="outbox", actor=number, recipients=recipients)
                enqueue(inventory, address, _digest(crowd))
                inventory.run("fold_messages", ids=[row["id"] for row in crowd], by=number)


def _digest(crowd: Sequence[Row]) -> Notice:
    """One message that tells of many failures."""
    counts = Counter(row["source"] for row in crowd).most_common()
    lines = [f"{len(crowd):,} failures in a short time, told in one message:", ""]
    lines += [f"{count:8,}  {readable(about, 80)}" for about, count in counts[:_MOST_LINES]]
    lines += ["", "The first of them:"]
    lines += [f"  {row['created_at']:%F %T} UTC  {row['subject']}" for row in crowd[:_MOST_LINES]]
    lines += ["", "`orbitory outbox list --all` names them all; `orbitory status` tells how every source stands.", ""]
    return plain(f"[Orbitory] {len(crowd):,} failures of {len(counts):,} sources and PGEs", "\n".join(lines))


def _attempt(send: Callable[[Message], None], row: Row) -> Exception | None:
    try:
        send(_message(row))
    except Exception as error:  # noqa: BLE001 - whatever went wrong is written beside the message and tried again
        return error
    return None


def _message(row: Row) -> Message:
    content = row["attachment"]
    return Message(
        **{key: row[key] for key in ("id", "source", "subject", "text", "html", "attachment_name", "created_at")},
        recipients=tuple(row["recipients"]),
        attachment=bytes(content) if content is not None else None,
    )


def messages(inventory: Inventory, *, everything: bool = False) -> list[Row]:
    """Unsent messages, oldest first, without their bodies; ``everything``: the sent and dropped ones too."""
    return inventory.all("outbox_list", all=everything)


def retry(inventory: Inventory, ids: tuple[int, ...] = ()) -> list[int]:
    """Make unsent messages due at once, those of ``ids`` or all; returns their numbers.

    Raises ConfigurationError when one of ``ids`` is not an unsent message.
    """
    with inventory.transaction():
        due = [row["id"] for row in inventory.all("retry_messages", ids=list(ids) or None)]
        if unknown := set(ids) - set(due):
            raise ConfigurationError(f"there is no unsent message {min(unknown)}: see `orbitory outbox list`")
    return sorted(due)
