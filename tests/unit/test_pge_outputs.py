"""Names of what PGEs make, and the provenance beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitory.catalogue import Catalogue, Source, load
from orbitory.errors import DataError
from orbitory.model import Identity
from orbitory.names import family, identify, identify_any
from orbitory.provenance import Ingredient, Provenance, read, written
from orbitory.settings import CHECKOUT

NAME = "VQLKM.viirs_quicklook.1.NPP-VIIRS-M1-SDR-NPP000650598298.tif"
NOON = datetime(2024, 2, 10, 12, tzinfo=UTC)
PROVENANCE = Provenance(
    file=NAME,
    instance=7,
    pge="viirs_quicklook",
    version="1",
    period="NPP/VIIRS-M1-SDR/NPP000650598298",
    created=NOON,
    sensing_start=NOON - timedelta(hours=3),
    sensing_end=NOON - timedelta(hours=2),
    inputs=(Ingredient(input="sdr", granule="NPP/VIIRS-M1-SDR/NPP000650598298", file="idps/a.h5", blake3="00"),),
)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load(CHECKOUT / "include" / "catalogue")


@pytest.fixture(scope="module")
def source(catalogue: Catalogue) -> Source:
    return catalogue.source("pge")


def told(name: str, source: Source, catalogue: Catalogue) -> Identity:
    return identify(f"12-1/{name}", source, catalogue)


def test_a_name_tells_product_pge_version_and_period(source: Source, catalogue: Catalogue) -> None:
    identity = told(NAME, source, catalogue)
    assert (identity.product_type, identity.products, identity.sensor) == ("pge_viirs_quicklook", ("VQLKM",), "VIIRS")
    assert identity.details == {
        "pge": "viirs_quicklook",
        "version": "1",
        "period": "NPP-VIIRS-M1-SDR-NPP000650598298",
        "family": "pge/VQLKM/viirs_quicklook/NPP-VIIRS-M1-SDR-NPP000650598298",
    }


def test_deliveries_of_one_period_are_decided_together_and_those_of_others_apart(
    source: Source, catalogue: Catalogue
) -> None:
    same, other = NAME.replace("quicklook.1.", "quicklook.2."), NAME.replace("298.tif", "299.tif")
    keys = [family(told(name, source, catalogue)) for name in (NAME, same, other)]
    assert keys[0] == keys[1] != keys[2]


def test_dots_of_a_version_stay_with_the_version(source: Source, catalogue: Catalogue) -> None:
    details = told("VCOVD.daily_coverage.2.10.1.20240210.h5", source, catalogue).details
    assert (details["version"], details["period"]) == ("2.10.1", "20240210")


def test_all_files_of_a_delivery_are_one_unit(source: Source, catalogue: Catalogue) -> None:
    other = "VQLKM.viirs_quicklook.1.NPP000650598298-north.tif"
    names = [NAME, other, NAME.replace(".tif", ".png"), f"{NAME}.meta.json", NAME.replace(".tif", ".png.meta.json")]
    identities = [told(name, source, catalogue) for name in names]
    assert len({each.unit for each in identities}) == 1
    assert [each.role for each in identities] == ["data", "data", "browse", "metadata", "metadata"]


@pytest.mark.parametrize(
    "name",
    [
        "quicklook.tif",
        "VQLKM.viirs_quicklook.1.tif",
        "VQLKM.Quicklook.1.NPP000650598298.tif",
        "vqlkm.viirs_quicklook.1.NPP000650598298.tif",
        "VQLKM.viirs_quicklook.1.NPP 0006.tif",
        "VQLKM.viirs_quicklook.1.NPP000650598298",
        "VQLKM.viirs_quicklook.1.NPP000650598298.tif.aux.xml",
        "ZZZZZ.viirs_quicklook.1.NPP000650598298.tif",
        "meta.json",
        ".meta.json",
    ],
)
def test_other_names_are_not_taken(source: Source, catalogue: Catalogue, name: str) -> None:
    with pytest.raises(DataError, match=r"^unrecognised: "):
        told(name, source, catalogue)


def test_no_other_source_takes_such_a_name(catalogue: Catalogue) -> None:
    assert identify_any(NAME, catalogue)[0] == "pge"


_WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
_TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(period=_WORDS, created=_TIMES, start=_TIMES, seconds=st.integers(0, 10**6), inputs=st.lists(_WORDS, max_size=4))
def test_provenance_is_read_as_it_was_written(
    period: str, created: datetime, start: datetime, seconds: int, inputs: list[str]
) -> None:
    provenance = replace(
        PROVENANCE,
        period=period,
        created=created,
        sensing_start=start,
        sensing_end=start + timedelta(seconds=seconds),
        inputs=tuple(Ingredient(input="sdr", granule=each, file=each, blake3="ab") for each in inputs),
    )
    assert read(written(provenance)) == provenance
    assert written(read(written(provenance))) == written(provenance)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 1"),
        ({"instance": "7"}, "instance is 7: expected a number"),
        ({"instance": True}, "instance is True: expected a number"),
        ({"created": None}, "created: expected a time"),
        ({"created": "yesterday"}, "Invalid isoformat"),
        ({"pge": 3}, "pge is 3: expected text"),
        ({"pge": ""}, "pge has 0 characters"),
        ({"file": "../x"}, "without folder"),
        ({"sensing_end": None}, "expected both or neither"),
        ({"sensing_end": "2020-01-01T00:00:00Z"}, "before it starts"),
        ({"inputs": {}}, "inputs: expected a list"),
        ({"inputs": [{"input": "sdr"}]}, "granule is None: expected text"),
        ({"inputs": ["a.h5"]}, "expected objects"),
    ],
)
def test_damaged_provenance_is_refused_and_says_why(change: dict[str, object], message: str) -> None:
    document = json.loads(written(PROVENANCE)) | change
    with pytest.raises(ValueError, match=message):
        read(json.dumps(document).encode())


@given(st.binary(max_size=300))
def test_foreign_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    with pytest.raises(ValueError):
        read(data)


def test_every_product_of_a_pge_can_be_taken_in(catalogue: Catalogue) -> None:
    """Each definition's outputs are of product types of the source, and their names begin with one of its ids."""
    source = catalogue.source("pge")
    assert catalogue.pges and not catalogue.problems
    for pge in catalogue.pges.values():
        script = Path(pge.run.command[1].format(pges=CHECKOUT / "include" / "pges"))
        assert script.is_file(), pge.name
        for output in pge.outputs:
            assert output.product in source.products
            assert output.pattern.partition(".")[0] in catalogue.product_type(output.product).ids
