"""A small archive made by hand, row by row and file by file, for tests that need to know exactly what is in it."""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from blake3 import blake3

from orbitory.settings import Settings

#: A plausible footprint and its area: one by one degree at the equator, about 12,364 km².
SQUARE = "MULTIPOLYGON(((10 0,11 0,11 1,10 1,10 0)))"
SQUARE_KM2 = 12_364.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Granule:
    """What a granule's row says beside its key."""

    product: str = "opaque"
    sensor: str = "correlative"
    version: str = ""
    rank: int = 0
    created: datetime | None = None
    start: datetime | None = None
    end: datetime | None = None
    orbit: int | None = None
    footprint: str | None = None
    area_km2: float | None = None
    search: dict[str, Any] = field(default_factory=dict)


class Holdings:
    """Writes as the pipeline would: every state in turn, so that the history is whole."""

    def __init__(self, settings: Settings, source: str = "correlative") -> None:
        self.settings = settings
        self.source = source
        self.db = psycopg.connect(settings.database, autocommit=True)
        settings.storage.mkdir(parents=True, exist_ok=True)
        (settings.storage / ".orbitory-storage").touch()
        self.landing = settings.landing / source
        self.landing.mkdir(parents=True, exist_ok=True)
        self.run = self.begin()

    def __enter__(self) -> Holdings:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    def begin(self) -> int:
        """Open another run; what follows counts for it."""
        actor = f"hand-{self._one('SELECT count(*) FROM ingest_run')}"
        self.run = self._one(
            "INSERT INTO ingest_run (source, actor, session) VALUES (%s, %s, false) RETURNING id", self.source, actor
        )
        return self.run

    def finish(self) -> None:
        """Close the run with figures straight from the ledger."""
        self.sql(
            "INSERT INTO ingest_statistic SELECT run_id, source, sensor, state, count(*), sum(size) FROM arrival WHERE"
            " run_id = %s AND state IN ('archived', 'rejected', 'duplicate', 'conflict', 'lost') GROUP BY 1, 2, 3, 4",
            self.run,
        )
        fates = ("archived", "duplicate", "conflict", "rejected", "waiting")
        counts = {
            fate: self._one("SELECT count(*) FROM arrival WHERE run_id = %s AND state = %s", self.run, fate)
            for fate in fates
        }
        counts["detected"] = sum(counts.values())
        self.sql(
            "UPDATE ingest_run SET finished_at = now(), verdict = 'success', counts = %s WHERE id = %s",
            json.dumps(counts),
            self.run,
        )

    def sql(self, statement: str, *values: object) -> None:
        """Run one statement as the daily role."""
        self.db.execute(statement, values)

    def _one(self, statement: str, *values: object) -> Any:
        row = self.db.execute(statement, values).fetchone()
        assert row is not None
        return row[0]

    def archive(
        self, name: str = "a.bin", content: bytes = b"bytes", granule: Granule | None = None, key: str = ""
    ) -> int:
        """A file that went all the way; returns the arrival's number."""
        told = granule or Granule()
        arrival = self.arrive(name, content, sensor=told.sensor)
        path = f"{self.source}/{name}"
        asset = self._one(
            "INSERT INTO asset (path, role, state, kind, size, digest)"
            " VALUES (%s, 'data', 'stored', 'opaque', %s, %s)"
            " RETURNING id",
            *(path, len(content), blake3(content).digest()),
        )
        number = self._granule(key or f"{self.source}/{name}", told)
        self.sql("INSERT INTO granule_asset (granule_id, asset_id) VALUES (%s, %s)", number, asset)
        self.sql(
            "UPDATE arrival SET asset_id = %s, digest = %s WHERE id = %s", asset, blake3(content).digest(), arrival
        )
        self.pass_through(arrival, "verified", "extracted", "stored")
        target = self.settings.storage / path
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.landing / name).rename(target)
        self.sql("UPDATE asset SET state = 'archived' WHERE id = %s", asset)
        self.sql("UPDATE granule SET state = 'archived' WHERE id = %s", number)
        self.pass_through(arrival, "archived")
        self.sql("UPDATE arrival SET landed = false, stage = 'archive' WHERE id = %s", arrival)
        return arrival

    def _granule(self, key: str, told: Granule) -> int:
        number: int = self._one(
            "INSERT INTO granule (source, product, key, version, version_rank, created, state, sensor, sensing, orbit,"
            " footprint, area_km2, search) VALUES (%s, %s, %s, %s, %s, %s, 'stored', %s,"
            " CASE WHEN %s::timestamptz IS NOT NULL THEN tstzrange(%s, %s, '[]') END, %s, ST_GeomFromText(%s, 4326),"
            " %s, %s) RETURNING id",
            *(self.source, told.product, key, told.version, told.rank, told.created, told.sensor),
            *(told.start, told.start, told.end or told.start, told.orbit, told.footprint, told.area_km2),
            json.dumps(told.search),
        )
        return number

    def arrive(
        self, name: str, content: bytes = b"bytes", *, sensor: str = "correlative", unit: int | None = None
    ) -> int:
        """A file in landing that a batch under lease has taken."""
        batch = self._one(
            "INSERT INTO batch (run_id, source, partition, files, bytes, lease_until)"
            " VALUES (%s, %s, %s, 1, %s, now() + interval '1 hour') RETURNING id",
            *(self.run, self.source, sensor, len(content)),
        )
        return self._land(name, content, {"state": "detected", "sensor": sensor, "batch_id": batch, "unit_id": unit})

    def wait(self, name: str, content: bytes = b"half", reason: str = "young") -> int:
        """A file in landing that is not complete."""
        return self._land(name, content, {"state": "waiting", "reason": reason})

    def _land(self, name: str, content: bytes, more: dict[str, Any]) -> int:
        file = self.landing / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        status = file.stat()
        row = {
            "source": self.source,
            "path": name.encode("utf-8", "surrogateescape"),
            "name": name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
            "role": "checksum" if more.get("unit_id") else "data",
            "run_id": self.run,
            "dev": status.st_dev,
            "ino": status.st_ino,
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "ctime_ns": status.st_ctime_ns,
            **more,
        }
        marks = ", ".join(["%s"] * len(row))
        number: int = self._one(f"INSERT INTO arrival ({', '.join(row)}) VALUES ({marks}) RETURNING id", *row.values())
        return number

    def pass_through(self, arrival: int, *states: str) -> None:
        """Move an arrival on, state by state."""
        for state in states:
            self.sql("UPDATE arrival SET state = %s WHERE id = %s", state, arrival)

    def reject(self, name: str, content: bytes = b"bad", reason: str = "checksum", sidecar: bytes | None = None) -> int:
        """A file in quarantine, with a checksum sidecar if its content is given; returns the data file's arrival."""
        unit = self.arrive(name, content)
        files = [(unit, name)]
        if sidecar is not None:
            files.append((self.arrive(f"{name}.md5", sidecar, unit=unit), f"{name}.md5"))
        folder = self.settings.quarantine / self.source / str(unit)
        folder.mkdir(parents=True)
        folder.with_name(f"{unit}.json").write_text("{}")
        for arrival, file in files:
            base = posixpath.basename(file)
            (self.landing / file).rename(folder / base)
            self.sql(
                "UPDATE arrival SET state = 'rejected', reason = %s, stage = 'verify', detail = 'told wrongly',"
                " landed = false, quarantine_path = %s WHERE id = %s",
                *(reason, f"{self.source}/{unit}/{base}".encode("utf-8", "surrogateescape"), arrival),
            )
        return unit

    def stored(self, name: str) -> Path:
        """Where an archived file stands."""
        return self.settings.storage / self.source / name
