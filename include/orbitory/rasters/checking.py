"""Rasters of the archive checked one after the other, and their verdicts kept, page by page."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orbitory.errors import DataError, NotReady
from orbitory.inventory import Row
from orbitory.model import Extraction, Finding, Identity
from orbitory.rasters.judging import Expected, Verdict, judge, problem
from orbitory.rasters.sight import READER, Mode, RasterTask, Sight, unpacked
from orbitory.site import Site
from orbitory.workers import Isolated
from orbitory.zones import own_errors, stat_at

#: Files held in memory, and committed together.
_PAGE = 200
_NOBODY = Identity(form="raster", product_type="raster", products=(), sensor="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was found about one raster."""

    asset: int
    mode: Mode
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    #: Version of GDAL, and the checksums of the bands of each image; empty when they were not read.
    checksums: Mapping[str, Any] | None = None


def check(site: Site, ids: Sequence[int], mode: Mode) -> int:
    """Check these rasters and keep the verdicts; how many they were. May be repeated, and stopped between pages.

    A raster that was bad is looked at as closely as when that was found. Raises Transient or ConfigurationError when
    storage or database are in the way.
    """
    checked = 0
    with ExitStack() as stack:
        children: dict[Path, Isolated] = {}
        for start in range(0, len(ids), _PAGE):
            rows = site.inventory.all("rasters_page", ids=list(ids[start : start + _PAGE]))
            found: list[Judgement] = []
            for folder, group in _by_place(site, rows).items():
                if folder not in children:
                    children[folder] = stack.enter_context(Isolated(folder))
                found += _judged(site, children[folder], group, mode)
            _keep(site, found)
            checked += len(found)
    return checked


def _by_place(site: Site, rows: Sequence[Row]) -> dict[Path, list[Row]]:
    """By the folder that the child may read: storage, or where an archive was registered."""
    places: dict[Path, list[Row]] = {}
    for row in rows:
        path = str(row["path"])
        registered = Path(row["root"] or Path(path).parent)
        places.setdefault(registered if path.startswith("/") else site.settings.storage, []).append(row)
    return places


def _judged(site: Site, child: Isolated, rows: Sequence[Row], mode: Mode) -> Iterator[Judgement]:
    tasks, by_id = [], {}
    for row in rows:
        wanted = _mode_of(row, mode)
        if (finding := _at_first_sight(site, row)) is not None:
            yield Judgement(asset=row["id"], mode=wanted, verdict=Verdict.BAD, findings=(finding,))
        else:
            by_id[row["id"]] = row
            tasks.append(_task(site, row, wanted))
    for task, result in zip(tasks, child.map(tasks), strict=True):
        row, error = by_id[task.id], result.error
        if isinstance(error, NotReady):
            finding = problem("missing", "storage has no such file")
            yield Judgement(asset=task.id, mode=task.mode, verdict=Verdict.BAD, findings=(finding,))
        elif isinstance(error, DataError):
            yield _weighed(row, task.mode, _unseen(error))
        else:
            yield _weighed(row, task.mode, _sight(result.extraction))


def _mode_of(row: Row, mode: Mode) -> Mode:
    """A bad file is not cleared by a look that could not have seen what is wrong with it."""
    if row["last_verdict"] != Verdict.BAD.value:
        return mode
    return max(mode, Mode(row["last_mode"]), key=lambda each: each.depth)


def _at_first_sight(site: Site, row: Row) -> Finding | None:
    """What its entry in the folder tells: no file, or an empty one."""
    with own_errors(f"look at {row['path']} in storage"):
        status = stat_at(site.settings.storage, os.fsencode(row["path"]))
    if status is None:
        return problem("missing", "storage has no such file")
    if status.size == 0:
        return problem("zero", f"it is empty, archived were {row['size']} bytes")
    return None


def _task(site: Site, row: Row, mode: Mode) -> RasterTask:
    path = site.settings.storage / row["path"]
    return RasterTask(
        id=row["id"],
        path=os.fsencode(path),
        extractor=READER,
        source="",
        name=path.name,
        identity=_NOBODY,
        mode=mode,
    )


def _unseen(error: DataError) -> Sight:
    """What an answer without a sight means: the parser died, stalled, was refused, or needed more than we give."""
    if error.code == "policy":
        return Sight(kind="", unsupported=(error.detail[:1000],))
    return Sight(kind="", problems=(("unreadable", error.detail[:1000]),))


def _sight(extraction: Extraction | None) -> Sight:
    sight = unpacked(extraction.header) if extraction is not None else None
    return sight or Sight(kind="", problems=(("unreadable", "the parser's answer makes no sense"),))


def _weighed(row: Row, mode: Mode, sight: Sight) -> Judgement:
    verdict, findings = judge(_expected(row), sight)
    changed = list(_changed(row, sight))
    sums = [list(image.checksums) for image in sight.images]
    whole = mode is Mode.FULL and verdict is Verdict.GOOD and bool(sums) and all(sums) and not changed
    return Judgement(
        asset=row["id"],
        mode=mode,
        verdict=Verdict.BAD if changed else verdict,
        findings=(*changed, *findings),
        checksums={"gdal": sight.gdal, "images": sums} if whole else None,
    )


def _changed(row: Row, sight: Sight) -> Iterator[Finding]:
    """Pixels that decode to other values than before, by the same library."""
    before = row["last_checksums"]
    if not isinstance(before, dict) or before.get("gdal") != sight.gdal:
        return
    now = [list(image.checksums) for image in sight.images]
    if now and all(now) and now != before.get("images"):
        yield problem("decode", f"its bands have checksums {now[:4]}, before {before.get('images', [])[:4]}")


def _expected(row: Row) -> Expected:
    search = row["search"] or {}
    return Expected(
        name=row["name"] or row["path"],
        kind=row["kind"],
        size=row["size"],
        sibling=row["sibling"],
        strip="image" in search,
        located=row["located"],
        search=search,
        told=tuple(row["told"]),
        main=row["main"],
    )


def _keep(site: Site, found: Sequence[Judgement]) -> None:
    if found:
        site.inventory.run(
            "rasters_keep",
            ids=[each.asset for each in found],
            modes=[each.mode.value for each in found],
            verdicts=[each.verdict.value for each in found],
            findings=[json.dumps([finding.as_dict() for finding in each.findings]) for each in found],
            checksums=[json.dumps(each.checksums or []) for each in found],
        )
