"""Where a raster lies: geotransform, ground control points or rational polynomials → footprint in lon/lat."""

from __future__ import annotations

from typing import Any

from rasterio._err import CPLE_BaseError
from rasterio.transform import GCPTransformer, RPCTransformer
from rasterio.warp import transform

from orbitory.extract.faults import FAULTS
from orbitory.footprint import Footprint, UnusableRing, from_bounds, from_ring

#: Points along each edge: enough for the curved edges of a projected image.
_EDGE_POINTS = 21
_EPSG_4326 = "EPSG:4326"


def outline(image: Any) -> Footprint | None:
    """Footprint of an open raster; None when it says nothing about its place. Raises UnusableRing."""
    if not image.count:
        return None
    try:
        if image.crs is not None and not image.transform.is_identity:
            return _by_transform(image)
        points, crs = image.gcps
        if points and crs is not None:
            return _by_points(image, points, crs)
        if by_polynomials(image):
            return _by_polynomials(image)
    except UnusableRing:
        raise
    except (*FAULTS, CPLE_BaseError) as error:
        raise UnusableRing(f"its georeference cannot be used: {error}") from error
    return None


def by_polynomials(image: Any) -> bool:
    """Whether only rational polynomials tell where it lies: about, for they need the ground's height."""
    points, crs = image.gcps
    placed = (image.crs is not None and not image.transform.is_identity) or (points and crs is not None)
    return not placed and image.rpcs is not None


def _edge(width: int, height: int) -> tuple[list[float], list[float]]:
    """Columns and rows of points around the image's outer edge."""
    share = [step / (_EDGE_POINTS - 1) for step in range(_EDGE_POINTS - 1)]
    columns = [*share, *[1.0] * len(share), *(1 - s for s in share), *[0.0] * len(share)]
    rows = [*[0.0] * len(share), *share, *[1.0] * len(share), *(1 - s for s in share)]
    return [width * column for column in columns], [height * row for row in rows]


def _by_transform(image: Any) -> Footprint:
    matrix, crs = image.transform, image.crs
    if crs.is_geographic and matrix.b == matrix.d == 0:
        west, east = sorted((matrix.c, matrix.c + matrix.a * image.width))
        south, north = sorted((matrix.f, matrix.f + matrix.e * image.height))
        return _box(west, max(south, -90.0), east, min(north, 90.0))
    points = [matrix * point for point in zip(*_edge(image.width, image.height), strict=True)]
    return _ring([x for x, _ in points], [y for _, y in points], crs)


def _box(west: float, south: float, east: float, north: float) -> Footprint:
    """A box whose longitudes may run from −180 on or from 0 on, a fraction of a pixel beyond included."""
    if east - west >= 359.999:
        return from_bounds(-180.0, south, 180.0, north)
    west, east = ((x + 180.0) % 360.0 - 180.0 for x in (west, east))
    return from_bounds(west, south, 180.0 if east == -180.0 else east, north)


def _by_points(image: Any, points: list[Any], crs: Any) -> Footprint:
    if len(points) == 4 and crs.is_geographic:  # the corners, as NITF gives them
        columns = sum(point.col for point in points) / 4
        rows = sum(point.row for point in points) / 4
        quadrant = {(p.col > columns, p.row > rows): p for p in points}
        corners = [quadrant[key] for key in ((False, False), (True, False), (True, True), (False, True))]
        return _ring([p.x for p in corners], [p.y for p in corners], crs, great_circles=True)
    columns, rows = _edge(image.width, image.height)
    with GCPTransformer(points) as transformer:
        x, y = transformer.xy(rows, columns, offset="ul")
    return _ring(list(x), list(y), crs)


def _by_polynomials(image: Any) -> Footprint:
    columns, rows = _edge(image.width, image.height)
    with RPCTransformer(image.rpcs) as transformer:
        x, y = transformer.xy(rows, columns, zs=image.rpcs.height_off or 0.0, offset="ul")
    return from_ring([(east + 180.0) % 360.0 - 180.0 for east in x], list(y), great_circles=False)


def _ring(x: list[float], y: list[float], crs: Any, *, great_circles: bool = False) -> Footprint:
    longitudes, latitudes = transform(crs, _EPSG_4326, x, y)[:2]
    return from_ring(longitudes, latitudes, great_circles=great_circles)
