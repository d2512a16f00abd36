"""DigitalGlobe's image metadata (IMD, or the same within XML) as facts.

Keys: Imagery Support Data documentation 1.1.2; fallbacks as PGC's imagery_utils and MetaGETA read older and
map-projected products (DOMAIN 4.4).
"""

from __future__ import annotations

from orbitory.errors import DataError
from orbitory.extract.strips.facts import SPEC_TYPES, Ring, StripFacts, short_level, store_sensor
from orbitory.extract.strips.quantities import (
    AZIMUTH,
    BITS,
    ELEVATION,
    FRACTION,
    GSD,
    LATITUDE,
    LONGITUDE,
    OFF_NADIR,
    PITCH,
    PIXELS,
    SIGNED_ANGLE,
    TDI,
    Quantities,
)
from orbitory.extract.strips.records import Group

_IMAGES = ("IMAGE_1", "IMAGE", "SINGLE_IMAGE_PRODUCT")
_CORNERS = ("UL", "UR", "LR", "LL")
_FORMATS = {"NITF": "NITF", "GEOT": "GTiff", "TIFF": "GTiff"}
#: ``bandId`` → number of bands, where no group describes each.
_BAND_IDS = {"P": 1, "RGB": 3, "BGR": 3, "NRG": 3, "BGRN": 4}
_BAND = "BAND_"


def digitalglobe_facts(metadata: Group, quantities: Quantities) -> tuple[StripFacts, Ring]:
    """Facts and corners. Of a mosaic of several images, the first is meant. Raises DataError("metadata")."""
    imd = metadata.first("IMD") or metadata
    image = imd.first(*_IMAGES)
    if image is None or imd.text("SPECID"):
        raise DataError("metadata", "neither IMD, PVL nor GeoEye text: no group describes an image")
    projected = imd.first("MAP_PROJECTED_PRODUCT") or Group()
    bands = [group for group in imd.groups if group.name.startswith(_BAND)]
    read = quantities
    first = read.moment("acq_time", image.text("FIRSTLINETIME"), projected.text("EARLIESTACQTIME"))
    earliest = read.moment("earliest_acq_time", projected.text("EARLIESTACQTIME"))
    made = read.moment("generation_time", imd.text("GENERATIONTIME"))
    level = imd.text("PRODUCTLEVEL")
    satellite = image.text("SATID") or imd.text("SATID")
    facts = StripFacts(
        catalog_id=read.identifier("catalog_id", image.text("CATID")),
        order_id=read.identifier("order_id", imd.text("PRODUCTORDERID")),
        sensor=store_sensor(satellite),
        acq_time=first.at if first else None,
        earliest_acq_time=earliest.at if earliest else None,
        cloudcover=read.number(
            "cloudcover", FRACTION, *_each(image, "CLOUDCOVER", "MANUALCLOUDCOVER", "AUTOCLOUDCOVER")
        ),
        sun_elev=read.number("sun_elev", ELEVATION, *_each(image, "MEANSUNEL", "SUNEL")),
        avsunazim=read.number("avsunazim", AZIMUTH, *_each(image, "MEANSUNAZ", "SUNAZ")),
        off_nadir=read.number("off_nadir", OFF_NADIR, *_each(image, "MEANOFFNADIRVIEWANGLE", "OFFNADIRVIEWANGLE")),
        avtargetaz=read.number("avtargetaz", AZIMUTH, *_each(image, "MEANSATAZ", "SATAZ")),
        intrackva=read.number("intrackva", SIGNED_ANGLE, *_each(image, "MEANINTRACKVIEWANGLE", "INTRACKVIEWANGLE")),
        xtrackva=read.number("xtrackva", SIGNED_ANGLE, *_each(image, "MEANCROSSTRACKVIEWANGLE", "CROSSTRACKVIEWANGLE")),
        # a map-projected product has the spacing of its grid instead of a mean of the scan
        prod_gsd=read.number(
            "prod_gsd",
            GSD,
            image.text("MEANPRODUCTGSD"),
            projected.text("PRODUCTGSD"),
            *_each(image, "MEANCOLLECTEDGSD", "COLLECTEDGSD"),
        ),
        columns=read.whole("columns", PIXELS, imd.text("NUMCOLUMNS")),
        rows=read.whole("rows", PIXELS, imd.text("NUMROWS")),
        bands=len(bands) or _BAND_IDS.get((imd.text("BANDID") or "").upper()),
        bits_pixel=read.whole("bits_pixel", BITS, imd.text("BITSPERPIXEL")),
        file_fmt=_FORMATS.get((imd.text("OUTPUTFORMAT") or "")[:4].upper()),
        spec_type=_spec_type(imd, bands),
        prod_short=short_level(level),
        product_level=level,
        product_type=imd.text("PRODUCTTYPE"),
        det_pitch=_pitch(metadata, quantities),
        tdi=_tdi(bands, quantities),
        generation_time=made.at if made else None,
    )
    if facts.sensor is None and satellite:
        read.leave_out("sensor", satellite, "is no satellite known here")
    return facts, _corners(bands, quantities)


def _each(group: Group, *names: str) -> list[str | None]:
    return [group.text(name) for name in names]


def _spec_type(imd: Group, bands: list[Group]) -> str | None:
    names = {group.name for group in bands}
    band_id = (imd.text("BANDID") or "").upper()
    if (imd.text("PANSHARPENALGORITHM") or "None").upper() != "NONE":
        letter = "S"
    elif band_id == "P" or names == {"BAND_P"}:
        letter = "P"
    elif names & {"BAND_S1", "BAND_S8"}:
        letter = "A"
    else:
        letter = "M" if band_id or names else ""
    return SPEC_TYPES.get(letter)


def _tdi(bands: list[Group], quantities: Quantities) -> dict[str, int]:
    levels = {band.name.removeprefix(_BAND): quantities.whole("tdi", TDI, band.text("TDILEVEL")) for band in bands}
    return {band[:16]: level for band, level in levels.items() if level is not None}


def _pitch(metadata: Group, quantities: Quantities) -> float | None:
    geometry = metadata.first("GEO") or Group()
    found = [group.text("DETPITCH") for group in geometry.walk()]
    return quantities.number("det_pitch", PITCH, *found)


def _corners(bands: list[Group], quantities: Quantities) -> Ring:
    """Of the first band that has all four: they are the same for all bands of an image."""
    for band in bands:
        east = [quantities.number("corners", LONGITUDE, band.text(f"{corner}LON")) for corner in _CORNERS]
        north = [quantities.number("corners", LATITUDE, band.text(f"{corner}LAT")) for corner in _CORNERS]
        longitudes, latitudes = [x for x in east if x is not None], [y for y in north if y is not None]
        if len(longitudes) == len(latitudes) == len(_CORNERS):
            return longitudes, latitudes
    return None
