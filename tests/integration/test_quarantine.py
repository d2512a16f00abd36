"""Quarantine tells why, and gives back: whole units, under their old names, over nothing, through any crash."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdings import Holdings
from orbitory import quarantine as module
from orbitory.audit import audit
from orbitory.errors import ConfigurationError, Transient
from orbitory.inventory import connect
from orbitory.inventory.locks import Lock, alone
from orbitory.quarantine import Choice, Return, finish_redrives, quarantined, redrive
from orbitory.settings import Settings
from orbitory.site import Site, open_site
from orbitory.zones import move


@pytest.fixture
def holdings(settings: Settings) -> Iterator[Holdings]:
    with Holdings(settings) as made:
        made.archive("good.bin")
        yield made


@pytest.fixture
def site(settings: Settings, holdings: Holdings) -> Iterator[Site]:
    with open_site(actor="test", settings=settings) as opened:
        yield opened


def back(site: Site, choice: Choice | None = None) -> dict[str, bool]:
    return {result.name: result.returned for result in redrive(site, choice or Choice())}


def landed(holdings: Holdings) -> list[str]:
    return sorted(str(path.relative_to(holdings.landing)) for path in holdings.landing.rglob("*") if not path.is_dir())


def test_each_file_in_quarantine_is_listed_with_where_why_and_since_when(site: Site, holdings: Holdings) -> None:
    unit = holdings.reject("sub/bad.bin", reason="size", sidecar=b"0")
    data, sidecar = quarantined(site)
    assert data["path"] == f"correlative/{unit}/bad.bin"
    assert (data["name"], data["source"], data["reason"], data["stage"]) == (
        "sub/bad.bin",
        "correlative",
        "size",
        "verify",
    )
    assert data["detail"] == "told wrongly" and data["id"] == unit and data["unit"] == sidecar["unit"] == unit
    assert sidecar["path"] == f"correlative/{unit}/bad.bin.md5"
    judged = site.inventory.all("show_history", subject="arrival", id=unit)[-1]
    assert data["since"] == judged["at"] and judged["to"] == "rejected"


def test_the_list_can_be_narrowed_by_source_and_reason(site: Site, holdings: Holdings) -> None:
    holdings.reject("a.bin", reason="size")
    holdings.reject("b.bin", reason="checksum")

    def names(choice: Choice) -> list[str]:
        return [row["name"] for row in quarantined(site, choice)]

    assert names(Choice()) == ["a.bin", "b.bin"]
    assert names(Choice(reason="checksum")) == ["b.bin"]
    assert names(Choice(source="correlative", reason="size")) == ["a.bin"]
    assert names(Choice(source="idps")) == []


def test_a_unit_returns_whole_to_its_old_place_and_the_ledger_tells(site: Site, holdings: Holdings) -> None:
    unit = holdings.reject("sub/dir/bad.bin", content=b"bytes of bad", sidecar=b"sum")
    before = next(holdings.settings.quarantine.rglob("bad.bin")).stat()
    (holdings.landing / "sub" / "dir").rmdir()
    assert back(site) == {"sub/dir/bad.bin": True, "sub/dir/bad.bin.md5": True}
    after = holdings.landing / "sub" / "dir" / "bad.bin"
    assert after.read_bytes() == b"bytes of bad"
    assert (after.stat().st_ino, after.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (holdings.landing / "sub" / "dir" / "bad.bin.md5").read_bytes() == b"sum"
    assert list((holdings.settings.quarantine / "correlative").iterdir()) == [], "folder and note are gone"
    row = site.inventory.all("show_arrivals", ids=[unit], assets=[])[0]
    assert (row["state"], row["reason"], row["quarantine_path"]) == ("rejected", "checksum", None)
    assert row["detail"] == "re-driven: told wrongly"
    assert list(quarantined(site)) == []
    assert list(audit(site)) == []


def test_a_sidecar_never_lands_after_its_data(site: Site, holdings: Holdings, monkeypatch: pytest.MonkeyPatch) -> None:
    holdings.reject("bad.bin", sidecar=b"sum")
    order: list[str] = []

    def watched(source: Path, target: Path) -> bool:
        order.append(target.name)
        return move(source, target)

    monkeypatch.setattr(module, "move", watched)
    back(site)
    assert order == ["bad.bin.md5", "bad.bin"]


def test_choosing_any_file_of_a_unit_chooses_the_unit(site: Site, holdings: Holdings) -> None:
    first, second = holdings.reject("a.bin", sidecar=b"0"), holdings.reject("b.bin")
    assert back(site, Choice(ids=(first + 1,))) == {"a.bin": True, "a.bin.md5": True}
    assert [row["id"] for row in quarantined(site)] == [second]


def test_an_unknown_number_is_told_before_anything_moves(site: Site, holdings: Holdings) -> None:
    unit = holdings.reject("a.bin")
    with pytest.raises(ConfigurationError, match="there is no arrival 4711"):
        back(site, Choice(ids=(unit, 4711)))
    assert landed(holdings) == []


@pytest.mark.parametrize("taken", ["bad.bin", "bad.bin.md5"])
def test_a_taken_name_keeps_the_whole_unit_and_is_told(site: Site, holdings: Holdings, taken: str) -> None:
    unit = holdings.reject("bad.bin", sidecar=b"sum")
    other = holdings.reject("other.bin")
    (holdings.landing / taken).write_bytes(b"newer")
    results = {result.name: result for result in redrive(site, Choice())}
    assert not results["bad.bin"].returned and not results["bad.bin.md5"].returned
    assert f"{taken} stands in the landing zone already" in results["bad.bin"].detail
    assert results["other.bin"].returned and results["other.bin"].id == other
    assert (holdings.landing / taken).read_bytes() == b"newer"
    kept = list(quarantined(site))
    assert [row["unit"] for row in kept] == [unit, unit] and kept[0]["detail"] == "told wrongly"
    assert list(audit(site)) == []


def test_a_name_taken_in_the_last_moment_is_not_overwritten(
    site: Site, holdings: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    holdings.reject("bad.bin")

    def rival(source: Path, target: Path) -> bool:
        (holdings.landing / "bad.bin").write_bytes(b"newer")
        return move(source, target)

    monkeypatch.setattr(module, "move", rival)
    (result,) = redrive(site, Choice())
    assert not result.returned and "another file stands in its way" in result.detail
    assert (holdings.landing / "bad.bin").read_bytes() == b"newer"
    assert [row["name"] for row in quarantined(site)] == ["bad.bin"]
    assert list(audit(site)) == []


def test_a_planted_link_does_not_lead_a_file_out_of_the_landing_zone(
    site: Site, holdings: Holdings, tmp_path: Path
) -> None:
    holdings.reject("sub/bad.bin")
    (holdings.landing / "sub").rmdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (holdings.landing / "sub").symlink_to(outside)
    assert back(site) == {"sub/bad.bin": False}
    assert list(outside.iterdir()) == []
    assert [row["name"] for row in quarantined(site)] == ["sub/bad.bin"]


def test_a_path_that_climbs_out_is_refused(site: Site, holdings: Holdings) -> None:
    unit = holdings.reject("bad.bin")
    holdings.sql("UPDATE arrival SET path = '../../climbed.bin' WHERE id = %s", unit)
    (result,) = redrive(site, Choice())
    assert not result.returned
    assert not list(holdings.settings.landing.parent.rglob("climbed.bin"))


@pytest.mark.parametrize("name", ["\udcff\udcfe.bin", "with space\tand\nline.bin", "-rf", "$(id)", "ünï.bin"])
def test_any_name_finds_its_way_back(site: Site, holdings: Holdings, name: str) -> None:
    holdings.reject(name)
    (row,) = quarantined(site)
    assert row["name"] == os.fsencode(name).decode("utf-8", "backslashreplace")
    assert all(back(site).values())
    assert [os.fsencode(file.name) for file in holdings.landing.iterdir()] == [os.fsencode(name)]


def test_a_link_goes_back_as_a_link(site: Site, holdings: Holdings, tmp_path: Path) -> None:
    unit = holdings.reject("link.bin", reason="type")
    held = next(holdings.settings.quarantine.rglob("link.bin"))
    held.unlink()
    held.symlink_to(tmp_path / "anywhere")
    assert back(site, Choice(ids=(unit,))) == {"link.bin": True}
    assert (holdings.landing / "link.bin").readlink() == tmp_path / "anywhere"


def test_a_file_that_is_gone_is_told_and_stays_a_violation(site: Site, holdings: Holdings) -> None:
    holdings.reject("bad.bin")
    next(holdings.settings.quarantine.rglob("bad.bin")).unlink()
    (result,) = redrive(site, Choice())
    assert not result.returned and "no longer stands in quarantine" in result.detail
    assert [violation.invariant for violation in audit(site)] == ["I1"]


class Killed(BaseException):
    """As sudden as a signal: nothing catches it."""


@pytest.mark.fault("F51", how="a re-drive is cut short at each of its steps")
@pytest.mark.parametrize("instant", ["before the move", "after the move"])
def test_a_redrive_killed_at_any_instant_is_finished_by_the_next(
    settings: Settings, holdings: Holdings, monkeypatch: pytest.MonkeyPatch, instant: str
) -> None:
    holdings.reject("a.bin", sidecar=b"0")
    holdings.reject("b.bin")

    def kill(source: Path, target: Path) -> bool:
        if instant == "after the move":
            move(source, target)
        raise Killed

    with open_site(actor="test", settings=settings) as site, monkeypatch.context() as patched:
        patched.setattr(module, "move", kill)
        with pytest.raises(Killed):
            back(site)
    places = [*holdings.landing.rglob("*.*"), *(p for p in holdings.settings.quarantine.rglob("*.bin*"))]
    assert sorted(path.name for path in places) == ["a.bin", "a.bin.md5", "b.bin"], "each file in exactly one place"
    with open_site(actor="test", settings=settings) as site:
        assert {violation.invariant for violation in audit(site)} == {"I10"}
        assert all(back(site).values())
        assert landed(holdings) == ["a.bin", "a.bin.md5", "b.bin"]
        assert list(quarantined(site)) == [] and list(audit(site)) == []


def test_recovery_alone_brings_the_ledger_in_line(site: Site, holdings: Holdings) -> None:
    moved, still = holdings.reject("a.bin"), holdings.reject("b.bin")
    holdings.sql("UPDATE arrival SET detail = 're-driving: ' || detail WHERE state = 'rejected'")
    next(holdings.settings.quarantine.rglob("a.bin")).rename(holdings.landing / "a.bin")
    finish_redrives(site)
    rows = {row["id"]: row for row in site.inventory.all("show_arrivals", ids=[moved, still], assets=[])}
    assert rows[moved]["quarantine_path"] is None and rows[moved]["detail"] == "re-driven: told wrongly"
    assert rows[still]["quarantine_path"] is not None and rows[still]["detail"] == "told wrongly"


def test_two_redrives_do_not_work_at_once(site: Site, holdings: Holdings) -> None:
    unit = holdings.reject("a.bin")
    with connect(holdings.settings.database, actor="rival") as rival, alone(rival, Lock.REDRIVE) as taken:
        assert taken
        with pytest.raises(Transient, match="another re-drive is at work"):
            back(site)
        holdings.sql("UPDATE arrival SET detail = 're-driving: x' WHERE id = %s", unit)
        finish_redrives(site)
        assert [row["detail"] for row in quarantined(site)] == ["re-driving: x"], "the rival's intent is left alone"
        assert list(audit(site)) == []
    assert back(site) == {"a.bin": True}


def test_pages_of_any_size_return_everything_once(
    site: Site, holdings: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        holdings.reject(f"{number}.bin", sidecar=b"0" if number % 2 else None)
    monkeypatch.setattr(module, "_UNITS_AT_ONCE", 2)
    results: list[Return] = list(redrive(site, Choice()))
    assert len({result.id for result in results}) == len(results) == 7
    assert len(landed(holdings)) == 7


def test_a_file_that_cannot_be_moved_now_stays_with_its_reason(
    site: Site, holdings: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    holdings.reject("a.bin")

    def full(source: Path, target: Path) -> bool:
        raise OSError(28, "No space left on device", str(target))

    with monkeypatch.context() as patched:
        patched.setattr(module, "move", full)
        with pytest.raises(Transient, match="No space left on device"):
            back(site)
    assert [row["detail"] for row in quarantined(site)] == ["told wrongly"]
    assert list(audit(site)) == []
