"""Simulated JPSS files are what the ground segment would have written."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest

from corpus import CORPUS, needs_corpus
from orbitory import times
from orbitory.catalogue import Catalogue, load
from orbitory.names import identify
from orbitory.settings import CHECKOUT
from orbitory.simulate.builder import JpssBuilder, without_products
from orbitory.simulate.jpss import BLOCK_1, BLOCK_2, JpssFile, granule, granule_number
from orbitory.simulate.passes import PASSES
from orbitory.simulate.products import ATMS, CRIS, PRODUCTS, VIIRS
from orbitory.simulate.template import Content, Template

Opener = Callable[[JpssFile], h5py.File]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load(CHECKOUT / "include" / "catalogue")


@pytest.fixture(scope="module")
def builder() -> JpssBuilder:
    return JpssBuilder()


@pytest.fixture
def opened(builder: JpssBuilder) -> Opener:
    return lambda file: h5py.File(io.BytesIO(builder.build(file)))


def _file(*products: str, **more: object) -> JpssFile:
    moment = datetime(2018, 10, 22, 0, 24, tzinfo=UTC)
    values: dict[str, object] = {
        "products": products,
        "platform": "j01",
        "era": BLOCK_2,
        "first": granule_number(PRODUCTS[products[-1]].instrument, moment),
        "origin": "noac",
        "created": moment + timedelta(hours=2),
        "written": moment + timedelta(hours=2, minutes=7, microseconds=123456),
    }
    return JpssFile(**{**values, **more})


def _all() -> list[JpssFile]:
    return [
        _file(*each.products, platform=each.platform, era=each.era, origin=each.origin, count=each.count)
        for each in PASSES
    ]


def _one(value: np.ndarray) -> object:
    """The only value of a (1,1) attribute, decoded."""
    assert value.shape == (1, 1)
    only = value[0, 0]
    return only.decode() if isinstance(only, bytes) else only.item()


def _tree(path: Path | io.BytesIO) -> dict[tuple[str, str], tuple[str, str]]:
    """(object, attribute) → kind and byte order, of every attribute."""
    found: dict[tuple[str, str], tuple[str, str]] = {}

    def visit(name: str, thing: h5py.HLObject) -> None:
        for attribute in thing.attrs:
            kind = thing.attrs.get_id(attribute).dtype
            found[name, attribute] = (kind.kind, "" if kind.kind == "S" else kind.str)

    with h5py.File(path) as h5:
        visit("/", h5)
        h5.visititems(visit)
    return found


def test_granule_ids_follow_the_arithmetic_of_the_ground_segment() -> None:
    number = granule_number(VIIRS, datetime(2013, 11, 14, 0, 10, 30, 352482, tzinfo=UTC))
    first, second = granule(VIIRS, "npp", number), granule(VIIRS, "npp", number + 1)
    assert (first.granule_id, second.granule_id) == ("NPP000650598298", "NPP000650599152")
    assert granule(
        CRIS, "j01", granule_number(CRIS, datetime(2018, 10, 22, 0, 23, 59, 983966, tzinfo=UTC))
    ).granule_id == ("J01002208398383")


@pytest.mark.parametrize("instrument", [VIIRS, ATMS, CRIS], ids=lambda each: each.name)
def test_granules_of_a_pass_are_contiguous_and_begin_in_their_period(instrument) -> None:
    granules = [granule(instrument, "npp", 6_000_000 + n) for n in range(50)]
    for before, after in itertools.pairwise(granules):
        assert 0 < after.begin_iet - before.end_iet <= 2_300_000
    for each in granules:
        assert times.granule_id("NPP", each.begin_iet, instrument.granule_us) == each.granule_id
        assert each.scans * instrument.scan_us == pytest.approx(instrument.granule_us, abs=instrument.scan_us)


@pytest.mark.parametrize("file", _all(), ids=lambda each: each.name[:15])
def test_names_are_recognised_and_agree_with_the_content(file: JpssFile, opened: Opener, catalogue: Catalogue) -> None:
    identity = identify(file.name, catalogue.source("idps"), catalogue)
    assert identity.products == file.products
    lead = file.lead.collection
    with opened(file) as h5:
        aggregate = h5[f"Data_Products/{lead}/{lead}_Aggr"].attrs
        begin = times.utc_from_text(
            _one(aggregate["AggregateBeginningDate"]), _one(aggregate["AggregateBeginningTime"])
        )
        end = times.utc_from_text(_one(aggregate["AggregateEndingDate"]), _one(aggregate["AggregateEndingTime"]))
        assert _one(aggregate["AggregateBeginningOrbitNumber"]) == identity.orbit
        created = _one(h5.attrs["N_HDF_Creation_Date"]), _one(h5.attrs["N_HDF_Creation_Time"])
    tenth = timedelta(seconds=0.1)
    assert identity.sensing_start <= begin < identity.sensing_start + tenth
    assert identity.sensing_end is not None
    assert abs(end - identity.sensing_end) <= tenth
    assert times.utc_from_text(*created) == identity.created == file.written


@pytest.mark.parametrize("file", _all(), ids=lambda each: each.name[:15])
def test_every_product_names_its_granules_and_their_times(file: JpssFile, opened: Opener) -> None:
    with opened(file) as h5:
        assert list(h5["Data_Products"]) == sorted(PRODUCTS[name].collection for name in file.products)
        for name in file.products:
            collection, granules = PRODUCTS[name].collection, file.granules(PRODUCTS[name])
            group = h5[f"Data_Products/{collection}"]
            assert _one(group.attrs["N_Collection_Short_Name"]) == collection
            assert _one(group[f"{collection}_Aggr"].attrs["AggregateNumberGranules"]) == len(granules)
            assert len(group) == 1 + len(granules)
            for n, expected in enumerate(granules):
                found = group[f"{collection}_Gran_{n}"].attrs
                assert _one(found["N_Granule_ID"]) == expected.granule_id
                assert _one(found["N_Beginning_Time_IET"]) == expected.begin_iet
                assert _one(found["N_Ending_Time_IET"]) == expected.end_iet
                text = times.utc_from_text(_one(found["Beginning_Date"]), _one(found["Beginning_Time"]))
                assert times.iet_from_utc(text) == expected.begin_iet


def test_references_lead_from_the_granule_to_its_rows(opened: Opener) -> None:
    file = _file("GMODO", "SVM01", platform="npp", era=BLOCK_1, origin="noaa", count=4)
    with opened(file) as h5:
        group = h5["Data_Products/VIIRS-M1-SDR"]
        arrays = list(h5["All_Data/VIIRS-M1-SDR_All"])
        assert sorted(h5[reference].name.rpartition("/")[2] for reference in group["VIIRS-M1-SDR_Aggr"][:]) == arrays
        for n in range(4):
            regions = group[f"VIIRS-M1-SDR_Gran_{n}"][:]
            radiance = next(each for each in regions if h5[each].name.endswith("/Radiance"))
            assert h5py.h5r.get_region(radiance, h5.id).get_select_bounds() == ((48 * n, 0), (48 * n + 47, 63))


def test_a_raw_file_holds_all_diary_granules_that_begin_within_its_own(opened: Opener) -> None:
    file = _file("RNSCA", "RVIRS", origin="nobu", count=2)
    with opened(file) as h5:
        diary = h5["Data_Products/SPACECRAFT-DIARY-RDR"]
        ids = [_one(diary[f"SPACECRAFT-DIARY-RDR_Gran_{n}"].attrs["N_Granule_ID"]) for n in range(len(diary) - 1)]
        assert len(set(ids)) == len(ids) in (8, 9)
        assert all(int(after[3:]) - int(before[3:]) == 200 for before, after in itertools.pairwise(ids))
        assert len(h5["All_Data/VIIRS-SCIENCE-RDR_All"]) == 2
    following = replace(file, first=file.first + 2)
    assert file.granules(PRODUCTS["RNSCA"])[-1].end_iet <= following.granules(PRODUCTS["RNSCA"])[0].begin_iet


@pytest.mark.parametrize("file", _all(), ids=lambda each: each.name[:15])
def test_filling_a_used_template_gives_the_bytes_of_a_new_one(file: JpssFile) -> None:
    """So nothing of the file that made the template is left in later ones."""
    later = replace(
        file, first=file.first + 3 * file.count, created=file.created + timedelta(minutes=4), percent_missing=3.0
    )
    later = replace(later, written=file.written + timedelta(minutes=5))
    used = JpssBuilder()
    used.build(file)
    assert used.build(later) == JpssBuilder().build(later)
    assert used.build(file) == JpssBuilder().build(file)
    assert used.build(file) != used.build(later)


def test_geolocation_lies_within_the_granule_and_follows_it(opened: Opener) -> None:
    for first in (_file("GCRSO").first, _file("GCRSO").first + 1):
        with opened(_file("GCRSO", first=first)) as h5:
            attributes = h5["Data_Products/CrIS-SDR-GEO/CrIS-SDR-GEO_Gran_0"].attrs
            latitude = h5["All_Data/CrIS-SDR-GEO_All/Latitude"][:]
            assert latitude.shape == (4, 30, 9)
            assert latitude.max() == pytest.approx(_one(attributes["North_Bounding_Coordinate"]), abs=0.2)
            assert latitude.min() == pytest.approx(_one(attributes["South_Bounding_Coordinate"]), abs=0.2)
            assert h5["All_Data/CrIS-SDR-GEO_All/StartTime"][0] == _one(attributes["N_Beginning_Time_IET"])


def test_packagings_of_a_granule_differ_in_bytes_but_not_in_content(builder: JpssBuilder) -> None:
    packed, plain = (_file("GMTCO", origin=origin) for origin in ("noac", "noau"))
    images = [builder.build(each) for each in (packed, plain)]
    assert len(images[0]) < len(images[1])
    with h5py.File(io.BytesIO(images[0])) as one, h5py.File(io.BytesIO(images[1])) as other:
        for name in one["All_Data/VIIRS-MOD-GEO-TC_All"]:
            path = f"All_Data/VIIRS-MOD-GEO-TC_All/{name}"
            np.testing.assert_array_equal(one[path][:], other[path][:])
            assert (one[path].compression, other[path].compression) == ("gzip", None)


def test_eras_differ_in_byte_order_words_and_references(opened: Opener) -> None:
    old = _file("SVM01", platform="npp", era=BLOCK_1, origin="noaa")
    with opened(old) as h5:
        granule_attributes = h5["Data_Products/VIIRS-M1-SDR/VIIRS-M1-SDR_Gran_0"].attrs
        assert h5["All_Data/VIIRS-M1-SDR_All/Radiance"].dtype == ">u2"
        assert _one(h5.attrs["Mission_Name"]) == "NPP"
        assert "N_NPOESS_Document_Ref" in granule_attributes
        assert "N_IDPS_Mode" not in granule_attributes
        assert [len(part) for part in _one(granule_attributes["N_Reference_ID"]).split("-")] == [8, 5, 8, 8]
    with opened(_file("SVM01", version="A10")) as h5:
        granule_attributes = h5["Data_Products/VIIRS-M1-SDR/VIIRS-M1-SDR_Gran_0"].attrs
        assert h5["All_Data/VIIRS-M1-SDR_All/Radiance"].dtype == "<u2"
        assert _one(h5.attrs["Mission_Name"]) == "S-NPP/JPSS"
        assert _one(granule_attributes["N_Reference_ID"]).startswith("VIIRS-M1-SDR:J01")
        assert _one(granule_attributes["N_Granule_Version"]) == "A10"


def test_the_signature_stands_behind_a_block_of_xml(builder: JpssBuilder) -> None:
    for file, place in ((_file("SATMS"), 1024), (_file("SATMS", era=BLOCK_1, platform="npp", origin="noaa"), 2048)):
        image = builder.build(file)
        assert image.startswith(b"<HDF_UserBlock>")
        assert image[place : place + 8] == b"\x89HDF\r\n\x1a\n"
        assert b"</HDF_UserBlock>" in image[:place]


def test_fill_values_stand_where_a_sensor_saw_nothing(opened: Opener) -> None:
    with opened(_file("SVM01")) as h5:
        radiance = h5["All_Data/VIIRS-M1-SDR_All/Radiance"]
        assert radiance.fillvalue == 65529
        assert 0 < (radiance[:] >= 65528).sum() < radiance.size / 50


def test_files_without_times_or_products_are_still_readable(opened: Opener) -> None:
    with opened(_file("SVM01", without_times=True)) as h5:
        attributes = h5["Data_Products/VIIRS-M1-SDR/VIIRS-M1-SDR_Gran_0"].attrs
        assert (_one(attributes["Beginning_Date"]), _one(attributes["N_Beginning_Time_IET"])) == ("19580101", 0)
    with h5py.File(io.BytesIO(without_products(_file("SVM01")))) as h5:
        assert "Data_Products" not in h5
        assert _one(h5.attrs["Platform_Short_Name"]) == "J01"


def test_a_granule_can_be_made_as_large_as_wanted() -> None:
    image = JpssBuilder(granule_bytes=2_000_000).build(_file("SVM01"))
    assert 2_000_000 < len(image) < 2_200_000


def test_a_file_is_small_by_default(builder: JpssBuilder) -> None:
    assert all(len(builder.build(file)) < 130_000 * file.count for file in _all())


def test_a_text_longer_than_its_place_is_refused() -> None:
    def content(text: bytes) -> Content:
        return Content(root={"Name": np.array([[text]], dtype=f"S{len(text) + 1}")}, collections=[])

    template = Template(content(b"short"), user_block=512, deflate=False)
    assert template.fill(content(b"shirt")) != template.fill(content(b"short"))
    with pytest.raises(ValueError, match="/@Name: the template holds 6 bytes, got 7"):
        template.fill(content(b"longer"))


@needs_corpus
@pytest.mark.parametrize(
    ("real", "file"),
    [
        ("GCRSO_j01_d20181022_t0023599", _file("GCRSO")),
        ("GCRSO_npp_d20161001_t0930409", _file("GCRSO", platform="npp", era=BLOCK_1, origin="noaa")),
        ("SATMS_npp_d20181022_t0022213", _file("SATMS", platform="npp", partner="GATMO_npp.h5")),
    ],
)
def test_attributes_are_those_of_real_files(real: str, file: JpssFile, builder: JpssBuilder) -> None:
    (path,) = (CORPUS / "jpss").glob(f"{real}*")
    assert _tree(io.BytesIO(builder.build(file))) == _tree(path)
