"""What a mirror must be able to do, and the one that is a folder of another file system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from orbitory.checksum import Hasher
from orbitory.errors import ConfigurationError, IntegrityError
from orbitory.site import Site
from orbitory.storage import read_afresh
from orbitory.zones import INCOMING, FileSystemSync, is_regular, open_beneath, own_errors, sync_folder, write_whole

#: Stands in the root of a mirror and holds its number; without it the file system is taken for unmounted.
SENTINEL = ".orbitory-mirror"


def path_in_mirror(path: str) -> str:
    """Where the copy of a file stands: as in storage; what was registered in place, apart from that.

    >>> path_in_mirror("nga/WV02/a.ntf"), path_in_mirror("/css/nga/a.ntf")
    ('nga/WV02/a.ntf', '.registered/css/nga/a.ntf')
    """
    return f".registered{path}" if path.startswith("/") else path


class Place(Protocol):
    """One mirror. Paths are those of ``path_in_mirror``; what the system reports is raised as OSError."""

    def prepare(self, number: str, *, holds_copies: bool) -> None:
        """Make sure that it is there and ours. Raises IntegrityError when it should hold copies and looks unmounted."""

    def require(self, number: str) -> None:
        """The same, changing nothing: what was never prepared looks unmounted."""

    def put(self, source: int, path: str, digest: bytes) -> bool:
        """Copy the open file and hash the bytes on their way; False, and nothing is kept, when they differ."""

    @contextmanager
    def get(self, path: str) -> Iterator[int]:
        """A descriptor to read a copy from. Raises FileNotFoundError when there is none."""

    def digest(self, path: str) -> bytes | None:
        """BLAKE3 of a copy as it is on disk now; None when there is none."""

    def remove(self, path: str) -> None:
        """Take a copy away; done already when there is none."""

    @contextmanager
    def durable(self) -> Iterator[None]:
        """What is put inside has reached the disk when the block ends, or the block raises."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A mirror that is a folder of its own, best of another file system than storage."""

    root: Path
    _hasher: Hasher = field(default_factory=Hasher)

    def prepare(self, number: str, *, holds_copies: bool) -> None:
        """An empty one is made ready; one that has copies must carry the sentinel."""
        with own_errors(f"prepare the mirror {self.root}"):
            if self._number() is None and not holds_copies:
                self.root.mkdir(parents=True, exist_ok=True)
                (self.root / SENTINEL).touch()
                sync_folder(self.root)
        self.require(number)
        with own_errors(f"prepare the mirror {self.root}"):
            if not self._number():
                write_whole(self.root / SENTINEL, f"{number}\n".encode())

    def require(self, number: str) -> None:
        """One that a person has made, empty, may be anybody's."""
        with own_errors(f"look at the mirror {self.root}"):
            found = self._number()
        if found is None:
            raise IntegrityError(
                f"the mirror {self.root} has no {SENTINEL}: it looks unmounted. Nothing was done; mount it. If it is "
                f"new and empty because the old one is lost, create that empty file: every copy is made again"
            )
        if found not in ("", number):
            raise IntegrityError(
                f"the mirror {self.root} is that of another site, or another mirror of this one: its {SENTINEL} says "
                f"{found[:80]!r}, ours is {number or 'not known'!r}. Nothing was done; set a folder of its own. If it "
                f"is ours, and the inventory was made anew, empty that file"
            )

    def _number(self) -> str | None:
        try:
            return (self.root / SENTINEL).read_text(errors="replace").strip()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, source: int, path: str, digest: bytes) -> bool:
        """A name appears with all of its bytes; one that stood there is replaced."""
        target, part = self.root / path, self.root / INCOMING / "copying"  # one run at a time writes to a mirror
        target.parent.mkdir(parents=True, exist_ok=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        os.lseek(source, 0, os.SEEK_SET)
        writer = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        try:
            try:
                read = self._hasher.digest(source, copy_to=writer)
            finally:
                os.close(writer)
            if read.blake3 == digest:
                part.replace(target)
            return read.blake3 == digest
        finally:
            with suppress(OSError):  # why the copying failed is what matters
                part.unlink(missing_ok=True)

    @contextmanager
    def get(self, path: str) -> Iterator[int]:
        """Opened beneath the root, through no link."""
        descriptor = open_beneath(self.root, os.fsencode(path))
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def digest(self, path: str) -> bytes | None:
        """Every byte is read, past what the kernel remembers."""
        try:
            with self.get(path) as descriptor:
                return read_afresh(self._hasher, descriptor) if is_regular(descriptor) else None
        except (FileNotFoundError, NotADirectoryError):
            return None

    def remove(self, path: str) -> None:
        """And the folders that become empty."""
        file = self.root / path
        with suppress(FileNotFoundError, NotADirectoryError):
            file.unlink()
        for folder in file.parents:
            if folder == self.root:
                return
            try:
                folder.rmdir()
            except OSError:
                return

    @contextmanager
    def durable(self) -> Iterator[None]:
        """One sync of the file system for all that was put."""
        with own_errors(f"copy into the mirror {self.root}"), FileSystemSync(self.root) as disk:
            yield
            disk.sync()


def place_of(site: Site, mirror: str) -> Place:
    """The mirror of that name. Raises ConfigurationError when no setting says where it is."""
    root = site.settings.mirrors.get(mirror)
    if root is None:
        variable = "ORBITORY_MIRROR" + ("" if mirror == "default" else f"_{mirror.upper()}")
        raise ConfigurationError(f"no setting says where the mirror {mirror!r} is: set {variable} to its folder")
    storage = site.settings.storage
    if root == storage or root.is_relative_to(storage) or storage.is_relative_to(root):
        raise ConfigurationError(
            f"the mirror {root} and storage {storage} are one in the other: give it a place of its own"
        )
    return Folder(root)


def ready(site: Site, mirror: str, *, to_write: bool = False) -> Place:
    """The same, made sure to be there and ours. Raises IntegrityError when it looks unmounted, or is another's."""
    place = place_of(site, mirror)
    if to_write:
        site.inventory.run("mirror_enter", mirror=mirror)
    row = site.inventory.one("mirror_number", mirror=mirror)
    number = row["number"] if row else ""
    if to_write:
        place.prepare(number, holds_copies=bool(site.inventory.one("mirror_any", mirror=mirror)))
    else:
        place.require(number)
    return place
