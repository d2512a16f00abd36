"""A data manager's typing error is told with file, line, key and hint, and stops that source alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from orbitory.announcements import is_temporary, role_of
from orbitory.catalogue import Catalogue, Problem, load
from orbitory.cron import check_cron
from orbitory.errors import ConfigurationError
from orbitory.settings import CHECKOUT

SHIPPED = CHECKOUT / "include" / "catalogue"
SOURCES = {"correlative", "idps", "maxar", "nga", "pge", "upload"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped catalogue that a test may spoil."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "catalogue"))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def only_problem(folder: Path) -> Problem:
    problems = load(folder).problems
    assert len(problems) == 1, [str(each) for each in problems]
    return problems[0]


def ids(catalogue: Catalogue, source: str) -> set[str]:
    return {each for kind in catalogue.types_of(catalogue.source(source)) for each in kind.ids}


@pytest.mark.req("G25")
def test_the_shipped_catalogue_has_no_problem_and_all_sources() -> None:
    catalogue = load(SHIPPED)
    assert catalogue.problems == ()
    assert set(catalogue.sources) == SOURCES
    idps, correlative = catalogue.source("idps"), catalogue.source("correlative")
    assert (idps.grammar, idps.extractor, idps.duplicates, idps.late) == ("idps", "jpss", "version", "archive")
    assert (correlative.grammar, correlative.extractor, correlative.duplicates) == ("any", "generic", "error")
    assert idps.storage == "{source}/{platform}/{product}/{year}/{doy}/{name}"
    assert correlative.storage == "{source}/{kind}/{folder}/{name}"
    assert idps.reject_tolerance == correlative.reject_tolerance == 0


def test_every_jpss_instrument_and_every_viirs_band_is_known() -> None:
    catalogue = load(SHIPPED)
    idps = catalogue.source("idps")
    assert {each.sensor for each in catalogue.types_of(idps)} == {"VIIRS", "ATMS", "CrIS", "OMPS", "SPACECRAFT"}
    assert {f"SVM{n:02}" for n in range(1, 17)} | {f"SVI{n:02}" for n in range(1, 6)} <= ids(catalogue, "idps")
    collections = {"SVM01": "VIIRS-M1-SDR", "GMTCO": "VIIRS-MOD-GEO-TC", "GATMO": "ATMS-SDR-GEO", "TATMS": "ATMS-TDR"}
    for product_id, collection in collections.items():
        found = catalogue.find_product(idps, product_id)
        assert found is not None and found.ids[product_id] == collection


SATELLITES = {"GE01", "IK01", "OV03", "QB02", *(f"WV0{n}" for n in range(1, 5)), *(f"LG0{n}" for n in range(1, 7))}


@pytest.mark.req("N15")
@pytest.mark.parametrize("name", ["nga", "maxar"])
def test_every_satellite_of_strips_is_a_partition_and_names_that_tell_none_have_one_too(name: str) -> None:
    catalogue = load(SHIPPED)
    assert set(catalogue.sensors_of(catalogue.source(name))) == {*SATELLITES, "strip"}
    assert all({*kind.sensors} == SATELLITES for kind in catalogue.types_of(catalogue.source(name)))


@pytest.mark.req("G20")
@pytest.mark.parametrize("name", ["nga", "maxar"])
def test_strips_are_licensed_and_need_their_metadata(name: str) -> None:
    catalogue = load(SHIPPED)
    source = catalogue.source(name)
    assert {catalogue.classification(source, kind) for kind in catalogue.types_of(source)} == {"licensed"}
    assert source.completeness.needs == (("data",), ("metadata", "bundle"))
    assert (source.landing, source.extractor, source.duplicates) == (name, "strip", "version")


def test_strips_are_found_by_the_letter_of_their_code(folder: Path) -> None:
    catalogue = load(folder)
    nga = catalogue.source("nga")
    found = {
        code: catalogue.find_product(nga, code) for code in ("P1BS", "M3DM", "X2AS", "P1B", "PAN1", "Q1BS", "P1BSX")
    }
    names = {code: kind.name for code, kind in found.items() if kind}
    assert names == {"P1BS": "strip_pan", "M3DM": "strip_msi", "X2AS": "strip_other"}
    assert catalogue.find_product(catalogue.source("idps"), "P1BS") is None


def test_a_letter_belongs_to_one_product_type_of_a_source(folder: Path) -> None:
    edit(folder / "products" / "strip_msi.toml", '["M"]', '["M", "P"]')
    catalogue = load(folder)
    assert {each.message for each in catalogue.problems} == {"letter P stands in both strip_pan and strip_msi"}
    assert set(catalogue.sources) == SOURCES - {"maxar", "nga"}


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('["M"]', '["m"]', "letters"),
        ('["M"]', '["M", "M"]', "letters"),
        ('["M"]', '"M"', "letters"),
        ('"GE01", ', '"GE 01", ', "sensors"),
        ('"GE01", ', '"GE01", "GE01", ', "sensors"),
    ],
)
def test_a_wrong_letter_or_sensor_is_told(folder: Path, old: str, new: str, key: str) -> None:
    edit(folder / "products" / "strip_msi.toml", old, new)
    problem = only_problem(folder)
    assert (problem.file, problem.key, set(problem.disables)) == ("products/strip_msi.toml", key, {"nga", "maxar"})


@pytest.mark.parametrize("needs", ['["data"]', '[["image"]]', '"data"'])
def test_a_wrong_need_is_told(folder: Path, needs: str) -> None:
    edit(folder / "sources" / "nga.toml", '[["data"], ["metadata", "bundle"]]', needs)
    assert only_problem(folder).key == "completeness.needs"


def test_a_product_is_found_only_at_sources_that_list_it() -> None:
    catalogue = load(SHIPPED)
    assert catalogue.find_product(catalogue.source("correlative"), "SVM01") is None
    assert catalogue.find_product(catalogue.source("idps"), "ZZZZZ") is None


@pytest.mark.req("G25")
def test_a_source_is_added_by_one_file_and_no_code(folder: Path) -> None:
    (folder / "sources" / "aeronet.toml").write_text(
        'name = "aeronet"\ntitle = "AERONET"\nlanding = "aeronet"\ngrammar = "any"\nextractor = "generic"\n'
        'products = ["correlative"]\nstorage = "{source}/{folder}/{name}"\n'
    )
    catalogue = load(folder)
    assert catalogue.problems == ()
    assert catalogue.source("aeronet").schedule == "*/15 * * * *"


@pytest.mark.req("G20")
def test_what_nobody_classified_is_most_restricted(folder: Path) -> None:
    edit(folder / "sources" / "correlative.toml", 'classification = "unrestricted"\n', "")
    catalogue = load(folder)
    source = catalogue.source("correlative")
    assert source.classification == "itar"
    assert catalogue.classification(source, catalogue.product_type("correlative")) == "itar"


@pytest.mark.req("G20")
def test_a_product_type_may_be_more_restricted_and_kept_longer_than_its_source(folder: Path) -> None:
    edit(folder / "sources" / "idps.toml", "keep_days = 0", "keep_days = 30")
    edit(folder / "products" / "viirs_rdr.toml", "[ids]", 'keep_days = 0\nclassification = "licensed"\n\n[ids]')
    catalogue = load(folder)
    idps, rdr, sdr = catalogue.source("idps"), *(catalogue.product_type(f"viirs_{level}") for level in ("rdr", "sdr"))
    assert (catalogue.classification(idps, rdr), catalogue.keep_days(idps, rdr)) == ("licensed", 0)
    assert (catalogue.classification(idps, sdr), catalogue.keep_days(idps, sdr)) == ("unrestricted", 30)


def test_a_typo_is_told_with_line_key_and_the_word_that_was_meant(folder: Path) -> None:
    edit(folder / "sources" / "idps.toml", "keep_days = 0", "keep_dyas = 0")
    problem = only_problem(folder)
    assert (problem.file, problem.key) == ("sources/idps.toml", "keep_dyas")
    assert problem.message == "line 18: unknown key"
    assert problem.hint == "did you mean 'keep_days'?"


@pytest.mark.fault("F58", how="a broken source file among sound ones")
def test_a_broken_file_disables_its_source_and_no_other(folder: Path) -> None:
    edit(folder / "sources" / "idps.toml", "grace_hours", "grace_hour")
    catalogue = load(folder)
    assert set(catalogue.sources) == SOURCES - {"idps"}
    assert [(each.key, each.disables) for each in catalogue.problems] == [("completeness.grace_hour", ("idps",))]
    with pytest.raises(
        ConfigurationError, match=r"source 'idps' is disabled: sources/idps\.toml, completeness\.grace_h"
    ):
        catalogue.source("idps")


@pytest.mark.fault("F58", how="wrong values, unknown words, paths that climb, names of others")
@pytest.mark.parametrize(
    ("old", "new", "key", "message", "hint"),
    [
        ('grammar = "idps"', 'grammar = "idsp"', "grammar", "'upload' or 'any', got 'idsp'", "'idps'?"),
        ('late = "archive"', "late = true", "late", "expected 'archive' or 'skip', got True", ""),
        ('classification = "unrestricted"', 'classification = "open"', "classification", "got 'open'", ""),
        ("keep_days = 0", 'keep_days = "7"', "keep_days", "expected a whole number, got '7'", ""),
        ("keep_days = 0", "keep_days = -1", "keep_days", "expected greater than or equal to 0, got -1", ""),
        ("reject_tolerance = 0.0", "reject_tolerance = 2", "reject_tolerance", "less than or equal to 1, got 2", ""),
        ("reject_tolerance = 0.0", "reject_tolerance = nan", "reject_tolerance", "got nan", ""),
        ("notify = []", 'notify = "a@b.org"', "notify", "expected a list, got 'a@b.org'", ""),
        ("notify = []", 'notify = ["a@b.org, c@d.org"]', "notify", "expected one mail address", ""),
        ("pdr = true", 'pdr = "yes"', "checksums.pdr", "expected true or false, got 'yes'", ""),
        ('sidecars = ["md5"', 'sidecars = ["md6"', "checksums.sidecars", "got 'md6'", "'md5'?"),
        ('landing = "idps"', 'landing = "../idps"', "landing", "expected one plain folder name", ""),
        ('landing = "idps"', 'landing = "a/b"', "landing", "expected one plain folder name", ""),
        ('landing = "idps"', 'landing = ".."', "landing", "expected one plain folder name", ""),
        ("{doy}/{name}", "{doj}/{name}", "storage", "unknown variable {doj}", "{doy}"),
        ("{doy}/{name}", "{doy}", "storage", "must hold {name}", ""),
        ("{doy}/{name}", "../{name}", "storage", "got '..'", ""),
        ("{doy}/{name}", "x{folder}/{name}", "storage", "must stand alone", ""),
        ("{doy}/{name}", "{name.__class__}", "storage", "unknown variable {name.__class__}", ""),
        ("{doy}/{name}", "/{name}", "storage", "got ''", ""),
        ('schedule = "*/10', 'schedule = "*/99', "schedule", "minute '*/99' is not in 0 to 59", "for example"),
        ('"viirs_rdr", ', '"viirs_rdt", ', "products", "no file products/viirs_rdt.toml", "'viirs_rdr'?"),
        ('"viirs_rdr", ', '"viirs_sdr", ', "products", "'viirs_sdr' stands twice", ""),
        ('name = "idps"', 'name = "IDPS"', "name", "expected a lower-case letter", ""),
        ('name = "idps"', 'name = "correlative"', "name", "expected 'idps' as the file is called", ""),
        ('title = "', 'titel = "', "title", "this key is required", ""),
        ("[batch]", "[batches]", "batches", "unknown key", "'batch'?"),
        ("max_files = 20000", "max_files = 0", "batch.max_files", "greater than or equal to 1, got 0", ""),
        ("[completeness]", "completeness = 3\n[completenes]", "completeness", "expected a table, got 3", ""),
    ],
)
def test_a_wrong_value_is_told_with_what_was_found_and_what_is_allowed(
    folder: Path, old: str, new: str, key: str, message: str, hint: str
) -> None:
    edit(folder / "sources" / "idps.toml", old, new)
    catalogue = load(folder)
    assert "idps" not in catalogue.sources and "correlative" in catalogue.sources
    (problem,) = (each for each in catalogue.problems if each.key == key)
    assert message in problem.message
    assert hint in problem.hint
    assert problem.disables == ("idps",)


def test_a_syntax_error_is_told_with_its_line(folder: Path) -> None:
    edit(folder / "sources" / "idps.toml", 'landing = "idps"', "landing = idps")
    problem = only_problem(folder)
    assert problem.message.startswith("is not valid TOML") and "line 4" in problem.message
    assert problem.disables == ("idps",)


@pytest.mark.fault("F58", how="a catalogue file that is no text")
def test_a_file_that_is_not_text_or_cannot_be_read_disables_only_itself(folder: Path) -> None:
    (folder / "sources" / "idps.toml").write_bytes(b"\xff\xfe\x00")
    (folder / "sources" / "ghost.toml").symlink_to("nowhere")
    catalogue = load(folder)
    assert {(each.file, each.disables) for each in catalogue.problems} == {
        ("sources/idps.toml", ("idps",)),
        ("sources/ghost.toml", ("ghost",)),
    }
    assert set(catalogue.sources) == SOURCES - {"idps"}


def test_a_broken_product_file_disables_the_sources_that_list_it(folder: Path) -> None:
    edit(folder / "products" / "viirs_sdr.toml", 'SVM01 = "VIIRS-M1-SDR"', 'svm01 = "VIIRS-M1-SDR"')
    problem = only_problem(folder)
    assert (problem.file, problem.key, problem.disables) == ("products/viirs_sdr.toml", "ids.svm01", ("idps",))
    assert problem.message == "line 7: expected a product id of five capital letters or digits, got 'svm01'"
    with pytest.raises(ConfigurationError, match=r"products/viirs_sdr\.toml, ids\.svm01"):
        load(folder).source("idps")


def test_a_broken_product_file_that_nobody_lists_is_told_and_harms_nobody(folder: Path) -> None:
    (folder / "products" / "spare.toml").write_text('name = "spare"\n')
    catalogue = load(folder)
    assert {each.file for each in catalogue.problems} == {"products/spare.toml"}
    assert set(catalogue.sources) == SOURCES


def test_two_sources_may_not_share_a_landing_folder(folder: Path) -> None:
    edit(folder / "sources" / "correlative.toml", 'landing = "correlative"', 'landing = "IDPS"')
    catalogue = load(folder)
    assert set(catalogue.sources) == SOURCES - {"correlative", "idps"}
    assert [each.message for each in catalogue.problems] == ["correlative, idps share one landing folder"] * 2


def test_a_product_id_belongs_to_one_product_type_of_a_source(folder: Path) -> None:
    edit(folder / "products" / "viirs_edr.toml", "VSSTO =", 'SVM01 = "VIIRS-M1-SDR"\nVSSTO =')
    problem = only_problem(folder)
    assert problem.message == "product id SVM01 stands in both viirs_sdr and viirs_edr"
    assert problem.disables == ("idps",)


def test_grammar_any_takes_one_product_type(folder: Path) -> None:
    edit(folder / "sources" / "correlative.toml", '["correlative"]', '["correlative", "viirs_sdr"]')
    assert "list one" in only_problem(folder).message


def test_an_unknown_source_or_type_is_answered_with_what_there_is() -> None:
    catalogue = load(SHIPPED)
    with pytest.raises(
        ConfigurationError, match=r"no source 'ipds'; the catalogue has correlative, idps, .*\. did you mean 'idps'"
    ):
        catalogue.source("ipds")
    with pytest.raises(ConfigurationError, match=r"no product type 'viirs_sd'; did you mean 'viirs_sdr'"):
        catalogue.product_type("viirs_sd")


def test_an_absent_catalogue_folder_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere/products.*ORBITORY_CATALOGUE"):
        load(tmp_path / "nowhere")


def test_a_loaded_source_cannot_be_changed() -> None:
    source = load(SHIPPED).source("idps")
    with pytest.raises(ValueError, match="frozen"):
        source.keep_days = 1


CRON_ITEM = st.one_of(
    st.just("*"),
    st.integers(0, 61).map(str),
    st.tuples(st.integers(0, 61), st.integers(0, 61)).map(lambda pair: f"{pair[0]}-{pair[1]}"),
    st.sampled_from(["*/5", "*/0", "1-5/2", "jan", "mon-fri", "sun", "L", "5/2", "1,2", "1,,2"]),
)


@given(st.lists(CRON_ITEM, min_size=5, max_size=5).map(" ".join))
def test_every_schedule_we_accept_is_one_that_airflow_accepts(expression: str) -> None:
    if check_cron(expression) is None:
        assert croniter.is_valid(expression)


@pytest.mark.parametrize(
    "expression", ["*/10 * * * *", "0 6 * * mon-fri", "15,45 0-6/2 1 jan,jul *", "0 0 31 2 sun", "5 4 29 2 *"]
)
def test_common_schedules_are_accepted(expression: str) -> None:
    assert check_cron(expression) is None


@pytest.mark.parametrize(
    "expression", ["", "@daily", "* * * *", "* * * * * *", "0 0 31 2,4,6 *", "9-5 * * * *", "5/2 * * * *", "x * * * *"]
)
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    assert check_cron(expression)


@pytest.mark.timeout(30)
@pytest.mark.fault("F58", how="patterns of stars against a name that nearly fits")
def test_no_pattern_of_the_catalogue_takes_for_ever(folder: Path) -> None:
    stars = "*a" * 60 + "b"
    edit(folder / "sources" / "correlative.toml", 'temporary = ["*.part"', f'temporary = ["{stars}"')
    edit(folder / "sources" / "correlative.toml", 'manifests = ["MD5SUMS"', f'manifests = ["{stars}"')
    source = load(folder).source("correlative")
    for name in ("a" * 200, "ab" * 100, "a" * 199 + "c"):
        assert is_temporary(name, source) is name.endswith("b")
        assert role_of(name, source) == ("manifest" if name.endswith("b") else "data")
