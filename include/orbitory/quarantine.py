"""What stands in quarantine and why, and the way back to the landing zone.

A re-drive moves a unit (a data file and its sidecars) by renaming, so each file is at any instant in exactly one place.
The intent is written down first: after a crash, ``finish_redrives`` knows which files were on their way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from orbitory.errors import ConfigurationError, IntegrityError, OrbitoryError, Transient
from orbitory.inventory import Row
from orbitory.inventory.locks import Lock, alone
from orbitory.reading import landing_of
from orbitory.site import Site
from orbitory.zones import display, move, own_errors, sync_folder

#: Stands in quarantine; without it one that should hold something is taken for unmounted.
QUARANTINE_SENTINEL = ".orbitory-quarantine"
_UNITS_AT_ONCE = 500
#: So many files tell whether it is mounted where that mark was never made.
_LOOKS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which units: all given conditions must hold; none given means every unit."""

    source: str | None = None
    reason: str | None = None
    #: Numbers of arrivals; each stands for its whole unit.
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """What became of one file that was to go back."""

    id: int
    name: str
    source: str
    #: False: it stays in quarantine.
    returned: bool
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        result = "re-driven" if self.returned else "kept"
        return {"id": self.id, "name": self.name, "source": self.source, "result": result, "detail": self.detail}


def quarantined(site: Site, choice: Choice | None = None) -> Iterator[dict[str, Any]]:
    """Every file in quarantine, in order of arrival. ``path`` is relative to the quarantine root.

    Last come those that the rolling audit has moved there and nobody has taken away since; they never arrived, so they
    have no number. Raises ConfigurationError when a chosen arrival does not exist.
    """
    for row in site.inventory.stream("quarantine_list", **_values(site, choice or Choice())):
        yield _shown(row)
    if choice is None or not choice.ids:
        chosen = {"source": choice.source if choice else None, "reason": choice.reason if choice else None}
        for row in site.inventory.all("scan_quarantined", **chosen):
            if os.path.lexists(site.settings.quarantine / os.fsdecode(row["raw_path"])):
                yield _shown(row)


def _shown(row: Row) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "raw_path"} | {"path": display(row["raw_path"])}


def redrive(site: Site, choice: Choice) -> Iterator[Return]:
    """Move the chosen units back to their landing folder under their original names; never overwrites.

    A unit whose name is taken there stays in quarantine and says so. The next run sees the others as new arrivals.
    May be repeated, also after a crash. Raises Transient while another re-drive is at work.
    """
    values = _values(site, choice)
    with alone(site.inventory, Lock.REDRIVE) as is_alone:
        if not is_alone:
            raise Transient("another re-drive is at work: try again when it has ended")
        _finish(site)
        after = 0
        while rows := site.inventory.all("quarantine_page", after=after, limit=_UNITS_AT_ONCE, **values):
            after = rows[-1]["unit"]
            yield from _return_page(site, rows)


def finish_redrives(site: Site) -> None:
    """Bring the ledger in line with what a re-drive did before it was cut short; leaves one at work alone."""
    with alone(site.inventory, Lock.REDRIVE) as is_alone:
        if is_alone:
            _finish(site)


def _finish(site: Site) -> None:
    rows = site.inventory.all("quarantine_interrupted")
    still = {row["id"] for row in rows if os.path.lexists(_held(site, row))}
    with site.inventory.transaction():
        site.inventory.run("quarantine_returned", ids=[row["id"] for row in rows if row["id"] not in still])
        site.inventory.run("quarantine_kept", ids=list(still))


def _values(site: Site, choice: Choice) -> dict[str, Any]:
    units = None
    if choice.ids:
        rows = site.inventory.all("quarantine_units", ids=list(choice.ids))
        if unknown := set(choice.ids) - {row["id"] for row in rows}:
            raise ConfigurationError(f"there is no arrival {min(unknown)}: see `orbitory quarantine list`")
        units = sorted({row["unit"] for row in rows})
    return {"source": choice.source, "reason": choice.reason, "units": units}


def _held(site: Site, row: Row) -> Path:
    return site.settings.quarantine / os.fsdecode(row["quarantine_path"])


def _return_page(site: Site, rows: Sequence[Row]) -> Iterator[Return]:
    """Intent, then moves, then outcome: three statements for some hundred units."""
    units = [list(unit) for _, unit in groupby(rows, key=lambda row: row["unit"])]
    results = [kept for unit in units for kept in _refusals(site, unit)]
    refused = {kept.id for kept in results}
    chosen = [row for unit in units for row in unit if row["id"] not in refused]
    site.inventory.run("quarantine_intend", ids=[row["id"] for row in chosen])
    try:
        results += [_return(site, row) for row in chosen]
    except OrbitoryError:
        _finish(site)
        raise
    with site.inventory.transaction():
        site.inventory.run("quarantine_returned", ids=[each.id for each in results if each.returned])
        site.inventory.run("quarantine_kept", ids=[each.id for each in results if not each.returned])
    for unit in units:
        tidy(_held(site, unit[0]).parent)
    yield from sorted(results, key=lambda each: each.id)


def _refusals(site: Site, unit: Sequence[Row]) -> Iterator[Return]:
    """Why this unit stays, told for each of its files: nothing of it moves when one name is taken."""
    taken = [row for row in unit if os.path.lexists(landing_of(site, row["source"]) / os.fsdecode(row["raw_path"]))]
    if taken:
        detail = f"kept: {taken[0]['name']} stands in the landing zone already; move or rename it, then try again"
        yield from (_result(row, returned=False, detail=detail) for row in unit)


def _result(row: Row, *, returned: bool, detail: str) -> Return:
    return Return(id=row["id"], name=row["name"], source=row["source"], returned=returned, detail=detail)


def _return(site: Site, row: Row) -> Return:
    """Move one file. Sidecars come before their data file, which then finds its checksums when it lands."""
    landing, path = landing_of(site, row["source"]), row["raw_path"]
    with own_errors(f"move {row['name']} back to {landing}"):
        try:
            below, _, name = path.rpartition(b"/")
            with _folder_beneath(landing, below) as folder:
                if not move(_held(site, row), folder / os.fsdecode(name)):
                    return _result(
                        row, returned=False, detail="kept: it no longer stands in quarantine; run `orbitory audit`"
                    )
                sync_folder(folder)
        except (FileExistsError, NotADirectoryError):
            return _result(row, returned=False, detail=f"kept: another file stands in its way in {landing}")
    return _result(row, returned=True, detail=f"in the landing zone of {row['source']} again")


@contextmanager
def _folder_beneath(landing: Path, below: bytes) -> Iterator[Path]:
    """The folder of an arrival, made anew where it is gone, reached through no link that a sender may have planted.

    Raises NotADirectoryError when something else stands in its way.
    """
    landing.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(landing, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in below.split(b"/") if below else ():
            if part in (b"", b".", b".."):
                raise NotADirectoryError(f"{display(below)} is no path beneath a landing folder")
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=descriptor)
            inner = os.open(part, flags, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def require_mounted(site: Site) -> None:
    """Raise IntegrityError when quarantine looks unmounted: what is not there has not gone then.

    One that was never marked is, once a file stands in it that rows speak of, or where they speak of none.
    """
    root = site.settings.quarantine
    sentinel = root / QUARANTINE_SENTINEL
    if sentinel.exists():
        return
    expected = site.inventory.all("quarantine_expected", limit=_LOOKS)
    if expected and not any(os.path.lexists(root / os.fsdecode(row["path"])) for row in expected):
        raise IntegrityError(
            f"quarantine {root} has no {QUARANTINE_SENTINEL}: it looks unmounted. Nothing was removed; mount it, or, "
            f"if what it held is really gone, create that empty file"
        )
    with own_errors(f"create quarantine {root}"):
        root.mkdir(parents=True, exist_ok=True)
        sentinel.touch()
        sync_folder(root)


def tidy(folder: Path) -> None:
    """Remove an emptied folder of quarantine and the note beside it."""
    with own_errors(f"tidy {folder}"):
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return  # something is still in it
        folder.with_name(f"{folder.name}.json").unlink(missing_ok=True)
