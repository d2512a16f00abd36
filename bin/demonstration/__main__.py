"""Start the stack, deliver, run ingest and PGEs in Airflow, follow them, explain what happened."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demonstration import exporting, footprints, making, screen
from demonstration.api import AirflowApi
from demonstration.delivery import FILES, Delivery
from orbitory.inventory import Inventory, connect
from private_stack.places import CHECKOUT, Places
from private_stack.stack import Stack

_PATIENCE_SECONDS = 900
_ENDED = ("success", "failed")


def main() -> int:
    """Returns 0 when everything worked, bad data in quarantine included."""
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 110)
    subprocess.run([CHECKOUT / "bin" / "stack", "up"], check=True)
    stack = Stack(Places.of_environment())
    environment = stack.exports(inventory_only=True)
    landing = Path(os.environ.get("ORBITORY_LANDING", "") or f"{environment['ORBITORY_ROOT']}/landing")
    deliveries = [
        Delivery(source=source, folder=stack.places.home / "demo" / source, landing=landing / source)
        for source in FILES
    ]
    login = stack.login()
    api = AirflowApi(login["address"], login["user"], login["password"])
    _unpause(api)
    new = _deliver(console, deliveries, environment)
    runs = {source: api.trigger(f"ingest_{source}") for source in FILES}
    with connect(environment["ORBITORY_DATABASE"], actor="demo") as inventory:
        _follow(console, api, inventory, runs, deliveries)
        outcomes = [
            _outcome(api, inventory, delivery, runs[delivery.source], delivery in new) for delivery in deliveries
        ]
        for process in (making, footprints):
            process.follow(console, api, inventory, new=bool(new), patience_seconds=_PATIENCE_SECONDS)
        made = making.states(inventory)
        _explain(console, stack, inventory, outcomes)
    arrived = exporting.follow(console, stack.cluster, stack.places.home, environment)
    console.print(f"[bold]Airflow[/]  {login['address']}  user {login['user']}  password {login['password']}")
    for outcome in outcomes:
        console.print(f"[dim]         {outcome.page}[/]")
    console.print(
        "[bold]Try[/]      bin/orbitory status · bin/orbitory quarantine list · bin/orbitory search --product SVM01"
    )
    console.print("         bin/orbitory plan · bin/orbitory why 1 · bin/orbitory stats --pge --per hour")
    console.print("         make down stops it, make demo goes on where it stood, make clean deletes it")
    well = all(outcome.well for outcome in outcomes) and not any(made[pge]["failed"] for pge in making.PGES)
    return 0 if well and arrived else 1


def _deliver(console: Console, deliveries: Sequence[Delivery], environment: dict[str, str]) -> list[Delivery]:
    """Hand over what has not been handed over yet; returns it."""
    new = [delivery for delivery in deliveries if not delivery.handed_over]
    for delivery in new:
        delivery.make(environment)
    for delivery in new:
        delivery.hand_over()
        files = len(delivery.truth())
        console.print(f"{files} files of a delivery with every fault stand in {delivery.landing}", soft_wrap=True)
    for delivery in deliveries:
        delivery.go_on_sending()
    if not new:
        console.print("the delivery was handed over by an earlier demonstration: this run looks for anything new")
    return new


def _unpause(api: AirflowApi) -> None:
    """Let the schedule begin and wait until nothing runs, so that the run we follow is the one that does the work."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for dag_id in (f"ingest_{source}" for source in FILES):
        api.await_dag(dag_id)
        api.unpause(dag_id)
    time.sleep(2)  # the scheduler makes the run that is due, if any
    while any(api.active_runs(f"ingest_{source}") for source in FILES):
        if time.monotonic() > deadline:
            raise SystemExit(f"demo: earlier runs did not end in {_PATIENCE_SECONDS} s; see {api.address}")
        time.sleep(0.5)


def _follow(
    console: Console, api: AirflowApi, inventory: Inventory, runs: dict[str, str], deliveries: Sequence[Delivery]
) -> None:
    """Show each run until it has ended."""
    columns = (
        TextColumn("{task.description:20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}"),
    )
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with Progress(*columns, console=console) as progress:
        bars = {source: progress.add_task(f"ingest_{source}", total=None, state="queued") for source in runs}
        going = dict(runs)
        while going:
            for delivery in deliveries:
                delivery.go_on_sending()
            for source, run in list(going.items()):
                state = api.run_state(f"ingest_{source}", run)
                counts = _counts(inventory, source)
                done = sum(counts.get(fate, 0) for fate in screen.FATES)
                progress.update(bars[source], completed=done, total=sum(counts.values()) or None, state=state)
                if state in _ENDED:
                    del going[source]
            if time.monotonic() > deadline:
                raise SystemExit(f"demo: {', '.join(going)} did not end in {_PATIENCE_SECONDS} s; see {api.address}")
            time.sleep(1)


def _counts(inventory: Inventory, source: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in inventory.all("status_counts"):
        if row["source"] == source:
            counts[row["state"]] = counts.get(row["state"], 0) + row["files"]
    return counts


def _outcome(api: AirflowApi, inventory: Inventory, delivery: Delivery, run: str, new: bool) -> screen.Outcome:
    dag_id = f"ingest_{delivery.source}"
    failed = {task["task_id"] for task in api.tasks(dag_id, run) if task["state"] in ("failed", "upstream_failed")}
    return screen.Outcome(
        source=delivery.source,
        run_state=api.run_state(dag_id, run),
        page=api.page_of(dag_id, run),
        broken=tuple(sorted(failed - {"report"})),
        counts=_counts(inventory, delivery.source),
        foretold=delivery.foretold() if new else {},
    )


def _explain(console: Console, stack: Stack, inventory: Inventory, outcomes: Sequence[screen.Outcome]) -> None:
    console.print()
    screen.fates(console, outcomes)
    screen.quarantine(console, inventory.all("status_quarantine"))
    screen.waiting(console, inventory.all("status_waiting"))
    screen.products(console, making.states(inventory), making.ancestry(inventory))
    screen.footprints(console, footprints.told(inventory, stack.places.site / "reports"))
    screen.mails(console, stack.places.mail)


if __name__ == "__main__":
    sys.exit(main())
