"""JPSS granules: what their attributes say, whatever way they are written, and whether the name agrees."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import shapely

from corpus import CORPUS, needs_corpus
from extraction import codes, extracted, fate
from orbitory.extract import ExtractTask
from orbitory.model import GranuleFacts, Identity
from orbitory.times import iet_from_utc
from orbitory.workers import ExtractResult

START = datetime(2018, 10, 22, 0, 22, 21, 351404, tzinfo=UTC)
LENGTH = timedelta(seconds=31.621611)
NAME = "SATMS_npp_d20181022_t0022213_e0022529_b36187_c20181022014936019618_noac_ops.h5"
COLLECTIONS = (("SATMS", "ATMS-SDR"),)
RING_LAT = (22.7376, 25.0639, 26.3962, 27.3262, 28.1001, 26.7817, 24.3904, 23.6441)
RING_LON = (31.7733, 19.8005, 7.2301, 7.3587, 7.4836, 20.2466, 32.3694, 32.0781)
Attributes = dict[str, Any]


def text(*values: str) -> np.ndarray:
    """As IDPS writes it: bytes of fixed length in an array of shape (n, 1)."""
    return np.array([[value.encode()] for value in values])


def number(*values: float, kind: str = "f4") -> np.ndarray:
    return np.array(values, kind).reshape(-1, 1)


def granule_attributes(index: int, **changes: Any) -> Attributes:
    begin, end = START + index * LENGTH, START + (index + 1) * LENGTH
    found: Attributes = {
        "N_Granule_ID": text(f"NPP{2208397423 + 320 * index:012d}"),
        "N_Granule_Version": text("A1"),
        "N_Granule_Status": text("N/A"),
        "N_Reference_ID": text(f"ATMS-SDR:NPP{2208397423 + 320 * index:012d}:A1"),
        "Beginning_Date": text(f"{begin:%Y%m%d}"),
        "Beginning_Time": text(f"{begin:%H%M%S.%fZ}"),
        "Ending_Date": text(f"{end:%Y%m%d}"),
        "Ending_Time": text(f"{end:%H%M%S.%fZ}"),
        "N_Beginning_Time_IET": number(iet_from_utc(begin), kind="u8"),
        "N_Ending_Time_IET": number(iet_from_utc(end), kind="u8"),
        "N_Creation_Date": text("20181022"),
        "N_Creation_Time": text("014933.180241Z"),
        "N_Beginning_Orbit_Number": number(36187, kind="u8"),
        "N_Percent_Missing_Data": number(0.25),
        "N_Day_Night_Flag": text("Night"),
        "Ascending/Descending_Indicator": number(1, kind="u1"),
        "N_Input_Prod": text("ATMS-SCIENCE-RDR:NPP002208397103:A1", "N/A", "ATMS-TELEMETRY-RDR:NPP002208396800:A1"),
        "G-Ring_Latitude": number(*RING_LAT),
        "G-Ring_Longitude": number(*RING_LON),
        "West_Bounding_Coordinate": number(7.23),
        "South_Bounding_Coordinate": number(22.73),
        "East_Bounding_Coordinate": text("32.36"),
        "North_Bounding_Coordinate": text("28.10"),
    }
    for name, value in changes.items():
        found[name] = value
    return {name: value for name, value in found.items() if value is not None}


def write(path: Path, granules: list[Attributes], *, collection: str = "ATMS-SDR", promised: int | None = None) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["Mission_Name"] = text("S-NPP/JPSS")
        file.attrs["Platform_Short_Name"] = text("NPP")
        file.attrs["N_GEO_Ref"] = text("GATMO_npp_d20181022_t0022213_e0022529_b36187_c20181022014936013060_noac_ops.h5")
        data = file.create_dataset(f"All_Data/{collection}_All/BrightnessTemperature", data=np.arange(96.0))
        group = file.create_group(f"Data_Products/{collection}")
        for key, value in {
            "Instrument_Short_Name": "ATMS",
            "N_Collection_Short_Name": collection,
            "N_Dataset_Type_Tag": "SDR",
        }.items():
            group.attrs[key] = text(value)
        aggregate = group.create_dataset(f"{collection}_Aggr", data=np.array([data.ref], dtype=h5py.ref_dtype))
        aggregate.attrs["AggregateNumberGranules"] = number(len(granules) if promised is None else promised, kind="u8")
        for index, attributes in enumerate(granules):
            reference = np.array([data.regionref[0:12]], dtype=h5py.regionref_dtype)
            dataset = group.create_dataset(f"{collection}_Gran_{index}", data=reference, dtype=h5py.regionref_dtype)
            for key, value in attributes.items():
                dataset.attrs[key] = value
    return path


def task(path: Path, **how: Any) -> ExtractTask:
    identity = Identity(
        form="idps",
        product_type="atms_sdr",
        products=("SATMS",),
        sensor="ATMS",
        platform=how.pop("platform", "NPP"),
        sensing_start=how.pop("start", START.replace(microsecond=300_000)),
    )
    return ExtractTask(
        id=7,
        path=os.fsencode(path),
        extractor="jpss",
        source="idps",
        name=path.name,
        identity=how.pop("identity", identity),
        collections=how.pop("collections", COLLECTIONS),
        **how,
    )


def read(path: Path, **how: Any) -> ExtractResult:
    (result,) = extracted(path.parent, [task(path, **how)])
    return result


def sole(result: ExtractResult) -> GranuleFacts:
    assert result.extraction, result.error
    (granule,) = result.extraction.granules
    return granule


@needs_corpus
@pytest.mark.req("G2", "I16")
def test_a_real_atms_granule_is_understood() -> None:
    result = read(CORPUS / "jpss" / NAME)
    granule = sole(result)
    assert granule.key == "NPP/ATMS-SDR/NPP002208397423"
    assert (granule.product, granule.collection, granule.sensor, granule.platform) == (
        "SATMS",
        "ATMS-SDR",
        "ATMS",
        "NPP",
    )
    assert granule.sensing_start == START
    assert granule.sensing_end == datetime(2018, 10, 22, 0, 22, 52, 973015, tzinfo=UTC)
    assert granule.created == datetime(2018, 10, 22, 1, 49, 33, 180241, tzinfo=UTC)
    assert (granule.orbit, granule.version) == (36187, "A1")
    assert granule.search["ascending"] is False
    assert granule.search["geolocation"].startswith("GATMO_npp_")
    assert "ATMS-SCIENCE-RDR:NPP002208397103:A1" in granule.search["inputs"]
    assert granule.area_km2 == pytest.approx(31.6 * 6.7 * 2310, rel=0.05)  # seconds x km/s x km across
    assert codes(result) == set()


@needs_corpus
@pytest.mark.parametrize(
    ("start", "key", "orbit"),
    [
        ("GCRSO_j01_d20181022", "J01/CrIS-SDR-GEO/J01002208398383", 4790),
        ("GCRSO_npp_d20161001", "NPP/CrIS-SDR-GEO/NPP001559862389", 25538),
    ],
)
def test_real_cris_granules_of_two_eras_are_understood(start: str, key: str, orbit: int) -> None:
    (path,) = (CORPUS / "jpss").glob(f"{start}*.h5")
    moment = datetime.strptime(path.name[11:19] + path.name[21:27], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    identity = Identity(
        form="idps",
        product_type="cris_sdr_geo",
        products=("GCRSO",),
        sensor="CRIS",
        platform=path.name[6:9],
        sensing_start=moment + timedelta(seconds=int(path.name[27]) / 10),
    )
    granule = sole(result := read(path, identity=identity, collections=(("GCRSO", "CrIS-SDR-GEO"),), checksummed=True))
    assert (granule.key, granule.orbit, granule.sensor) == (key, orbit, "CRIS")
    assert codes(result) == set()
    assert shapely.from_wkb(granule.footprint).is_valid


def test_every_granule_of_an_aggregate_is_one(tmp_path: Path) -> None:
    path = write(tmp_path / NAME, [granule_attributes(index) for index in range(12)])
    result = read(path)
    assert result.extraction
    ids = [granule.key.rpartition("NPP")[2] for granule in result.extraction.granules]
    assert ids == [f"{2208397423 + 320 * index:012d}" for index in range(12)]  # _Gran_10 after _Gran_9
    assert codes(result) == set()


def test_search_keys_come_from_awkward_attributes(tmp_path: Path) -> None:
    search = sole(read(write(tmp_path / NAME, [granule_attributes(0)]))).search
    assert search["inputs"] == ["ATMS-SCIENCE-RDR:NPP002208397103:A1", "ATMS-TELEMETRY-RDR:NPP002208396800:A1"]
    assert search["percent_missing"] == 0.25
    assert search["day_night"] == "Night"
    assert search["ascending"] is False
    assert "status" not in search  # N/A


def test_the_header_keeps_every_attribute(tmp_path: Path) -> None:
    strange = number(float("nan"), float("inf"))
    result = read(write(tmp_path / NAME, [granule_attributes(0, Strange=strange, Nul=np.bytes_(b"a\0b"))]))
    assert result.extraction
    header = json.loads(zlib.decompress(result.extraction.header))
    assert header["/"]["Mission_Name"] == "S-NPP/JPSS"
    own = header["/Data_Products/ATMS-SDR/ATMS-SDR_Gran_0"]
    assert own["Ascending/Descending_Indicator"] == 1
    assert own["G-Ring_Latitude"][:2] == pytest.approx([22.7376, 25.0639])
    assert own["Strange"] == [None, None]
    assert own["Nul"] == "a\\x00b"


def test_without_a_ring_the_bounding_box_is_kept_and_said_so(tmp_path: Path) -> None:
    bare = granule_attributes(0) | {"G-Ring_Latitude": number(*[-999.3] * 8)}
    result = read(write(tmp_path / NAME, [bare]))
    assert shapely.from_wkb(sole(result).footprint).bounds == pytest.approx((7.23, 22.73, 32.36, 28.10), abs=1e-5)
    assert codes(result) == {"bad_footprint", "footprint_from_bounds"}


@pytest.mark.parametrize(
    "ring",
    [(-999.3,) * 8, (0.0,) * 8, (float("nan"),) * 8, (95.0, 0, 0, 0, 0, 0, 0, 0), (1.0, 2.0)],
)
def test_a_ring_that_is_none_costs_the_footprint_not_the_granule(tmp_path: Path, ring: tuple[float, ...]) -> None:
    bounds = {f"{edge}_Bounding_Coordinate": number(-999.3) for edge in ("West", "South", "East", "North")}
    bare = granule_attributes(0) | bounds | {"G-Ring_Latitude": number(*ring), "G-Ring_Longitude": number(*ring)}
    result = read(write(tmp_path / NAME, [bare]))
    assert sole(result).footprint is None
    assert codes(result) == {"bad_footprint", "no_footprint"}


def test_a_raw_data_record_has_no_place_on_earth(tmp_path: Path) -> None:
    place = {name: None for name in granule_attributes(0) if "Ring" in name or "Bounding" in name}
    result = read(write(tmp_path / NAME, [granule_attributes(0, **place)]))
    assert sole(result).footprint is None
    assert codes(result) == {"no_footprint"}


Made = Callable[[], Attributes]


def without(*names: str) -> Made:
    return lambda: granule_attributes(0, **dict.fromkeys(names))


TIMES = ("N_Beginning_Time_IET", "Beginning_Date", "Beginning_Time")


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (without("N_Granule_ID"), "metadata"),
        (lambda: granule_attributes(0, N_Granule_ID=text("N/A")), "metadata"),
        (lambda: granule_attributes(0, N_Granule_ID=text("../../etc")), "metadata"),
        (without(*TIMES), "time"),
        (
            lambda: granule_attributes(0, N_Beginning_Time_IET=number(0, kind="u8"), Beginning_Date=None),
            "time",
        ),
        (lambda: granule_attributes(0, N_Ending_Time_IET=number(iet_from_utc(START) - 1, kind="u8")), "time"),
        (lambda: granule_attributes(0, N_Ending_Time_IET=number(iet_from_utc(START) + 10**12, kind="u8")), "time"),
    ],
)
def test_a_granule_without_identity_or_time_is_refused(tmp_path: Path, made: Made, code: str) -> None:
    assert fate(read(write(tmp_path / NAME, [made()]))) == code


def test_text_alone_or_iet_alone_gives_the_time(tmp_path: Path) -> None:
    for number_of, missing in enumerate((TIMES[:1], TIMES[1:])):
        result = read(write(tmp_path / f"{number_of}{NAME}", [granule_attributes(0, **dict.fromkeys(missing))]))
        assert sole(result).sensing_start == START
        assert codes(result) == set()


def test_iet_without_leap_seconds_is_noticed(tmp_path: Path) -> None:
    wrong = number(iet_from_utc(START) - 37_000_000, kind="u8")
    assert "time_mismatch" in codes(read(write(tmp_path / NAME, [granule_attributes(0, N_Beginning_Time_IET=wrong)])))


def test_fill_orbits_and_creation_times_are_unknown(tmp_path: Path) -> None:
    odd = granule_attributes(
        0, N_Beginning_Orbit_Number=number(2**64 - 8, kind="u8"), N_Creation_Date=text("N/A"), N_Granule_Version=None
    )
    granule = sole(read(write(tmp_path / NAME, [odd])))
    assert (granule.orbit, granule.created, granule.version) == (None, None, "")


@pytest.mark.parametrize(
    ("how", "mismatch"),
    [
        ({}, False),
        ({"start": START.replace(microsecond=0) - timedelta(seconds=0.6)}, False),
        ({"start": START - timedelta(seconds=30)}, True),
        ({"platform": "J01"}, True),
        ({"platform": "npp"}, False),
        ({"collections": (("GATMO", "ATMS-SDR-GEO"),)}, True),
        ({"collections": (("SATMS", "ATMS-SDR"), ("GATMO", "ATMS-SDR-GEO"))}, True),
    ],
)
def test_a_name_that_contradicts_the_content_is_noted(tmp_path: Path, how: dict[str, Any], mismatch: bool) -> None:
    result = read(write(tmp_path / NAME, [granule_attributes(0)]), **how)
    assert ("name_content_mismatch" in codes(result)) is mismatch
    product = "ATMS-SDR" if how.get("collections", ())[:1] == (("GATMO", "ATMS-SDR-GEO"),) else "SATMS"
    assert sole(result).product == product


def test_an_aggregate_that_lacks_granules_is_noted(tmp_path: Path) -> None:
    assert codes(read(write(tmp_path / NAME, [granule_attributes(0)], promised=4))) == {"incomplete_aggregate"}


def test_the_same_granule_twice_is_refused(tmp_path: Path) -> None:
    assert fate(read(write(tmp_path / NAME, [granule_attributes(0), granule_attributes(0)]))) == "metadata"


def test_hdf5_without_products_or_granules_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / NAME, "w") as file:
        file["x"] = 1
    assert fate(read(tmp_path / NAME)) == "metadata"
    assert fate(read(write(tmp_path / f"a{NAME}", []))) == "metadata"
    other = tmp_path / "SATMS.h5"
    other.write_bytes(b"CDF\x01" + bytes(100))
    assert fate(read(other)) == "type"


def test_products_behind_an_external_link_are_not_read(tmp_path: Path) -> None:
    write(tmp_path / "other.h5", [granule_attributes(0)])
    with h5py.File(tmp_path / NAME, "w") as file:
        file["Data_Products"] = h5py.ExternalLink("other.h5", "/Data_Products")
    assert fate(read(tmp_path / NAME)) == "metadata"


@pytest.mark.req("N14")
@pytest.mark.parametrize("checksummed", [False, True])
@pytest.mark.parametrize("kind", ["raw", "virtual", "link"])
def test_a_granule_that_shows_other_files_is_refused_or_noted_whoever_vouches_for_it(
    tmp_path: Path, kind: str, checksummed: bool
) -> None:
    path = write(tmp_path / NAME, [granule_attributes(0)])
    with h5py.File(path, "a") as file:
        if kind == "raw":
            file.create_dataset("All_Data/x", shape=(8,), dtype="u1", external=[("/etc/passwd", 0, 8)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape=(1,), dtype="i8")
            layout[:] = h5py.VirtualSource("other.h5", "x", shape=(1,))
            file.create_virtual_dataset("All_Data/x", layout)
        else:
            file["All_Data/x"] = h5py.ExternalLink("/etc/passwd", "/x")
    result = read(path, checksummed=checksummed)
    if kind == "link":
        assert fate(result) == "archived" and "external_link" in codes(result)
    else:
        assert fate(result) == "policy"


def test_without_a_checksum_the_data_themselves_are_read(tmp_path: Path) -> None:
    path = tmp_path / NAME
    write(path, [granule_attributes(0)])
    with h5py.File(path, "a") as file:
        name = "All_Data/ATMS-SDR_All/Packed"
        file.create_dataset(name, data=np.arange(40_000) % 977, chunks=(5000,), compression="gzip", fletcher32=True)
        at = file[name].id.get_chunk_info(3).byte_offset
    content = bytearray(path.read_bytes())
    content[at + 40] ^= 0x10
    path.write_bytes(content)
    assert fate(read(path, checksummed=True)) == "archived"  # its checksum has vouched for it
    assert fate(read(path)) == "structure"
