"""Which of the files beside an image, or in the TAR beside it, are its metadata.

Order (PGC imagery_utils; DOMAIN 4.4): an XML of the image's own name, one of its strip (the name without the tile), an
IMD, PVL or text, then the same in the TAR, where files bear the vendor's name; an RPB for the rational polynomials.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from orbitory.errors import DataError
from orbitory.extract import ExtractTask, Member, open_file
from orbitory.extract.header import Header
from orbitory.extract.strips.imagery_xml import SIZE_LIMIT
from orbitory.extract.strips.records import Group
from orbitory.extract.strips.strip_facts import Described, describe, read_metadata
from orbitory.extract.strips.tar_members import tar_members
from orbitory.extract.structure import Bytes

_DESCRIBING = ("xml", "imd", "pvl", "txt")
_POLYNOMIALS = ("rpb", "rpc")
_TILE = re.compile(r"_?r\d{1,4}c\d{1,4}(?=-|$)")
#: Tails of texts that GeoEye writes: a set of images shares one ``_metadata``, each has its ``_rpc``.
_TAIL = re.compile(r"_(metadata|rpc)$")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A file that may describe images; all names in lower case."""

    #: Its name without ending and GeoEye's tail.
    stem: str
    #: ``xml``, …; ``rpc`` for GeoEye's text of rational polynomials.
    ending: str
    #: Where it is, for people.
    label: str
    bundled: bool
    read: Callable[[], bytes]


class Sidecars:
    """The files beside the images of one unit. Each is read at most once, when an image asks for it."""

    def __init__(self, task: ExtractTask) -> None:
        """List the members of the unit's bundles. Raises DataError for a bundle that is damaged or must not be."""
        self._bundles = sum(member.identity.role == "bundle" for member in task.members)
        self._all = [found for member in task.members for found in _listed(member)]
        self._groups: dict[str, Group] = {}
        self._described: dict[tuple[str, str], Described] = {}

    def describe(self, image: ExtractTask | Member) -> tuple[Described, bool]:
        """What its metadata say, and whether they are of the whole strip that it is a tile of.

        Raises DataError("metadata") if there are none, or they are cut off.
        """
        stems = _stems(image)
        chosen = self._best(stems, _DESCRIBING)
        if chosen is None:
            where = " or in the TAR" if self._bundles else ""
            name = posixpath.basename(image.name)
            raise DataError("metadata", f"{name} has no metadata: there is no XML, IMD, PVL or text beside it{where}")
        metadata = self._group(chosen)
        polynomials = None if metadata.first("RPB") else self._best(stems, _POLYNOMIALS)
        details = image.identity.details
        component = details.get("part") or details.get("catalog_id") or ""
        described = self._described.get((chosen.label, component))
        if described is None:
            rational = self._group(polynomials) if polynomials else None
            described = describe(metadata, image=component, polynomials=rational)
            self._described[chosen.label, component] = described
        return described, stems.index(chosen.stem) % 2 == 1 if chosen.stem in stems else False

    def add_to(self, header: Header) -> None:
        """Keep all that was read."""
        for label, group in self._groups.items():
            header.add(label, group.plain())

    def _best(self, stems: list[str], endings: tuple[str, ...]) -> Sidecar | None:
        """The first by place (loose, bundled), ending (XML, others) and likeness of the name."""
        ranked = [
            (each.bundled, endings.index(each.ending) > 0, rank, each.label, each)
            for each in self._all
            if each.ending in endings and (rank := _likeness(each.stem, stems)) is not None
        ]
        return min(ranked, key=lambda found: found[:4])[-1] if ranked else None

    def _group(self, sidecar: Sidecar) -> Group:
        if sidecar.label not in self._groups:
            try:
                self._groups[sidecar.label] = read_metadata(sidecar.read())
            except DataError as error:
                raise DataError(error.code, f"{sidecar.label}: {error.detail}") from None
        return self._groups[sidecar.label]


def _stems(image: ExtractTask | Member) -> list[str]:
    """Under which names its metadata may be: its own and the vendor's, each with and without the tile."""
    own = _split(image.name)[0]
    vendor = image.identity.details.get("vendor_id", "").lower() or own
    return [own, _TILE.sub("", own), vendor, _TILE.sub("", vendor)]


def _likeness(stem: str, stems: list[str]) -> int | None:
    """Rank of a name, the lower the better; None when it cannot be of this image."""
    if stem in stems:
        return stems.index(stem)
    if stem.startswith(stems[2]):
        return 4
    return 5 if stems[0].startswith(stem) else None


def _split(name: str) -> tuple[str, str]:
    """Stem and ending in lower case; an ending written twice counts once."""
    stem, ending = posixpath.splitext(posixpath.basename(name).lower())
    stem = stem.removesuffix(ending)
    if ending == ".txt" and (tail := _TAIL.search(stem)):
        return stem[: tail.start()], "rpc" if tail[1] == "rpc" else "txt"
    return stem, ending[1:]


def _listed(member: Member) -> Iterator[Sidecar]:
    """A loose file, or the files in a bundle, if they may describe images."""
    base = posixpath.basename(member.name)
    if member.identity.role == "bundle":
        with open_file(member) as source:
            if source.head[:2] in (b"\x1f\x8b", b"PK", b"BZ"):
                raise DataError("type", f"{base} is compressed, no plain TAR")
            try:
                members = tar_members(Bytes(source.descriptor, source.size))
            except DataError as error:
                raise DataError(error.code, f"{base}: {error.detail}") from None
        for found in members:
            stem, ending = _split(found.name)
            if ending in _DESCRIBING + _POLYNOMIALS:
                label = f"{base}: {found.name}"
                yield Sidecar(stem, ending, label, True, _reader(member, label, found.offset, found.size))
    elif member.identity.role == "metadata":
        stem, ending = _split(member.name)
        if ending in _DESCRIBING + _POLYNOMIALS:
            yield Sidecar(stem, ending, base, False, _reader(member, base))


def _reader(member: Member, label: str, offset: int = 0, size: int | None = None) -> Callable[[], bytes]:
    def read() -> bytes:
        with open_file(member) as source:
            count = source.size if size is None else size
            if count > SIZE_LIMIT:
                raise DataError("policy", f"{label} has {count} bytes; at most {SIZE_LIMIT} are read")
            return Bytes(source.descriptor, source.size).at(offset, count)

    return read
