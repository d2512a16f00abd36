"""Metadata of GeoEye's satellites before they were DigitalGlobe's: IKONOS text, GeoEye-1 and OrbView-3 PVL.

Keys and units as PGC's imagery_utils, GDAL's readers and VXL read them (DOMAIN 4.4): cloud cover in per cent, and for
the off-nadir angle the complement of the satellite's elevation over the image, as PGC has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from orbitory.extract import note
from orbitory.extract.strips.facts import SPEC_TYPES, Ring, StripFacts, store_sensor
from orbitory.extract.strips.quantities import (
    AZIMUTH,
    BANDS,
    BITS,
    ELEVATION,
    GSD,
    HEIGHT,
    LATITUDE,
    LONGITUDE,
    PERCENT,
    PIXELS,
    TDI,
    Quantities,
)
from orbitory.extract.strips.records import Group
from orbitory.model import Finding

_MARKS = ("ARCHIVEID", "SATELLITENAME", "FIRSTLINEACQUISITIONDATETIME")
_CORNERS = ("UPPERLEFTCORNER", "UPPERRIGHTCORNER", "LOWERRIGHTCORNER", "LOWERLEFTCORNER")
_RING_LIMIT = 1_000
_COUNTRY = re.compile(r"[A-Z]{2,3}", re.ASCII)


def is_geoeye(metadata: Group) -> bool:
    """A PVL with what only GeoEye writes."""
    return any(group.text(*_MARKS) for group in metadata.walk())


def _anywhere(metadata: Group, *names: str) -> Iterator[str]:
    """These values wherever they stand; their groups differ by product."""
    for name in names:
        for group in metadata.walk():
            if found := group.text(name):
                yield found
                break


def geoeye_facts(metadata: Group, quantities: Quantities) -> tuple[StripFacts, Ring]:
    """Facts and outline from the PVL of a GeoEye-1 or OrbView-3 image."""
    read = quantities

    def of(*names: str) -> list[str]:
        return list(_anywhere(metadata, *names))

    first = read.moment("acq_time", *of("FIRSTLINEACQUISITIONDATETIME", "ORIGINALFIRSTLINEACQUISITIONDATETIME"))
    elevation = read.number("off_nadir", ELEVATION, *of("FIRSTLINEELEVATIONANGLE"))
    spectral = next(iter(of("PRODUCTSPECTRALTYPE")), "").upper()
    facts = StripFacts(
        catalog_id=read.identifier("catalog_id", *of("ARCHIVEID")),
        sensor=store_sensor(next(iter(of("SATELLITENAME")), None)),
        acq_time=first.at if first else None,
        acq_precision_s=first.precision_s if first else 1,
        cloudcover=read.number("cloudcover", PERCENT, *of("PERCENTCLOUDCOVER", "PRODUCTCLOUDCOVERPERCENTAGE")),
        sun_elev=read.number("sun_elev", ELEVATION, *of("FIRSTLINESUNELEVATIONANGLE")),
        avsunazim=read.number("avsunazim", AZIMUTH, *of("FIRSTLINESUNAZIMUTHANGLE")),
        off_nadir=_complement(elevation),
        avtargetaz=read.number("avtargetaz", AZIMUTH, *of("FIRSTLINEAZIMUTHANGLE")),
        prod_gsd=read.number("prod_gsd", GSD, *of("PIXELSPACING", "PRODUCTGSD")),
        columns=read.whole("columns", PIXELS, *of("NUMBEROFCOLUMNS", "NUMBEROFSAMPLES", "NUMCOLUMNS")),
        rows=read.whole("rows", PIXELS, *of("NUMBEROFROWS", "NUMBEROFLINES", "NUMROWS")),
        bands=read.whole("bands", BANDS, *of("NUMBEROFSPECTRALBANDS")),
        bits_pixel=read.whole("bits_pixel", BITS, *of("BITSPERPIXEL")),
        spec_type=SPEC_TYPES["P" if "PAN" in spectral else "M"] if spectral else None,
        product_level=next(iter(of("PROCESSINGLEVEL")), None),
        tdi=_tdi(metadata, quantities),
    )
    return facts, _outline(metadata, quantities)


def _complement(elevation: float | None) -> float | None:
    return None if elevation is None else round(90.0 - elevation, 6)


def _tdi(metadata: Group, quantities: Quantities) -> dict[str, int]:
    levels: dict[str, int] = {}
    for band in metadata.all("BANDSPECIFICINFORMATION"):
        number, level = band.text("BANDNUMBER"), quantities.whole("tdi", TDI, band.text("TDIMODE"))
        if number and level is not None:
            levels[number[:16]] = level
    return levels


def _outline(metadata: Group, quantities: Quantities) -> Ring:
    """The image's corners, else the outline that was ordered."""
    corners = [metadata.first(name) for name in _CORNERS]
    found = [corner for corner in corners if corner is not None]
    if len(found) < len(_CORNERS):
        found = metadata.all("AOIGEOCOORDINATE")[:_RING_LIMIT]
    return _ring(found, quantities)


def _ring(points: list[Group], quantities: Quantities) -> Ring:
    east = [quantities.number("corners", LONGITUDE, point.text("LONGITUDE")) for point in points]
    north = [quantities.number("corners", LATITUDE, point.text("LATITUDE")) for point in points]
    longitudes, latitudes = [x for x in east if x is not None], [y for y in north if y is not None]
    return (longitudes, latitudes) if len(longitudes) == len(latitudes) == len(points) >= 3 else None


def ikonos_facts(
    metadata: Group, image: str, quantities: Quantities, findings: list[Finding]
) -> tuple[StripFacts, Ring]:
    """Facts and corners of one component of an IKONOS or early GeoEye-1 product; ``image``: its id or its source's."""
    component, source = _chosen(metadata, image, findings)
    space = metadata.first("PRODUCT_SPACE_METADATA") or Group()
    order = metadata.first("PRODUCT_ORDER_METADATA") or Group()
    read = quantities
    first = read.moment("acq_time", source.text("ACQUISITION_DATE_TIME"))
    elevation = read.number("off_nadir", ELEVATION, source.text("NOMINAL_COLLECTION_ELEVATION"))
    kind = (order.text("IMAGE_TYPE") or "").upper()
    country = (component.text("COUNTRY_CODE") or "").upper()
    facts = StripFacts(
        catalog_id=read.identifier("catalog_id", source.text("ID")),
        order_id=read.identifier("order_id", order.text("PRODUCT_ORDER_NUMBER")),
        sensor=store_sensor(source.text("SENSOR") or order.text("SENSOR_NAME")),
        acq_time=first.at if first else None,
        acq_precision_s=first.precision_s if first else 1,
        cloudcover=read.number(
            "cloudcover", PERCENT, component.text("PERCENT_COMPONENT_CLOUD_COVER"), source.text("PERCENT_CLOUD_COVER")
        ),
        sun_elev=read.number("sun_elev", ELEVATION, source.text("SUN_ANGLE_ELEVATION")),
        avsunazim=read.number("avsunazim", AZIMUTH, source.text("SUN_ANGLE_AZIMUTH")),
        off_nadir=_complement(elevation),
        avtargetaz=read.number("avtargetaz", AZIMUTH, source.text("NOMINAL_COLLECTION_AZIMUTH")),
        prod_gsd=read.number("prod_gsd", GSD, component.text("PIXEL_SIZE_X"), space.text("PIXEL_SIZE_X")),
        columns=read.whole("columns", PIXELS, component.text("COLUMNS"), space.text("COLUMNS")),
        rows=read.whole("rows", PIXELS, component.text("ROWS"), space.text("ROWS")),
        bits_pixel=read.whole("bits_pixel", BITS, *_anywhere(order, "BITS_PER_PIXEL_PER_BAND")),
        spec_type={"PAN": SPEC_TYPES["P"], "MSI": SPEC_TYPES["M"]}.get(kind),
        product_level=order.text("PROCESSING_LEVEL"),
        product_type=order.text("PRODUCT_LINE"),
        ref_height=read.number("ref_height", HEIGHT, space.text("REFERENCE_HEIGHT")),
        country=country if _COUNTRY.fullmatch(country) else None,
    )
    return facts, _ring(component.all("COORDINATE")[:_RING_LIMIT], quantities)


def _chosen(metadata: Group, image: str, findings: list[Finding]) -> tuple[Group, Group]:
    """The component that ``image`` means, and the source image it was made from."""
    components, sources = metadata.all("COMPONENT_ID"), metadata.all("SOURCE_IMAGE_ID")
    component = next((each for each in components if each.text("ID") == image), None)
    source = next((each for each in sources if each.text("ID") == image), None)
    if component is None and source is not None:
        component = next((each for each in components if _same(each, source)), None)
    if component is None:
        component = components[0] if components else Group()
        if len(components) > 1:
            reason = f"they describe {len(components)} images, none of which is the one named: the first was taken"
            findings.append(note("several_images", reason))
    if source is None:
        source = next((each for each in sources if _same(each, component)), sources[0] if sources else Group())
    return component, source


def _same(one: Group, other: Group) -> bool:
    return one.text("PRODUCT_IMAGE_ID") is not None and one.text("PRODUCT_IMAGE_ID") == other.text("PRODUCT_IMAGE_ID")
