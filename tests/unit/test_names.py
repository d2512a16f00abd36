"""What names tell, and that a name which tells nothing is refused with a reason a person understands."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corpus import CORPUS, needs_corpus
from orbitory.catalogue import load
from orbitory.errors import DataError
from orbitory.model import Identity
from orbitory.names import check_storable, identify, identify_any, read_idps
from orbitory.settings import CHECKOUT

CATALOGUE = load(CHECKOUT / "include" / "catalogue")
IDPS, CORRELATIVE = CATALOGUE.source("idps"), CATALOGUE.source("correlative")
SVM01 = "SVM01_npp_d20131114_t0010303_e0011545_b10607_c20131114064119981830_noaa_ops.h5"


def tell(name: str) -> Identity:
    return identify(name, IDPS, CATALOGUE)


def refusal(name: str) -> DataError:
    with pytest.raises(DataError) as caught:
        tell(name)
    return caught.value


def test_an_idps_name_tells_product_platform_times_orbit_and_origin() -> None:
    assert tell(SVM01) == Identity(
        form="idps",
        product_type="viirs_sdr",
        products=("SVM01",),
        sensor="VIIRS",
        platform="NPP",
        sensing_start=datetime(2013, 11, 14, 0, 10, 30, 300_000, UTC),
        sensing_end=datetime(2013, 11, 14, 0, 11, 54, 500_000, UTC),
        orbit=10607,
        created=datetime(2013, 11, 14, 6, 41, 19, 981_830, UTC),
        details={"origin": "noaa", "domain": "ops"},
    )


def test_folders_before_a_name_say_nothing() -> None:
    assert tell(f"2013/318/{SVM01}") == tell(SVM01)


def test_a_granule_over_midnight_ends_the_next_day() -> None:
    identity = tell("SVI04_j02_d20240210_t2355021_e0000427_b06486_c20240211002424567000_oeac_ops.h5")
    assert identity.sensing_end == datetime(2024, 2, 11, 0, 0, 42, 700_000, UTC)
    assert identity.sensing_end - identity.sensing_start == timedelta(minutes=5, seconds=40.6)


def test_midnight_of_new_year_and_of_a_leap_second_are_right() -> None:
    identity = tell("SVM01_npp_d20161231_t2359605_e0001092_b26829_c20170101064119981830_noaa_ops.h5")
    assert identity.sensing_start == datetime(2017, 1, 1, 0, 0, 0, 500_000, UTC)
    assert identity.sensing_end == datetime(2017, 1, 1, 0, 1, 9, 200_000, UTC)


@pytest.mark.parametrize(
    ("name", "orbit", "created", "origin"),
    [
        ("SATMS_j01_d20210809_t0838266_e0838583_b19295_fnmoc_ops.h5", 19295, False, "fnmoc"),
        ("RNSCA-RVIRS_npp_d20170912_t1405177_e1407168_c20170913220340173580_nobu_ops.h5", None, True, "nobu"),
        ("RNSCA-RVIRS_npp_d20211217_t0959003_e1011484_b00001_c20211217101206466000_all-_dev.h5", 1, True, "all-"),
        ("SCRIF_j01_d20180108_t1527129_e1527427_b00728_c20180112032711196399_ADu_ops.h5", 728, True, "ADu"),
        ("SVM03_npp_d20170128_t1240105_e1241347_b27228_c20170128124933402956_cspp_dev.h5", 27228, True, "cspp"),
    ],
)
def test_variants_that_real_writers_use_are_read(name: str, orbit: int | None, created: bool, origin: str) -> None:
    identity = tell(name)
    assert (identity.orbit, identity.created is not None, identity.details["origin"]) == (orbit, created, origin)


@pytest.mark.parametrize(
    ("origin", "packing"), [("noac", "compressed"), ("nobu", "uncompressed"), ("noaa", None), ("cspp", None)]
)
def test_the_origin_tells_how_the_file_is_packed_where_it_does(origin: str, packing: str | None) -> None:
    assert tell(SVM01.replace("noaa", origin)).details.get("packing") == packing


@pytest.mark.parametrize(
    ("products", "product_type", "sensor", "sensors"),
    [
        ("GMODO-SVM01-SVM02", "viirs_sdr", "VIIRS", None),
        ("RNSCA-RVIRS", "viirs_rdr", "VIIRS", None),
        ("RATMS-RNSCA", "atms_rdr", "ATMS", None),
        ("GMTCO", "viirs_geo", "VIIRS", None),
        ("RNSCA", "spacecraft_diary", "SPACECRAFT", None),
        ("GMTCO-VOCCO-VSSTO", "viirs_edr", "VIIRS", None),
        ("SATMS-SCRIS-GCRSO", "atms_sdr", "ATMS", "ATMS CrIS"),
    ],
)
def test_a_packed_file_is_of_the_type_of_its_first_product_that_is_no_companion(
    products: str, product_type: str, sensor: str, sensors: str | None
) -> None:
    identity = tell(SVM01.replace("SVM01", products))
    assert identity.products == tuple(products.split("-"))
    assert (identity.product_type, identity.sensor, identity.details.get("sensors")) == (product_type, sensor, sensors)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (SVM01.replace(".h5", ".nc"), "expected the ending .h5"),
        (SVM01 + ".gz", "expected the ending .h5"),
        (
            "VCBHO_npp_d20030125_t084955_e085121_b00015_c20071213022754_den_OPS_SEG.h5",
            "start time (t and 7 digits), found 't08",
        ),
        (SVM01.replace("noaa_ops", "noaa_OPS"), "a domain of 3 to 5 lower-case letters, found 'OPS'"),
        (
            SVM01.replace("c20131114064119981830", "c20131114064119"),
            "the creation time (c and 20 digits), found 'c20131114064119'",
        ),
        (SVM01.replace("b10607", "b1060"), "the orbit (b and 5 digits), found 'b1060'"),
        (SVM01.replace("SVM01", "SVMC"), "product ids of five capitals or digits, joined by '-', found 'SVMC'"),
        (SVM01.replace("npp", "noaa20"), "a platform (npp, j01, j02, j03 or j04), found 'noaa20'"),
        ("copy_of_" + SVM01, "product ids of five capitals or digits, joined by '-', found 'copy'"),
        (SVM01.replace("_ops", "_ops_copy"), "nothing may follow the domain, found 'copy'"),
        ("SVM01_npp.h5", "the start date (d and 8 digits), found 'nothing'"),
        (SVM01.replace("d20131114", "d２０１３１１１４"), "the start date"),
        ("off_Planet-Eph-ANC_Static_JPL_000f_20151008_200001010000Z_ee00000000000000Z_np.h5", "found 'off'"),
    ],
)
def test_a_name_that_does_not_fit_is_refused_with_the_part_that_is_wrong(name: str, reason: str) -> None:
    error = refusal(name)
    assert error.code == "unrecognised"
    assert reason in error.detail


def test_an_unknown_product_is_refused_with_where_to_add_it() -> None:
    error = refusal(SVM01.replace("SVM01", "GMODO-SVX99"))
    assert error.code == "unrecognised"
    assert "product id SVX99" in error.detail
    assert "catalogue/products/<type>.toml" in error.detail and "catalogue/sources/idps.toml" in error.detail


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("d20131114", "d20130229"),
        ("d20131114", "d20131314"),
        ("d20131114", "d00000000"),
        ("d20131114", "d19580101"),
        ("t0010303", "t2510303"),
        ("t0010303", "t0060303"),
        ("t0010303", "t0010603"),
        ("e0011545", "e2400000"),
        ("c20131114064119981830", "c20131199064119981830"),
        ("d20131114_t0010303", "d99991231_t2359590"),
    ],
)
def test_an_impossible_date_or_time_is_refused_as_time(old: str, new: str) -> None:
    assert refusal(SVM01.replace(old, new)).code == "time"


def test_any_storable_name_is_correlative() -> None:
    identity = identify("aeronet/Ozone $(x) 'é'.txt", CORRELATIVE, CATALOGUE)
    assert identity == Identity(form="any", product_type="correlative", products=(), sensor="correlative")


def test_a_name_alone_is_told_by_the_source_whose_grammar_fits() -> None:
    source, identity = identify_any(SVM01, CATALOGUE)
    assert (source, identity.product_type) == ("idps", "viirs_sdr")


def test_grammars_that_take_every_name_are_not_asked_about_a_name_alone() -> None:
    takes_all = {source.name for source in CATALOGUE.sources.values() if source.grammar in ("any", "upload")}
    assert takes_all == {"correlative", "upload"}
    with pytest.raises(DataError, match=r"^unrecognised: idps: .*; maxar: .*; nga: ") as caught:
        identify_any("ozone.csv", CATALOGUE)
    assert not any(f"{name}: " in caught.value.detail for name in takes_all)


def test_a_name_that_fits_no_grammar_is_not_taken_for_correlative() -> None:
    with pytest.raises(DataError, match=r"^unrecognised: idps: not an IDPS name: expected the ending \.h5"):
        identify_any("ozone.csv", CATALOGUE)
    with pytest.raises(DataError, match=r"^time: "):
        identify_any(SVM01.replace("d20131114", "d20131199"), CATALOGUE)


@pytest.mark.fault("F32", how="control characters, RTL, too long, not UTF-8, climbing")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"a\nb.h5", "U+000A"),
        (b"a\tb.h5", "U+0009"),
        (b"a\x00b", "U+0000"),
        (b"a\x7fb", "U+007F"),
        ("a\x85b".encode(), "U+0085"),
        ("evil\u202eh5.exe".encode(), "U+202E, RIGHT-TO-LEFT OVERRIDE"),
        ("a\u2066b".encode(), "LEFT-TO-RIGHT ISOLATE"),
        ("a\u200bb".encode(), "ZERO WIDTH SPACE"),
        ("a\u2028b".encode(), "LINE SEPARATOR"),
        ("\ufeffa".encode(), "ZERO WIDTH NO-BREAK SPACE"),
        (b"bad\xff\xfe.h5", "byte 0xff at 3"),
        (b"x" * 201, "201 bytes, at most 200"),
        ("é".encode() * 101, "202 bytes, at most 200"),
        (b"/".join([b"d"] * 34), "33 folders"),
        (b"/".join([b"d" * 199] * 6), "1199 bytes"),
        (b"", "not a plain name"),
        (b"../x", "not a plain name"),
        (b"/etc/passwd", "not a plain name"),
        (b"a//b", "not a plain name"),
        (b"folder/", "not a plain name"),
    ],
)
def test_a_name_that_cannot_be_stored_safely_is_refused(name: bytes, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        check_storable(name)
    assert caught.value.code == "name"
    assert reason in caught.value.detail
    assert caught.value.detail.isprintable()


@pytest.mark.parametrize(
    "name",
    [
        "-rf.h5",
        "a b'\"$(id);`x`.h5",
        "nul",
        "é.h5",
        "e\u0301.h5",
        "雲 2013.nc",
        "x" * 200,
        "a/b/c.txt",
        "x..h5",
        ".hidden",
    ],
)
def test_a_strange_name_that_harms_nobody_may_pass(name: str) -> None:
    check_storable(name.encode())


@given(st.one_of(st.binary(max_size=300), st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_a_name_passes_or_is_refused_as_name_but_never_crashes(name: bytes) -> None:
    try:
        check_storable(name)
    except DataError as error:
        assert error.code == "name"
        assert error.detail.isprintable()


PART = st.one_of(
    st.sampled_from(
        ["SVM01", "GMODO-SVM01", "npp", "j01", "d20131114", "t0010303", "e0011545", "b10607", "noaa", "ops"]
    ),
    st.from_regex(r"[dtebc][0-9]{0,21}", fullmatch=True),
    st.text(alphabet="ABab01-_.é\ud800", max_size=8),
)


@given(st.lists(PART, max_size=12).map(lambda parts: "_".join(parts) + ".h5"))
@example(SVM01)
@example("\udcff.h5")
def test_whatever_the_name_it_is_identified_or_refused_with_a_known_code(name: str) -> None:
    try:
        identity = tell(name)
    except DataError as error:
        assert error.code in {"unrecognised", "name", "time"}
    else:
        assert identity.sensing_start is not None and identity.sensing_end is not None
        assert timedelta(0) <= identity.sensing_end - identity.sensing_start < timedelta(days=1, seconds=1)


@given(
    start=st.datetimes(datetime(2011, 10, 28), datetime(2040, 1, 1)),  # noqa: DTZ001 — made aware below
    seconds=st.integers(0, 86_399),
    orbit=st.integers(0, 99_999),
    products=st.lists(st.sampled_from(["GMODO", "SVM01", "RNSCA", "SATMS", "GCRSO"]), min_size=1, max_size=5),
)
def test_what_a_writer_puts_into_a_name_is_what_we_read(
    start: datetime, seconds: int, orbit: int, products: list[str]
) -> None:
    end = start + timedelta(seconds=seconds)
    shown = [f"{moment:%H%M%S}{moment.microsecond // 100_000}" for moment in (start, end)]
    times = f"d{start:%Y%m%d}_t{shown[0]}_e{shown[1]}_b{orbit:05}_c20400101000000000000"
    name = f"{'-'.join(products)}_j01_{times}_noac_ops.h5"
    identity = tell(name)
    assert identity.products == tuple(products)
    assert identity.orbit == orbit
    for told, true in ((identity.sensing_start, start), (identity.sensing_end, end)):
        assert told is not None and timedelta(0) <= true.replace(tzinfo=UTC) - told < timedelta(seconds=0.1)


@pytest.mark.fault("F32", how="names of 100,000 characters against every pattern")
def test_a_long_hostile_name_costs_no_time() -> None:
    began = time.process_time()
    for name in ("-".join(["SVM01"] * 5_000) + "!.h5", "SVM01" + "-A" * 50_000 + ".h5", "_" * 100_000 + ".h5"):
        with pytest.raises(DataError):
            read_idps(name)
    assert time.process_time() - began < 1


def real_names() -> list[str]:
    file = CORPUS / "names" / "idps_dev.txt"
    lines = file.read_text().splitlines() if file.is_file() else []
    return [line.partition("\t")[0].strip() for line in lines if line and not line.startswith("#")]


@needs_corpus
def test_of_the_real_names_at_least_nine_in_ten_are_identified_and_none_wrongly() -> None:
    names, told = real_names(), {}
    for name in names:
        try:
            told[name] = tell(name)
        except DataError as error:
            assert error.code in {"unrecognised", "time"}, name
    assert len(told) >= 0.9 * len(names)
    for name, identity in told.items():
        first, platform, date, *_ = name.split("_")
        assert name.endswith(".h5")
        assert "-".join(identity.products) == first
        assert identity.platform == platform.upper()
        assert identity.sensing_start is not None and identity.sensing_end is not None
        assert f"d{identity.sensing_start:%Y%m%d}" == date
        assert identity.sensing_end - identity.sensing_start < timedelta(hours=2), name


@needs_corpus
def test_names_of_other_systems_are_not_taken_for_idps() -> None:
    file = CORPUS / "names" / "maxar_dev.txt"
    for line in file.read_text().splitlines():
        if line and not line.startswith("#"):
            assert refusal(line.partition("\t")[0]).code in {"unrecognised", "name"}
