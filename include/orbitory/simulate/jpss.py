"""JPSS / IDPS files as the ground segment writes them: names, granule ids, attributes and arrays (DOMAIN 4.1, 4.2).

The same description always gives the same bytes. Values follow S-NPP and NOAA-20 files of both eras: before and after
the ground system's Block 2.0 (2017-03-08), which changed byte order, packaging and attribute names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from orbitory import times
from orbitory.simulate.orbit import TRACKS, Track
from orbitory.simulate.products import PRODUCTS, Instrument, Product

#: Where in a granule period the first scan may begin: sensors do not wait for the boundary.
_PHASE_US = 683_966


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """What all files of one generation of the ground system have in common."""

    #: numpy byte order of numbers.
    order: Literal["<", ">"]
    mission: str
    distributor: str
    source: str
    software: str
    documents: str
    #: Type of AggregateNumberGranules.
    number_granules: str
    #: References are ``collection:granule:version``; before they were hexadecimal words.
    readable_references: bool
    #: Bytes of XML before the HDF5 signature, at least.
    user_block: int


BLOCK_1 = Era(
    order=">", mission="NPP", distributor="arch", source="noaa", software="I1.5.08.11",
    documents="N_NPOESS_Document_Ref", number_granules=">i4", readable_references=False, user_block=2048,
)  # fmt: skip
BLOCK_2 = Era(
    order="<", mission="S-NPP/JPSS", distributor="noa-", source="noa-", software="I2.1.03.00",
    documents="N_JPSS_Document_Ref", number_granules="<u8", readable_references=True, user_block=1024,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Granule:
    """The scans that begin in one granule period. IETs in microseconds."""

    granule_id: str
    begin_iet: int
    end_iet: int
    scans: int

    @property
    def begin(self) -> datetime:
        """UTC of the first scan."""
        return times.utc_from_iet(self.begin_iet)

    @property
    def end(self) -> datetime:
        """UTC at which the last scan ends."""
        return times.utc_from_iet(self.end_iet)


def granule(instrument: Instrument, platform: str, number: int) -> Granule:
    """The ``number``-th granule of an instrument since the base time of granule ids."""
    boundary = number * instrument.granule_us
    first = -(-(boundary - _PHASE_US) // instrument.scan_us)
    after = -(-(boundary + instrument.granule_us - _PHASE_US) // instrument.scan_us)
    start = times.GRANULE_BASE_US + _PHASE_US
    return Granule(
        granule_id=times.granule_id(platform.upper(), times.GRANULE_BASE_US + boundary, instrument.granule_us),
        begin_iet=start + first * instrument.scan_us,
        end_iet=start + (after - 1) * instrument.scan_us + instrument.last_scan_us,
        scans=after - first,
    )


def granule_number(instrument: Instrument, moment: datetime) -> int:
    """Number of the granule whose period holds ``moment``."""
    return (times.iet_from_utc(moment) - times.GRANULE_BASE_US) // instrument.granule_us


@dataclass(frozen=True, slots=True, kw_only=True)
class JpssFile:
    """Everything that decides the bytes of one file, and its name."""

    #: Five-letter ids in the order of the name; the last leads: its granules are numbered and set the time.
    products: tuple[str, ...]
    platform: str
    era: Era
    #: Number of the leading product's first granule.
    first: int
    #: Granules of the leading product (more than one: an aggregate).
    count: int = 1
    #: Four letters of the name; after Block 2.0 the last is c for compressed, u for uncompressed.
    origin: str
    #: N_Granule_Version.
    version: str = "A1"
    #: N_Creation of the granules.
    created: datetime
    #: N_HDF_Creation, which the name carries too.
    written: datetime
    #: Name of the geolocation partner, for N_GEO_Ref.
    partner: str = ""
    #: Shows in N_Percent_Missing_Data or in the quality summary: content that name and identity do not tell.
    percent_missing: float = 0.0
    #: Fill values where the times belong (1958-01-01).
    without_times: bool = False

    @property
    def lead(self) -> Product:
        """The product that sets times and granule numbers."""
        return PRODUCTS[self.products[-1]]

    @property
    def track(self) -> Track:
        """Motion of its satellite."""
        return TRACKS[self.platform]

    @property
    def deflated(self) -> bool:
        """Whether the origin promises compressed arrays."""
        return self.era is BLOCK_2 and self.origin.endswith("c")

    def granules(self, product: Product) -> tuple[Granule, ...]:
        """Granules of one of its products; those of another length are the ones that begin within the leading ones."""
        own, lead = product.instrument, self.lead.instrument
        start, stop = (number * lead.granule_us for number in (self.first, self.first + self.count))
        numbers = range(-(-start // own.granule_us), -(-stop // own.granule_us))
        return tuple(granule(own, self.platform, number) for number in numbers)

    @property
    def name(self) -> str:
        """Base name by the IDPS grammar: tenths of seconds are cut off, the end date is left out."""
        granules = self.granules(self.lead)
        begin, end = granules[0].begin, granules[-1].end
        parts = (
            "-".join(self.products),
            self.platform,
            f"d{begin:%Y%m%d}",
            f"t{_tenths(begin)}",
            f"e{_tenths(end)}",
            f"b{self.track.orbit_number(begin):05d}",
            f"c{self.written:%Y%m%d%H%M%S%f}",
            self.origin,
            "ops.h5",
        )
        return "_".join(parts)


def _tenths(moment: datetime) -> str:
    return f"{moment:%H%M%S}{moment.microsecond // 100_000}"


def user_block(file: JpssFile) -> Iterator[str]:
    """The XML that IDPS writes before the HDF5 signature, piece by piece."""
    yield "<HDF_UserBlock>"
    yield f"<Mission_Name>{file.era.mission}</Mission_Name>"
    yield f"<Platform_Short_Name>{file.platform.upper()}</Platform_Short_Name>"
    if file.partner:
        yield f"<N_GEO_Ref>{file.partner}</N_GEO_Ref>"
    yield f"<Number_of_Data_Products>{len(file.products)}</Number_of_Data_Products>"
    for product_id in file.products:
        product = PRODUCTS[product_id]
        granules = file.granules(product)
        begin, end = granules[0].begin, granules[-1].end
        yield "<Data_Product>"
        yield f"<Instrument_Short_Name>{product.instrument.name}</Instrument_Short_Name>"
        yield f"<N_Collection_Short_Name>{product.collection}</N_Collection_Short_Name>"
        yield f"<N_Processing_Domain>ops</N_Processing_Domain><N_Dataset_Type_Tag>{product.tag}</N_Dataset_Type_Tag>"
        for word, moment, which in (("Beginning", begin, granules[0]), ("Ending", end, granules[-1])):
            yield f"<Aggregate{word}Date>{moment:%Y%m%d}</Aggregate{word}Date>"
            yield f"<Aggregate{word}OrbitNumber>{file.track.orbit_number(moment)}</Aggregate{word}OrbitNumber>"
            yield f"<Aggregate{word}Time>{moment:%H%M%S.%f}Z</Aggregate{word}Time>"
            yield f"<Aggregate{word}GranuleID>{which.granule_id}</Aggregate{word}GranuleID>"
        yield "</Data_Product>"
    yield "</HDF_UserBlock>"
