"""What the simulated JPSS files hold: instruments, products and their arrays, as data.

Array names and types follow real S-NPP and NOAA-20 files (DOMAIN: JPSS CDFCB-X volume III); shapes are cut down where a
real granule would be megabytes. Shapes are per granule; an aggregate joins them along the first axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from orbitory import times


class Role(Enum):
    """What fills an array."""

    #: A smooth field with a little noise and a few fill values.
    FIELD = "field"
    #: Quality flags: mostly zero.
    FLAGS = "flags"
    LATITUDE = "latitude"
    LONGITUDE = "longitude"
    #: IET of each row, microseconds.
    TIME = "time"
    #: Scale and offset, once per granule.
    FACTORS = "factors"
    #: Scans in the granule.
    SCANS = "scans"
    #: Raw packets: one dataset per granule, named ``<name>_<n>``.
    PACKETS = "packets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """One dataset under ``All_Data``. ``kind`` is a numpy type without byte order (``u2``, ``f4``, …)."""

    name: str
    kind: str
    shape: tuple[int, ...]
    role: Role = Role.FIELD


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """How an instrument cuts its orbit into granules; times in microseconds."""

    name: str
    granule_us: int
    scan_us: int
    #: From the start of the last scan to the end of the granule.
    last_scan_us: int
    #: Angle at the Earth's centre from nadir to the edge of the swath; 0 where nothing is seen.
    half_width_deg: float
    #: Collection of the raw records it is made from.
    raw: str


#: Granule lengths: VIIRS and diary CDFCB-X volume I, CrIS and ATMS as their real granule ids step, OMPS one frame.
VIIRS = Instrument(
    name="VIIRS", granule_us=times.VIIRS_GRANULE_US, scan_us=1_786_400, last_scan_us=215_000, half_width_deg=13.76,
    raw="VIIRS-SCIENCE-RDR",
)  # fmt: skip
ATMS = Instrument(
    name="ATMS", granule_us=31_997_000, scan_us=2_666_667, last_scan_us=2_288_000, half_width_deg=11.7,
    raw="ATMS-SCIENCE-RDR",
)  # fmt: skip
CRIS = Instrument(
    name="CrIS", granule_us=31_997_000, scan_us=7_999_250, last_scan_us=5_802_000, half_width_deg=9.9,
    raw="CRIS-SCIENCE-RDR",
)  # fmt: skip
OMPS_TC = Instrument(
    name="OMPS", granule_us=37_405_000, scan_us=7_481_000, last_scan_us=7_480_000, half_width_deg=12.6,
    raw="OMPS-TCSCIENCE-RDR",
)  # fmt: skip
OMPS_NP = Instrument(
    name="OMPS", granule_us=37_405_000, scan_us=37_405_000, last_scan_us=37_400_000, half_width_deg=1.12,
    raw="OMPS-NPSCIENCE-RDR",
)  # fmt: skip
DIARY = Instrument(
    name="SPACECRAFT", granule_us=times.DIARY_GRANULE_US, scan_us=1_000_000, last_scan_us=1_000_000, half_width_deg=0.0,
    raw="",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One collection: its five-letter id, its arrays, and what its granules say beside them."""

    product_id: str
    collection: str
    #: N_Dataset_Type_Tag: RDR, SDR or GEO.
    tag: str
    instrument: Instrument
    arrays: tuple[Array, ...]
    #: Product id of the geolocation partner that N_GEO_Ref names; empty for GEO and RDR.
    geolocation: str = ""
    band: str = "N/A"


def _flags(*names: str, shape: tuple[int, ...]) -> tuple[Array, ...]:
    return tuple(Array(name=name, kind="u1", shape=shape, role=Role.FLAGS) for name in names)


def _geolocation(shape: tuple[int, ...], flags: str) -> tuple[Array, ...]:
    fields = ("SatelliteZenithAngle", "SatelliteAzimuthAngle", "SolarZenithAngle", "SolarAzimuthAngle")
    return (
        Array(name="Latitude", kind="f4", shape=shape, role=Role.LATITUDE),
        Array(name="Longitude", kind="f4", shape=shape, role=Role.LONGITUDE),
        *(Array(name=name, kind="f4", shape=shape) for name in fields),
        Array(name="SCPosition", kind="f4", shape=(shape[0], 3)),
        *(Array(name=name, kind="i8", shape=shape[:1], role=Role.TIME) for name in ("StartTime", "MidTime")),
        *_flags(flags, shape=shape[:1]),
    )


#: One row a scan; bands and their geolocation have one shape, pixel for pixel.
_VIIRS_SHAPE = (48, 64)


def _viirs_sdr(band: str, measured: str = "Reflectance") -> tuple[Array, ...]:
    """Radiance and what is made of it, as scaled integers; the day-night band has radiance alone, as numbers."""
    scaled = ("Radiance", measured) if measured else ()
    return (
        *(Array(name=name, kind="u2", shape=_VIIRS_SHAPE) for name in scaled),
        *(() if scaled else (Array(name="Radiance", kind="f4", shape=_VIIRS_SHAPE),)),
        *_flags(f"QF1_VIIRS{band}SDR", shape=_VIIRS_SHAPE),
        *_flags("ModeScan", "QF2_SCAN_SDR", "QF3_SCAN_RDR", shape=_VIIRS_SHAPE[:1]),
        Array(name="NumberOfScans", kind="i4", shape=(1,), role=Role.SCANS),
        *(Array(name=f"{name}Factors", kind="f4", shape=(2,), role=Role.FACTORS) for name in scaled),
    )


_VIIRS_M15 = _viirs_sdr("MBAND", "BrightnessTemperature")
_ATMS_SDR = (
    Array(name="BeamTime", kind="i8", shape=(12, 96), role=Role.TIME),
    Array(name="BrightnessTemperature", kind="u2", shape=(12, 96, 4)),
    Array(name="BrightnessTemperatureFactors", kind="f4", shape=(2,), role=Role.FACTORS),
    Array(name="GainCalibration", kind="f4", shape=(12, 22)),
    Array(name="NEdTCold", kind="f4", shape=(12, 22)),
    *_flags("QF19_SCAN_ATMSSDR", shape=(12,)),
    *_flags("QF20_ATMSSDR", shape=(12, 22)),
)
_CRIS_SDR = (
    *(Array(name=f"ES_Real{band}", kind="f4", shape=(4, 30, 9, 2)) for band in ("LW", "MW", "SW")),
    Array(name="DS_WindowSize", kind="u2", shape=(4,)),
    *_flags("QF1_SCAN_CRISSDR", shape=(4,)),
    *_flags("QF3_CRISSDR", shape=(4, 30, 9)),
)


def _omps_sdr(shape: tuple[int, ...], flags: str) -> tuple[Array, ...]:
    return (
        Array(name="RadianceEarth", kind="f8", shape=shape),
        Array(name="WavelengthSun", kind="f8", shape=(shape[0], shape[-1])),
        Array(name="StartTime", kind="i8", shape=shape[:1], role=Role.TIME),
        *_flags(flags, shape=shape[:2]),
    )


_PACKETS = (Array(name="RawApplicationPackets", kind="u1", shape=(4096,), role=Role.PACKETS),)


def _product(ids: tuple[str, str, str], instrument: Instrument, arrays: tuple[Array, ...], **more: str) -> Product:
    product_id, collection, tag = ids
    return Product(
        product_id=product_id, collection=collection, tag=tag, instrument=instrument, arrays=arrays,
        geolocation=more.get("geolocation", ""), band=more.get("band", "N/A"),
    )  # fmt: skip


_ALL = (
    _product(("SVM01", "VIIRS-M1-SDR", "SDR"), VIIRS, _viirs_sdr("MBAND"), geolocation="GMTCO", band="M1"),
    _product(("SVM15", "VIIRS-M15-SDR", "SDR"), VIIRS, _VIIRS_M15, geolocation="GMTCO", band="M15"),
    _product(("SVI01", "VIIRS-I1-SDR", "SDR"), VIIRS, _viirs_sdr("IBAND"), geolocation="GITCO", band="I1"),
    _product(("SVDNB", "VIIRS-DNB-SDR", "SDR"), VIIRS, _viirs_sdr("DNB", measured=""), geolocation="GDNBO", band="DNB"),
    _product(("GMODO", "VIIRS-MOD-GEO", "GEO"), VIIRS, _geolocation(_VIIRS_SHAPE, "QF1_SCAN_VIIRSSDRGEO")),
    _product(("GMTCO", "VIIRS-MOD-GEO-TC", "GEO"), VIIRS, _geolocation(_VIIRS_SHAPE, "QF1_SCAN_VIIRSSDRGEO")),
    _product(("GITCO", "VIIRS-IMG-GEO-TC", "GEO"), VIIRS, _geolocation(_VIIRS_SHAPE, "QF1_SCAN_VIIRSSDRGEO")),
    _product(("GDNBO", "VIIRS-DNB-GEO", "GEO"), VIIRS, _geolocation(_VIIRS_SHAPE, "QF1_SCAN_VIIRSSDRGEO")),
    _product(("SATMS", "ATMS-SDR", "SDR"), ATMS, _ATMS_SDR, geolocation="GATMO"),
    _product(("TATMS", "ATMS-TDR", "SDR"), ATMS, _ATMS_SDR, geolocation="GATMO"),
    _product(("GATMO", "ATMS-SDR-GEO", "GEO"), ATMS, _geolocation((12, 32), "QF1_ATMSSDRGEO")),
    _product(("SCRIS", "CrIS-SDR", "SDR"), CRIS, _CRIS_SDR, geolocation="GCRSO"),
    _product(("GCRSO", "CrIS-SDR-GEO", "GEO"), CRIS, _geolocation((4, 30, 9), "QF1_CRISSDRGEO")),
    _product(("SOMTC", "OMPS-TC-SDR", "SDR"), OMPS_TC, _omps_sdr((5, 35, 4), "QF_TC_SDR"), geolocation="GOTCO"),
    _product(("GOTCO", "OMPS-TC-GEO", "GEO"), OMPS_TC, _geolocation((5, 35), "QF1_OMPSTCGEO")),
    _product(("SOMPS", "OMPS-NP-SDR", "SDR"), OMPS_NP, _omps_sdr((5, 5, 12), "QF_NP_SDR"), geolocation="GONPO"),
    _product(("GONPO", "OMPS-NP-GEO", "GEO"), OMPS_NP, _geolocation((5, 5), "QF1_OMPSNPGEO")),
    _product(("RVIRS", "VIIRS-SCIENCE-RDR", "RDR"), VIIRS, _PACKETS),
    _product(("RNSCA", "SPACECRAFT-DIARY-RDR", "RDR"), DIARY, _PACKETS),
)
#: By five-letter id.
PRODUCTS = {product.product_id: product for product in _ALL}
