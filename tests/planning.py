"""Granules straight into the inventory, and definitions as text, for tests of planning."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from orbitory.pge.planner import Planned, plan
from orbitory.settings import CHECKOUT, Settings
from orbitory.site import open_site
from orbitory.times import VIIRS_GRANULE_US, granule_id, iet_from_utc

#: Start of the first granule of the tests, shortly after a granule boundary.
T0 = datetime(2024, 2, 10, 12, 0, tzinfo=UTC)
VIIRS = timedelta(microseconds=VIIRS_GRANULE_US)
_COLLECTIONS = {"SVM05": "VIIRS-M5-SDR", "GMODO": "VIIRS-MOD-GEO", "GMTCO": "VIIRS-MOD-GEO-TC", "SATMS": "ATMS-SDR"}

DAILY = """
name = "daily"
title = "Day"
version = "1"
[run]
command = ["{python}"]
[period]
kind = "time"
of = "sdr"
hours = 24
[[inputs]]
name = "sdr"
products = ["SVM05"]
select = "all"
timeout_minutes = 60
[[outputs]]
name = "grid"
product = "pge_viirs_quicklook"
pattern = "*.h5"
"""
QUICKLOOK = """
name = "quick"
title = "Quick look"
version = "1"
[run]
command = ["{python}", "{pges}/quick.py"]
[period]
kind = "granule"
of = "sdr"
[[inputs]]
name = "sdr"
products = ["SVM05"]
[[inputs]]
name = "geo"
products = ["GMTCO"]
[[outputs]]
name = "picture"
product = "pge_viirs_quicklook"
pattern = "*.tif"
"""


def granule_start(number: int) -> datetime:
    """Start of the ``number``-th VIIRS granule from T0 on, half a second after its boundary."""
    iet = iet_from_utc(T0)
    first = iet - (iet - 1_698_019_234_000_000) % VIIRS_GRANULE_US + VIIRS_GRANULE_US
    return T0 + timedelta(microseconds=first - iet + number * VIIRS_GRANULE_US + 500_000)


def granule_key(product: str, number: int, platform: str = "NPP") -> str:
    """As extract writes it."""
    name = granule_id(platform, iet_from_utc(granule_start(number)), VIIRS_GRANULE_US)
    return f"{platform}/{_COLLECTIONS.get(product, product)}/{name}"


class Archive:
    """An inventory that granules arrive in."""

    def __init__(self, settings: Settings, *definitions: str) -> None:
        """A site with the shipped catalogue, but with these PGEs instead of the shipped ones."""
        folder = settings.work.parent / "catalogue"
        if not folder.exists():
            shutil.copytree(CHECKOUT / "include" / "catalogue", folder)
            shutil.rmtree(folder / "pges", ignore_errors=True)
            (folder / "pges").mkdir()
        self.settings = replace(settings, catalogue=folder)
        self.db = psycopg.connect(settings.database, autocommit=True, row_factory=dict_row)
        for text in definitions:
            self.define(text)

    def define(self, text: str) -> None:
        """Write or replace a definition."""
        name = text.split('name = "')[1].split('"')[0]
        (self.settings.catalogue / "pges" / f"{name}.toml").write_text(text)

    def viirs(self, product: str, number: int, platform: str = "NPP", **more: Any) -> int:
        """The ``number``-th VIIRS granule of a product; returns its number in the inventory."""
        start = granule_start(number)
        end = start + VIIRS - timedelta(seconds=1.5)
        return self.granule(product, granule_key(product, number, platform), start, end, platform=platform, **more)

    def granule(self, product: str, key: str, start: datetime, end: datetime, **more: Any) -> int:
        """Any granule, archived with one data file."""
        row = {
            "sensor": "VIIRS",
            "platform": "",
            "version": "A1",
            "version_rank": 0,
            "created": None,
            "orbit": None,
            **more,
        }
        with self.db.transaction():
            made = self.db.execute(
                "INSERT INTO granule (source, product, key, state, sensing, sensor, platform, version, version_rank,"
                " created, orbit, footprint) VALUES ('idps', %s, %s, 'stored', tstzrange(%s, %s, '[]'),"
                " %s, %s, %s, %s, %s, %s, ST_Multi(ST_GeomFromText(%s, 4326))) RETURNING id",
                [
                    product,
                    key,
                    start,
                    end,
                    *(row[name] for name in ("sensor", "platform", "version", "version_rank", "created", "orbit")),
                    more.get("footprint"),
                ],
            ).fetchone()
            assert made is not None
            asset = self.db.execute(
                "INSERT INTO asset (path, role, state, kind, size, digest)"
                " VALUES (%s, 'data', 'archived', 'hdf5', 1, sha256(%s::bytea)) RETURNING id",
                [f"idps/{key}.{row['version_rank']}.{made['id']}", f"{key}{row['version_rank']}".encode()],
            ).fetchone()
            assert asset is not None
            self.db.execute("INSERT INTO granule_asset VALUES (%s, %s)", [made["id"], asset["id"]])
            self.db.execute("UPDATE granule SET state = 'archived' WHERE id = %s", [made["id"]])
            self.db.execute(
                "UPDATE granule g SET superseded_by = n.id FROM granule n"
                " WHERE g.key = %(key)s AND n.key = %(key)s AND n.version_rank > g.version_rank",
                {"key": key},
            )
        number: int = made["id"]
        return number

    @contextmanager
    def site(self) -> Iterator[Any]:
        """The site as a step sees it."""
        with open_site(actor="test", settings=self.settings) as site:
            assert site.catalogue.problems == ()
            yield site

    def plan(self, start: datetime | None = None, stop: datetime | None = None) -> Planned:
        """Plan once."""
        with self.site() as site:
            return plan(site, start, stop)

    def later(self, **by: float) -> None:
        """Let time pass for everything that waits."""
        self.db.execute(
            "UPDATE pge_instance SET settled_at = settled_at - %(by)s, expires_at = expires_at - %(by)s,"
            " wake_at = wake_at - %(by)s WHERE state = 'waiting'",
            {"by": timedelta(**by)},
        )

    def set_state(self, instance: int, state: str) -> None:
        """As the runner would."""
        self.db.execute("UPDATE pge_instance SET state = %s WHERE id = %s", [state, instance])

    def rows(self, statement: str = "", *values: object) -> list[dict[str, Any]]:
        """Instances, oldest first, or the rows of a statement."""
        return self.db.execute(statement.encode() or b"SELECT * FROM pge_instance ORDER BY id", values).fetchall()

    def states(self) -> list[str]:
        """Of all instances, oldest first."""
        return [row["state"] for row in self.rows()]
