"""Every real name of a strip that could be found is told for what it is; and NASA's records agree with their names."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orbitory.catalogue import load
from orbitory.errors import DataError
from orbitory.names import identify, identify_any, strip_key
from orbitory.settings import CHECKOUT

DATA = Path(__file__).resolve().parents[1] / "data"
CATALOGUE = load(CHECKOUT / "include" / "catalogue")
NAMES = [
    line.split("\t")
    for line in (DATA / "strip_names.tsv").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
RECORDS = sorted((DATA / "cmr_ummg").glob("*.json"))
PREFIXES = {"101": "QB02", "102": "WV01", "103": "WV02", "104": "WV03", "105": "GE01", "106": "WV04", "B1": "LG"}


def told(name: str) -> list[str]:
    try:
        source, identity = identify_any(name, CATALOGUE)
    except DataError as error:
        return [name, error.code]
    details, start = identity.details, identity.sensing_start
    columns = [
        *(name, source, identity.form, identity.product_type, identity.sensor, *(identity.products or ("",))),
        *(details.get(key, "") for key in ("catalog_id", "order_id", "tile")),
        *(identity.role, details.get("part_role", ""), start.isoformat() if start else ""),
        details.get("contradictions", ""),
    ]
    return "\t".join(columns).rstrip("\t").split("\t")


@pytest.mark.req("N3", "N5")
@pytest.mark.parametrize("row", NAMES, ids=lambda row: row[0].rpartition("/")[2][:60])
def test_a_real_name_is_told_for_what_it_is(row: list[str]) -> None:
    assert told(row[0]) == row


@pytest.mark.req("N3")
def test_of_all_real_names_one_tells_too_little_and_each_doubt_is_one_that_can_be_seen() -> None:
    assert len(NAMES) == 280
    assert [row[0] for row in NAMES if row[1] == "unrecognised"] == ["GE01_1B__BOTH.txt"]
    for row in NAMES:
        if len(row) < 5 or row[2] not in ("renamed_dg", "renamed_dg2"):
            continue
        sensor, catalog, doubts = row[4], row[6], row[12] if len(row) > 12 else ""
        speaks_of = next((name for prefix, name in PREFIXES.items() if catalog.startswith(prefix)), "")
        if not sensor.startswith(speaks_of):
            assert "catalog_id" in doubts
        assert sensor == row[0].rpartition("/")[2][:4]


@pytest.mark.req("N5")
def test_parts_bands_and_tiles_of_a_real_delivery_are_different_images() -> None:
    """P001 and P002 of a strip may share their second, and PAN and MUL of a pass their catalog id."""
    keys: dict[str, set[str]] = {}
    for row in NAMES:
        if len(row) > 11 and row[10] == "image":
            vendor = re.search(r"\d{2}[A-Z]{3}\d{8}-[A-Z0-9]{4}(_R\d+C\d+)?-\d{12}_\d\d_P\d{3}", row[0].upper())
            if vendor:
                keys.setdefault(strip_key(identify_any(row[0], CATALOGUE)[1]), set()).add(vendor[0])
    assert len(keys) > 50
    assert all(len(vendors) == 1 for vendors in keys.values())


def record(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))


@pytest.mark.req("N3")
@pytest.mark.parametrize("file", RECORDS, ids=lambda file: file.name[:30])
def test_a_record_in_nasas_catalogue_agrees_with_what_its_names_tell(file: Path) -> None:
    told, source = record(file), CATALOGUE.source("nga")
    identity = identify(file.name, source, CATALOGUE)
    assert identity.details["scene_id"] == told["GranuleUR"]
    sensor, bands, level = told["CollectionReference"]["ShortName"].split("_")
    assert (identity.sensor, "L" + identity.details["level"]) == (sensor, level)
    assert identity.details["spec_type"] == {"Pan": "Panchromatic", "MSI": "Multispectral"}[bands]
    taken = datetime.fromisoformat(told["TemporalExtent"]["SingleDateTime"])
    assert identity.sensing_start is not None
    assert timedelta(0) <= taken - identity.sensing_start < timedelta(seconds=1)
    files = [each["Name"] for each in told["DataGranule"]["ArchiveAndDistributionInformation"]]
    files += [each["URL"].rpartition("/")[2] for each in told["RelatedUrls"]]
    assert {strip_key(identify(name, source, CATALOGUE)) for name in files} == {strip_key(identity)}
