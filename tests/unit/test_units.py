"""Which files belong together, which of them are complete, and why the others wait."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar

import pytest

from orbitory.catalogue import load
from orbitory.ingest.units import Candidate, Look, Unit, group
from orbitory.model import Stat, State
from orbitory.settings import CHECKOUT

CATALOGUE = load(CHECKOUT / "include" / "catalogue")
CORRELATIVE = CATALOGUE.source("correlative")
IDPS = CATALOGUE.source("idps")
SVM01 = "SVM01_npp_d20131114_t0010303_e0011545_b10607_c20131114064119981830_noaa_ops.h5"
SHA = hashlib.sha256(b"").hexdigest()
MD5 = hashlib.md5(b"").hexdigest()
HOUR = 3600.0


def file(name: str, *, age: float = HOUR, waited: float = 0, unchanged: float = 0, regular: bool = True) -> Candidate:
    return Candidate(
        path=name.encode(),
        name=name,
        stat=Stat(1, 1, 10, 0, 0),
        regular=regular,
        age=age,
        waited=waited,
        unchanged=unchanged,
    )


def decide(
    *files: Candidate, contents: dict[str, str] | None = None, seen: Sequence[str] = (), source: object = CORRELATIVE
) -> dict[str, Unit]:
    texts = contents or {}
    look = Look(
        read=lambda path, limit: texts[path.decode()].encode() if path.decode() in texts else None,
        ever_seen=lambda names: set(names) & set(seen),
    )
    return {unit.main.name: unit for unit in group(files, source, CATALOGUE, look)}  # type: ignore[arg-type]


def fate(unit: Unit) -> tuple[State, str | None]:
    return unit.state, unit.reason


COMPLETE = State.DETECTED, None


def test_a_file_at_rest_is_complete() -> None:
    assert fate(decide(file("a.txt"))["a.txt"]) == COMPLETE


@pytest.mark.req("G2")
def test_a_file_changed_a_moment_ago_waits() -> None:
    assert fate(decide(file("a.txt", age=1))["a.txt"]) == (State.WAITING, "young")


@pytest.mark.req("G2")
@pytest.mark.parametrize("name", ["a.txt.part", "a.tmp", ".a.txt.x7Tz", "sub/.hidden"])
def test_a_temporary_name_waits(name: str) -> None:
    assert fate(decide(file(name))[name]) == (State.WAITING, "temporary")


@pytest.mark.fault("F43", how="a sender whose clock is ahead")
def test_a_file_from_the_future_is_complete_when_it_has_not_changed_for_long_enough() -> None:
    assert fate(decide(file("a.txt", age=-HOUR))["a.txt"]) == (State.WAITING, "young")
    assert fate(decide(file("a.txt", age=-HOUR, unchanged=60))["a.txt"]) == COMPLETE


def test_a_young_file_with_its_announced_checksum_is_complete() -> None:
    units = decide(file("a.txt", age=1), file("a.txt.sha256"), contents={"a.txt.sha256": SHA})
    assert fate(units["a.txt"]) == COMPLETE
    assert units["a.txt"].lead.announced == [
        {"algorithm": "sha256", "value": SHA, "size": None, "origin": "a.txt.sha256"}
    ]


def test_sidecars_belong_to_their_data_file() -> None:
    units = decide(file("a.txt"), file("a.txt.sha256"), contents={"a.txt.sha256": SHA})
    assert [each.name for each in units["a.txt"].lead.sidecars] == ["a.txt.sha256"]
    assert list(units) == ["a.txt"]


@pytest.mark.fault("F31", how="a sidecar without its file, beyond the grace time")
def test_a_sidecar_without_its_file_waits_until_grace_then_is_incomplete() -> None:
    assert fate(decide(file("a.txt.md5"))["a.txt.md5"]) == (State.WAITING, "no_data")
    assert fate(decide(file("a.txt.md5", waited=25 * HOUR))["a.txt.md5"]) == (State.DETECTED, "incomplete")


def test_a_malformed_sidecar_dooms_its_file_once_it_is_at_rest() -> None:
    contents = {"a.txt.sha256": "not a hash"}
    young = decide(file("a.txt"), file("a.txt.sha256", age=1), contents=contents)
    assert fate(young["a.txt"]) == (State.WAITING, "young")
    rested = decide(file("a.txt"), file("a.txt.sha256"), contents=contents)
    assert fate(rested["a.txt"]) == (State.DETECTED, "checksum")


@pytest.mark.fault("F30", how="two announcements that disagree")
def test_two_announcements_that_disagree_doom_the_file() -> None:
    units = decide(
        file("a.txt"),
        file("a.txt.sha256"),
        file("SHA256SUMS"),
        contents={"a.txt.sha256": SHA, "SHA256SUMS": f"{'0' * 64}  a.txt\n"},
    )
    assert fate(units["a.txt"]) == (State.DETECTED, "checksum")
    assert "disagree" in str(units["a.txt"].detail)


class TestManifests:
    contents: ClassVar = {"day/MD5SUMS": f"{MD5}  a.txt\n{MD5}  b.txt\n"}

    def test_a_manifest_announces_the_files_of_its_folder(self) -> None:
        units = decide(file("day/MD5SUMS"), file("day/a.txt", age=1), file("day/b.txt"), contents=self.contents)
        assert all(fate(unit) == COMPLETE for unit in units.values())
        assert units["day/a.txt"].lead.announced[0]["origin"] == "MD5SUMS"
        assert units["day/MD5SUMS"].lead.role == "manifest"

    def test_it_waits_until_every_file_it_names_was_seen(self) -> None:
        units = decide(file("day/MD5SUMS"), file("day/a.txt"), contents=self.contents)
        assert fate(units["day/MD5SUMS"]) == (State.WAITING, "set")
        assert fate(units["day/a.txt"]) == COMPLETE
        seen = decide(file("day/MD5SUMS"), file("day/a.txt"), contents=self.contents, seen=["day/b.txt"])
        assert fate(seen["day/MD5SUMS"]) == COMPLETE

    def test_it_says_nothing_while_it_is_still_written(self) -> None:
        units = decide(file("day/MD5SUMS", age=1), file("day/a.txt"), contents=self.contents)
        assert fate(units["day/MD5SUMS"]) == (State.WAITING, "young")
        assert units["day/a.txt"].lead.announced == []


def test_what_is_not_a_regular_file_is_never_read() -> None:
    units = decide(file("a.txt.sha256", regular=False), contents={})
    assert fate(units["a.txt.sha256"]) == (State.DETECTED, "type")


def test_a_name_of_no_grammar_is_doomed_once_complete() -> None:
    assert fate(decide(file("foo.h5"), source=IDPS)["foo.h5"]) == (State.DETECTED, "unrecognised")
    assert fate(decide(file("foo.h5", age=1), source=IDPS)["foo.h5"]) == (State.WAITING, "young")


def test_a_good_name_tells_sensor_and_sensing_time() -> None:
    unit = decide(file(f"2013/{SVM01}"), source=IDPS)[f"2013/{SVM01}"]
    assert unit.sensor == "VIIRS"
    assert unit.span is not None
    assert f"{unit.span[0]:%Y%m%dT%H%M%S.%f}" == "20131114T001030.300000"


NGA = CATALOGUE.source("nga")


class TestStrips:
    name = "WV01_20091004222215_1020010009B33500_09OCT04222215-P1BS-052532098020_01_P019"

    @pytest.mark.req("N14")
    def test_image_metadata_and_bundle_of_one_folder_are_one_unit_led_by_the_image(self) -> None:
        files = [file(f"a/{self.name}.{ending}") for ending in ("xml", "tar", "tif", "ntf")]
        (unit,) = decide(*files, source=NGA).values()
        assert [part.role for part in unit.parts] == ["data", "bundle", "sibling", "metadata"]
        assert unit.main.name.endswith(".ntf")
        assert fate(unit) == COMPLETE

    def test_the_same_scene_in_another_folder_is_another_unit(self) -> None:
        files = [file(f"{folder}/{self.name}.{ending}") for folder in "ab" for ending in ("ntf", "xml")]
        assert [unit.files for unit in decide(*files, source=NGA).values()] == [2, 2]

    @pytest.mark.req("N4")
    def test_an_image_without_metadata_and_a_bundle_without_image_wait_then_are_incomplete(self) -> None:
        for ending in ("ntf", "tar"):
            name = f"{self.name}.{ending}"
            assert fate(decide(file(name), source=NGA)[name]) == (State.WAITING, "set")
            late = decide(file(name, waited=1000 * HOUR), source=NGA)[name]
            assert fate(late) == (State.DETECTED, "incomplete")

    @pytest.mark.req("N4")
    def test_metadata_of_the_strip_serve_all_its_tiles(self) -> None:
        tile = "WV02_20100423190859_1030010005C7AF00_10APR23190859-M2AS_{}-052462689010_01_P001.tif"
        strip = "WV02_20100423190859_1030010005C7AF00_10APR23190859-M2AS-052462689010_01_P001.xml"
        (unit,) = decide(file(tile.format("R1C2")), file(strip), file(tile.format("R1C1")), source=NGA).values()
        assert [part.role for part in unit.parts] == ["data", "data", "metadata"]
        assert "R1C1" in unit.main.name

    def test_a_young_member_keeps_the_whole_unit_waiting(self) -> None:
        units = decide(file(f"{self.name}.ntf"), file(f"{self.name}.xml", age=1), source=NGA)
        assert [fate(unit) for unit in units.values()] == [(State.WAITING, "young")]

    def test_each_file_of_a_unit_may_have_a_checksum_of_its_own(self) -> None:
        files = [file(f"{self.name}.ntf"), file(f"{self.name}.tar"), file(f"{self.name}.tar.md5")]
        (unit,) = decide(*files, contents={f"{self.name}.tar.md5": MD5}, source=NGA).values()
        assert [(part.role, len(part.announced)) for part in unit.parts] == [("data", 0), ("bundle", 1)]
        assert unit.files == 3
