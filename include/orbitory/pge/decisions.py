"""From verdicts to what is written: new instances, changed ones, superseded ones. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orbitory.pge.granules import Period
from orbitory.pge.missing import in_words
from orbitory.pge.periods import Plan
from orbitory.pge.verdict import Known, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One instance to insert (``known`` is None) or to change."""

    plan: Plan
    period: Period
    verdict: Verdict
    known: int | None = None
    state: str
    reason: str | None = None
    detail: str | None = None
    supersedes: int | None = None


@dataclass(slots=True)
class Decisions:
    """All that one round of planning writes."""

    rows: list[Decision] = field(default_factory=list)
    supersede: list[int] = field(default_factory=list)
    #: With the moment at which to look again; None: only when something arrives.
    stale: list[tuple[int, datetime | None]] = field(default_factory=list)
    fresh: list[int] = field(default_factory=list)


#: (PGE, input hash) → (instance, state) of everything ever made.
Made = Mapping[tuple[str, bytes], tuple[int, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A period with what is known and what planning says."""

    plan: Plan
    period: Period
    known: Known | None
    verdict: Verdict
    #: It was given up before.
    late: bool = False


def decide(cases: list[Case], made: Made, lost: AbstractSet[int], now: datetime) -> Decisions:
    """What follows from the verdicts. ``lost``: those whose inputs have left the archive for good."""
    told = Decisions()
    for case in cases:
        known, verdict = case.known, case.verdict
        twin = made.get((case.plan.pge.name, verdict.input_hash)) if verdict.input_hash else None
        if known is None:
            if twin is None and (not case.late or verdict.selected is not None):
                told.rows.append(_row(case, verdict.state))
        elif known.open:
            _open(case, known, twin, told)
        elif known.state != "waiting":
            hopeless = twin is not None or known.id in lost
            _begun(case, known, hopeless, now, told)
    return told


def _row(case: Case, state: str, **more: Any) -> Decision:
    return Decision(plan=case.plan, period=case.period, verdict=case.verdict, state=state, **more)


def _open(case: Case, known: Known, twin: tuple[int, str] | None, told: Decisions) -> None:
    """Waiting, or ready and not begun: it simply gets what is best now."""
    verdict = case.verdict
    if twin is not None and twin[0] != known.id:
        detail = f"instance {twin[0]} ({twin[1]}) had the same inputs"
        told.rows.append(_row(case, "cancelled", known=known.id, reason="same_inputs", detail=detail))
    elif verdict.state == "expired":
        detail = f"given up: {in_words(verdict.missing)}"
        told.rows.append(_row(case, "expired", known=known.id, reason="expired", detail=detail))
    elif (known.state, known.input_hash, known.selected, known.missing, known.settled_at, known.wake_at) != (
        verdict.state,
        verdict.input_hash,
        verdict.selected,
        verdict.missing,
        verdict.settled_at,
        verdict.wake_at,
    ):
        told.rows.append(_row(case, verdict.state, known=known.id))


def _begun(case: Case, known: Known, hopeless: bool, now: datetime, told: Decisions) -> None:
    """Its inputs are frozen: better ones make another instance once it has ended, where the definition wants that.

    What comes late is gathered for as long as what is missing is waited for. What fails stays failed for the same
    inputs. Where inputs have expired since, a new run would be made from less (``hopeless``).
    """
    verdict, ready_at = case.verdict, case.verdict.wake_at
    if verdict.state != "ready":
        if known.stale_at is not None:
            told.stale.append((known.id, None))
    elif verdict.input_hash == known.input_hash:
        if known.stale_at is not None:
            told.fresh.append(known.id)
    elif hopeless:
        told.stale.append((known.id, None))
    elif known.state not in ("done", "failed") or (known.state == "done" and case.plan.pge.run.late != "replan"):
        told.stale.append((known.id, known.wake_at if known.stale_at and known.wake_at else now))
    elif ready_at is not None and ready_at > now:
        told.stale.append((known.id, ready_at))
    else:
        told.supersede.append(known.id)
        told.rows.append(_row(case, "ready", supersedes=known.id))
