"""From what a product was made and what was made from it, down to the digests of the files."""

from __future__ import annotations

import re
from typing import Any

from orbitory.errors import NotReady
from orbitory.inventory import Inventory, Row
from orbitory.pge.delivery import SOURCE

#: So many generations are followed in each direction.
_MOST_GENERATIONS = 20
#: As an output stands in the landing zone, or is called for short: ``7-1/file``, ``7/file``.
_DELIVERED = re.compile(r"([0-9]{1,18})(?:-[0-9]+)?/([^/]+)")


def lineage(inventory: Inventory, name: str) -> dict[str, Any]:
    """Every run that led to what is called ``name`` or used it, itself or by its products, oldest first.

    ``name`` is the number of an instance, a file's name, its path in the archive, or the key of a granule.
    Raises NotReady when no PGE ever had to do with it.
    """
    pattern = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    folder, file = match.groups() if (match := _DELIVERED.fullmatch(name)) else (None, name)
    number = name if name.isascii() and name.isdigit() and len(name) < 19 else None
    words = {"name": name, "pattern": pattern, "file": file, "instance": folder, "number": number}
    named = [row["id"] for row in inventory.all("pge_lineage_of_name", **words)]
    if not named:
        raise NotReady(f"no PGE has made or used {name!r}: give an instance, a file name or path, or a granule's key")
    instances = _followed(inventory, set(named), "inputs") | _followed(inventory, set(named), "outputs")
    chosen = sorted(instances)
    inputs = inventory.all("pge_lineage_inputs", instances=chosen)
    outputs = inventory.all("pge_lineage_outputs", instances=chosen, source=SOURCE)
    steps = [
        {
            **{"instance": row["id"], **{key: value for key, value in row.items() if key != "id"}},
            "inputs": [_told(each) for each in inputs if each["instance_id"] == row["id"]],
            "outputs": [_told(each) for each in outputs if each["instance_id"] == row["id"]],
        }
        for row in inventory.all("pge_lineage_steps", instances=chosen)
    ]
    return {"name": name, "instances": steps}


def _followed(inventory: Inventory, named: set[int], direction: str) -> set[int]:
    """The instances and those before them (by their inputs) or after them (by their outputs)."""
    statement = "pge_lineage_makers" if direction == "inputs" else "pge_lineage_users"
    found, new = set(named), set(named)
    for _ in range(_MOST_GENERATIONS):
        if direction == "inputs":
            rows = inventory.all("pge_lineage_inputs", instances=sorted(new))
        else:
            rows = inventory.all("pge_lineage_outputs", instances=sorted(new), source=SOURCE)
        granules = sorted({row["granule_id"] for row in rows if row["granule_id"] is not None})
        new = {row["instance_id"] for row in inventory.all(statement, granules=granules)} - found
        if not new:
            break
        found |= new
    return found


def _told(row: Row) -> dict[str, Any]:
    return {
        **{key: value for key, value in row.items() if key not in ("instance_id", "granule_id", "digest")},
        "blake3": bytes(row["digest"]).hex(),
    }
