"""extract: identity, metadata and footprint of every verified file, read by a child process that may die."""

from __future__ import annotations

import json
import logging
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from orbitory import names
from orbitory.catalogue import Source
from orbitory.errors import DataError, NotReady
from orbitory.extract import ExtractTask, Member
from orbitory.ingest.ledger import Claim, Outcome, Work, claim, ids, move_on, reject, set_back, stat_in
from orbitory.ingest.plan import final_path
from orbitory.ingest.retire import clear_landing
from orbitory.ingest.verify import FLUSH_SECONDS, SIZE_ONLY
from orbitory.inventory import Row
from orbitory.model import Extraction, GranuleFacts, Identity, State, Tally
from orbitory.site import Site
from orbitory.workers import Isolated

log = logging.getLogger(__name__)

#: What reading one unit gave, and what its files are by their names.
Read = tuple[Work, Extraction | DataError | NotReady, Mapping[int, Identity]]
#: Results are written in groups of this many, so that memory stays bounded.
_GROUP = 500


def extract(site: Site, batch: int) -> Tally:
    """Read what every verified file of the batch says about itself, and keep it for ``store``.

    Files already extracted are left alone, so it may be repeated. A file that kills or stalls the reading child is
    rejected as ``parser_crashed`` or ``timeout``; the others go on.
    """
    held = claim(site, batch, "extract")
    if held.done:
        return Tally(batch=batch)
    started = time.monotonic()
    with held.writing():
        site.inventory.run("back_to_verified", batch=batch)
    done = rejected = size = 0
    for group in _groups(_read(site, held)):
        _write(held, group)
        done += sum(isinstance(result, Extraction) for _, result, _ in group)
        rejected += sum(isinstance(result, DataError) for _, result, _ in group)
        size += sum(work.bytes for work, _, _ in group)
    clear_landing(site, held.source, batch)
    log.info("extract batch=%d files=%d rejected=%d seconds=%.2f", batch, done, rejected, time.monotonic() - started)
    return Tally(batch=batch, done=done, rejected=rejected, bytes=size)


def _read(site: Site, held: Claim) -> Iterator[Read]:
    works = held.units(State.VERIFIED)
    for work in works:
        if work.main["role"] == "manifest":
            yield work, manifest_extraction(held.source.name, work.main["digest"]), {}
    data = {work.main["id"]: work for work in works if work.main["role"] != "manifest"}
    if not data:
        return
    under_way: dict[int, ExtractTask] = {}

    def tasks() -> Iterator[ExtractTask]:
        for number, work in data.items():
            under_way[number] = _task(site, held, work)
            yield under_way[number]

    with Isolated(held.folder) as child:
        for result in child.map(tasks()):
            answer = result.extraction if result.extraction is not None else result.error
            assert answer is not None
            task = under_way.pop(result.id)
            identities = {task.id: task.identity} | {each.id: each.identity for each in task.members}
            yield data[result.id], answer, identities


def _task(site: Site, held: Claim, work: Work) -> ExtractTask:
    main, *members = (_member(site, held, row) for row in (work.main, *work.members))
    return task_of(site, held.source, main, members)


def task_of(site: Site, source: Source, main: Member, members: Sequence[Member]) -> ExtractTask:
    """What the child needs to read a unit: the file that speaks for it, and those beside it."""
    return ExtractTask(
        id=main.id,
        path=main.path,
        extractor=source.extractor,
        source=source.name,
        name=main.name,
        identity=main.identity,
        collections=_collections_of(site, source, main.identity, *(each.identity for each in members)),
        checksummed=main.checksummed,
        stat=main.stat,
        members=tuple(members),
    )


def _member(site: Site, held: Claim, row: Row) -> Member:
    return Member(
        id=row["id"],
        path=os.path.join(os.fsencode(held.folder), row["path"]),
        name=row["name"],
        identity=replace(names.identify(row["name"], held.source, site.catalogue), role=row["role"]),
        checksummed=any(entry["algorithm"] != SIZE_ONLY for entry in row["announced"]),
        stat=stat_in(row),
    )


def _collections_of(site: Site, source: Source, *identities: Identity) -> tuple[tuple[str, str], ...]:
    """Collections of the products that names promise; of an upload, its possible types and their longest stays."""
    if source.grammar == "upload":
        return tuple(
            (each.name, str(site.catalogue.keep_days(source, each))) for each in site.catalogue.types_of(source)
        )
    products = dict.fromkeys(product for identity in identities for product in identity.products)
    kinds = ((product, site.catalogue.find_product(source, product)) for product in products)
    return tuple((product, kind.ids[product]) for product, kind in kinds if kind and product in kind.ids)


def manifest_extraction(source: str, digest: bytes) -> Extraction:
    """A folder manifest is a granule of its own, identified by its content."""
    key = f"{source}/manifest/{digest.hex()}"
    return Extraction(kind="manifest", granules=(GranuleFacts(product="manifest", key=key, sensor="manifest"),))


def _groups(results: Iterator[Read]) -> Iterator[list[Read]]:
    """Lists of at most ``_GROUP`` results, none older than the lease can bear."""
    group: list[Read] = []
    since = time.monotonic()
    for result in results:
        group.append(result)
        if len(group) == _GROUP or time.monotonic() - since > FLUSH_SECONDS:
            yield group
            group, since = [], time.monotonic()
    if group:
        yield group


def _write(held: Claim, group: Sequence[Read]) -> None:
    good = [(work, result, known) for work, result, known in group if isinstance(result, Extraction)]
    outcomes: list[Outcome] = []
    for work, result, _ in group:
        if isinstance(result, DataError):
            outcomes += reject(held, work, result.code, result.detail)
        elif isinstance(result, NotReady):
            outcomes += set_back(held, work.rows, "changed", str(result))
        else:
            outcomes += move_on(work.rows, State.EXTRACTED)
    inventory = held.site.inventory
    with held.writing():
        inventory.run("forget_extracted", ids=ids(work for work, _, _ in good))
        inventory.copy_in(
            "copy_extracted_file",
            (
                (work.main["id"], e.kind, e.header, json.dumps([finding.as_dict() for finding in e.findings]))
                for work, e, _ in good
            ),
        )
        inventory.copy_in("copy_extracted_granule", (row for each in good for row in _rows(held, *each)))
        held.apply(outcomes)


def _rows(
    held: Claim, work: Work, extraction: Extraction, identities: Mapping[int, Identity]
) -> Iterator[tuple[object, ...]]:
    """Rows of ``copy_extracted_granule``."""
    main, by_file = work.main["id"], defaultdict[int, list[GranuleFacts]](list)
    for facts in extraction.granules:
        by_file[facts.file or main].append(facts)
    paths = {
        row["id"]: final_path(held, row, identities.get(row["id"]), by_file[row["id"]], extraction.kind)
        for row in work.rows
        if row["id"] in by_file
    }
    for number, facts in enumerate(extraction.granules):
        file = facts.file or main
        yield (
            *(main, number, facts.product, facts.key, facts.sensor, facts.platform, facts.collection, facts.version),
            *(facts.created, facts.sensing_start, facts.sensing_end, facts.orbit, facts.footprint, facts.area_km2),
            *(json.dumps(facts.search, allow_nan=False), file, facts.keep_days, facts.classification, paths[file]),
        )
