"""Granules of a selection for GIS and notebooks: a GeoPackage, and the items of STAC 1.1 as GeoParquet.

The Parquet file is stac-geoparquet 1.1: an item is a row, its properties are columns, ``assets`` a structure by key
(``data``, ``metadata``, ``data_2`` …), ``links`` a list that is empty, for a package knows nobody who serves it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from orbitory.inventory import Row
from orbitory.mfp.report.columns import Column, Kind
from orbitory.mfp.report.geopackage import GeoPackage, Layer
from orbitory.mfp.report.geoparquet import GeoParquet
from orbitory.site import Site

_AT_ONCE = 5_000
#: Of ``file:size`` and ``file:checksum`` (multihash; 1e20: BLAKE3 of 32 bytes).
_EXTENSIONS = ["https://stac-extensions.github.io/file/v2.1.0/schema.json"]
_PLAIN = tuple(
    Column(name=name, kind=kind)
    for name, kind in (
        ("id", Kind.TEXT),
        ("type", Kind.TEXT),
        ("stac_version", Kind.TEXT),
        ("collection", Kind.TEXT),
        ("datetime", Kind.TIME),
        ("start_datetime", Kind.TIME),
        ("end_datetime", Kind.TIME),
        ("created", Kind.TIME),
        ("platform", Kind.TEXT),
        ("version", Kind.TEXT),
        ("orbit", Kind.INTEGER),
        ("area_km2", Kind.REAL),
        ("classification", Kind.TEXT),
        ("search", Kind.TEXT),
    )
)
_NESTED = tuple(Column(name=name, kind=Kind.TEXT) for name in ("instruments", "stac_extensions", "links", "assets"))


def write_tables(site: Site, folder: Path) -> int:
    """Write both tables of the granules in ``export_chosen`` that are archived; returns how many these are."""
    written = 0
    keys = [
        _key(row["role"], place)
        for row in site.inventory.all("export_asset_roles")
        for place in range(1, row["most"] + 1)
    ]
    with (
        GeoPackage(folder / "granules.gpkg") as package,
        GeoParquet(
            folder / "granules.parquet", _PLAIN + _NESTED, geometry="MultiPolygon", nested=_types(keys)
        ) as parquet,
    ):
        parquet.notes = {"stac-geoparquet": json.dumps({"version": "1.1.0"})}
        package.begin(
            Layer(name="granules", columns=_PLAIN + _NESTED, geometry="MULTIPOLYGON", about="archived granules")
        )
        rows = _items(site)
        while some := list(islice(rows, _AT_ONCE)):
            package.add("granules", [_flat(row) for row in some])
            parquet.add(some)
            written += len(some)
    return written


def _items(site: Site) -> Iterator[Row]:
    for row in site.inventory.stream("export_items"):
        found: dict[str, Any] = {}
        seen: Counter[str] = Counter()
        for asset in row["assets"] or ():
            role = asset["roles"][0]
            seen[role] += 1
            found[_key(role, seen[role])] = asset
        shown = {"search": json.dumps(row["search"], ensure_ascii=False), "assets": found, "links": []}
        yield {**row, **shown, "stac_extensions": _EXTENSIONS}


def _key(role: str, place: int) -> str:
    return role if place == 1 else f"{role}_{place}"


def _flat(row: Row) -> Row:
    return row | {column.name: json.dumps(row[column.name], ensure_ascii=False) for column in _NESTED}


def _types(keys: list[str]) -> dict[str, Any]:
    import pyarrow as pa

    texts = pa.list_(pa.string())
    asset = pa.struct(
        [("href", pa.string()), ("roles", texts), ("file:size", pa.int64()), ("file:checksum", pa.string())]
    )
    link = pa.struct([("href", pa.string()), ("rel", pa.string()), ("type", pa.string()), ("title", pa.string())])
    return {
        "instruments": texts,
        "stac_extensions": texts,
        "links": pa.list_(link),
        "assets": pa.struct([(key, asset) for key in keys]),
    }
