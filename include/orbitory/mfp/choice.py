"""Which of several orders of one image is preferred: greedy by rank, whatever order the candidates come in.

Reasons of rows that an evaluation moves to ``footprint_archive``, always with their keeper:

- ``re-order``: another order holds the same image;
- ``re-delivery``: the same order does, under another item or another name.

Nothing else is moved by a choice, and both files stay in storage. A row is only moved when its keeper shows nearly all
of its ground: of a whole image and a better part of it both stay; of a whole and a part that is no better, the whole.
Moved rows come back when their keeper goes or something about either changes: every evaluation decides anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from orbitory.mfp.score import Score

RE_ORDER, RE_DELIVERY = "re-order", "re-delivery"
#: Digits of an order's number; the item follows.
_ORDER_DIGITS = 12
_NEVER = datetime.min.replace(tzinfo=UTC)
#: So much of a loser's own ground its keeper shows, whatever was enough to make them rivals: the rest is lost when a
#: loser is removed. The corners of one image differ between orders: the known pair shows 0.77 and 0.85 of each other.
LEAST_SHOWN = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One order of an image."""

    #: Number of its granule.
    id: int
    #: Key of its granule; no two candidates have the same.
    key: str
    #: With item and part; empty when not told.
    order: str
    score: Score
    #: When the vendor made the product.
    generated: datetime | None = None
    area_km2: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Why a candidate is not preferred."""

    keeper: int
    reason: str


def quality(candidate: Candidate) -> tuple[bool, float]:
    """What a choice is about, the better first: not rejected, score."""
    return candidate.score.rejected is not None, -candidate.score.total


def rank(candidate: Candidate) -> tuple[tuple[bool, float], float, float, str, str]:
    """Better ones sort first: quality; then newer, larger, smaller order number; their key at last."""
    made = candidate.generated or _NEVER
    area = candidate.area_km2 if candidate.area_km2 is not None and candidate.area_km2 > 0 else 0.0
    return (
        quality(candidate),
        -(made - _NEVER).total_seconds(),
        -round(area, 6),
        candidate.order,
        candidate.key,
    )


def choose(candidates: Iterable[Candidate], shown: Iterable[tuple[int, int]]) -> Mapping[int, Loss]:
    """Who loses, and to whom; all others are preferred. ``shown``: (a, b) where b shows the ground of a.

    The best ranked is kept, and each next one whose ground none that is kept shows; a loser's keeper is the best of
    those that do. A part comes after a whole of the same quality. Takes time in proportion to candidates and pairs.
    """
    all_of = {each.id: each for each in candidates}
    both = set(shown)
    by: defaultdict[int, list[int]] = defaultdict(list)
    parts: set[int] = set()
    for one, other in both:
        by[one].append(other)
        if (other, one) not in both and quality(all_of[one]) == quality(all_of[other]):
            parts.add(one)
    kept: dict[int, tuple[int, Candidate]] = {}
    lost: dict[int, Loss] = {}
    order = sorted(all_of.values(), key=lambda each: (quality(each), each.id in parts, rank(each)))
    for place, candidate in enumerate(order):
        keepers = [kept[each] for each in by.get(candidate.id, ()) if each in kept]
        if keepers:
            _, keeper = min(keepers, key=lambda each: each[0])
            lost[candidate.id] = Loss(keeper=keeper.id, reason=_reason(candidate, keeper))
        else:
            kept[candidate.id] = (place, candidate)
    return lost


def _reason(candidate: Candidate, keeper: Candidate) -> str:
    number = candidate.order[:_ORDER_DIGITS]
    return RE_DELIVERY if number and number == keeper.order[:_ORDER_DIGITS] else RE_ORDER
