"""Where a strip's name and its metadata disagree, and where the image lies."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import shapely

from orbitory.errors import DataError
from orbitory.extract.nitf import ImageSegment, corner_ring
from orbitory.extract.strips.facts import Ring, StripFacts
from orbitory.extract.strips.images import Image
from orbitory.extract.strips.name_checks import name_findings
from orbitory.extract.strips.placement import Place, place
from orbitory.extract.strips.strip_facts import Described, describe, read_metadata
from orbitory.footprint import Footprint, from_ring
from orbitory.model import Finding
from strip_samples import SCENE, TILED, VENDOR, imd, named, xml

AT = datetime(2014, 8, 24, 8, 28, 14, 872450, tzinfo=UTC)
FACTS = describe(read_metadata(imd())).facts
GEOEYE = "GE01_20220412012140_105001002B1B4700_22APR12012140-P1BS-507956386020_01_P001.ntf"


def told(name: str, facts: StripFacts) -> str:
    """Codes and reasons of what is found."""
    return " ".join(f"{finding.code}: {finding.reason}" for finding in name_findings(named(name), facts))


@pytest.mark.parametrize(
    "name", [f"{SCENE}.ntf", f"{VENDOR}.tif", f"24AUG14WV030000{VENDOR}_________AAE_0AAAAABPABJ0.ntf"]
)
def test_a_name_that_agrees_gives_no_finding(name: str) -> None:
    assert told(name, FACTS) == ""


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"catalog_id": "10400100012AD9FF"}, "catalog id"),
        ({"sensor": "WV02"}, "sensor"),
        ({"order_id": "504548417070_01_P002"}, "order"),
        ({"acq_time": AT + timedelta(seconds=30)}, "time"),
        ({"prod_short": "2A"}, "level"),
        ({"spec_type": "Multispectral"}, "spectrum"),
    ],
)
def test_one_contradiction_is_a_finding_and_no_rejection(changes: dict[str, object], word: str) -> None:
    found = told(f"{SCENE}.ntf", replace(FACTS, **changes))  # type: ignore[arg-type]
    assert found.startswith(f"name_content_mismatch: {word}: ")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (f"{SCENE}.ntf", {"catalog_id": "10400100012AD9FF", "acq_time": AT + timedelta(days=1)}),
        (f"{VENDOR}.ntf", {"order_id": "504548417099_01_P001", "acq_time": AT + timedelta(days=1)}),
    ],
)
def test_metadata_of_quite_another_image_are_none_of_this_one(name: str, changes: dict[str, object]) -> None:
    with pytest.raises(DataError, match="another image") as caught:
        told(name, replace(FACTS, **changes))  # type: ignore[arg-type]
    assert caught.value.code == "metadata"


@pytest.mark.parametrize(
    ("name", "seconds", "quiet"),
    [
        (f"{SCENE}.ntf", 1, True),
        (f"{SCENE}.ntf", 4, False),
        (GEOEYE, 21, True),
        (GEOEYE, 40, False),
        (f"{TILED.format(tile='R4C1')}.ntf", 90, True),
        (f"{TILED.format(tile='R4C1')}.ntf", 900, False),
    ],
)
def test_times_may_differ_as_far_as_real_ones_do(name: str, seconds: int, quiet: bool) -> None:
    identity = named(name)
    assert identity.sensing_start is not None
    facts = StripFacts(acq_time=identity.sensing_start + timedelta(seconds=seconds))
    assert (name_findings(identity, facts) == []) == quiet


def test_ids_of_different_eras_are_not_compared() -> None:
    assert told(f"{SCENE}.ntf", replace(FACTS, catalog_id="2005031920171340000011627450")) == ""


# --- place ------------------------------------------------------------------------------------------------------------

HERE: Ring = ([32.9, 33.1, 33.1, 32.9], [40.1, 40.1, 39.9, 39.9])
THERE: Ring = ([10.0, 10.2, 10.2, 10.0], [50.2, 50.2, 50.0, 50.0])
ZERO: Ring = ([0.0] * 4, [0.0] * 4)
BOX = (32.9, 39.9, 33.1, 40.1)


def here() -> Footprint:
    assert HERE is not None
    return from_ring(*HERE)


def image(ring: Ring = None, by_gdal: Footprint | None = None, *, projected: bool = False) -> Image:
    return Image(ring=ring, projected=projected, located=lambda: (by_gdal, []))


def metadata(ring: Ring = None, box: tuple[float, float, float, float] | None = None) -> Described:
    return Described(facts=StripFacts(), ring=ring, box=box, findings=())


def placed(image: Image, described: Described, *, of_strip: bool = False) -> tuple[Place | None, list[str]]:
    findings: list[Finding] = []
    found = place(image, described, findings, of_strip=of_strip)
    return found, [finding.code for finding in findings]


@pytest.mark.parametrize(
    ("image", "described", "of_strip", "source", "codes"),
    [
        (image(HERE, here()), metadata(THERE, BOX), False, "igeolo", []),
        (image(None, here(), projected=True), metadata(THERE, BOX), False, "igeolo", []),
        (image(None, here()), metadata(THERE, BOX), False, "corners", []),
        (image(ZERO), metadata(THERE), False, "corners", ["bad_footprint"]),
        (image(None, here()), metadata(None, BOX), False, "raster", []),
        (image(None, here()), metadata(THERE, BOX), True, "raster", []),
        (image(), metadata(THERE, BOX), True, "strip", ["approximate_footprint"]),
        (image(), metadata(ZERO, BOX), False, "rpc", ["bad_footprint", "approximate_footprint"]),
        (image(), metadata(), False, "", ["no_footprint"]),
    ],
)
def test_the_best_source_of_a_footprint_is_used(
    image: Image, described: Described, of_strip: bool, source: str, codes: list[str]
) -> None:
    found, given = placed(image, described, of_strip=of_strip)
    assert (found.source if found else "") == source
    assert given == codes


def test_over_180_degrees_a_footprint_has_two_parts_and_its_centre_between() -> None:
    found, _ = placed(image(([179.9, -179.9, -179.9, 179.9], [0.1, 0.1, -0.1, -0.1])), metadata())
    assert found is not None
    shape = shapely.from_wkb(found.footprint.ewkb)
    assert [part.area for part in shape.geoms] == pytest.approx([0.02, 0.02])
    latitude, longitude = found.centre
    assert (abs(longitude), latitude) == pytest.approx((180, 0), abs=1e-6)


def test_around_a_pole_a_footprint_holds_the_pole() -> None:
    found, _ = placed(image(([0.0, 90.0, 180.0, -90.0], [89.9] * 4)), metadata())
    assert found is not None
    assert shapely.from_wkb(found.footprint.ewkb).covers(shapely.Point(33, 89.99))
    assert found.footprint.area_km2 == pytest.approx(247.3, rel=0.01), (
        "a square of 11.12 km from its middle to a corner"
    )
    assert found.centre[0] > 89.9


@pytest.mark.parametrize("longitude", [179.95, -179.95])
def test_the_box_of_polynomials_over_180_degrees_is_right(longitude: float) -> None:
    text = xml(None).replace(b"<LONGOFFSET>33.0<", f"<LONGOFFSET>{longitude}<".encode())
    found, codes = placed(image(), describe(read_metadata(text)))
    assert found is not None
    assert codes == ["approximate_footprint"]
    assert len(shapely.from_wkb(found.footprint.ewkb).geoms) == 2
    assert found.footprint.area_km2 == pytest.approx(379, rel=0.01)


@pytest.mark.parametrize(
    ("system", "corners", "first"),
    [
        ("G", b"400600N0325400E400600N0330600E395400N0330600E395400N0325400E", (32.9, 40.1)),
        ("G", b"400600S0325400W400600S0330600W395400S0330600W395400S0325400W", (-32.9, -40.1)),
        ("D", b"+40.100+032.900+40.100+033.100+39.900+033.100+39.900+032.900", (32.9, 40.1)),
        ("N", b"36SWE0000000000" * 4, None),
        ("G", b"406600N0325400E" * 4, None),
        ("G", b" " * 60, None),
        ("", b"", None),
    ],
)
def test_corners_of_a_nitf_are_read_in_degrees(system: str, corners: bytes, first: tuple[float, float] | None) -> None:
    segment = ImageSegment(
        compression="NC", rows=1, columns=1, bands=1, bits=8, offset=0, length=1, system=system, corners=corners
    )
    ring = corner_ring(segment)
    assert (ring is None) == (first is None)
    if ring is not None:
        assert (ring[0][0], ring[1][0]) == pytest.approx(first)
