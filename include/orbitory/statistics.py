"""How much the archive holds, counted by sensor, year, product and so on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orbitory.errors import ConfigurationError
from orbitory.inventory import Inventory

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
