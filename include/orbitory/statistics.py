"""How much the archive holds, counted by sensor, year, product and so on; and what PGEs did, by hour or day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orbitory.errors import ConfigurationError
from orbitory.inventory import Inventory, Row

#: What granules can be counted by. ``form`` is the grammar of the name, where it was kept.
DIMENSIONS = ("source", "product", "sensor", "platform", "classification", "form", "year", "month")
_MOST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """One line of the statistics; a value is None where the granules have none (undated, for example)."""

    values: tuple[str | None, ...]
    granules: int
    #: Earliest and latest begin of sensing, UTC.
    first: datetime | None
    last: datetime | None


def count(inventory: Inventory, by: Sequence[str], *, all_versions: bool = False) -> list[Count]:
    """Archived granules by these dimensions, the newest versions alone unless ``all_versions``.

    Raises ConfigurationError for a dimension that is not one, stands twice, or is one too many.
    """
    if unknown := [each for each in by if each not in DIMENSIONS]:
        raise ConfigurationError(f"cannot count by {unknown[0]!r}: known are {', '.join(DIMENSIONS)}")
    if len(by) > _MOST or len(set(by)) < len(by):
        raise ConfigurationError(f"count by at most {_MOST} different dimensions, got {','.join(by)}")
    one, two, three = [*by, None, None, None][:_MOST]
    rows = inventory.all("statistics_granules", one=one, two=two, three=three, all_versions=all_versions)
    return [
        Count(
            values=(row["one"], row["two"], row["three"])[: len(by)],
            granules=row["granules"],
            first=row["first"],
            last=row["last"],
        )
        for row in rows
    ]


def pges(inventory: Inventory, per: str) -> dict[str, Any]:
    """What PGEs did by ``hour`` or ``day`` (UTC), and what waits or runs now.

    ``throughput`` is read from the history, so every try counts; ``runs`` tells of the last try of each instance.
    """
    if per not in ("hour", "day"):
        raise ConfigurationError(f"cannot count PGEs per {per!r}: known are hour, day")
    told: dict[str, list[Row]] = {
        "throughput": inventory.all("pge_throughput", per=per),
        "runs": inventory.all("pge_runs", per=per),
    }
    return {"per": per, **told, "backlog": inventory.all("pge_backlog")}
