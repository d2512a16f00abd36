"""Hand files in: copied into the landing zone, each with its checksum, and their forms last (docs/upload.md).

Until its form stands there a file waits, so an upload that is killed brings nothing into the archive.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat as modes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from orbitory import announcements, names
from orbitory.catalogue import Catalogue, Source
from orbitory.checksum import Hasher
from orbitory.errors import ConfigurationError, DataError, Transient
from orbitory.layout import safe_segment
from orbitory.model import utc_now
from orbitory.upload_form import ENDING, UploadForm, check_class, check_text, refusal, written
from orbitory.zones import FileSystemSync, display, scan, stat_of

#: Checksums are announced beside each file as ``<file name>.sha256``, which ingest compares while it hashes.
ALGORITHM = "sha256"
#: Problems told at once; a folder of a million wrong names needs no million lines.
_TOLD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the forms of one upload have in common."""

    product_type: str
    keep_days: int
    sender: str
    classification: str | None = None
    title: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What was handed in."""

    folder: Path
    #: Relative to the landing folder of the source, as ``orbitory show`` knows them.
    files: tuple[str, ...]
    bytes: int

    def as_dict(self) -> dict[str, object]:
        """JSON shape."""
        return {"folder": str(self.folder), "files": list(self.files), "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class _Item:
    """A file to hand in, by its name below the upload's own folder."""

    path: Path
    name: str
    size: int


def check_terms(terms: Terms, source: Source, catalogue: Catalogue) -> None:
    """Raise ConfigurationError when ``source`` does not take uploads, or none on these terms."""
    if source.extractor != "upload":
        raise ConfigurationError(f"source {source.name} takes no uploads: its files need no form")
    limits = {each.name: catalogue.keep_days(source, each) for each in catalogue.types_of(source)}
    try:
        check_class(terms.classification)
        for name in ("sender", "title", "comment"):
            check_text(name, getattr(terms, name))
        refused = refusal(terms.product_type, terms.keep_days, limits)
    except ValueError as error:
        raise ConfigurationError(f"nothing was uploaded: {error}") from None
    if refused:
        raise ConfigurationError(f"nothing was uploaded: {refused}")


def upload(paths: Sequence[Path], terms: Terms, source: Source, landing: Path) -> Upload:
    """Copy files, and all files below folders, into a new folder of ``landing``, the landing folder of ``source``.

    Everything is checked before the first byte is written, and durable on return. Each file is read once. What fails
    leaves nothing behind. Raises ConfigurationError with all reasons, Transient for a full disk or a file that changes.
    """
    if not landing.is_dir():
        raise ConfigurationError(
            f"nothing was uploaded: landing folder {landing} does not exist; is it mounted? The first "
            f"`orbitory ingest {source.name}` makes it"
        )
    moment = utc_now().replace(microsecond=0)
    folder = landing / f"{safe_segment(terms.sender)[:60]}-{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    items = _checked(paths, source, folder)
    size = sum(item.size for item in items)
    if shutil.disk_usage(landing).free < size:
        raise Transient(f"nothing was uploaded: {landing} has no room for {size} bytes")
    try:
        _write(folder, items, terms, moment)
    except OSError as error:
        family = ConfigurationError if isinstance(error, PermissionError) else Transient
        raise family(f"nothing was uploaded: {error.strerror} ({error.filename or landing})") from error
    return Upload(folder=folder, files=tuple(f"{folder.name}/{item.name}" for item in items), bytes=size)


# Checking


def _checked(paths: Sequence[Path], source: Source, folder: Path) -> list[_Item]:
    items: dict[str, _Item] = {}
    problems: list[str] = []
    for path in paths:
        for item, problem in _below(path):
            problem = problem or _problem(item, source, folder)
            if not problem and item.name in items:
                problem = f"is called like {_shown(items[item.name].path)}: upload one of them by itself"
            if problem:
                problems.append(f"{_shown(item.path)}: {problem}")
            items.setdefault(item.name, item)
    if problems:
        more = [f"and {len(problems) - _TOLD} more"] if len(problems) > _TOLD else []
        raise ConfigurationError("\n".join(["nothing was uploaded:", *problems[:_TOLD], *more]))
    return sorted(items.values(), key=lambda item: item.name)


def _shown(path: Path) -> str:
    """The path on one line, since each problem has a line of its own."""
    text = display(os.fsencode(path))
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _below(path: Path) -> Iterator[tuple[_Item, str]]:
    """The file, or all files below the folder, with what is wrong already at first sight."""
    try:
        status = path.lstat()
    except OSError as error:
        yield _Item(path, path.name, 0), error.strerror or str(error)
        return
    if not modes.S_ISDIR(status.st_mode):
        yield _Item(path, path.name, status.st_size), "" if modes.S_ISREG(status.st_mode) else _NOT_REGULAR
        return
    try:
        found = sorted(scan(path), key=lambda seen: seen.path)
    except (ConfigurationError, Transient) as error:
        yield _Item(path, path.name, 0), str(error)
        return
    for seen in found:
        below = os.fsdecode(seen.path)
        yield _Item(path / below, below, seen.stat.size), "" if seen.regular else _NOT_REGULAR
    if not found:
        yield _Item(path, path.name, 0), "is a folder without files"


_NOT_REGULAR = "is a link, FIFO, socket or device: name the file itself"


def _problem(item: _Item, source: Source, folder: Path) -> str:
    """Why ingest would not take it, or we cannot hand it in; empty when both can."""
    if item.path.resolve().is_relative_to(folder.parent.parent.resolve()):
        return "stands in the landing zone already"
    if item.size == 0:
        return "is empty"
    if announcements.is_temporary(item.name, source):
        return f"is named like an unfinished file ({', '.join(source.completeness.temporary)})"
    if item.name.endswith(ENDING) or announcements.role_of(item.name, source) != "data":
        return f"is named like what stands beside an upload (*{ENDING}, checksums): rename it"
    try:
        names.check_storable(os.fsencode(f"{folder.name}/{item.name}{ENDING}"))
        check_text("file", item.path.name)
    except (DataError, ValueError) as error:
        return error.detail if isinstance(error, DataError) else str(error)
    return "" if os.access(item.path, os.R_OK) else "may not be read by you"


# Writing


def _write(folder: Path, items: Sequence[_Item], terms: Terms, moment: datetime) -> None:
    """All bytes first, the forms still under temporary names; then nothing is left to do but to rename these."""
    hasher = Hasher()
    with FileSystemSync(folder.parent) as disk:
        folder.mkdir()
        try:
            _share(folder)
            for item in items:
                _copy(item, folder, hasher)
                _put(folder / f"{item.name}{ENDING}", written(_form(item, terms, moment)))
            disk.sync()
        except BaseException:  # a half upload is none
            shutil.rmtree(folder, ignore_errors=True)
            raise
        for item in items:
            target = folder / f"{item.name}{ENDING}"
            _part(target).rename(target)
        disk.sync()


def _form(item: _Item, terms: Terms, moment: datetime) -> UploadForm:
    return UploadForm(
        file=item.path.name,
        size=item.size,
        product_type=terms.product_type,
        keep_days=terms.keep_days,
        sender=terms.sender,
        created=moment,
        classification=terms.classification,
        title=terms.title,
        comment=terms.comment,
    )


def _copy(item: _Item, folder: Path, hasher: Hasher) -> None:
    target = folder / item.name
    for above in reversed(target.relative_to(folder).parents[:-1]):
        if not (folder / above).is_dir():
            (folder / above).mkdir()
            _share(folder / above)
    reader = os.open(item.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    part = _part(target)
    try:
        before = stat_of(os.fstat(reader))
        writer = _create(part)
        try:
            digests = hasher.digest(reader, (ALGORITHM,), copy_to=writer)
        finally:
            os.close(writer)
        if stat_of(os.fstat(reader)) != before or digests.size != item.size:
            raise Transient(f"nothing was uploaded: {_shown(item.path)} changed while it was read")
    finally:
        os.close(reader)
    part.rename(target)
    # The bare value: a name in it would have to be escaped, by rules that differ between tools.
    sidecar = target.with_name(f"{target.name}.{ALGORITHM}")
    _put(sidecar, f"{digests.values[ALGORITHM]}\n".encode())
    _part(sidecar).rename(sidecar)


def _put(target: Path, content: bytes) -> None:
    """Write under the temporary name of ``target``."""
    with os.fdopen(_create(_part(target)), "wb") as file:
        file.write(content)


def _part(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _create(path: Path) -> int:
    """A new file that the ingest account may read and nobody else; see ``_share``."""
    mode = 0o640 if path.parent.stat().st_mode & modes.S_ISGID else 0o600
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    os.fchmod(descriptor, mode)
    return descriptor


def _share(folder: Path) -> None:
    """For the sender alone, and for the group of the landing folder where that hands its group down (setgid)."""
    inherited = folder.stat().st_mode & modes.S_ISGID
    folder.chmod(0o2770 if inherited else 0o700)
