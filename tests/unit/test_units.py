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


def test_a_file_from_the_future_is_complete_when_it_has_not_changed_for_long_enough() -> None:
    assert fate(decide(file("a.txt", age=-HOUR))["a.txt"]) == (State.WAITING, "young")
    assert fate(decide(file("a.txt", age=-HOUR, unchanged=60))["a.txt"]) == COMPLETE


def test_a_young_file_with_its_announced_checksum_is_complete() -> None:
    units = decide(file("a.txt", age=1), file("a.txt.sha256"), contents={"a.txt.sha256": SHA})
    assert fate(units["a.txt"]) == COMPLETE
    assert units["a.txt"].announced == [{"algorithm": "sha256", "value": SHA, "size": None, "origin": "a.txt.sha256"}]


def test_sidecars_belong_to_their_data_file() -> None:
    units = decide(file("a.txt"), file("a.txt.sha256"), contents={"a.txt.sha256": SHA})
    assert [each.name for each in units["a.txt"].sidecars] == ["a.txt.sha256"]
    assert list(units) == ["a.txt"]


def test_a_sidecar_without_its_file_waits_until_grace_then_is_incomplete() -> None:
    assert fate(decide(file("a.txt.md5"))["a.txt.md5"]) == (State.WAITING, "no_data")
    assert fate(decide(file("a.txt.md5", waited=25 * HOUR))["a.txt.md5"]) == (State.DETECTED, "incomplete")


def test_a_malformed_sidecar_dooms_its_file_once_it_is_at_rest() -> None:
    contents = {"a.txt.sha256": "not a hash"}
    young = decide(file("a.txt"), file("a.txt.sha256", age=1), contents=contents)
    assert fate(young["a.txt"]) == (State.WAITING, "young")
    rested = decide(file("a.txt"), file("a.txt.sha256"), contents=contents)
    assert fate(rested["a.txt"]) == (State.DETECTED, "checksum")


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
        assert units["day/a.txt"].announced[0]["origin"] == "MD5SUMS"
        assert units["day/MD5SUMS"].role == "manifest"

    def test_it_waits_until_every_file_it_names_was_seen(self) -> None:
        units = decide(file("day/MD5SUMS"), file("day/a.txt"), contents=self.contents)
        assert fate(units["day/MD5SUMS"]) == (State.WAITING, "set")
        assert fate(units["day/a.txt"]) == COMPLETE
        seen = decide(file("day/MD5SUMS"), file("day/a.txt"), contents=self.contents, seen=["day/b.txt"])
        assert fate(seen["day/MD5SUMS"]) == COMPLETE

    def test_it_says_nothing_while_it_is_still_written(self) -> None:
        units = decide(file("day/MD5SUMS", age=1), file("day/a.txt"), contents=self.contents)
        assert fate(units["day/MD5SUMS"]) == (State.WAITING, "young")
        assert units["day/a.txt"].announced == []


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
