"""Storage: where archived files stand. Final names appear atomically and are never overwritten."""

from __future__ import annotations

import errno
import filecmp
import itertools
import os
import stat as modes
from contextlib import suppress
from pathlib import Path

from orbitory.checksum import Hasher
from orbitory.errors import IntegrityError, Transient
from orbitory.zones import (
    INCOMING,
    SENTINEL,
    has_writer,
    is_regular,
    move,
    open_beneath,
    own_errors,
    sync_folder,
)

#: Not the file's fault: it stands there and cannot be moved to another file system.
_UNMOVABLE = (errno.EIO, errno.EISDIR, errno.EUCLEAN)


def read_afresh(hasher: Hasher, descriptor: int) -> bytes:
    """BLAKE3 of an open file, past what the kernel remembers of it, as far as the file system lets go of that."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    found = hasher.digest(descriptor).blake3
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return found


def same_bytes(one: Path, other: Path) -> bool:
    """Whether both names stand for one file, for equal bytes, or for links to one name; FIFOs and such are all one."""
    ours, theirs = one.lstat(), other.lstat()
    if (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino):
        return True
    if modes.S_ISLNK(ours.st_mode) and modes.S_ISLNK(theirs.st_mode):
        return one.readlink() == other.readlink()
    regular = modes.S_ISREG(ours.st_mode) and modes.S_ISREG(theirs.st_mode)
    return ours.st_size == theirs.st_size and (not regular or filecmp.cmp(one, other, shallow=False))


def set_aside(source: Path, target: Path) -> None:
    """Move whatever stands at ``source``, if anything does, to ``target``; beside it where other bytes stand there.

    Repeating it finishes what a crash cut short between two file systems.
    """
    for number in itertools.count():
        place = target.with_name(f"{target.name}.{number}") if number else target
        try:
            move(source, place)
        except FileExistsError:
            if not source.is_dir() and same_bytes(source, place):
                return source.unlink()
        else:
            return None


class Storage:
    """One root. Paths are relative to it, or absolute where an archive was registered in place."""

    def __init__(self, root: Path) -> None:
        """``root`` exists and carries the sentinel; see ``prepare``."""
        self.root = root
        self._hasher = Hasher()

    def prepare(self, *, holds_assets: bool) -> None:
        """Create an empty storage, or make sure the one that holds assets is mounted.

        Raises IntegrityError when the inventory has assets but the root has no sentinel.
        """
        if holds_assets:
            return self.require_mounted()
        sentinel = self.root / SENTINEL
        if sentinel.exists():
            return
        with own_errors(f"create storage {self.root}"):
            self.root.mkdir(parents=True, exist_ok=True)
            sentinel.touch()
            sync_folder(self.root)

    def require_mounted(self) -> None:
        """Raises IntegrityError when the root has no sentinel: what is put there would be hidden by the next mount."""
        if not (self.root / SENTINEL).exists():
            raise IntegrityError(
                f"storage {self.root} has no {SENTINEL}: it looks unmounted. Mount it; "
                f"if this really is the right folder, create that empty file"
            ).of_outage("unmounted")

    def digest(self, path: str, *, afresh: bool = False) -> bytes | None:
        """BLAKE3 of a stored file as it is now (``afresh``: on disk); None when no ordinary file stands there.

        Raises OSError when it cannot be read, or is reached through a link.
        """
        root = Path("/") if path.startswith("/") else self.root
        try:
            descriptor = open_beneath(root, os.fsencode(path.lstrip("/")))
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            if not is_regular(descriptor):
                return None
            return read_afresh(self._hasher, descriptor) if afresh else self._hasher.digest(descriptor).blake3
        finally:
            os.close(descriptor)

    def agrees(self, path: str, digest: bytes) -> bool:
        """Whether the bytes on disk are those; what cannot be read does not agree."""
        try:
            return self.digest(path, afresh=True) == digest
        except OSError:
            return False

    def place(self, source: int, path: str, digest: bytes, *, part: str, careful: bool = False) -> None:
        """Give the open landing file ``source`` its final name; repeating it is harmless.

        Links when the ingest account owns the file, nobody writes it, it has no other name and shares the file system;
        otherwise copies, hashing the bytes written. ``careful``: always copy, and fsync file and folder; a name that
        an earlier try has left is made anew, for its bytes were part of a sync that failed.
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
            self._accept(target, path, digest, source)
            if not careful:
                return
            target.unlink()
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
        part.unlink(missing_ok=True)  # of an earlier try: read-only, so it could not be opened
        os.lseek(source, 0, os.SEEK_SET)
        writer = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        try:
            try:
                written = self._hasher.digest(source, copy_to=writer)
                if careful:
                    os.fsync(writer)
            finally:
                os.close(writer)
            if written.blake3 != digest:
                raise Transient(f"{target.name} changed while it was copied: nothing took its place; it is tried again")
            os.link(part, target)
        finally:
            part.unlink(missing_ok=True)
        if careful:
            sync_folder(target.parent)

    def repair(self, source: int, path: str, digest: bytes, *, part: str, aside: Path) -> Path | None:
        """Replace whatever stands in a file's place, unless it is whole, by the open file ``source``, durably.

        What stood there is kept at ``aside``, or within storage if it cannot be moved to another file system; answers
        where. Repeating it finishes what a crash cut short. One at a time for each ``part``.
        """
        self.require_mounted()
        target = self._ours(path)
        for folder in target.parents[: len(Path(path).parts) - 1]:
            if folder.is_symlink():
                raise OSError(errno.ELOOP, "a link stands where a folder should", str(folder))
        if self.agrees(path, digest):
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        kept = None
        if os.path.lexists(target):
            kept = aside
            try:
                set_aside(target, kept)
            except OSError as error:
                if error.errno not in _UNMOVABLE:
                    raise
                kept = self.root / INCOMING / "unreadable" / aside.parent.name / aside.name
                set_aside(target, kept)
        self._copy(source, target, digest, self.root / INCOMING / part, careful=True)
        return kept

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
