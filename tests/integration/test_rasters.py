"""Raster validation on an archive that ingest made: faults done to stored files are found, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import rasterio
import rasterio.shutil
from rasterio.errors import NotGeoreferencedWarning

from corpus import CORPUS, manifest, needs_corpus
from extraction import CORRELATIVE
from ingesting import digest_of
from orbitory.catalogue import load
from orbitory.errors import ConfigurationError, IntegrityError
from orbitory.ingest.run import ingest
from orbitory.rasters.checking import check
from orbitory.rasters.judging import CODES, Expected, Verdict, judge
from orbitory.rasters.rolling import outcome, plan, validate, work
from orbitory.rasters.sight import READER, Mode, RasterTask, unpacked
from orbitory.register import register
from orbitory.settings import CHECKOUT, Settings
from orbitory.simulate import simulate
from orbitory.site import Site, open_site
from orbitory.workers import Isolated
from raster_faults import FAULTS, Stored, rasters, verdicts

TIFFS = "s.path ILIKE '%%.tif' AND g.search ->> 'footprint_source' IN ('raster', 'corners')"


@contextmanager
def opened(settings: Settings) -> Iterator[Site]:
    with open_site(actor="test", settings=settings) as site:
        yield site


def deliver(settings: Settings, units: int, source: str = "nga") -> None:
    simulate(load(CHECKOUT / "include" / "catalogue"), source, units, 7, "", settings.landing / source)
    ingest(settings, source)


@pytest.fixture
def strips(settings: Settings) -> list[Stored]:
    """The images of a small archive."""
    deliver(settings, 30)
    return rasters(settings)


@pytest.mark.slow
@pytest.mark.req("N7")
@pytest.mark.timeout(900)
def test_one_of_each_fault_in_a_thousand_rasters_is_found_and_nothing_else(settings: Settings) -> None:
    deliver(settings, 960)
    assert len(rasters(settings)) >= 1000
    victims = dict(zip(FAULTS, rasters(settings, TIFFS)[5::7], strict=False))
    assert set(victims) == set(FAULTS) == set(CODES)
    before = digest_of(settings)
    for code, victim in victims.items():
        FAULTS[code](victim)
    after = digest_of(settings)
    with opened(settings) as site:
        told = validate(site, Mode.SAMPLE)
    assert told.checked >= 1000 and told.bad == len(FAULTS)
    found = verdicts(settings)
    injected = {victim.id: code for code, victim in victims.items()}
    assert {number for number, (verdict, _) in found.items() if verdict != "good"} == set(injected)
    for number, code in injected.items():
        assert code in found[number][1], (code, found[number])
        assert found[number][1] <= {code, "size"} if code != "size" else found[number][1] == {"size"}
    assert before != after == digest_of(settings), "a check changes nothing"


@pytest.mark.req("N7")
@pytest.mark.parametrize("mode", list(Mode))
def test_faithful_strips_are_good_in_every_mode(settings: Settings, strips: list[Stored], mode: Mode) -> None:
    with opened(settings) as site:
        told = validate(site, mode)
    assert told.checked >= len(strips) and told.bad == 0 and list(told.findings()) == []
    assert {verdict for verdict, _ in verdicts(settings).values()} == {"good"}


def test_what_is_wrong_with_pixels_is_not_cleared_by_a_look_at_the_header(
    settings: Settings, strips: list[Stored]
) -> None:
    victim = rasters(settings, TIFFS)[0]
    FAULTS["decode"](victim)
    with opened(settings) as site:
        assert validate(site, Mode.HEADER).bad == 0
        assert validate(site, Mode.FULL).bad == 1
        assert validate(site, Mode.HEADER).bad == 1
    assert verdicts(settings)[victim.id] == ("bad", {"decode"})


def test_pixels_that_turned_into_others_are_found_by_the_next_full_check(
    settings: Settings, strips: list[Stored]
) -> None:
    victim = next(each for each in strips if each.path.lower().endswith(".ntf"))
    with opened(settings) as site:
        assert validate(site, Mode.FULL).bad == 0
        content = bytearray(victim.file.read_bytes())
        content[-2000] ^= 0x55
        victim.write(bytes(content))
        assert validate(site, Mode.SAMPLE).bad == 0
        told = validate(site, Mode.FULL)
        assert [(each["code"], each["asset"]) for each in told.findings()] == [("decode", victim.id)]
        assert validate(site, Mode.FULL).bad == 1, "and by every one after it"


def test_the_longest_unchecked_come_first_and_a_day_has_its_budget(settings: Settings, strips: list[Stored]) -> None:
    sizes = {each.id: each.file.stat().st_size for each in strips}
    budget = sum(sorted(sizes.values())) // 3
    with opened(settings) as site:
        first = validate(site, Mode.FULL, daily_bytes=budget)
        spent = sum(row["bytes"] for row in first.counts)
        assert budget <= spent <= budget + max(sizes.values())
        assert validate(site, Mode.FULL, daily_bytes=budget).checked == 0, "nothing is left of today"
        done = set(verdicts(settings))
        yesterday(settings)
        second = validate(site, Mode.FULL, daily_bytes=budget)
        assert second.checked and not done & (set(verdicts(settings)) - done)
        for _ in range(3):
            yesterday(settings)
            validate(site, Mode.FULL, daily_bytes=budget)
    assert set(sizes) <= set(verdicts(settings)), "in the end all were checked"


def yesterday(settings: Settings) -> None:
    with psycopg.connect(settings.database) as connection:
        connection.execute("UPDATE validation SET checked_at = checked_at - interval '1 day'")


def test_a_run_that_was_stopped_goes_on_where_it_stopped(settings: Settings, strips: list[Stored]) -> None:
    with opened(settings) as site:
        parts = plan(site, Mode.SAMPLE)
        assert sum(part.files for part in parts) >= len(strips)
        (part,) = [each for each in parts if each.sensor == "WV01"]
        own = rasters(settings, "g.sensor = 'WV01'")
        assert part.files >= len(own) > 1
        check(site, [own[0].id], Mode.SAMPLE)
        assert work(site, part.as_dict()) == part.files - 1
        assert work(site, part.as_dict()) == 0
        told = outcome(site, part.since, ["WV01"])
    assert told.checked == part.files and {row["sensor"] for row in told.counts} == {"WV01"}


def test_parts_share_a_sensor_without_overlap(
    settings: Settings, strips: list[Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orbitory.rasters.rolling.MOST_FILES", 3)
    with opened(settings) as site:
        parts = plan(site, Mode.HEADER)
        assert len(parts) > len({part.sensor for part in parts})
        done = [work(site, part.as_dict()) for part in parts]
    assert sum(done) == len(verdicts(settings)) >= len(strips)


def test_storage_that_is_not_mounted_is_no_thousand_missing_files(settings: Settings, strips: list[Stored]) -> None:
    settings.storage.rename(settings.storage.with_name("elsewhere"))
    settings.storage.mkdir()
    with opened(settings) as site, pytest.raises(IntegrityError, match="unmounted"):
        validate(site, Mode.HEADER)
    assert verdicts(settings) == {}


def test_an_archive_that_was_registered_where_it_stands_is_checked_there(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "css"
    simulate(load(CHECKOUT / "include" / "catalogue"), "nga", 12, 7, "", folder)
    register(settings, "nga", folder)
    with opened(settings) as site:
        assert validate(site, Mode.FULL).bad == 0
        victim = rasters(settings, TIFFS)[0]
        assert victim.path.startswith("/")
        FAULTS["truncated"](victim)
        (finding,) = validate(site, Mode.SAMPLE).findings()
    assert (finding["code"], finding["path"]) == ("truncated", victim.path)


@pytest.mark.parametrize("put", ["link", "folder", "fifo"])
def test_what_is_no_regular_file_is_not_read(
    settings: Settings, strips: list[Stored], tmp_path: Path, put: str
) -> None:
    victim = strips[0]
    shutil.copy(victim.file, tmp_path / "twin")
    victim.file.unlink()
    if put == "link":
        victim.file.symlink_to(tmp_path / "twin")
    elif put == "folder":
        victim.file.mkdir()
    else:
        os.mkfifo(victim.file)
    with opened(settings) as site:
        assert validate(site, Mode.SAMPLE).bad == 1
    verdict, codes = verdicts(settings)[victim.id]
    assert verdict == "bad" and codes <= {"unreadable", "zero", "size"} and codes


def test_one_sensor_is_checked_alone_and_an_unknown_one_is_refused(settings: Settings, strips: list[Stored]) -> None:
    with opened(settings) as site:
        told = validate(site, Mode.HEADER, ["WV02"])
        assert {row["sensor"] for row in told.counts} == {"WV02"}
        with pytest.raises(ConfigurationError, match="there is no sensor 'WV22'; did you mean 'WV02'"):
            validate(site, Mode.HEADER, ["WV22"])


def run(environment: dict[str, str], *words: str) -> tuple[int, Any, str]:
    done = subprocess.run(
        [sys.executable, "-m", "orbitory", "validate", *words, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


@pytest.mark.req("N7")
def test_the_command_tells_what_it_found(settings: Settings, environment: dict[str, str], strips: list[Stored]) -> None:
    status, told, _ = run(environment, "all")
    assert status == 0 and told["checked"] >= len(strips) and told["findings"] == []
    victim = rasters(settings, TIFFS)[0]
    FAULTS["truncated"](victim)
    status, told, error = run(environment, "all", "--mode", "header")
    assert status == 4 and "1 of" in error and victim.path in error
    (finding,) = told["findings"]
    assert finding["code"] == "truncated" and finding["level"] == "error" and finding["verdict"] == "bad"
    assert finding["path"] == victim.path and finding["key"].startswith("strip/")
    status, told, error = run(environment, "NOPE")
    assert status == 2 and told is None and "no sensor 'NOPE'" in error


def seen(path: Path, mode: Mode) -> tuple[str, list[str]]:
    """Verdict on a file alone, and the codes of its findings."""
    (result,) = looked(path.parent, [(path, path.name)], mode)
    return result[0].value, result[1]


def looked(folder: Path, files: list[tuple[Path, str]], mode: Mode) -> list[tuple[Verdict, list[str]]]:
    tasks = [
        RasterTask(
            **{"id": number, "path": os.fsencode(path), "name": name, "mode": mode},
            **{"extractor": READER, "source": "", "identity": CORRELATIVE},
        )
        for number, (path, name) in enumerate(files)
    ]
    found = []
    with Isolated(folder) as child:
        for task, result in zip(tasks, child.map(tasks), strict=True):
            assert result.extraction is not None, (task.name, result.error)
            sight = unpacked(result.extraction.header)
            assert sight is not None
            verdict, findings = judge(Expected(name=task.name, kind=sight.kind, search={}), sight)
            found.append((verdict, [finding.code for finding in findings]))
    return found


TILED = {"tiled": True, "blockxsize": 128, "blockysize": 128}


def quiet() -> Any:
    return warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning)


def picture(path: Path, bands: int = 3, size: int = 1024, **how: Any) -> Path:
    """A raster with some structure, so that compressed blocks are of about one size."""
    pixels = np.random.default_rng(5).integers(1, 2000, (bands, size, size)).astype("uint16")
    profile = {"width": size, "height": size, "count": bands, "dtype": "uint16", "driver": "GTiff"}
    with quiet(), rasterio.open(path, "w", **profile, **how) as image:
        image.write(pixels)
    return path


def damage(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + 256] = b"\xa5" * 256
    path.write_bytes(bytes(content))


@pytest.mark.req("N7")
def test_tiles_of_jpeg_2000_that_fail_without_raising_are_found(tmp_path: Path) -> None:
    whole = picture(tmp_path / "a.tif")
    file = tmp_path / "a.ntf"
    with quiet():
        rasterio.shutil.copy(whole, file, driver="NITF", IC="C8", QUALITY="100")
    assert seen(file, Mode.SAMPLE) == seen(file, Mode.FULL) == ("good", [])
    content = bytearray(file.read_bytes())
    tile = content.index(b"\xff\x93", content.index(b"\xff\x90"))  # SOD: the first tile's packets begin
    content[tile + 2 : tile + 4096] = b"\xff" * 4094
    file.write_bytes(bytes(content))
    assert seen(file, Mode.HEADER) == ("good", [])
    assert seen(file, Mode.FULL) == ("bad", ["decode"])
    assert seen(file, Mode.SAMPLE) == ("bad", ["decode"])


@pytest.mark.req("N7")
def test_a_damaged_last_band_is_found(tmp_path: Path) -> None:
    file = picture(
        tmp_path / "a.tif", tiled=True, compress="deflate", interleave="band", blockxsize=256, blockysize=256
    )
    damage(file, file.stat().st_size - 4096)
    assert seen(file, Mode.SAMPLE) == seen(file, Mode.FULL) == ("bad", ["decode"])


@pytest.mark.req("N7")
def test_a_full_check_reads_every_block(tmp_path: Path) -> None:
    file = picture(
        tmp_path / "a.tif", bands=1, size=2048, tiled=True, compress="deflate", blockxsize=128, blockysize=128
    )
    damage(file, file.stat().st_size // 4)
    assert seen(file, Mode.FULL) == ("bad", ["decode"])
    assert seen(file, Mode.SAMPLE) == ("good", []), "this block is none of the four that are sampled of it"


def test_data_in_a_single_block_far_from_the_sampled_ones_are_data(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    pixels = np.zeros((1, 2048, 2048), dtype="uint16")
    profile = {"width": 2048, "height": 2048, "count": 1, "dtype": "uint16", "driver": "GTiff", "nodata": 0}
    for value, verdict in ((7, ("good", [])), (0, ("bad", ["nodata"]))):
        pixels[0, 300, 300] = value
        with quiet(), rasterio.open(file, "w", **TILED, **profile) as image:
            image.write(pixels)
        assert seen(file, Mode.SAMPLE) == seen(file, Mode.FULL) == verdict
        assert seen(file, Mode.HEADER) == ("good", [])


@needs_corpus
@pytest.mark.req("N7")
@pytest.mark.parametrize("mode", [Mode.SAMPLE, Mode.FULL])
def test_every_real_raster_gets_the_verdict_that_it_is_owed(mode: Mode) -> None:
    rows = [row for row in manifest() if row["kind"].startswith(("geotiff", "nitf"))]
    assert len(rows) > 250
    found = looked(CORPUS, [(CORPUS / row["path"], row["path"].rpartition("/")[2]) for row in rows], mode)
    wrong = [
        (row["path"], row["verdict"], verdict.value, codes)
        for row, (verdict, codes) in zip(rows, found, strict=True)
        if verdict is not owed(row)
    ]
    assert wrong == []


#: Sound files in which every pixel is nodata, as they themselves mark it.
EMPTY = {
    f"geotiff/{name}.tif"
    for name in ("all-nodata", "projection_from_esri_xml", "sparse_tiled_contig", "sparse_tiled_separate")
}


def owed(row: dict[str, str]) -> Verdict:
    if row["path"] in EMPTY:
        return Verdict.BAD
    if row["kind"].endswith("_unsupported"):
        return Verdict.UNSUPPORTED
    return {"ok": Verdict.GOOD, "no-raster": Verdict.NO_RASTER}.get(row["verdict"], Verdict.BAD)
