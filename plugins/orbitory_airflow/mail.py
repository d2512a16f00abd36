"""Sends one message of the outbox, by the SMTP notifier, over the Connection ``orbitory_smtp``."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import cached_property
from typing import Any

from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

from orbitory.outbox import Message, Refused

#: Airflow Connection of the mail server; its extra field ``from_email`` is the sender.
MAIL_SERVER = "orbitory_smtp"
#: Lines that any server takes, whatever stands in them.
_POLICY = SMTP.clone(cte_type="7bit")
_PERMANENT = 500


def send(message: Message) -> None:
    """Hand it to the mail server, or raise: Refused when the server will never take it."""
    try:
        # Called without Airflow's rendering on purpose: subject and body hold foreign text, which must not meet Jinja.
        _Notifier(message).notify({})
    except smtplib.SMTPRecipientsRefused as error:
        if all(code >= _PERMANENT for code, _ in error.recipients.values()):
            raise Refused(str(error)) from error
        raise
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        if error.smtp_code >= _PERMANENT:
            raise Refused(str(error)) from error
        raise


class _Notifier(SmtpNotifier):
    """Airflow's own, with our message in its hands."""

    def __init__(self, message: Message) -> None:
        super().__init__(
            to=list(message.recipients),
            subject=message.subject,
            html_content=message.html,
            smtp_conn_id=MAIL_SERVER,
        )
        self._message = message

    @cached_property
    def hook(self) -> SmtpHook:
        return _Hook(self._message)


class _Hook(SmtpHook):
    """Airflow's connection to the server; what it builds has a text form, an attachment and a stable Message-ID too."""

    def __init__(self, message: Message) -> None:
        super().__init__(smtp_conn_id=MAIL_SERVER)
        self._message = message

    def _build_mime_message(self, mail_from: str | None, *_: Any, **__: Any) -> tuple[EmailMessage, list[str]]:
        message, sender = self._message, str(mail_from)
        domain = sender.rpartition("@")[2].strip("> ") or "localhost"
        # The address that every mail domain must have (RFC 5321, 4.5.1): a failure is never told to nobody.
        recipients = list(message.recipients) or [f"postmaster@{domain}"]
        mail = EmailMessage(policy=_POLICY)
        mail["Subject"], mail["From"], mail["To"] = message.subject, sender, ", ".join(recipients)
        mail["Date"], mail["Message-ID"] = format_datetime(message.created_at), f"<{message.key}@{domain}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no automatic answers
        mail.set_content(message.text)
        mail.add_alternative(message.html, subtype="html")
        if message.attachment is not None:
            name = str(message.attachment_name)
            kind, form = ("application", "gzip") if name.endswith(".gz") else ("text", "csv")
            mail.add_attachment(message.attachment, maintype=kind, subtype=form, filename=name)
        return mail, recipients
