"""The work folder of one try: inputs, the run configuration, and room for outputs and scratch.

<work>/pge/<instance>.<random>/in/<input>/<file>   links to the archive, or copies
                               out/  tmp/          the only folders that the PGE can write to
                               configuration.json  what it is told
                               log                 what it says
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orbitory.catalogue import Pge
from orbitory.checksum import Hasher
from orbitory.errors import Transient
from orbitory.inventory import Row
from orbitory.pge.executor import Job, Limits
from orbitory.pge.failures import RunFailed
from orbitory.provenance import Ingredient
from orbitory.settings import CHECKOUT
from orbitory.zones import open_beneath, own_errors

#: Folder below ``work``.
ZONE = "pge"
PGES = CHECKOUT / "include" / "pges"
_MB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A work folder."""

    folder: Path

    @property
    def out(self) -> Path:
        """What the PGE makes."""
        return self.folder / "out"

    @property
    def tmp(self) -> Path:
        """Where it starts, and scratches."""
        return self.folder / "tmp"

    @property
    def inputs(self) -> Path:
        """What it reads."""
        return self.folder / "in"

    @property
    def configuration(self) -> Path:
        """What it is told."""
        return self.folder / "configuration.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """An input file where the PGE finds it."""

    path: Path
    row: Row
    #: inode, size and mtime: another of them tells that the file was changed.
    seen: tuple[int, int, int]

    @property
    def ingredient(self) -> Ingredient:
        """As it is told in the provenance of what is made of it."""
        file = self.row["path"] or Path(self.row["static"]).name
        return Ingredient(
            input=self.row["input"], granule=self.row["key"] or "", file=file, blake3=bytes(self.row["digest"]).hex()
        )


def name_for(instance: int) -> str:
    """A name for a work folder that no other try ever had."""
    return f"{instance}.{secrets.token_hex(4)}"


def prepare(work: Path, folder: str, pge: Pge) -> Work:
    """Make the folders of a try, once there is room for what the PGE may write.

    Raises Transient when there is not, RunFailed ``definition`` when there never will be.
    """
    zone = work / ZONE
    with own_errors(f"prepare the work folder {zone / folder}"):
        zone.mkdir(parents=True, exist_ok=True)
        total, _, free = shutil.disk_usage(zone)
        if total < pge.run.disk_mb * _MB:
            raise RunFailed(
                "definition", f"it may write {pge.run.disk_mb} MB, the disk of {zone} has {total // _MB} MB in all"
            )
        if free < pge.run.disk_mb * _MB:
            raise Transient(
                f"{zone} has {free // _MB} MB free, PGE {pge.name} may need {pge.run.disk_mb}: not started; "
                f"it is tried again"
            )
        made = Work(folder=zone / folder)
        for each in (made.out, made.tmp, made.inputs):
            each.mkdir(parents=True)
    return made


def stage(work: Work, storage: Path, inputs: Iterable[Row], *, link: bool) -> list[Staged]:
    """Put every input into the work folder and prove its bytes; ``link``: without copying where possible.

    Raises RunFailed with ``input_missing`` or ``input_damaged``, Transient when the machine is at fault.
    """
    hasher = Hasher()
    staged: dict[tuple[str, str], Staged] = {}
    found: list[Staged] = []
    for row in inputs:
        file = row["input"], row["path"] or row["static"]
        if file not in staged:  # else another granule of the same file
            staged[file] = _stage(work, storage, row, hasher, link=link)
        found.append(replace(staged[file], row=row))
    return found


def _stage(work: Work, storage: Path, row: Row, hasher: Hasher, *, link: bool) -> Staged:
    if row["static"] is None and row["asset_state"] != "archived":
        raise RunFailed("input_missing", f"{row['path']} of input {row['input']} is {row['asset_state']}")
    path = row["path"] if row["static"] is None else str(PGES / row["static"])
    root = Path("/") if path.startswith("/") else storage
    target = _target(work, row["input"], Path(path).name)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if row["static"] else open_beneath(root, _below(path))
    except OSError as error:
        raise RunFailed("input_missing", f"{path} of input {row['input']}: {error.strerror}") from None
    try:
        with own_errors(f"stage {path}"):
            linked = link and row["static"] is None and _link(descriptor, target)
            digest = hasher.digest(descriptor).blake3 if linked else _copy(descriptor, target, hasher)
    finally:
        os.close(descriptor)
    if digest != bytes(row["digest"]):
        raise RunFailed(
            "input_damaged", f"{path} of input {row['input']} has BLAKE3 {digest.hex()}, not {row['digest'].hex()}"
        )
    return Staged(path=target, row=row, seen=_seen(target))


def _below(path: str) -> bytes:
    return os.fsencode(path.lstrip("/"))


def _target(work: Work, name: str, file: str) -> Path:
    folder = work.inputs / name
    folder.mkdir(exist_ok=True)
    candidates = (folder / (f"{number}-{file}" if number else file) for number in itertools.count())
    return next(each for each in candidates if not each.exists())


def _link(descriptor: int, target: Path) -> bool:
    try:
        os.link(f"/proc/self/fd/{descriptor}", target, src_dir_fd=descriptor, follow_symlinks=True)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOENT, errno.EACCES):
            raise
        return False
    return True


def _copy(descriptor: int, target: Path, hasher: Hasher) -> bytes:
    writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        return hasher.digest(descriptor, copy_to=writer).blake3
    finally:
        os.close(writer)


def _seen(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def require_unchanged(staged: Iterable[Staged]) -> None:
    """Raises RunFailed when an input is not the file that was staged."""
    for each in staged:
        try:
            same = _seen(each.path) == each.seen
        except FileNotFoundError:
            same = False
        if not same:
            raise RunFailed("input_changed", f"{each.path.name} of input {each.row['input']} was changed while it ran")


def configure(work: Work, instance: Row, staged: Iterable[Staged]) -> None:
    """Write the document that the PGE gets."""
    inputs: dict[str, list[dict[str, Any]]] = {}
    for each in staged:
        row = each.row
        told = {
            "path": str(each.path),
            "granule": row["key"],
            "product": row["product"],
            "role": row["role"],
            "start": _stamp(row["sensing_start"]),
            "end": _stamp(row["sensing_end"]),
        }
        inputs.setdefault(row["input"], []).append(told)
    document = {
        "instance": instance["id"],
        "pge": instance["pge"],
        "version": instance["version"],
        "period": instance["period_key"],
        "sensing": {"start": _stamp(instance["sensing_start"]), "end": _stamp(instance["sensing_end"])},
        "inputs": inputs,
        "output": str(work.out),
        "temporary": str(work.tmp),
    }
    with own_errors(f"write {work.configuration}"):
        work.configuration.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _stamp(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


def job_of(work: Work, pge: Pge) -> Job:
    """What the executor shall run. Raises RunFailed when a file that the command names beside ours is missing."""
    values = {"python": sys.executable, "pges": str(PGES), "work": str(work.folder)}
    command = tuple(word.format(**values) for word in pge.run.command)
    for word in command:
        if word.startswith(f"{PGES}/") and not Path(word).is_file():
            raise RunFailed("executable_absent", f"there is no file {word}")
    run = pge.run
    return Job(
        command=(*command, str(work.configuration)),
        environment=run.environment,
        folder=work.tmp,
        writable=(work.out, work.tmp),
        log=work.folder / "log",
        limits=Limits(
            wall_seconds=run.wall_seconds,
            cpus=run.cpus,
            memory_bytes=run.memory_mb * _MB,
            disk_bytes=run.disk_mb * _MB,
        ),
    )


def discard(work: Path, folder: str) -> None:
    """Remove a work folder, as far as that goes; what is left is removed by retention."""
    shutil.rmtree(work / ZONE / Path(folder).name, ignore_errors=True)
