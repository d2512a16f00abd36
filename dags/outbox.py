"""
Sends the messages that wait in the outbox, over the Connection `orbitory_smtp`.

The message about a failed ingest is kept in the inventory together with the verdict, and sent at once if the mail
server answers. What it did not take is tried again here after a minute, two, four, … an hour, for about four days;
then the message is given up and **this DAG fails once**. `orbitory outbox list` shows what waits and why;
`orbitory outbox retry` makes it due at once. No message is lost while the mail server is away, and no run waits for it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import CronTriggerTimetable, dag, task

from orbitory_airflow.notices import send_due
from orbitory_airflow.policy import DEFAULTS


@dag(
    dag_id="outbox",
    description="Sends the messages that the mail server has not taken yet",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("* * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["mail"],
    default_args=DEFAULTS,
)
def outbox() -> None:
    @task
    def send() -> None:
        """Send what is due, oldest first."""
        send_due()

    send()


outbox()
