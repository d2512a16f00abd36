"""E04: every real name agrees with the row that it makes, and contradicts a row that says otherwise."""

from __future__ import annotations

import posixpath
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orbitory.catalogue import load
from orbitory.errors import DataError
from orbitory.mfp.checks import check_name
from orbitory.model import Identity, Level
from orbitory.names import identify_any
from orbitory.settings import CHECKOUT

CATALOGUE = load(CHECKOUT / "include" / "catalogue")
_FILE = Path(__file__).resolve().parents[1] / "data" / "strip_names.tsv"
_LINES = [line.split("\t") for line in _FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def _known(name: str) -> tuple[str, Identity] | None:
    try:
        source, identity = identify_any(name, CATALOGUE)
    except DataError:
        return None
    image = identity.role == "data" and identity.details.get("part_role") not in ("derived", "readme", "layout")
    return (source, identity) if image and identity.platform else None


#: Real names of images, with what they tell.
REAL = {name: known for name in sorted({line[0] for line in _LINES}) if (known := _known(name))}


def row(name: str, source: str, identity: Identity, **other: Any) -> dict[str, Any]:
    """The row that a file of this name makes when its metadata say the same."""
    details = identity.details
    code = identity.products[0] if identity.products else None
    return {
        "fpuid": 1,
        "granule_id": 1,
        "source": source,
        "s_filename": posixpath.basename(name),
        "sensor": identity.platform,
        "catalog_id": details.get("catalog_id"),
        "order_id": details.get("order_id"),
        "prod_code": code,
        "prod_short": details.get("level"),
        "spec_type": details.get("spec_type"),
        "acq_time": identity.sensing_start,
        **other,
    }


@pytest.mark.req("N3", "N9")
def test_real_names_agree_with_the_rows_that_they_make() -> None:
    assert len(REAL) > 100
    wrong = {
        name: found[0].reason
        for name, (source, identity) in REAL.items()
        if (found := list(check_name(row(name, source, identity), CATALOGUE)))
        and not identity.details.get("contradictions")
    }
    assert wrong == {}


@pytest.mark.req("N9")
@pytest.mark.parametrize(
    "name",
    [
        "WV02_20100423190859_1030010005C7AF00_10APR23190859-M2AS_R1C1-052532098020_01_P001.ntf",
        "WV04_20170130144153_49ba37c3-1cc9-4c1c-a3c8-e3ad5d9bd9c1-inv_17JAN30144153-P1BS-505051421030_01_P001.ntf",
        "01APR12OV05010005V120401M0011531714A222000100272M_000842666___GA_E0AAAAAAJABA0.ntf",
        "01JAN08QB020800008JAN01102125-P1BS-005590467020_01_P001_________AAE_0AAAAABAABA0.ntf",
    ],
)
@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"sensor": "GE02"}, "sensor"),
        ({"prod_code": "C1BB"}, "product: "),
        ({"prod_short": "3D"}, "level: "),
        ({"days": 40}, "time: "),
    ],
)
def test_a_row_that_says_otherwise_is_found_in_every_era(name: str, other: dict[str, Any], told: str) -> None:
    known = _known(name)
    if known is None:
        pytest.skip("not a name of this era")
    source, identity = known
    changed = dict(other)
    if days := changed.pop("days", 0):
        assert identity.sensing_start is not None
        changed["acq_time"] = identity.sensing_start + timedelta(days=days)
    (found,) = check_name(row(name, source, identity, **changed), CATALOGUE)
    assert found.code == "E04" and told in found.reason


def test_a_catalog_id_of_another_satellite_is_found() -> None:
    name = "WV01_20091004222215_1020010009B33500_09OCT04222215-P1BS-052532098020_01_P019.ntf"
    known = _known(name)
    assert known is not None
    (found,) = check_name(row(name, *known, catalog_id="1030010009B33500"), CATALOGUE)
    assert found.level is Level.WARNING and "catalog id: 1020010009B33500 in the name" in found.reason
    both = row(name, *known, catalog_id="1030010009B33500", acq_time=known[1].sensing_start)
    both["acq_time"] += timedelta(days=1)
    (found,) = check_name(both, CATALOGUE)
    assert found.level is Level.ERROR and "another image" in found.reason


def test_a_name_of_no_known_form_is_a_finding_and_not_a_crash() -> None:
    name = next(iter(REAL))
    source, identity = REAL[name]
    for odd in ("\x00.ntf", "x" * 300, "a/../b", "ÄÖÜ.ntf", ".", "WV02_.ntf"):
        (found,) = check_name(row(odd, source, identity) | {"s_filename": odd}, CATALOGUE)
        assert found.code == "E04" and found.level is Level.ERROR
