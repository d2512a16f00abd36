"""Every real file meets the fate that its verdict in the manifest says, through the isolated child, by rules alone."""

from __future__ import annotations

import json
import sys
import zlib

import pytest
import shapely

from corpus import CORPUS, manifest, needs_corpus
from extraction import codes, extracted, fate, generic_task
from orbitory.workers import ExtractResult

#: What current libraries read; before 3.12 only older ones are to be had.
EXACT = sys.version_info >= (3, 12)
Row = dict[str, str]


@pytest.fixture(scope="module")
def results() -> list[tuple[Row, ExtractResult]]:
    rows = manifest()
    tasks = [generic_task(CORPUS / row["path"], number, row["path"]) for number, row in enumerate(rows)]
    return list(zip(rows, extracted(CORPUS, tasks), strict=True))


def owed(row: Row) -> str:
    valid = row["verdict"] in ("ok", "no-raster") or row["kind"].endswith(("_unsupported", "_multipart"))
    return "archived" if valid else "rejected"


@pytest.mark.fault("F39", "F40", how="files of public test suites and CVE reports")
@needs_corpus
@pytest.mark.req("G2")
def test_every_real_file_meets_the_fate_of_its_verdict(results: list[tuple[Row, ExtractResult]]) -> None:
    wrong = [
        (row["path"], row["verdict"], str(result.error))
        for row, result in results
        if (fate(result) == "archived") != (owed(row) == "archived")
    ]
    assert len(results) == len(manifest()) > 500
    if not EXACT and wrong:
        pytest.xfail(f"older libraries differ on {len(wrong)} files: {wrong}")
    assert wrong == []


@needs_corpus
def test_no_real_file_needs_two_workers_to_die(results: list[tuple[Row, ExtractResult]]) -> None:
    assert [row["path"] for row, result in results if fate(result) in ("parser_crashed", "timeout")] == []


@needs_corpus
def test_valid_files_beyond_our_libraries_are_archived_and_say_so(results: list[tuple[Row, ExtractResult]]) -> None:
    for row, result in results:
        if row["kind"].endswith("_unsupported"):
            assert "unsupported" in codes(result), row["path"]
        if row["kind"].endswith("_multipart"):
            assert "part_of_set" in codes(result), row["path"]
        if row["verdict"] == "no-raster" and row["kind"] == "nitf":
            assert "no_raster" in codes(result), row["path"]


@needs_corpus
def test_ordinary_files_are_not_called_unsupported(results: list[tuple[Row, ExtractResult]]) -> None:
    for row, result in results:
        if row["verdict"] == "ok":
            assert not codes(result) & {"unsupported", "part_of_set", "not_fully_read"}, row["path"]


@needs_corpus
def test_refusals_are_explained(results: list[tuple[Row, ExtractResult]]) -> None:
    for row, result in results:
        if result.error is not None:
            assert fate(result) in ("type", "structure", "policy"), row["path"]
            assert len(str(result.error)) > 30, row["path"]
            assert "/proc/" not in str(result.error), row["path"]


@needs_corpus
@pytest.mark.req("I13")
def test_headers_are_json_for_jsonb_and_footprints_are_valid(results: list[tuple[Row, ExtractResult]]) -> None:
    headers = places = 0
    for row, result in results:
        if result.extraction is None:
            continue
        if result.extraction.header:
            text = zlib.decompress(result.extraction.header).decode()
            assert "\\u0000" not in text, row["path"]
            assert "NaN" not in text or '"' in text, row["path"]
            assert isinstance(json.loads(text, parse_constant=pytest.fail), dict)
            headers += 1
        for granule in result.extraction.granules:
            assert granule.key == f"correlative/{row['path']}"
            if granule.footprint:
                shape = shapely.from_wkb(granule.footprint)
                assert shape.is_valid, row["path"]
                assert shape.geom_type == "MultiPolygon"
                assert granule.area_km2 is not None
                assert granule.area_km2 > 0
                places += 1
    assert headers > 300
    assert places > 80


@needs_corpus
def test_external_links_are_noted_and_not_followed(results: list[tuple[Row, ExtractResult]]) -> None:
    linked = [row["path"] for row, result in results if "external_link" in codes(result)]
    assert len(linked) >= 4
    assert all(path.startswith("hdf5/") for path in linked)
