"""Does the archive keep its promises? Every invariant that rows and files can show, checked without changing anything.

Rules over rows alone are statements in ``inventory/audit.sql``; here files are compared with rows. A live archive moves
under the checker, so whatever looks wrong is looked at a second time before it is called a violation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orbitory import tree
from orbitory.inventory import Inventory, Row
from orbitory.quarantine import QUARANTINE_SENTINEL
from orbitory.reading import landing_of
from orbitory.site import Site
from orbitory.zones import SENTINEL, display

#: Rules answered by one statement each; the invariant is the name's second word.
RULES = (
    "audit_i1_lost",
    "audit_i1_without_file",
    "audit_i1_other_bytes",
    "audit_i1_nowhere",
    "audit_i2_without_file",
    "audit_i2_suspect",
    "audit_i2_pge_outputs",
    "audit_i2_pge_inputs",
    "audit_i3_without_granule",
    "audit_i5_left_early",
    "audit_i7_granule",
    "audit_i7_asset",
    "audit_i8_triggers",
    "audit_i10_stuck",
    "audit_i10_landed",
    "audit_i10_intent",
    "audit_i10_intent_granule",
    "audit_i10_pge",
    "audit_i10_redrive",
    "audit_i10_removal",
    "audit_i10_export",
    "audit_i11_statistic",
    "audit_i11_counts",
    "audit_i13_geometry",
)
#: A rule that finds more than this tells so and stops: the first ones show what is wrong.
MOST_PER_RULE = 1_000
_PAGE = 20_000
_WINDOW = 50_000
#: What retire leaves beside each folder of quarantine, for people.
_NOTE = re.compile(rb"[^/]+/\d+\.json")
#: Where the rolling audit, and repairs, set things aside: the number is that of the finding.
_ASIDE = re.compile(rb"(?:dark|damaged)/(\d{1,18})/.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One promise that is not kept."""

    #: ``I1`` … ``I13``, as in docs/operations.md.
    invariant: str
    #: The file, granule, run or table.
    name: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        """JSON shape."""
        return {"invariant": self.invariant, "name": self.name, "detail": self.detail}


@dataclass(slots=True)
class Reading:
    """How much of storage an audit has read so far."""

    bytes: int = 0


def audit(site: Site, *, hash_files: bool = True, reading: Reading | None = None) -> Iterator[Violation]:
    """Every violation of I1, I2, I3, I5, I7, I8, I10, I11 and I13 that can be seen now; reads, never writes.

    ``hash_files``: read every stored byte again and compare its digest, instead of existence and size alone;
    ``reading`` counts them.
    """
    yield from of_rows(site)
    yield from _some("audit_i5_landing", _landing(site))
    yield from _some("audit_i10_pge_delivered", _delivered(site))
    yield from _some("audit_i1_quarantine", _quarantine(site))
    yield from _some("audit_i2_storage", _storage(site, hash_files, reading or Reading()))


def of_rows(site: Site, rules: Iterable[str] = RULES) -> Iterator[Violation]:
    """Those that rows alone can show, history replayed; no zone is looked at."""
    for rule in rules:
        found = site.inventory.all(rule, limit=MOST_PER_RULE + 1)
        yield from _some(rule, (_violation(rule, row) for row in found))
    yield from _some("audit_i8_replay", _replay(site.inventory))
    yield from _some("audit_i2_pge_empty", _empty(site))


def _violation(rule: str, row: Row) -> Violation:
    return Violation(invariant=rule.split("_")[1].upper(), name=row["name"], detail=row["detail"])


def _some(rule: str, found: Iterator[Violation]) -> Iterator[Violation]:
    for count, violation in enumerate(found):
        if count == MOST_PER_RULE:
            detail = f"and more of rule {rule}: only the first {MOST_PER_RULE} are shown"
            yield Violation(invariant=violation.invariant, name="…", detail=detail)
            return
        yield violation


def _pages(inventory: Inventory, statement: str, key: str, after: str | bytes | int) -> Iterator[Row]:
    """A long result page by page, so that no transaction stays open while files are hashed."""
    while rows := inventory.all(statement, after=after, limit=_PAGE):
        yield from rows
        after = rows[-1][key]


def _replay(inventory: Inventory) -> Iterator[Violation]:
    """I8: the recorded events lead, without a gap, to the present state of every row."""
    for subject in ("arrival", "granule", "asset", "pge_instance"):
        highest = inventory.one("audit_i8_highest", subject=subject)
        assert highest is not None
        for low in range(0, highest["id"] + 1, _WINDOW):
            window = {"subject": subject, "low": low, "high": low + _WINDOW, "limit": MOST_PER_RULE + 1}
            for row in inventory.all("audit_i8_replay", **window):
                yield _violation("audit_i8_replay", row)


def _landing(site: Site) -> Iterator[Violation]:
    """I5: whatever is still under way stands in its landing zone."""
    for row in _pages(site.inventory, "audit_under_way", "id", 0):
        folder = landing_of(site, row["source"])
        if tree.look(folder, row["path"]) is None:
            now = site.inventory.one("audit_state_of", id=row["id"])
            if now == {"state": row["state"], "landed": True}:
                detail = f"arrival {row['id']} of {row['source']} is {row['state']}, but its name is gone from {folder}"
                yield Violation(invariant="I5", name=row["name"], detail=detail)


def _empty(site: Site) -> Iterator[Violation]:
    """I2: a PGE that promises files has made some."""
    promising = [f"{pge.name} {pge.version}" for pge in site.catalogue.pges.values() if any(o.min for o in pge.outputs)]
    for row in site.inventory.all("audit_i2_pge_empty", promising=promising, limit=MOST_PER_RULE + 1):
        yield _violation("audit_i2_pge_empty", row)


def _delivered(site: Site) -> Iterator[Violation]:
    """I10: what a PGE delivered stands in the landing zone until the ingest knows of it."""
    folder, inventory = landing_of(site, "pge"), site.inventory
    for row in inventory.all("audit_unseen", id=None, limit=_PAGE):
        gone = tree.look(folder, row["file"].encode()) is None
        if gone and row in inventory.all("audit_unseen", id=row["id"], limit=_PAGE):
            detail = f"PGE instance {row['id']} is delivered, but {row['file']} is gone from {folder}, unseen by ingest"
            yield Violation(invariant="I10", name=row["name"], detail=detail)


def _quarantine(site: Site) -> Iterator[Violation]:
    """I1: what was rejected or held stands in quarantine, and nothing else does."""
    root, inventory = site.settings.quarantine, site.inventory
    expected = ((row["path"], row) for row in _pages(inventory, "audit_quarantined", "path", b""))
    for row, entry in tree.pair(expected, _standing(root)):
        if _judge_quarantined(row, entry):
            path = row["path"] if row else entry.path if entry else b""
            again = inventory.one("audit_quarantined_at", path=path)
            aside = _ASIDE.match(path)
            if again is None and aside and inventory.one("audit_set_aside", finding=int(aside[1])):
                continue
            if violation := _judge_quarantined(again, tree.look(root, path)):
                yield violation


def _standing(root: Path) -> Iterator[tree.Entry]:
    return tree.walk(root, skip=(QUARANTINE_SENTINEL.encode(),)) if root.is_dir() else iter(())


def _judge_quarantined(row: Row | None, entry: tree.Entry | None) -> Violation | None:
    if row is None:
        if entry is None or _NOTE.fullmatch(entry.path):
            return None
        return Violation(invariant="I1", name=entry.name, detail="stands in quarantine, but no arrival accounts for it")
    if row["landed"] or row["expired_at"] or (row["detail"] or "").startswith("re-driving: "):
        return None  # on its way in or out; I10 speaks when nobody moves it
    if entry is None:
        detail = f"arrival {row['id']} should stand in quarantine at {display(row['path'])}, but nothing is there"
    elif entry.regular and entry.size != row["size"]:
        detail = f"arrival {row['id']} came with {row['size']} bytes, in quarantine it has {entry.size}"
    else:
        return None
    return Violation(invariant="I1", name=row["name"], detail=detail)


def _storage(site: Site, hash_files: bool, reading: Reading) -> Iterator[Violation]:
    """I2 and I3: storage holds the archived files, byte for byte, and nothing that no row speaks of."""
    root, inventory = site.settings.storage, site.inventory
    if not (root / SENTINEL).exists():
        if tree.expects_files(inventory):
            detail = f"{root} has no such file: storage looks unmounted, so none of its files was checked"
            yield Violation(invariant="I2", name=SENTINEL, detail=detail)
        return
    expected = ((row["path"].encode(), row) for row in _pages(inventory, "audit_assets", "path", ""))
    for row, entry in tree.pair(expected, tree.walk(root, skip=tree.NOT_ARCHIVED)):
        wrong = _judge_stored(site, row, entry, hash_files)
        if hash_files and row is not None and row["state"] == "archived" and entry is not None and entry.regular:
            reading.bytes += entry.size if entry.size == row["size"] else 0
        if wrong:
            path = row["path"].encode() if row else entry.path if entry else b""
            again = inventory.one("audit_asset", path=path.decode()) if _decodable(path) else None
            if violation := _judge_stored(site, again, tree.look(root, path), hash_files):
                yield violation


def _judge_stored(site: Site, row: Row | None, entry: tree.Entry | None, hash_files: bool) -> Violation | None:
    if row is None:
        if entry is None:
            return None
        return Violation(
            invariant="I3", name=entry.name, detail="stands in storage, but the inventory has no row for it"
        )
    if entry is None:
        if row["state"] != "archived":
            return None  # not placed yet, or being removed
        return Violation(
            invariant="I2", name=row["path"], detail=f"file {row['id']} is archived, but storage has no such file"
        )
    if entry.trouble:
        return Violation(invariant="I2", name=entry.name, detail=entry.trouble)
    if not entry.regular:
        return Violation(
            invariant="I3", name=entry.name, detail="is a link, FIFO, socket or device, not an archived file"
        )
    if row["state"] != "archived":
        return None
    if entry.size != row["size"]:
        detail = f"file {row['id']} has {entry.size} bytes on disk, {row['size']} in the inventory"
        return Violation(invariant="I2", name=row["path"], detail=detail)
    if hash_files and (found := tree.content(site.storage, entry)) != row["digest"]:
        was, now = row["digest"].hex(), found.hex() if found else "none"
        detail = f"file {row['id']} has BLAKE3 {now} on disk, {was} in the inventory"
        return Violation(invariant="I2", name=row["path"], detail=detail)
    return None


def _decodable(path: bytes) -> bool:
    """Whether the inventory could hold this path at all (it keeps text)."""
    try:
        return "\0" not in path.decode()
    except UnicodeDecodeError:
        return False
