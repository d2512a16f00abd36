"""outbox list and retry: messages to people that the mail server has not taken."""

from __future__ import annotations

import argparse
from typing import Any

from orbitory.cli import deployment
from orbitory.cli.output import moment, say, write_json, write_json_array, write_table

_LARGEST_ID = (1 << 63) - 1


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verb and its parts."""
    outbox = verbs.add_parser("outbox", help="messages about failed runs: what waits for the mail server, and why")
    parts = outbox.add_subparsers(dest="part", metavar="list|retry", required=True)

    listing = parts.add_parser("list", help="messages that were not sent")
    listing.add_argument("--all", action="store_true", help="the sent and dropped ones too")
    deployment.add_json(listing)
    listing.set_defaults(run=_list)

    retry = parts.add_parser(
        "retry",
        help="make messages due at once, also those that were given up",
        description="The DAG `outbox` sends them within a minute.",
    )
    retry.add_argument(
        "ids", nargs="*", type=deployment.number(_LARGEST_ID), metavar="ID", help="none: all unsent ones"
    )
    deployment.add_json(retry)
    retry.set_defaults(run=_retry)


def _list(options: argparse.Namespace) -> int:
    from orbitory.outbox import messages

    with deployment.inventory() as inventory:
        rows = messages(inventory, everything=options.all)
    if options.json:
        write_json_array(rows)
        return 0
    write_table(
        ("ID", "SINCE", "STATE", "TRIES", "NEXT TRY", "TO", "SUBJECT", "LAST ERROR"),
        [
            (
                *(row["id"], moment(row["created_at"])[:19], row["state"], row["tries"], moment(row["next_try"])[:19]),
                *(", ".join(row["recipients"]) or "postmaster", row["subject"], row["last_error"]),
            )
            for row in rows
        ],
    )
    return 0


def _retry(options: argparse.Namespace) -> int:
    from orbitory.outbox import retry

    with deployment.inventory() as inventory:
        due = retry(inventory, tuple(options.ids))
    if options.json:
        write_json([{"id": number, "state": "pending"} for number in due])
    say(f"{len(due)} messages are due now: the DAG `outbox` sends them")
    return 0
