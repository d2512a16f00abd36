"""extract and footprints: archived files are read with the present code, in a child process that may die."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from orbitory import names
from orbitory.catalogue import Source
from orbitory.duplicates import version_rank
from orbitory.errors import DataError
from orbitory.extract import ExtractTask, Member
from orbitory.ingest.extract import task_of
from orbitory.inventory import Row
from orbitory.mfp.rows import has_footprints, refresh
from orbitory.model import Extraction
from orbitory.reprocess.pages import Problem, Slice, Unit, record
from orbitory.workers import Isolated
from orbitory.zones import own_errors, stat_of

#: What reading one unit gave.
Read = tuple[Unit, Extraction]


def reread(piece: Slice, found: Iterable[Sequence[Unit]], *, footprints_only: bool) -> int:
    """Read every unit again and renew what the inventory says of it; returns how many rows were written.

    A file that is gone, or that this code cannot read, is recorded; its rows stay as they are.
    """
    changed = 0
    with ExitStack() as stack:
        children: dict[Path, Isolated] = {}
        for page in found:
            problems: list[Problem] = []
            for (_, folder), units in _by_place(piece, page).items():
                if folder not in children:
                    children[folder] = stack.enter_context(Isolated(folder))
                read = list(_read(piece, children[folder], units, problems))
                changed += _write(piece, read, footprints_only)
            record(piece, problems)
    return changed


def _by_place(piece: Slice, page: Sequence[Unit]) -> dict[tuple[str, Path], list[Unit]]:
    """Units by source and by the folder that the child may read: storage, or where an archive was registered."""
    places: dict[tuple[str, Path], list[Unit]] = {}
    for unit in page:
        if unit.readable:
            places.setdefault((unit.readable[0]["source"], _folder(piece, unit)), []).append(unit)
    return places


def _folder(piece: Slice, unit: Unit) -> Path:
    """Where the file that speaks for the unit stands; of a registered one whose folder is not known, its own."""
    main = unit.readable[0]
    if not main["path"].startswith("/"):
        return piece.site.settings.storage
    return Path(main["root"] or Path(main["path"]).parent)


def _read(piece: Slice, child: Isolated, units: Sequence[Unit], problems: list[Problem]) -> Iterator[Read]:
    tasks: list[ExtractTask] = []
    by_main: dict[int, Unit] = {}
    for unit in units:
        try:
            task = _task(piece, unit)
        except _Unfit as unfit:
            problems.append(unfit.problem)
        else:
            tasks.append(task)
            by_main[task.id] = unit
    for result in child.map(tasks):
        unit, error = by_main[result.id], result.error
        if result.extraction is not None:
            yield unit, result.extraction
        elif isinstance(error, DataError):
            problems.append(Problem(asset=unit.readable[0]["asset_id"], code=error.code, detail=error.detail))
        else:
            problems.append(Problem(asset=unit.readable[0]["asset_id"], code="changed", detail=str(error)))


class _Unfit(Exception):
    """A file of a unit cannot be read as it is, so the unit is not."""

    def __init__(self, row: Row, code: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(asset=row["asset_id"], code=code, detail=detail)


def _task(piece: Slice, unit: Unit) -> ExtractTask:
    source = piece.site.catalogue.source(unit.rows[0]["source"])
    folder = _folder(piece, unit)
    main, *members = (_member(piece, source, folder, row) for row in unit.readable)
    return task_of(piece.site, source, main, members)


def _member(piece: Slice, source: Source, folder: Path, row: Row) -> Member:
    """The file as extract expects it: its name is the one it came with. Raises _Unfit."""
    path = piece.site.settings.storage / row["path"]
    if not path.is_relative_to(folder):
        raise _Unfit(row, "unreadable", f"stands outside {folder}, where the rest of its unit does")
    with own_errors(f"look at {row['path']} in storage"):
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _Unfit(row, "missing", "there is no such file") from error
    if status.st_size != row["size"]:
        raise _Unfit(row, "damaged", f"has {status.st_size} bytes on disk, {row['size']} in the inventory")
    try:
        identity = names.identify(row["name"], source, piece.site.catalogue)
    except DataError as error:
        raise _Unfit(row, error.code, error.detail) from error
    return Member(
        id=row["id"],
        path=os.fsencode(path),
        name=row["name"],
        identity=replace(identity, role=row["role"]),
        checksummed=row["checksummed"],
        stat=stat_of(status),
    )


def _write(piece: Slice, read: Sequence[Read], footprints_only: bool) -> int:
    """Renew the rows of these units, where they differ, in one transaction; returns how many were written."""
    if not read:
        return 0
    inventory = piece.site.inventory
    with inventory.transaction():
        # The lock of ingest's own decisions: neither ever waits for rows that the other holds.
        inventory.one("lock_store")
        inventory.run("create_reread_file")
        inventory.run("create_reread_granule")
        inventory.copy_in("copy_reread_file", (row for each in read for row in _files(*each)))
        inventory.copy_in("copy_reread_granule", (row for each in read for row in _granules(*each)))
        strangers = inventory.all("reread_strangers")
        inventory.run("match_reread")
        if footprints_only:
            changed = inventory.run("renew_footprints")
        else:
            inventory.run("keep_repairs")
            changed = inventory.run("renew_assets") + inventory.run("renew_granules")
        if changed:
            refresh(
                piece.site,
                assets=[asset for each in read if _is_strip(piece, each[0]) for asset in _holders(*each).values()],
            )
        record(piece, [Problem(asset=row["asset_id"], code="identity", detail=row["detail"]) for row in strangers])
        piece.count(changed)
    return changed


def _is_strip(piece: Slice, unit: Unit) -> bool:
    return has_footprints(piece.site.catalogue.source(unit.rows[0]["source"]))


def _holders(unit: Unit, found: Extraction) -> dict[int, int]:
    """Assets of the unit's own files that hold granules, by the number under which they were read."""
    main = unit.readable[0]["id"]
    holding = {facts.file or main for facts in found.granules}
    return {row["id"]: row["asset_id"] for row in unit.own if row["id"] in holding}


def _files(unit: Unit, found: Extraction) -> Iterator[tuple[object, ...]]:
    findings = json.dumps([finding.as_dict() for finding in found.findings])
    for number, asset in _holders(unit, found).items():
        # As ingest does: what was found about the unit stands with the file that speaks for it.
        speaks = number == unit.readable[0]["id"]
        yield (
            unit.rows[0]["unit_id"],
            asset,
            found.kind,
            found.header if speaks else b"",
            findings if speaks else "[]",
        )


def _granules(unit: Unit, found: Extraction) -> Iterator[tuple[object, ...]]:
    holders, main = _holders(unit, found), unit.readable[0]["id"]
    for ordinal, facts in enumerate(found.granules):
        if (asset := holders.get(facts.file or main)) is not None:
            yield (
                *(unit.rows[0]["unit_id"], asset, ordinal, facts.product, facts.key, version_rank(facts.version)),
                *(facts.created, facts.sensor, facts.platform, facts.collection, facts.sensing_start),
                *(facts.sensing_end, facts.orbit, facts.footprint, facts.area_km2),
                json.dumps(facts.search, allow_nan=False),
            )
