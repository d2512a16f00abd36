"""Whether an instance may run, and from what: pure. Time is the database's, given as ``now``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from blake3 import blake3

from orbitory.pge.granules import Need, Period
from orbitory.pge.missing import lack, lack_of_file
from orbitory.pge.periods import Plan
from orbitory.pge.selection import Found

_LOOK_AGAIN = timedelta(minutes=10)
#: States in which the inputs may still be changed.
OPEN = frozenset({"waiting", "ready"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the inventory holds about the live instance of a period."""

    id: int
    state: str
    #: By a worker, or by outputs that may have been delivered.
    claimed: bool = False
    input_hash: bytes | None = None
    selected: bytes | None = None
    missing: tuple[dict[str, Any], ...] = ()
    settled_at: datetime | None = None
    expires_at: datetime | None = None
    wake_at: datetime | None = None
    stale_at: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether nobody has begun to make anything of it."""
        return self.state in OPEN and not self.claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What planning says about one period now."""

    #: waiting, ready or expired.
    state: str
    found: Mapping[str, Found]
    #: Of files outside the archive: BLAKE3, None where there is none.
    files: Mapping[str, bytes | None]
    input_hash: bytes | None
    selected: bytes | None
    missing: tuple[dict[str, Any], ...]
    settled_at: datetime | None
    expires_at: datetime
    #: When to look again; of an instance that has begun: when what came late is gathered.
    wake_at: datetime | None


def judge(
    plan: Plan,
    period: Period,
    inputs: tuple[Mapping[str, Found], Mapping[str, bytes | None]],
    known: Known | None,
    now: datetime,
) -> Verdict:
    """Ready when all is there, or when what is there suffices and its time-outs have passed; else waiting, or hopeless.

    Time-outs run from when the required inputs suffice and have not changed since, but not before the period is over.
    One that has begun is judged as if every time-out had passed: what is there now is compared with what it got. Where
    that differs, the time-outs run from when it was seen first.
    """
    found, files = inputs
    expires = known.expires_at if known and known.expires_at else max(period.end, now) + _max_age(plan)
    lacking = [lack_of_file(each.name, each.path or "") for each in plan.files if files[each.name] is None]
    lacking += [lack(need, found[need.input.name]) for need in plan.needs if not found[need.input.name].enough]
    if lacking:
        optional = [lack(need, got) for need, got in _partial(plan, found) if got.enough]
        state = "expired" if known and known.state == "waiting" and now >= expires else "waiting"
        # Nobody tells of a file that appears outside the archive, or beside an archived one: look from time to time.
        untold = None in files.values() or any(set(need.input.roles) != {"data"} for need in plan.needs)
        wake = min(expires, now + _LOOK_AGAIN) if untold else expires
        return _verdict(state, (found, files), missing=(*lacking, *optional), expires_at=expires, wake_at=wake)
    selected = fingerprint(plan, period, found, files, required=True)
    settled = known.settled_at if known and known.settled_at and known.selected == selected else now
    begun = known is not None and known.state not in OPEN
    since = (known.stale_at or now) if known and begun else max(settled, period.end)
    waits = {
        need.input.name: since + timedelta(minutes=need.input.timeout_minutes) for need, _ in _partial(plan, found)
    }
    deadline = max(waits.values(), default=now)
    if deadline <= now or begun or now >= expires:
        frozen = fingerprint(plan, period, found, files)
        more = {"input_hash": frozen, "selected": selected, "settled": settled, "wake_at": deadline if begun else None}
        return _verdict("ready", (found, files), expires_at=expires, **more)
    missing = tuple(lack(need, got, waits[need.input.name]) for need, got in _partial(plan, found))
    wake = min(deadline, expires)
    return _verdict(
        "waiting", (found, files), selected=selected, settled=settled, missing=missing, expires_at=expires, wake_at=wake
    )


def _verdict(
    state: str, inputs: tuple[Mapping[str, Found], Mapping[str, bytes | None]], *, expires_at: datetime, **more: Any
) -> Verdict:
    return Verdict(
        state=state,
        found=inputs[0],
        files=inputs[1],
        input_hash=more.get("input_hash"),
        selected=more.get("selected"),
        missing=more.get("missing", ()),
        settled_at=more.get("settled"),
        expires_at=expires_at,
        wake_at=more.get("wake_at"),
    )


def _partial(plan: Plan, found: Mapping[str, Found]) -> list[tuple[Need, Found]]:
    """Inputs for which better may still come."""
    return [(need, found[need.input.name]) for need in plan.needs if not found[need.input.name].full]


def _max_age(plan: Plan) -> timedelta:
    return timedelta(hours=plan.pge.run.max_age_hours)


def fingerprint(
    plan: Plan,
    period: Period,
    found: Mapping[str, Found],
    files: Mapping[str, bytes | None],
    *,
    required: bool = False,
) -> bytes:
    """BLAKE3 of what the instance is for and of the identities of its inputs: the same in every inventory.

    Granules count by key, version and creation time, so that another packaging of one makes nothing anew.
    ``required``: of the required inputs alone.
    """
    words = [plan.pge.name, plan.pge.version, period.key]
    for need in plan.needs:
        if not (required and need.input.optional):
            words += [f"\n{need.input.name}", *(each.identity for each in found[need.input.name].granules)]
    for each in plan.files:
        words += [f"\n{each.name}", (files[each.name] or b"").hex()]
    return blake3("\0".join(words).encode()).digest()
