"""What is due: from granules that became visible since the last planning, from time that passed, or from a time range.

Everything is decided from the inventory as it stands, so the order of arrival does not matter, and planning twice
changes nothing. One planner works at a time; each round is one transaction together with its watermark. A PGE that
cannot be planned holds no other up: it is left where it stood, and told.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from orbitory.errors import ConfigurationError, Transient
from orbitory.inventory import Inventory, Row
from orbitory.pge.granules import Candidate
from orbitory.pge.horizon import horizon
from orbitory.pge.judging import Periods, Span, candidates, inside, judge_all, merged
from orbitory.pge.messages import Messenger
from orbitory.pge.outcome import Planned, Unplanned
from orbitory.pge.periods import Plan, period_of_row, plan_of
from orbitory.pge.static import Statics
from orbitory.settings import CHECKOUT
from orbitory.site import Site

log = logging.getLogger(__name__)

#: Granules of one round: bounds its memory and its transaction.
MOST_GRANULES = 10_000
_MOST_EVENTS = 2_000
_MOST_WOKEN = 10_000
_INSTANT = timedelta(microseconds=1)
_EVER = datetime.min.replace(tzinfo=UTC)
#: The folder of PGEs' programs and static files.
PROGRAMS = CHECKOUT / "include" / "pges"


def plan(site: Site, start: datetime | None = None, stop: datetime | None = None) -> Planned:
    """Plan what is due; with a range, every period made by granules whose sensing starts in [start, stop).

    May be repeated and may race. Raises ConfigurationError for an empty range, Transient when the inventory is away,
    Unplanned when all is done that could be.
    """
    if (start is None) != (stop is None) or (start and stop and start >= stop):
        raise ConfigurationError("the range is empty: give both ends, the first before the second, which is excluded")
    began = time.monotonic()
    # Read before the products that the archive holds: none of them may be new among the granules up to there.
    reach = horizon(site.inventory) if start is None else 0
    held = [row["product"] for row in site.inventory.all("plan_products")]
    plans = {pge.name: plan_of(pge, site.catalogue, held) for pge in site.catalogue.pges.values() if pge.enabled}
    planner = Planner(site, plans)
    done = planner.retire()
    if start is None or stop is None:
        done += planner.follow(reach)
        done += planner.wake()
    else:
        done += planner.cover(start, stop)
    done += Planned(seconds=time.monotonic() - began)
    log.info(
        "planned pges=%d granules=%d periods=%d written=%d seconds=%.2f",
        *(len(plans), done.granules, done.periods, done.written, done.seconds),
    )
    if planner.failed:
        raise Unplanned(planner.failed, done)
    return done


class Planner:
    """One planning."""

    def __init__(self, site: Site, plans: Mapping[str, Plan]) -> None:
        """Plans only the PGEs in ``plans``; to the others of the catalogue what was passed by counts as seen."""
        self._inventory = site.inventory
        self._plans = dict(plans)
        self._everyone = list(site.catalogue.pges)
        #: What was in the way of planning a PGE: it takes no further part.
        self.failed: dict[str, str] = {}
        #: Nothing in the catalogue is broken: what is not there is gone.
        self._sound = not site.catalogue.problems
        outputs = site.catalogue.sources.get("pge")
        self._messenger = Messenger(inventory=site.inventory, recipients=outputs.notify if outputs else ())
        self._current = [f"{each.pge.name} {each.pge.version}" for each in plans.values()]
        self._products = sorted(
            {product for each in plans.values() for need in each.needs for product in need.products}
        )
        self._statics = Statics(self._inventory, PROGRAMS, [rule for each in plans.values() for rule in each.files])

    def _apart(self, names: Iterable[str], work: Callable[..., Planned], given: Collection[Any] = ()) -> Planned:
        """``work(plans, given)`` for these PGEs together; where that fails, for each alone: others must not suffer."""
        plans = {name: self._plans[name] for name in names if name in self._plans}
        if not plans:
            return Planned()
        try:
            with self._inventory.transaction():
                return work(plans, given)
        except Transient:
            raise
        except Exception as error:  # noqa: BLE001 - kept and told, whatever it is
            done = Planned()
            for name in plans:
                if len(plans) > 1:
                    done += self._apart([name], work, given)
                else:
                    self._leave(name, error)
            return done

    def _leave(self, name: str, error: Exception) -> None:
        """The PGE stays where it stands, and is told."""
        log.error("PGE %s cannot be planned", name, exc_info=error)
        self.failed[name] = f"{type(error).__name__}: {str(error)[:1_000]}"
        del self._plans[name]
        (mark,) = self._inventory.all("plan_marks", pges=[name])
        self._inventory.run("plan_advance", pges=[name], event_id=mark["event_id"])
        self._messenger.unplanned({name: self.failed[name]})

    def retire(self) -> Planned:
        """Set aside what waits for a version that the catalogue does not have any more, and plan it anew.

        What nobody has begun moves to the queue that the catalogue names now.
        """
        runs = {name: each.pge.run for name, each in self._plans.items()}
        with self._inventory.transaction():
            self._inventory.all("plan_lock")
            self._inventory.run(
                "plan_route",
                pges=list(runs),
                queues=[run.queue for run in runs.values()],
                priorities=[run.priority for run in runs.values()],
            )
        done, left = Planned(), set(self._plans)
        while left:
            going, left = left, set()
            with self._inventory.transaction():
                self._inventory.all("plan_lock")
                done += self._apart(going, self._retire, left)
        return done

    def _retire(self, plans: Mapping[str, Plan], left: set[str]) -> Planned:
        """One round; ``left`` gets the PGEs that may have more."""
        rows = self._inventory.all("plan_retire", pges=list(plans), current=self._current, limit=_MOST_WOKEN)
        spans = [
            (product, row["starts"], row["ends"] + _INSTANT)
            for row in rows
            for product in plans[row["pge"]].anchor.products
        ]
        mine = {row["pge"]: plans[row["pge"]] for row in rows}
        left |= mine.keys()
        return self._made_by(mine, candidates(self._inventory, spans))

    def follow(self, horizon: int) -> Planned:
        """Plan what the granules ask for that became visible since the last time, up to an event, round by round."""
        done = Planned()
        while True:
            with self._inventory.transaction():
                self._inventory.all("plan_lock")
                rows = self._inventory.all("plan_marks", pges=["", *self._everyone])
                marks = {row["pge"]: row["event_id"] for row in rows if row["pge"] not in self.failed}
                after = min(marks.values())
                if after >= horizon:
                    return done
                # Those that are behind catch up first: a PGE whose definition was broken for a while.
                limit = min([horizon, *(mark for mark in marks.values() if mark > after)])
                reached, numbers = self._events(after, limit)
                granules = self._arrived(numbers)
                names = [name for name, mark in marks.items() if mark == after]
                done += self._apart(names, self._asked, granules)
                passed = [name for name in names if name not in self.failed]
                self._inventory.run("plan_advance", pges=passed, event_id=reached)

    def _events(self, after: int, limit: int) -> tuple[int, list[int]]:
        """The next granules, and the event up to which they reach."""
        numbers: list[int] = []
        rows = self._inventory.all("plan_events", after=after, horizon=limit, limit=_MOST_EVENTS)
        for row in rows:
            numbers += [number for part in row["ids"] for number in range(part.lower, part.upper)]
            if len(numbers) >= MOST_GRANULES:
                return row["id"], numbers
        return rows[-1]["id"] if len(rows) == _MOST_EVENTS else limit, numbers

    def wake(self) -> Planned:
        """Look again at what waits for time alone, and at what finished while better inputs came."""
        with self._inventory.transaction():
            self._inventory.all("plan_lock")
            if self._sound:
                given = {"pges": [*self._plans, *self.failed], "everyone": self._everyone}
                self._messenger.orphaned(self._inventory.all("plan_orphans", **given))
        replanned = [name for name, each in self._plans.items() if each.pge.run.late == "replan"]
        return self._woken("plan_woken") + self._woken("plan_stale", replanned=replanned)

    def _woken(self, query: str, **more: object) -> Planned:
        """Judge every instance that ``query`` tells, round by round in order of time."""
        done, after, last = Planned(), _EVER, 0
        while True:
            with self._inventory.transaction():
                self._inventory.all("plan_lock")
                bounds = {"after": after, "last": last, "limit": _MOST_WOKEN}
                rows = self._inventory.all(query, pges=list(self._plans), current=self._current, **bounds, **more)
                if not rows:
                    return done
                after, last = rows[-1]["wake_at"], rows[-1]["id"]
                done += self._apart({row["pge"] for row in rows}, self._again, rows)

    def _again(self, plans: Mapping[str, Plan], rows: list[Row]) -> Planned:
        return self._judge(self._of_rows(row for row in rows if row["pge"] in plans))

    def cover(self, start: datetime, stop: datetime) -> Planned:
        """Plan every period that granules in the range make, whether or not it was planned before."""
        products = sorted({product for each in self._plans.values() for product in each.anchor.products})
        done, after = Planned(), 0
        while True:
            with self._inventory.transaction():
                self._inventory.all("plan_lock")
                rows = self._inventory.all(
                    "plan_range", products=products, start=start, stop=stop, after=after, limit=MOST_GRANULES
                )
                if not rows:
                    return done
                start, after = rows[-1]["start"], rows[-1]["id"]
                granules = self._arrived([row["id"] for row in rows])
                done += self._apart(list(self._plans), self._made_by, granules)

    def _arrived(self, numbers: list[int]) -> list[Candidate]:
        """Those of these granules that may serve a PGE."""
        rows = self._inventory.all("plan_arrived", ids=numbers, products=self._products) if numbers else []
        return [Candidate(**row) for row in rows]

    def _made_by(self, plans: Mapping[str, Plan], granules: list[Candidate]) -> Planned:
        """Judge the periods that these granules make, and no others."""
        return self._asked(plans, granules, anchors_only=True)

    def _asked(self, plans: Mapping[str, Plan], granules: list[Candidate], *, anchors_only: bool = False) -> Planned:
        """Judge the periods that these granules make, and those that they may serve."""
        if not plans or not granules:
            return Planned()
        periods: Periods = {}
        late: set[tuple[str, str]] = set()
        by_product = defaultdict(list)
        for granule in granules:
            by_product[granule.product].append(granule)
        for each in plans.values():
            anchors = [granule for product in each.anchor.products for granule in by_product.get(product, ())]
            for granule in inside(self._inventory, each, anchors):
                for period in each.periods(granule):
                    periods.setdefault((each.pge.name, period.key), (each, period))
        if not anchors_only:
            rows = self._touched(plans, by_product)
            # Those that the granules make themselves begin anew, whatever became of earlier ones.
            late = {(row["pge"], row["period_key"]) for row in rows if row["expired"]} - periods.keys()
            periods = {**self._of_rows(rows), **periods}
        return self._judge(periods, late) + Planned(granules=len(granules))

    def _touched(self, plans: Mapping[str, Plan], by_product: Mapping[str, list[Candidate]]) -> list[Row]:
        """Instances that the granules may serve: as few spans of time as cover them are asked for."""
        spans: dict[tuple[str, str | None], list[Span]] = defaultdict(list)
        for each in plans.values():
            for need in each.needs:
                before, after = need.reach()
                for granule in (granule for product in need.products for granule in by_product.get(product, ())):
                    platform = granule.platform if need.input.kind == "granule" else None
                    spans[each.pge.name, platform].append((granule.start - before, granule.end + after))
        asked = [(*key, *span) for key, many in spans.items() for span in merged(many)]
        rows = self._inventory.all(
            "plan_touched",
            pges=[name for name, *_ in asked],
            versions=[plans[name].pge.version for name, *_ in asked],
            platforms=[platform for _, platform, *_ in asked],
            firsts=[span_start - plans[name].longest for name, _, span_start, _ in asked],
            starts=[span_start for *_, span_start, _ in asked],
            stops=[span_stop for *_, span_stop in asked],
        )
        return [row for row in rows if not row["expired"] or plans[row["pge"]].pge.run.late == "replan"]

    def _of_rows(self, rows: Iterable[Row]) -> Periods:
        found: Periods = {}
        for row in rows:
            each = self._plans[row["pge"]]
            found[row["pge"], row["period_key"]] = (each, period_of_row(each.pge, row))
        return found

    def _judge(self, periods: Periods, late: Collection[tuple[str, str]] = ()) -> Planned:
        written = judge_all(self._inventory, self._statics, periods, late)
        self._messenger.expired(written)
        return Planned(periods=len(periods), written=len(written))


def listed(inventory: Inventory, *, everything: bool = False) -> Iterator[Row]:
    """Instances that are not finished, by PGE and time; with ``everything`` the finished ones too."""
    return inventory.stream("plan_listed", everything=everything)


def counted(inventory: Inventory) -> dict[str, int]:
    """How many instances that are not finished are in which state."""
    return {row["state"]: row["instances"] for row in inventory.all("plan_counted")}
