"""Landing, storage, quarantine, trash: how every zone is read, and names and bytes in it are changed.

Foreign names are bytes and are always resolved beneath their zone without following a link. Nothing here overwrites:
names appear by ``link`` or ``renameat2(RENAME_NOREPLACE)``. Durability is one ``syncfs`` per file system and batch.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import os
import signal
import stat as modes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from orbitory.errors import ConfigurationError, Transient
from orbitory.model import Stat

#: Stands in the storage root; without it the file system is taken for unmounted.
SENTINEL = ".orbitory-storage"
#: Copies in flight, one folder a batch, inside the storage root (same file system as the final names).
INCOMING = ".incoming"

log = logging.getLogger(__name__)
_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_OPENAT2 = 437
_BENEATH_NO_LINKS = 0x08 | 0x04  # RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, linux/openat2.h
_SETTING = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ELOOP}
#: What is wrong with a place when the system says so; it is the same for all files.
_OUTAGES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "full"),
    errno.EROFS: "read-only",
    **dict.fromkeys((errno.EACCES, errno.EPERM), "denied"),
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV), "failing"),
}


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@contextmanager
def own_errors(doing: str) -> Iterator[None]:
    """Map OSError to our families: what a person must change, and what may pass by itself."""
    try:
        yield
    except OSError as error:
        text = f"cannot {doing}: {error.strerror} ({error.filename or 'no name'})"
        cause = _OUTAGES.get(error.errno or 0, "")
        if error.errno in _SETTING:
            told = f"{text}; check the owner, mode and mount of that folder"
            raise ConfigurationError(told).of_outage(cause) from error
        raise Transient(f"{text}; nothing was lost, it is tried again").of_outage(cause) from error


@dataclass(frozen=True, slots=True)
class Seen:
    """One name found in a landing folder."""

    #: Relative to the landing folder, as the file system holds it.
    path: bytes
    stat: Stat
    #: An ordinary file; not a link, FIFO, socket or device.
    regular: bool


def stat_of(status: os.stat_result) -> Stat:
    """The fields by which we recognise the bytes behind a name."""
    return Stat(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def display(path: bytes) -> str:
    r"""A readable form of a file name: undecodable bytes as ``\xNN``."""
    return path.decode("utf-8", "backslashreplace")


def scan(folder: Path) -> Iterator[Seen]:
    """Every name below ``folder`` that is not a folder; links are reported, never followed.

    The files of one folder come one after the other; else, order is not defined. A folder or file that vanishes
    meanwhile is passed over, and so is, with a warning, what stands so deep that no path reaches it: its sender must
    not stop the others. Raises ConfigurationError or Transient when ``folder`` itself cannot be read.
    """
    pending = [b""]
    while pending:
        for path in _list(folder, pending.pop()):
            if path.endswith(b"/"):
                pending.append(path)
            elif seen := seen_at(folder, path):
                yield seen


def names_below(folder: Path) -> Iterator[bytes]:
    """The same names in the order of their bytes, and nothing else about them: several times faster."""
    pending = [b""]
    while pending:
        path = pending.pop()
        if path and not path.endswith(b"/"):
            yield path
        else:
            pending += sorted(_list(folder, path), reverse=True)


def seen_at(folder: Path, path: bytes) -> Seen | None:
    """What stands under a name of ``scan``; None when it has vanished, or stands too deep."""
    try:
        status = os.lstat(os.path.join(os.fsencode(folder), path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _too_deep(error, folder, path)
        return None
    return Seen(path, stat_of(status), modes.S_ISREG(status.st_mode))


def _list(root: Path, below: bytes) -> list[bytes]:
    """What one folder holds, relative to ``root``; ``below`` and the names of folders end in a slash."""
    try:
        with os.scandir(os.path.join(os.fsencode(root), below)) as entries:
            return [below + (e.name + b"/" if e.is_dir(follow_symlinks=False) else e.name) for e in entries]
    except OSError as error:
        if below and isinstance(error, FileNotFoundError):
            return []
        _too_deep(error, root, below)
        return []


def _too_deep(error: OSError, root: Path, path: bytes) -> None:
    """Pass over what no path reaches; every other error is one of ours."""
    if not path or error.errno != errno.ENAMETOOLONG:
        with own_errors(f"list {display(path) or 'the landing folder'} in {root}"):
            raise error
    log.warning("%s… in %s is deeper than any path reaches: not taken in", display(path[:80]), root)


def stat_at(folder: Path, path: bytes) -> Stat | None:
    """What stands under a name now, links not followed; None when nothing does."""
    try:
        return stat_of(os.lstat(os.path.join(os.fsencode(folder), path)))
    except (FileNotFoundError, NotADirectoryError):
        return None


def open_beneath(folder: Path | int, path: bytes, flags: int = os.O_RDONLY | os.O_NONBLOCK) -> int:
    """Open ``path`` for reading, strictly inside ``folder`` and through no link; never blocks on a FIFO.

    Raises FileNotFoundError when it is gone and OSError (ELOOP, EXDEV) when a component is a link. The caller closes.
    """
    if isinstance(folder, Path):
        root = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return open_beneath(root, path, flags)
        finally:
            os.close(root)
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _BENEATH_NO_LINKS)
    descriptor: int = _libc.syscall(_OPENAT2, folder, path, ctypes.byref(how), ctypes.sizeof(how))
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), display(path))
    return descriptor


def look_beneath(folder: Path, path: bytes) -> os.stat_result | None:
    """What stands at ``path``, strictly inside ``folder`` and through no link; a link itself is told as one.

    None when nothing does, or when it is reached through a link.
    """
    try:
        descriptor = open_beneath(folder, path, os.O_PATH | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EXDEV):
            return None
        raise
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def is_regular(descriptor: int) -> bool:
    """Whether the open file is an ordinary one (not a folder, FIFO, socket or device)."""
    return modes.S_ISREG(os.fstat(descriptor).st_mode)


def has_writer(descriptor: int) -> bool:
    """Whether some process has the file open for writing (a read lease is refused); local file systems only."""
    try:
        # A writer that opens it in this very moment is announced by a signal; SIGURG is one that kills nobody.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        # EACCES: not our file, so no lease can be had; the caller falls back on age and copies instead of linking.
        return error.errno == errno.EAGAIN
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def read_small(folder: Path, path: bytes, limit: int) -> bytes | None:
    """The bytes of a small regular file, or None when it is gone, not regular, or larger than ``limit``."""
    try:
        descriptor = open_beneath(folder, path)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not is_regular(descriptor) or os.fstat(descriptor).st_size > limit:
            return None
        return file.read(limit + 1)[:limit]


def _rename_new(source: Path | str | bytes, target: Path | str | bytes) -> None:
    """Rename; raises FileExistsError instead of overwriting."""
    if _libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fsdecode(source), None, os.fsdecode(target))


def move(source: Path | str, target: Path | str) -> bool:
    """Move any kind of file without overwriting, also to another file system; False when ``source`` is gone.

    Across file systems the copy is durable before ``source`` goes.
    """
    with suppress(OSError):  # the folder to move it to is rarely missing; what else is wrong is told below
        _rename_new(source, target)
        return True
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    try:
        _rename_new(source, target)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _move_across(Path(source), Path(target))
    return True


def _move_across(source: Path, target: Path) -> None:
    status = source.lstat()
    if modes.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "a folder is not moved to another file system", str(source))
    if modes.S_ISLNK(status.st_mode):
        target.symlink_to(source.readlink())
    elif not modes.S_ISREG(status.st_mode):
        os.mkfifo(target)  # stands for any special file: it has no bytes to keep
    else:
        part = target.with_name(target.name + ".part")
        try:
            with source.open("rb") as reader, part.open("wb") as writer:
                while chunk := reader.read(1 << 20):
                    writer.write(chunk)
                writer.flush()
                os.fsync(writer.fileno())
            _rename_new(part, target)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    sync_folder(target.parent)
    source.unlink()


def write_whole(target: Path, content: bytes) -> None:
    """Put a small file in place, durably; who reads meanwhile sees the one that stood there before, or this one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with part.open("wb") as writer:
        writer.write(content)
        writer.flush()
        os.fsync(writer.fileno())
    part.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileSystemSync:
    """One ``syncfs`` for everything placed since it was opened, data and names.

    Open it before the first file is placed: the kernel reports write errors since the descriptor was opened. A failed
    sync is final; calling it again would answer success for data that never reached the disk.
    """

    def __init__(self, folder: Path) -> None:
        """Hold the file system of ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> FileSystemSync:
        """Nothing more to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the file system."""
        os.close(self._descriptor)

    def sync(self) -> None:
        """Raises OSError when anything written since opening did not reach the disk."""
        if _libc.syncfs(self._descriptor):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), "syncfs")


def unlink_if_same(folder: Path, path: bytes, expected: Stat) -> bool:
    """Remove a landing name if it still is the file we archived; False when another file stands there now.

    A name already gone counts as removed. ctime is not compared: our own link and unlink change it.
    """
    full = os.path.join(os.fsencode(folder), path)
    try:
        found = stat_of(os.lstat(full))
        if (found.dev, found.ino, found.size, found.mtime_ns) != (
            expected.dev,
            expected.ino,
            expected.size,
            expected.mtime_ns,
        ):
            return False
        os.unlink(full)
    except FileNotFoundError:
        return True
    return True
