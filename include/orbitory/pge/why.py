"""Why an instance is in the state in which it is, in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orbitory.errors import ConfigurationError
from orbitory.inventory import Inventory, Row
from orbitory.pge.missing import in_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The answer, and what it is drawn from."""

    instance: int
    pge: str
    version: str
    period: str
    state: str
    why: str
    missing: tuple[dict[str, Any], ...]
    input_hash: str | None
    expires_at: datetime | None
    wake_at: datetime | None


def why(inventory: Inventory, instance: int) -> Why:
    """The answer for one instance. Raises ConfigurationError when there is none of that number."""
    row = inventory.one("plan_why", instance=instance)
    if row is None:
        raise ConfigurationError(
            f"there is no PGE instance {instance}: `orbitory plan` lists those that are not finished"
        )
    told = {name: row[name] for name in ("instance", "pge", "version", "period", "state", "input_hash")}
    return Why(
        **told,
        why=_sentence(row),
        missing=tuple(row["missing"]),
        expires_at=row["expires_at"],
        wake_at=row["wake_at"],
    )


def _sentence(row: Row) -> str:
    match row["state"]:
        case "waiting":
            sentence = f"waiting: {in_words(row['missing'])}; given up {_moment(row['expires_at'])}"
        case "ready":
            place = "next" if not row["ahead"] else f"behind {row['ahead']} others"
            sentence = (
                f"ready since {_moment(row['ready_at'])} with {row['inputs']} inputs: {place} in queue {row['queue']}"
            )
            sentence += f"; {_reason(row)}" if row["reason"] else ""
        case "running":
            sentence = f"running since {_moment(row['started_at'])}, try {row['tries']}, by {row['owner']}"
        case "delivered":
            sentence = f"delivered {_moment(row['finished_at'])}: done as soon as all of it is archived"
        case "done":
            sentence = f"done {_moment(row['finished_at'])}: its outputs are archived"
        case "superseded" if row["superseded_by"] is not None:
            sentence = f"superseded by instance {row['superseded_by']}: {_reason(row)}"
        case state:
            sentence = f"{state}: {_reason(row)}"
    if row["stale_at"] is not None:
        sentence += f"; better inputs are known since {_moment(row['stale_at'])}"
    return sentence


_REASONS = {
    "better_inputs": "better inputs came",
    "new_version": "the catalogue has another version of the PGE",
    "same_inputs": "it would have been made from the same inputs as another",
}


def _reason(row: Row) -> str:
    code = row["reason"] or "no reason was kept"
    return _REASONS.get(code, code) + (f": {row['detail']}" if row["detail"] else "")


def _moment(value: datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC" if value else "at no known time"
