"""Find archived granules by product, sensor, place, time and search keys; page by page, newest first."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from orbitory.errors import ConfigurationError
from orbitory.inventory import Inventory, Row

MOST_ITEMS = 10_000
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{8}|\d{4}-\d{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to look for; everything given must hold, and one of each tuple."""

    products: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    source: str | None = None
    #: (west, south, east, north) in degrees; west > east crosses the antimeridian.
    bbox: tuple[float, float, float, float] | None = None
    #: Sensing overlaps [start, end); an instant when both are equal.
    start: datetime | None = None
    end: datetime | None = None
    #: Search keys, or platform, collection, version, orbit, classification, compared as text.
    where: Mapping[str, str] = field(default_factory=dict)
    all_versions: bool = False
    limit: int = 100
    #: ``Page.next`` of the page before.
    page: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant. Raises ConfigurationError that says what is wrong."""
        if self.start and self.end and self.end < self.start:
            raise ConfigurationError(
                f"the time asked for ends ({self.end:%FT%TZ}) before it starts ({self.start:%FT%TZ})"
            )
        if not 1 <= self.limit <= MOST_ITEMS:
            raise ConfigurationError(
                f"the limit is {self.limit}: expected 1 to {MOST_ITEMS}; go on with the page token"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Granules with their files, and the token of the next page; None when this was the last."""

    items: tuple[dict[str, Any], ...]
    next: str | None

    def as_dict(self) -> dict[str, Any]:
        """JSON shape; times are datetimes."""
        return {"items": list(self.items), "next": self.next}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the order the next page begins: first all granules with a sensing time, then those without."""

    timed: bool = True
    below: datetime | None = None
    id: int | None = None


def search(inventory: Inventory, query: Query) -> Page:
    """One page of archived granules, newest sensing time first, those without one last.

    Pages by key: a page costs the same however far down it is, and what arrives meanwhile shifts nothing.
    """
    place = _read_token(query.page) if query.page else _Place()
    values = _values(query)
    rows: list[Row] = []
    if place.timed:
        rows = inventory.all(
            "search_page", timed=True, below=place.below, below_id=place.id, limit=query.limit + 1, **values
        )
    if len(rows) <= query.limit and not (query.start or query.end):
        after = None if place.timed else place.id
        missing = query.limit + 1 - len(rows)
        rows += inventory.all("search_page", timed=False, below=None, below_id=after, limit=missing, **values)
    items = tuple(_item(row) for row in rows[: query.limit])
    return Page(items=items, next=_token(rows[query.limit - 1]) if len(rows) > query.limit else None)


def _values(query: Query) -> dict[str, Any]:
    boxes = _boxes(query.bbox) if query.bbox else [None, None]
    during = None
    if query.start or query.end:
        start = query.start.isoformat() if query.start else ""
        end = query.end.isoformat() if query.end else ""
        during = f"[{start},{end}{']' if start == end else ')'}"
    return {
        "product": query.products[0] if len(query.products) == 1 else None,
        "products": list(query.products) if len(query.products) > 1 else None,
        "sensors": list(query.sensors) or None,
        "source": query.source,
        "during": during,
        "box": boxes[0],
        "second_box": boxes[1],
        "keys": json.dumps(dict(query.where)) if query.where else None,
        "all_versions": query.all_versions,
    }


def _boxes(bbox: tuple[float, float, float, float]) -> list[str | None]:
    """The box as one shape, or as two that meet at the antimeridian (EWKT)."""
    west, south, east, north = bbox
    spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    shapes: list[str | None] = [_shape(w, south, e, north) for w, e in spans]
    return shapes if len(shapes) == 2 else [*shapes, None]


def _shape(west: float, south: float, east: float, north: float) -> str:
    """A box without width or height is a line or a point: a polygon of it would be invalid."""
    if west == east and south == north:
        return f"SRID=4326;POINT({west} {south})"
    if west == east or south == north:
        return f"SRID=4326;LINESTRING({west} {south},{east} {north})"
    return f"SRID=4326;POLYGON(({west} {south},{east} {south},{east} {north},{west} {north},{west} {south}))"


def _item(row: Row) -> dict[str, Any]:
    item = {key: value for key, value in row.items() if key != "superseded_by"}
    return item | {"current": row["superseded_by"] is None}


def _token(row: Row) -> str:
    start = row["sensing_start"]
    content = json.dumps([start.isoformat() if start else None, row["id"]])
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _read_token(token: str) -> _Place:
    try:
        start, number = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if type(number) is not int or not 0 <= number < 1 << 63:
            raise ValueError("no row has such a number")
        return _Place(start is not None, datetime.fromisoformat(start) if start is not None else None, number)
    except (ValueError, TypeError, binascii.Error) as error:
        raise ConfigurationError(
            f"{token!r} is not a page token: give the `next` of the page before, unchanged"
        ) from error


def read_bbox(text: str) -> tuple[float, float, float, float]:
    """``W,S,E,N`` in degrees. Raises ConfigurationError that says what is wrong.

    >>> read_bbox("170,-20,-170,20")
    (170.0, -20.0, -170.0, 20.0)
    """
    parts = text.split(",")
    try:
        west, south, east, north = (float(part) for part in parts)
    except ValueError as error:
        raise ConfigurationError(f"the box is {text!r}: expected four numbers W,S,E,N in degrees") from error
    if not all(math.isfinite(value) for value in (west, south, east, north)):
        raise ConfigurationError(f"the box is {text!r}: every number must be finite")
    if not (-180 <= west <= 180 and -180 <= east <= 180):
        raise ConfigurationError(
            f"the box is {text!r}: longitudes run from -180 to 180 (W > E crosses the antimeridian)"
        )
    if not -90 <= south <= north <= 90:
        raise ConfigurationError(f"the box is {text!r}: expected -90 <= S <= N <= 90, got S {south:g} and N {north:g}")
    return west, south, east, north


def read_time(text: str, *, end: bool = False) -> datetime:
    """An ISO 8601 time, UTC unless it says otherwise, or a date (``2024-02-10``, ``2024-041``).

    ``end``: a date means to the end of that day. Raises ConfigurationError.

    >>> read_time("2024-041", end=True)
    datetime.datetime(2024, 2, 11, 0, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        if re.fullmatch(r"\d{4}-\d{3}", text):
            moment = datetime.strptime(text, "%Y-%j").replace(tzinfo=UTC)
        else:
            moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return moment + timedelta(days=1) if end and _DATE.fullmatch(text) else moment
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"{text!r} is not a time: expected ISO 8601 as 2024-02-10T18:30:00Z, or a date as 2024-02-10 or 2024-041"
        ) from error


def read_span(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    """The two ends of a time asked for, as ``read_time`` reads them. Raises ConfigurationError when it is empty.

    >>> read_span("2024-02-10T12:00", "2024-02-10")[1]
    datetime.datetime(2024, 2, 11, 0, 0, tzinfo=datetime.timezone.utc)
    """
    first = read_time(start) if start is not None else None
    last = read_time(end, end=True) if end is not None else None
    if first and last and (last < first or (last == first and end is not None and _DATE.fullmatch(end))):
        raise ConfigurationError(f"the time asked for ends ({end}) before it starts ({start})")
    return first, last
