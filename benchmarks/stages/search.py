"""Search by place and time.

Technique: one spatial index over footprint and sensing time together; the range operator, without which it would not be
used; pages go on by key, never by counting off.
Limit: how many granules lie in box and day; each is checked against its exact footprint and its newer versions.
Tried: two indexes (12 times slower at 5 million rows), pages by OFFSET (40 times slower far down), partitions by time
(slower).
"""

from __future__ import annotations

import random
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.seeds import PER_DAY
from benchmarks.site import Bench
from benchmarks.stage import Case, Done, Stage
from orbitory.search import Query, search
from orbitory.site import Site, open_site

_FIRST_DAY = datetime(2018, 1, 1, tzinfo=UTC)
_LIMIT_SECONDS = 0.05
_PAGES = 20


def _open(bench: Bench) -> Site:
    return bench.opened("search", open_site(actor="benchmark", settings=bench.filled()))


def _boxes(bench: Bench) -> Case:
    site, days = bench.once(_open), max(1, bench.rows // PER_DAY - 1)
    chance = random.Random(1)
    found: list[int] = []

    def ours() -> Done:
        took = []
        for _ in range(200):
            west, south = chance.uniform(-180, 160), chance.uniform(-90, 70)
            start = _FIRST_DAY + timedelta(days=chance.randrange(days))
            query = Query(bbox=(west, south, west + 20, south + 20), start=start, end=start + timedelta(days=1))
            began = time.perf_counter()
            page = search(site.inventory, query)
            took.append(time.perf_counter() - began)
            found.append(len(page.items))
        return Done(units=1, cost=statistics.quantiles(took, n=20)[18])

    def more() -> dict[str, Any]:
        return {"granules_found_median": statistics.median(found)}

    return Case(
        what=f"200 boxes of 20 degrees and a day among {bench.rows:,} granules, 95th percentile",
        ours=ours,
        theirs=lambda: Done(units=1, cost=_LIMIT_SECONDS),
        more=more,
    )


def _pages(bench: Bench) -> Case:
    site, deep = bench.once(_open), bench.pick(10, 500, 2_000)
    tokens: list[str | None] = [None]
    for _ in range(deep + _PAGES):
        tokens.append(search(site.inventory, Query(products=("SVM01",), limit=50, page=tokens[-1])).next)

    def walk(start: int) -> Done:
        took = []
        for token in tokens[start : start + _PAGES]:
            began = time.perf_counter()
            search(site.inventory, Query(products=("SVM01",), limit=50, page=token))
            took.append(time.perf_counter() - began)
        return Done(units=1, cost=statistics.median(took))

    return Case(what=f"page {deep:,} of one product", ours=lambda: walk(deep), theirs=lambda: walk(0))


STAGES = (
    Stage(
        name="search-box-and-day",
        yardstick="50 ms",
        goal=1.0,
        unit="searches",
        prepare=_boxes,
    ),
    Stage(
        name="search-deep-page",
        yardstick="the first pages",
        goal=0.67,
        unit="pages",
        prepare=_pages,
    ),
)
