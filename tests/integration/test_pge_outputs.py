"""What PGEs deliver comes into the archive like any other file: checked, with its provenance, edition by edition."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psycopg
import pytest
import rasterio
from psycopg.rows import dict_row
from rasterio.errors import NotGeoreferencedWarning

from orbitory.ingest.report import RunReport
from orbitory.ingest.run import ingest
from orbitory.provenance import ENDING, Ingredient, Provenance, written
from orbitory.settings import Settings

START = datetime(2024, 2, 10, 12, 0, 7, tzinfo=UTC)
STEM = "VQLKM.viirs_quicklook.1.NPP000650598298"
PROVENANCE = Provenance(
    file=f"{STEM}.tif",
    instance=7,
    pge="viirs_quicklook",
    version="1",
    period="NPP000650598298",
    created=START + timedelta(hours=4),
    sensing_start=START,
    sensing_end=START + timedelta(seconds=85),
    inputs=(
        Ingredient(input="sdr", granule="NPP/VIIRS-M1-SDR/NPP000650598298", file="idps/a.h5", blake3="aa" * 32),
        Ingredient(input="geo", granule="NPP/VIIRS-MOD-GEO/NPP000650598298", file="idps/b.h5", blake3="bb" * 32),
    ),
)


def cog(shade: int = 100) -> bytes:
    shape: dict[str, Any] = {"count": 1, "height": 40, "width": 60, "dtype": "uint8", "nodata": 0}
    place = {"crs": "EPSG:32636", "transform": rasterio.Affine(1000, 0, 5e5, 0, -1000, 44e5)}
    with rasterio.MemoryFile() as memory:
        with memory.open(driver="COG", **shape, **place) as image:
            image.write(np.full((1, 40, 60), shade, "u1"))
        return bytes(memory.read())


def png() -> bytes:
    with pytest.warns(NotGeoreferencedWarning), rasterio.MemoryFile() as memory:
        with memory.open(driver="PNG", count=1, height=4, width=6, dtype="uint8") as image:
            image.write(np.full((1, 4, 6), 9, "u1"))
        return bytes(memory.read())


def deliver(settings: Settings, contents: dict[str, bytes], provenance: Provenance = PROVENANCE) -> Path:
    """A folder as the runner hands it over: metadata beside each file, and sums of all of them."""
    folder = settings.landing / "pge" / f"{provenance.instance}-1"
    folder.mkdir(parents=True, exist_ok=True)
    files = dict(contents)
    for name in contents:
        files[name + ENDING] = written(replace(provenance, file=name))
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sums = "".join(f"{sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    (folder / "SHA256SUMS").write_text(sums)
    settle(folder)
    return folder


def settle(folder: Path) -> None:
    """As if it had been delivered a minute ago."""
    for file in folder.iterdir():
        os.utime(file, (file.stat().st_mtime - 60,) * 2)


def taken_in(settings: Settings) -> RunReport:
    return ingest(settings, "pge")


def rows(settings: Settings, statement: str) -> list[dict[str, Any]]:
    with psycopg.connect(settings.database, row_factory=dict_row) as connection:
        return connection.execute(statement).fetchall()


def fates(settings: Settings) -> dict[str, tuple[str, str | None]]:
    found = rows(settings, "SELECT name, state, reason FROM arrival ORDER BY id")
    return {row["name"].rpartition("/")[2]: (row["state"], row["reason"]) for row in found}


GRANULES = """
SELECT id, superseded_by, product, key, version, created, sensor, collection, state, lower(sensing) AS start,
       upper(sensing) AS stop, search, classification, ST_XMin(footprint::geometry) AS west,
       ST_XMax(footprint::geometry) AS east
FROM granule WHERE product <> 'manifest' ORDER BY created
"""


@pytest.mark.req("G17")
def test_an_output_is_archived_with_picture_provenance_time_and_place(settings: Settings) -> None:
    deliver(settings, {f"{STEM}.tif": cog(), f"{STEM}.png": png()})
    report = taken_in(settings)
    assert (report.failed, report.rejected, report.waiting) == (False, 0, 0), report.message
    assert {state for state, _ in fates(settings).values()} == {"archived"}
    (granule,) = rows(settings, GRANULES)
    assert granule["key"] == "pge/VQLKM/viirs_quicklook/NPP000650598298"
    assert (granule["product"], granule["collection"], granule["sensor"]) == ("VQLKM", "VIIRS-M-QUICKLOOK", "VIIRS")
    assert (granule["version"], granule["created"]) == ("", PROVENANCE.created)
    assert (granule["start"], granule["stop"]) == (PROVENANCE.sensing_start, PROVENANCE.sensing_end)
    assert granule["classification"] == "unrestricted"
    assert 32.9 < granule["west"] < granule["east"] < 33.8
    assert granule["search"] | {"pge_instance": 7, "period": "NPP000650598298", "inputs": 2} == granule["search"]
    assets = rows(settings, "SELECT role, path FROM asset WHERE path LIKE '%VQLKM%' ORDER BY role, path")
    assert [each["role"] for each in assets] == ["browse", "data", "metadata", "metadata"]
    assert assets[1]["path"] == f"pge/VQLKM/2024/041/7-1/{STEM}.tif"
    told = json.loads((settings.storage / f"{assets[1]['path']}{ENDING}").read_bytes())
    assert [each["blake3"] for each in told["inputs"]] == ["aa" * 32, "bb" * 32]


def test_a_period_made_again_is_a_newer_edition_and_both_stay(settings: Settings) -> None:
    deliver(settings, {f"{STEM}.tif": cog()})
    taken_in(settings)
    again = replace(PROVENANCE, instance=8, created=PROVENANCE.created + timedelta(days=1))
    deliver(settings, {f"{STEM}.tif": cog(200)}, again)
    assert taken_in(settings).archived
    first, second = rows(settings, GRANULES)
    assert (first["superseded_by"], second["superseded_by"]) == (second["id"], None)
    assert len(rows(settings, "SELECT path FROM asset WHERE path LIKE '%.tif'")) == 2


def test_a_delivery_made_twice_is_archived_once(settings: Settings) -> None:
    deliver(settings, {f"{STEM}.tif": cog()})
    taken_in(settings)
    deliver(settings, {f"{STEM}.tif": cog()})
    report = taken_in(settings)
    assert (report.rejected, report.conflict) == (0, 0)
    assert report.duplicate and len(rows(settings, GRANULES)) == 1


def test_a_grid_in_hdf5_tells_its_own_place(settings: Settings) -> None:
    memory = io.BytesIO()
    with h5py.File(memory, "w") as h5:
        h5["granule_count"] = np.zeros((4, 8), "u2")
        bounds = {"lat_min": -90.0, "lat_max": 90.0, "lon_min": -180.0, "lon_max": 180.0}
        h5.attrs.update({f"geospatial_{edge}": value for edge, value in bounds.items()})
    provenance = replace(PROVENANCE, pge="daily_coverage", period="2024-02-10")
    deliver(settings, {"VCOVD.daily_coverage.1.2024-02-10.h5": memory.getvalue()}, provenance)
    assert not taken_in(settings).rejected, rows(settings, "SELECT name, reason, detail FROM arrival")
    (granule,) = rows(settings, GRANULES)
    assert (granule["west"], granule["east"]) == (-180, 180)


def reject(settings: Settings) -> tuple[str, str]:
    """What became of the only data file, and the reason in words."""
    taken_in(settings)
    (row,) = rows(settings, "SELECT state, reason, detail FROM arrival WHERE name LIKE '%.tif'")
    assert row["state"] == "rejected", row
    return row["reason"], row["detail"]


def test_metadata_of_another_file_are_not_believed(settings: Settings) -> None:
    folder = deliver(settings, {f"{STEM}.tif": cog()})
    meta = written(replace(PROVENANCE, file="VQLKM.viirs_quicklook.1.NPP000650599152.tif"))
    rewrite(folder, f"{STEM}.tif{ENDING}", meta)
    code, detail = reject(settings)
    assert code == "metadata" and "NPP000650599152.tif', but stand beside" in detail


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{}", "expected an object with format 1"),
        (b"[" * 100_000, f"{STEM}.tif.meta.json: "),
        (b"\xff\xfe", f"{STEM}.tif.meta.json: "),
        (written(replace(PROVENANCE, version="2")), "the name says PGE viirs_quicklook 1, its metadata say"),
    ],
)
def test_an_output_with_damaged_metadata_is_rejected(settings: Settings, content: bytes, words: str) -> None:
    rewrite(deliver(settings, {f"{STEM}.tif": cog()}), f"{STEM}.tif{ENDING}", content)
    code, detail = reject(settings)
    assert code == "metadata" and words in detail


def rewrite(folder: Path, name: str, content: bytes) -> None:
    """Replace a file of a delivery, and its sum."""
    (folder / name).write_bytes(content)
    sums = [
        f"{sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in folder.iterdir()
        if file.stem != "SHA256SUMS"
    ]
    (folder / "SHA256SUMS").write_text("".join(sums))
    settle(folder)


def test_an_output_that_lost_a_byte_is_rejected(settings: Settings) -> None:
    folder = deliver(settings, {f"{STEM}.tif": cog()})
    (folder / f"{STEM}.tif").write_bytes(cog()[:-1])
    settle(folder)
    assert reject(settings)[0] == "checksum"


def test_an_output_waits_for_its_metadata_and_for_its_sums(settings: Settings) -> None:
    folder = deliver(settings, {f"{STEM}.tif": cog()})
    sums, meta = ((folder / name).read_bytes() for name in ("SHA256SUMS", f"{STEM}.tif{ENDING}"))
    (folder / "SHA256SUMS").unlink()
    taken_in(settings)
    assert fates(settings)[f"{STEM}.tif"] == ("waiting", "no_checksum")
    (folder / "SHA256SUMS").write_bytes(sums)
    (folder / f"{STEM}.tif{ENDING}").unlink()
    settle(folder)
    taken_in(settings)
    assert fates(settings)[f"{STEM}.tif"] == ("waiting", "set")
    (folder / f"{STEM}.tif{ENDING}").write_bytes(meta)
    settle(folder)
    taken_in(settings)
    assert {state for state, _ in fates(settings).values()} == {"archived"}


def test_a_file_with_a_foreign_name_is_rejected_alone(settings: Settings) -> None:
    deliver(settings, {f"{STEM}.tif": cog(), "notes.txt": b"made with care\n"})
    report = taken_in(settings)
    assert report.rejected
    assert fates(settings)["notes.txt"] == ("rejected", "unrecognised")
    assert fates(settings)[f"{STEM}.tif"] == ("archived", None)
