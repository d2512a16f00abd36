"""Faults that any delivery may hold, each by name and with a fate that follows from the rules of ingest alone.

A fault makes its own files, from good ones that nothing else uses; it never touches the good files of the delivery.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from orbitory import announcements
from orbitory.catalogue import Source
from orbitory.simulate.items import Form, Item, checksum, manifest, sidecar

_ERROR_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>503 Service Unavailable</title></head><body>Try later.</body></html>\n"
)


class Workshop(Protocol):
    """Where faults get good files from."""

    source: Source

    def fresh(self) -> Item:
        """A good file, with its members, that nobody else gets."""

    def draw(self, count: int) -> int:
        """A number from 0 to ``count - 1``, the same for the same seed."""

    def settled(self) -> bytes:
        """Path of a good file of the delivery."""


W = TypeVar("W", contravariant=True)


@dataclass(frozen=True, slots=True)
class Fault(Generic[W]):
    """One kind of fault."""

    #: Its files, with their fates.
    make: Callable[[W], Iterator[Item]]
    #: How many data files it brings into the delivery.
    files: int = 1
    #: Whether it needs a good file of the delivery that it can repeat or replace.
    repeats: bool = False
    #: What must hold at the source, or its fate could not be told; None when it does.
    refuses: Callable[[W], str | None] = lambda _: None


def truncated(workshop: Workshop) -> Iterator[Item]:
    """The transfer broke off."""
    item = workshop.fresh()
    yield replace(item, content=item.content[: len(item.content) * 2 // 3]).meets("rejected", "structure")


def zero_length(workshop: Workshop) -> Iterator[Item]:
    """Nothing but a name came."""
    yield replace(workshop.fresh(), content=b"").meets("rejected", "size")


def bit_flip(workshop: Workshop) -> Iterator[Item]:
    """One bit changed on the way; only the checksum beside it can tell."""
    item = workshop.fresh().meets("rejected", "checksum")
    yield from _with_sidecar(
        replace(item, content=_flipped(workshop, item.content)), item.content, _algorithm(workshop)
    )


def wrong_magic(workshop: Workshop) -> Iterator[Item]:
    """A server's error page under a data file's name."""
    yield replace(workshop.fresh(), content=_ERROR_PAGE).meets("rejected", "type")


def newline_name(workshop: Workshop) -> Iterator[Item]:
    """A name that breaks lists."""
    yield _renamed(workshop.fresh(), b"\n").meets("rejected", "name")


def undecodable_name(workshop: Workshop) -> Iterator[Item]:
    """A name that is not UTF-8."""
    yield _renamed(workshop.fresh(), b"\xff").meets("rejected", "name")


def growing(workshop: Workshop) -> Iterator[Item]:
    """Half a file, modified this moment: its sender is still writing."""
    item = workshop.fresh()
    yield replace(item, content=item.content[: len(item.content) // 2], young=True).meets("waiting", "young")


def temporary(workshop: Workshop) -> Iterator[Item]:
    """Half a file under a name that says so."""
    item = workshop.fresh()
    half = item.content[: len(item.content) // 2]
    path = _temporary_path(workshop.source, item.path) or item.path
    yield replace(item, path=path, content=half, young=True, members=()).meets("waiting", "temporary")


def orphan_sidecar(workshop: Workshop) -> Iterator[Item]:
    """A checksum whose data file has not come."""
    item = workshop.fresh().meets("waiting", "no_data")
    yield replace(sidecar(item, _algorithm(workshop)), young=True)


def bad_sidecar(workshop: Workshop) -> Iterator[Item]:
    """A sidecar that holds no checksum."""
    item = workshop.fresh().meets("rejected", "checksum")
    yield item
    yield replace(sidecar(item, _algorithm(workshop)), content=b"checksum service not available\n")


def wrong_sidecar(workshop: Workshop) -> Iterator[Item]:
    """A good file whose sidecar announces other bytes."""
    item = workshop.fresh().meets("rejected", "checksum")
    yield from _with_sidecar(item, _flipped(workshop, item.content), _algorithm(workshop))


def two_sidecars_disagree(workshop: Workshop) -> Iterator[Item]:
    """Two announcements of which only one can be true."""
    item = workshop.fresh().meets("rejected", "checksum")
    right, wrong = usable_algorithms(workshop.source)[:2]
    yield from _with_sidecar(item, item.content, right)
    yield sidecar(item, wrong, value=checksum(wrong, _flipped(workshop, item.content)))


def symlink(workshop: Workshop) -> Iterator[Item]:
    """A good name that is only a link to another file."""
    item = workshop.fresh()
    target = posixpath.relpath(workshop.settled(), posixpath.dirname(item.path))
    yield replace(item, content=target, form=Form.LINK, members=()).meets("rejected", "type")


def fifo(workshop: Workshop) -> Iterator[Item]:
    """A good name on which a reader would wait for ever."""
    yield replace(workshop.fresh(), content=b"", form=Form.FIFO, members=()).meets("rejected", "type")


def missing_member(workshop: Workshop) -> Iterator[Item]:
    """A folder manifest that names a file which has not come: the others are archived, the manifest waits."""
    here, absent = workshop.fresh(), workshop.fresh()
    item = here.renamed(lambda path: b"sets/incomplete/" + posixpath.basename(path))
    yield item
    yield manifest("sets/incomplete/MD5SUMS", [item], [posixpath.basename(absent.path).decode()])


def _with_sidecar(item: Item, announced: bytes, algorithm: str) -> Iterator[Item]:
    yield item
    yield sidecar(item, algorithm, value=checksum(algorithm, announced))


def _flipped(workshop: Workshop, content: bytes) -> bytes:
    place = len(content) // 2 + workshop.draw(len(content) // 4)
    return content[:place] + bytes([content[place] ^ 1 << workshop.draw(8)]) + content[place + 1 :]


def _renamed(item: Item, inserted: bytes) -> Item:
    def inserting(path: bytes) -> bytes:
        stem, suffix = posixpath.splitext(path)
        return stem + inserted + suffix

    return item.renamed(inserting)


def _temporary_path(source: Source, path: bytes) -> bytes | None:
    folder, name = posixpath.split(path)
    candidates = (name + b".part", name + b".tmp", b"." + name)
    paths = (posixpath.join(folder, candidate) for candidate in candidates)
    return next((each for each in paths if announcements.is_temporary(each.decode(), source)), None)


def usable_algorithms(source: Source) -> Sequence[str]:
    """Algorithms of which the source takes sidecars and ``hashlib`` makes checksums."""
    known = ("md5", "sha1", "sha256", "sha512")
    return [name for name in known if announcements.role_of(f"data.h5.{name}", source) == "checksum"]


def takes_manifests(source: Source) -> bool:
    """Whether the source takes MD5SUMS for a folder manifest."""
    return announcements.role_of("sets/MD5SUMS", source) == "manifest"


def _algorithm(workshop: Workshop) -> str:
    algorithms = usable_algorithms(workshop.source)
    return algorithms[workshop.draw(len(algorithms))]


def _needs_sidecars(count: int) -> Callable[[Workshop], str | None]:
    def refuses(workshop: Workshop) -> str | None:
        enough = len(usable_algorithms(workshop.source)) >= count
        return None if enough else f"the source takes fewer than {count} kinds of checksum sidecars"

    return refuses


def _needs_temporary_names(workshop: Workshop) -> str | None:
    return None if _temporary_path(workshop.source, b"data.h5") else "the source knows no temporary names (.part, .tmp)"


def _needs_manifests(workshop: Workshop) -> str | None:
    return None if takes_manifests(workshop.source) else "the source takes no MD5SUMS"


COMMON: dict[str, Fault[Workshop]] = {
    "truncated": Fault(truncated),
    "zero_length": Fault(zero_length),
    "bit_flip": Fault(bit_flip, refuses=_needs_sidecars(1)),
    "wrong_magic": Fault(wrong_magic),
    "newline_name": Fault(newline_name),
    "undecodable_name": Fault(undecodable_name),
    "growing": Fault(growing),
    "temporary": Fault(temporary, refuses=_needs_temporary_names),
    "orphan_sidecar": Fault(orphan_sidecar, files=0, refuses=_needs_sidecars(1)),
    "bad_sidecar": Fault(bad_sidecar, refuses=_needs_sidecars(1)),
    "wrong_sidecar": Fault(wrong_sidecar, refuses=_needs_sidecars(1)),
    "two_sidecars_disagree": Fault(two_sidecars_disagree, refuses=_needs_sidecars(2)),
    "symlink": Fault(symlink),
    "fifo": Fault(fifo),
    "missing_member": Fault(missing_member, refuses=_needs_manifests),
}
