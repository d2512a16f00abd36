"""Whole deliveries with their ground truth: what ingest owes to every file, known before ingest sees it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from orbitory.catalogue import Catalogue, Source
from orbitory.errors import ConfigurationError
from orbitory.simulate import campaign, passes, uploads
from orbitory.simulate.faults import Fault
from orbitory.simulate.items import Item, Writer
from orbitory.simulate.strips.faults import FAULTS as MAXAR_FAULTS
from orbitory.simulate.strips.faults import NGA_FAULTS
from orbitory.simulate.strips.workshop import StripWorkshop

#: Grammars of the catalogue for whose sources deliveries can be made, and their faults.
_FAULTS: Mapping[str, Mapping[str, Fault[Any]]] = {
    "idps": passes.FAULTS,
    "any": campaign.FAULTS,
    "nga": NGA_FAULTS,
    "maxar": MAXAR_FAULTS,
    "upload": uploads.FAULTS,
}


class _Planned(Protocol):
    def divide(self, goods: int, repeated: int) -> None: ...

    def goods(self) -> Iterator[Item]: ...


_W = TypeVar("_W", bound=_Planned)


def simulate(  # noqa: PLR0913 - one argument for each option of the command
    catalogue: Catalogue,
    source: str,
    files: int,
    seed: int,
    faults: str | Iterable[str] | None,
    out: Path,
    *,
    granule_bytes: int = 0,
) -> list[dict[str, Any]]:
    """Write a delivery of ``files`` data files below ``out`` and return its ground truth, in the order of paths.

    What stands beside a data file (metadata, sidecars, manifests, orphans, the papers of an order) comes on top of
    ``files``; the tiles of one strip count once; faulty files count. The same arguments give the same tree,
    byte for byte; only modification times follow the clock: complete files look a day old, those that must wait are
    new. ``faults`` is None, names (also as one text with commas), or ``all``: each once, as far as ``files`` allows
    (60 are enough). ``granule_bytes`` makes JPSS arrays larger, about so much a granule; it takes
    some 45 times that in memory.

    Each entry: ``name`` (path relative to ``out``; undecodable bytes as by ``os.fsdecode``), ``size``, ``sha256``,
    ``fate`` and ``reason``. What is no regular file counts as empty. The fates hold for one ingest into a fresh
    inventory that begins within the source's minimum age and uses this catalogue.

    Raises ConfigurationError for an unknown source or fault, and when ``out`` is not empty.
    """
    chosen = catalogue.source(source)
    _check(chosen, catalogue, files, seed)
    wanted = faults.split(",") if isinstance(faults, str) else list(faults or ())
    items = _items(_workshop(catalogue, chosen, seed, granule_bytes), _FAULTS[chosen.grammar], wanted, files)
    writer = Writer(_empty(out))
    for item in items:
        writer.write(item)
    return writer.finish()


def fault_names(catalogue: Catalogue, source: str) -> tuple[str, ...]:
    """Names of the faults that deliveries of ``source`` can have."""
    return tuple(_FAULTS[catalogue.source(source).grammar])


def _workshop(catalogue: Catalogue, source: Source, seed: int, granule_bytes: int) -> _Planned:
    match source.grammar:
        case "idps":
            return passes.JpssWorkshop(catalogue, source, seed, granule_bytes)
        case "any":
            return campaign.CorrelativeWorkshop(source, seed)
        case "upload":
            return uploads.UploadWorkshop(catalogue, source, seed)
        case _:
            return StripWorkshop(source, seed)


def _check(source: Source, catalogue: Catalogue, files: int, seed: int) -> None:
    if source.grammar not in _FAULTS:
        able = ", ".join(sorted(name for name, each in catalogue.sources.items() if each.grammar in _FAULTS))
        raise ConfigurationError(f"deliveries of source {source.name} cannot be simulated; possible are: {able}")
    if source.checksums.required:
        raise ConfigurationError(
            f"source {source.name} requires checksums, and a simulated delivery brings them for some files only: "
            "set checksums.required = false"
        )
    if files < 1 or seed < 0:
        raise ConfigurationError(
            f"expected at least one file and a seed of 0 or more, got {files} files and seed {seed}"
        )


def _empty(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
        occupied = next(out.iterdir(), None)
    except OSError as error:
        raise ConfigurationError(f"cannot write a delivery to {out}: {error.strerror}") from error
    if occupied is not None:
        raise ConfigurationError(f"{out} is not empty (it holds {occupied.name}): give a new or empty folder")
    return out


def _items(workshop: _W, known: Mapping[str, Fault[_W]], wanted: list[str], files: int) -> Iterator[Item]:
    """All files, the good ones first. Everything is checked before the first is made."""
    chosen = _chosen(workshop, known, [name.strip() for name in wanted if name.strip()], files)
    faulty = sum(known[name].files for name in chosen)
    workshop.divide(files - faulty, sum(known[name].repeats for name in chosen))
    return _made(workshop, [known[name] for name in chosen])


def _made(workshop: _W, faults: list[Fault[_W]]) -> Iterator[Item]:
    yield from workshop.goods()
    for fault in faults:
        yield from fault.make(workshop)


def _chosen(workshop: _W, known: Mapping[str, Fault[_W]], wanted: list[str], files: int) -> list[str]:
    """The faults to make, in the order in which they are known. Each that repeats a file needs one to repeat."""
    every = "all" in wanted
    if unknown := sorted(set(wanted) - {"all", *known}):
        raise ConfigurationError(f"unknown fault {', '.join(unknown)}; known for this source: all, {', '.join(known)}")
    chosen, room = [], files
    for name, fault in known.items():
        if not every and name not in wanted:
            continue
        problem = fault.refuses(workshop)
        needed = fault.files + fault.repeats
        if problem is None and needed > room:
            problem = f"{files} files are too few for the faults asked for"
        if problem is None:
            chosen.append(name)
            room -= needed
        elif name in wanted:
            raise ConfigurationError(f"fault {name} cannot be made: {problem}")
    return chosen
