"""What the attributes of one JPSS granule mean. Sources of the rules: see ``jpss``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from orbitory.errors import DataError
from orbitory.extract import ExtractTask, note, warning
from orbitory.extract.header import plain, text
from orbitory.footprint import Footprint, UnusableRing, from_bounds, from_ring
from orbitory.model import Finding, GranuleFacts
from orbitory.times import utc_from_iet, utc_from_text

_GRANULE_ID = re.compile(r"([A-Z][A-Z0-9]{2})\d{12}")
_NONE = frozenset({"", "N/A", "NA", "NONE", "UNKNOWN"})
#: IDPS writes -993 … -999.9 where it has no number.
_FILL_FROM = -993.0
_INPUT_LIMIT = 200
_WHOLE = re.compile(r"-?\d{1,20}")
_SHORT, _KEPT = 64, 4096
_SAME = timedelta(milliseconds=1)
_LONGEST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Attributes:
    """Attributes of one object, unwrapped: each accessor gives None for what is missing, fill, or of another kind."""

    raw: Mapping[str, Any]
    path: str = ""

    def values(self, name: str) -> list[Any]:
        """All elements, flat."""
        value = self.raw.get(name)
        if value is None or isinstance(value, list):
            return value or []
        return value.reshape(-1).tolist() if hasattr(value, "reshape") else [value]

    def text(self, name: str) -> str | None:
        """First element as text."""
        value = self.raw.get(name)
        if not isinstance(value, str):
            values = self.values(name)
            if not values:
                return None
            value = values[0]
        return (_short_said if isinstance(value, str) and len(value) <= _SHORT else _said)(value)

    def number(self, name: str) -> float | None:
        """First element as a number, even if it is written as text."""
        value = self.raw.get(name)
        if not isinstance(value, float):
            try:
                value = float(self.text(name) or "nan")
            except ValueError:
                return None
        return value if math.isfinite(value) and value > _FILL_FROM else None

    def integer(self, name: str) -> int | None:
        """First element as a whole number."""
        value = self.raw.get(name)
        if not isinstance(value, int):
            written = self.text(name)
            if written is None or not _WHOLE.fullmatch(written):
                return None
            value = int(written)
        return value if value > _FILL_FROM else None


def _said(value: Any) -> str | None:
    found = text(value).strip() if isinstance(value, bytes | str) else str(value)
    return None if found.upper() in _NONE else found


#: What short texts say is often said again, by other granules.
_short_said = lru_cache(_KEPT)(_said)


def granule_facts(
    where: Mapping[str, Attributes], collection: str, product: str, task: ExtractTask, findings: list[Finding]
) -> GranuleFacts:
    """Facts of one granule from its ``own`` attributes, those of its ``group`` and of the ``root``.

    Raises DataError("metadata") without a usable granule id, DataError("time") without a sensing time.
    """
    own = where["own"]
    identifier = own.text("N_Granule_ID")
    match = _GRANULE_ID.fullmatch(identifier or "")
    if match is None:
        raise DataError("metadata", f"{own.path}: N_Granule_ID is {identifier!r}, expected like NPP000650598298")
    start, end = _time(own, "Beginning", findings), _time(own, "Ending", findings)
    if not start <= end <= start + _LONGEST:
        raise DataError("time", f"{own.path}: begins {start} and ends {end}")
    created = _created(own)
    orbit = own.integer("N_Beginning_Orbit_Number")
    place = _footprint(own, findings)
    instrument = where["group"].text("Instrument_Short_Name") or task.identity.sensor
    return GranuleFacts(
        product=product,
        key=f"{match[1]}/{collection}/{identifier}",
        sensor=task.identity.sensor if instrument.upper() == task.identity.sensor.upper() else instrument,
        platform=match[1],
        collection=collection,
        version=own.text("N_Granule_Version") or "",
        created=created,
        sensing_start=start,
        sensing_end=end,
        orbit=orbit if orbit is not None and 0 <= orbit < 1 << 31 else None,
        footprint=place.ewkb if place else None,
        area_km2=place.area_km2 if place else None,
        search=_search(where),
    )


def _time(own: Attributes, edge: str, findings: list[Finding]) -> datetime:
    """Sensing time by IET, else by its text; both must say the same."""
    iet = own.integer(f"N_{edge}_Time_IET")
    date, clock = own.text(f"{edge}_Date"), own.text(f"{edge}_Time")
    written = None
    if date and clock:
        try:
            written = utc_from_text(date, clock)
        except DataError as error:
            findings.append(warning("time_mismatch", f"{own.path}: {edge}_Date/Time: {error.detail}"))
    if iet is None:
        if written is None:
            raise DataError("time", f"{own.path}: neither N_{edge}_Time_IET nor {edge}_Date and {edge}_Time are given")
        return written
    try:
        counted = utc_from_iet(iet)
    except DataError as error:
        if written is None:
            raise DataError("time", f"{own.path}: N_{edge}_Time_IET: {error.detail}") from error
        findings.append(warning("time_mismatch", f"{own.path}: N_{edge}_Time_IET: {error.detail}"))
        return written
    if written is not None and abs(written - counted) > _SAME:
        reason = f"{own.path}: {edge} is {counted} by IET and {written} by its text; IET is believed"
        findings.append(warning("time_mismatch", reason))
    return counted


def _created(own: Attributes) -> datetime | None:
    """When the granule was made. Never N_HDF_Creation: that is when this packaging was."""
    date, clock = own.text("N_Creation_Date"), own.text("N_Creation_Time")
    try:
        return utc_from_text(date or "", clock or "")
    except DataError:
        return None


def _footprint(own: Attributes, findings: list[Finding]) -> Footprint | None:
    latitudes, longitudes = own.values("G-Ring_Latitude"), own.values("G-Ring_Longitude")
    if latitudes and longitudes:
        try:
            return from_ring([float(x) for x in longitudes], [float(y) for y in latitudes])
        except (UnusableRing, ValueError, TypeError) as error:
            findings.append(warning("bad_footprint", f"{own.path}: G-Ring: {text(str(error))}"))
    edges = [own.number(f"{edge}_Bounding_Coordinate") for edge in ("West", "South", "East", "North")]
    west, south, east, north = edges
    if west is not None and south is not None and east is not None and north is not None:
        try:
            place = from_bounds(west, south, east, north)
        except UnusableRing as error:
            findings.append(warning("bad_footprint", f"{own.path}: bounding coordinates: {text(str(error))}"))
        else:
            findings.append(note("footprint_from_bounds", f"{own.path}: no usable G-Ring, the bounding box is kept"))
            return place
    if not any(finding.code == "no_footprint" for finding in findings):
        findings.append(note("no_footprint", f"{own.path}: neither G-Ring nor bounding coordinates can be used"))
    return None


def _search(where: Mapping[str, Attributes]) -> dict[str, Any]:
    """Small keys that people search by; empty ones left out."""
    own, group, root = where["own"], where["group"], where["root"]
    direction = own.integer("Ascending/Descending_Indicator")
    inputs = [text(value) for value in own.values("N_Input_Prod")[:_INPUT_LIMIT] if isinstance(value, bytes | str)]
    found = {
        "type": group.text("N_Dataset_Type_Tag"),
        "domain": group.text("N_Processing_Domain"),
        "mode": group.text("Operational_Mode"),
        "mission": root.text("Mission_Name"),
        "day_night": own.text("N_Day_Night_Flag"),
        "ascending": None if direction not in (0, 1) else direction == 0,
        "percent_missing": own.number("N_Percent_Missing_Data"),
        "status": own.text("N_Granule_Status"),
        "degraded": own.text("N_Graceful_Degradation"),
        "scans": own.integer("N_Number_Of_Scans"),
        "band": own.text("Band_ID"),
        "algorithm": own.text("N_Algorithm_Version"),
        "software": own.text("N_Software_Version"),
        "reference": own.text("N_Reference_ID"),
        "geolocation": root.text("N_GEO_Ref"),
        "inputs": [each for each in inputs if each.upper() not in _NONE],
    }
    return {
        name: value if isinstance(value, str) else plain(value)
        for name, value in found.items()
        if value is not None and value != []
    }
