"""Running one PGE instance: claim, stage, execute, check, deliver; and what follows when that goes wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence

from orbitory.catalogue import Pge
from orbitory.errors import ConfigurationError, OrbitoryError, Transient
from orbitory.pge import alert, delivery, staging
from orbitory.pge.claims import Held, Overtaken, Result, end, finish_delivery, result_of, take, was_delivered
from orbitory.pge.executor import Ending, Executor, LocalExecutor, Run
from orbitory.pge.failures import FINAL, RunFailed, kept
from orbitory.pge.heartbeat import beating
from orbitory.provenance import Ingredient
from orbitory.site import Site

log = logging.getLogger(__name__)

_SIGNED = {Ending.TIMEOUT: "timeout", Ending.MEMORY: "memory", Ending.DISK: "disk", Ending.KILLED: "killed"}
_REFUSALS = ("Permission denied", "Read-only file system", "Operation not permitted", "Network is unreachable")


def run(
    site: Site,
    instance: int,
    executor: Executor | None = None,
    stopped: Callable[[], bool] = lambda: False,
    *,
    afresh: bool = True,
) -> Result:
    """One try of an instance: from its inputs to its delivery, unless it was delivered before.

    ``afresh``: a person asks, so one that failed or was cancelled starts again. ``stopped`` ends it early, and leaves
    it cancelled. Raises NotReady when it is not its turn, Transient when the machine is in the way (it is then as if
    it had not been tried), ConfigurationError when there is no such instance.
    """
    held = take(site, instance, afresh=afresh)
    if isinstance(held, Result):
        return held
    runs: list[Run] = []
    try:
        with beating(held) as holds:
            return _attempt(held, executor or LocalExecutor(), lambda: holds() and not stopped(), runs)
    except RunFailed as failure:
        return _failed(held, failure, runs)
    except Overtaken:
        raise
    except OrbitoryError as error:
        if landed := _landed(held):
            return landed
        staging.discard(site.settings.work, held.row["folder"])
        _set_back(held, str(error))
        raise
    except Exception as error:
        if not _landed(held):
            _failed(held, RunFailed("bug", f"{type(error).__name__}: {error}"), runs)
        raise
    except BaseException:  # a person, or the machine, ends us
        if not _landed(held):
            _cancelled(held, "ended from outside while it ran", runs)
        raise


def _attempt(held: Held, executor: Executor, wanted: Callable[[], bool], runs: list[Run]) -> Result:
    site, work_zone = held.site, held.site.settings.work
    pge = _definition(held)
    work = staging.prepare(work_zone, held.row["folder"], pge)
    rows = site.inventory.all("pge_inputs", instance=held.id)
    staged = staging.stage(work, site.settings.storage, rows, link=executor.protects_inputs)
    staging.configure(work, held.row, staged)
    if not held.beat():
        raise Overtaken(f"instance {held.id} was cancelled or taken over while its inputs were staged")
    job = staging.job_of(work, pge)
    log.info("PGE instance %d, try %d, runs on %d inputs in %s", held.id, held.row["tries"], len(staged), work.folder)
    runs.append(executor.run(job, wanted))
    if runs[-1].ending is Ending.CANCELLED:
        return _cancelled(held, "ended while it ran", runs)
    _judge(runs[-1])
    staging.require_unchanged(staged)
    outputs = delivery.check(pge, held.row, site.catalogue, work.out)
    _deliver(held, outputs, [each.ingredient for each in staged], runs[-1])
    staging.discard(work_zone, held.row["folder"])
    log.info("PGE instance %d (%s %s) delivered %d files", held.id, pge.name, held.row["period_key"], len(outputs))
    return result_of(held.row, "delivered", runs[-1].figures())


def _deliver(held: Held, outputs: Sequence[delivery.Output], ingredients: Sequence[Ingredient], ran: Run) -> None:
    """What was made, into the landing zone; nothing where nothing was promised."""
    inventory, home = held.site.inventory, delivery.home(held.site)
    folder = None
    if outputs:
        folder, outputs = delivery.assemble(home, held.row, outputs, ingredients)
    with held.writing():  # first the intent, …
        inventory.run("pge_forget_outputs", instance=held.id)
        inventory.run("pge_ran", instance=held.id, run=json.dumps(ran.figures()), log_tail=kept(ran.log_tail))
        inventory.copy_in("pge_copy_outputs", ((held.id, o.name, o.product, o.digest, o.size) for o in outputs))
    with held.writing():  # … then the files
        if folder:
            delivery.publish(home, folder, delivery.folder_of(held.row))
        inventory.run("pge_delivered", instance=held.id)


def _definition(held: Held) -> Pge:
    try:
        pge = held.site.catalogue.pge(held.row["pge"])
    except ConfigurationError as error:
        raise RunFailed("definition", str(error)) from None
    if pge.version != held.row["version"]:
        raise RunFailed(
            "definition", f"the catalogue has version {pge.version} of {pge.name}, this instance is for another"
        )
    return pge


def _judge(run: Run) -> None:
    """Raises RunFailed unless the program ended well."""
    last = run.log_tail.strip().rpartition("\n")[2][-500:]
    said = f"; its last line: {last}" if last else ""
    match run.ending:
        case Ending.EXITED if run.exit_status == 0:
            return
        case Ending.EXITED:
            refused = any(word in run.log_tail[-4000:] for word in _REFUSALS)
            raise RunFailed("outside" if refused else "exit", f"it ended with exit status {run.exit_status}{said}")
        case Ending.ABSENT:
            raise RunFailed("executable_absent", "there is no such program")
        case Ending.NOT_EXECUTABLE:
            raise RunFailed("not_executable", "the program cannot be executed")
        case _:
            by = f" by signal {run.signal}" if run.ending is Ending.KILLED else ""
            used = f"after {run.wall_seconds:.1f} s, {run.cpu_seconds:.1f} CPU s, {run.peak_bytes >> 20} MB memory"
            raise RunFailed(_SIGNED[run.ending], f"ended{by} {used}, {run.disk_bytes >> 20} MB on disk{said}")


def _failed(held: Held, failure: RunFailed, runs: list[Run]) -> Result:
    """State the reason; ready for another try while there are some left, else a person is told."""
    final = failure.code in FINAL or held.row["tries"] > _retries(held)
    state = "failed" if final else "ready"
    with held.writing():
        end(held.site, held.row, (state, failure.code, failure.detail), runs)
        if final:
            alert.tell(held.site, held.row, failure.code, failure.detail)
    fate = "failed" if final else "will be tried again"
    log.warning("PGE instance %d (%s) %s: %s", held.id, held.row["pge"], fate, failure)
    return result_of(held.row, state, runs[-1].figures() if runs else {}, failure)


def _retries(held: Held) -> int:
    pge = held.site.catalogue.pges.get(held.row["pge"])
    return pge.run.retries if pge else 0


def _landed(held: Held) -> Result | None:
    """Whatever ended the try: if its outputs had appeared in the landing zone by then, it is delivered."""
    try:
        with held.writing():
            row = held.site.inventory.one("pge_lock", instance=held.id)
            return finish_delivery(held.site, row) if row and was_delivered(held.site, row) else None
    except Transient as error:  # whoever takes the instance next will look
        log.warning("instance %d ends: %s", held.id, error)
        return None


def _cancelled(held: Held, detail: str, runs: list[Run]) -> Result:
    """What is not wanted any more lets go of its inputs; one that another try runs now is left to that."""
    try:
        with held.writing():
            end(held.site, held.row, ("cancelled", "ended", detail), runs)
    except Transient as error:
        log.warning("instance %d ends: %s", held.id, error)
    return result_of(held.row, "cancelled", runs[-1].figures() if runs else {}, RunFailed("ended", detail))


def _set_back(held: Held, detail: str) -> None:
    """As if it had not been tried: the machine is at fault, not the PGE."""
    try:
        with held.writing():
            held.site.inventory.run("pge_untry", instance=held.id)
            end(held.site, held.row, ("ready", None, detail), [])
    except Transient as error:  # its lease will pass
        log.warning("instance %d ends: %s", held.id, error)
