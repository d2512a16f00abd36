"""What a process that hands foreign bytes to C parsers may still do: read one folder, compute, answer. Linux only.

Landlock (kernel 5.13) takes away the file system, a seccomp filter takes away sockets, programs and new processes,
limits take away memory and file writing. None can be undone by the process. Where a kernel lacks one, the others hold.
A program that we run, but do not trust with the archive, keeps more: ``confine_program``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
from collections.abc import Iterable
from pathlib import Path

from orbitory.extract import seccomp

_libc = ctypes.CDLL(None, use_errno=True)

# linux/landlock.h; these three have the same number on every architecture
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
#: File rights that exist from each ABI on: what is not handled is not restricted.
_FS_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TRUNCATE_ABI = 3
_NET_RIGHTS = 0b11  # bind, connect TCP: ABI 4
_SCOPES = 0b11  # abstract UNIX sockets, signals: ABI 6

# linux/prctl.h
_SET_PDEATHSIG, _SET_NO_NEW_PRIVS = 1, 38
_SIGKILL = 9


def landlock_abi() -> int:
    """Version of Landlock that the kernel offers; 0 where it is absent or switched off."""
    version = int(_libc.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION))
    return max(version, 0)


def confine(readable: Iterable[Path], memory_bytes: int) -> None:
    """Take from this process, for good, all it does not need to parse files below ``readable``.

    It may use ``memory_bytes`` more address space than now, and write no file. It dies with its parent.
    """
    _libc.prctl(_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if _libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS failed")
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    _restrict_files(readable)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + memory_bytes)
    seccomp.filter_parser()  # refused by some containers: Landlock and limits stay


def confine_program(readable: Iterable[Path], writable: Iterable[Path], devices: Iterable[Path]) -> None:
    """Leave to this process and its children, for good, the reading of ``readable``, and all rights in ``writable``.

    Starting programs stays, processes too; sockets, links to files elsewhere, and signals to processes outside do not.
    ``devices``: files that may be read and written. Raises OSError where it cannot be done, with whatever was done.
    """
    abi = landlock_abi()
    if not abi:
        raise OSError(errno.EINVAL, "this kernel has no Landlock")
    if _libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS failed")
    rights = _FS_RIGHTS[max(known for known in (1, 2, 3) if known <= abi)]
    ruleset = _ruleset(abi, rights)
    try:
        for path in readable:
            _allow(ruleset, path, _EXECUTE | _READ_FILE | (_READ_DIR if path.is_dir() else 0))
        for folder in writable:
            _allow(ruleset, folder, rights)
        for device in devices:
            _allow(ruleset, device, rights & (_READ_FILE | _WRITE_FILE | _TRUNCATE))
        _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    seccomp.filter_program(truncating=abi >= _TRUNCATE_ABI)


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _restrict_files(readable: Iterable[Path]) -> None:
    abi = landlock_abi()
    if not abi:
        return
    ruleset = _ruleset(abi, _FS_RIGHTS[max(known for known in _FS_RIGHTS if known <= abi)])
    try:
        for path in readable:
            _allow(ruleset, path, _READ_FILE | _READ_DIR if path.is_dir() else _READ_FILE)
        _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _ruleset(abi: int, rights: int) -> int:
    """Everything in ``rights``, TCP and the scopes that the kernel knows, refused unless a rule allows it."""
    attributes = struct.pack("=Q", rights)
    if abi >= 4:
        attributes += struct.pack("=Q", _NET_RIGHTS)
    if abi >= 6:
        attributes += struct.pack("=Q", _SCOPES)
    return _checked(_libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0))


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rule = struct.pack("=Qi", access, descriptor)
        _checked(_libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0))
    finally:
        os.close(descriptor)


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock refused: {os.strerror(error)}")
    return int(result)
