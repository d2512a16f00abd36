"""What a run of ingest did, held against the ground truth of its delivery."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from orbitory.digest import digest
from orbitory.ingest.report import RunReport
from orbitory.inventory import connect
from orbitory.settings import Settings
from orbitory.site import open_site
from orbitory.zones import display

FATES = ("archived", "duplicate", "conflict", "rejected", "waiting")
Truth = list[dict[str, object]]


def sizes_and_sums(folder: Path) -> dict[str, tuple[int, str]]:
    """Bytes and SHA-256 of every file below ``folder``, by name; what is no regular file has none."""
    found = {}
    for above, _, names in os.walk(folder):
        for name in names:
            path = Path(above, name)
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found[str(path.relative_to(folder))] = (len(content), hashlib.sha256(content).hexdigest())
    return found


def ledger(settings: Settings) -> dict[str, tuple[str, str]]:
    """Newest state and reason of every file ever seen, by name."""
    with connect(settings.database, actor="test") as inventory:
        rows = inventory.all("ledger_dump")
    return {row["name"]: (row["state"], row["reason"] or "") for row in rows}


def digest_of(settings: Settings) -> str:
    """The digest of inventory and storage."""
    with open_site(actor="test", settings=settings) as site:
        return digest(site.inventory, site.storage).digest


def check(report: RunReport) -> RunReport:
    """Every file that was detected has met a fate."""
    counts = report.as_dict()
    assert counts["detected"] == sum(int(counts[fate] or 0) for fate in FATES)
    return report


def agree(settings: Settings, truth: Truth, report: RunReport) -> None:
    """Every file has the fate, and the reason, that ``truth`` foretells; and the report counts as it does."""
    found = ledger(settings)
    differ = {}
    for row in truth:
        name, fate = display(os.fsencode(str(row["name"]))), (row["fate"], row["reason"])
        met = found.get(name, ("", ""))
        if met[0] != fate[0] or (fate[0] in ("rejected", "waiting") and met != fate):
            differ[name] = (fate, met)
    assert not differ
    assert report.detected == len(truth)
    for fate in FATES:
        assert getattr(report, fate) == sum(row["fate"] == fate for row in truth), fate
