"""Archived strips made by the thousand, with small files in storage, for tests of master footprints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from blake3 import blake3
from psycopg.rows import dict_row

from orbitory.mfp import Parameters
from orbitory.mfp.decide import decide
from orbitory.mfp.evaluate import Outcome, Request, begin, finish, work
from orbitory.mfp.rows import refresh
from orbitory.settings import Settings
from orbitory.site import Site, open_site

#: Every file holds its own path.
_STRIPS = """
CREATE TEMP TABLE strip AS
SELECT i, sensor, catalog_id, prod, part, ordered, acq,
       concat_ws('_', sensor, to_char(acq, 'YYYYMMDDHH24MISS'), catalog_id, vendor) AS scene_id,
       concat_ws('_', sensor, catalog_id, prod, ordered) AS strip_id, ordered || '_' || part AS order_id, vendor,
       'nga/' || sensor || '/1B/' || to_char(acq, 'YYYY/DDD/')
       || concat_ws('_', sensor, catalog_id, prod, ordered) || '/'
       || concat_ws('_', sensor, to_char(acq, 'YYYYMMDDHH24MISS'), catalog_id, vendor) AS stem, x, y
FROM (SELECT *, upper(to_char(acq, 'YYMONDDHH24MISS')) || '-' || prod || '-' || ordered || '_' || part AS vendor
      FROM (SELECT i, %(sensor)s AS sensor, %(prefix)s || lpad(upper(to_hex(i / 5 + %(first)s)), 13, '0') AS catalog_id,
                   'P1BS' AS prod, 'P' || lpad((i %% 5 + 1)::text, 3, '0') AS part,
                   lpad((50000000000 + i / 5 + %(first)s)::text, 12, '0') || '_01' AS ordered,
                   timestamp '2010-01-01' + (i / 5) * interval '37 minutes' + (i %% 5) * interval '3 seconds' AS acq,
                   -170 + (i / 5 * 7919 %% 34000) / 100.0 AS x,
                   -60 + (i / 5 * 104729 %% 12000) / 100.0 + (i %% 5) * 0.14 AS y
            FROM generate_series(0, %(n)s - 1) AS i) s) s;
"""
_GRANULES = """
INSERT INTO granule (source, product, key, created, state, platform, sensor, sensing, footprint, area_km2, search)
SELECT 'nga', prod, 'strip/' || vendor, (acq + interval '9 days') AT TIME ZONE 'UTC', 'archived', sensor, sensor,
       tstzrange(acq AT TIME ZONE 'UTC', acq AT TIME ZONE 'UTC', '[]'), shape, ST_Area(shape::geography, false) / 1e6,
       jsonb_build_object(
           'scene_id', scene_id, 'strip_id', strip_id, 'catalog_id', catalog_id, 'order_id', order_id,
           'prod_code', prod, 'spec_type', 'Panchromatic', 'prod_short', '1B', 'image', strip_id || part,
           'name_form', 'renamed_dg', 'cloudcover', (i % 40) / 100.0, 'cent_lat', y + 0.075, 'cent_long', x + 0.075,
           'columns', 35170, 'rows', 23552, 'bits_pixel', 11, 'file_fmt', 'NITF', 'off_nadir', 10 + i % 20,
           'sun_elev', 30 + i % 30, 'prod_gsd', 0.5, 'bands', 1, 'tdi', jsonb_build_object('P', 16),
           'generation_time', acq::text, 'avsunazim', 150.5, 'avtargetaz', 80.25)
FROM (SELECT *, ST_Multi(ST_SetSRID(ST_MakePolygon(ST_MakeLine(ARRAY[
          ST_MakePoint(x, y), ST_MakePoint(x + 0.15, y + 0.01), ST_MakePoint(x + 0.16, y + 0.15),
          ST_MakePoint(x + 0.01, y + 0.15), ST_MakePoint(x, y)])), 4326)) AS shape FROM strip) s ORDER BY i;
"""
_ASSETS = """
WITH file AS (
    INSERT INTO asset (path, role, state, kind, size, digest)
    SELECT stem || ending, role, 'archived', kind, length(stem || ending), '\\x' FROM strip
    CROSS JOIN (VALUES ('.ntf', 'data', 'nitf'), ('.xml', 'metadata', 'xml')) AS f (ending, role, kind)
    ORDER BY i, ending RETURNING id, path
)
INSERT INTO granule_asset (granule_id, asset_id)
SELECT g.id, f.id FROM file f JOIN strip s ON s.stem = left(f.path, -4) JOIN granule g ON g.key = 'strip/' || s.vendor;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strips:
    """An archive of strips, and the site that works on it."""

    site: Site
    db: psycopg.Connection[dict[str, Any]]

    def sql(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Run one statement as the daily role."""
        cursor = self.db.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []

    def make(
        self, count: int, *, sensor: str = "WV02", prefix: str = "103", first: int = 0, files: bool = True
    ) -> None:
        """Archive ``count`` images, five to a strip; ``files``: in storage, too."""
        with self.db.transaction():
            self.db.execute(_STRIPS, {"sensor": sensor, "prefix": prefix, "n": count, "first": first})
            self.db.execute("ANALYZE strip")
            self.db.execute(_GRANULES)
            self.db.execute(_ASSETS)
            self.db.execute("DROP TABLE strip")
        if files:
            self.write()
        self.follow()

    def write(self) -> None:
        """Put into storage what is archived and not there."""
        (self.site.settings.storage / ".orbitory-storage").touch()
        for row in self.sql("SELECT id, path FROM asset WHERE state = 'archived' AND digest = '\\x'"):
            target = self.site.settings.storage / row["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(row["path"].encode())
            digest = blake3(row["path"].encode()).digest()
            self.sql("UPDATE asset SET digest = %(digest)s WHERE id = %(id)s", digest=digest, id=row["id"])

    def follow(self) -> None:
        """Bring the footprints up to date, as ingest does."""
        refresh(self.site, granules=[row["id"] for row in self.sql("SELECT id FROM granule")])

    def again(self, number: int, order: str, **search: Any) -> int:
        """The image of granule ``number`` under another order, with other metadata; its granule's number."""
        old = self.sql("SELECT * FROM granule WHERE id = %(n)s", n=number)[0]
        files = self.sql(
            "SELECT s.* FROM granule_asset l JOIN asset s ON s.id = l.asset_id WHERE l.granule_id = %(n)s", n=number
        )
        ordered = old["search"]["order_id"][:15]
        swap = "replace({0}, %(old)s, %(new)s)"
        values = {"n": number, "old": ordered, "new": order, "search": psycopg.types.json.Jsonb(search)}
        (made,) = self.sql(
            "INSERT INTO granule (source, product, key, created, state, platform, sensor, sensing, footprint, area_km2,"
            f" search) SELECT source, product, {swap.format('key')}, created, state, platform, sensor, sensing,"
            f" footprint, area_km2, {swap.format('search::text')}::jsonb || %(search)s FROM granule"
            " WHERE id = %(n)s RETURNING id",
            **values,
        )
        for file in files:
            (asset,) = self.sql(
                "INSERT INTO asset (path, role, state, kind, size, digest)"
                " VALUES (%(path)s, %(role)s, 'archived', %(kind)s, %(size)s, '\\x') RETURNING id",
                path=file["path"].replace(ordered, order),
                role=file["role"],
                kind=file["kind"],
                size=len(file["path"].replace(ordered, order)),
            )
            self.sql("INSERT INTO granule_asset VALUES (%(g)s, %(a)s)", g=made["id"], a=asset["id"])
        self.write()
        self.follow()
        return int(made["id"])

    def preferred(self) -> set[int]:
        """Granules that stand in the master."""
        return {row["granule_id"] for row in self.sql("SELECT granule_id FROM footprint_master")}


def choose(site: Site, sensor: str) -> None:
    """Decide as an evaluation does that finds nothing wrong."""
    site.inventory.run("mfp_drop_found")
    site.inventory.run("mfp_create_found")
    decide(site, sensor, Parameters(overlap=0.8))
    with psycopg.connect(site.settings.database, autocommit=True) as db:
        db.execute("UPDATE footprint_master SET status = 'validated' WHERE sensor = %s", [sensor])


@contextmanager
def strips(settings: Settings) -> Iterator[Strips]:
    """An empty archive."""
    settings.storage.mkdir(parents=True, exist_ok=True)
    with (
        open_site(actor="test", settings=settings) as site,
        psycopg.connect(settings.database, autocommit=True, row_factory=dict_row) as db,
    ):
        yield Strips(site=site, db=db)


def evaluate(archive: Strips, **request: Any) -> Outcome:
    """Evaluate this archive, sensor after sensor."""
    parts = begin(archive.site, Request(**request))
    for part in parts:
        work(archive.site, part.run, part.sensor)
    return finish(archive.site, parts[0].run)
