"""Is a newcomer new, a duplicate, another version, another packaging, or a conflict? One pure decision.

Rules: the duplicate classes of docs/glossary.md. Nothing is ever decided by name alone: identity is the granule's key,
its producer's version and creation time, and the BLAKE3 digest of the bytes.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

_VERSION = re.compile(r"([A-Z]?)(\d{1,6})")
_NEVER = datetime.min.replace(tzinfo=UTC)


def version_rank(version: str) -> int:
    """Order of a producer's version, letter then number; 0 where it has none.

    >>> version_rank("A10") > version_rank("A9"), version_rank("B1") > version_rank("A10"), version_rank("")
    (True, True, 0)
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        return 0
    letter, number = match.groups()
    return (ord(letter) - ord("A") + 1 if letter else 0) * 1_000_000 + int(number)


@dataclass(frozen=True, slots=True, order=True)
class Edition:
    """One version of a granule: rank of its version, then its producer's creation time."""

    rank: int
    created: datetime = _NEVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    """A file that wants into the archive."""

    #: Final path that the layout gives it.
    path: str
    digest: bytes
    #: (key, edition) of every granule it holds.
    granules: tuple[tuple[str, Edition], ...]
    #: It stands at its path already and cannot be put elsewhere.
    fixed: bool = False

    @property
    def versioned(self) -> bool:
        """Whether its own metadata can tell which of two editions is newer."""
        return any(edition != Edition(0) for _, edition in self.granules)


class Verdict(StrEnum):
    """What becomes of a newcomer."""

    #: Archive it: new, another version, or another packaging.
    STORE = "store"
    #: The archive holds exactly this.
    DUPLICATE = "duplicate"
    #: Not wanted beside what the archive holds (policy): to trash.
    SKIPPED = "skipped"
    #: Same identity, other content: a person decides.
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The verdict and what follows from it."""

    verdict: Verdict
    #: Final path: the newcomer's own when stored, else that of the stored file it met.
    path: str
    #: The newcomer's granules with the ranks they get.
    granules: tuple[tuple[str, Edition], ...] = ()


@dataclass(slots=True)
class Known:
    """What the archive holds, or has already decided to hold, of the granules and paths in question."""

    #: key → edition → {path: digest} of the data files that hold it.
    granules: dict[str, dict[Edition, dict[str, bytes]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    paths: dict[str, bytes] = field(default_factory=dict)
    #: (key, digest) → path of what stands beside the data of a granule: metadata, bundles, browse images.
    members: dict[tuple[str, bytes], str] = field(default_factory=dict)
    #: (key, edition, digest) → path of what was once archived and has been removed since.
    tombstones: dict[tuple[str, Edition, bytes], str] = field(default_factory=dict)

    def add(self, key: str, edition: Edition, path: str | None, digest: bytes | None) -> None:
        """Note that ``path`` holds this edition."""
        files = self.granules[key][edition]
        if path is not None and digest is not None:
            files[path] = digest
            self.paths[path] = digest

    def forget(self, decisions: Iterable[Decision], paths: Iterable[str]) -> None:
        """Take back decisions that are not carried out after all, and these paths."""
        for decision in decisions:
            for key, edition in decision.granules:
                self.granules[key][edition].pop(decision.path, None)
                if not self.granules[key][edition]:
                    del self.granules[key][edition]
                if not self.granules[key]:
                    del self.granules[key]
        gone = {decision.path for decision in decisions if decision.granules}.union(paths)
        for path in gone:
            self.paths.pop(path, None)
        self.members = {member: path for member, path in self.members.items() if path not in gone}

    def holders(self, newcomer: Newcomer) -> Iterable[str]:
        """Stored files with the newcomer's bytes that hold all of its granules.

        What tells no version was given one when it came: it is known under every edition of its granule.
        """
        held = [self._files(key, edition, newcomer.versioned) for key, edition in newcomer.granules]
        return (
            path for path, digest in held[0].items() if digest == newcomer.digest and all(path in each for each in held)
        )

    def _files(self, key: str, edition: Edition, versioned: bool) -> dict[str, bytes]:
        editions = self.granules.get(key, {})
        if versioned:
            return editions.get(edition, {})
        return {path: digest for files in editions.values() for path, digest in files.items()}


def decide(
    newcomer: Newcomer,
    known: Known,
    policy: Literal["error", "skip", "replace", "version"],
    late: Literal["archive", "skip"],
) -> Decision:
    """Decide about one newcomer and remember the decision in ``known``, so that the next one meets it.

    ``policy`` rules what happens when the same identity comes with other content under the same name; ``late``, what
    happens to an edition older than all that is held, and to a copy of what was archived once and removed since.
    """
    if keeper := min(known.holders(newcomer), default=None):
        return Decision(verdict=Verdict.DUPLICATE, path=keeper)
    buried = [known.tombstones.get((key, edition, newcomer.digest)) for key, edition in newcomer.granules]
    if late == "skip" and all(buried):
        return Decision(verdict=Verdict.SKIPPED, path=str(buried[0]))
    newcomer = _reranked(newcomer, known)
    relations = {_relation(key, edition, known) for key, edition in newcomer.granules}
    if late == "skip" and relations == {"older"}:
        return Decision(verdict=Verdict.SKIPPED, path=_newest_path(newcomer.granules[0][0], known))
    decision = _place(newcomer, relations, known, policy)
    if decision.verdict is Verdict.STORE:
        for key, edition in decision.granules:
            known.add(key, edition, decision.path, newcomer.digest)
    return decision


def _reranked(newcomer: Newcomer, known: Known) -> Newcomer:
    """What tells no version and comes after ones that were ranked here is newer than they, even under a free name."""
    ranks = [max(known.granules[key]).rank for key, _ in newcomer.granules if known.granules.get(key)]
    if (
        newcomer.versioned
        or not ranks
        or any(Edition(0) in known.granules.get(key, {}) for key, _ in newcomer.granules)
    ):
        return newcomer
    granules = tuple((key, Edition(1 + max(ranks))) for key, _ in newcomer.granules)
    return replace(newcomer, granules=granules)


def _relation(key: str, edition: Edition, known: Known) -> str:
    editions = known.granules.get(key)
    if not editions:
        return "new"
    if edition in editions:
        return "same"
    return "newer" if edition > max(editions) else "older"


def _newest_path(key: str, known: Known) -> str:
    editions = known.granules[key]
    return min(editions[max(editions)], default="")


def _place(newcomer: Newcomer, relations: set[str], known: Known, policy: str) -> Decision:
    if newcomer.path not in known.paths:  # another name: another packaging of what is known, or simply new
        if policy == "error" and "same" in relations and not newcomer.versioned:
            return Decision(verdict=Verdict.CONFLICT, path=_newest_path(newcomer.granules[0][0], known))
        return Decision(verdict=Verdict.STORE, path=newcomer.path, granules=newcomer.granules)
    if newcomer.fixed:
        return Decision(verdict=Verdict.CONFLICT, path=newcomer.path)
    if "same" not in relations:  # the same name on another edition: both stay, side by side
        label = max(edition for _, edition in newcomer.granules)
        return _beside(newcomer, f"{label.rank}_{label.created:%Y%m%dT%H%M%S%f}", known)
    if policy == "skip":
        return Decision(verdict=Verdict.SKIPPED, path=newcomer.path)
    if policy == "error" or newcomer.versioned:
        return Decision(verdict=Verdict.CONFLICT, path=newcomer.path)
    rank = 1 + max(max(known.granules[key]).rank for key, _ in newcomer.granules)
    ranked = replace(newcomer, granules=tuple((key, Edition(rank)) for key, _ in newcomer.granules))
    return _beside(ranked, f"v{rank}", known)


def _beside(newcomer: Newcomer, label: str, known: Known) -> Decision:
    folder, name = posixpath.split(newcomer.path)
    path = posixpath.join(folder, label, name)
    if path in known.paths:
        return Decision(verdict=Verdict.CONFLICT, path=path)
    return Decision(verdict=Verdict.STORE, path=path, granules=newcomer.granules)
