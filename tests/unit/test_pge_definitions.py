"""What a definition of a PGE may say; what is wrong in one disables that PGE alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orbitory.catalogue import Problem, load
from orbitory.errors import ConfigurationError
from orbitory.settings import CHECKOUT
from planning import QUICKLOOK

OUTPUT = 'product = "pge_viirs_quicklook"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped catalogue with two PGEs of the test."""
    copy = Path(shutil.copytree(CHECKOUT / "include" / "catalogue", tmp_path / "catalogue"))
    shutil.rmtree(copy / "pges", ignore_errors=True)
    (copy / "pges").mkdir()
    (copy / "pges" / "quick.toml").write_text(QUICKLOOK)
    (copy / "pges" / "other.toml").write_text(QUICKLOOK.replace('"quick"', '"other"'))
    return copy


def problems_of(folder: Path, old: str, new: str) -> tuple[Problem, ...]:
    assert old in QUICKLOOK
    (folder / "pges" / "quick.toml").write_text(QUICKLOOK.replace(old, new, 1))
    catalogue = load(folder)
    assert set(catalogue.pges) == {"other"} and len(catalogue.sources) > 3, "the others go on"
    assert {problem.file for problem in catalogue.problems} == {"pges/quick.toml"}
    with pytest.raises(ConfigurationError, match="is disabled: pges/quick"):
        catalogue.pge("quick")
    return catalogue.problems


@pytest.mark.req("G12")
def test_a_definition_is_read_with_its_defaults(folder: Path) -> None:
    pge = load(folder).pge("quick")
    assert (pge.run.queue, pge.run.priority, pge.run.retries, pge.run.late) == ("default", 50, 2, "replan")
    assert pge.anchor.name == "sdr" and pge.enabled and not pge.spans_platforms
    assert [each.select for each in pge.inputs] == ["same_granule"] * 2


def test_a_catalogue_without_the_folder_has_no_pges(folder: Path) -> None:
    shutil.rmtree(folder / "pges")
    catalogue = load(folder)
    assert catalogue.pges == {} and catalogue.problems == ()
    with pytest.raises(ConfigurationError, match="there is no PGE 'quick'"):
        catalogue.pge("quick")


@pytest.mark.req("G12")
@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        ('of = "sdr"', 'off = "sdr"', "period.off", "did you mean 'of'"),
        ('products = ["GMTCO"]', 'product = ["GMTCO"]', "inputs.product", "did you mean 'products'"),
        ('products = ["GMTCO"]', 'products = ["GMTCX"]', "inputs.products", "did you mean 'GMTCO'"),
        ('products = ["GMTCO"]', 'path = "x"', "inputs", "needs products or alternatives and nothing else"),
        ('products = ["GMTCO"]', 'kind = "file"\npath = "../x"', "inputs.path", "expected a plain path"),
        (OUTPUT, 'product = "pge_viirs_quicklok"', "outputs.product", "did you mean 'pge_viirs_quicklook'"),
        (OUTPUT, 'product = "viirs_edr"', "outputs.product", "is not listed in sources/pge.toml"),
        ('pattern = "*.tif"', 'pattern = "../*.tif"', "outputs.pattern", "without folder"),
        ('pattern = "*.tif"', 'pattern = "*.tif"\nmin = 3', "outputs", "min 3 is more than max 1"),
        ("{pges}/quick.py", "{pgess}/quick.py", "run.command", "unknown placeholder {pgess}"),
        ('version = "1"', 'version = "1/2"', "version", "expected a version"),
        ('kind = "granule"', 'kind = "granules"', "period", "needs the key 'size'"),
        ('kind = "granule"', 'kind = "granule"\nhours = 3.0', "period", "only kind 'time' has the key 'hours'"),
        ('kind = "granule"', 'kind = "area"\narea = "10,50,20,40"', "period.area", "-90 <= S < N <= 90"),
        *(
            ('kind = "granule"', f'kind = "area"\narea = "POLYGON({rings})"', "period.area", message)
            for rings, message in (
                ("(0 0,10 0,10 10,0 10)", "closed"),
                ("(0 0,1 1)", "closed"),
                ("(0 0,10 0,10,0 0)", "expected a POLYGON in WKT"),
                ("(0 0,10 0,10 95,0 10,0 0)", "latitudes from -90 to 90"),
                ("(0 0,10 10,10 0,0 10,0 0)", "does not cross itself"),
                ("0 0,10 0", "expected a POLYGON in WKT"),
            )
        ),
        ('kind = "granule"', 'kind = "area"\narea = "0,0,nan,10"', "period.area", "-180 <= W < E <= 180"),
        ('kind = "granule"', 'kind = "time"\nhours = 1e-10', "period.hours", "greater than or equal to 0.01"),
        ('kind = "granule"', 'kind = "orbit"', "", "selects all or valintersect"),
        ('of = "sdr"', 'of = "nothing"', "", "expected the name of a required input"),
        ('name = "geo"', 'name = "sdr"', "", "two inputs are called 'sdr'"),
        (
            'name = "geo"',
            'name = "geo"\nselect = "latest_created"\nmin_count = 2',
            "inputs",
            "min_count has no meaning",
        ),
        ('name = "geo"', 'name = "geo"\nselect = "newest"', "inputs.select", "expected 'same_granule'"),
        ('command = ["', 'priority = 101\ncommand = ["', "run.priority", "less than or equal to 100"),
        ('name = "quick"', 'name = "slow"', "name", "expected 'quick' as the file is called"),
    ],
)
def test_a_typing_error_is_told_with_file_and_key(folder: Path, old: str, new: str, key: str, message: str) -> None:
    problems = {problem.key: str(problem) for problem in problems_of(folder, old, new)}
    assert message in problems[key]
    assert len(problems) == 1 + ("period.off" in problems), (
        "one slip, one problem; a key that is now missing is another"
    )


def test_words_of_the_catalogue_stand_for_product_ids(folder: Path) -> None:
    catalogue = load(folder)
    assert {"SVM01", "SVI05", "viirs_sdr"} <= set(catalogue.product_ids("viirs_sdr"))
    assert catalogue.product_ids("SVM05") == ("SVM05",)
    held = ["M1BS", "P3DS", "P1BS", "PXXX", "SVM05"]
    assert catalogue.product_ids("strip_pan", held) == ("strip_pan", "P1BS", "P3DS")
    assert catalogue.product_ids("viirs_sdr", held) == catalogue.product_ids("viirs_sdr")
    for product, kind in (("SVM05", "viirs_sdr"), ("P1BS", "strip_pan"), ("user_data", "user_data")):
        found = catalogue.type_of_product(product)
        assert found is not None and found.name == kind
    assert catalogue.type_of_product("XXXXX") is None


def test_a_broken_product_file_is_one_problem_and_stops_those_alone_that_need_it(folder: Path) -> None:
    (folder / "pges" / "strips.toml").write_text(
        QUICKLOOK.replace('"quick"', '"strips"').replace('["SVM05"]', '["strip_pan"]').replace('["GMTCO"]', '["P1BS"]')
    )
    (folder / "products" / "viirs_sdr.toml").write_text("name = ")
    catalogue = load(folder)
    assert [problem.file for problem in catalogue.problems] == ["products/viirs_sdr.toml"]
    assert set(catalogue.pges) == {"strips"}
