"""From the metadata of one satellite image to facts, whichever vendor wrote them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orbitory.extract import warning
from orbitory.extract.strips.digitalglobe import digitalglobe_facts
from orbitory.extract.strips.facts import ERAS, Ring, StripFacts
from orbitory.extract.strips.geoeye import geoeye_facts, ikonos_facts, is_geoeye
from orbitory.extract.strips.geoeye_text import read_geoeye_text
from orbitory.extract.strips.imagery_xml import read_imagery_xml
from orbitory.extract.strips.pvl import read_pvl
from orbitory.extract.strips.quantities import HEIGHT, LATITUDE, LONGITUDE, SPAN, Quantities
from orbitory.extract.strips.records import Group
from orbitory.model import Finding

#: What whoever searches for images expects. Cloud cover may be honestly unknown, height is rarely told.
REQUIRED = ("catalog_id", "sensor", "acq_time", "sun_elev", "off_nadir", "prod_gsd", "columns", "rows", "bits_pixel")
_CATALOG_DIGITS = 16
_LATITUDE = ("LATOFFSET", "LAT_OFF", "LATITUDEOFFSET")


def read_metadata(data: bytes) -> Group:
    """A metadata file, by its first characters: XML, the indented text of GeoEye, else PVL. Raises DataError."""
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"<", b"\xff\xfe", b"\xfe\xff")):
        return read_imagery_xml(data)
    if start.startswith((b"===", b"LINE_OFF:")):
        return read_geoeye_text(data)
    return read_pvl(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What the metadata of an image say."""

    facts: StripFacts
    #: The image's corners.
    ring: Ring
    #: Where the rational polynomials hold: west, south, east, north in degrees.
    box: tuple[float, float, float, float] | None
    #: What they lack or get wrong.
    findings: tuple[Finding, ...]


def describe(metadata: Group, *, image: str = "", polynomials: Group | None = None) -> Described:
    """What ``metadata`` say of an image. Raises DataError("metadata") if they are not of an image.

    ``image`` chooses in a text about several images: a component id or a source image id. ``polynomials`` is the RPB
    beside an IMD, or the ``_rpc.txt``.
    """
    quantities, findings = Quantities(), list[Finding]()
    if metadata.first("SOURCE_IMAGE_METADATA") is not None:
        facts, ring = ikonos_facts(metadata, image, quantities, findings)
    elif is_geoeye(metadata):
        facts, ring = geoeye_facts(metadata, quantities)
    else:
        facts, ring = digitalglobe_facts(metadata, quantities)
    within = (group for group in (polynomials or metadata).walk() if group.text(*_LATITUDE))
    rational = next(within, Group())
    if facts.ref_height is None:
        height = quantities.number("ref_height", HEIGHT, rational.text("HEIGHTOFFSET", "HEIGHT_OFF"))
        facts = replace(facts, ref_height=height)
    box = _box(rational, quantities)
    if not metadata.complete:
        findings.append(
            warning("no_end_mark", "the metadata lack the line that ends them: the last values may be cut off")
        )
    findings += quantities.findings([name for name in REQUIRED if getattr(facts, name) is None])
    satellite = sensor_of(facts.catalog_id)
    if satellite and facts.sensor and not facts.sensor.startswith(satellite):
        reason = f"catalog id {facts.catalog_id} is of {satellite}, but the satellite given is {facts.sensor}"
        findings.append(warning("bad_value", reason))
    return Described(facts=facts, ring=ring, box=box, findings=tuple(findings))


def sensor_of(catalog_id: str | None) -> str:
    """Start of the store sensor that a catalog id of 16 hexadecimal digits belongs to; empty for all other forms.

    >>> sensor_of("1030010002BB6200"), sensor_of("B110001102369000"), sensor_of("2005031920171340000011627450")
    ('WV02', 'LG', '')
    """
    if catalog_id is None or len(catalog_id) != _CATALOG_DIGITS:
        return ""
    return next((sensor for prefix, sensor in ERAS.items() if catalog_id.upper().startswith(prefix)), "")


def _box(rational: Group, quantities: Quantities) -> tuple[float, float, float, float] | None:
    """Offset ± scale in longitude and latitude."""
    read = quantities.number
    x = read("rpc", LONGITUDE, rational.text("LONGOFFSET", "LONG_OFF", "LONGITUDEOFFSET"))
    y = read("rpc", LATITUDE, rational.text(*_LATITUDE))
    width = read("rpc", SPAN, rational.text("LONGSCALE", "LONG_SCALE", "LONGITUDESCALE"))
    height = read("rpc", SPAN, rational.text("LATSCALE", "LAT_SCALE", "LATITUDESCALE"))
    if x is None or y is None or width is None or height is None:
        return None
    west, east = ((edge + 180.0) % 360.0 - 180.0 for edge in (x - width, x + width))
    return west, max(y - height, -90.0), east, min(y + height, 90.0)
