"""What people ask about one file, and about the whole site."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orbitory.errors import ConfigurationError
from orbitory.inventory import Inventory, Row
from orbitory.inventory.migrate import migrations
from orbitory.site import Site
from orbitory.zones import SENTINEL, display

#: A zone with less room than this is told as a problem.
LEAST_FREE_BYTES = 1 << 30


def landing_of(site: Site, source: str) -> Path:
    """The landing folder of a source by name, also of one whose catalogue file is broken at the moment."""
    known = site.catalogue.sources.get(source)
    return site.settings.landing / (known.landing if known else source)


def show(site: Site, name: str) -> dict[str, Any]:
    """Everything known about a file name, a path in storage, or a granule's key or number; empty lists when unknown.

    A bare name also finds what carries it as last part of its path or key.
    """
    found = _look_up(site.inventory, name)
    assets, granules = found["assets"], found["granules"]
    arrivals = site.inventory.all("show_arrivals", ids=found["arrivals"], assets=[])
    assets |= {row["asset_id"] for row in arrivals if row["asset_id"] is not None}
    granules |= {row["id"] for row in site.inventory.all("show_granules_of", ids=list(assets))}
    assets |= {row["id"] for row in site.inventory.all("show_assets_of", ids=list(granules))}
    arrivals = site.inventory.all("show_arrivals", ids=found["arrivals"], assets=list(assets))
    return {
        "name": name,
        "arrivals": [_arrival(site, row) for row in arrivals],
        "granules": [
            row | {"history": history(site.inventory, "granule", row["id"])}
            for row in site.inventory.all("show_granules", ids=list(granules))
        ],
        "assets": [
            row
            | {
                "where": str(site.settings.storage / row["path"]),
                "history": history(site.inventory, "asset", row["id"]),
            }
            for row in site.inventory.all("show_assets", ids=list(assets))
        ],
    }


def _look_up(inventory: Inventory, name: str) -> dict[str, Any]:
    """Ids by kind; the slow search for a last part only when nothing is called exactly so."""
    number = int(name) if name.isascii() and name.isdigit() and len(name) < 19 else None
    for tail in ("", "_by_tail"):
        arrivals = [row["id"] for row in inventory.all(f"show_arrival_ids{tail}", name=name)]
        assets = {row["id"] for row in inventory.all(f"show_asset_ids{tail}", name=name)}
        values = {"name": name} if tail else {"name": name, "id": number}
        granules = {row["id"] for row in inventory.all(f"show_granule_ids{tail}", **values)}
        if arrivals or assets or granules:
            break
    return {"arrivals": arrivals, "assets": assets, "granules": granules}


def _arrival(site: Site, row: Row) -> dict[str, Any]:
    told = {key: value for key, value in row.items() if key not in ("raw_path", "quarantine_path")}
    quarantined = row["quarantine_path"]
    told["quarantine_path"] = display(quarantined) if quarantined is not None else None
    told["where"] = _where(site, row)
    told["history"] = history(site.inventory, "arrival", row["id"])
    return told


def _where(site: Site, row: Row) -> str | None:
    """Where the bytes of an arrival are now, readable; None when they are in no known place."""
    if row["landed"]:
        return f"{landing_of(site, row['source'])}/{display(row['raw_path'])}"
    if row["quarantine_path"] is not None:
        return f"{site.settings.quarantine}/{display(row['quarantine_path'])}"
    if row["reason"] == "skipped":
        return f"{site.settings.trash}/skipped/{row['id']}/{row['name'].rpartition('/')[2]}"
    if row["asset_path"] is not None and row["state"] in ("archived", "duplicate"):
        return f"{site.settings.storage}/{row['asset_path']}"
    return None


def history(inventory: Inventory, subject: str, number: int) -> list[Row]:
    """What happened to one arrival, granule or asset, oldest first."""
    return inventory.all("show_history", subject=subject, id=number)


def schema_of(inventory: Inventory) -> dict[str, Any]:
    """The newest migration applied, those this code still expects, and those it does not know."""
    applied = {row["name"] for row in inventory.all("status_migrations")}
    shipped = {name for name, _ in migrations()}
    return {
        "version": max(applied, default=None),
        "missing": sorted(shipped - applied),
        "unknown": sorted(applied - shipped),
    }


def require_schema(inventory: Inventory) -> None:
    """Raises ConfigurationError when the schema is older or newer than this code."""
    schema = schema_of(inventory)
    if schema["missing"]:
        raise ConfigurationError(f"the inventory lacks {', '.join(schema['missing'])}: run `orbitory migrate`")
    if schema["unknown"]:
        raise ConfigurationError(
            f"the inventory was migrated by newer code ({', '.join(schema['unknown'])}): install that version"
        )


def status(site: Site, source: str | None = None, *, sandbox: int = 0, isolation: str = "none") -> dict[str, Any]:
    """How the site stands: sources, catalogue, schema, disks, and ``problems``, empty when all is ``ok``.

    ``sandbox``: the Landlock ABI that parsers run under, 0 for none; ``isolation``: what PGEs run under. Raises
    ConfigurationError for an unknown source.
    """
    sources = _sources(site)
    if source is not None and source not in sources:
        site.catalogue.source(source)
    chosen = {name: told for name, told in sources.items() if source in (None, name)}
    zones = {
        name: _zone(getattr(site.settings, name)) for name in ("landing", "storage", "quarantine", "trash", "work")
    }
    schema = schema_of(site.inventory)
    catalogue = [
        {"file": p.file, "key": p.key, "message": p.message, "hint": p.hint, "disables": list(p.disables)}
        for p in site.catalogue.problems
    ]
    problems = [*_schema_problems(schema), *_zone_problems(site, zones, chosen), *_source_problems(chosen)]
    problems += [str(problem) for problem in site.catalogue.problems]
    unsent = (None if schema["missing"] else site.inventory.one("outbox_counts")) or {}
    problems += _outbox_problems(unsent)
    problems += _suspect_problems(site.inventory, schema)
    problems += _outage_problems(site.inventory, schema)
    return {
        "ok": not problems,
        "problems": problems,
        "sources": chosen,
        "catalogue": {"problems": catalogue},
        "outbox": {"pending": unsent.get("pending", 0), "failed": unsent.get("failed", 0)},
        "sandbox": {"landlock_abi": sandbox, "pge": isolation},
        "schema": schema,
        "zones": zones,
    }


def _sources(site: Site) -> dict[str, dict[str, Any]]:
    """What the ledger says of every source that the catalogue or the ledger knows."""
    inventory = site.inventory
    disabled = {name for problem in site.catalogue.problems for name in problem.disables}
    told: dict[str, dict[str, Any]] = defaultdict(
        lambda: {
            "enabled": False,
            "landing": {},
            "waiting": {"files": 0, "oldest_seconds": None, "reasons": {}},
            "quarantine": {},
            "archived": {"files": 0, "bytes": 0},
            "lost": 0,
            "last_run": None,
        }
    )
    for name in {*site.catalogue.sources, *disabled}:
        told[name]["enabled"] = name in site.catalogue.sources
    for row in inventory.all("status_counts"):
        one = told[row["source"]]
        if row["landed"]:
            one["landing"][row["state"]] = row["files"]
        if row["state"] == "archived":
            one["archived"]["files"] += row["files"]
            one["archived"]["bytes"] += row["bytes"]
        elif row["state"] == "lost":
            one["lost"] += row["files"]
    for row in inventory.all("status_waiting"):
        waiting = told[row["source"]]["waiting"]
        waiting["files"] += row["files"]
        waiting["reasons"][row["reason"]] = row["files"]
        waiting["oldest_seconds"] = max(row["oldest_seconds"], waiting["oldest_seconds"] or 0.0)
    for row in inventory.all("status_quarantine"):
        told[row["source"]]["quarantine"][row["reason"]] = row["files"]
    for row in inventory.all("status_runs"):
        told[row["source"]]["last_run"] = {key: value for key, value in row.items() if key != "source"}
    return dict(sorted(told.items()))


def _zone(path: Path) -> dict[str, Any]:
    """Room of the file system on which a zone stands or will stand."""
    standing = next(folder for folder in (path, *path.parents) if folder.exists())
    usage = shutil.disk_usage(standing)
    return {
        "path": str(path),
        "exists": path.is_dir(),
        "writable": os.access(standing, os.W_OK | os.X_OK),
        "free_bytes": usage.free,
        "total_bytes": usage.total,
    }


def _schema_problems(schema: Mapping[str, Any]) -> list[str]:
    problems = [f"the inventory lacks migration {name}: run `orbitory migrate`" for name in schema["missing"]]
    return problems + [
        f"the inventory has migration {name} of newer code: install that version" for name in schema["unknown"]
    ]


def _zone_problems(site: Site, zones: Mapping[str, Any], sources: Mapping[str, Any]) -> list[str]:
    problems = [f"{name} zone {zone['path']} is not writable" for name, zone in zones.items() if not zone["writable"]]
    problems += [
        f"{name} zone {zone['path']} has only {zone['free_bytes']} bytes free"
        for name, zone in zones.items()
        if zone["free_bytes"] < LEAST_FREE_BYTES
    ]
    if any(told["archived"]["files"] for told in sources.values()) and not (site.settings.storage / SENTINEL).exists():
        problems.append(f"storage {site.settings.storage} has no {SENTINEL}: it looks unmounted")
    return problems


def _suspect_problems(inventory: Inventory, schema: Mapping[str, Any]) -> list[str]:
    row = None if schema["missing"] else inventory.one("status_suspect")
    if not row or not row["files"]:
        return []
    return [f"{row['files']} files are suspect (missing or damaged), first {row['first']}: see `orbitory audit`"]


def _outage_problems(inventory: Inventory, schema: Mapping[str, Any]) -> list[str]:
    return [
        f"ingest of {row['source']} is stopped since {row['opened_at']:%F %T} UTC ({row['cause']}): {row['detail']}"
        for row in (() if schema["missing"] else inventory.all("open_outages"))
    ]


def _outbox_problems(unsent: Mapping[str, int]) -> list[str]:
    problems = []
    if unsent.get("failed"):
        problems.append(f"{unsent['failed']} messages could not be sent: see `orbitory outbox list`")
    if unsent.get("delayed"):
        problems.append(f"{unsent['delayed']} messages wait for the mail server: see `orbitory outbox list`")
    return problems


def _source_problems(sources: Mapping[str, Any]) -> list[str]:
    problems = [f"{told['lost']} files of {name} are lost" for name, told in sources.items() if told["lost"]]
    for name, told in sources.items():
        run = told["last_run"]
        if run is not None and run["verdict"] == "failed":
            problems.append(f"the last run of {name} ({run['run']}) failed")
    return problems
