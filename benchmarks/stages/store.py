"""store: decide about every file, and write its rows.

Technique: what extract learned waits in tables without write-ahead log; decisions go by COPY into temporary tables,
and one statement each moves granules, files and links into the inventory. Full attributes are one compressed value.
Limit: the indexes. The yardstick writes the same rows into the same indexes, but decides nothing, leaves no history,
and writes neither full attributes nor the ledger.
Tried: rows one by one (6 times slower), a commit for each (100 times slower), an ORM (5 times slower), arrays unnested
(4 times slower), full attributes as jsonb (9 times the cost of the slim row), decisions as arrays instead of temporary
tables (the planner, without statistics of a batch that has just begun, compares each with each).
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from benchmarks.deliveries import Delivery, Step, ingest_all, jpss, land
from benchmarks.rows import Rows, make_tables, prebuilt
from benchmarks.site import Bench, tool
from benchmarks.stage import Case, Done, Side, Stage
from orbitory import ingest
from orbitory.settings import Settings

_ITEMS = """
SELECT jsonb_build_object('type', 'Feature', 'stac_version', '1.0.0', 'id', 'g' || g.id, 'collection', 'benchmark',
    'geometry', ST_AsGeoJSON(g.footprint)::jsonb,
    'bbox', jsonb_build_array(ST_XMin(g.footprint), ST_YMin(g.footprint), ST_XMax(g.footprint), ST_YMax(g.footprint)),
    'links', '[]'::jsonb, 'properties', g.search || jsonb_build_object('datetime', lower(g.sensing),
        'start_datetime', lower(g.sensing), 'end_datetime', upper(g.sensing), 'product', g.product, 'key', g.key,
        'platform', g.platform, 'sensor', g.sensor, 'created', g.created, 'orbit', g.orbit),
    'assets', jsonb_build_object('data', jsonb_build_object('href', s.path)))::text
FROM granule g JOIN granule_asset l ON l.granule_id = g.id JOIN asset s ON s.id = l.asset_id AND s.role = 'data'
WHERE g.footprint IS NOT NULL"""
# One document of Open Data Cube (eo3) for each; its grid is the footprint's box.
_DOCUMENTS = """
SELECT jsonb_build_object('$schema', 'https://schemas.opendatacube.org/dataset', 'id', md5(g.key)::uuid,
    'product', '{"name": "benchmark"}'::jsonb, 'crs', 'epsg:4326', 'lineage', '{}'::jsonb,
    'grids', jsonb_build_object('default', jsonb_build_object('shape', '[768, 3200]'::jsonb, 'transform',
        jsonb_build_array((ST_XMax(g.footprint) - ST_XMin(g.footprint)) / 3200, 0, ST_XMin(g.footprint),
                          0, (ST_YMin(g.footprint) - ST_YMax(g.footprint)) / 768, ST_YMax(g.footprint), 0, 0, 1))),
    'properties', jsonb_build_object('datetime', lower(g.sensing), 'odc:processing_datetime', g.created,
        'eo:platform', g.platform, 'eo:instrument', g.sensor, 'odc:file_format', 'HDF5'),
    'measurements', jsonb_build_object('data', jsonb_build_object('path', s.path)))::text
FROM granule g JOIN granule_asset l ON l.granule_id = g.id JOIN asset s ON s.id = l.asset_id AND s.role = 'data'
WHERE g.footprint IS NOT NULL"""
_CUBE_PRODUCT = {
    "name": "benchmark",
    "description": "granules of the benchmark",
    "metadata_type": "eo3",
    "metadata": {"product": {"name": "benchmark"}},
    "measurements": [{"name": "data", "dtype": "uint16", "nodata": 0, "units": "1"}],
}
_COLLECTION = {
    "type": "Collection",
    "stac_version": "1.0.0",
    "id": "benchmark",
    "description": "rows of the benchmark",
    "license": "proprietary",
    "links": [],
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2010-01-01T00:00:00Z", None]]}},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Material:
    """A delivery, and what its rows are once it is archived."""

    delivery: Delivery
    rows: Rows
    #: The same rows as STAC items, one a line.
    items: Path
    #: And as documents of Open Data Cube.
    documents: Path
    count: int


def _material(bench: Bench) -> _Material:
    delivery = jpss(bench, "store", bench.pick(200, 4_000, 12_000))
    settings = bench.site("archived")
    land(delivery, settings)
    ingest_all(settings)
    items = bench.folder("items") / "items.ndjson"
    lines = [line for (line,) in bench.sql(settings, _ITEMS)]
    items.write_text("\n".join(lines) + "\n")
    documents = items.with_name("documents.yaml")
    documents.write_text("\n---\n".join(document for (document,) in bench.sql(settings, _DOCUMENTS)) + "\n")
    rows = prebuilt(bench, settings)
    return _Material(delivery=delivery, rows=rows, items=items, documents=documents, count=len(lines))


def _slim(bench: Bench) -> Case:
    material = bench.once(_material)
    step = Step(bench=bench, delivery=material.delivery, step=ingest.store, name="store")
    plain: list[Settings] = []

    def ready(side: Side) -> None:
        step.ready(side)
        if side == "theirs":
            plain[:] = [bench.site("plain")]
            make_tables(plain[0])

    def theirs() -> Done:
        material.rows.load(plain[0])
        return Done(units=len(material.delivery.files))

    return Case(what=f"rows of {material.delivery}, empty inventory", ours=step.run, theirs=theirs, ready=ready)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pgstac:
    """A database of pgstac beside ours, on the same server."""

    bench: Bench
    database: str = "pgstac"
    _made: list[str] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return self.bench.cluster.uri(self.database, "postgres")

    def make(self) -> None:
        """A fresh one with our collection in it."""
        for statement in (f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)", f"CREATE DATABASE {self.database}"):
            self.bench.cluster.sql(statement)
        self.bench.cluster.sql("CREATE EXTENSION postgis; CREATE EXTENSION btree_gist", self.database)
        self.run("migrate")
        collection = self.bench.folder("collection") / "collection.ndjson"
        collection.write_text(json.dumps(_COLLECTION) + "\n")
        self.run("load", "collections", str(collection), "--method", "insert")

    def load(self, material: _Material, method: str) -> Done:
        """Load the items as its users do."""
        self.run("load", "items", str(material.items), "--method", method)
        return Done(units=material.count)

    def run(self, *words: str) -> None:
        line = [tool("pypgstac"), *words, "--dsn", self.uri]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"pypgstac {words[0]} failed: {done.stderr.strip()[-1000:]}")


def _peer(bench: Bench) -> Case:
    material = bench.once(_material)
    step = Step(bench=bench, delivery=material.delivery, step=ingest.store, name="store")
    pgstac = _Pgstac(bench=bench)

    def ready(side: Side) -> None:
        step.ready(side)
        if side == "theirs":
            pgstac.make()

    return Case(
        what=f"rows of {material.delivery}; pgstac: {material.count:,} items of the same",
        ours=step.run,
        theirs=lambda: pgstac.load(material, "insert"),
        ready=ready,
    )


def _cube(bench: Bench) -> Case:
    material = bench.once(_material)
    step = Step(bench=bench, delivery=material.delivery, step=ingest.store, name="store")
    product = bench.folder("cube") / "product.yaml"
    product.write_text(json.dumps(_CUBE_PRODUCT))
    server = conninfo_to_dict(bench.cluster.uri("cube", "postgres"))  # it cannot read a socket's path in a URI
    variables = {"ODC_DEFAULT_DB_URL": "postgresql:///cube", "PGHOST": str(server["host"]), "PGUSER": "postgres"}

    def run(*words: str) -> None:
        line = [tool("datacube"), *words]
        done = subprocess.run(line, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"datacube {' '.join(words[:2])} failed: {(done.stdout + done.stderr).strip()[-1000:]}")

    def ready(side: Side) -> None:
        step.ready(side)
        if side == "theirs":
            for statement in ("DROP DATABASE IF EXISTS cube WITH (FORCE)", "CREATE DATABASE cube"):
                bench.cluster.sql(statement)
            run("system", "init")
            run("product", "add", str(product))

    def theirs() -> Done:
        run("dataset", "add", "--ignore-lineage", "-p", "benchmark", str(material.documents))
        if (count := int(bench.cluster.sql("SELECT count(*) FROM agdc.dataset", "cube"))) != material.count:
            raise RuntimeError(f"datacube holds {count} of {material.count} documents")
        return Done(units=material.count)

    return Case(
        what=f"rows of {material.delivery}; Open Data Cube: {material.count:,} documents of the same, start included",
        ours=step.run,
        theirs=theirs,
        ready=ready,
    )


def _known(bench: Bench) -> Case:
    material = bench.once(_material)
    step = Step(bench=bench, delivery=material.delivery, step=ingest.store, name="store")
    pgstac = _Pgstac(bench=bench)
    pgstac.make()
    pgstac.load(material, "insert")
    return Case(
        what=f"rows of {material.delivery}, all known",
        ours=step.run,
        theirs=lambda: pgstac.load(material, "upsert"),
        ready=lambda side: step.ready(side, known=True),
    )


def _large(bench: Bench) -> Case:
    settings = bench.copy(bench.filled(), "large")
    rounds: list[Step] = []

    def ready(side: Side) -> None:
        if side == "ours":
            delivery = jpss(bench, "growing", bench.pick(200, 1_000, 12_000), seed=10 + len(rounds))
            rounds.append(Step(bench=bench, delivery=delivery, step=ingest.store, name="growing"))
            rounds[-1].take(settings)
        else:
            rounds.append(Step(bench=bench, delivery=rounds[-1].delivery, step=ingest.store, name="empty"))
            rounds[-1].ready()

    def run() -> Done:
        return rounds[-1].run()

    return Case(what=f"inventory of {bench.rows:,} granules", ours=run, theirs=run, ready=ready)


STAGES = (
    Stage(
        name="store",
        yardstick="binary COPY of the slim rows, made beforehand, same indexes",
        goal=0.6,
        unit="files",
        prepare=_slim,
        floor=0.02,
    ),
    Stage(
        name="store-and-pgstac",
        yardstick="pypgstac load, same rows as items",
        goal=6,
        unit="files",
        prepare=_peer,
        slow=True,
        needs=("pypgstac",),
        floor=0.5,
    ),
    Stage(
        name="store-known-and-pgstac",
        yardstick="pypgstac load --method upsert, items known",
        goal=10,
        unit="files",
        prepare=_known,
        slow=True,
        needs=("pypgstac",),
        floor=0.5,
    ),
    Stage(
        name="store-and-datacube",
        yardstick="datacube dataset add, same rows as documents",
        goal=20,
        unit="files",
        prepare=_cube,
        sizes=("tiny", "full"),
        slow=True,
        needs=("datacube",),
        floor=0.5,
    ),
    Stage(
        name="store-large-inventory",
        yardstick="store into an empty inventory",
        goal=0.5,
        unit="files",
        prepare=_large,
        slow=True,
    ),
)
