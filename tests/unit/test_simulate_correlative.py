"""Simulated correlative data are read by the libraries that users read them with."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import rasterio

from orbitory.extract import quick_check, sniff
from orbitory.simulate import correlative
from orbitory.simulate.correlative import KINDS


def _written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_is_known_by_its_first_bytes_and_sound(kind) -> None:
    content = kind.build(np.random.default_rng(3))
    assert sniff(content[:4096]) == kind.name
    quick_check(f"{kind.prefix}{kind.suffix}", content[:4096], len(content))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_equal_seeds_give_equal_bytes_and_others_do_not(kind) -> None:
    first, again, other = (kind.build(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_sounding_has_levels_and_a_station() -> None:
    with h5py.File(io.BytesIO(correlative.sounding(np.random.default_rng(4)))) as h5:
        assert h5["profile/pressure"].shape == h5["profile/temperature"].shape
        assert h5.attrs["station"].isdigit()


def test_a_model_field_is_classic_netcdf_with_records(tmp_path: Path) -> None:
    path = _written(tmp_path, correlative.model(np.random.default_rng(4)))
    with netCDF4.Dataset(path) as dataset:
        assert dataset.data_model == "NETCDF3_CLASSIC"
        assert dataset.dimensions["time"].isunlimited()
        field = dataset.variables["tas"]
        assert field.shape == (len(dataset.dimensions["time"]), 18, 36)
        np.testing.assert_allclose(
            field[:].mean(axis=(0, 2)), 280 + 20 * np.cos(np.radians(dataset["lat"][:])), atol=1.0
        )
        assert (dataset.variables["lon"].units, dataset.variables["lon"][-1]) == ("degrees_east", 350.0)


@pytest.mark.parametrize(("build", "driver"), [(correlative.terrain, "GTiff"), (correlative.image, "NITF")])
def test_rasters_lie_somewhere_on_the_earth(build, driver: str, tmp_path: Path) -> None:
    with rasterio.open(_written(tmp_path, build(np.random.default_rng(4)))) as dataset:
        assert (dataset.driver, dataset.crs.to_epsg(), dataset.shape) == (driver, 4326, (48, 64))
        assert -180 <= dataset.bounds.left < dataset.bounds.right <= 180
        assert -90 <= dataset.bounds.bottom < dataset.bounds.top <= 90
        assert dataset.read(1).std() > 10


def test_a_station_file_is_a_day_of_measurements() -> None:
    text = correlative.station(np.random.default_rng(4)).decode()
    rows = list(csv.reader(text.splitlines()[2:]))
    assert rows[0][0] == "Date(dd:mm:yyyy)"
    assert len(rows) == 41
    assert all(0 < float(row[2]) < 5 for row in rows[1:])


def test_hostile_containers_are_what_they_are_called() -> None:
    with h5py.File(io.BytesIO(correlative.linked(np.random.default_rng(4)))) as h5:
        assert isinstance(h5.get("elsewhere", getlink=True), h5py.ExternalLink)
    with h5py.File(io.BytesIO(correlative.raw_storage(np.random.default_rng(4)))) as h5:
        assert h5["profile/outside"].external == [("/srv/elsewhere/calibration.bin", 0, 64)]
    with h5py.File(io.BytesIO(correlative.virtual(np.random.default_rng(4)))) as h5:
        assert h5["profile/woven"].is_virtual
        assert [source.file_name for source in h5["profile/woven"].virtual_sources()] == [
            f"part{n}.h5" for n in range(4)
        ]
