"""What a file says about itself. Modules here that import a C parser are imported only in the isolated child (workers).

An extractor is a module with ``extract(task) -> Extraction``; it raises DataError for a bad file and NotReady for one
that is no longer the file it was told about.
"""

from __future__ import annotations

import errno
import importlib
import os
import stat as modes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from orbitory.errors import DataError, NotReady, Transient
from orbitory.extract.container import HEAD_BYTES, quick_check, sniff
from orbitory.model import Extraction, Finding, GranuleFacts, Identity, Level, Stat

__all__ = [
    "EXTRACTORS",
    "HEAD_BYTES",
    "ExtractTask",
    "Extractor",
    "Member",
    "OpenFile",
    "open_file",
    "quick_check",
    "read_whole",
    "sniff",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One more file of the unit: another image of the strip, metadata, a bundle, …"""

    id: int
    #: Absolute, as the file system holds it.
    path: bytes
    #: Readable name relative to the landing folder.
    name: str
    identity: Identity
    #: An announced checksum vouches for its bytes.
    checksummed: bool = False
    #: The file that was verified; NotReady if another one stands there now.
    stat: Stat | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractTask:
    """One file to read, with the others of its unit."""

    id: int
    #: Absolute, as the file system holds it.
    path: bytes
    #: Key of ``EXTRACTORS``.
    extractor: str
    source: str
    #: Readable name relative to the landing folder.
    name: str
    identity: Identity
    #: (product id, collection) of the products that the name promises, from the catalogue.
    collections: tuple[tuple[str, str], ...] = ()
    #: An announced checksum vouches for the bytes, so that metadata alone need be read.
    checksummed: bool = False
    #: The file that was verified; NotReady if another one stands there now.
    stat: Stat | None = None
    #: Checksum sidecars are not among them.
    members: tuple[Member, ...] = ()


class Extractor(Protocol):
    """Reads one file of a source."""

    def __call__(self, task: ExtractTask) -> Extraction:
        """Facts, findings and header of the file. Raises DataError or NotReady."""


#: Extractor → module that holds its ``extract`` function.
EXTRACTORS: dict[str, str] = {
    "jpss": "orbitory.extract.jpss",
    "generic": "orbitory.extract.generic",
    "strip": "orbitory.extract.strip",
    "upload": "orbitory.extract.upload",
    "raster_check": "orbitory.rasters.reading",
    "pge": "orbitory.extract.pge",
}


def load(name: str) -> Extractor:
    """The extractor's function. Imports C parsers: call it only in the isolated child or in a test."""
    function: Extractor = importlib.import_module(EXTRACTORS[name]).extract
    return function


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFile:
    """A regular file, open for reading; ``path`` names this very descriptor, whatever stands in landing by then."""

    descriptor: int
    size: int
    head: bytes
    path: str

    def whole(self) -> bytes:
        """All bytes, of which ``head`` is not read again; fewer where the file was cut meanwhile."""
        rest = self.size - len(self.head)
        return self.head + os.pread(self.descriptor, rest, len(self.head)) if rest > 0 else self.head


@contextmanager
def open_file(task: ExtractTask | Member) -> Iterator[OpenFile]:
    """Open without following a link or waiting for a FIFO; refuse anything but the expected regular file."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        descriptor = os.open(task.path, flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV):
            raise DataError("type", f"{task.name} is a link, socket or device, not a regular file") from error
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise NotReady(f"{task.name} vanished from landing before it was read") from error
        raise Transient(f"cannot open {task.name}: {error.strerror}; nothing was lost, it is tried again") from error
    try:
        status = os.fstat(descriptor)
        if not modes.S_ISREG(status.st_mode):
            raise DataError("type", f"{task.name} is not a regular file (mode {status.st_mode:o})")
        if task.stat is not None and task.stat != Stat(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        ):
            raise NotReady(f"{task.name} changed since it was verified")
        head = os.pread(descriptor, HEAD_BYTES, 0)
        yield OpenFile(descriptor=descriptor, size=status.st_size, head=head, path=f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def read_whole(member: Member, most: int, told: str) -> bytes:
    """Bytes of a small file; ``told``: how a refusal begins to say that it has more than ``most``, "the form has"."""
    with open_file(member) as source:
        if source.size > most:
            raise DataError("policy", f"{told} {source.size} bytes, at most {most} are read")
        return os.pread(source.descriptor, most, 0)


def sole_granule(task: ExtractTask, kind: str) -> GranuleFacts:
    """The granule of a file that is one granule: known by its name, of the kind that its bytes are."""
    identity = task.identity
    return GranuleFacts(
        product=kind,
        key=f"{task.source}/{task.name}",
        sensor=identity.sensor,
        platform=identity.platform,
        created=identity.created,
        sensing_start=identity.sensing_start,
        sensing_end=identity.sensing_end,
        orbit=identity.orbit,
    )


def warning(code: str, reason: str, hint: str = "") -> Finding:
    """A finding that a person should look at."""
    return Finding(level=Level.WARNING, code=code, reason=reason[:2000], hint=hint)


def note(code: str, reason: str, hint: str = "") -> Finding:
    """A finding for the record."""
    return Finding(level=Level.INFO, code=code, reason=reason[:2000], hint=hint)
