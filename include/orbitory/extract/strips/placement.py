"""Where an image lies, from the best source that can be used.

Order (DOMAIN 4.4): corner control points of the NITF, corners in the metadata, the raster's own georeference, the box
where its rational polynomials hold. Corners of a whole strip are only about those of its tile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import shapely

from orbitory.extract import note, warning
from orbitory.extract.header import text
from orbitory.extract.strips.facts import Ring
from orbitory.extract.strips.images import Image
from orbitory.extract.strips.strip_facts import Described
from orbitory.footprint import Footprint, UnusableRing, from_bounds, from_ring
from orbitory.model import Finding

_APPROXIMATE = {
    "strip": "the corners of the whole strip that it is a tile of",
    "rpc": "the box where its rational polynomials hold",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A footprint, and whether ``igeolo``, ``corners``, ``raster``, ``strip`` or ``rpc`` gave it."""

    footprint: Footprint
    source: str

    @property
    def centre(self) -> tuple[float, float]:
        """Latitude and longitude of the mean direction of its corners: right over 180° and at the poles, too."""
        rings = [part.exterior.coords[:-1] for part in shapely.get_parts(shapely.from_wkb(self.footprint.ewkb))]
        points = [(math.radians(x), math.radians(y)) for ring in rings for x, y in ring]
        x = math.fsum(math.cos(lat) * math.cos(lon) for lon, lat in points)
        y = math.fsum(math.cos(lat) * math.sin(lon) for lon, lat in points)
        z = math.fsum(math.sin(lat) for _, lat in points)
        latitude, longitude = math.atan2(z, math.hypot(x, y)), math.atan2(y, x)
        return round(math.degrees(latitude), 8), round(math.degrees(longitude), 8)


def place(image: Image, described: Described, findings: list[Finding], *, of_strip: bool) -> Place | None:
    """The footprint; ``findings`` receives sources that could not be used, and whether it is approximate."""
    for source, find in _sources(image, described, of_strip):
        try:
            footprint = find()
        except UnusableRing as error:
            findings.append(warning("bad_footprint", f"{source}: {text(str(error))}"))
            continue
        if footprint is None:
            continue
        if source in _APPROXIMATE:
            findings.append(note("approximate_footprint", f"no better source: {_APPROXIMATE[source]}"))
        elif source == "raster":
            findings += image.located()[1]
        return Place(footprint, source)
    findings.append(warning("no_footprint", "neither the image nor its metadata tell usable corners"))
    return None


def _sources(
    image: Image, described: Described, of_strip: bool
) -> Iterator[tuple[str, Callable[[], Footprint | None]]]:
    def by_gdal() -> Footprint | None:
        footprint, doubts = image.located()
        if footprint is None and doubts:
            raise UnusableRing(doubts[0].reason)
        return footprint

    yield "igeolo", by_gdal if image.projected else lambda: _by_ring(image.ring)
    if not of_strip:
        yield "corners", lambda: _by_ring(described.ring)
    yield "raster", by_gdal
    yield "strip", lambda: _by_ring(described.ring if of_strip else None)
    yield "rpc", lambda: from_bounds(*described.box) if described.box else None


def _by_ring(ring: Ring) -> Footprint | None:
    return from_ring(*ring) if ring else None
