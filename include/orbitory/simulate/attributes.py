"""Attributes of JPSS files: every one a two-dimensional array of fixed-length bytes or numbers, as in real files."""

from __future__ import annotations

import hashlib
from datetime import datetime

import numpy as np

from orbitory.simulate.jpss import Era, Granule, JpssFile
from orbitory.simulate.orbit import bounds, light
from orbitory.simulate.products import Product
from orbitory.simulate.template import Attributes, Values

#: IDPS writes this day where it knows no time.
_NO_DATE, _NO_TIME = "19580101", "000000.000000Z"
_MODES = {
    "VIIRS": "Normal Operations, VIIRS Operational",
    "ATMS": "Normal Operations, ATMS Operational and Diagnostic",
    "CrIS": "Normal Operations, CrIS Operational and Diagnostic",
    "OMPS": "Normal Operations, OMPS Operational",
    "SPACECRAFT": "Normal Operations",
}


def text(*values: str, width: int = 0) -> Values:
    """A column of texts with room for the longest (or ``width``) and its null."""
    size = max(width, *(len(value) for value in values)) + 1
    return np.array([[value.encode()] for value in values], dtype=f"S{size}")


def number(kind: str, *values: float) -> Values:
    """A column of numbers of a numpy type."""
    return np.array([[value] for value in values], dtype=kind)


def root_attributes(file: JpssFile) -> Attributes:
    """Of the file itself."""
    attributes = {
        "Distributor": text(file.era.distributor),
        "Mission_Name": text(file.era.mission),
        "N_Dataset_Source": text(file.era.source),
        "N_HDF_Creation_Date": text(f"{file.written:%Y%m%d}"),
        "N_HDF_Creation_Time": text(f"{file.written:%H%M%S.%f}Z"),
        "Platform_Short_Name": text(file.platform.upper()),
    }
    return attributes | ({"N_GEO_Ref": text(file.partner)} if file.partner else {})


def group_attributes(file: JpssFile, product: Product) -> Attributes:
    """Of one collection."""
    instrument = product.instrument.name
    attributes = {
        "Instrument_Short_Name": text(instrument),
        "N_Collection_Short_Name": text(product.collection),
        "N_Dataset_Type_Tag": text(product.tag),
        "N_Processing_Domain": text("ops"),
        "Operational_Mode": text(f"{file.platform.upper()} {_MODES[instrument]}"),
    }
    if product.tag == "GEO":
        attributes["N_Anc_Type_Tasked"] = text("Official")
    else:
        versions = (23, 17) if instrument == "VIIRS" else (23,)
        attributes["N_Instrument_Flight_SW_Version"] = number(f"{file.era.order}i4", *versions)
    return attributes


def aggregate_attributes(file: JpssFile, granules: tuple[Granule, ...]) -> Attributes:
    """Of all granules of one collection together."""
    attributes: Attributes = {"AggregateNumberGranules": number(file.era.number_granules, len(granules))}
    for word, edge, moment in (
        ("Beginning", granules[0], granules[0].begin),
        ("Ending", granules[-1], granules[-1].end),
    ):
        date, clock = _stamp(file, moment)
        attributes[f"Aggregate{word}Date"] = text(date)
        attributes[f"Aggregate{word}Time"] = text(clock)
        attributes[f"Aggregate{word}GranuleID"] = text(edge.granule_id)
        orbit = number(f"{file.era.order}u8", file.track.orbit_number(moment))
        attributes[f"Aggregate{word}OrbitNumber"] = orbit
    return attributes


def granule_attributes(file: JpssFile, product: Product, granule: Granule) -> Attributes:
    """Of one granule: what every record says, then what only processed ones say."""
    attributes = _common(file, product, granule)
    if product.tag == "RDR":
        attributes["N_Packet_Type"] = text("CAL", "ENG", width=6)
        attributes["N_Packet_Type_Count"] = number(f"{file.era.order}u8", 24, 1)
        attributes["N_Percent_Missing_Data"] = number(f"{file.era.order}f4", file.percent_missing)
        return attributes
    attributes |= _place(file, product, granule) | _processing(file, product, granule)
    return attributes | (_radiometry(file, product) if product.tag == "SDR" else {})


def _stamp(file: JpssFile, moment: datetime) -> tuple[str, str]:
    return (_NO_DATE, _NO_TIME) if file.without_times else (f"{moment:%Y%m%d}", f"{moment:%H%M%S.%f}Z")


def _reference(era: Era, collection: str, granule_id: str, version: str) -> str:
    readable = f"{collection}:{granule_id}:{version}"
    if era.readable_references:
        return readable
    word = hashlib.blake2b(readable.encode(), digest_size=15).hexdigest()
    return f"{word[:8]}-{word[8:13]}-{word[13:21]}-{word[21:29]}"


def _common(file: JpssFile, product: Product, granule: Granule) -> Attributes:
    begin_date, begin_time = _stamp(file, granule.begin)
    end_date, end_time = _stamp(file, granule.end)
    ticks = (0, 0) if file.without_times else (granule.begin_iet, granule.end_iet)
    unsigned = f"{file.era.order}u8"
    attributes = {
        "Beginning_Date": text(begin_date),
        "Beginning_Time": text(begin_time),
        "Ending_Date": text(end_date),
        "Ending_Time": text(end_time),
        "N_Beginning_Orbit_Number": number(unsigned, file.track.orbit_number(granule.begin)),
        "N_Beginning_Time_IET": number(unsigned, ticks[0]),
        "N_Ending_Time_IET": number(unsigned, ticks[1]),
        "N_Creation_Date": text(f"{file.created:%Y%m%d}"),
        "N_Creation_Time": text(f"{file.created:%H%M%S.%f}Z"),
        "N_Granule_ID": text(granule.granule_id),
        "N_Granule_Status": text("N/A"),
        "N_Granule_Version": text(file.version),
        "N_LEOA_Flag": text("Off"),
        "N_Reference_ID": text(_reference(file.era, product.collection, granule.granule_id, file.version)),
        "N_Software_Version": text(file.era.software),
        file.era.documents: text(
            "474-00448-02-06_JPSS-DD-Vol-II-Part-6_0200I.pdf",
            f"474-00448-02-06_JPSS-DD_0200I_{product.collection}-PP.xml",
            f"474-00448-03-06_JPSS-DD_0200I_{product.collection}.xml",
        ),
    }
    if file.era.readable_references:
        attributes |= {"N_IDPS_Mode": text("ops"), "N_Primary_Label": text("Primary")}
    return attributes


def _place(file: JpssFile, product: Product, granule: Granule) -> Attributes:
    real = f"{file.era.order}f4"
    latitude, longitude = file.track.ring(granule.begin, granule.end, product.instrument.half_width_deg)
    north, south, east, west = bounds(latitude, longitude)
    nadir_latitude, nadir_longitude = file.track.swath(granule.begin, granule.end, (2, 1), 0.0)
    return {
        "Ascending/Descending_Indicator": number("u1", int(file.track.descending(granule.begin))),
        "G-Ring_Latitude": number(real, *latitude),
        "G-Ring_Longitude": number(real, *longitude),
        "North_Bounding_Coordinate": number(real, north),
        "South_Bounding_Coordinate": number(real, south),
        "East_Bounding_Coordinate": number(real, east),
        "West_Bounding_Coordinate": number(real, west),
        "N_Nadir_Latitude_Max": number(real, nadir_latitude.max()),
        "N_Nadir_Latitude_Min": number(real, nadir_latitude.min()),
        "N_Nadir_Longitude_Max": number(real, nadir_longitude.max()),
        "N_Nadir_Longitude_Min": number(real, nadir_longitude.min()),
    }


def _processing(file: JpssFile, product: Product, granule: Granule) -> Attributes:
    signed = f"{file.era.order}i4"
    raw = product.instrument.raw
    latitude, longitude = file.track.swath(granule.begin, granule.end, (1, 1), 0.0)
    attributes = {
        "N_Algorithm_Version": text("2.O.000.001"),
        "N_Anc_Filename": text(
            *(f"Terrain-Eco-ANC-Tile_20030125000000Z_ee00000000000000Z_NA_NA_S0{n}_1.O.0.0" for n in (388, 389))
        ),
        "N_Aux_Filename": text(
            f"CMNGEO-PARAM-LUT_{file.platform}_20160331000000Z_20170807130000Z_ee00000000000000Z_PS-1-O_all-_all_all-_ops"
        ),
        "N_Input_Prod": text(_reference(file.era, raw, granule.granule_id, "A1")),
        "N_Number_Of_Scans": number(signed, granule.scans),
        "N_Quality_Summary_Names": text("N/A"),
        "N_Quality_Summary_Values": number(signed, round(100 - file.percent_missing) if file.percent_missing else -993),
        "N_Spacecraft_Maneuver": text("Normal Operations"),
    }
    if product.instrument.name == "VIIRS":
        attributes["N_Day_Night_Flag"] = text(
            light(granule.begin, float(latitude[0, 0]), float(longitude[0, 0])), width=5
        )
    return attributes


def _radiometry(file: JpssFile, product: Product) -> Attributes:
    real = f"{file.era.order}f4"
    attributes: Attributes = {
        "Band_ID": text(product.band),
        "N_Graceful_Degradation": text("No"),
        "N_Percent_Erroneous_Data": number(real, 0.0),
        "N_Percent_Missing_Data": number(real, file.percent_missing),
        "N_Percent_Not-Applicable_Data": number(real, 0.0),
    }
    for angle, low, high in (("Azimuth", -99.1, 108.3), ("Zenith", 0.4, 64.3)):
        attributes[f"N_Satellite/Local_{angle}_Angle_Max"] = number(real, high)
        attributes[f"N_Satellite/Local_{angle}_Angle_Min"] = number(real, low)
        attributes[f"N_Solar_{angle}_Angle_Max"] = number(real, high / 1.4)
        attributes[f"N_Solar_{angle}_Angle_Min"] = number(real, low / 1.4)
    return attributes
