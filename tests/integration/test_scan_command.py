"""orbitory audit --reconcile and --fixity, mirror and repair, as people and other programs call them."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

from answers import Orbitory
from mirroring import deliver, mirrored, stored
from orbitory.settings import Settings
from scanning import later


@pytest.fixture
def archive(orbitory: Orbitory, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Eight archived files whose product type has a mirror, which ``orbitory`` works on, too."""
    made = mirrored(settings, tmp_path)
    monkeypatch.setenv("ORBITORY_CATALOGUE", str(made.catalogue))
    monkeypatch.setenv("ORBITORY_MIRROR", str(made.mirrors["default"]))
    deliver(made, *range(8))
    return made


@pytest.mark.req("B8", "B9")
def test_each_command_is_a_run_of_its_own_and_tells_findings_as_violations(
    orbitory: Orbitory, archive: Settings
) -> None:
    clean = orbitory("audit", "--reconcile", "--fixity", "--json")
    assert clean.status == 0 and clean.json["violations"] == [] and clean.json["cycle_days"] == 1
    assert clean.json["checked_bytes"] == sum(each.stat().st_size for each in archive.storage.rglob("*.csv"))
    stored(archive, 3).unlink()
    file = stored(archive, 4)
    file.write_bytes(file.read_bytes()[::-1])
    (archive.storage / "stray.bin").write_bytes(b"?")
    first = orbitory("audit", "--reconcile", "--json")
    assert first.status == 4
    assert [each["invariant"] for each in first.json["violations"]] == ["I2", "I3"]
    later(archive)
    second = orbitory("audit", "--reconcile", "--fixity", "--json")
    assert second.json["done"] == {"quarantined": 1, "suspect": 2, "repaired": 0, "whole": 0, "held_back": []}
    assert "files are suspect" in orbitory("status", "--json").json["problems"][0]
    (dark,) = orbitory("quarantine", "list", "--json").json
    assert (dark["reason"], dark["name"], dark["id"]) == ("dark", "stray.bin", None)
    assert "stray.bin" in orbitory("quarantine", "list").out
    refused = orbitory("audit", "--fixity", "--no-hash")
    assert refused.status == 2 and "--no-hash goes with the whole audit alone" in refused.err
    told = orbitory("audit", "--fixity")
    assert told.status == 4 and "site_04.csv" in told.out and "full cycle every" in told.out


@pytest.mark.req("B8")
def test_the_mirror_repairs_and_restores_on_the_command_line(orbitory: Orbitory, archive: Settings) -> None:
    assert orbitory("mirror", "status", "--json").json["mirrors"][0]["waiting_files"] == 8
    assert not archive.mirrors["default"].exists(), "looking makes no mirror"
    assert orbitory("mirror", "run", "--json").json["mirrors"][0]["copied"] == 8
    assert "8" in orbitory("mirror", "status").out and orbitory("mirror", "run").status == 0
    file, good = stored(archive, 4), stored(archive, 4).read_bytes()
    file.write_bytes(good[::-1])
    answer = orbitory("repair", "site_04.csv", "--json")
    assert answer.status == 0 and answer.json["repaired"] == 1 and file.read_bytes() == good
    assert [each["reason"] for each in orbitory("quarantine", "list", "--json").json] == ["damaged"]
    whole = orbitory("repair", str(file.relative_to(archive.storage)))
    assert whole.status == 0 and "is whole" in whole.out
    unknown = orbitory("repair", "nothing.csv")
    assert unknown.status == 2 and "holds no file 'nothing.csv'" in unknown.err
    for each in archive.storage.rglob("*.csv"):
        each.unlink()
    assert orbitory("audit", "--no-hash").status == 4
    restored = orbitory("mirror", "restore", "--json")
    assert restored.status == 0 and restored.json["repaired"] == 8
    assert orbitory("audit").out == "no violations\n"


@pytest.mark.req("B8")
def test_a_copy_that_rotted_is_1_and_a_mirror_in_trouble_does_not_stop_the_next(
    orbitory: Orbitory, archive: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert orbitory("mirror", "run").status == 0
    with psycopg.connect(archive.database, autocommit=True) as connection:
        connection.execute(
            "UPDATE mirror_copy SET copied_at = now() - interval '2 days', verified_at = now() - interval '2 days'"
        )
    copy = next(archive.mirrors["default"].rglob("site_03.csv"))
    copy.chmod(0o644)
    copy.write_bytes(b"rotten")
    monkeypatch.setenv("ORBITORY_MIRROR_ANOTHER", str(archive.storage / "within"))
    answer = orbitory("mirror", "run", "--json")
    another, default = answer.json["mirrors"]
    assert answer.status == 1 and "a place of its own" in another["problem"]
    assert default["verified"] == 7 and [each["path"].rsplit("/")[-1] for each in default["bad"]] == ["site_03.csv"]
    monkeypatch.delenv("ORBITORY_MIRROR_ANOTHER")
    told = orbitory("mirror", "status", "--json")
    assert told.status == 1 and told.json["mirrors"][0]["bad_files"] == 1
    assert "who loses one loses both" in told.err
    assert orbitory("mirror", "run").status == 0 and orbitory("mirror", "status").status == 0


@pytest.mark.req("B9")
def test_dark_files_go_back_to_the_landing_zone_of_their_source(orbitory: Orbitory, archive: Settings) -> None:
    file = stored(archive, 3)
    below = file.relative_to(archive.storage / "correlative" / "text").parent
    file.with_name("new.csv").write_bytes(b"a,b\n1,2\n")
    (archive.storage / "stray.bin").write_bytes(b"?")
    for _ in range(2):
        orbitory("audit", "--reconcile")
        later(archive)
    answer = orbitory("quarantine", "redrive", "--reason", "dark", "--json")
    assert answer.status == 1 and "is no source" in answer.out
    assert (archive.landing / "correlative" / below / "new.csv").read_bytes() == b"a,b\n1,2\n"
    assert [each["name"] for each in orbitory("quarantine", "list", "--json").json] == ["stray.bin"]
    for number in range(9):
        file.with_name(f"more_{number}.csv").write_bytes(b"a,b\n3,%d\n" % number)
    for _ in range(2):
        later(archive)
        assert "at fault" in orbitory("audit", "--reconcile").err
    assert orbitory("quarantine", "redrive", "--reason", "dark", "--source", "correlative").status == 0
    assert len(list((archive.landing / "correlative" / below).glob("more_*.csv"))) == 9


@pytest.mark.req("F50")
def test_an_unmounted_storage_is_4_and_says_so(orbitory: Orbitory, archive: Settings) -> None:
    shutil.move(archive.storage, archive.storage.with_name("elsewhere"))
    archive.storage.mkdir()
    for option in ("--reconcile", "--fixity"):
        answer = orbitory("audit", option, "--json")
        assert answer.status == 4 and "looks unmounted" in answer.err and answer.out == ""


def test_nothing_is_mirrored_where_nobody_asks_for_it(orbitory: Orbitory) -> None:
    told = orbitory("mirror", "status")
    assert told.status == 0 and "no product type asks" in told.out
