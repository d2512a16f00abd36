"""Storage paths come from a template and a safe alphabet; distinct names never meet."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from orbitory.catalogue import Source, load
from orbitory.definitions import STORAGE_VARIABLES
from orbitory.layout import MAX_SEGMENT_BYTES, safe_segment, storage_path
from orbitory.model import Identity
from orbitory.names import identify
from orbitory.settings import CHECKOUT

CATALOGUE = load(CHECKOUT / "include" / "catalogue")
IDPS, CORRELATIVE = CATALOGUE.source("idps"), CATALOGUE.source("correlative")
ANYTHING = identify("x", CORRELATIVE, CATALOGUE)
PACKED = "GMODO-SVM01_npp_d20131114_t0010303_e0011545_b10607_c20131114064119981830_noaa_ops.h5"


def with_template(template: str) -> Source:
    return CORRELATIVE.model_copy(update={"storage": template})


def path(name: str) -> str:
    return storage_path(CORRELATIVE, name, ANYTHING, None, "hdf5")


def test_a_granule_stands_under_source_platform_product_year_and_day() -> None:
    identity = identify(PACKED, IDPS, CATALOGUE)
    assert storage_path(IDPS, PACKED, identity, None, "hdf5") == f"idps/NPP/GMODO-SVM01/2013/318/{PACKED}"


def test_the_time_found_in_the_file_goes_before_the_one_in_its_name() -> None:
    identity = identify(PACKED, IDPS, CATALOGUE)
    start = datetime(2014, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert "/2013/365/" in storage_path(IDPS, PACKED, identity, start, "hdf5")


def test_a_correlative_file_stands_under_its_kind_and_folder() -> None:
    assert path("station/2013/ozone.h5") == "correlative/hdf5/station/2013/ozone.h5"
    assert path("ozone.h5") == "correlative/hdf5/ozone.h5"


def test_a_file_without_time_is_undated() -> None:
    assert storage_path(IDPS, "x.h5", ANYTHING, None, "hdf5") == "idps/undated/x.h5"


def test_a_part_that_the_name_does_not_tell_is_left_out() -> None:
    identity = identify(PACKED, IDPS, CATALOGUE)
    source = with_template("{sensor}/{level}/{strip}/{name}")
    assert storage_path(source, PACKED, identity, None, "hdf5") == f"VIIRS/{PACKED}"


def test_a_strip_stands_under_its_sensor_level_and_strip_else_its_order() -> None:
    nga, source = CATALOGUE.source("nga"), with_template("{sensor}/{level}/{strip}/{name}")
    vendor = "09DEC06145817-P1BS-052869840050_01_P002.NTF"
    renamed = f"WV02_20091206145817_1030010002BB6200_{vendor}"
    strips = {renamed: "WV02/1B/WV02_1030010002BB6200_P1BS_052869840050_01", vendor: "strip/1B/052869840050_01"}
    for name, place in strips.items():
        assert storage_path(source, name, identify(name, nga, CATALOGUE), None, "nitf") == f"{place}/{name}"


def test_every_variable_that_a_template_may_name_is_filled() -> None:
    identity = identify(PACKED, IDPS, CATALOGUE)
    template = "/".join(f"{{{name}}}" for name in STORAGE_VARIABLES)
    start = datetime(2013, 2, 3, tzinfo=UTC)
    assert storage_path(with_template(template), f"in/{PACKED}", identity, start, "hdf5") == (
        f"correlative/NPP/VIIRS/GMODO-SVM01/2013/034/02/03/hdf5/in/{PACKED}"
    )


@pytest.mark.parametrize(
    "name",
    [
        "-rf.h5",
        "a b.h5",
        "a\nb.h5",
        "$(id).h5",
        "'; DROP TABLE granule;--.h5",
        ".hidden",
        "é.h5",
        "e\u0301.h5",
        "\u202etxt.h5",
    ],
)
def test_a_strange_name_becomes_a_plain_one_with_a_mark(name: str) -> None:
    assert re.fullmatch(r"correlative/hdf5/[A-Za-z0-9_+][A-Za-z0-9._+-]*-[0-9a-f]{16}(\.h5)?", path(name))


def test_names_that_differ_only_in_what_is_replaced_stay_apart() -> None:
    twins = ["a b.h5", "a?b.h5", "a_b.h5", "é.h5", "e\u0301.h5", "A b.h5", "a b/x.h5", "a_b/x.h5"]
    assert len({path(name) for name in twins}) == len(twins)


def test_a_name_cannot_take_the_place_that_another_was_given() -> None:
    stolen = path("a b.h5").rpartition("/")[2]
    assert path(stolen) != path("a b.h5")


def test_a_traversal_leads_nowhere() -> None:
    for name in ("../../etc/passwd", "/etc/passwd", "a/../../b", "./x", "..", "..."):
        parts = path(name).split("/")
        assert parts[:2] == ["correlative", "hdf5"]
        assert not {"", ".", ".."} & set(parts)


def test_a_name_is_shortened_to_what_file_systems_take_and_keeps_its_ending() -> None:
    long = safe_segment("x" * 500 + ".h5")
    assert len(long) == MAX_SEGMENT_BYTES
    assert long.endswith(".h5")
    assert long != safe_segment("x" * 501 + ".h5")


SEGMENT = st.text(min_size=1, max_size=260).filter(lambda text: "/" not in text)


@given(SEGMENT)
@example("." * 250)
@example("\ud800.h5")
def test_a_segment_is_always_plain_short_and_stable(text: str) -> None:
    safe = safe_segment(text)
    assert re.fullmatch(r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,199}", safe)
    assert safe == safe_segment(text)


@given(SEGMENT, SEGMENT)
def test_distinct_segments_stay_distinct(first: str, second: str) -> None:
    assume(first != second)
    assert safe_segment(first) != safe_segment(second)


@given(st.text(min_size=1, max_size=30))
def test_a_name_made_from_another_ones_path_is_told_apart(text: str) -> None:
    assume("/" not in text)
    safe = safe_segment(text)
    if safe != text:
        assert safe_segment(safe) != safe


@given(st.lists(SEGMENT, min_size=1, max_size=4).map("/".join))
def test_a_path_stays_below_its_source(name: str) -> None:
    identity = Identity(form="any", product_type="correlative", products=(), sensor="correlative")
    parts = storage_path(CORRELATIVE, name, identity, None, "opaque").split("/")
    assert parts[:2] == ["correlative", "opaque"]
    assert len(parts) == 3 + name.count("/")
