"""What becomes of each extracted unit: decided image by image, then for all that stands beside them."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from orbitory import layout
from orbitory.duplicates import Decision, Edition, Known, Newcomer, Verdict, decide, version_rank
from orbitory.ingest.ledger import Claim, Outcome, Work, reject
from orbitory.inventory import Row
from orbitory.model import GranuleFacts, Identity, State


@dataclass(slots=True, kw_only=True)
class Plan:
    """What one batch's decisions write."""

    #: (arrival, unit, final path, role, kind)
    files: list[tuple[int, int, str, str, str]] = field(default_factory=list)
    #: (unit, ordinal, rank)
    granules: list[tuple[int, int, int]] = field(default_factory=list)
    #: (arrival, path of the stored file, reason)
    duplicates: list[tuple[int, str, str]] = field(default_factory=list)
    #: (unit, path of a stored file that its new granules need too)
    joins: list[tuple[int, str]] = field(default_factory=list)
    conflicts: list[Outcome] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Image:
    """A file of a unit that holds granules, as a newcomer."""

    row: Row
    newcomer: Newcomer
    #: Its granules as extracted.
    facts: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Arrived:
    """An extracted unit: its images, the main one first, and the files beside them."""

    work: Work
    images: tuple[Image, ...]
    beside: tuple[Row, ...]


class _Held(Exception):
    """A person must decide about this unit."""


def arrived(held: Claim, work: Work, facts: Sequence[Row]) -> Arrived:
    """Sort the unit's files by what they are, with the final paths of those that hold granules."""
    by_file: dict[int, list[Row]] = {}
    for row in facts:
        by_file.setdefault(row["file_id"], []).append(row)
    images = tuple(
        Image(row, _newcomer(held, row["digest"], by_file[row["id"]]), tuple(by_file[row["id"]]))
        for row in work.rows
        if row["id"] in by_file
    )
    return Arrived(work, images, tuple(row for row in work.rows if row["id"] not in by_file))


def paths(held: Claim, unit: Arrived) -> list[str]:
    """Where its files would stand if nothing stood there yet."""
    lead = unit.images[0].newcomer.path
    beside = [(row, _path_beside(held, lead, row)) for row in unit.beside]
    return [image.newcomer.path for image in unit.images] + [
        each for row, path in beside for each in (path, _aside(path, row))
    ]


def _newcomer(held: Claim, digest: bytes, facts: Sequence[Row]) -> Newcomer:
    editions = tuple((fact["key"], edition_of(version_rank(fact["version"]), fact)) for fact in facts)
    return Newcomer(path=facts[0]["path"], digest=digest, granules=editions, fixed=held.in_place)


def final_path(held: Claim, row: Row, identity: Identity | None, facts: Sequence[GranuleFacts], kind: str) -> str:
    """Where a file that holds these granules would stand if nothing stood there yet. Manifests have no ``identity``."""
    if held.in_place:
        return in_place(held, row)
    if identity is None:
        label = layout.safe_segment(posixpath.basename(row["name"]))
        return f"{held.source.name}/manifest/{row['digest'].hex()[:16]}_{label}"
    details = identity.details | {"strip_id": facts[0].search.get("strip_id") or ""}
    identity = replace(identity, sensor=facts[0].sensor, details=details)
    start = min((fact.sensing_start for fact in facts if fact.sensing_start), default=identity.sensing_start)
    return layout.storage_path(held.source, row["name"], identity, start, kind)


def edition_of(rank: int, row: Row) -> Edition:
    """The edition of a granule row."""
    return Edition(rank, row["created"]) if row["created"] is not None else Edition(rank)


def in_place(held: Claim, row: Row) -> str:
    """Path of a file that is registered where it stands: relative to storage if it stands there, else absolute."""
    path, storage = held.folder / row["name"], held.site.storage.root.resolve()
    return str(path.relative_to(storage) if path.is_relative_to(storage) else path)


def _path_beside(held: Claim, image: str, row: Row) -> str:
    if held.in_place:
        return in_place(held, row)
    return posixpath.join(posixpath.dirname(image), layout.safe_segment(posixpath.basename(row["name"])))


def decide_all(held: Claim, units: Sequence[Arrived], known: Known) -> Plan:
    """Decide about the units one after the other; each meets those before it."""
    plan = Plan()
    for unit in units:
        draft = Plan()
        decisions = [decide(i.newcomer, known, held.source.duplicates, held.source.late) for i in unit.images]
        try:
            _decide_images(unit, decisions, known, draft)
            for row, path in _beside(held, unit, decisions[0], known):
                _decide_beside(unit, decisions, (row, path), known, draft)
        except _Held as why:  # as a whole or not at all
            known.forget(decisions, {path for _, _, path, _, _ in draft.files})
            plan.conflicts += reject(held, unit.work, "conflict", str(why), State.CONFLICT)
        else:
            plan.files += draft.files
            plan.granules += draft.granules
            plan.duplicates += draft.duplicates
            plan.joins += draft.joins
    return plan


def _beside(held: Claim, unit: Arrived, lead: Decision, known: Known) -> list[tuple[Row, str]]:
    """The files beside the images with their final paths: where the leading image stands, if we may write there."""
    image = lead.path if not lead.path.startswith("/") or held.in_place else unit.images[0].newcomer.path
    found = [(row, _path_beside(held, image, row)) for row in unit.beside]
    if image != unit.images[0].newcomer.path and found:  # not the folder that was looked at before
        wanted = [each for row, path in found for each in (path, _aside(path, row))]
        for row in held.site.inventory.all("known_paths", paths=wanted):
            known.paths.setdefault(row["path"], row["digest"])
    return found


def _aside(path: str, row: Row) -> str:
    """The place of another file beside one that has its name."""
    return f"{path}.{row['digest'].hex()[:8]}"


def _decide_images(unit: Arrived, decisions: Sequence[Decision], known: Known, draft: Plan) -> None:
    main = unit.work.main["id"]
    for image, decision in zip(unit.images, decisions, strict=True):
        match decision.verdict:
            case Verdict.CONFLICT:
                raise _Held(_differs(decision.path, known, image.newcomer.digest))
            case Verdict.STORE:
                draft.files.append((image.row["id"], main, decision.path, image.row["role"], image.facts[0]["kind"]))
                draft.granules += _ranked(main, image, decision.granules)
            case verdict:
                draft.duplicates.append((image.row["id"], decision.path, verdict.value))


def _differs(path: str, known: Known, digest: bytes) -> str:
    return f"the archive holds {path} with BLAKE3 {known.paths.get(path, b'').hex()}, this one has {digest.hex()}"


def _ranked(unit: int, image: Image, granules: Sequence[tuple[str, Edition]]) -> list[tuple[int, int, int]]:
    return [(unit, row["ordinal"], edition.rank) for row, (_, edition) in zip(image.facts, granules, strict=True)]


def _decide_beside(
    unit: Arrived, decisions: Sequence[Decision], beside: tuple[Row, str], known: Known, draft: Plan
) -> None:
    """A file beside an image: known by its bytes, new, or (to an image that is held already) in conflict."""
    row, path = beside
    lead, main = decisions[0], unit.work.main["id"]
    keys = {key for image in unit.images for key, _ in image.newcomer.granules}
    own = {each for _, _, each, _, _ in draft.files}  # equal files of one unit are all kept
    new = any(decision.verdict is Verdict.STORE for decision in decisions)
    if not new and (row["role"] == "checksum" or lead.verdict is Verdict.SKIPPED):
        draft.duplicates.append((row["id"], lead.path, lead.verdict.value))
        return
    keeper = path if path not in own and known.paths.get(path) == row["digest"] else ""
    if not keeper and not new:
        keeper = next(
            (known.members[each] for key in sorted(keys) if (each := (key, row["digest"])) in known.members), ""
        )
    if keeper:
        draft.duplicates.append((row["id"], keeper, Verdict.DUPLICATE.value))
        draft.joins.append((main, keeper))
        return
    if path in known.paths and (not new or unit.images[0].newcomer.fixed):
        raise _Held(_differs(path, known, row["digest"]))
    if not new:  # the image is held, this is not: it joins the image's granules
        pairs = zip(unit.images, decisions, strict=True)
        held = [image for image, decision in pairs if decision.verdict is Verdict.DUPLICATE]
        joined = [each for image in held for each in _ranked(main, image, image.newcomer.granules)]
        draft.granules += [each for each in joined if each not in draft.granules]
    while path in known.paths:  # never a duplicate by itself: under a taken name it stands beside the other
        path = _aside(path, row)
    known.paths[path] = row["digest"]
    known.members.update({(key, row["digest"]): path for key in keys})
    draft.files.append((row["id"], main, path, row["role"], kind_beside(row["name"], row["role"])))


def kind_beside(name: str, role: str) -> str:
    """What a file beside an image is, by its name alone: it was not read for its kind.

    >>> kind_beside("a/b.XML", "metadata"), kind_beside("b.ntf.md5", "checksum"), kind_beside("README", "document")
    ('xml', 'text', 'opaque')
    """
    if role == "checksum":
        return "text"
    ending = posixpath.splitext(name)[1].lower().removeprefix(".")
    return ending if ending.isascii() and ending.isalnum() and len(ending) <= 8 else "opaque"
