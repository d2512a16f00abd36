"""store: decide about every extracted file, and commit the intent to archive it under its final path."""

from __future__ import annotations

import json
import logging
import posixpath
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from orbitory import layout, names
from orbitory.duplicates import Edition, Known, Newcomer, Verdict, decide, version_rank
from orbitory.ingest.ledger import Claim, Outcome, Work, claim, ids, reject
from orbitory.ingest.retire import clear_landing
from orbitory.inventory import Row
from orbitory.model import State, Tally
from orbitory.site import Site

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Plan:
    """What one batch's decisions write."""

    #: (arrival, unit, final path, role)
    files: list[tuple[int, int, str, str]] = field(default_factory=list)
    #: (arrival, ordinal, rank)
    granules: list[tuple[int, int, int]] = field(default_factory=list)
    #: (arrival, path of the stored file, reason)
    duplicates: list[tuple[int, str, str]] = field(default_factory=list)
    conflicts: list[Outcome] = field(default_factory=list)


def store(site: Site, batch: int) -> Tally:
    """Commit, for every extracted file of the batch, the intent to archive it, to drop it as duplicate, or hold it.

    One transaction; batches of one source decide one after the other, each in (sensing time, path) order, so that the
    same arrivals have the same winners whatever the number of workers. It may be repeated.
    """
    held = claim(site, batch, "store")
    if held.done:
        return Tally(batch=batch)
    started = time.monotonic()
    with held.writing():
        site.inventory.one("lock_store", source=held.source.name)
        site.inventory.run("back_to_verified", batch=batch)
        works = held.units(State.EXTRACTED)
        rows = site.inventory.all("extracted_of_batch", batch=batch)
        plan, keys = _plan(site, held, works, rows)
        _write(held, plan, keys)
        site.inventory.run("forget_extracted", ids=ids(works))
    clear_landing(site, held.source, batch)
    conflicts = len({outcome.quarantine_path for outcome in plan.conflicts})
    log.info("store batch=%d files=%d seconds=%.2f", batch, len(plan.files), time.monotonic() - started)
    return Tally(batch=batch, done=len(works) - conflicts, rejected=conflicts, bytes=sum(work.bytes for work in works))


def _plan(site: Site, held: Claim, works: Sequence[Work], rows: Sequence[Row]) -> tuple[_Plan, list[str]]:
    facts: dict[int, list[Row]] = {}
    for row in rows:
        facts.setdefault(row["arrival_id"], []).append(row)
    newcomers = [(work, _newcomer(site, held, work, facts[work.main["id"]])) for work in works]
    keys = sorted({row["key"] for row in rows})
    sidecars = {sidecar["id"]: _sidecar_path(new.path, sidecar) for work, new in newcomers for sidecar in work.sidecars}
    known = _known(site, keys, [new.path for _, new in newcomers] + list(sidecars.values()))
    plan = _Plan()
    for work, newcomer in newcomers:
        decision = decide(newcomer, known, held.source.duplicates, held.source.late)
        unit = work.main["id"]
        match decision.verdict:
            case Verdict.STORE:
                plan.files.append((unit, unit, decision.path, work.main["role"]))
                for sidecar in work.sidecars:
                    path = _free(_sidecar_path(decision.path, sidecar), sidecar["digest"], known)
                    plan.files.append((sidecar["id"], unit, path, "checksum"))
                plan.granules += [
                    (unit, row["ordinal"], edition.rank)
                    for row, (_, edition) in zip(facts[unit], decision.granules, strict=True)
                ]
            case Verdict.CONFLICT:
                stored = known.paths.get(decision.path, b"").hex()
                detail = f"the archive holds {decision.path} with BLAKE3 {stored}, this one has {newcomer.digest.hex()}"
                plan.conflicts += reject(work, held.source, "conflict", detail, State.CONFLICT)
            case verdict:
                plan.duplicates += [(row["id"], decision.path, verdict.value) for row in work.rows]
    return plan, keys


def _newcomer(site: Site, held: Claim, work: Work, facts: Sequence[Row]) -> Newcomer:
    name, digest = work.main["name"], work.main["digest"]
    if work.main["role"] == "manifest":
        label = layout.safe_segment(posixpath.basename(name))
        path = f"{held.source.name}/manifest/{digest.hex()[:16]}_{label}"
    else:
        identity = names.identify(posixpath.basename(name), held.source, site.catalogue)
        start = min((row["sensing_start"] for row in facts if row["sensing_start"]), default=identity.sensing_start)
        path = layout.storage_path(held.source, name, identity, start, facts[0]["kind"])
    editions = tuple((row["key"], _edition(version_rank(row["version"]), row)) for row in facts)
    return Newcomer(path=path, digest=digest, granules=editions)


def _edition(rank: int, row: Row) -> Edition:
    return Edition(rank, row["created"]) if row["created"] is not None else Edition(rank)


def _sidecar_path(data_path: str, sidecar: Row) -> str:
    return posixpath.join(posixpath.dirname(data_path), layout.safe_segment(posixpath.basename(sidecar["name"])))


def _free(path: str, digest: bytes, known: Known) -> str:
    """A sidecar is never a duplicate by itself: under a taken name it stands beside the other."""
    while path in known.paths:
        path = f"{path}.{digest.hex()[:8]}"
    known.paths[path] = digest
    return path


def _known(site: Site, keys: Sequence[str], paths: Sequence[str]) -> Known:
    known = Known()
    for row in site.inventory.all("known_granules", keys=list(keys)):
        known.add(row["key"], _edition(row["version_rank"], row), row["path"], row["digest"])
    for row in site.inventory.all("known_paths", paths=list(paths)):
        known.paths[row["path"]] = row["digest"]
    return known


def _write(held: Claim, plan: _Plan, keys: Sequence[str]) -> None:
    inventory, source = held.site.inventory, held.source
    types = held.site.catalogue.types_of(source)
    inventory.run("create_decided")
    inventory.run("create_decided_granule")
    inventory.run("create_decided_duplicate")
    inventory.copy_in("copy_decided_file", plan.files)
    inventory.copy_in("copy_decided_granule", plan.granules)
    inventory.copy_in("copy_decided_duplicate", plan.duplicates)
    inventory.run(
        "store_granules",
        source=source.name,
        classification=source.classification,
        classifications=json.dumps({i: t.classification for t in types if t.classification for i in t.ids}),
        keep=source.keep_days,
        keep_days=json.dumps({i: t.keep_days for t in types if t.keep_days is not None for i in t.ids}),
    )
    inventory.run("store_assets")
    inventory.run("store_links")
    inventory.run("store_arrivals", batch=held.batch)
    inventory.run("store_duplicates", batch=held.batch)
    inventory.run("rank_versions", keys=list(keys))
    inventory.run("prefer_packaging", keys=list(keys))
    held.apply(plan.conflicts)
