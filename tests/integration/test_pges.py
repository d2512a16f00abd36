"""The PGEs that come with the archive, run as programs on simulated granules: their products are right and complete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
import shapely
from pyproj import Transformer
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import RPCTransformer

from extraction import extracted, generic_task
from orbitory.catalogue import load
from orbitory.footprint import from_ring
from orbitory.settings import CHECKOUT
from orbitory.simulate import simulate
from orbitory.simulate.strips.images import geotiff, nitf
from orbitory.simulate.strips.scene import Scene, quadrangle

PGES = CHECKOUT / "include" / "pges"
#: NOAA-20 rises over the antimeridian; S-NPP passes the pole.
PLATFORMS = {"J01": "VIIRS-MOD-GEO-TC", "NPP": "VIIRS-MOD-GEO"}


@dataclass(frozen=True, slots=True)
class Ran:
    status: int
    err: str
    output: Path

    @property
    def files(self) -> list[str]:
        return sorted(file.name for file in self.output.iterdir())

    @property
    def only(self) -> Path:
        (file,) = self.output.iterdir()
        return file


Given = dict[str, object]
Execute = Callable[..., Ran]


@pytest.fixture
def execute(tmp_path: Path) -> Execute:
    """Run a PGE as the runner does: with a configuration file, a clean environment and folders of its own."""

    def run(pge: str, period: str, inputs: dict[str, list[Given]], **more: object) -> Ran:
        folders = {name: tmp_path / pge / name for name in ("output", "temporary")}
        for folder in folders.values():
            folder.mkdir(parents=True)
        told = {"instance": 1, "pge": pge, "version": "1", "period": period, "inputs": inputs, **more}
        configuration = tmp_path / pge / "run.json"
        configuration.write_text(json.dumps({**told, **{name: str(path) for name, path in folders.items()}}))
        done = subprocess.run(
            [sys.executable, PGES / f"{pge}.py", configuration],
            capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path / pge,
            env={"PATH": os.environ["PATH"], "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        assert not list(folders["temporary"].iterdir())
        return Ran(done.returncode, done.stderr, folders["output"])

    return run


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Given]]:
    """Collection → granule id → what a run configuration says of it, for three granules of NOAA-20 and 12 of S-NPP."""
    folder = tmp_path_factory.mktemp("idps")
    simulate(load(CHECKOUT / "include" / "catalogue"), "idps", 36, 1, None, folder / "delivery")
    found: dict[str, dict[str, Given]] = {}
    for file in folder.rglob("*.h5"):
        with h5py.File(file) as h5:
            platform = h5.attrs["Platform_Short_Name"][0, 0].decode()
            for collection, granule in _granules(h5):
                number = granule["N_Granule_ID"][0, 0].decode()
                entry = {"path": str(file), "granule": f"{platform}/{collection}/{number}", "product": collection}
                times = {"start": _time(granule, "Beginning"), "end": _time(granule, "Ending")}
                found.setdefault(collection, {})[number] = {**entry, **times}
    return found


def _granules(h5: Any) -> Iterator[tuple[str, Any]]:
    for collection, group in h5["Data_Products"].items():
        for name, dataset in group.items():
            if "_Gran_" in name:
                yield collection, dataset.attrs


def _time(granule: Any, edge: str) -> str:
    text = granule[f"{edge}_Date"][0, 0].decode() + granule[f"{edge}_Time"][0, 0].decode()
    return datetime.strptime(text, "%Y%m%d%H%M%S.%fZ").replace(tzinfo=UTC).isoformat()


def numbers(archive: dict[str, dict[str, Given]], platform: str) -> list[str]:
    return sorted(number for number in archive["VIIRS-M1-SDR"] if number.startswith(platform))


def pixels(band: Given, geolocation: Given) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latitude, longitude and reflectance of one granule, by its place in its file alone."""
    number = str(band["granule"]).rpartition("/")[2]
    with h5py.File(str(band["path"])) as h5:
        group = h5["Data_Products/VIIRS-M1-SDR"]
        at = next(n for n in range(9) if group[f"VIIRS-M1-SDR_Gran_{n}"].attrs["N_Granule_ID"][0, 0].decode() == number)
        rows = slice(48 * at, 48 * at + 48)
        stored = h5["All_Data/VIIRS-M1-SDR_All/Reflectance"][rows]
        scale, offset = h5["All_Data/VIIRS-M1-SDR_All/ReflectanceFactors"][2 * at : 2 * at + 2]
    with h5py.File(str(geolocation["path"])) as h5:
        places = h5[f"All_Data/{geolocation['product']}_All"]
        latitude, longitude = places["Latitude"][rows], places["Longitude"][rows]
    return latitude, longitude, np.where(stored < 65528, stored * scale + offset, np.nan)


def cells(image: Any, latitude: np.ndarray, longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each place."""
    east, north = Transformer.from_crs("EPSG:4326", image.crs, always_xy=True).transform(longitude, latitude)
    column, row = ~image.transform * (east, north)
    return np.floor(row).astype(int), np.floor(column).astype(int)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_quick_look_shows_every_pixel_where_it_lies(
    execute: Execute, archive: dict[str, dict[str, Given]], platform: str
) -> None:
    number = numbers(archive, platform)[1]
    band, geolocation = archive["VIIRS-M1-SDR"][number], archive[PLATFORMS[platform]][number]
    ran = execute("viirs_quicklook", number, {"sdr": [band], "geo": [geolocation]})
    assert (ran.status, ran.err) == (0, "")
    stem = f"VQLKM.viirs_quicklook.1.{number}"
    assert ran.files == [f"{stem}.png", f"{stem}.tif"]
    latitude, longitude, reflectance = pixels(band, geolocation)
    with rasterio.open(ran.output / f"{stem}.tif") as image:
        assert image.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (image.count, image.dtypes, image.nodata) == (1, ("uint8",), 0)
        grey = image.read(1)
        shown = grey[cells(image, latitude, longitude)]
    expected = np.where(np.isfinite(reflectance), 1 + 254 * np.sqrt(np.clip(reflectance, 0, 1)), 0).round()
    assert (np.abs(shown - np.nan_to_num(expected)) <= 1).mean() > 0.9  # the rest share a cell with a neighbour
    assert 0.4 < (grey > 0).mean() < 0.8
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(ran.output / f"{stem}.png") as picture:
        assert (picture.driver, picture.count) == ("PNG", 2)
        assert (picture.read(1) == grey).all()
        assert ((picture.read(2) > 0) == (grey > 0)).all()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_composite_is_filled_by_the_granules_before_and_after(
    execute: Execute, archive: dict[str, dict[str, Given]], platform: str
) -> None:
    three = numbers(archive, platform)[:3]
    bands = [archive["VIIRS-M1-SDR"][number] for number in three]
    geolocations = [archive[PLATFORMS[platform]][number] for number in three]
    ran = execute("viirs_composite", three[1], {"sdr": bands[::-1], "geo": geolocations})
    assert (ran.status, ran.err) == (0, "")
    assert ran.files == [f"VCMPM.viirs_composite.1.{three[1]}.tif"]
    with rasterio.open(ran.only) as image:
        mean, granules = image.read()
        inner = pixels(bands[1], geolocations[1])
        rows, columns = cells(image, *inner[:2])
        assert image.crs.to_dict()["proj"] == "laea"
    assert (granules > 0).mean() > 0.95, "the middle granule alone fills little more than half"
    assert (np.isfinite(mean) == (granules > 0)).all() and granules.max() <= 3
    seen = np.isfinite(inner[2])
    assert (np.abs(mean[rows, columns] - inner[2])[seen] < 0.01).mean() > 0.9


def test_the_granule_at_the_end_of_a_pass_has_no_composite(
    execute: Execute, archive: dict[str, dict[str, Given]]
) -> None:
    two = numbers(archive, "J01")[:2]
    inputs = {"sdr": [archive["VIIRS-M1-SDR"][each] for each in two]}
    ran = execute("viirs_composite", two[0], inputs)
    assert (ran.status, ran.files) == (1, [])
    assert "needs one granule before and one after it, got J01" in ran.err


def test_a_day_s_coverage_counts_the_granules_that_saw_each_place(
    execute: Execute, archive: dict[str, dict[str, Given]]
) -> None:
    granules = list(archive["VIIRS-M1-SDR"].values())
    day = {"start": "2024-02-10T00:00:00+00:00", "end": "2024-02-11T00:00:00+00:00"}
    ran = execute("daily_coverage", "2024-02-10T00:00:00Z", {"granules": granules}, sensing=day)
    assert (ran.status, ran.err) == (0, "")
    assert ran.files == ["VCOVD.daily_coverage.1.2024-02-10T00-00-00Z.h5"]
    expected = np.zeros((360, 720))
    with h5py.File(ran.only) as h5:
        counts, latitude, longitude = h5["granule_count"][:], h5["lat"][:], h5["lon"][:]
        assert (h5.attrs["time_coverage_start"], h5.attrs["granules"]) == ("2024-02-10T00:00:00Z", len(granules))
        assert [axis[0].name for axis in h5["granule_count"].dims] == ["/lat", "/lon"]
    x, y = np.meshgrid(longitude, latitude)
    for granule in granules:
        with h5py.File(str(granule["path"])) as h5:
            attributes = next(
                each for _, each in _granules(h5)
                if each["N_Granule_ID"][0, 0].decode() == str(granule["granule"]).rpartition("/")[2]
            )  # fmt: skip
            ring = (attributes[f"G-Ring_{axis}"].ravel().tolist() for axis in ("Longitude", "Latitude"))
            expected += shapely.contains_xy(shapely.from_wkb(from_ring(*ring).ewkb), x, y)
    assert counts.max() >= 1
    assert (counts != expected).mean() < 0.001, "cells on an outline may differ, poles and antimeridian may not"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_archive_reads_a_map_without_a_doubt_and_knows_where_it_lies(
    execute: Execute, archive: dict[str, dict[str, Given]], platform: str
) -> None:
    number = numbers(archive, platform)[1]
    band, geolocation = archive["VIIRS-M1-SDR"][number], archive[PLATFORMS[platform]][number]
    file = execute("viirs_quicklook", number, {"sdr": [band], "geo": [geolocation]}).output
    (map_,) = file.glob("*.tif")
    (result,) = extracted(file, [generic_task(map_)])
    assert result.extraction is not None and not result.extraction.findings, result
    (granule,) = result.extraction.granules
    latitude, longitude, _ = pixels(band, geolocation)
    footprint = shapely.from_wkb(granule.footprint)
    assert shapely.contains_xy(footprint, longitude, latitude).mean() > 0.98
    with rasterio.open(map_) as image:
        area = image.width * image.height * image.transform.a**2 / 1e6
    assert granule.area_km2 == pytest.approx(area, rel=0.02)


def scene(longitude: float, latitude: float, **more: Any) -> Scene:
    moment = datetime(2014, 8, 24, 8, 28, 14, tzinfo=UTC)
    told = {"sensor": "WV03", "catalog": "10400100012AD900", "product": "P1BS", "order": "504548417070_01"}
    corners = quadrangle(longitude, latitude, 15.0, 15.0)
    return replace(Scene(**told, seen=moment, made=moment, corners=corners, rows=256, columns=256), **more)


@pytest.mark.parametrize(("longitude", "latitude"), [(33.0, 40.0), (179.98, -17.0), (10.0, 85.5), (-60.0, -82.0)])
def test_a_preview_puts_each_part_of_a_strip_where_its_polynomials_put_it(
    execute: Execute, tmp_path: Path, longitude: float, latitude: float
) -> None:
    strip = scene(longitude, latitude)
    ramp = np.linspace(100, 1100, 256)[None, :] * np.ones((256, 1)) + np.linspace(0, 300, 256)[:, None]
    path = tmp_path / "strip.ntf"
    path.write_bytes(nitf(strip, "strip", ramp[None].astype("uint16")))
    ran = execute("strip_ortho_preview", "strip/14AUG24-P1BS", {"image": [{"path": str(path), "granule": "strip/x"}]})
    assert (ran.status, ran.err) == (0, "")
    assert ran.files == ["SORTP.strip_ortho_preview.1.strip-14AUG24-P1BS.tif"]
    with rasterio.open(ran.only) as image, rasterio.open(path) as source:
        assert image.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert image.crs.is_projected
        grey = image.read(1)
        rows, columns = np.nonzero(grey)
        east, north = image.transform * (columns + 0.5, rows + 0.5)
        lon, lat = Transformer.from_crs(image.crs, "EPSG:4326", always_xy=True).transform(east, north)
        with RPCTransformer(source.rpcs) as there:
            height = source.rpcs.height_off
            lon = strip.corners[0][0] + (lon - strip.corners[0][0] + 180) % 360 - 180
            row, column = there.rowcol(lon.tolist(), lat.tolist(), zs=[height] * len(lon), op=float)
    inside = (np.array(row) > 1) & (np.array(row) < 255) & (np.array(column) > 1) & (np.array(column) < 255)
    assert inside.mean() > 0.95 and len(rows) > 20_000
    value = 100 + 1000 * np.array(column) / 256 + 300 * np.array(row) / 256
    assert np.corrcoef(value[inside], grey[rows, columns][inside])[0, 1] > 0.99


def test_a_strip_that_lies_on_the_ground_already_is_shown_by_its_own_georeference(
    execute: Execute, tmp_path: Path
) -> None:
    strip = scene(33.0, 40.0, sensor="WV02", product="M2AS")
    path = tmp_path / "strip.tif"
    bands = np.stack([np.full((256, 256), 100 * (n + 1), "uint16") for n in range(8)])
    bands[:, :, 128:] += 500
    path.write_bytes(geotiff(strip, bands, mapped=True))
    ran = execute("strip_ortho_preview", "strip/14AUG24-M2AS", {"image": [{"path": str(path), "granule": ""}]})
    assert (ran.status, ran.err) == (0, "")
    with rasterio.open(ran.only) as image:
        assert (image.count, image.crs.to_epsg()) == (3, 32636)
        red = image.read(1)
    assert set(np.unique(red)) <= {0, 1, 255} | set(range(2, 255)) and (red == 1).mean() > 0.3 < (red == 255).mean()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with b'': expected NITF"),
        (b"<VRTDataset/>", "begins with b'<VRT': expected NITF"),
        (b"NITF02.10 and then nothing", "cannot read strip.ntf"),
        (None, "cannot read strip.ntf"),
    ],
)
def test_what_is_no_image_ends_in_one_line_and_no_product(
    execute: Execute, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "strip.ntf"
    if content is not None:
        path.write_bytes(content)
    ran = execute("strip_ortho_preview", "strip/x", {"image": [{"path": str(path), "granule": ""}]})
    assert (ran.status, ran.files) == (1, [])
    assert ran.err.startswith("strip_ortho_preview: ") and message in ran.err and ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sdr": []}, "input 'sdr' is empty"),
        ({"geo": []}, "input 'geo' is empty"),
        ({"geo": [{"path": "/nowhere.h5", "granule": "J01/VIIRS-MOD-GEO-TC/J01000000000000"}]}, "no file for granule"),
        ({"sdr": [{"path": "/nowhere.h5", "granule": "{sdr}"}]}, "cannot read /nowhere.h5"),
        ({"sdr": [{"path": "{geo}", "granule": "{sdr}"}]}, "does not hold granule J01/VIIRS-M1-SDR/"),
    ],
)
def test_unusable_inputs_end_in_one_line_and_no_product(
    execute: Execute, archive: dict[str, dict[str, Given]], change: dict[str, list[Given]], message: str
) -> None:
    number = numbers(archive, "J01")[0]
    band, geolocation = archive["VIIRS-M1-SDR"][number], archive["VIIRS-MOD-GEO-TC"][number]
    known = {"{sdr}": band["granule"], "{geo}": geolocation["path"]}
    inputs = {"sdr": [band], "geo": [geolocation]} | {
        name: [{key: known.get(str(value), value) for key, value in each.items()} for each in files]
        for name, files in change.items()
    }
    ran = execute("viirs_quicklook", number, inputs)
    assert (ran.status, ran.files) == (1, [])
    assert ran.err.startswith("viirs_quicklook: ") and message in ran.err and ran.err.count("\n") == 1


def test_the_same_run_makes_the_same_bytes(
    execute: Execute, archive: dict[str, dict[str, Given]], tmp_path: Path
) -> None:
    number = numbers(archive, "J01")[0]
    band, geolocation = archive["VIIRS-M1-SDR"][number], archive["VIIRS-MOD-GEO-TC"][number]
    inputs = {"sdr": [band], "geo": [geolocation]}
    first = execute("viirs_quicklook", number, inputs).output
    first.parent.rename(tmp_path / "first")
    second = execute("viirs_quicklook", number, inputs).output
    for file in second.iterdir():
        assert file.read_bytes() == (tmp_path / "first" / "output" / file.name).read_bytes()
