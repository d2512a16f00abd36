"""Archived correlative files with second copies, for tests of the rolling audit, of mirrors and of repairs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from airflow_world import copy_catalogue
from orbitory.ingest.run import ingest
from orbitory.settings import Settings


def mirrored_catalogue(folder: Path) -> Path:
    """The shipped catalogue, copied to ``folder``, with a second copy of correlative data."""
    catalogue = copy_catalogue(folder)
    product = catalogue / "products" / "correlative.toml"
    product.write_text(product.read_text() + "mirror = true\n")
    return catalogue


def mirrored(settings: Settings, folder: Path) -> Settings:
    """The same site with that catalogue and a mirror, both made below ``folder``."""
    return replace(settings, catalogue=mirrored_catalogue(folder / "catalogue"), mirrors={"default": folder / "second"})


def write(folder: Path, *numbers: int) -> None:
    """Make ``site_00.csv`` and so on, which have stood there for long."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"site_{number:02}.csv").write_bytes(b"a,b\n%d,%d\n" % (number, number**9))
        os.utime(folder / f"site_{number:02}.csv", (0, 0))


def deliver(settings: Settings, *numbers: int) -> None:
    """Archive them."""
    write(settings.landing / "correlative", *numbers)
    assert ingest(settings, "correlative").archived == len(numbers)


def stored(settings: Settings, number: int) -> Path:
    """Where it stands in storage."""
    (file,) = settings.storage.rglob(f"site_{number:02}.csv")
    return file


def flip(file: Path) -> None:
    """Let one bit of it rot."""
    content = bytearray(file.read_bytes())
    content[2] ^= 4
    file.chmod(0o644)
    file.write_bytes(bytes(content))
