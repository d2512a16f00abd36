"""Every package is pinned, for every Python that is supported, and what is installed is what is pinned."""

from __future__ import annotations

from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from orbitory.settings import CHECKOUT

FILES = ("requirements.txt", "requirements-dev.txt")
#: Of an environment of its own: it need not agree with the others.
BENCHMARK = "benchmarks/requirements.txt"


def pins(name: str) -> list[Requirement]:
    lines = (line.strip() for line in (CHECKOUT / name).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name", (*FILES, BENCHMARK))
def test_every_line_is_one_exact_version(name: str) -> None:
    assert [str(pin) for pin in pins(name) if [part.operator for part in pin.specifier] != ["=="]] == []


@pytest.mark.parametrize("name", (*FILES, BENCHMARK))
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_each_python_gets_one_version_of_each_package(name: str, python: str) -> None:
    here = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    chosen = [canonicalize_name(pin.name) for pin in pins(name) if pin.marker is None or pin.marker.evaluate(here)]
    assert len(chosen) == len(set(chosen))
    wanted = {canonicalize_name(pin.name) for pin in _named(name.replace(".txt", ".in"))}
    assert wanted <= set(chosen)


def _named(name: str) -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in (CHECKOUT / name).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def test_libraries_that_left_python_3_11_are_pinned_twice() -> None:
    for name in ("numpy", "rasterio"):
        assert len([pin for pin in pins("requirements.txt") if pin.name == name]) == 2


def test_the_two_files_agree() -> None:
    versions: dict[str, set[str]] = {}
    for name in FILES:
        for pin in pins(name):
            if pin.marker is None:
                versions.setdefault(canonicalize_name(pin.name), set()).add(str(pin.specifier))
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_what_is_installed_is_what_is_pinned() -> None:
    wanted = {pin.name: pin for name in FILES for pin in pins(name) if pin.marker is None or pin.marker.evaluate()}
    wrong = {
        name: metadata.version(name) for name, pin in wanted.items() if metadata.version(name) not in pin.specifier
    }
    assert wrong == {}
