"""The best choice of a sensor, decided anew: which rows move between master and archive, and what that finds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from orbitory.inventory import Row
from orbitory.mfp import Parameters
from orbitory.mfp.choice import LEAST_SHOWN, Candidate, Loss, choose, rank
from orbitory.mfp.findings import Found, add
from orbitory.mfp.score import Attributes, score
from orbitory.model import Level
from orbitory.site import Site

#: (a, b): share of the ground of a that b shows; of all pairs that may be one scene, both ways.
Shares = Mapping[tuple[int, int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Candidates of one sensor and what became of them."""

    candidates: Mapping[int, Candidate]
    lost: Mapping[int, Loss]


def candidate(row: Row, parameters: Parameters) -> Candidate:
    """A footprint's row as a candidate."""
    attributes = Attributes(
        sensor=row["sensor"],
        prod_code=row["prod_code"] or "",
        cloudcover=row["cloudcover"],
        sun_elev=row["sun_elev"],
        off_nadir=row["off_nadir"],
        tdi=row["tdi"],
        acq_time=row["acq_time"],
    )
    return Candidate(
        id=row["granule_id"],
        key=row["key"],
        order=row["order_id"] or "",
        score=score(attributes, parameters),
        generated=row["generated"],
        area_km2=row["area_km2"],
    )


def rivals(
    site: Site, sensor: str, parameters: Parameters, catalog_id: str | None = None
) -> tuple[list[Row], dict[tuple[int, int], float]]:
    """Rows that have a rival, or stand aside for one, and the ``Shares`` of rivals: of a catalog id, or all."""
    inventory = site.inventory
    inventory.run("mfp_drop_pairs")
    inventory.run("mfp_create_pairs", sensor=sensor, overlap=parameters.overlap, catalog_id=catalog_id)
    rows = inventory.all("mfp_candidates", sensor=sensor, catalog_id=catalog_id)
    shares: dict[tuple[int, int], float] = {}
    for row in inventory.all("mfp_pairs"):
        shares[row["a"], row["b"]], shares[row["b"], row["a"]] = row["share_of_a"], row["share_of_b"]
    inventory.run("mfp_drop_pairs")
    return rows, shares


def judge(rows: Sequence[Row], shares: Shares, parameters: Parameters) -> Decision:
    """Who is preferred, whatever order the rows come in."""
    candidates = {row["granule_id"]: candidate(row, parameters) for row in rows}
    shown = (pair for pair, share in shares.items() if share >= LEAST_SHOWN)
    return Decision(candidates=candidates, lost=choose(candidates.values(), shown))


def decide(site: Site, sensor: str, parameters: Parameters, *, trial: bool = False) -> dict[str, int]:
    """Choose anew, move the rows whose fate changed, and tell E13 where a better one stood aside; counts the moves.

    Rows that change while this thinks are left to the next evaluation, and no row stands back for one of them.
    ``trial``: nothing is moved, only counted.
    """
    inventory = site.inventory
    moment = snapshot(site)
    rows, shares = rivals(site, sensor, parameters)
    decision = judge(rows, shares, parameters)
    if trial:
        aside = [row for row in rows if row["preferred"] and row["granule_id"] in decision.lost]
        back = [row for row in rows if not row["preferred"] and row["granule_id"] not in decision.lost]
        return {"put_aside": 0, "brought_back": 0, "would_put_aside": len(aside), "would_bring_back": len(back)}
    with inventory.transaction():
        inventory.one("lock_footprints")
        same = _unchanged(site, rows, moment)
        stands = {number for number, loss in decision.lost.items() if {number, loss.keeper} <= same}
        aside = [row for row in rows if row["preferred"] and row["granule_id"] in stands]
        stay = [row for row in rows if not row["preferred"] and row["granule_id"] in stands]
        back = [row for row in rows if not row["preferred"] and row["granule_id"] in same - stands]
        put = inventory.run("mfp_put_aside", **_losses(aside, decision))
        brought = inventory.run("mfp_bring_back", ids=[row["granule_id"] for row in back])
        inventory.run("mfp_change_keepers", **_losses(stay, decision))
        add(inventory, _overtaken(back, decision))
    return {"put_aside": put, "brought_back": brought}


def snapshot(site: Site) -> str:
    """This moment, for statements that leave alone what has changed since; nobody is just changing a footprint."""
    with site.inventory.transaction():
        site.inventory.one("lock_footprints")
        row = site.inventory.one("mfp_snapshot")
    assert row is not None
    return str(row["snapshot"])


def _unchanged(site: Site, rows: Iterable[Row], moment: str) -> set[int]:
    numbers = [row["granule_id"] for row in rows]
    return {row["granule_id"] for row in site.inventory.all("mfp_unchanged", ids=numbers, snapshot=moment)}


def _losses(rows: Sequence[Row], decision: Decision) -> dict[str, list[int] | list[str]]:
    losses = [decision.lost[row["granule_id"]] for row in rows]
    return {
        "ids": [row["granule_id"] for row in rows],
        "keepers": [loss.keeper for loss in losses],
        "reasons": [loss.reason for loss in losses],
    }


def _overtaken(back: Sequence[Row], decision: Decision) -> Iterator[Found]:
    """E13: rows that come back because they are better now than the one that they stood aside for, which goes."""
    for row in back:
        better, worse = decision.candidates[row["granule_id"]], decision.candidates.get(row["keeper_id"])
        if worse is None or worse.id not in decision.lost or rank(worse) < rank(better):
            continue
        reason = f"it stood aside for {worse.key}, but ranks above it now: {told(better)} against {told(worse)}"
        hint = "it is preferred again; `orbitory mfp explain` says why"
        yield Found(
            code="E13", level=Level.INFO, reason=reason, hint=hint, fpuid=row["fpuid"], granule=row["granule_id"]
        )


def told(candidate: Candidate) -> str:
    """A score in a few words."""
    judged = candidate.score
    return f"score {judged.total:.6g}" + (f" ({judged.rejected})" if judged.rejected else "")
