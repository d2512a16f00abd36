"""Strips: never half of one, one sensor at a time if asked, and late copies of what is gone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import psycopg
import pytest

from orbitory import ingest as steps
from orbitory.announcements import role_of
from orbitory.audit import audit
from orbitory.catalogue import load
from orbitory.errors import IntegrityError
from orbitory.ingest import Selection
from orbitory.ingest.run import ingest
from orbitory.names import family, identify
from orbitory.register import register
from orbitory.settings import CHECKOUT, Settings
from orbitory.simulate import simulate
from orbitory.site import open_site
from scanning import compare
from strip_samples import SCENE, TILED, image, imd, xml


def command(settings: Settings, *arguments: str) -> subprocess.Popen[str]:
    """The real program, working on this site."""
    environment = os.environ | {
        "PYTHONPATH": str(CHECKOUT / "include"),
        "ORBITORY_DATABASE": settings.database,
        "ORBITORY_ROOT": str(settings.landing.parent),
    }
    arguments = (sys.executable, "-m", "orbitory", *arguments)
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def deliver(settings: Settings, files: int, seed: int = 3) -> None:
    simulate(load(settings.catalogue), "nga", files, seed, "", settings.landing / "nga")


def strips(settings: Settings) -> dict[str, set[str]]:
    """Images of each strip, by their keys, as the names in the landing zone tell."""
    catalogue = load(settings.catalogue)
    source = catalogue.source("nga")
    found: dict[str, set[str]] = defaultdict(set)
    for path in (settings.landing / "nga").rglob("*"):
        if path.is_file() and role_of(path.name, source) == "data":
            identity = identify(path.name, source, catalogue)
            if identity.role == "data" and family(identity):
                found[family(identity)].add(identity.details["granule_key"])
    return found


def visible(settings: Settings) -> set[str]:
    with psycopg.connect(settings.database) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM granule WHERE state = 'archived'")}


@pytest.mark.fault("F05", how="SIGKILL amid the files of one strip")
@pytest.mark.req("N14")
def test_a_kill_inside_a_strip_leaves_no_half_strip(settings: Settings) -> None:
    deliver(settings, 60)
    wanted = strips(settings)
    assert any(len(images) > 1 for images in wanted.values()), "strips of several images"
    for files_placed in (1, 3, 8):
        with command(settings, "ingest", "nga", "--workers", "1") as running:
            deadline = time.monotonic() + 60
            while running.poll() is None and time.monotonic() < deadline:
                placed = settings.storage.rglob("*.*") if settings.storage.exists() else ()
                if sum(1 for _ in placed) > files_placed:
                    break
            running.send_signal(signal.SIGKILL)
        shown = visible(settings)
        for strip, images in wanted.items():
            assert images & shown in (set(), images), strip
    ingest(settings, "nga")
    assert set().union(*wanted.values()) <= visible(settings)
    with open_site(actor="test", settings=settings) as site:
        assert [violation.as_dict() for violation in audit(site)] == []


@pytest.mark.req("N15")
def test_two_sensors_are_worked_on_at_the_same_time_and_neither_touches_the_other(settings: Settings) -> None:
    deliver(settings, 120)
    runs = {sensor: command(settings, "ingest", "nga", "--sensor", sensor) for sensor in ("WV01", "WV02")}
    for run in runs.values():
        _, err = run.communicate(timeout=120)
        assert run.returncode == 0, err
    with psycopg.connect(settings.database) as connection:
        touched = connection.execute(
            "SELECT r.params -> 'sensors' ->> 0, a.sensor, count(*) FROM arrival a JOIN ingest_run r ON r.id = a.run_id"
            " GROUP BY 1, 2 ORDER BY 1"
        ).fetchall()
        deadlocks = connection.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert [(asked, sensor) for asked, sensor, _ in touched] == [("WV01", "WV01"), ("WV02", "WV02")]
    assert deadlocks == (0,)
    ingest(settings, "nga", Selection(workers=2))
    with open_site(actor="test", settings=settings) as site:
        assert [violation.as_dict() for violation in audit(site)] == []


@pytest.mark.parametrize("late", ["archive", "skip"])
def test_a_late_copy_of_what_was_removed_is_known_by_its_tombstone(
    settings: Settings, owner_uri: str, tmp_path: Path, late: str
) -> None:
    catalogue = tmp_path / "catalogue"
    shutil.copytree(settings.catalogue, catalogue)
    file = catalogue / "sources" / "correlative.toml"
    file.write_text(file.read_text().replace('late = "archive"', f'late = "{late}"'))
    site = Settings.from_environment(
        {
            "ORBITORY_DATABASE": settings.database,
            "ORBITORY_ROOT": str(settings.landing.parent),
            "ORBITORY_CATALOGUE": str(catalogue),
        }
    )
    landing = site.landing / "correlative"
    landing.mkdir(parents=True, exist_ok=True)

    def deliver_again() -> str:
        (landing / "a.txt").write_text("a")
        os.utime(landing / "a.txt", (1e9, 1e9))
        report = ingest(site, "correlative")
        return "archived" if report.archived else "duplicate" if report.duplicate else "?"

    assert deliver_again() == "archived"
    with psycopg.connect(
        owner_uri
    ) as connection:  # as retention removes: file and rows, leaving the rows as tombstones
        connection.execute("UPDATE granule SET state = 'deleting', expires_at = now() - interval '1 day'")
        connection.execute("UPDATE asset SET state = 'deleting'")
        connection.execute("UPDATE asset SET state = 'deleted', removal = 'expired'")
        connection.execute("UPDATE granule SET state = 'deleted'")
    next(path for path in site.storage.rglob("a.txt")).unlink()
    assert deliver_again() == ("archived" if late == "archive" else "duplicate")
    assert not (landing / "a.txt").exists()
    kept = [path.read_text() for path in (site.trash / "skipped").rglob("a.txt")]
    assert kept == ([] if late == "archive" else ["a"]), "what is skipped goes to the trash"
    with open_site(actor="test", settings=site) as opened:
        assert [violation.as_dict() for violation in audit(opened)] == []


def land(settings: Settings, folder: str, files: dict[str, bytes]) -> None:
    """Files at rest in a folder of the landing zone of nga."""
    for name, content in files.items():
        path = settings.landing / "nga" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1e9, 1e9))


def tile(tmp_path: Path, number: int) -> dict[str, bytes]:
    """One tile of a strip, as name and content."""
    name = f"{TILED.format(tile=f'R1C{number}')}.ntf"
    image(tmp_path / name, bounds=(33.0 + number, 40.0, 34.0 + number, 41.0))
    return {name: (tmp_path / name).read_bytes()}


def holdings(settings: Settings) -> set[tuple[str, str]]:
    """Granule and name of each file that it has."""
    with psycopg.connect(settings.database) as connection:
        rows = connection.execute(
            "SELECT g.key, s.path FROM granule_current g JOIN granule_asset l ON l.granule_id = g.id"
            " JOIN asset s ON s.id = l.asset_id WHERE s.state = 'archived'"
        ).fetchall()
    return {(key.rpartition("_R1C")[2][:1], path.rpartition("/")[2]) for key, path in rows}


def clean(settings: Settings) -> bool:
    with open_site(actor="test", settings=settings) as site:
        return [violation.as_dict() for violation in audit(site)] == []


@pytest.mark.req("N4")
def test_tiles_that_come_one_by_one_with_the_metadata_of_their_strip_share_them(
    settings: Settings, tmp_path: Path
) -> None:
    metadata = {f"{SCENE}.xml": xml()}
    for number in (1, 2, 3):
        land(settings, f"part{number}", tile(tmp_path, number) | metadata)
        assert not ingest(settings, "nga").failed
    found = holdings(settings)
    assert {key for key, name in found if name.endswith(".xml")} == {"1", "2", "3"}
    assert len({name for _, name in found if name.endswith(".xml")}) == 1
    images = {(key, name.partition("_R1C")[2][:1]) for key, name in found if name.endswith(".ntf")}
    assert images == {("1", "1"), ("2", "2"), ("3", "3")}
    assert clean(settings)


@pytest.mark.req("N4", "B9")
def test_a_tile_shares_metadata_that_are_suspect_and_its_delivery_makes_them_whole(
    settings: Settings, tmp_path: Path
) -> None:
    metadata = {f"{SCENE}.xml": xml()}
    land(settings, "part1", tile(tmp_path, 1) | metadata)
    assert not ingest(settings, "nga").failed
    next(settings.storage.rglob("*.xml")).unlink()
    compare(settings), compare(settings)
    assert not clean(settings), "they are suspect"
    land(settings, "part2", tile(tmp_path, 2) | metadata)
    assert not ingest(settings, "nga").failed
    assert {key for key, name in holdings(settings) if name.endswith(".xml")} == {"1", "2"}
    assert clean(settings)


def test_what_comes_beside_an_image_that_was_registered_never_lands_in_the_registered_folder(
    settings: Settings, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    pair = tile(tmp_path, 1) | {f"{SCENE}.xml": xml()}
    old.mkdir()
    for name, content in pair.items():
        (old / name).write_bytes(content)
    register(settings, "nga", old)
    land(settings, "again", pair | {f"{SCENE}.imd": imd()})
    report = ingest(settings, "nga")
    assert (report.archived, report.duplicate) == (1, 2)
    assert sorted(path.name for path in old.iterdir()) == sorted(pair)
    assert clean(settings)


def test_a_unit_that_changes_while_it_is_archived_leaves_nothing_in_storage_and_is_taken_again(
    settings: Settings, tmp_path: Path
) -> None:
    land(settings, "a", tile(tmp_path, 1) | {f"{SCENE}.xml": xml()})
    with open_site(actor="dag/run1", settings=settings) as site:
        (batch,) = steps.detect(site, "nga").batches
        for step in (steps.verify, steps.extract, steps.store):
            step(site, batch.id)
        os.utime(
            settings.landing / "nga" / "a" / f"{SCENE}.xml", (2e9, 1e9)
        )  # sent again, the image was placed already
        (settings.landing / "nga" / "a" / f"{SCENE}.xml").write_bytes(xml() + b"\n")
        steps.archive(site, batch.id)
        assert not list(settings.storage.rglob("*.ntf"))
        steps.report(site, "nga")
    for path in (settings.landing / "nga" / "a").iterdir():
        os.utime(path, (1e9, 1e9))
    report = ingest(settings, "nga")
    assert (report.archived, report.failed) == (2, False)
    assert clean(settings)


def test_a_quarantine_that_holds_other_bytes_under_a_name_is_never_taken_for_an_earlier_try(
    settings: Settings,
) -> None:
    taken = settings.quarantine / "nga" / "1" / "bad name.ntf"
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"of an older inventory")
    land(settings, ".", {"bad name.ntf": b"not an image"})
    with pytest.raises(IntegrityError, match="holds other bytes"):
        ingest(settings, "nga")
    assert (settings.landing / "nga" / "bad name.ntf").read_bytes() == b"not an image"
    assert taken.read_bytes() == b"of an older inventory"
