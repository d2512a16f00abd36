"""What makes a raster bad, and what does not: the decision alone, without files."""

from __future__ import annotations

from typing import Any

import pytest

from orbitory.rasters.judging import CODES, Expected, Verdict, judge
from orbitory.rasters.sight import ImageSight, Sight, unpacked

FACTS = {"columns": 64, "rows": 48, "bands": 1, "footprint_source": "raster", "ref_height": 95.0}


def expected(**changes: Any) -> Expected:
    told: dict[str, Any] = {
        "name": "a/strip.ntf",
        "kind": "nitf",
        "size": 1000,
        "strip": True,
        "located": True,
        "search": FACTS,
    }
    return Expected(**{**told, **changes})


def sight(**changes: Any) -> Sight:
    image = {"columns": 64, "rows": 48, "bands": 1, "placed": True}
    image |= {name: changes.pop(name) for name in list(changes) if name in image}
    return Sight(**{"kind": "nitf", "images": (ImageSight(**image),), **changes})


def codes(wanted: Expected, seen: Sight) -> tuple[str, list[str]]:
    verdict, findings = judge(wanted, seen)
    return verdict.value, [finding.code for finding in findings]


def test_an_image_that_is_as_its_metadata_say_is_good() -> None:
    assert judge(expected(), sight()) == (Verdict.GOOD, ())


@pytest.mark.req("N7")
@pytest.mark.parametrize(
    ("seen", "code"),
    [
        ({"columns": 65}, "dimensions"),
        ({"rows": 47}, "dimensions"),
        ({"bands": 4}, "bands"),
        ({"placed": False}, "georeference"),
        ({"blank": "declared"}, "nodata"),
        ({"blank": "zero"}, "nodata"),
        ({"kind": "geotiff"}, "driver"),
        ({"size": 999}, "size"),
        ({"problems": (("decode", "tile 7"),)}, "decode"),
        ({"problems": (("nonsense from a parser that was taken over", ""),)}, "unreadable"),
    ],
)
def test_what_speaks_against_an_image_makes_it_bad(seen: dict[str, Any], code: str) -> None:
    assert codes(expected(), sight(**seen)) == ("bad", [code])
    assert code in CODES


def test_polynomials_beside_an_image_place_it_unless_it_placed_itself_before() -> None:
    beside = expected(search={**FACTS, "footprint_source": "corners"})
    assert codes(beside, sight(placed=False)) == ("good", [])
    alone = expected(search={"footprint_source": "corners", "columns": 64, "rows": 48})
    assert codes(alone, sight(placed=False)) == ("bad", ["georeference"])
    assert codes(expected(sibling=True), sight(placed=False)) == ("good", []), "its twin places it"


def test_pictures_that_are_no_strips_need_no_place_and_may_be_black() -> None:
    picture = expected(strip=False, located=False, kind="png", search={})
    assert codes(picture, sight(kind="png", placed=False, blank="zero")) == ("good", [])
    assert codes(picture, sight(kind="png", blank="declared")) == ("bad", ["nodata"])
    placed = expected(strip=False, located=True, kind="png", search={})
    assert codes(placed, sight(kind="png", placed=False)) == ("bad", ["georeference"])


def test_what_our_libraries_do_not_read_is_neither_good_nor_bad() -> None:
    assert codes(expected(), Sight(kind="nitf", unsupported=("codec JXL",))) == ("unsupported", ["unsupported"])
    mixed = sight(unsupported=("codec JXL",), problems=(("decode", "tile 7"),))
    assert codes(expected(), mixed) == ("bad", ["decode", "unsupported"])
    assert codes(expected(), Sight(kind="nitf")) == ("no_raster", ["no_raster"])


def test_a_raster_that_was_not_read_as_far_as_its_mode_says_is_not_called_good() -> None:
    assert codes(expected(), sight(partly=True)) == ("unsupported", ["not_fully_read"])


def test_metadata_that_spoke_of_another_size_at_ingest_are_told_again_for_their_image_alone() -> None:
    own = {"code": "size_mismatch", "reason": "64 x 48 pixels, by its metadata 64 x 60"}
    other = {"code": "size_mismatch", "reason": "09DEC.ntf: 64 x 48 pixels, by its metadata 64 x 60"}
    assert codes(expected(told=(own,)), sight()) == ("bad", ["dimensions"])
    assert codes(expected(told=(other,)), sight()) == ("good", [])
    assert codes(expected(told=(own,), main=False), sight()) == ("good", [])
    tile = expected(name="x/09DEC.ntf", told=(other,), main=False)
    assert codes(tile, sight()) == ("bad", ["dimensions"])


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"\xff", b'{"kind": 7}', sight().packed()[:-1], sight(blank="\0").packed()]
)
def test_an_answer_that_makes_no_sense_is_none(data: bytes) -> None:
    assert unpacked(data) is None
    assert unpacked(sight().packed()) == sight()
