"""An independent judge of the archive: it reads the delivery's ground truth, disk and tables, never the product."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psycopg
from blake3 import blake3

ZONES = ("landing", "storage", "quarantine")


@dataclass(frozen=True, slots=True)
class Truth:
    """What was delivered: name relative to the landing folder → (sha256 of the bytes, fate they deserve)."""

    source: str
    files: dict[str, tuple[str, str]]


def _files(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        # An empty file that was delivered is no sentinel of a zone.
        if path.is_file() and not path.is_symlink() and not path.name.startswith(".orbitory-")
    }


def violations_at_any_instant(truth: Truth, root: Path, database: str) -> list[str]:
    """What must hold even in the moment after a kill: nothing gone, nothing visible without its bytes."""
    on_disk = {zone: _files(root / zone) for zone in ZONES if (root / zone).is_dir()}
    found: list[str] = []
    everywhere = Counter(digest for files in on_disk.values() for digest in files.values())
    for name, (sha256, fate) in truth.files.items():
        if fate != "duplicate" and not everywhere[sha256]:
            found.append(f"lost: {name}")
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT path, size, digest FROM asset s WHERE state = 'archived' AND EXISTS (SELECT FROM granule_asset l"
            " JOIN granule g ON g.id = l.granule_id WHERE l.asset_id = s.id AND g.state = 'archived')"
        ).fetchall()
    for path, size, digest in rows:
        file = root / "storage" / path
        if not file.is_file():
            found.append(f"visible row without file: {path}")
        elif file.stat().st_size != size or blake3(file.read_bytes()).digest() != digest:
            found.append(f"visible row with other bytes: {path}")
    return found


def violations_at_rest(truth: Truth, root: Path, database: str) -> list[str]:
    """What must hold after the next run has finished what the kill left: every file in its one deserved place."""
    found = violations_at_any_instant(truth, root, database)
    on_disk = {zone: Counter(_files(root / zone).values()) for zone in ZONES}
    place = {"archived": "storage", "rejected": "quarantine", "conflict": "quarantine", "waiting": "landing"}
    expected = {zone: Counter[str]() for zone in ZONES}
    for sha256, fate in truth.files.values():
        if fate in place:
            expected[place[fate]][sha256] += 1
    for zone in ZONES:
        ours = {digest for digest, _ in truth.files.values()}
        actual = Counter({digest: count for digest, count in on_disk[zone].items() if digest in ours})
        if actual != expected[zone]:
            found.append(
                f"{zone} holds {sum(actual.values())} of the delivered files, expected {sum(expected[zone].values())}"
            )
    with psycopg.connect(database) as connection:
        states = {
            name: state
            for name, state in connection.execute(
                "SELECT name, state FROM arrival WHERE source = %s ORDER BY id", [truth.source]
            )
        }
        dark = connection.execute("SELECT array_agg(path) FROM asset WHERE state IN ('stored', 'archived')").fetchone()
        landed = connection.execute("SELECT count(*) FROM arrival WHERE landed AND state <> 'waiting'").fetchone()
    for name, (_, fate) in truth.files.items():
        if states.get(name) != fate:
            found.append(f"{name} is {states.get(name)} in the ledger, expected {fate}")
    known = set((dark and dark[0]) or [])
    stored = {name for name in _files(root / "storage") if not name.startswith(".")}
    found += [f"file without row: {name}" for name in sorted(stored - known)]
    found += [f"row without file: {name}" for name in sorted(known - stored)]
    if landed and landed[0]:
        found.append(f"{landed[0]} names still marked as in landing")
    return found
