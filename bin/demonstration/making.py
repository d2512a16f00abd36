"""The demonstration's products: planned from what was archived, made in Airflow, archived in their turn."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demonstration.api import AirflowApi
from orbitory.inventory import Inventory
from orbitory.pge.lineage import lineage

#: What must run for products to be made.
DAGS = ("pge_planning", "pge_execution", "ingest_pge")
#: The PGEs whose products are waited for; what the others make follows while nobody watches.
PGES = ("viirs_quicklook", "viirs_composite")
_UNDER_WAY = ("ready", "running", "delivered")


def states(inventory: Inventory) -> dict[str, Counter[str]]:
    """Instances of each PGE by state."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in inventory.all("pge_states"):
        found[row["pge"]][row["state"]] = row["instances"]
    return found


def open_of(counts: Mapping[str, int]) -> int:
    """Instances that are being made."""
    return sum(counts.get(state, 0) for state in _UNDER_WAY)


def follow(console: Console, api: AirflowApi, inventory: Inventory, *, new: bool, patience_seconds: float) -> None:
    """Plan when there is something ``new``, then show how products are made until all that can be are archived."""
    deadline = time.monotonic() + patience_seconds
    for dag_id in DAGS:
        api.await_dag(dag_id)
        api.unpause(dag_id)
    # An ingest that ended red, as these must, tells nobody of what it archived: planning would find it in five minutes.
    planning = api.trigger("pge_planning") if new or not any(pge in states(inventory) for pge in PGES) else None
    columns = (TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[state]}"), console=console) as progress:
        bars = {pge: progress.add_task(pge, total=None, state="planned") for pge in PGES}
        while True:
            state = api.run_state("pge_planning", planning) if planning else "success"
            if planning and state == "failed":
                raise SystemExit(f"demo: planning failed; see {api.page_of('pge_planning', planning)}")
            told = states(inventory)
            for pge in PGES:
                known = sum(told[pge].values()) - told[pge]["waiting"]
                now = ", ".join(f"{told[pge][each]} {each}" for each in _UNDER_WAY if told[pge][each])
                done = known - open_of(told[pge])
                progress.update(bars[pge], completed=done, total=known or None, state=now)
            if state == "success" and not any(open_of(told[pge]) for pge in PGES):
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"demo: products were not made in {patience_seconds:.0f} s; see {api.address}")
            time.sleep(1)


def ancestry(inventory: Inventory) -> list[str]:
    """From what the newest product of many inputs was made, as lines."""
    for pge in reversed(PGES):
        if (newest := inventory.one("pge_newest_output", pge=pge)) is None:
            continue
        lines = [f"bin/orbitory lineage {newest['name']}"]
        for step in lineage(inventory, newest["name"])["instances"]:
            if step["instance"] == newest["instance_id"]:
                lines += [f"  made {each['blake3'][:16]}  {each['path']}" for each in step["outputs"]]
                lines += [f"  from {each['blake3'][:16]}  {each['file']}" for each in step["inputs"]]
        return lines
    return []
