"""Questions about product types of which more has expired than may go unseen: each is put once, and not again soon."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orbitory.removal import Selection
from orbitory.removal.overdue import products_of
from orbitory.retention.granules import MOST_ASKED, due, selection_of
from orbitory.retention.naming import clock
from orbitory.retention.outcome import Pass
from orbitory.site import Site

#: A question that nobody answered is put again after so many days: longer than its run waits for a person.
_PATIENCE_DAYS = 8
#: After a no; and after a run that found nothing to decide, failed, or could not take all.
_NO_DAYS, _NOTHING_DAYS = 7, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A product type that waits for somebody's word, or all that need no approval one by one (``ALL_TYPES``)."""

    product_type: str
    asked_at: datetime

    @property
    def run_id(self) -> str:
        """The same for the same question, so that it is not put twice."""
        return f"{self.product_type}-{self.asked_at:%Y%m%dT%H%M%SZ}"

    @property
    def conf(self) -> dict[str, Any]:
        """What the run that puts it is told; it answers this question and no other."""
        return {"product_type": self.product_type, "asked_at": self.asked_at.isoformat()}


def ask(site: Site) -> list[Question]:
    """Put questions where there is need, and return all of them that wait for an answer.

    Who said no, or nothing, is asked again after a week; who said yes, as soon as there is more, or after a day about
    what could not go.
    """
    wanted = list(due(site, Pass(now=clock(site))).asked)
    with site.inventory.transaction():
        for name in wanted:
            site.inventory.run("expiry_ask", product_type=name, days=_PATIENCE_DAYS)
        return [Question(**row) for row in site.inventory.all("expiry_questions", product_types=wanted)]


def answered(site: Site, product_type: str, asked_at: str, *, approved: bool | None, left: bool = False) -> None:
    """Note what came of the question that was put then; None: there was nothing to decide, or the run failed.

    ``left``: something of what was approved could not go, and would be asked about again at once.
    """
    days = {True: _NOTHING_DAYS if left else 0, False: _NO_DAYS, None: _NOTHING_DAYS}[approved]
    told = {"product_type": product_type, "asked_at": asked_at, "approved": approved, "days": days}
    site.inventory.run("expiry_answered", **told)


def selection(site: Site, product_type: str) -> Selection:
    """All of a product type that has expired by now, up to what one person can be asked about.

    Raises ConfigurationError when there is no such product type.
    """
    return selection_of(Pass(now=clock(site)), products_of(site, product_type), MOST_ASKED)
