"""store: decide about every extracted file, and commit the intent to archive it under its final path."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from orbitory.duplicates import Known
from orbitory.ingest.ledger import Claim, Work, claim, ids
from orbitory.ingest.plan import Plan, arrived, decide_all, edition_of, paths
from orbitory.ingest.retire import clear_landing
from orbitory.inventory import Row
from orbitory.model import State, Tally
from orbitory.site import Site

log = logging.getLogger(__name__)


def store(site: Site, batch: int) -> Tally:
    """Commit, for every extracted file of the batch, the intent to archive it, to drop it as duplicate, or hold it.

    One transaction; batches decide one after the other, each in (sensing time, path) order, so that the
    same arrivals have the same winners whatever the number of workers. It may be repeated.
    """
    held = claim(site, batch, "store")
    if held.done:
        return Tally(batch=batch)
    started = time.monotonic()
    with held.writing():
        site.inventory.one("lock_store")
        site.inventory.run("back_to_verified", batch=batch)
        works = held.units(State.EXTRACTED)
        rows = site.inventory.all("extracted_of_batch", batch=batch)
        plan, contested = _plan(site, held, works, rows)
        _write(held, plan, contested)
        site.inventory.run("forget_extracted", ids=ids(works))
    clear_landing(site, held.source, batch)
    conflicts = len({outcome.id for outcome in plan.conflicts} & {work.main["id"] for work in works})
    log.info("store batch=%d files=%d seconds=%.2f", batch, len(plan.files), time.monotonic() - started)
    return Tally(batch=batch, done=len(works) - conflicts, rejected=conflicts, bytes=sum(work.bytes for work in works))


def _plan(site: Site, held: Claim, works: Sequence[Work], rows: Sequence[Row]) -> tuple[Plan, list[str]]:
    """The decisions, and the keys that several files or versions share: the others have nothing to be ranked among."""
    facts: dict[int, list[Row]] = {}
    for row in rows:
        facts.setdefault(row["arrival_id"], []).append(row)
    units = [arrived(held, work, facts[work.main["id"]]) for work in works]
    counted = Counter(row["key"] for row in rows)
    met = site.inventory.all("known_granules", keys=sorted(counted))
    wanted = [path for unit in units for path in paths(held, unit)]
    contested = {row["key"] for row in met} | {key for key, count in counted.items() if count > 1}
    return decide_all(held, units, _known(met, site.inventory.all("known_paths", paths=wanted))), sorted(contested)


def _known(granules: Iterable[Row], files: Iterable[Row]) -> Known:
    known = Known()
    for row in granules:
        edition = edition_of(row["version_rank"], row)
        if row["state"] == "deleted":
            known.tombstones[(row["key"], edition, row["digest"])] = row["path"]
        elif row["role"] in (None, "data", "manifest", "document"):
            known.add(row["key"], edition, row["path"], row["digest"])
        if row["state"] != "deleted" and row["role"] is not None:
            known.members[(row["key"], row["digest"])] = row["path"]
            known.paths[row["path"]] = row["digest"]
    known.paths.update((row["path"], row["digest"]) for row in files)
    return known


def _write(held: Claim, plan: Plan, contested: Sequence[str]) -> None:
    inventory, source = held.site.inventory, held.source
    types = held.site.catalogue.types_of(source)
    inventory.run("create_decided")
    inventory.run("create_decided_granule")
    inventory.copy_in("copy_decided_file", plan.files)
    inventory.copy_in("copy_decided_granule", plan.granules)
    inventory.run(
        "store_granules",
        source=source.name,
        classification=source.classification,
        classifications=json.dumps({i: t.classification for t in types if t.classification for i in (*t.ids, t.name)}),
        keep=source.keep_days,
        keep_days=json.dumps({i: t.keep_days for t in types if t.keep_days is not None for i in (*t.ids, t.name)}),
    )
    inventory.run("store_assets", in_place=held.in_place)
    inventory.run("store_links")
    if plan.joins:
        inventory.run("create_decided_join")
        inventory.copy_in("copy_decided_join", plan.joins)
        inventory.run("store_joins")
    inventory.run("store_arrivals", batch=held.batch)
    if plan.duplicates:
        inventory.run("create_decided_duplicate")
        inventory.copy_in("copy_decided_duplicate", plan.duplicates)
        inventory.run("store_duplicates", batch=held.batch)
    if contested:
        inventory.run("rank_versions", keys=list(contested))
        inventory.run("prefer_packaging", keys=list(contested))
    held.apply(plan.conflicts)
