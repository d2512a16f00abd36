"""What looks wrong in storage, written down with how often and by whom it was seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from orbitory import tree
from orbitory.inventory import Row
from orbitory.site import Site
from orbitory.zones import display

Kind = Literal["dark", "missing", "damaged"]
#: So many looks of different runs agree before anything is done.
AGREEING = 2
#: And so far apart: a network file system tells nonsense for minutes, to everybody who asks.
APART = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One file that is not as it should be."""

    kind: Kind
    #: Relative to storage, or absolute where an archive was registered in place.
    path: bytes
    detail: str
    #: None: dark.
    asset: int | None = None
    #: Of the ordinary file on disk; None where there is none.
    size: int | None = None
    #: Looks that agreed already: two where the same bytes were read twice from disk.
    looks: int = 1


def observe(site: Site, findings: Iterable[Finding]) -> None:
    """Write down what this run has found; repeating it within one run, or soon after, counts once."""
    found = list({each.path: each for each in findings}.values())
    if not found:
        return
    paths, assets = [each.path for each in found], [each.asset for each in found]
    with site.inventory.transaction():
        site.inventory.run("scan_supersede", paths=paths, assets=assets)
        site.inventory.run(
            "scan_observe",
            actor=site.actor,
            apart=APART,
            kinds=[each.kind for each in found],
            paths=paths,
            names=[display(each.path) for each in found],
            assets=assets,
            sizes=[each.size for each in found],
            details=[each.detail for each in found],
            scans=[each.looks for each in found],
        )


@dataclass(slots=True, kw_only=True)
class Candidate:
    """A path at which inventory and storage seemed to differ."""

    path: bytes
    #: Whether the inventory spoke of it before storage was looked at.
    known: bool


def confirmed(site: Site, candidates: Sequence[Candidate]) -> tuple[list[Finding], list[Row]]:
    """What is wrong by inventory, storage, and inventory again; and suspect files that stand there again.

    A row is there before its file, and after it: so what is in storage and in neither look at the inventory is dark,
    and what both looks call archived, of the same row, and storage does not hold, is missing.
    """
    waiting = {waiting_name(row) for row in site.inventory.all("scan_half_moved")} if candidates else set()
    candidates = [each for each in candidates if each.path not in waiting]
    paths = [each.path.decode() for each in candidates if _is_text(each.path)]
    before = _rows(site, paths)
    looked = {each.path: tree.look(site.settings.storage, each.path) for each in candidates}
    after = _rows(site, paths)
    wrong: list[Finding] = []
    back: list[Row] = []
    for each in candidates:
        first, entry, last = before.get(each.path), looked[each.path], after.get(each.path)
        if first is None and last is None:
            if entry is not None and not each.known:
                detail = "stands in storage, but the inventory has no row for it"
                wrong.append(Finding(kind="dark", path=each.path, detail=detail, size=entry.size))
        elif first is not None and last is not None and first["id"] == last["id"] and first["state"] == last["state"]:
            if finding := _judge(last, entry):
                wrong.append(finding)
            elif last["state"] == "suspect":
                back.append(last)
    return wrong, back


def waiting_name(row: Row) -> bytes:
    """Where a dark file waits for its way into quarantine: beside where it stood, so on the same file system."""
    folder, slash, _ = bytes(row["path"]).rpartition(b"/")
    return b"%b%b.dark-%d" % (folder, slash, row["id"])


def _judge(row: Row, entry: tree.Entry | None) -> Finding | None:
    """What is wrong with a file that the inventory calls archived or suspect; its bytes are not read."""
    if row["state"] not in ("archived", "suspect"):
        return None  # on its way in or out
    path = str(row["path"]).encode()
    if entry is None:
        detail = f"file {row['id']} is {row['state']}, but storage has no such file"
        return Finding(kind="missing", path=path, detail=detail, asset=row["id"])
    if entry.trouble:
        return Finding(kind="damaged", path=path, detail=f"file {row['id']} {entry.trouble}", asset=row["id"])
    if not entry.regular:
        detail = f"file {row['id']}: a link, FIFO, socket or device stands in its place"
        return Finding(kind="damaged", path=path, detail=detail, asset=row["id"])
    if entry.size != row["size"]:
        detail = f"file {row['id']} has {entry.size} bytes on disk, {row['size']} in the inventory"
        return Finding(kind="damaged", path=path, detail=detail, asset=row["id"], size=entry.size)
    return None


def _rows(site: Site, paths: Sequence[str]) -> dict[bytes, Row]:
    rows = site.inventory.all("scan_rows_at", paths=list(paths)) if paths else []
    return {str(row["path"]).encode(): row for row in rows}


def _is_text(path: bytes) -> bool:
    """Whether the inventory could hold this path at all."""
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True
