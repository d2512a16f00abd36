"""report: the run's verdict, from the ledger and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from orbitory import outages, outbox, receipts
from orbitory.catalogue import Source
from orbitory.inventory import Row
from orbitory.model import OPEN_STATES, State
from orbitory.pge.delivery import SOURCE as OUTPUTS
from orbitory.pge.recovery import settle
from orbitory.site import Site

_COUNTED = (State.ARCHIVED, State.DUPLICATE, State.CONFLICT, State.REJECTED, State.WAITING)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run's figures, in files: sidecars and manifests included, with the fate of their granule."""

    run: int | None
    detected: int = 0
    archived: int = 0
    duplicate: int = 0
    conflict: int = 0
    rejected: int = 0
    waiting: int = 0
    #: Bytes archived.
    bytes: int = 0
    seconds: float = 0.0
    #: Files that were rejected, are in conflict or lost.
    bad: int = 0
    #: Whether every file of every batch met its fate and left the landing zone.
    finished: bool = False
    #: Why the run failed, in words; empty when all is well.
    problems: tuple[str, ...] = ()
    #: The message about a failed run, as text; empty when nobody asked for one.
    told: str = ""

    @property
    def failed(self) -> bool:
        """Whether someone should look."""
        return bool(self.problems)

    @property
    def message(self) -> str:
        """One paragraph for the log and the alert."""
        counts = ", ".join(f"{getattr(self, state.value)} {state.value}" for state in _COUNTED)
        return f"run {self.run}: {self.detected} detected = {counts}. " + " ".join(self.problems)

    def as_dict(self) -> dict[str, int | float | None]:
        """The figures as other systems read them."""
        names = ("run", "detected", *(state.value for state in _COUNTED), "bytes")
        return {name: getattr(self, name) for name in names} | {"seconds": round(self.seconds, 3)}


def report(site: Site, source_name: str, *, link: str = "", trouble: str = "") -> RunReport:
    """Read what became of this actor's run, write its statistics and verdict, and say what is wrong.

    May be repeated. A run without a row, unfinished batches, lost files, and rejects above the source's tolerance are
    problems; so is a ledger that does not balance, and ``trouble`` that the caller knows of. ``link``: where people
    read more; given, the message about a failed run goes to the outbox in the same transaction. Nothing waits for a
    mail server. A run that only an outage has stopped has no message: the outage was told when it began. A run that
    leaves nothing undone ends the outages of its source.
    """
    source = site.catalogue.source(source_name)
    with site.inventory.transaction():
        result = _verdict(site, source, trouble)
        stopping: list[str] = []
        if result.finished:
            outages.end(site.inventory, source)
        else:
            stopping = outages.stopping(site.inventory, source, actor=site.actor)
            result = replace(result, problems=(*result.problems, *stopping))
        if link and result.failed and (result.bad or not stopping):
            about = {"actor": site.actor, "verdict": result.message, "link": link}
            result = replace(result, told=outbox.tell_failure(site.inventory, source, **about).text)
        elif link and not result.failed:
            outbox.withdraw_failure(site.inventory, source, actor=site.actor)
    receipts.acknowledge(site, source)
    if source.name == OUTPUTS:
        settle(site)
    return result


def _verdict(site: Site, source: Source, trouble: str) -> RunReport:
    """Judge the run and write it down."""
    more = (trouble,) if trouble else ()
    run = site.inventory.one("find_run", source=source.name, actor=site.actor)
    if run is None:
        unopened = "no run was opened: detect failed before it could look at the landing zone"
        return RunReport(run=None, problems=(unopened, *more))
    number = run["id"]
    site.inventory.run("close_empty_batches", run=number)
    rows = site.inventory.all("ledger_of_run", run=number)
    unfinished = site.inventory.all("unfinished_of_run", run=number)
    stuck = site.inventory.all("stuck_in_landing", source=source.name, run=number)
    result = _judge(run, rows, unfinished, stuck, source.reject_tolerance)
    result = replace(result, finished=result.finished and not trouble, problems=(*result.problems, *more))
    site.inventory.run("forget_statistics", run=number)
    site.inventory.run("write_statistics", run=number)
    verdict = "failed" if result.failed else "success"
    site.inventory.run("finish_run", run=number, verdict=verdict, counts=json.dumps(result.as_dict()))
    return result


def _judge(run: Row, rows: list[Row], unfinished: list[Row], stuck: list[Row], tolerance: float) -> RunReport:
    files: dict[str, int] = {}
    for row in rows:
        files[row["state"]] = files.get(row["state"], 0) + row["files"]
    counts = {state.value: files.get(state.value, 0) for state in _COUNTED}
    still_open = sum(files.get(state.value, 0) for state in OPEN_STATES)
    problems = [
        f"Batch {row['id']} ({row['partition']}) has {row['files']} files left as {row['state']}." for row in unfinished
    ]
    if still_open != sum(row["files"] for row in unfinished):
        problems.append(f"{still_open} files are open, but not all of them in a batch of this run.")
    if stuck:
        problems.append(f"{len(stuck)} settled files could not leave landing, first {stuck[0]['name']}: see the log.")
    if lost := files.get(State.LOST.value, 0):
        problems.append(f"{lost} files are lost: they vanished from landing before they were archived.")
    bad = counts["rejected"] + counts["conflict"]
    judged = bad + counts["archived"] + counts["duplicate"]
    if bad and bad > tolerance * judged:
        problems.append(
            f"{counts['rejected']} files were rejected and {counts['conflict']} are in conflict, see quarantine."
        )
    counts[State.WAITING.value] += still_open  # whatever their state, they still stand in landing
    return RunReport(
        run=run["id"],
        detected=sum(counts.values()),
        bytes=sum(row["bytes"] for row in rows if row["state"] == State.ARCHIVED.value),
        seconds=run["seconds"],
        bad=bad + lost,
        finished=not (unfinished or still_open or stuck),
        problems=tuple(problems),
        told="",
        **counts,
    )
