"""What is known of one satellite image, under the names of NASA's footprint table."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from orbitory.extract.header import plain

#: First letter of a product code → ``spec_type``.
SPEC_TYPES = {"P": "Panchromatic", "M": "Multispectral", "S": "Pan-sharpened", "A": "SWIR", "C": "CAVIS"}
#: First digits of a catalog id of 16 hexadecimal ones → start of the store sensor (DOMAIN 4.3).
ERAS = {"101": "QB02", "102": "WV01", "103": "WV02", "104": "WV03", "105": "GE01", "106": "WV04", "B1": "LG"}
#: Other names of satellites → store sensor (DOMAIN 4.3; the vendors' files).
_SENSORS = {
    "OV05": "GE01",
    "GEOEYE-1": "GE01",
    "GEOEYE1": "GE01",
    "GEOEYE": "GE01",
    "GE-1": "GE01",
    "IKONOS-2": "IK01",
    "IKONOS": "IK01",
    "ORBVIEW-3": "OV03",
    "ORBVIEW3": "OV03",
    "OV-3": "OV03",
}
_SENSOR = re.compile(r"[A-Z]{2}\d{2}", re.ASCII)
_LEVEL = re.compile(r"(?:LV?)?(\d[A-Z0-9])", re.ASCII)

#: Longitudes and latitudes of the corners, one after the other around the image; None when they are not told.
Ring = tuple[list[float], list[float]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StripFacts:
    """One image; None is what its metadata do not tell.

    Names are the columns of ``nga_footprint_master_v2`` (DOMAIN, Maxar/NGA facts) where it has one.
    """

    catalog_id: str | None = None
    #: With the part: ``052869840050_01_P002``.
    order_id: str | None = None
    sensor: str | None = None
    #: When the first line was seen.
    acq_time: datetime | None = None
    #: 60 where the vendor writes no seconds.
    acq_precision_s: int = 1
    #: When the part that a map-projected product shows was begun: after ``acq_time``, and what its name carries.
    earliest_acq_time: datetime | None = None
    #: Fraction, 0 to 1.
    cloudcover: float | None = None
    #: Degrees, as all angles here.
    sun_elev: float | None = None
    avsunazim: float | None = None
    off_nadir: float | None = None
    avtargetaz: float | None = None
    intrackva: float | None = None
    xtrackva: float | None = None
    #: Metres.
    prod_gsd: float | None = None
    columns: int | None = None
    rows: int | None = None
    bands: int | None = None
    bits_pixel: int | None = None
    file_fmt: str | None = None
    #: One of ``SPEC_TYPES``.
    spec_type: str | None = None
    #: ``1B``, ``2A``, …
    prod_short: str | None = None
    product_level: str | None = None
    product_type: str | None = None
    #: Metres above the ellipsoid: the height that the rational polynomials are centred on.
    ref_height: float | None = None
    #: Millimetres.
    det_pitch: float | None = None
    #: Lines that were integrated, by band.
    tdi: dict[str, int] = field(default_factory=dict)
    country: str | None = None
    #: When the vendor made the product.
    generation_time: datetime | None = None

    def search(self) -> dict[str, Any]:
        """What is known, jsonb-safe: times as ISO texts."""
        found: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None and value != {} and each.name != "acq_precision_s":
                found[each.name] = value.isoformat() if isinstance(value, datetime) else plain(value)
        return found


def store_sensor(name: str | None) -> str | None:
    """The store's sensor for a satellite as vendors call it; None when it is none that is known or looks like one.

    >>> store_sensor("GeoEye-1"), store_sensor("WV03"), store_sensor("????")
    ('GE01', 'WV03', None)
    """
    upper = (name or "").strip().upper()
    return _SENSORS.get(upper) or (upper if _SENSOR.fullmatch(upper) else None)


def short_level(level: str | None) -> str | None:
    """Level as it stands in product codes and storage paths.

    >>> short_level("LV2A"), short_level("L1B"), short_level("Standard Geometrically Corrected")
    ('2A', '1B', None)
    """
    match = _LEVEL.fullmatch((level or "").strip().upper())
    return match[1] if match else None
