"""Correlative data of many kinds: what an archive is compared with, and what is delivered beside the satellite's files.

Every builder takes a seeded generator and gives the bytes of one small file; equal seeds give equal bytes.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import h5py
import numpy as np
import rasterio.io
from rasterio.transform import from_origin

Generator = np.random.Generator
_FIRST_DAY = datetime(2015, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of file: its folder below the landing folder, what its name begins and ends with, and its builder."""

    name: str
    folder: str
    prefix: str
    suffix: str
    build: Callable[[Generator], bytes]


def day_of(generator: Generator) -> datetime:
    """A day between 2015 and 2022."""
    return _FIRST_DAY + timedelta(days=int(generator.integers(0, 2922)))


def sounding(generator: Generator) -> bytes:
    """HDF5: a radiosonde profile with units and a few missing levels."""
    levels = int(generator.integers(40, 120))
    pressure = 1000.0 * np.exp(-np.linspace(0.0, 4.5, levels))
    temperature = 288.0 - 65.0 * np.linspace(0.0, 1.0, levels) + generator.normal(0.0, 0.4, levels)
    temperature[generator.random(levels) > 0.97] = -999.3
    with_header = {"station": f"{int(generator.integers(10_000, 99_999))}", "launched": day_of(generator).isoformat()}
    return hdf5({"pressure": pressure.astype("<f4"), "temperature": temperature.astype("<f4")}, with_header)


def hdf5(
    arrays: dict[str, np.ndarray], attributes: dict[str, str], more: Callable[[h5py.File], None] | None = None
) -> bytes:
    """A plain HDF5 file; ``more`` may add what no ordinary file holds."""
    target = io.BytesIO()
    with h5py.File(target, "w", libver=("earliest", "v110")) as h5:
        for name, values in arrays.items():
            h5.create_dataset(f"profile/{name}", data=values)
        for name, value in attributes.items():
            h5.attrs[name] = np.bytes_(value)
        if more is not None:
            more(h5)
    return target.getvalue()


def model(generator: Generator) -> bytes:
    """Classic netCDF (CDF-1): a model field over time, with an unlimited dimension, as many public archives hold."""
    times, height, width = int(generator.integers(2, 6)), 18, 36
    latitude, longitude = np.linspace(-85.0, 85.0, height), np.linspace(0.0, 350.0, width)
    field = (
        280.0 + 20.0 * np.cos(np.radians(latitude))[None, :, None] + generator.normal(0.0, 1.0, (times, height, width))
    )
    return _cdf1(
        [("time", 0), ("lat", height), ("lon", width)],
        times,
        [
            ("lat", [1], "degrees_north", latitude),
            ("lon", [2], "degrees_east", longitude),
            ("tas", [0, 1, 2], "K", field),
        ],
    )


def _cdf1(
    dimensions: list[tuple[str, int]], records: int, variables: list[tuple[str, list[int], str, np.ndarray]]
) -> bytes:
    """The classic format by its specification: header, fixed variables, then one record after another (all float32)."""
    head = b"CDF\x01" + struct.pack(">i", records)
    head += _listed(10, (_word(name) + struct.pack(">i", length) for name, length in dimensions))
    head += _listed(12, [_attribute("Conventions", "CF-1.6")])
    raw = [values.astype(">f4").tobytes() for *_, values in variables]
    grows = [dimensions[ids[0]][1] == 0 for _, ids, _, _ in variables]
    sizes = [len(data) // records if growing else len(data) for data, growing in zip(raw, grows, strict=True)]
    empty = [_variable(variable, size, 0) for variable, size in zip(variables, sizes, strict=True)]
    begin = len(head) + len(_listed(11, empty))
    order = sorted(range(len(variables)), key=lambda n: grows[n])
    begins = {n: begin + sum(sizes[before] for before in order[: order.index(n)]) for n in order}
    entries = [_variable(variable, sizes[n], begins[n]) for n, variable in enumerate(variables)]
    return head + _listed(11, entries) + b"".join(raw[n] for n in order)


def _variable(variable: tuple[str, list[int], str, np.ndarray], size: int, begin: int) -> bytes:
    name, ids, units, _ = variable
    shape = struct.pack(f">{1 + len(ids)}i", len(ids), *ids)
    return _word(name) + shape + _listed(12, [_attribute("units", units)]) + struct.pack(">iii", 5, size, begin)


def _attribute(name: str, value: str) -> bytes:
    return _word(name) + struct.pack(">i", 2) + _word(value)


def _word(value: str) -> bytes:
    raw = value.encode()
    return struct.pack(">i", len(raw)) + raw + b"\0" * (-len(raw) % 4)


def _listed(tag: int, entries: Iterable[bytes]) -> bytes:
    entries = list(entries)
    return struct.pack(">ii", tag, len(entries)) + b"".join(entries)


def terrain(generator: Generator) -> bytes:
    """GeoTIFF: a tile of heights on a geographic grid."""
    return _raster(
        generator, "GTiff", "int16", {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16}
    )


def image(generator: Generator) -> bytes:
    """NITF 2.1: an uncompressed grey image with geographic corners; its header dates are fixed."""
    dates = {"FDT": "20150101000000", "IDATIM": "20150101000000"}
    return _raster(generator, "NITF", "uint8", {"ICORDS": "G", "FTITLE": "simulated", **dates})


def _raster(generator: Generator, driver: str, dtype: str, options: dict[str, object]) -> bytes:
    west, north = float(generator.integers(-170, 160)), float(generator.integers(-60, 70))
    pixels = generator.integers(0, 200, (48, 64)).astype(dtype)
    with rasterio.io.MemoryFile() as memory:
        with memory.open(
            driver=driver, width=64, height=48, count=1, dtype=dtype, crs="EPSG:4326",
            transform=from_origin(west, north, 0.01, 0.01), **options,
        ) as dataset:  # fmt: skip
            dataset.write(pixels, 1)
        return bytes(memory.read())


def station(generator: Generator) -> bytes:
    """Text: a sun photometer's day in comma-separated lines, in the manner of AERONET."""
    day = day_of(generator)
    lines = [
        "Version 3: AOD Level 1.5",
        f"Site_{int(generator.integers(1, 400)):03d}",
        "Date(dd:mm:yyyy),Time(hh:mm:ss),AOD_500nm",
    ]
    for minute in range(0, 600, 15):
        moment = day + timedelta(minutes=480 + minute)
        lines.append(f"{moment:%d:%m:%Y,%H:%M:%S},{generator.gamma(2.0, 0.08):.6f}")
    return "\n".join([*lines, ""]).encode()


def linked(generator: Generator) -> bytes:
    """HDF5 with a link into another file: harmless as long as nobody follows it."""

    def add(h5: h5py.File) -> None:
        h5["elsewhere"] = h5py.ExternalLink("../model/neighbour.h5", "/profile/pressure")

    return hdf5({"pressure": np.linspace(1000.0, 10.0, 50)}, {"station": str(generator.integers(10_000, 99_999))}, add)


def raw_storage(generator: Generator) -> bytes:
    """HDF5 whose data stand in another file named by path: reading it would read whatever stands there."""

    def add(h5: h5py.File) -> None:
        h5.create_dataset("profile/outside", (16,), "<f4", external=[("/srv/elsewhere/calibration.bin", 0, 64)])

    return hdf5({"pressure": np.linspace(1000.0, 10.0, 50)}, {"station": str(generator.integers(10_000, 99_999))}, add)


def virtual(generator: Generator) -> bytes:
    """HDF5 whose dataset is woven from other files: without them it reads as fill values, without an error."""

    def add(h5: h5py.File) -> None:
        # By hand, because the library's own call stamps the dataset with the time of day.
        recipe = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        recipe.set_obj_track_times(False)
        for row in range(4):
            space = h5py.h5s.create_simple((4, 16))
            space.select_hyperslab((row, 0), (1, 16))
            recipe.set_virtual(space, f"part{row}.h5".encode(), b"profile/pressure", h5py.h5s.create_simple((16,)))
        h5py.h5d.create(h5["profile"].id, b"woven", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4, 16)), recipe)

    return hdf5({"pressure": np.linspace(1000.0, 10.0, 50)}, {"station": str(generator.integers(10_000, 99_999))}, add)


#: In the order in which a delivery takes turns.
KINDS = (
    Kind(name="hdf5", folder="soundings", prefix="sonde", suffix=".h5", build=sounding),
    Kind(name="netcdf3", folder="model", prefix="tas_Amon", suffix=".nc", build=model),
    Kind(name="geotiff", folder="terrain", prefix="dem", suffix=".tif", build=terrain),
    Kind(name="text", folder="stations", prefix="aod", suffix=".csv", build=station),
    Kind(name="nitf", folder="images", prefix="view", suffix=".ntf", build=image),
)
