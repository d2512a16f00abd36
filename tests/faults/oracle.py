"""An independent judge of the archive: it reads the delivery's ground truth, disk and tables, never the product.

Files may vanish while it looks: what is gone in the meantime was not there.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from blake3 import blake3

ZONES = ("landing", "storage", "quarantine")
_SETTLED = ("archived", "rejected", "duplicate", "conflict")
_TRANSIENT = {
    "arrival": ("detected", "verified", "extracted", "stored"),
    "granule": ("stored", "deleting"),
    "asset": ("stored", "deleting"),
}


@dataclass(frozen=True, slots=True)
class Truth:
    """What was delivered: name relative to the landing folder → (sha256 of the bytes, fate they deserve)."""

    source: str
    files: dict[str, tuple[str, str]]


def _files(root: Path) -> dict[str, str]:
    found = {}
    for above, folders, names in os.walk(root):
        folders.sort()
        for path in (Path(above, name) for name in sorted(names)):
            with suppress(FileNotFoundError):
                if path.name.startswith(".orbitory-"):  # an empty file that was delivered is no sentinel of a zone
                    continue
                if path.is_file() and not path.is_symlink():
                    found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _content(file: Path) -> bytes | None:
    with suppress(FileNotFoundError, IsADirectoryError):
        return file.read_bytes()
    return None


def acknowledged(truth: Truth, root: Path) -> set[str]:
    """Delivered names that were taken out of the landing zone: their sender may forget them."""
    landing = root / "landing" / truth.source
    return {name for name in truth.files if not os.path.lexists(landing / name)}


def archived(database: str) -> dict[str, bytes]:
    """Path and digest of every file that users see."""
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT path, digest FROM asset s WHERE state = 'archived' AND EXISTS (SELECT FROM granule_asset l"
            " JOIN granule g ON g.id = l.granule_id WHERE l.asset_id = s.id AND g.state = 'archived')"
        ).fetchall()
    return {path: bytes(digest) for path, digest in rows}


def lost_since(before: dict[str, bytes], database: str) -> list[str]:
    """Commits that were there before and are not any more (I6: what is archived never changes)."""
    now = archived(database)
    return [f"was archived and is not as it was: {path}" for path, digest in before.items() if now.get(path) != digest]


def violations_at_any_instant(truth: Truth, root: Path, database: str) -> list[str]:
    """What must hold even in the moment after a kill: nothing gone, nothing visible without its bytes (I1, I2), and no
    name out of landing before its fate is committed (I5).
    """
    # In this order: a file only ever moves on from landing, and a name goes after the commit.
    gone = acknowledged(truth, root)
    with psycopg.connect(database) as connection:
        states = _states(connection, truth)
    rows = archived(database)
    on_disk = {zone: _files(root / zone) for zone in ZONES if (root / zone).is_dir()}
    found: list[str] = []
    everywhere = Counter(digest for files in on_disk.values() for digest in files.values())
    for name, (sha256, fate) in truth.files.items():
        if fate != "duplicate" and not everywhere[sha256]:
            found.append(f"lost: {name}")
        if name in gone and states.get(name) not in _SETTLED:
            found.append(f"left landing before its fate was committed: {name} is {states.get(name)}")
    for path, digest in rows.items():
        content = _content(root / "storage" / path)
        if content is None:
            found.append(f"visible row without file: {path}")
        elif blake3(content).digest() != digest:
            found.append(f"visible row with other bytes: {path}")
    return found


def violations_at_rest(truth: Truth, root: Path, database: str) -> list[str]:
    """What must hold after the next run has finished what the kill left: every file in its one deserved place, nobody
    at work, and a history that leads to what is.
    """
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
        states = _states(connection, truth)
        dark = connection.execute("SELECT array_agg(path) FROM asset WHERE state IN ('stored', 'archived')").fetchone()
        landed = connection.execute("SELECT count(*) FROM arrival WHERE landed AND state <> 'waiting'").fetchone()
        found += [*_unfinished(connection), *_history(connection), *_figures(connection)]
    for name, (_, fate) in truth.files.items():
        if states.get(name) != fate:
            found.append(f"{name} is {states.get(name)} in the ledger, expected {fate}")
    known = set((dark and dark[0]) or [])
    stored = {name for name in _files(root / "storage") if not name.startswith(".")}
    found += [f"file without row: {name}" for name in sorted(stored - known)]
    found += [f"row without file: {name}" for name in sorted(known - stored)]
    found += [f"left behind: {name}" for name in _files(root / "storage" / ".incoming")]
    if landed and landed[0]:
        found.append(f"{landed[0]} names still marked as in landing")
    return found


def _states(connection: psycopg.Connection, truth: Truth) -> dict[str, str]:
    """The newest state of every name."""
    rows = connection.execute("SELECT name, state FROM arrival WHERE source = %s ORDER BY id", [truth.source])
    return dict(rows.fetchall())


def _unfinished(connection: psycopg.Connection) -> Iterator[str]:
    """I10: no row is on its way, no batch is held."""
    for table, states in _TRANSIENT.items():
        rows = connection.execute(f"SELECT id, state FROM {table} WHERE state = ANY (%s)", [list(states)])
        yield from (f"{table} {number} is still {state}" for number, state in rows)
    rows = connection.execute("SELECT id FROM batch WHERE done_at IS NULL")
    yield from (f"batch {number} is still open" for (number,) in rows)


def _history(connection: psycopg.Connection) -> Iterator[str]:
    """I8: events follow each other without a gap and lead to the present state of every row."""
    rows = connection.execute(
        "SELECT subject, from_state, to_state, lower(r), upper(r) FROM event, unnest(ids) r"
        " WHERE subject = ANY (%s) ORDER BY event.id",
        [list(_TRANSIENT)],
    )
    told: dict[tuple[str, int], str | None] = {}
    for subject, before, after, low, high in rows:
        for number in range(low, high):
            if told.get((subject, number)) != before:
                yield f"history of {subject} {number}: {told.get((subject, number))}, then from {before} to {after}"
            told[subject, number] = None if after == "gone" else after
    for table in _TRANSIENT:
        now = dict(connection.execute(f"SELECT id, state FROM {table}").fetchall())
        ours = {number: state for (subject, number), state in told.items() if subject == table and state}
        for number in sorted(now.keys() | ours.keys()):
            if now.get(number) != ours.get(number):
                yield f"{table} {number} is {now.get(number)}, history says {ours.get(number)}"


def _figures(connection: psycopg.Connection) -> Iterator[str]:
    """I11: the figures of finished runs are the sums over the ledger."""
    finished = f"run_id IN (SELECT id FROM ingest_run WHERE finished_at IS NOT NULL) AND state IN {_SETTLED}"
    ledger, figures = (
        set(connection.execute(f"SELECT run_id, sensor, state, {what} WHERE {finished} {group}").fetchall())
        for what, group in (
            ("count(*), sum(size)::bigint FROM arrival", "GROUP BY 1, 2, 3"),
            ("files, bytes FROM ingest_statistic", "AND files > 0"),
        )
    )
    yield from (f"figures of run {run}: {rest} in one alone" for run, *rest in sorted(ledger ^ figures))
