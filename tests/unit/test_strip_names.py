"""What the names of satellite strips tell, in every form that vendors, NGA and archives write."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corpus import CORPUS, needs_corpus
from orbitory.catalogue import load
from orbitory.errors import DataError
from orbitory.layout import storage_path
from orbitory.model import ROLES, Identity
from orbitory.names import family, identify, identify_any, read_strip, strip_key
from orbitory.settings import CHECKOUT

CATALOGUE = load(CHECKOUT / "include" / "catalogue")
NGA, MAXAR = CATALOGUE.source("nga"), CATALOGUE.source("maxar")
VENDOR = "09DEC06145817-P1BS-052869840050_01_P002"
RENAMED = f"WV02_20091206145817_1030010002BB6200_{VENDOR}"
DELIVERED = f"06DEC09WV0205000{VENDOR}_________AAE_0AAAAABPABJ0"
GEOEYE = "5V120401M0011531714A222000100272M_000842666"
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def tell(name: str) -> Identity:
    return identify(name, NGA, CATALOGUE)


def ordered(name: str) -> Identity:
    return identify(name, MAXAR, CATALOGUE)


def refusal(name: str, tell: Any = tell) -> DataError:
    with pytest.raises(DataError) as caught:
        tell(name)
    return caught.value


@pytest.mark.req("N3")
@pytest.mark.parametrize(
    ("name", "form", "sensor", "product", "catalog", "taken"),
    [
        (f"{RENAMED}.ntf", "renamed_dg", "WV02", "P1BS", "1030010002BB6200", "2009-12-06T14:58:17"),
        (f"{DELIVERED}.NTF", "nga_dg", "WV02", "P1BS", None, "2009-12-06T14:58:17"),
        (f"{VENDOR}.TIF", "raw_dg", "strip", "P1BS", None, "2009-12-06T14:58:17"),
        (
            "WV03_20150411220541_104A01000A704D00_15APR11220541-A1BS-500802194040_01_P001.ntf",
            *("renamed_dg", "WV03", "A1BS", "104A01000A704D00", "2015-04-11T22:05:41"),
        ),
        (
            "LG01_20250812153720_B110001102369000_25AUG12153720-M1BS-050463930010_01_P001.tif",
            *("renamed_dg", "LG01", "M1BS", "B110001102369000", "2025-08-12T15:37:20"),
        ),
        (
            "WV04_20170504052349_83bb16c4-7823-4319-b7c3-eb61ef75ff86-inv_17MAY04052349-M1BS-059102583020_01_P001.tif",
            *("renamed_dg", "WV04", "M1BS", "83bb16c4-7823-4319-b7c3-eb61ef75ff86-inv", "2017-05-04T05:23:49"),
        ),
        (
            "WV02_10APR231908590-M2AS_R1C1-1030010005C7AF00.ntf",
            *("renamed_dg2", "WV02", "M2AS", "1030010005C7AF00", "2010-04-23T19:08:59"),
        ),
        ("19JAN14103353-C1BA-502817502010_01_P001.ntf", "raw_dg", "WV03", "C1BA", None, "2019-01-14T10:33:53"),
        (
            f"01APR12OV0501000{GEOEYE}___GA_E0AAAAAAJABA0.ntf",
            "nga_ge",
            "GE01",
            "M4AM",
            "1153171",
            "2012-04-01T00:00:00",
        ),
        (f"{GEOEYE}.ntf", "raw_ge", "GE01", "M4AM", "1153171", "2012-04-01T00:00:00"),
        (f"GE01_{GEOEYE[2:]}.ntf", "renamed_ge2", "GE01", "M4AM", "1153171", "2012-04-01T00:00:00"),
        (f"GE01_20120401010203_1153171_{GEOEYE}.ntf", "renamed_ge", "GE01", "M4AM", "1153171", "2012-04-01T01:02:03"),
        (
            "3V050726P0000820271A520004100382M_001629174.tif",
            *("raw_ge", "OV03", "P1AM", "82027", "2005-07-26T00:00:00"),
        ),
        ("po_387877_pan_0000000.tif", "raw_ik", "IK01", "", None, ""),
        (
            "IK01_20010602215300_2001060221531300000010031227_po_387877_pan_0000000.tif",
            *("renamed_ik", "IK01", "", "2001060221531300000010031227", "2001-06-02T21:53:00"),
        ),
        (
            "IK01_1999122208040550000011606084_pan_1569N.tif",
            *("renamed_ik2", "IK01", "", "1999122208040550000011606084", "1999-12-22T08:04:05"),
        ),
        (
            "01JAN08QB020800000some.vendor-name_1_AAE_0AAAAABAABA0.ntf",
            "nga_any",
            "QB02",
            "",
            None,
            "2008-01-01T00:00:00",
        ),
    ],
)
def test_every_form_is_told_with_sensor_product_catalog_id_and_time(
    name: str, form: str, sensor: str, product: str, catalog: str | None, taken: str
) -> None:
    identity = tell(name)
    assert (identity.form, identity.sensor, "".join(identity.products)) == (form, sensor, product)
    assert identity.details.get("catalog_id") == catalog
    assert identity.sensing_start == (datetime.fromisoformat(taken).replace(tzinfo=UTC) if taken else None)
    assert "contradictions" not in identity.details
    assert identity.role == "data" and identity.details["vendor_id"]


def test_geoeye_is_stored_as_geoeye_although_nga_calls_it_orbview() -> None:
    identity = tell(f"01APR12OV0501000{GEOEYE}___GA_E0AAAAAAJABA0.ntf")
    assert (identity.sensor, identity.platform, identity.details["called"]) == ("GE01", "GE01", "OV05")
    assert (identity.details["vendor_id"], identity.details["nga_code"]) == (GEOEYE, "GA_E0AAAAAAJABA0")


def test_the_words_of_the_master_footprint_are_told() -> None:
    details = tell("WV01_20150410052955_102001003A7E9A00_15APR10052955-P1BS-502788423060_01_P005.ntf").details
    assert details["strip_id"] == "WV01_102001003A7E9A00_P1BS_502788423060_01"
    assert details["scene_id"] == "WV01_20150410052955_102001003A7E9A00_15APR10052955-P1BS-502788423060_01_P005"
    assert (details["order_id"], details["order"]) == ("502788423060_01_P005", "502788423060_01")
    assert (details["spec_type"], details["level"], details["part"]) == ("Panchromatic", "1B", "P005")


@pytest.mark.parametrize("letter", "PMSACX")
@pytest.mark.parametrize("rest", ["1BS", "2AS", "3DM", "3XS", "1BB", "2AM"])
def test_every_well_formed_product_code_is_of_a_type_with_its_bands(letter: str, rest: str) -> None:
    identity = tell(f"{VENDOR.replace('P1BS', letter + rest)}.ntf")
    assert identity.products == (letter + rest,)
    assert CATALOGUE.product_type(identity.product_type).letters == (letter,)


@pytest.mark.parametrize(
    "name", [f"{RENAMED}.ntf", f"{DELIVERED}.NTF", f"GE01_{GEOEYE[2:]}.ntf", "po_387877_pan_0000000.tif"]
)
def test_letters_count_alike_in_upper_and_lower_case(name: str) -> None:
    for written in (name.lower(), name.upper()):
        assert tell(written).details["granule_key"] == tell(name).details["granule_key"]
        assert tell(written).unit == tell(name).unit
        assert tell(written).sensor == tell(name).sensor


# ---------------------------------------------------------------------------------------------------------------- times


def test_a_date_without_time_spans_its_day() -> None:
    identity = tell(f"{GEOEYE}.ntf")
    assert identity.sensing_start == datetime(2012, 4, 1, tzinfo=UTC)
    assert identity.sensing_end == datetime(2012, 4, 1, 23, 59, 59, 999_999, UTC)


def test_tenths_of_a_second_are_kept() -> None:
    assert tell("WV01_11JAN131652227-P1BS-10200100104A0300.ntf").sensing_start == datetime(
        2011, 1, 13, 16, 52, 22, 700_000, UTC
    )


@pytest.mark.parametrize(
    ("name", "found", "fact"),
    [
        (RENAMED.replace("145817_", "145818_"), "", ("vendor_time", "2009-12-06T14:58:17+00:00")),
        (RENAMED.replace("145817_", "145819_"), "time", ("vendor_time", "2009-12-06T14:58:17+00:00")),
        (RENAMED.replace("20091206145817", "20091207000000").replace("06145817-", "06235959-"), "", None),
        (DELIVERED.replace("06DEC09", "07DEC09"), "time", None),
        (DELIVERED.replace("06DEC09", "07DEC09").replace("06145817", "06235959"), "", None),
        (f"GE01_20120402000000_1153171_{GEOEYE}", "", None),
        (f"GE01_20120402000002_1153171_{GEOEYE}", "time", None),
        (f"GE01_20120401000000_1153172_{GEOEYE}", "catalog_id", None),
        (f"OV03_20120401000000_1153171_{GEOEYE}", "sensor", None),
        (f"01APR12WV0201000{GEOEYE}___GA_E0AAAAAAJABA0", "sensor", None),
        ("IK01_20010602215300_2001060221531300000010031227_po_387877_pan_0000000", "", None),
        ("IK01_20010602215500_2001060221531300000010031227_po_387877_pan_0000000", "time", None),
        (RENAMED.replace("WV02", "GE01"), "catalog_id", ("catalog_sensor", "WV02")),
        (RENAMED.replace("1030010002BB6200", "B110001102369000"), "catalog_id", ("catalog_sensor", "LG")),
        (RENAMED.replace("WV02", "LG04").replace("1030010002BB6200", "B110001102369000"), "", None),
        (RENAMED.replace("1030010002BB6200", "9990010002BB6200"), "", None),
        (RENAMED.replace("WV02", "WV03").replace("1030010002BB6200", "104A010002BB6200"), "catalog_id", None),
        (RENAMED.replace("P1BS", "A1BS"), "product", None),
        ("WV01_20150410052955_102001003A7E9A00_15APR10052955-M1BS-502788423060_01_P005", "product", None),
        (RENAMED.replace("145817_", "145819_").replace("WV02", "WV01"), "catalog_id time", None),
    ],
)
def test_parts_of_a_name_that_contradict_each_other_are_told(
    name: str, found: str, fact: tuple[str, str] | None
) -> None:
    details = tell(f"{name}.ntf").details
    assert details.get("contradictions", "") == found
    if fact:
        assert details[fact[0]] == fact[1]


@pytest.mark.parametrize(
    "name",
    [
        RENAMED.replace("20091206", "20091306"),
        RENAMED.replace("09DEC06", "09DEC32"),
        RENAMED.replace("20091206145817", "20091206246060"),
        RENAMED.replace("20091206", "00001206"),
        DELIVERED.replace("06DEC09", "00DEC09"),
        GEOEYE.replace("120401", "121301"),
        "IK01_1999132208040550000011606084_pan_1569N",
    ],
)
def test_an_impossible_date_or_time_is_refused_as_time(name: str) -> None:
    assert refusal(f"{name}.ntf").code == "time"


# ---------------------------------------------------------------------------------------------------------- units, keys


def test_an_image_has_one_key_however_it_was_renamed_and_another_under_another_order() -> None:
    copies = [tell(f"{stem}.ntf") for stem in (VENDOR, RENAMED, DELIVERED)]
    assert {strip_key(each) for each in copies} == {f"strip/{VENDOR}"}
    assert {family(each) for each in copies} == {"strip/09DEC06-P1BS-052869840050_01"}
    assert len({each.unit for each in copies}) == 3
    assert strip_key(tell(f"{VENDOR.replace('052869840050', '500060999100')}.ntf")) != strip_key(copies[0])
    geoeye = [tell(f"{stem}.ntf") for stem in (GEOEYE, f"GE01_{GEOEYE[2:]}", f"GE01_20120401000000_1153171_{GEOEYE}")]
    assert {strip_key(each) for each in geoeye} == {f"strip/{GEOEYE}"}
    assert len({family(each) for each in geoeye}) == 1


def test_tiles_of_an_image_and_what_stands_beside_them_are_one_unit_and_images_of_a_strip_one_family() -> None:
    tiled = VENDOR.replace("P1BS", "P1BS_R1C2")
    names = [f"{VENDOR}.XML", f"{VENDOR}-BROWSE.JPG", f"{VENDOR}_README.TXT", f"{VENDOR}.TAR", f"{tiled}.NTF"]
    names += [f"{VENDOR.replace('45817', '45819').replace('P002', 'P001')}.NTF", f"{tiled.replace('_R1', 'R1')}.TIF"]
    told = [tell(name) for name in names]
    assert {family(each) for each in told} == {"strip/09DEC06-P1BS-052869840050_01"}
    assert len({each.unit for each in told}) == 2 and told[5].unit != told[0].unit
    assert [each.role for each in told] == ["metadata", "browse", "document", "bundle", "data", "data", "data"]
    stems = [each.details["vendor_stem"] for each in told]
    assert stems[:5] == [VENDOR] * 5 and stems[5] != VENDOR and stems[6] == VENDOR
    assert told[4].details["granule_key"] == told[6].details["granule_key"] == f"strip/{tiled}"


@pytest.mark.parametrize(
    "other", ["09DEC06145817-M1BS-052869840050_01_P002", "09DEC06145817-P1BS-052869840050_02_P002"]
)
def test_other_bands_and_other_orders_are_other_units(other: str) -> None:
    assert tell(f"{other}.ntf").unit != tell(f"{VENDOR}.ntf").unit


def test_metadata_of_ikonos_serve_all_components() -> None:
    for before in ("", "IK01_20010602215300_2001060221531300000010031227_"):
        names = ("po_387877_metadata.txt", "po_387877_pan_0000000.tif", "po_387877_rgb_0010000_rpc.txt")
        told = [tell(before + name) for name in names]
        assert len({each.unit for each in told}) == 1
        assert {each.details["vendor_stem"] for each in told} == {"PO_387877"}
        assert [each.role for each in told] == ["metadata", "data", "metadata"]


def test_scenes_of_one_geoeye_strip_are_one_family_and_two_units() -> None:
    first, second = (tell(f"{GEOEYE.replace('00010027', part)}.ntf") for part in ("00010027", "00270052"))
    assert family(first) == family(second) and first.unit != second.unit and strip_key(first) != strip_key(second)


@pytest.mark.parametrize(
    ("tail", "role", "part_role"),
    [
        *((each, "data", "image") for each in (".ntf", ".NTF", ".NTF.NTF", ".nitf", ".tif", ".TIFF", ".jp2")),
        ("", "data", "untyped"),
        *((each, "metadata", "metadata") for each in (".xml", ".IMD", ".pvl", ".txt", "_metadata.txt")),
        *((".RPB", "metadata", "rpc"), ("_rpc.txt", "metadata", "rpc"), (".TIL", "metadata", "tiles")),
        *((".ATT", "metadata", "attitude"), (".EPH", "metadata", "ephemeris"), (".GEO", "metadata", "geometry")),
        *((".STE", "metadata", "stereo"), (".hdr", "metadata", "header"), ("-cmr.json", "metadata", "cmr")),
        *((".tar", "bundle", "bundle"), ("-BROWSE.JPG", "browse", "browse"), ("-thumb.jpg", "browse", "thumbnail")),
        *(("_README.TXT", "document", "readme"), ("_PIXEL_SHAPE.shp", "document", "shape")),
    ],
)
def test_what_follows_the_scene_tells_what_the_file_is_for(tail: str, role: str, part_role: str) -> None:
    identity = tell(f"{VENDOR}{tail}")
    assert (identity.role, identity.details["part_role"]) == (role, part_role)
    assert identity.role in ROLES


@pytest.mark.parametrize(
    "tail",
    ["_u08mr3413.tif", "_u16rf3413_pansh_ndvi.tif", ".r12.tif", "_sub10.adjusted_rpc.xml", ".tif.aux.xml", ".shp"],
)
def test_what_was_made_of_a_strip_stands_alone(tail: str) -> None:
    identity = tell(f"2011/{RENAMED}{tail}")
    assert (identity.unit, identity.role, identity.product_type) == ("", "data", "strip_derived")
    assert strip_key(identity) == f"strip/derived/{RENAMED}{tail}"
    assert (identity.sensor, family(identity)) == ("WV02", "")


@pytest.mark.req("N3")
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("052869840050_01_README.TXT", "order/052869840050_01"),
        ("052869840050_01_README.XML", "order/052869840050_01"),
        ("052869840050_01_LAYOUT.JPG", "order/052869840050_01"),
        ("052869840050_01_EOT.TXT", "order/052869840050_01"),
        ("052869840050_01.MAN", "order/052869840050_01"),
        ("GIS_FILES/052869840050_01_ORDER_SHAPE.shp", "order/052869840050_01"),
        (f"GIS_FILES/{VENDOR}_PIXEL_SHAPE.dbf", "order/052869840050_01"),
        ("052869840050_01_P002_PAN/NEXTVIEW.TXT", "order/052869840050_01_P002_PAN"),
        ("052869840050_01_P002_MUL/internal.txt", "order/052869840050_01_P002_MUL"),
        ("x/052869840050_01_003/DeliveryMetadata.xml", "order/052869840050_01_003"),
    ],
)
def test_documents_of_an_order_are_one_unit_of_their_folder(name: str, key: str) -> None:
    identity = ordered(f"052869840050_01/{name}")
    assert (identity.role, identity.product_type, identity.sensor) == ("document", "strip_order", "strip")
    assert identity.unit == strip_key(identity) == key
    assert identity.details["order"] == "052869840050_01"


def test_licences_that_are_called_alike_do_not_take_each_others_place() -> None:
    names = [f"052869840050_01/052869840050_01_P002_{part}/NEXTVIEW.TXT" for part in ("PAN", "MUL")]
    first, second = (storage_path(MAXAR, name, ordered(name), None, "opaque") for name in names)
    assert first != second


def test_a_readme_of_a_scene_that_comes_alone_does_not_pass_for_its_image() -> None:
    assert strip_key(ordered(f"{VENDOR}_README.TXT")) == f"order/052869840050_01/{VENDOR}"


def test_folders_before_a_name_say_nothing_but_for_files_that_are_called_alike() -> None:
    assert tell(f"/WV99/{RENAMED}.ntf"[1:]) == tell(f"{RENAMED}.ntf")
    assert "outside its order folder" in refusal("WV02/NEXTVIEW.TXT", ordered).detail


def test_a_strip_stands_under_sensor_level_day_and_strip() -> None:
    name = f"in/{RENAMED}.ntf"
    assert storage_path(NGA, name, tell(name), None, "nitf") == (
        f"nga/WV02/1B/2009/340/WV02_1030010002BB6200_P1BS_052869840050_01/{RENAMED}.ntf"
    )
    name = f"052869840050_01_P002_PAN/{VENDOR}.NTF"
    assert storage_path(MAXAR, name, ordered(name), None, "nitf") == (
        f"maxar/strip/1B/2009/340/052869840050_01/{VENDOR}.NTF"
    )


# -------------------------------------------------------------------------------------------------------------- refusal


@pytest.mark.req("N3")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("WV02_20100804_1030010006A15800.ntf", "expected the sensing time (YYYYMMDDHHMMSS) and '_'"),
        (f"{RENAMED}.zip", "'.zip' is the ending of no file of a strip"),
        (f"{RENAMED}.ntf.gz", "'.gz' is the ending of no file of a strip"),
        (f"{RENAMED} (1).ntf", "behind the scene expected letters and digits after '_', '-' or '.', found ' (1)'"),
        (
            f"XX99{RENAMED[4:]}.ntf",
            "sensor XX99 has no product P1BS: add it under sensors of catalogue/products/strip_pan",
        ),
        (
            f"{VENDOR.replace('P1BS', 'Q1BS')}.ntf",
            "product id Q1BS is in no product type of source nga: add it under letters",
        ),
        (f"{VENDOR.replace('P1BS', 'PBS1')}.ntf", "product id PBS1"),
        (f"{VENDOR.replace('DEC', 'DEZ')}.ntf", "expected"),
        (f"{VENDOR}7.ntf", "expected the part (P and 3 digits), found 'P0027.ntf'"),
        (RENAMED.replace("103001", "103O01"), "expected a catalog id (16 hex digits or a UUID)"),
        (DELIVERED.replace("WV02", "0V05"), "expected a sensor (two letters and two digits)"),
        (f"{VENDOR.replace('1', '１', 1)}.ntf", "expected"),
        ("GE01_1B__BOTH.txt", "found '1B__BOTH.txt'"),
        ("052869840050_01_README.TXT", "not a strip name"),
    ],
)
def test_a_name_that_does_not_fit_is_refused_with_the_part_that_is_wrong(name: str, reason: str) -> None:
    error = refusal(name)
    assert error.code == "unrecognised"
    assert reason in error.detail


def test_an_image_is_no_document_of_an_order() -> None:
    assert "an order's own files are documents, this is image" in refusal("052869840050_01.tif", ordered).detail


def test_an_archives_own_names_are_none_of_a_vendor() -> None:
    assert refusal(f"{RENAMED}.ntf", ordered).code == "unrecognised"
    assert identify_any(f"{RENAMED}.ntf", CATALOGUE)[0] == "nga"
    assert identify_any(f"{VENDOR}.ntf", CATALOGUE)[0] == "maxar"


WORD = st.one_of(
    st.sampled_from(
        [
            *("WV02", "20091206145817", "1030010002BB6200", "09DEC06145817", "P1BS", "R1C1", "052869840050_01", "P002"),
            *(
                "06DEC09WV0205000",
                "AAE_0AAAAABPABJ0",
                GEOEYE,
                "po",
                "387877",
                "pan",
                "0000000",
                ".ntf",
                ".NTF.NTF",
                "BROWSE",
            ),
            *("1999122208040550000011606084", "1569N", "README", "ſ", "１", "\ud800", "\x00", "…"),
        ]
    ),
    st.from_regex(r"[0-9]{1,28}|[A-Z]{1,4}[0-9]{0,3}", fullmatch=True),
    st.text(max_size=6),
)
WILD = st.lists(st.tuples(WORD, st.sampled_from(["", "_", "-", ".", "/", "__"])), max_size=12).map(
    lambda pairs: "".join(word + sign for word, sign in pairs)
)


@given(WILD, st.sampled_from([NGA, MAXAR]))
@example(f"{DELIVERED}.NTF", NGA)
@example("052869840050_01/NEXTVIEW.TXT", MAXAR)
def test_whatever_the_name_it_is_identified_or_refused_with_a_known_code(name: str, source: Any) -> None:
    try:
        identity = identify(name, source, CATALOGUE)
    except DataError as error:
        assert error.code in {"unrecognised", "name", "time"}
        assert error.detail.isprintable()
    else:
        kind = CATALOGUE.product_type(identity.product_type)
        assert kind in CATALOGUE.types_of(source)
        assert identity.sensor in (kind.sensor, *kind.sensors)
        assert identity.role in ROLES and identity.details["vendor_id"] and strip_key(identity)
        assert bool(identity.unit) == (identity.product_type != "strip_derived")


@given(
    moment=st.datetimes(datetime(1999, 9, 24), datetime(2089, 12, 31)),  # noqa: DTZ001 — made aware below
    sensor=st.sampled_from(["GE01", "IK01", "OV03", "QB02", "WV01", "WV02", "WV03", "WV04", "LG06"]),
    catalog=st.from_regex(r"[0-9A-F]{16}", fullmatch=True),
    code=st.from_regex(r"[PMSACX][1-9][A-Z][A-Z0-9]", fullmatch=True),
    tile=st.one_of(st.just(""), st.from_regex(r"_R[1-9]C[1-9][0-9]?", fullmatch=True)),
    order=st.from_regex(r"[0-9]{12}_[0-9]{2}_P[0-9]{3}", fullmatch=True),
)
def test_what_an_archive_puts_into_a_name_is_what_we_read(
    moment: datetime, sensor: str, catalog: str, code: str, tile: str, order: str
) -> None:
    stamp = f"{moment:%y}{MONTHS[moment.month - 1]}{moment:%d%H%M%S}"
    identity = tell(f"{sensor}_{moment:%Y%m%d%H%M%S}_{catalog}_{stamp}-{code}{tile}-{order}.ntf")
    details = identity.details
    assert (identity.form, identity.sensor, identity.products) == ("renamed_dg", sensor, (code,))
    assert (details["catalog_id"], details["order_id"], details.get("tile", "")) == (catalog, order, tile[1:])
    assert identity.sensing_start == moment.replace(microsecond=0, tzinfo=UTC)
    assert "time" not in details.get("contradictions", "")


def test_a_long_hostile_name_costs_no_time() -> None:
    hostile = [
        *(
            DELIVERED + "_" * 100_000,
            "06DEC09WV0205000" + "A_" * 50_000,
            "06DEC09WV0205000" + "AAE_0AAAAABPABJ" * 9_999,
        ),
        *(VENDOR + "_A" * 50_000 + "!", VENDOR + ".ntf" * 30_000 + "x", "WV02_" * 30_000, "po_387877_" + "a" * 100_000),
    ]
    began = time.process_time()
    for name in hostile:
        for grammar in ("nga", "maxar"):
            with suppress(DataError):
                read_strip(name, grammar)
    assert time.process_time() - began < 1


# ---------------------------------------------------------------------------------------------------------- real names


def real_names() -> list[str]:
    file = CORPUS / "names" / "maxar_dev.txt"
    lines = file.read_text().splitlines() if file.is_file() else []
    return [line.partition("\t")[0].strip("/ ") for line in lines if line and not line.startswith("#")]


def shown(base: str) -> dict[str, object]:
    """What can be seen in a name without any grammar: its longest runs of a known shape."""
    seen: dict[str, object] = {}
    if match := re.search(
        r"(?:^|_)(\d{2})([A-Z]{3})(\d{2})(\d{6})\d?-([A-Z]\d[A-Z]{2})", base[0:4].replace("_", "x") + base[4:]
    ):
        seen["product"] = match[5]
        clock = f"20{match[1]}-{MONTHS.index(match[2]) + 1:02}-{match[3]} {match[4]}"
        seen["stamp"] = datetime.strptime(clock, "%Y-%m-%d %H%M%S").replace(tzinfo=UTC)
    if re.match(r"[A-Z]{2}\d\d_", base):
        seen["sensor"] = base[:4]
    second = base.split("_")[1] if "_" in base else ""
    if len(second) == 14 and second.isdigit():
        seen["renamed"] = datetime.strptime(second, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        seen["catalog"] = base.split("_")[2]
    elif re.search(r"-[0-9A-F]{16}", base):
        seen["catalog"] = re.findall(r"-([0-9A-F]{16})", base)[0]
    if match := re.search(r"-(\d{12}_\d\d_P\d{3})", base):
        seen["order"] = match[1]
    return seen


@pytest.mark.req("N3")
@needs_corpus
def test_of_the_real_names_at_least_95_in_100_are_identified_and_none_wrongly() -> None:
    names, told = real_names(), {}
    for name in names:
        try:
            told[name] = identify_any(name, CATALOGUE)[1]
        except DataError as error:
            assert error.code == "unrecognised" and error.detail, name
        else:
            assert identify_any(name.rpartition("/")[2], CATALOGUE)[1] == told[name]
    assert len(told) >= 0.95 * len(names)
    for name, identity in told.items():
        base = name.rpartition("/")[2]
        seen, details = shown(base), identity.details
        assert seen, name
        assert seen.get("sensor", identity.sensor) == identity.sensor
        assert seen.get("product") in (None, *identity.products)
        assert seen.get("catalog") == details.get("catalog_id") or identity.form.endswith(("_ge2", "_ik2"))
        assert seen.get("order", details.get("order_id")) == details.get("order_id")
        start = identity.sensing_start
        assert start is not None
        assert start.replace(microsecond=0) == seen.get("renamed", seen.get("stamp", start.replace(microsecond=0))), (
            name
        )
        image = re.fullmatch(r"[^.]*(\.(ntf|tif))?(\.ntf)?", base, re.IGNORECASE) and not re.search(
            r"_[a-z]\w*\.", base
        )
        assert (identity.unit != "" and identity.role == "data") == bool(image), name


@needs_corpus
def test_strip_folders_of_a_real_archive_are_our_strips() -> None:
    """Its folders say X where we say which bands."""
    for name in real_names():
        match = re.fullmatch(r"css/nga/(\w+)/(\w+)/(\d+)/(\d+)/([^/]+)/([^/]+)", name)
        if match:
            identity = tell(name)
            path = storage_path(NGA, name, identity, None, "").split("/")
            strip = match[5].replace("_X", f"_{identity.products[0][0]}")
            assert path == ["nga", match[1], match[2], match[3], match[4], strip, match[6]]


def records() -> list[Path]:
    return sorted((CORPUS / "cmr_ummg_maxar").glob("*.json"))


@needs_corpus
@pytest.mark.parametrize("file", records(), ids=lambda file: file.name[:30])
def test_a_record_in_nasas_catalogue_agrees_with_what_its_names_tell(file: Path) -> None:
    record = json.loads(file.read_text())
    identity = tell(file.name)
    assert identity.details["scene_id"] == record["GranuleUR"]
    sensor, bands, level = record["CollectionReference"]["ShortName"].split("_")
    assert (identity.sensor, "L" + identity.details["level"]) == (sensor, level)
    assert identity.product_type == {"Pan": "strip_pan", "MSI": "strip_msi"}[bands]
    taken = datetime.fromisoformat(record["TemporalExtent"]["SingleDateTime"])
    assert identity.sensing_start is not None
    assert timedelta(0) <= taken - identity.sensing_start < timedelta(seconds=1)
    assert record["Platforms"][0]["ShortName"] == f"WORLDVIEW-{sensor[-1]}"
    names = [each["Name"] for each in record["DataGranule"]["ArchiveAndDistributionInformation"]]
    names += [each["URL"].rpartition("/")[2] for each in record["RelatedUrls"]]
    assert {tell(name).unit for name in names} == {identity.unit}
    assert {strip_key(tell(name)) for name in names} == {strip_key(identity)}
