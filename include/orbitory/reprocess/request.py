"""A request from asking to verdict: what it selects, how it is cut, what became of it."""

from __future__ import annotations

import difflib
import json
import logging
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any, Literal

from orbitory import __version__
from orbitory.errors import ConfigurationError, IntegrityError, Transient
from orbitory.reprocess.pages import Slice, pages
from orbitory.reprocess.reread import reread
from orbitory.reprocess.verify import verify
from orbitory.site import Site

log = logging.getLogger(__name__)

#: Bounds of a slice: about a minute of work. What was sensed at one instant is never split.
MOST_FILES = 5_000
MOST_BYTES = 8 << 30
MOST_BATCHES = 200
#: So many problems are told; the table has them all.
MOST_TOLD = 1_000

Reason = Literal["command", "manual", "backfill", "scheduled"]


class Mode(StrEnum):
    """What is done with every selected file."""

    #: Hash it and compare with the digest in the inventory.
    VERIFY = "verify"
    #: Read its metadata with the present code and renew all facts.
    EXTRACT = "extract"
    #: Likewise, but renew footprints and their areas alone.
    FOOTPRINTS = "footprints"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Archived granules whose sensing starts in [start, stop); of each tuple one must hold, empty means all."""

    start: datetime
    stop: datetime
    #: Product types of the catalogue, or product ids.
    products: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    #: Files by the names under which they were delivered, relative to the landing folder.
    names: tuple[str, ...] = ()
    mode: Mode = Mode.EXTRACT

    def __post_init__(self) -> None:
        """Refuse an empty range. Raises ConfigurationError."""
        if self.start >= self.stop:
            raise ConfigurationError(
                f"the sensing time asked for is empty: from {self.start:%FT%TZ} to {self.stop:%FT%TZ}, the end "
                "excluded; a date means its first instant, so give the day after the last one"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRef:
    """What one mapped task gets: where its slice stands in the inventory, and a label for people."""

    request: int
    number: int
    count: int
    day: str

    def as_dict(self) -> dict[str, int | str]:
        """Plain values for XCom."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a selection amounts to. ``request`` is None as long as nothing was asked for."""

    request: int | None
    files: int
    bytes: int
    batches: tuple[BatchRef, ...] = ()
    #: Starts of the slices.
    starts: tuple[datetime, ...] = ()
    #: (files, bytes) of each.
    sizes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a request. ``problems`` counts files; ``found`` are the first of them."""

    request: int | None
    mode: Mode
    files: int
    bytes: int
    changed: int = 0
    problems: int = 0
    unfinished: int = 0
    found: tuple[dict[str, str], ...] = field(default=())

    @property
    def failed(self) -> bool:
        """Whether a person must look."""
        return bool(self.problems or self.unfinished)

    @property
    def message(self) -> str:
        """One sentence for people."""
        told = f"request {self.request} ({self.mode}): {self.files:,} files read, {self.changed:,} rows renewed"
        if self.unfinished:
            told += f", {self.unfinished} batches unfinished"
        return f"{told}, {self.problems:,} files with problems" if self.problems else told

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        told = asdict(self)
        return {name: told[name] for name in ("request", "files", "bytes", "changed", "problems", "found")}

    def require_sound(self) -> None:
        """Raises IntegrityError when verify found missing or damaged files, Transient when slices are unfinished."""
        if self.mode is Mode.VERIFY and self.problems:
            names = ", ".join(each["path"] for each in self.found[:3])
            raise IntegrityError(
                f"{self.problems} archived files are missing or damaged, first {names}: nothing was touched; "
                "restore them from a copy, docs/operations.md tells how"
            )
        if self.unfinished:
            raise Transient(f"{self.message}: ask again, what is done already costs only the reading")


def plan(site: Site, selection: Selection) -> Plan:
    """What ``selection`` holds and how it would be cut; writes nothing.

    Raises ConfigurationError for a product or sensor that nobody knows.
    """
    rows = site.inventory.all(
        "reprocess_plan",
        **_conditions(site, selection),
        start=selection.start,
        stop=selection.stop,
        most_files=MOST_FILES,
        most_bytes=MOST_BYTES,
        most_batches=MOST_BATCHES,
    )
    return Plan(
        request=None,
        files=sum(row["files"] for row in rows),
        bytes=sum(row["bytes"] for row in rows),
        starts=tuple(row["start"] for row in rows),
        sizes=tuple((row["files"], row["bytes"]) for row in rows),
    )


def begin(site: Site, selection: Selection, reason: Reason = "command") -> Plan:
    """Write the request down and cut it into slices; each call is a request of its own.

    Raises IntegrityError when storage looks unmounted.
    """
    planned = plan(site, selection)
    if planned.files:
        site.storage.prepare(holds_assets=True)
    asked = {name: list(getattr(selection, name)) for name in ("products", "sensors", "names")}
    with site.inventory.transaction():
        row = site.inventory.one(
            "reprocess_request",
            **asked,
            **{"mode": selection.mode.value, "reason": reason, "actor": site.actor, "code": __version__},
            **{"start": selection.start, "stop": selection.stop, "files": planned.files, "bytes": planned.bytes},
        )
        assert row is not None
        request = int(row["id"])
        edges = [selection.start, *planned.starts[1:], selection.stop]
        slices = list(zip(pairwise(edges), planned.sizes, strict=False))
        site.inventory.copy_in(
            "copy_reprocess_batch",
            (
                (request, number, f"[{start.isoformat()},{stop.isoformat()})", files, size)
                for number, ((start, stop), (files, size)) in enumerate(slices)
            ),
        )
    batches = tuple(
        BatchRef(request=request, number=number, count=files, day=f"{start:%F}")
        for number, (start, (files, _)) in enumerate(zip(planned.starts, planned.sizes, strict=True))
    )
    log.info("reprocess request=%d mode=%s files=%d batches=%d", request, selection.mode, planned.files, len(batches))
    return Plan(request=request, files=planned.files, bytes=planned.bytes, batches=batches)


def work(site: Site, request: int, number: int) -> int:
    """Read every file of one slice again and renew what differs; returns how many rows were written.

    May be repeated; a finished slice is left alone. What is wrong with a file is written down and stops nothing.
    Raises IntegrityError when storage looks unmounted, Transient when machine or database are in the way.
    """
    row = site.inventory.one("reprocess_batch", request=request, number=number)
    if row is None:
        raise ConfigurationError(f"there is no batch {number} of request {request}: was the inventory replaced?")
    if row["done"]:
        return 0
    site.storage.prepare(holds_assets=True)
    started = time.monotonic()
    selection = Selection(
        start=row["start"],
        stop=row["stop"],
        products=tuple(row["products"]),
        sensors=tuple(row["sensors"]),
        names=tuple(row["names"]),
        mode=Mode(row["mode"]),
    )
    piece = Slice(
        site=site,
        request=request,
        number=number,
        conditions={**_conditions(site, selection), "start": selection.start, "stop": selection.stop},
    )
    site.inventory.run("reprocess_forget_problems", request=request, number=number)
    if selection.mode is Mode.VERIFY:
        changed = sum(verify(piece, page) for page in pages(piece))
    else:
        changed = reread(piece, pages(piece), footprints_only=selection.mode is Mode.FOOTPRINTS)
    site.inventory.run("reprocess_done", request=request, number=number)
    seconds = time.monotonic() - started
    log.info("reprocess request=%d batch=%d files=%d seconds=%.2f", request, number, row["files"], seconds)
    return changed


def finish(site: Site, request: int | None = None) -> Outcome:
    """Count the request (by default the newest of this actor) and write its verdict; may be repeated.

    Raises ConfigurationError when there is none.
    """
    if request is None:
        latest = site.inventory.one("reprocess_latest", actor=site.actor)
        request = latest["id"] if latest else None
    row = site.inventory.one("reprocess_figures", request=request)
    if row is None:
        raise ConfigurationError(f"{site.actor} asked for nothing: the step that selects did not end, its log says why")
    found = site.inventory.all("reprocess_found", request=request, limit=MOST_TOLD)
    outcome = Outcome(**{**row, "mode": Mode(row["mode"])}, found=tuple(found))
    counts = {name: row[name] for name in ("files", "bytes", "changed", "problems", "unfinished")}
    verdict = "failed" if outcome.failed else "success"
    site.inventory.run("reprocess_finish", request=request, verdict=verdict, counts=json.dumps(counts))
    return outcome


def reprocess(site: Site, selection: Selection) -> Outcome:
    """The whole request, one slice after the other."""
    begun = begin(site, selection)
    for batch in begun.batches:
        work(site, batch.request, batch.number)
    return finish(site, begun.request)


def _conditions(site: Site, selection: Selection) -> dict[str, list[str] | None]:
    """What the selection asks of a row; None asks nothing. Product types become the ids that granules carry."""
    catalogue = site.catalogue
    known = {sensor for source in catalogue.sources.values() for sensor in catalogue.sensors_of(source)}
    for sensor in selection.sensors:
        if sensor not in known:
            raise ConfigurationError(f"there is no sensor {sensor!r}{_meant(sensor, known)}")
    products: set[str] = set()
    sources: set[str] = set()
    for name in selection.products:
        products.add(name)
        if name in catalogue.products:
            products |= set(catalogue.products[name].ids)
            sources |= catalogue.sources_of_kinds(name)
        elif not any(name in each.ids for each in catalogue.products.values()):
            row = site.inventory.one("reprocess_known_product", product=name)
            if not row or not row["known"]:
                ids = {each for kind in catalogue.products.values() for each in kind.ids}
                raise ConfigurationError(
                    f"there is no product type or product {name!r}{_meant(name, ids | set(catalogue.products))}"
                )
    return {
        "products": sorted(products) or None,
        "sources": sorted(sources) or None,
        "sensors": sorted(selection.sensors) or None,
        "names": sorted(selection.names) or None,
    }


def _meant(word: str, known: set[str]) -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
