"""Landing, storage, quarantine, trash: the only module that touches files.

Foreign names are bytes and are always resolved beneath their zone without following a link. Nothing here overwrites:
names appear by ``link`` or ``renameat2(RENAME_NOREPLACE)``. Durability is one ``syncfs`` per file system and batch.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import stat as modes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from orbitory.checksum import Hasher
from orbitory.errors import ConfigurationError, IntegrityError, Transient
from orbitory.model import Stat

#: Stands in the storage root; without it the file system is taken for unmounted.
SENTINEL = ".orbitory-storage"
#: Copies in flight, one folder a batch, inside the storage root (same file system as the final names).
INCOMING = ".incoming"

_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_OPENAT2 = 437
_BENEATH_NO_LINKS = 0x08 | 0x04  # RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, linux/openat2.h
_SETTING = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ELOOP}


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@contextmanager
def own_errors(doing: str) -> Iterator[None]:
    """Map OSError to our families: what a person must change, and what may pass by itself."""
    try:
        yield
    except OSError as error:
        text = f"cannot {doing}: {error.strerror} ({error.filename or 'no name'})"
        if error.errno in _SETTING:
            raise ConfigurationError(f"{text}; check the owner, mode and mount of that folder") from error
        raise Transient(f"{text}; nothing was lost, it is tried again") from error


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
    """Every name below ``folder`` that is not a folder; links are reported, never followed. Order is not defined.

    A folder or file that vanishes meanwhile is passed over. Raises ConfigurationError or Transient when ``folder``
    itself cannot be read.
    """
    root = os.fsencode(folder)
    with own_errors(f"list the landing folder {folder}"):
        os.listdir(root)
    pending = [b""]
    while pending:
        below = pending.pop()
        try:
            with os.scandir(os.path.join(root, below) if below else root) as entries:
                for entry in entries:
                    path = os.path.join(below, entry.name) if below else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(path)
                    else:
                        with suppress(FileNotFoundError):
                            status = entry.stat(follow_symlinks=False)
                            yield Seen(path, stat_of(status), modes.S_ISREG(status.st_mode))
        except FileNotFoundError:
            continue
        except OSError as error:
            with own_errors(f"list {display(below)} in {folder}"):
                raise error


def stat_at(folder: Path, path: bytes) -> Stat | None:
    """What stands under a name now, links not followed; None when nothing does."""
    try:
        return stat_of(os.lstat(os.path.join(os.fsencode(folder), path)))
    except (FileNotFoundError, NotADirectoryError):
        return None


def open_beneath(folder: Path, path: bytes) -> int:
    """Open ``path`` for reading, strictly inside ``folder`` and through no link; never blocks on a FIFO.

    Raises FileNotFoundError when it is gone and OSError (ELOOP, EXDEV) when a component is a link. The caller closes.
    """
    root = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = _OpenHow(os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, 0, _BENEATH_NO_LINKS)
        descriptor: int = _libc.syscall(_OPENAT2, root, path, ctypes.byref(how), ctypes.sizeof(how))
        if descriptor < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), display(path))
        return descriptor
    finally:
        os.close(root)


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


def _rename_new(source: Path | bytes, target: Path | bytes) -> None:
    """Rename; raises FileExistsError instead of overwriting."""
    if _libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fsdecode(source), None, os.fsdecode(target))


def move(source: Path, target: Path) -> bool:
    """Move any kind of file without overwriting, also to another file system; False when ``source`` is gone.

    Across file systems the copy is durable before ``source`` goes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _rename_new(source, target)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _move_across(source, target)
    return True


def _move_across(source: Path, target: Path) -> None:
    status = source.lstat()
    if modes.S_ISLNK(status.st_mode):
        target.symlink_to(source.readlink())
    elif not modes.S_ISREG(status.st_mode):
        os.mkfifo(target)  # stands for any special file: it has no bytes to keep
    else:
        part = target.with_name(target.name + ".part")
        with source.open("rb") as reader, part.open("wb") as writer:
            while chunk := reader.read(1 << 20):
                writer.write(chunk)
            writer.flush()
            os.fsync(writer.fileno())
        _rename_new(part, target)
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


class Storage:
    """Where archived files stand. Final names appear atomically and are never overwritten."""

    def __init__(self, root: Path) -> None:
        """``root`` exists and carries the sentinel; see ``prepare``."""
        self.root = root
        self._hasher = Hasher()

    def prepare(self, *, holds_assets: bool) -> None:
        """Create an empty storage, or make sure the one that holds assets is mounted.

        Raises IntegrityError when the inventory has assets but the root has no sentinel.
        """
        sentinel = self.root / SENTINEL
        if sentinel.exists():
            return
        if holds_assets:
            raise IntegrityError(
                f"storage {self.root} has no {SENTINEL}: it looks unmounted. Mount it; "
                f"if this really is the right folder, create that empty file"
            )
        with own_errors(f"create storage {self.root}"):
            self.root.mkdir(parents=True, exist_ok=True)
            sentinel.touch()
            sync_folder(self.root)

    def digest(self, path: str) -> bytes | None:
        """BLAKE3 of a stored file as it is on disk now; None when there is no such file.

        ``path`` is relative to storage, or absolute where an archive was registered in place.
        """
        root = Path("/") if path.startswith("/") else self.root
        try:
            descriptor = open_beneath(root, os.fsencode(path.lstrip("/")))
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return self._hasher.digest(descriptor).blake3
        finally:
            os.close(descriptor)

    def place(self, source: int, path: str, digest: bytes, *, part: str, careful: bool = False) -> None:
        """Give the open landing file ``source`` its final name; repeating it is harmless.

        Links when the ingest account owns the file, nobody writes it, it has no other name and shares the file system;
        otherwise copies, hashing the bytes written. ``careful``: always copy, and fsync file and folder.
        Raises IntegrityError when the name is taken by other bytes, OSError as the system reports it.
        """
        target = self._ours(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not careful and self._may_link(source):
            try:
                # Given a descriptor, Python calls linkat, which alone follows the link in /proc.
                os.link(f"/proc/self/fd/{source}", target, src_dir_fd=source, follow_symlinks=True)
                return
            except FileExistsError:
                return self._accept(target, path, digest, source)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOENT):
                    raise
        if target.exists():
            return self._accept(target, path, digest, source)
        self._copy(source, target, digest, self.root / INCOMING / part, careful=careful)

    def _may_link(self, source: int) -> bool:
        status = os.fstat(source)
        return status.st_uid == os.geteuid() and status.st_nlink == 1 and not has_writer(source)

    def _accept(self, target: Path, path: str, digest: bytes, source: int) -> None:
        """The name exists: fine when it is this very file or an equal copy, from an earlier try."""
        ours, theirs = os.fstat(source), target.lstat()
        if (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino) and self.digest(path) != digest:
            raise IntegrityError(
                f"storage already has {path} with other bytes than the inventory's intent (BLAKE3 {digest.hex()}): "
                f"nothing was changed; run `orbitory audit`"
            )

    def _copy(self, source: int, target: Path, digest: bytes, part: Path, *, careful: bool) -> None:
        part.parent.mkdir(parents=True, exist_ok=True)
        os.lseek(source, 0, os.SEEK_SET)
        writer = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o444)
        try:
            written = self._hasher.digest(source, copy_to=writer)
            if careful:
                os.fsync(writer)
        finally:
            os.close(writer)
        if written.blake3 != digest:
            part.unlink()
            raise Transient(f"{target.name} changed while it was copied: nothing was archived, it is taken again")
        os.link(part, target)
        part.unlink()
        if careful:
            sync_folder(target.parent)

    def repair(self, source: int, path: str, digest: bytes, *, part: str, aside: Path) -> None:
        """Replace a damaged or missing stored file by the open landing file ``source``, durably.

        The damaged one is kept under ``aside``. Repeating it finishes what a crash cut short.
        """
        target = self._ours(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and self.digest(path) != digest:
            move(target, aside)
        if not target.exists():
            self._copy(source, target, digest, self.root / INCOMING / part, careful=True)

    def give_back(self, path: str, landing: Path) -> None:
        """Take back a name that was placed and not committed; the bytes stay in, or return to, the landing zone."""
        if os.path.lexists(landing):
            self._ours(path).unlink(missing_ok=True)
        else:
            move(self._ours(path), landing)
            sync_folder(landing.parent)

    def retire(self, path: str, folder: Path) -> None:
        """Move a stored file into ``folder``; done already when it stands there and no longer here."""
        move(self._ours(path), folder / Path(path).name)

    def _ours(self, path: str) -> Path:
        """The file of a relative path. What was registered in place has an absolute one and is never touched."""
        if path.startswith("/"):
            raise IntegrityError(f"{path} stands outside storage: it was registered in place and is not ours to change")
        return self.root / path

    def discard_incoming(self, batch: int) -> None:
        """Remove what a crash left of the batch's copies; their landing files still stand."""
        folder = self.root / INCOMING / str(batch)
        with suppress(FileNotFoundError):
            for part in folder.iterdir():
                part.unlink()
            folder.rmdir()


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
