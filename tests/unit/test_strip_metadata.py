"""Metadata of strips: every notation, every unit, and nothing partial passes for whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpus import CORPUS, needs_corpus
from orbitory.errors import DataError
from orbitory.extract.strips import imagery_xml, pvl, records
from orbitory.extract.strips.strip_facts import Described, describe, read_metadata, sensor_of
from strip_samples import GEOEYE, imd, rpb, xml

REAL = CORPUS / "dg_metadata"
IKONOS = "md_ge_metadata.txt"


def described(data: bytes, **how: str) -> Described:
    return describe(read_metadata(data), **how)


def codes(found: Described) -> list[str]:
    return [finding.code for finding in found.findings]


def refusal(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        described(data)
    return caught.value.code


# --- what real files say ----------------------------------------------------------------------------------------------


@needs_corpus
def test_a_real_imd_is_read() -> None:
    facts = described((REAL / "md_dg.IMD").read_bytes()).facts
    assert (facts.sensor, facts.cloudcover, facts.columns, facts.rows) == ("WV03", 0.027, 50, 50)
    assert facts.acq_time == datetime(2010, 4, 1, 12, tzinfo=UTC)
    assert facts.generation_time == datetime(2015, 1, 1, tzinfo=UTC)
    assert (facts.prod_short, facts.bits_pixel, facts.spec_type) == ("2A", 16, "Multispectral")
    assert facts.catalog_id is None, "made of zeros alone it identifies nothing"


@needs_corpus
def test_a_real_rpb_tells_the_box_and_height_of_the_polynomials() -> None:
    rational = read_metadata((REAL / "md_dg.RPB").read_bytes())
    found = describe(read_metadata((REAL / "md_dg.IMD").read_bytes()), polynomials=rational)
    assert found.facts.ref_height == 95
    assert found.box == pytest.approx((12.5573, 41.8641, 12.6023, 41.8941))


@needs_corpus
@pytest.mark.parametrize(("component", "cloud"), [("0000000", 0.02), ("0010000", 0.03)])
def test_a_text_about_several_images_is_read_for_the_one_that_is_meant(component: str, cloud: float) -> None:
    found = described((REAL / IKONOS).read_bytes(), image=component)
    assert found.facts.cloudcover == pytest.approx(cloud), "per cent of the component, as a fraction"
    assert (found.facts.sensor, found.facts.acq_precision_s) == ("IK01", 60)
    assert "several_images" not in codes(found)


@needs_corpus
def test_a_text_about_several_images_and_not_this_one_says_so() -> None:
    assert "several_images" in codes(described((REAL / IKONOS).read_bytes(), image="0770000"))


def test_pvl_of_geoeye_is_read_in_its_units() -> None:
    facts = described(GEOEYE.encode()).facts
    assert (facts.sensor, facts.cloudcover, facts.off_nadir) == ("GE01", 0.16, 26.5)
    assert (facts.columns, facts.rows, facts.spec_type) == (64, 64, "Panchromatic")


@pytest.mark.parametrize("namespace", ["", "http://xsd.digitalglobe.com/xsd/isd"])
def test_xml_tells_what_the_imd_tells_with_or_without_namespace(namespace: str) -> None:
    as_xml, as_imd = described(xml(namespace=namespace)), described(imd())
    same = ("catalog_id", "order_id", "sensor", "acq_time", "cloudcover", "sun_elev", "off_nadir", "rows", "tdi")
    assert [getattr(as_xml.facts, name) for name in same] == [getattr(as_imd.facts, name) for name in same]
    assert as_xml.ring == as_imd.ring == ([32.9, 33.1, 33.1, 32.9], [40.1, 40.1, 39.9, 39.9])


# --- cut off ----------------------------------------------------------------------------------------------------------


def wholes() -> list[tuple[str, bytes]]:
    made = [("imd", imd()), ("xml", xml()), ("rpb", rpb()), ("geoeye", GEOEYE.encode())]
    real = ("md_dg.IMD", "md_dg.RPB", "testtil.imd", "testtil.til", IKONOS)
    return made + [(name, (REAL / name).read_bytes()) for name in real if (REAL / name).is_file()]


@pytest.mark.parametrize(("name", "whole"), wholes(), ids=lambda value: value if isinstance(value, str) else "")
def test_cut_off_anywhere_it_is_refused_or_still_whole_or_says_so(name: str, whole: bytes) -> None:
    complete = read_metadata(whole)
    for end in range(len(whole)):
        try:
            found = read_metadata(whole[:end])
        except DataError as error:
            assert error.code == "metadata"
        else:
            assert found == complete or not found.complete, f"{end} of {len(whole)} bytes"


def test_a_text_that_may_be_cut_off_is_marked() -> None:
    text = (REAL / IKONOS).read_bytes() if REAL.is_dir() else b""
    if text:
        assert "no_end_mark" not in codes(described(text))
        assert "no_end_mark" in codes(described(text.rstrip().rstrip(b"=")))


@pytest.mark.parametrize(
    "data",
    [b"", b"\0\0\0", b"hello", b"END;", b"a = (1, 2;\nEND;", b'a = "x\nEND;', b"BEGIN_GROUP = A\nEND;", b"<isd/>"],
)
def test_what_is_no_metadata_is_refused(data: bytes) -> None:
    assert refusal(data) == "metadata"


# --- hostile ----------------------------------------------------------------------------------------------------------

BOMB = b'<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]><isd><IMD><A>&y;</A></IMD></isd>'


@pytest.mark.fault("F36", how="entities, DTD, depth, size")
@pytest.mark.parametrize(
    "data",
    [
        BOMB,
        b'<?xml version="1.0"?>' + BOMB,
        b'<!DOCTYPE isd SYSTEM "file:///etc/passwd"><isd><IMD/></isd>',
        BOMB.decode().encode("utf-16"),
        b"<isd><IMD>" + b"<A>" * 100 + b"</A>" * 100 + b"</IMD></isd>",
        b"<isd><IMD>" + b"<A>1</A>" * (records.ENTRY_LIMIT + 1) + b"</IMD></isd>",
        b"<isd>" + b" " * imagery_xml.SIZE_LIMIT + b"</isd>",
        b"a = 1;\n" * (records.ENTRY_LIMIT + 1) + b"END;",
        b"BEGIN_GROUP = A\n" * 100 + b"END;",
        b"a = " + b"(" * 100 + b";\nEND;",
        b" " * (pvl.SIZE_LIMIT + 1),
    ],
    ids=range(11),
)
def test_what_exceeds_the_limits_or_brings_entities_is_refused_by_policy(data: bytes) -> None:
    assert refusal(data) == "policy"


def test_undeclared_entities_are_damage() -> None:
    assert refusal(b"<isd><IMD><A>&x;</A></IMD></isd>") == "metadata"


def flipped(whole: bytes) -> st.SearchStrategy[bytes]:
    places = st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), min_size=1, max_size=12)

    def change(at: list[tuple[int, int]]) -> bytes:
        damaged = bytearray(whole)
        for place, value in at:
            damaged[place] = value
        return bytes(damaged)

    return places.map(change)


@settings(max_examples=400, deadline=None)
@given(st.one_of([flipped(whole) for _, whole in wholes()] + [st.binary(max_size=300)]))
@example(b'a = "' + b" " * 1000)
@example(b"\xff\xfe<\0")
def test_damage_never_gives_anything_but_facts_or_a_refusal(data: bytes) -> None:
    try:
        found = described(data)
    except DataError as error:
        assert error.code in ("metadata", "policy")
    else:
        told = json.dumps(found.facts.search(), allow_nan=False)
        assert "\\u0000" not in told
        assert found.facts.cloudcover is None or 0 <= found.facts.cloudcover <= 1


# --- quantities -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cloud", "fraction"), [("0.05", 0.05), ("0", 0.0), ("1", 1.0), ("-999", None), ("-999.0", None)]
)
def test_cloud_cover_of_digitalglobe_is_a_fraction_or_unknown(cloud: str, fraction: float | None) -> None:
    found = described(imd(cloud=cloud))
    assert found.facts.cloudcover == fraction
    assert codes(found) == []


@pytest.mark.parametrize("cloud", ["45", "5 percent", "nan", "1e999", "-0.1", "half"])
def test_cloud_cover_in_another_unit_is_left_out_and_reported(cloud: str) -> None:
    found = described(imd(cloud=cloud))
    assert found.facts.cloudcover is None
    assert "cloudcover" in found.findings[0].reason
    assert codes(found) == ["bad_value"]


@pytest.mark.parametrize("time", ["1958-01-01T00:00:00Z", "2014-13-01T00:00:00Z", "yesterday", "2014-02-30T00:00:00Z"])
def test_a_time_that_cannot_be_is_left_out_and_reported(time: str) -> None:
    found = described(imd(time=time))
    assert found.facts.acq_time is None
    assert codes(found) == ["bad_value"]


def test_a_leap_second_is_read() -> None:
    at = described(imd(time="2016-12-31T23:59:60.500000Z")).facts.acq_time
    assert at == datetime(2016, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def test_what_searches_expect_and_is_not_told_is_reported_once() -> None:
    text = imd().replace(b"meanSunEl", b"meanSunX").replace(b"numRows", b"numR")
    found = described(text)
    assert codes(found) == ["missing_attribute"]
    assert found.findings[0].reason.endswith("sun_elev, rows")


def test_a_catalog_id_of_another_satellite_is_reported() -> None:
    assert codes(described(imd(sensor="WV02"))) == ["bad_value"]


@pytest.mark.parametrize(
    ("catalog", "sensor"),
    [
        *(("1010010002BB6200", "QB02"), ("1020010009B33500", "WV01"), ("104A01000A704D00", "WV03")),
        *(("B110001102369000", "LG"), ("96ab7d16-35d6-4a6d-9d9e-7b6d8b63e7ae-inv", ""), ("2005031920171340000011", "")),
    ],
)
def test_a_catalog_id_tells_its_satellite_where_its_era_does(catalog: str, sensor: str) -> None:
    assert sensor_of(catalog) == sensor
