"""An inventory with as many rows as wanted, straight by SQL: granules of years all over the Earth, one file each."""

from __future__ import annotations

import psycopg

from orbitory.settings import Settings
from orbitory.zones import SENTINEL

#: Rows of one statement, so that its triggers hold little in memory.
_AT_ONCE = 100_000
#: So many granules begin on each day, from 2018 on.
PER_DAY = 2_740
PRODUCTS = ("SVM01", "SATMS", "GCRSO", "SOMTC", "GMTCO", "GATMO", "SCRIS", "SVDNB")

# Places follow a sequence that fills the globe evenly; boxes are 6 degrees wide and 4 high.
_GRANULES = f"""
INSERT INTO granule (source, product, key, created, state, platform, sensor, collection, sensing, orbit, footprint,
                     area_km2, search, classification)
SELECT 'idps', (%(products)s::text[])[1 + i %% {len(PRODUCTS)}], 'idps/benchmark/' || i, t, 'archived', 'J01', 'VIIRS',
       'VIIRS-M1-SDR', tstzrange(t, t + interval '85 seconds', '[]'), i / 70,
       ST_Multi(ST_MakeEnvelope(x - 3, y - 2, x + 3, y + 2, 4326)), 296000,
       jsonb_build_object('granule', 'J01' || lpad(i::text, 12, '0'), 'day_night', 'Day'), 'unrestricted'
FROM (SELECT i, timestamptz '2018-01-01' + i * interval '1 day' / {PER_DAY} AS t,
             -176.9 + 353.8 * (i * 0.7548776662 %% 1)::float AS x, -87.9 + 175.8 * (i * 0.5698402910 %% 1)::float AS y
      FROM generate_series(%(low)s::bigint, %(high)s::bigint) i) f ORDER BY i"""
_ASSETS = """
INSERT INTO asset (path, role, state, kind, size, digest)
SELECT 'idps/J01/benchmark/' || i / 1000 || '/' || i || '.h5', 'data', 'archived', 'hdf5', 50000,
       decode(md5(i::text) || md5((-i)::text), 'hex')
FROM generate_series(%(low)s::bigint, %(high)s::bigint) i ORDER BY i"""
_LINKS = """
INSERT INTO granule_asset (granule_id, asset_id)
SELECT i, i FROM generate_series(%(low)s::bigint, %(high)s::bigint) i"""


def fill(settings: Settings, count: int) -> None:
    """Fill an empty inventory with ``count`` archived granules; numbers of rows run from 1."""
    with psycopg.connect(settings.owner_database, autocommit=True) as connection:
        for low in range(1, count + 1, _AT_ONCE):
            values = {"low": low, "high": min(low + _AT_ONCE - 1, count), "products": list(PRODUCTS)}
            for statement in (_GRANULES, _ASSETS, _LINKS):
                connection.execute(statement, values)
        connection.execute("VACUUM ANALYZE")
    settings.storage.mkdir(parents=True, exist_ok=True)
    (settings.storage / SENTINEL).touch()


#: What tells a copy from the row it was made of, by table and column; the copy's number is c.
_OWN = {
    "granule": {
        "id": "id + c * %(granule)s",
        "key": "key || '-' || c",
        "created": "created + c * interval '1 day'",
        "sensing": "tstzrange(lower(sensing) + c * interval '1 day', upper(sensing) + c * interval '1 day', '[]')",
    },
    "asset": {
        "id": "id + c * %(asset)s",
        "path": "replace(path, '/J01/', '/J01/' || c || '/')",
        "digest": "sha256(digest || int8send(c))",
    },
    "granule_asset": {"granule_id": "granule_id + c * %(granule)s", "asset_id": "asset_id + c * %(asset)s"},
    "arrival": {
        "id": "id + c * %(arrival)s",
        "unit_id": "unit_id + c * %(arrival)s",
        "asset_id": "asset_id + c * %(asset)s",
        "path": "path || int8send(c)",
        "name": "name || '-' || c",
        "digest": "sha256(digest || int8send(c))",
    },
}


def multiply(settings: Settings, times: int) -> None:
    """Every row that ingest has left in the ledger of deliveries and the archive, that often; all but names is kept.

    Numbers of rows run from 1. Files are not multiplied.
    """
    with psycopg.connect(settings.owner_database, autocommit=True) as connection:
        values = {
            table: (connection.execute(f"SELECT max(id) FROM {table}").fetchone() or [0])[0]
            for table in ("granule", "asset", "arrival")
        }
        for table, own in _OWN.items():
            rows = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                [table],
            )
            columns = [name for (name,) in rows]
            told = ", ".join(own.get(name, name) for name in columns)
            connection.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE"
                f" SELECT {told} FROM {table}, generate_series(1, {times - 1}) AS c",
                values,
            )
        connection.execute("VACUUM ANALYZE")
