"""GeoParquet 1.1: geometry as WKB in lon/lat (OGC:CRS84), with the bounds of each row for quick filters."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from orbitory.inventory import Row
from orbitory.mfp.report.columns import Column, Kind

#: Memory of one such group is some tens of megabytes.
_GROUP_ROWS = 20_000
_EDGES = ("west", "south", "east", "north")
_BBOX = ("xmin", "ymin", "xmax", "ymax")


class GeoParquet:
    """A new file; it is whole when the block ends."""

    def __init__(
        self, path: Path, columns: Sequence[Column], *, geometry: str, nested: Mapping[str, Any] | None = None
    ) -> None:
        """Begin at ``path``; ``geometry``: ``MultiPolygon`` or ``Point``; ``nested``: Arrow types of other columns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {
            Kind.TEXT: pa.string(),
            Kind.INTEGER: pa.int64(),
            Kind.REAL: pa.float64(),
            Kind.FLAG: pa.bool_(),
            Kind.DAY: pa.date32(),
            Kind.TIME: pa.timestamp("us", tz="UTC"),
        }
        self._pa = pa
        self._geometry = geometry
        self._columns = columns
        box = pa.struct([(name, pa.float64()) for name in _BBOX])
        fields = [(column.name, (nested or {}).get(column.name, types[column.kind])) for column in columns]
        self._schema = pa.schema([*fields, ("geometry", pa.binary()), ("bbox", box)])
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._pending: list[Row] = []
        #: Of the file, beside those of geometry.
        self.notes: dict[str, str] = {}
        self._bounds = [math.inf, math.inf, -math.inf, -math.inf]

    def __enter__(self) -> Self:
        """Write rows meanwhile."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file."""
        try:
            if error is None:
                self._flush()
                self._writer.add_key_value_metadata(self.notes)
                self._writer.add_key_value_metadata({"geo": json.dumps(self._metadata())})
        finally:
            self._writer.close()

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows with ``wkb`` and its bounds ``west``, ``south``, ``east``, ``north``."""
        self._pending += rows
        if len(self._pending) >= _GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        rows, self._pending = self._pending, []
        if not rows:
            return
        arrays = [
            self._pa.array([row[column.name] for row in rows], type=self._schema.field(column.name).type)
            for column in self._columns
        ]
        arrays.append(self._pa.array([row["wkb"] for row in rows], type=self._pa.binary()))
        arrays.append(self._pa.array([self._box(row) for row in rows], type=self._schema.field("bbox").type))
        self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))

    def _box(self, row: Row) -> dict[str, float] | None:
        edges = [row[name] for name in _EDGES]
        if not all(edge is not None and math.isfinite(edge) for edge in edges):
            return None
        self._bounds = [
            *(min(old, new) for old, new in zip(self._bounds[:2], edges[:2], strict=True)),
            *(max(old, new) for old, new in zip(self._bounds[2:], edges[2:], strict=True)),
        ]
        return dict(zip(_BBOX, edges, strict=True))

    def _metadata(self) -> dict[str, Any]:
        column: dict[str, Any] = {
            "encoding": "WKB",
            "geometry_types": [self._geometry],
            "covering": {"bbox": {name: ["bbox", name] for name in _BBOX}},
        }
        if math.isfinite(self._bounds[0]):
            column["bbox"] = self._bounds
        return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
