"""Parameters of the master footprints are checked, and both styles of a path give back each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbitory.errors import ConfigurationError
from orbitory.mfp import Parameters
from orbitory.mfp.paths import NoSuchPair, to_linux, to_windows

REAL = (
    "WV01/1B/2015/100/WV01_102001003A7E9A00_X1BS_502788423060_01/"
    "WV01_20150410052955_102001003A7E9A00_15APR10052955-P1BS-502788423060_01_P005.ntf"
)
ROOTS = st.sampled_from(
    [
        Parameters(),
        Parameters(linux_root="/", windows_root="C:/"),
        Parameters(linux_root="/att/pub repo/NGA/", windows_root="//server/share/nga/"),
        Parameters(linux_root="/P:/data/", windows_root="P:/css/nga/"),
    ]
)
#: Anything that a file system of Linux takes.
NAMES = st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=12), min_size=1, max_size=5).map(
    "/".join
)
#: What Windows takes, too, most of the time.
PLAIN = st.lists(st.text("aZ09_-. é", min_size=1, max_size=8), min_size=1, max_size=5).map("/".join)


@pytest.mark.req("N12")
def test_the_pair_of_a_real_path() -> None:
    assert to_windows(f"/css/nga/{REAL}", Parameters()) == f"P:/data/{REAL}"
    assert to_linux(f"P:/data/{REAL}", Parameters()) == f"/css/nga/{REAL}"
    assert to_linux(f"p:\\data\\{REAL}".replace("/", "\\"), Parameters()) == f"/css/nga/{REAL}"


@pytest.mark.req("N12")
@given(below=NAMES | PLAIN, parameters=ROOTS)
def test_a_path_comes_back_as_it_was_or_is_refused(below: str, parameters: Parameters) -> None:
    linux = parameters.linux_root + below
    try:
        windows = to_windows(linux, parameters)
    except NoSuchPair:
        return
    assert to_linux(windows, parameters) == linux
    assert to_linux(windows.replace("/", "\\"), parameters) == linux or windows.startswith("//")
    assert "\\" not in windows and windows.startswith(parameters.windows_root)


@pytest.mark.req("N12")
@given(below=NAMES | PLAIN, parameters=ROOTS)
def test_and_so_does_a_path_of_windows(below: str, parameters: Parameters) -> None:
    windows = parameters.windows_root + below
    try:
        linux = to_linux(windows, parameters)
    except NoSuchPair:
        return
    assert to_windows(linux, parameters) == windows.replace("\\", "/")


@pytest.mark.req("N12")
@given(one=PLAIN, other=PLAIN)
def test_two_files_never_share_a_path(one: str, other: str) -> None:
    found = []
    for below in (one, other):
        try:
            found.append(to_windows(f"/css/nga/{below}", Parameters()))
        except NoSuchPair:
            return
    assert (found[0] == found[1]) == (one == other)


@pytest.mark.parametrize(
    "below",
    [
        "a\\b",
        "a:b",
        "a?",
        "con",
        "AUX.ntf",
        "COM1",
        "LPT9.tif",
        "a.",
        "a ",
        "a\n",
        "",
        "a//b",
        "../a",
        "a/./b",
        "/a",
        "a/",
    ],
)
def test_what_windows_cannot_hold_is_refused_not_changed(below: str) -> None:
    with pytest.raises(NoSuchPair):
        to_windows(f"/css/nga/{below}", Parameters())


@pytest.mark.parametrize("path", ["/css/ngax/a", "/css/nga", "css/nga/a", "P:/data/a", ""])
def test_what_stands_elsewhere_has_no_pair(path: str) -> None:
    with pytest.raises(NoSuchPair, match="is not below '/css/nga/'"):
        to_windows(path, Parameters())


@pytest.mark.req("N12")
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("linux_root", "css/nga/", "/css/nga/"),
        ("linux_root", "/css/nga", "/css/nga/"),
        ("linux_root", "/css/../nga/", "a path without . and .."),
        ("windows_root", "P:\\data\\", "P:/data/"),
        ("windows_root", "p:/data/", "P:/data/"),
        ("windows_root", "/data/", "P:/data/"),
        ("search_radius_km", -1, "a number from 0 to 20000"),
        ("search_radius_km", float("nan"), "a number"),
        ("horizontal_distance_threshold_m", "12", "a number"),
        ("max_cloud", 1.5, "a number from 0 to 1"),
        ("min_sun", True, "a number from -90 to 90"),
        ("overlap", 2, "a number from 0 to 1"),
        ("target_day", "02-30", "a month and day such as 07-15"),
        ("target_day", "7-15", "a month and day such as 07-15"),
        ("environment", "prod", "one of alpha, dev-nccs, prod-nccs, dev-drg, prod-drg"),
    ],
)
def test_a_parameter_that_cannot_be_meant_is_refused_by_name(name: str, value: object, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Parameters(**{name: value})  # type: ignore[arg-type]
    assert str(caught.value).startswith(f"{name} is {value!r}: expected ")
    assert expected in str(caught.value)


@pytest.mark.req("N12")
def test_parameters_come_from_the_deployment_and_can_be_changed_for_one_run() -> None:
    deployed = Parameters.of_deployment(
        {
            "ORBITORY_MFP_LINUX_ROOT": "/explore/nga/",
            "ORBITORY_MFP_WINDOWS_ROOT": "Q:/nga/",
            "ORBITORY_MFP_SEARCH_RADIUS_KM": "20",
            "ORBITORY_MFP_ENVIRONMENT": "prod-nccs",
        }
    )
    assert to_windows("/explore/nga/a.ntf", deployed) == "Q:/nga/a.ntf"
    assert (deployed.search_radius_km, deployed.environment) == (20.0, "prod-nccs")
    assert Parameters.of_deployment({}) == Parameters()
    assert deployed.changed(target_day="02-29", overlap=None).as_dict() == {**deployed.as_dict(), "target_day": "02-29"}
    with pytest.raises(ConfigurationError, match="search_radius_km is 'wide'"):
        Parameters.of_deployment({"ORBITORY_MFP_SEARCH_RADIUS_KM": "wide"})
