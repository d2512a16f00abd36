"""Filters of system calls: what a process and its children may ask the kernel for, by number. Linux, x86-64 and ARM64.

A filter cannot be undone by the process, and holds for whatever it starts. Written as classic BPF by hand: it is short.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass

_libc = ctypes.CDLL(None, use_errno=True)
_GET_SECCOMP, _SET_SECCOMP, _MODE_FILTER = 21, 22, 2  # linux/prctl.h, linux/seccomp.h

# linux/seccomp.h, linux/bpf_common.h
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _SET_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_FIRST_ARGUMENT, _AT_SECOND_ARGUMENT = 0, 4, 16, 24
_X32 = 0x40000000
_CLONE_THREAD = 0x10000
#: ioctl requests that set flags of files: FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR.
_SET_FLAGS = (0x40086602, 0x401C5820)

_Instruction = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """Numbers of system calls."""

    #: AUDIT_ARCH of linux/audit.h.
    architecture: int
    clone: int
    clone3: int
    ioctl: int
    #: What parsers of foreign bytes do without: sockets, programs, processes, other processes' memory, signals by
    #: number, io_uring (which would go round the filter), bpf, userfaultfd, keyrings, mounts.
    beyond_parsing: tuple[int, ...]
    #: socket (socketpair stays), and io_uring, which makes sockets too.
    sockets: tuple[int, ...]
    #: chmod, chown, utime and their kin.
    attributes: tuple[int, ...]
    #: setxattr, removexattr, file_setattr and their kin.
    extended: tuple[int, ...]
    #: truncate by name, which Landlock knows from its third version on.
    truncate: int


_MACHINES = {
    "x86_64": _Machine(
        architecture=0xC000003E,
        clone=56,
        clone3=435,
        ioctl=16,
        beyond_parsing=(
            *(41, 42, 49, 53, 57, 58, 59, 62, 101, 129, 165, 200, 248, 250),
            *(272, 297, 308, 310, 311, 321, 322, 323, 424, 425),
        ),
        sockets=(41, 425),
        attributes=(90, 91, 92, 93, 94, 132, 235, 260, 261, 268, 280, 452),
        extended=(188, 189, 190, 197, 198, 199, 463, 466, 469),
        truncate=76,
    ),
    "aarch64": _Machine(
        architecture=0xC00000B7,
        clone=220,
        clone3=435,
        ioctl=29,
        beyond_parsing=(
            *(40, 97, 117, 129, 130, 138, 198, 199, 200, 203, 217, 219, 221),
            *(240, 268, 270, 271, 280, 281, 282, 424, 425),
        ),
        sockets=(198, 425),
        attributes=(52, 53, 54, 55, 88, 452),
        extended=(5, 6, 7, 14, 15, 16, 463, 466, 469),
        truncate=45,
    ),
}


def available() -> bool:
    """Whether filters work here."""
    return _machine() is not None and _libc.prctl(_GET_SECCOMP, 0, 0, 0, 0) >= 0


def filter_parser() -> None:
    """Refuse what parsing does without. Where filters do not work, nothing happens."""
    machine = _machine()
    if machine is None:
        return
    threads_alone = [
        (_EQUAL, 0, 1, machine.clone3),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),  # the C library then uses clone, whose flags can be seen
        (_EQUAL, 0, 4, machine.clone),
        (_LOAD, 0, 0, _AT_FIRST_ARGUMENT),
        (_SET_BITS, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    _install(machine, threads_alone, dict.fromkeys(machine.beyond_parsing, errno.EPERM))


def filter_program(*, truncating: bool) -> None:
    """Refuse what a program could reach by no file that it may open: sockets, and attributes of files.

    Mode, owner and times of a file are not Landlock's to guard. Whoever sets them is told that it was done, and nothing
    is: copying programs set them in passing, and would fail. ``truncating``: whether files may be cut by name. Raises
    OSError where filters do not work.
    """
    machine = _machine()
    if machine is None:
        raise OSError(errno.EINVAL, "no filter of system calls for this machine")
    flags = [
        (_EQUAL, 0, 4, machine.ioctl),
        (_LOAD, 0, 0, _AT_SECOND_ARGUMENT),
        (_EQUAL, 1, 0, _SET_FLAGS[0]),
        (_EQUAL, 0, 1, _SET_FLAGS[1]),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_LOAD, 0, 0, _AT_NUMBER),
    ]
    answers = dict.fromkeys(machine.sockets, errno.EPERM) | dict.fromkeys(machine.attributes, 0)
    answers |= dict.fromkeys(machine.extended, errno.EOPNOTSUPP)
    if not truncating:
        answers[machine.truncate] = errno.EPERM
    if not _install(machine, flags, answers):
        error = ctypes.get_errno()
        raise OSError(error, f"no filter of system calls: {os.strerror(error)}")


def _machine() -> _Machine | None:
    return _MACHINES.get(platform.machine()) if struct.calcsize("P") == 8 else None


def _install(machine: _Machine, first: list[_Instruction], answers: Mapping[int, int]) -> bool:
    """``first``: instructions that find the number loaded, and leave it so; ``answers``: by number, an errno."""
    # each instruction: code, jump if true, jump if false, operand
    program = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_EQUAL, 1, 0, machine.architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),  # the x32 variants of the calls below
        *first,
    ]
    for number, answer in answers.items():
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | answer)]
    program.append((_RETURN, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    header = struct.pack("@HP", len(program), ctypes.addressof(code))
    return bool(_libc.prctl(_SET_SECCOMP, _MODE_FILTER, header, 0, 0) == 0)
