"""What was made from inputs, or by a version of a PGE, that is not the newest any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orbitory.catalogue import Catalogue
from orbitory.inventory import Inventory

#: So many are told at once.
MOST_STALE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """An instance whose outputs a better one could replace."""

    instance: int
    pge: str
    version: str
    period: str
    state: str
    #: inputs: better ones are known; version: the catalogue has another.
    reason: str
    since: datetime | None
    sensing_start: datetime
    sensing_end: datetime
    #: Inputs that were replaced or have gone: input, granule, version, newer version, state.
    inputs: tuple[dict[str, Any], ...]
    #: Names of what it made.
    outputs: tuple[str, ...]
    detail: str


def stale(inventory: Inventory, catalogue: Catalogue) -> list[Stale]:
    """Stale outputs, by PGE and time. Planning replaces those whose definition says ``late = "replan"``."""
    rows = inventory.all(
        "plan_stale_list",
        pges=list(catalogue.pges),
        versions=[each.version for each in catalogue.pges.values()],
        limit=MOST_STALE,
    )
    found = []
    for row in rows:
        by_inputs = row["stale_at"] is not None
        told = {name: row[name] for name in ("instance", "pge", "version", "period", "state")}
        found.append(
            Stale(
                **told,
                reason="inputs" if by_inputs else "version",
                since=row["stale_at"],
                sensing_start=row["sensing_start"],
                sensing_end=row["sensing_end"],
                inputs=tuple(row["inputs"]),
                outputs=tuple(row["outputs"]),
                detail=_inputs_in_words(row["inputs"]) if by_inputs else _version_in_words(row, catalogue),
            )
        )
    return found


def _inputs_in_words(inputs: list[dict[str, Any]]) -> str:
    told = [
        f"{each['input']}: {each['granule']} {each['version']} → {each['newer']}"
        if each["newer"] is not None
        else f"{each['input']}: {each['granule']} is {each['state']}"
        for each in inputs
    ]
    return "; ".join(told) or "more inputs came, or better suited ones"


def _version_in_words(row: dict[str, Any], catalogue: Catalogue) -> str:
    return f"made by version {row['version']}, the catalogue has {catalogue.pges[row['pge']].version}"
