"""Raster validation: every pixel is read.

Technique: one confined process reads file after file with GDAL inside; it opens each by its descriptor with the driver
that its first bytes ask for, and never lists the folder.
Limit: decoding; of large files both sides do the same work in the same library.
Tried: GDAL as it is set by default (half as fast: it reads the folder and its own dictionaries for each file).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from benchmarks.site import Bench, command, tool
from benchmarks.stage import Case, Done, Stage
from orbitory.model import Identity
from orbitory.rasters.sight import READER, Mode, RasterTask, unpacked
from orbitory.workers import Isolated

_IMAGES = (".ntf", ".tif")
_NOBODY = Identity(form="raster", product_type="raster", products=(), sensor="")


def _check(folder: Path, files: Sequence[Path]) -> Done:
    tasks = (
        RasterTask(
            id=number,
            path=os.fsencode(file),
            extractor=READER,
            source="",
            name=file.name,
            identity=_NOBODY,
            mode=Mode.FULL,
        )
        for number, file in enumerate(files)
    )
    whole = 0
    with Isolated(folder) as child:
        for result in child.map(tasks):
            sight = unpacked(result.extraction.header) if result.extraction else None
            whole += bool(sight and sight.images and all(image.checksums for image in sight.images))
    if whole != len(files):
        raise RuntimeError(f"of {len(files)} rasters {whole} were read to the last pixel")
    return Done(units=whole)


def _gdalinfo(files: Sequence[Path]) -> Done:
    program = tool("gdalinfo")
    for file in files:
        subprocess.run([program, "-checksum", file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return Done(units=len(files))


def _gdaltindex(files: Sequence[Path], index: Path) -> Done:
    index.unlink(missing_ok=True)
    line: list[str | Path] = [tool("gdaltindex"), "-f", "GPKG", "-t_srs", "EPSG:4326", index, *files]
    subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return Done(units=len(files))


# What it cannot describe counts for it all the same.
_STAC = """
import contextlib, sys, rio_stac
for each in sys.argv[1:]:
    with contextlib.suppress(Exception):
        rio_stac.create_stac_item(each, with_raster=True)
"""


def _rio_stac(files: Sequence[Path]) -> Done:
    tool("rio")  # of the same environment
    line: list[str | Path] = [tool("python"), "-W", "ignore", "-c", _STAC, *files]
    subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return Done(units=len(files))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strips:
    """Strips as NGA delivers them."""

    folder: Path
    files: tuple[Path, ...]

    def __str__(self) -> str:
        """For people."""
        each = sum(file.stat().st_size for file in self.files) / len(self.files)
        return f"{len(self.files):,} strips of {each / 1e3:.0f} kB"


def _strips(bench: Bench) -> _Strips:
    folder = bench.folder("strips")
    words = ["simulate", "--source", "nga", "--files", str(bench.pick(60, 600, 3_000))]
    words += ["--out", str(folder / "delivery"), "--manifest", str(folder / "truth.json")]
    command(bench.site("strips"), *words)
    truth: list[dict[str, Any]] = json.loads((folder / "truth.json").read_text())
    names = [row["name"] for row in truth if row["name"].lower().endswith(_IMAGES)]
    return _Strips(folder=folder, files=tuple(folder / "delivery" / name for name in names))


def _small(bench: Bench) -> Case:
    strips = bench.once(_strips)
    few = strips.files[: bench.pick(5, 60, 200)]
    return Case(
        what=f"{strips}; the yardstick takes {len(few)}, by processor time",
        ours=lambda: _check(strips.folder, strips.files),
        theirs=lambda: _gdalinfo(few),
    )


def _indexed(bench: Bench) -> Case:
    strips = bench.once(_strips)
    return Case(
        what=f"{strips}; the yardstick reads headers alone, by processor time",
        ours=lambda: _check(strips.folder, strips.files),
        theirs=lambda: _gdaltindex(strips.files, strips.folder / "index.gpkg"),
    )


def _items(bench: Bench) -> Case:
    strips = bench.once(_strips)
    few = strips.files[: bench.pick(5, 200, 1_000)]
    return Case(
        what=f"{strips}; the yardstick takes {len(few)} and reads statistics, by processor time",
        ours=lambda: _check(strips.folder, strips.files),
        theirs=lambda: _rio_stac(few),
    )


def _large(bench: Bench) -> Case:
    folder = bench.folder("large")
    side = bench.pick(1_000, 11_000, 11_000)
    generator = np.random.default_rng(1)
    files = []
    for number in range(bench.pick(1, 2, 4)):
        files.append(folder / f"strip{number}.tif")
        profile = {"driver": "GTiff", "width": side, "height": side, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
        profile |= {"transform": rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000), "tiled": True}
        with rasterio.open(files[-1], "w", **profile) as target:
            target.write(generator.integers(1, 255, (1, side, side), dtype=np.uint8))
    return Case(
        what=f"{len(files)} strips of {side * side / 1e6:.0f} MB, by processor time",
        ours=lambda: _check(folder, files),
        theirs=lambda: _gdalinfo(files),
    )


STAGES = (
    Stage(
        name="rasters-small",
        yardstick="gdalinfo -checksum for each file",
        goal=40,
        unit="files",
        prepare=_small,
        basis="cpu",
        needs=("gdalinfo",),
        floor=0.5,
    ),
    Stage(
        name="rasters-and-gdaltindex",
        yardstick="gdaltindex, one process",
        goal=1.0,
        unit="files",
        prepare=_indexed,
        basis="cpu",
        needs=("gdaltindex",),
        floor=0.02,
    ),
    Stage(
        name="rasters-and-rio-stac",
        yardstick="rio-stac with statistics, one process",
        goal=1.0,
        unit="files",
        prepare=_items,
        basis="cpu",
        needs=("rio",),
        floor=0.02,
    ),
    Stage(
        name="rasters-large",
        yardstick="gdalinfo -checksum for each file",
        goal=0.8,
        unit="files",
        prepare=_large,
        basis="cpu",
        needs=("gdalinfo",),
        floor=0.01,
    ),
)
