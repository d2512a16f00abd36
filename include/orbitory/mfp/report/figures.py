"""What a report tells: one finished evaluation, beside the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orbitory.errors import ConfigurationError, NotReady
from orbitory.inventory import Row
from orbitory.mfp.findings import CODES
from orbitory.site import Site

#: Findings of each code and level that are told one by one; the list beside the page holds all.
MOST_FINDINGS = 200
MOST_ASIDE = 200
_HISTORY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Findings of one code and level, of this run and of the one before."""

    code: str
    meaning: str
    level: str
    now: int
    #: None when there is no run before.
    before: int | None
    #: Of those now, what was not found before; and the other way round.
    fresh: int | None
    gone: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """The run to compare with."""

    id: int
    finished_at: datetime
    #: What both looked at: nothing else is compared.
    sensors: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Everything about one run but its map."""

    run: int
    actor: str
    started_at: datetime
    finished_at: datetime
    verdict: str
    digest: str
    sensors: Sequence[str]
    params: Mapping[str, Any]
    counts: Mapping[str, Any]
    coverage: Mapping[str, Any]
    previous: Previous | None
    codes: Sequence[Code]
    #: Runs of all these sensors, oldest first, this one last.
    history: Sequence[Row]
    #: By sensor and year.
    statistics: Sequence[Row]
    #: The first of each code and level.
    findings: Sequence[Row]
    #: The newest images that stand aside, and how many there are.
    aside: Sequence[Row]
    asides: int

    @property
    def found(self) -> int:
        """Findings of any level."""
        return sum(int(self.counts[f"{level}s"]) for level in ("error", "warning", "info"))

    @property
    def rows_before(self) -> int | None:
        """Footprints that the run before looked at, when it looked at the same sensors."""
        earlier = self.history[-2] if len(self.history) > 1 else None
        return earlier["rows"] if earlier and self.previous and earlier["id"] == self.previous.id else None


def read(site: Site, run: int | None = None) -> Figures:
    """Read what is kept of evaluation ``run``, or of the newest one. Raises ConfigurationError, NotReady."""
    inventory = site.inventory
    row = inventory.one("mfp_run_of", run=run)
    if row is None and run is not None:
        raise ConfigurationError(f"there is no evaluation {run}: see `orbitory mfp history`")
    if row is None:
        raise NotReady("no evaluation is finished yet: `orbitory mfp evaluate` makes one")
    if row["finished_at"] is None:
        raise NotReady(f"evaluation {run} is not finished: its report can be made when it is")
    sensors = list(row["params"]["sensors"])
    previous = _previous(site, row["id"], sensors)
    aside = inventory.all("mfp_report_aside", sensors=sensors, limit=MOST_ASIDE)
    return Figures(
        run=row["id"],
        **{name: row[name] for name in _KEPT},
        digest=row["digest"] or "",
        sensors=sensors,
        previous=previous,
        codes=_codes(site, row["id"], sensors, previous),
        history=inventory.all("mfp_report_history", run=row["id"], sensors=sensors, limit=_HISTORY)[::-1],
        statistics=inventory.all("mfp_report_statistics", run=row["id"], previous=previous.id if previous else None),
        findings=inventory.all("mfp_report_first_findings", run=row["id"], each=MOST_FINDINGS),
        aside=aside,
        asides=aside[0]["total"] if aside else 0,
    )


_KEPT = ("actor", "started_at", "finished_at", "verdict", "params", "counts", "coverage")


def _previous(site: Site, run: int, sensors: Sequence[str]) -> Previous | None:
    row = site.inventory.one("mfp_report_previous", run=run, sensors=list(sensors))
    return Previous(id=row["id"], finished_at=row["finished_at"], sensors=row["sensors"]) if row else None


def _codes(site: Site, run: int, sensors: Sequence[str], previous: Previous | None) -> list[Code]:
    """What was found now or before, by level and code. Sensors that only this run looked at have nothing before."""
    values = {"run": run, "previous": previous.id if previous else None}
    rows = site.inventory.all("mfp_report_codes", sensors=list(sensors), **values)
    common = list(previous.sensors) if previous else []
    moved = {
        (row["code"], row["level"]): row for row in site.inventory.all("mfp_report_turnover", sensors=common, **values)
    }
    still = {"fresh": 0, "gone": 0}
    return [
        Code(
            code=row["code"],
            meaning=CODES.get(row["code"], ""),
            level=row["level"],
            now=row["now"],
            before=row["before"] if previous else None,
            fresh=moved.get((row["code"], row["level"]), still)["fresh"] if previous else None,
            gone=moved.get((row["code"], row["level"]), still)["gone"] if previous else None,
        )
        for row in rows
    ]
