"""Decisions into the inventory: one COPY and a few statements for a whole round, in the caller's transaction."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from orbitory.errors import Transient
from orbitory.inventory import Inventory, Row
from orbitory.pge.decisions import Case, Decision, Decisions, Made
from orbitory.pge.verdict import Known

_NEW = (
    *("int8", "text", "text", "text", "text", "text", "text", "bytea", "bytea", "text", "int4", "text"),
    *("timestamptz", "timestamptz", "timestamptz", "timestamptz", "int8"),
)
_CHANGED = (*("int8", "text", "text", "bytea", "bytea", "text", "text", "text", "timestamptz", "timestamptz"),)
_INPUT = ("int8", "text", "int4", "int8", "int8", "text", "bytea")


def known(row: Row) -> Known:
    """The live instance of a period, as ``plan_known`` reads it."""
    return Known(
        id=row["id"],
        state=row["state"],
        claimed=row["claimed"],
        input_hash=_bytes(row["input_hash"]),
        selected=_bytes(row["selected"]),
        missing=tuple(row["missing"]),
        settled_at=row["settled_at"],
        expires_at=row["expires_at"],
        wake_at=row["wake_at"],
        stale_at=row["stale_at"],
    )


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)


def made(inventory: Inventory, cases: Iterable[Case]) -> Made:
    """What was ever made from the inputs of these cases."""
    asked = [
        (case.plan.pge.name, case.plan.pge.version, case.verdict.input_hash)
        for case in cases
        if case.verdict.input_hash is not None
    ]
    if not asked:
        return {}
    names, versions, hashes = (list(column) for column in zip(*asked, strict=True))
    rows = inventory.all("plan_made", pges=names, versions=versions, hashes=hashes)
    return {(row["pge"], bytes(row["input_hash"])): (row["id"], row["state"]) for row in rows}


def lost(inventory: Inventory, cases: Iterable[Case]) -> frozenset[int]:
    """Finished instances some of whose inputs have left the archive for good."""
    ended = [case.known.id for case in cases if case.known and case.known.state in ("done", "failed")]
    return frozenset(row["id"] for row in inventory.all("plan_lost", instances=ended)) if ended else frozenset()


def write(inventory: Inventory, decisions: Decisions, now: datetime) -> None:
    """Carry them out."""
    if decisions.supersede:
        inventory.run("plan_supersede", instances=decisions.supersede)
    if decisions.fresh:
        inventory.run("plan_mark_fresh", instances=decisions.fresh)
    if decisions.stale:
        numbers, moments = (list(column) for column in zip(*decisions.stale, strict=True))
        inventory.run("plan_mark_stale", instances=numbers, wake=moments)
    new = [each for each in decisions.rows if each.known is None]
    changed = [(each.known, each) for each in decisions.rows if each.known is not None]
    numbered: list[tuple[int, Decision]] = []
    if new:
        ids = [row["id"] for row in inventory.all("plan_numbers", count=len(new))]
        numbered = list(zip(ids, new, strict=True))
        inventory.copy_in("plan_copy_instances", (_new(number, each, now) for number, each in numbered), _NEW)
    if changed:
        inventory.run("plan_create_changed")
        inventory.copy_in("plan_copy_changed", (_changed(number, each) for number, each in changed), _CHANGED)
        inventory.run("plan_update")
        inventory.run("plan_drop_changed")
        inventory.run("plan_forget_inputs", instances=[number for number, _ in changed])
    _freeze(inventory, [pair for pair in numbered + changed if pair[1].state == "ready"])


def _new(number: int, each: Decision, now: datetime) -> Sequence[Any]:
    pge, period, verdict = each.plan.pge, each.period, each.verdict
    ready = each.state == "ready"
    return (
        *(number, pge.name, pge.version, period.key, period.platform, _sensing(each), each.state),
        *(verdict.input_hash, verdict.selected, json.dumps(verdict.missing), pge.run.priority, pge.run.queue),
        *(verdict.settled_at, now if ready else None, verdict.expires_at),
        *(None if ready else verdict.wake_at, each.supersedes),
    )


def _changed(number: int, each: Decision) -> Sequence[Any]:
    verdict = each.verdict
    return (
        *(number, _sensing(each), each.state, verdict.input_hash if each.state == "ready" else None, verdict.selected),
        *(each.reason, each.detail, json.dumps(verdict.missing), verdict.settled_at),
        verdict.wake_at if each.state == "waiting" else None,
    )


def _sensing(each: Decision) -> str:
    start, end = each.period.start.isoformat(), each.period.end.isoformat()
    return f"[{start},{end}{']' if start == end else ')'}"


def _freeze(inventory: Inventory, ready: list[tuple[int, Decision]]) -> None:
    """Write down what the ready ones are made from: files and digests, in the order in which their PGE gets them."""
    if not ready:
        return
    granules = {granule.id for _, each in ready for found in each.verdict.found.values() for granule in found.granules}
    files: dict[int, list[Row]] = defaultdict(list)
    for row in inventory.all("plan_files", granules=list(granules)):
        files[row["granule_id"]].append(row)
    inventory.copy_in("plan_copy_inputs", (row for pair in ready for row in _inputs(*pair, files)), _INPUT)


def _inputs(number: int, each: Decision, files: Mapping[int, list[Row]]) -> Iterator[Sequence[Any]]:
    for rule in each.plan.pge.inputs:
        if rule.kind == "file":
            yield number, rule.name, 1, None, None, rule.path, each.verdict.files[rule.name]
            continue
        chosen: list[Row] = []
        for granule in each.verdict.found[rule.name].granules:
            mine = [file for file in files.get(granule.id, ()) if file["role"] in rule.roles]
            if not mine:
                raise Transient(f"granule {granule.key} lost its file while it was planned: the next planning decides")
            chosen += mine
        for ordinal, file in enumerate(chosen, 1):
            yield number, rule.name, ordinal, file["granule_id"], file["asset_id"], None, file["digest"]
