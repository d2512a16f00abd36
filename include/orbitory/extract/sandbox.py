"""What a process that hands foreign bytes to C parsers may still do: read one folder, compute, answer. Linux only.

Landlock (kernel 5.13) takes away the file system, a seccomp filter takes away sockets, programs and new processes,
limits take away memory and file writing. None can be undone by the process. Where a kernel lacks one, the others hold.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
from collections.abc import Iterable
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

# linux/landlock.h; these three have the same number on every architecture
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
#: File rights that exist from each ABI on: what is not handled is not restricted.
_FS_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NET_RIGHTS = 0b11  # bind, connect TCP: ABI 4
_SCOPES = 0b11  # abstract UNIX sockets, signals: ABI 6

# linux/prctl.h
_SET_PDEATHSIG, _SET_SECCOMP, _SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2
_SIGKILL = 9

# linux/seccomp.h, linux/bpf_common.h
_ALLOW, _ERRNO_EPERM, _ERRNO_ENOSYS, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _SET_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_FIRST_ARGUMENT = 0, 4, 16
_CLONE_THREAD = 0x10000
#: Machine → AUDIT_ARCH, clone, clone3, and what is refused: sockets, programs, processes, other processes' memory,
#: signals by number, io_uring (which would go round the filter), bpf, userfaultfd, keyrings, mounts.
_SYSCALLS: dict[str, tuple[int, int, int, tuple[int, ...]]] = {
    "x86_64": (
        0xC000003E,
        56,
        435,
        (
            41,
            42,
            49,
            53,
            57,
            58,
            59,
            62,
            101,
            129,
            165,
            200,
            248,
            250,
            272,
            297,
            308,
            310,
            311,
            321,
            322,
            323,
            424,
            425,
        ),
    ),
    "aarch64": (
        0xC00000B7,
        220,
        435,
        (40, 97, 117, 129, 130, 138, 198, 199, 200, 203, 217, 219, 221, 240, 268, 270, 271, 280, 281, 282, 424, 425),
    ),
}


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
    _filter_syscalls()


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _restrict_files(readable: Iterable[Path]) -> None:
    abi = landlock_abi()
    if not abi:
        return
    rights = _FS_RIGHTS[max(known for known in _FS_RIGHTS if known <= abi)]
    attributes = struct.pack("=Q", rights)
    if abi >= 4:
        attributes += struct.pack("=Q", _NET_RIGHTS)
    if abi >= 6:
        attributes += struct.pack("=Q", _SCOPES)
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0))
    try:
        for path in readable:
            _allow_reading(ruleset, path)
        _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow_reading(ruleset: int, path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        access = _READ_FILE | _READ_DIR if path.is_dir() else _READ_FILE
        rule = struct.pack("=Qi", access, descriptor)
        _checked(_libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0))
    finally:
        os.close(descriptor)


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock refused: {os.strerror(error)}")
    return int(result)


def _filter_syscalls() -> None:
    machine = platform.machine()
    if machine not in _SYSCALLS or struct.calcsize("P") != 8:
        return
    architecture, clone, clone3, refused = _SYSCALLS[machine]
    # each instruction: code, jump if true, jump if false, operand
    program = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
        (_AT_LEAST, 0, 1, 0x40000000),
        (_RETURN, 0, 0, _ERRNO_EPERM),  # the x32 variants of the calls below
        (_EQUAL, 0, 1, clone3),
        (_RETURN, 0, 0, _ERRNO_ENOSYS),  # the C library then uses clone, whose flags can be seen
        (_EQUAL, 0, 4, clone),
        (_LOAD, 0, 0, _AT_FIRST_ARGUMENT),
        (_SET_BITS, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERRNO_EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    for number in refused:
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO_EPERM)]
    program.append((_RETURN, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    header = struct.pack("@HP", len(program), ctypes.addressof(code))
    _libc.prctl(
        _SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0
    )  # refused by some containers: Landlock and limits stay
