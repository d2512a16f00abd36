"""Real file systems to fill, to break and to pull the plug of: tmpfs, and ext4 in an image."""

from __future__ import annotations

import filecmp
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pytest


def _run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)


@cache
def _can_mount() -> bool:
    done = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    return done.returncode == 0


needs_mount = pytest.mark.skipif(not _can_mount(), reason="file systems cannot be mounted here")
needs_images = pytest.mark.skipif(
    not _can_mount() or shutil.which("mkfs.ext4") is None or not Path("/dev/loop-control").exists(),
    reason="images of file systems cannot be made and mounted here",
)


@contextmanager
def tmpfs(folder: Path, options: str) -> Iterator[Path]:
    """A file system in memory at ``folder``, such as ``size=1m,nr_inodes=50``."""
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder)
    try:
        yield folder
    finally:
        _run("umount", "-l", folder)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """No byte more fits on the file system of ``folder``."""
    filler = folder / ".filler"
    with filler.open("wb", buffering=0) as writer, suppress(OSError):
        while writer.write(bytes(4096)):
            pass
    yield
    filler.unlink()


@contextmanager
def out_of_inodes(folder: Path) -> Iterator[None]:
    """No name more fits on the file system of ``folder``."""
    crowd = folder / ".crowd"
    crowd.mkdir()
    with suppress(OSError):
        for number in range(10_000):
            (crowd / str(number)).touch()
    yield
    for each in crowd.iterdir():
        each.unlink()
    crowd.rmdir()


def make_image(file: Path, megabytes: int) -> Path:
    """An empty ext4 file system in a file."""
    with file.open("wb") as writer:
        writer.truncate(megabytes << 20)
    _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", file)
    return file


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """The file system in ``image``; its journal is written by syncs alone."""
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-o", "loop,commit=600", image, folder)
    try:
        yield folder
    finally:
        _run("umount", "-l", folder)


def pull_the_plug(image: Path, copy: Path) -> Path:
    """What a disk holds at this moment, without what the kernel only remembers."""
    while True:
        shutil.copyfile(image, copy)
        if filecmp.cmp(image, copy, shallow=False):  # nothing was written meanwhile
            return copy


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """``folder`` on a file system that takes no writes any more."""
    _run("mount", "--bind", folder, folder)
    try:
        _run("mount", "-o", "remount,bind,ro", folder)
        yield
    finally:
        _run("umount", "-l", folder)


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """``path`` as not even root can change it."""
    _run("chattr", "+i", path)
    try:
        yield
    finally:
        _run("chattr", "-i", path)
