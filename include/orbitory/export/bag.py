"""A hand-over package: files in a folder as BagIt 1.0 (RFC 8493) says it, with tables of what they are.

- ``data/…``: every file under its path in storage, copied and read against its digest;
- ``granules.gpkg`` (GeoPackage) and ``granules.parquet`` (GeoParquet with STAC's columns) beside them, in the tag
  manifest;
- ``manifest-sha256.txt``, ``manifest-blake3.txt``, ``tagmanifest-sha256.txt``, ``bag-info.txt``, ``bagit.txt``.

``bagit.py`` and the Library of Congress's tools read it; they would hash every file a second time to write it, so the
few lines that a bag is are written here.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orbitory import __version__
from orbitory.checksum import Hasher
from orbitory.errors import ConfigurationError, IntegrityError
from orbitory.export.compare import Selection
from orbitory.export.tables import write_tables
from orbitory.inventory import Row
from orbitory.mfp import Parameters
from orbitory.site import Site
from orbitory.zones import FileSystemSync, open_beneath, own_errors, sync_folder

#: Written last: a folder without it is no bag yet.
_DECLARATION = "bagit.txt"
_HASHED = re.compile(r"[\r\n%]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bag:
    """A finished package."""

    folder: Path
    granules: int
    files: int
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return {"folder": str(self.folder), "granules": self.granules, "files": self.files, "bytes": self.bytes}


def write_bag(site: Site, selection: Selection, folder: Path) -> Bag:
    """Copy the archived files of a selection into a new ``folder``, with what is known of them.

    Raises ConfigurationError when the folder exists or nothing is selected, IntegrityError when a file is missing or
    damaged: then the folder is no bag.
    """
    if folder.exists():
        raise ConfigurationError(
            f"{folder} exists already: give a folder that does not (without {_DECLARATION}, it is what a failed "
            "try has left, and may be deleted)"
        )
    inventory = site.inventory
    with own_errors(f"write a bag to {folder}"), inventory.transaction():
        inventory.run("export_choose", **selection.values(site))
        inventory.run("export_weigh_chosen")
        (folder / "data").mkdir(parents=True)
        files, size = _copy(site, folder)
        if not files:
            raise ConfigurationError(f"nothing archived is selected, so there is nothing to hand over in {folder}")
        granules = write_tables(site, folder)
        inventory.run("export_drop_chosen")
        _describe(folder, selection, Bag(folder=folder, granules=granules, files=files, bytes=size))
    return Bag(folder=folder, granules=granules, files=files, bytes=size)


def _copy(site: Site, folder: Path) -> tuple[int, int]:
    """Every file once, read once: copied, checked, and both manifests written on the way."""
    files = size = 0
    hasher = Hasher()
    names = ("manifest-sha256.txt", "manifest-blake3.txt")
    sha, blake = ((folder / name).open("w", encoding="utf-8", newline="\n") for name in names)
    with sha, blake:
        for row in _files(site):
            found = _copy_one(site, folder, row, hasher)
            name = f"data/{_escaped(_inside(row['path']))}"
            sha.write(f"{found[0]}  {name}\n")
            blake.write(f"{found[1]}  {name}\n")
            files, size = files + 1, size + row["size"]
        for manifest in (sha, blake):
            manifest.flush()
            os.fsync(manifest.fileno())
    return files, size


def _files(site: Site) -> Iterator[Row]:
    """Page by page, so that no cursor stays open while files are copied."""
    after = ""
    while rows := site.inventory.all("export_bag_files", after=after, limit=5_000):
        yield from rows
        after = rows[-1]["path"]


def _copy_one(site: Site, folder: Path, row: Row, hasher: Hasher) -> tuple[str, str]:
    path = row["path"]
    root = Path("/") if path.startswith("/") else site.settings.storage
    target = folder / "data" / _inside(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source = open_beneath(root, os.fsencode(path.lstrip("/")))
    except FileNotFoundError:
        raise IntegrityError(f"{path} is missing in storage: run `orbitory audit`; {folder} is no bag") from None
    try:
        writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            told = hasher.digest(source, ("sha256",), copy_to=writer)
            os.fsync(writer)
        finally:
            os.close(writer)
    finally:
        os.close(source)
    if told.blake3 != row["digest"]:
        raise IntegrityError(f"{path} is damaged in storage: run `orbitory audit`; {folder} is no bag")
    return told.values["sha256"], told.blake3.hex()


def _inside(path: str) -> str:
    """What was registered in place stands under its whole path."""
    return path.lstrip("/")


def _escaped(name: str) -> str:
    r"""As RFC 8493, 2.1.3, wants names.

    >>> _escaped("a\nb%.ntf")
    'a%0Ab%25.ntf'
    """
    return _HASHED.sub(lambda found: f"%{ord(found[0]):02X}", name)


def _describe(folder: Path, selection: Selection, made: Bag) -> None:
    lines = [
        f"Source-Organization: {Parameters.of_deployment().environment}",
        f"Bagging-Date: {datetime.now(UTC):%Y-%m-%d}",
        f"Bag-Software-Agent: orbitory {__version__}",
        f"Payload-Oxum: {made.bytes}.{made.files}",
        f"External-Description: {made.granules} granules; {selection.as_dict()}",
    ]
    _write(folder / "bag-info.txt", "\n".join(lines) + "\n")
    _write(folder / f".{_DECLARATION}", "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
    tags = [_DECLARATION, *sorted(each.name for each in folder.iterdir() if each.is_file() and each.name[0] != ".")]
    sums = []
    for name in tags:
        with (folder / (f".{name}" if name == _DECLARATION else name)).open("rb") as file:
            sums.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    _write(folder / "tagmanifest-sha256.txt", "".join(sums))
    with FileSystemSync(folder) as disk:  # all folders, too, before it is a bag
        disk.sync()
    (folder / f".{_DECLARATION}").rename(folder / _DECLARATION)
    sync_folder(folder)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
