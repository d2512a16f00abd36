"""Messages about what planning gave up or could not do, kept in the outbox with that: one a PGE and planning."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orbitory.inventory import Inventory, Row
from orbitory.notices import plain
from orbitory.outbox import Address, enqueue
from orbitory.pge.decisions import Decision

#: So many are told one by one.
_MOST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Messenger:
    """To whom; everything is written within the caller's transaction."""

    inventory: Inventory
    #: Nobody: the postmaster.
    recipients: Sequence[str]

    def expired(self, decisions: Iterable[Decision]) -> None:
        """Tell of those that waited too long."""
        expired = defaultdict(list)
        for each in decisions:
            if each.state == "expired" and each.plan.pge.run.expiry == "alert":
                expired[each.plan.pge.name].append(each)
        for pge, mine in sorted(expired.items()):
            run = mine[0].plan.pge.run
            then = (
                "When what is missing comes after all, they are planned again."
                if run.late == "replan"
                else "They are not planned again."
            )
            self._given_up(
                pge,
                [(each.known or 0, each.period.key, each.detail or "") for each in mine],
                f"waited {run.max_age_hours:g} hours for inputs that did not come, and will not be made",
                then,
            )

    def orphaned(self, rows: Iterable[Row]) -> None:
        """Tell of those whose PGE is gone."""
        orphans = defaultdict(list)
        for row in rows:
            orphans[row["pge"]].append((row["id"], row["period_key"], row["detail"]))
        for pge, mine in sorted(orphans.items()):
            self._given_up(pge, mine, "will not be made: the PGE is not planned any more", "If that is a mistake:")

    def unplanned(self, failed: Mapping[str, str]) -> None:
        """Tell which PGEs could not be planned; the same trouble is told once."""
        for pge, trouble in sorted(failed.items()):
            text = (
                f"PGE {pge} could not be planned. The others were, and so will be this one when the cause is gone: "
                f"what came meanwhile is not lost to it.\n\n{trouble}\n\n"
                "The log of `plan` in `pge_planning` has more. `orbitory catalogue check` looks at its definition.\n"
            )
            actor = f"planning, {hashlib.sha256(trouble.encode()).hexdigest()[:16]}"
            self._put("pge_unplanned", pge, actor, f"PGE {pge} cannot be planned", text)

    def _given_up(self, pge: str, mine: Sequence[tuple[int, str, str]], why: str, then: str) -> None:
        count = "1 instance" if len(mine) == 1 else f"{len(mine):,} instances"
        lines = [f"{number}  {period}  {detail}" for number, period, detail in mine[:_MOST]]
        lines += [f"and {len(mine) - _MOST:,} more: `orbitory plan --all`"] if len(mine) > _MOST else []
        text = (
            f"PGE {pge}: {count} {why}.\n\n"
            + "\n".join(lines)
            + f"\n\n{then} For a range of sensing: `orbitory plan --from T --to T`.\n"
        )
        actor = f"pge instance {mine[0][0]} and others, expired"
        self._put("pge_expired", pge, actor, f"PGE {pge}: {count} given up", text)

    def _put(self, kind: str, pge: str, actor: str, subject: str, text: str) -> None:
        address = Address(kind=kind, about=pge, actor=actor, recipients=self.recipients)
        enqueue(self.inventory, address, plain(subject, text))
