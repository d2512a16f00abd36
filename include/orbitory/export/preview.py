"""What an export would do: counts, samples field by field, guards; kept under a hash that names exactly this."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blake3 import blake3

from orbitory import __version__
from orbitory.errors import ConfigurationError
from orbitory.export.compare import ACTIONS, Selection, find
from orbitory.export.settle import halfway
from orbitory.export.sites import Remote
from orbitory.export.trail import lagging
from orbitory.inventory import Row
from orbitory.mfp import Parameters
from orbitory.removal import LIMITS, Limits
from orbitory.removal.guard import Share, over
from orbitory.site import Site

#: So many granules of each kind are shown field by field.
SAMPLES = 10
#: Fields that every site has for itself, beside those of footprints (``export_own_columns``).
_OWN = {"id", "superseded_by", "stored_at", "fixity_at", "expires_at", "preferred"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What differs, seen from here. Counts are of granules."""

    hash: str
    site: str
    files: bool
    counts: Mapping[str, int]
    #: By sensor: the same counts.
    sensors: tuple[Row, ...]
    #: Files that come with added and changed granules, and their bytes; they move only if asked for.
    assets: int
    bytes: int
    #: ``{"action", "why", "granules"}``: why granules stay.
    whys: tuple[Row, ...]
    #: ``{"action", "key", "sensor", "fields": {name: [there, here]}}``.
    samples: tuple[dict[str, Any], ...]
    #: ``{"guard", "good", "told"}``.
    guards: tuple[dict[str, Any], ...]
    manifest: Mapping[str, str]
    #: PGE instances that made what stands there already, and that follow.
    lineage: int = 0
    #: Batches of earlier exports that are half-way in there, or half-way back.
    unfinished: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to bring over, or to finish."""
        return not (
            self.lineage or self.unfinished or any(self.counts[name] for name in ("added", "changed", "removed"))
        )

    @property
    def too_much(self) -> str:
        """Why it needs approval, in words; empty when it does not."""
        return "; ".join(
            str(guard["told"]) for guard in self.guards if guard["guard"] == "removals" and not guard["good"]
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        told = {("conflicts" if name == "conflict" else name): count for name, count in self.counts.items()}
        return {
            "hash": self.hash,
            "site": self.site,
            "files": self.files,
            **told,
            "assets": self.assets,
            "bytes": self.bytes,
            "lineage": self.lineage,
            "unfinished": self.unfinished,
            "needs_approval": bool(self.too_much),
            "sensors": list(self.sensors),
            "whys": list(self.whys),
            "samples": list(self.samples),
            "guards": list(self.guards),
            "manifest": dict(self.manifest),
        }

    @classmethod
    def of_dict(cls, told: Mapping[str, Any]) -> Preview:
        """What ``as_dict`` wrote."""
        plain: dict[str, Any] = {name: told[name] for name in ("hash", "site", "files", "assets", "bytes", "manifest")}
        lists: dict[str, Any] = {name: tuple(told[name]) for name in ("sensors", "whys", "samples", "guards")}
        counts = {name: told["conflicts" if name == "conflict" else name] for name in ACTIONS}
        later = {name: told.get(name, 0) for name in ("lineage", "unfinished")}
        return cls(**plain, **lists, counts=counts, **later)


def preview(here: Site, remote: Remote, selection: Selection, *, files: bool = False, report: bool = True) -> Preview:
    """Compare, and keep what was found under its hash for ``begin``; nothing is changed there.

    ``report``: also write it for people, to ``reports/export/<hash>/`` of this site. Raises ConfigurationError when the
    other site is not configured, is this one, or has another schema.
    """
    from orbitory.export.report import write_preview

    now = here.inventory.one("export_now")
    assert now is not None
    without = tuple(row["id"] for row in here.inventory.all("export_in_flight"))
    selection = replace(selection, before=now["now"], without=without)
    with ExitStack() as stack:
        there = stack.enter_context(remote.open(here))
        stack.enter_context(here.inventory.transaction())
        found = look(here, there, remote, selection, files=files)
        keep(here, found, selection)
        here.inventory.run("export_note_findings", site=remote.name)
        chosen = selection.values(here)
        here.inventory.run("export_close_findings", site=remote.name, **chosen)
        if report:
            write_preview(here, found, folder_of(here, found.hash))
        here.inventory.run("export_drop_found")
    return found


def folder_of(here: Site, preview_hash: str) -> Path:
    """Where the report of this preview stands."""
    return here.settings.reports / "export" / preview_hash[:16]


def look(  # noqa: PLR0913 - the last with its default
    here: Site, there: Site, remote: Remote, selection: Selection, *, files: bool, shown: bool = True
) -> Preview:
    """What differs now; the differences stand in the temporary table ``export_found`` of here's transaction.

    ``shown``: samples and sizes are told, too, which are for people alone.
    """
    inventory = here.inventory
    target = there.inventory.one("export_identity")
    told = replace(selection, before=None, without=()).as_dict()
    about = json.dumps([remote.name, target, str(remote.root), remote.roots, files, told])
    found = blake3(f"{about}\n{find(here, there, selection, files=files)}".encode()).hexdigest()
    lineage = lagging(here, there, remote.name)
    unfinished = sum(1 for _ in halfway(here, there, remote))
    rows = inventory.all("export_counts")
    counts = {name: sum(row["conflicts" if name == "conflict" else name] for row in rows) for name in ACTIONS}
    size = inventory.one("export_bytes") if shown else {"files": 0, "bytes": 0}
    assert size is not None
    samples = tuple(_samples(here, there)) if shown else ()
    return Preview(
        hash=found,
        site=remote.name,
        files=files,
        counts=counts,
        sensors=tuple(rows),
        assets=size["files"],
        bytes=size["bytes"],
        whys=tuple(inventory.all("export_whys")),
        samples=samples,
        guards=tuple(_guards(there, rows, counts, unfinished)),
        manifest=_manifest(here, remote, found),
        lineage=lineage,
        unfinished=unfinished,
    )


def _manifest(here: Site, remote: Remote, found: str) -> dict[str, str]:
    schema = here.inventory.one("export_schema")
    assert schema is not None
    return {
        "from": Parameters.of_deployment().environment,
        "to": remote.name,
        "set": found,
        "schema": schema["newest"],
        "code": __version__,
        "server": schema["server"],
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": here.actor,
    }


def _guards(
    there: Site, rows: list[Row], counts: Mapping[str, int], unfinished: int, limits: Limits = LIMITS
) -> Iterator[dict[str, Any]]:
    """What a person should know before this goes."""
    held = {
        row["sensor"]: row["held"] for row in there.inventory.all("export_held", sensors=[r["sensor"] for r in rows])
    }
    shares = [
        Share(sensor=r["sensor"], items=r["removed"], held=held.get(r["sensor"], 0)) for r in rows if r["removed"]
    ]
    much = ", ".join(str(share) for share in over(limits, shares))
    told = f"{much} would leave: more than {100 * limits.share:g} % or {limits.items:,} of a sensor needs approval"
    if not much and counts["removed"]:
        told = f"{counts['removed']:,} granules leave: their files move into the trash there"
    yield {"guard": "removals", "good": not much, "told": told if counts["removed"] else "none would leave"}
    yield {
        "guard": "edited there",
        "good": not counts["conflict"],
        "told": f"{counts['conflict']:,} granules were edited there, or never came from here: they stay as they are",
    }
    yield {
        "guard": "not ready",
        "good": not counts["held"],
        "told": f"{counts['held']:,} granules are not validated, or have open findings: they stay here",
    }
    yield {
        "guard": "unfinished",
        "good": not unfinished,
        "told": f"{unfinished:,} batches of earlier exports are half-way: the next run first finishes them, or takes "
        "them back; where the differences are others then, look at a new preview"
        if unfinished
        else "no batch is half-way",
    }
    yield {"guard": "schema", "good": True, "told": "both sites have the same schema"}


def _samples(here: Site, there: Site) -> Iterator[dict[str, Any]]:
    rows = here.inventory.all("export_samples", each=SAMPLES)
    ours = _rows_of(here, [row["granule_id"] for row in rows])
    theirs = _rows_of(there, [row["there_id"] for row in rows if row["there_id"]])
    for row in rows:
        after, before = ours.get(row["granule_id"], {}), theirs.get(row["there_id"], {})
        names = sorted(name for name in after.keys() | before.keys() if after.get(name) != before.get(name))
        yield {
            "action": row["action"],
            "key": row["key"],
            "version": row["version"],
            "sensor": row["sensor"],
            "why": row["why"] or "",
            "fields": {name: [before.get(name), after.get(name)] for name in names} if before else {},
        }


def _rows_of(site: Site, granules: list[int]) -> dict[int, dict[str, str]]:
    rows = site.inventory.all("export_rows_of", granules=granules)
    own = site.inventory.one("export_own_columns")
    assert own is not None
    return {row["granule_id"]: dict(_flat(row["rows"], {*_OWN, *own["names"]})) for row in rows}


def _flat(rows: Mapping[str, Any], own: set[str]) -> Iterator[tuple[str, str]]:
    """Fields by name, such as ``granule.orbit`` and ``asset nga/a.ntf.size``; but what each site has for itself."""
    tables = {name: rows[name] or {} for name in ("granule", "footprint_master", "footprint_archive")}
    tables |= {f"asset {asset['path']}": asset for asset in rows["assets"]}
    for table, fields in tables.items():
        for name, value in fields.items():
            if name not in own:
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
                yield f"{table}.{name}", text if len(text) <= 200 else f"{text[:120]} … ({len(text)} letters)"


def keep(here: Site, found: Preview, selection: Selection) -> int:
    """Write the preview down under its hash; its number."""
    value = bytes.fromhex(found.hash)
    here.inventory.run("export_forget", hash=value, site=found.site)
    row = here.inventory.one(
        "export_keep",
        site=found.site,
        hash=value,
        files=found.files,
        selection=json.dumps(selection.as_dict()),
        counts=json.dumps(found.as_dict()),
        actor=here.actor,
    )
    if row is None:
        raise ConfigurationError("the preview could not be kept")
    return int(row["id"])
