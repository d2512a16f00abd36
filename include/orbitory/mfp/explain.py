"""Why one order of an image is preferred to another, in words: what each scored, and what would change the choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orbitory.errors import ConfigurationError
from orbitory.inventory import Row
from orbitory.mfp import Parameters
from orbitory.mfp.choice import LEAST_SHOWN, Candidate, rank
from orbitory.mfp.decide import Decision, Shares, candidate, judge, rivals, told
from orbitory.mfp.score import FARTHEST_DAY, Score
from orbitory.site import Site

#: By how much a value must be better than just enough, as people write such values.
_STEP = {"cloud": 0.001, "sun": 0.1, "off-nadir": 0.1, "day": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One footprint and its judgement."""

    granule: int
    scene_id: str
    key: str
    order: str
    #: Where it stands, for users of Linux and of Windows; None: Windows has no such path.
    s_filepath: str | None
    p_filepath: str | None
    preferred: bool
    #: As the tables stand; an evaluation may be due.
    preferred_now: bool
    keeper: str | None
    reason: str | None
    score: Score
    #: Sentences: why it won or lost, and what would change it.
    words: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return asdict(self)


def explain(site: Site, catalog_id: str, parameters: Parameters | None = None) -> list[Explained]:
    """Every footprint of a catalog id, each with its reasons; decided now, nothing is changed.

    Raises ConfigurationError when there is none.
    """
    parameters = parameters or Parameters.of_deployment()
    rows = site.inventory.all("mfp_of_catalog", catalog_id=catalog_id)
    if not rows:
        raise ConfigurationError(f"no footprint is of catalog id {catalog_id!r}: see `orbitory mfp evaluate --json`")
    found: list[Explained] = []
    for sensor, number in sorted({(row["sensor"], row["catalog_id"]) for row in rows}):
        known, shares = rivals(site, sensor, parameters, catalog_id=number)
        decision = judge(known, shares, parameters)
        same = [row for row in rows if (row["sensor"], row["catalog_id"]) == (sensor, number)]
        found += _explained(same, decision, shares, parameters)
    return found


def _explained(rows: Sequence[Row], decision: Decision, shares: Shares, parameters: Parameters) -> Iterator[Explained]:
    for row in rows:
        number = row["granule_id"]
        judged = decision.candidates.get(number) or candidate(row, parameters)
        loss = decision.lost.get(number)
        keeper = decision.candidates[loss.keeper] if loss else None
        beaten = [decision.candidates[lost] for lost, each in decision.lost.items() if each.keeper == number]
        stays = row["reason"] is None or row["reason"] in ("re-order", "re-delivery")
        if not stays or row["state"] != "archived":
            words = [f"It is no candidate: {row['reason'] or 'its granule is ' + row['state']}."]
        elif keeper is not None:
            words = [_why(keeper, judged, won=False), *_changes(judged, keeper, parameters)]
        elif beaten:
            words = [_why(judged, each, won=True) for each in sorted(beaten, key=lambda each: each.key)]
        else:
            words = []
        words += _apart(number, decision, shares)
        words = words or ["It is the only one: no other order shows the same scene."]
        preferred = stays and row["state"] == "archived" and loss is None
        if preferred != row["preferred"]:
            words.append("The tables still say otherwise: the next evaluation moves it.")
        yield Explained(
            granule=number,
            scene_id=row["scene_id"] or "",
            key=row["key"],
            order=row["order_id"] or "",
            s_filepath=row["s_filepath"],
            p_filepath=row["p_filepath"],
            preferred=preferred,
            preferred_now=row["preferred"],
            keeper=keeper.key if keeper else None,
            reason=loss.reason if loss else row["reason"],
            score=judged.score,
            words=tuple(words),
        )


def _apart(number: int, decision: Decision, shares: Shares) -> Iterator[str]:
    """Rivals that show too little of it, or the reverse: of these both stay."""
    for (one, other), share in sorted(shares.items()):
        if one != number or one in decision.lost or other in decision.lost:
            continue
        back, rival = shares[other, one], decision.candidates[other]
        yield (
            f"{rival.key} shows {share:.1%} of it, and it {back:.1%} of that: both stay, for a better one must show "
            f"{LEAST_SHOWN:.0%} of the other."
        )


def _why(better: Candidate, worse: Candidate, *, won: bool) -> str:
    told = cause(better, worse, won=won)
    return f"It is preferred to {worse.key}: {told}." if won else f"{better.key} is preferred: {told}."


def cause(better: Candidate, worse: Candidate, *, won: bool) -> str:
    """By what the one ranks above the other, in words about the better one (``won``), or about the worse."""
    if (better.score.rejected is None) != (worse.score.rejected is None):
        return f"{worse.key} is rejected ({worse.score.rejected})"
    elif better.score.total != worse.score.total:
        return f"{told(better)} is above {told(worse)}{_largest(better.score, worse.score)}"
    elif rank(worse) < rank(better):
        return f"both have {told(better)}; {worse.key} is but a part, {_area(worse):,.1f} of {_area(better):,.1f} km²"
    elif better.generated != worse.generated:
        if won:
            return f"both have {told(better)}; it was made {_made(better)}, the other {_made(worse)}"
        return f"both have {told(better)}; that was made {_made(better)}, this {_made(worse)}"
    elif _area(better) != _area(worse):
        return f"both have {told(better)} and one date; {_area(better):,.1f} km² are more than {_area(worse):,.1f}"
    elif better.order != worse.order:
        return f"they are alike in all else; order {better.order} is the smaller number than {worse.order}"
    return "they are alike in all, so the name decides"


def _area(each: Candidate) -> float:
    return round(each.area_km2 or 0.0, 6)


def _made(each: Candidate) -> str:
    return f"{each.generated:%Y-%m-%d %H:%M:%SZ}" if each.generated else "on a day that nobody tells"


def _largest(better: Score, worse: Score) -> str:
    """The term that made most of the difference."""
    theirs = {term.name: term for term in worse.terms}
    gains = [(term.points - theirs[term.name].points, term) for term in better.terms if term.name in theirs]
    if not gains:
        return ""
    gain, term = max(gains, key=lambda each: (each[0], each[1].name))
    return f", most by {term.name}: {term.value:.4g} against {theirs[term.name].value:.4g} ({gain:+.3g} points)"


def _changes(loser: Candidate, keeper: Candidate, parameters: Parameters) -> Iterator[str]:
    """What this loser would need to be preferred, one attribute at a time."""
    if loser.score.total < 0:
        yield f"It could be judged if its metadata told what is {loser.score.rejected}."
        return
    if loser.score.rejected is not None and keeper.score.rejected is None:
        yield f"It would have to be acceptable first: {loser.score.rejected}."
        return
    need = keeper.score.total - loser.score.total
    found: list[str] = []
    for term in loser.score.terms:
        value = _needed(term.name, term.value, need / term.most)
        if value is not None:
            better = "above" if term.name == "sun" else "below"
            about = "days from the target day" if term.name == "day" else term.name
            found.append(f"{about} {better} {value:.4g} (it is {term.value:.4g})")
    if found:
        yield f"It would be preferred with {', or '.join(found)}."
    else:
        yield "No single better attribute would make it preferred."
    if need == 0:
        yield "It would be preferred if it had been made later than the other, all else being equal."


def _needed(name: str, value: float, share: float) -> float | None:
    """The value that gives so much more of the term's points; None when there is no such value."""
    match name:
        case "cloud":
            wanted = value - share
        case "sun":
            wanted = value + share * 90
        case "off-nadir":
            wanted = value - share * 90
        case "day":
            wanted = value - share * FARTHEST_DAY
        case _:
            return None
    bounds = {"cloud": (0.0, 1.0), "sun": (-90.0, 90.0), "off-nadir": (0.0, 90.0), "day": (0.0, FARTHEST_DAY)}[name]
    step = _STEP[name]
    reachable = bounds[0] + step <= wanted <= bounds[1] - step
    return wanted if reachable else None
