"""The demonstration's master footprints: rasters opened and read, footprints evaluated, duplicates shown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from demonstration.api import AirflowApi
from orbitory.inventory import Inventory
from orbitory.mfp.report import PAGE

#: What is run, one after the other.
DAGS = ("raster_validation", "mfp_evaluation")
_ENDED = ("success", "failed")


def follow(console: Console, api: AirflowApi, inventory: Inventory, *, new: bool, patience_seconds: float) -> None:
    """Validate and evaluate when there is something ``new``, or when it was never done."""
    if not new and inventory.one("mfp_run_of", run=None):
        return
    deadline = time.monotonic() + patience_seconds
    for dag_id in DAGS:
        api.await_dag(dag_id)
        api.unpause(dag_id)
        run = api.trigger(dag_id)
        with console.status(f"{dag_id} …"):
            while (state := api.run_state(dag_id, run)) not in _ENDED:
                if time.monotonic() > deadline:
                    raise SystemExit(f"demo: {dag_id} did not end; see {api.page_of(dag_id, run)}")
                time.sleep(0.5)
        console.print(f"{dag_id:20} {state}  [dim]{api.page_of(dag_id, run)}[/]")


def told(inventory: Inventory, reports: Path) -> Iterator[str]:
    """What the newest evaluation came to, as lines."""
    run = inventory.one("mfp_run_of", run=None)
    if run is None:
        return
    counts, aside = run["counts"], inventory.all("mfp_aside", limit=1)
    yield (
        f"Master footprints: {counts['rows']:,} images, the best of each scene;"
        f" {aside[0]['aside'] if aside else 0:,} stand aside;"
        f" {counts['errors']:,} errors, {counts['warnings']:,} warnings"
    )
    yield f"  map, coverage and findings: {reports / 'mfp' / str(run['id']) / PAGE}"
    for row in aside:
        yield f"  {row['key']} stands aside for {row['keeper']}"
        yield f"  why: bin/orbitory mfp explain {row['catalog_id']}"
        yield "  what could be removed; goes only by the hash that is shown: bin/orbitory duplicates"
