"""What a program and its children did to files, as strace saw it: system calls, not what anybody intended."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Put before a command: ``strace`` and its options; one file for each process, ``<log>.<pid>``.
OPTIONS = (
    "-ff",
    "--seccomp-bpf",
    "-qq",
    "-y",
    "-s",
    "5000",
    "-e",
    "trace=%file,prctl,ftruncate,fork,vfork,socket,connect",
)

_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\)\s+= (?P<result>-?\d+|\?)(?:<(?P<opened>.*?)>)?(?: .*)?")
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>, )?"(?P<path>(?:[^"\\]|\\.)*)"')
_WRITING = re.compile(r"\bO_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)\b")
_OPENS = ("open", "openat", "openat2", "creat")
_CHANGES = (
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rmdir"),
    *("mkdir", "mkdirat", "mknod", "mknodat", "truncate", "ftruncate", "chmod", "fchmodat", "fchmodat2", "chown"),
    *("lchown", "fchownat", "utime", "utimes", "utimensat", "setxattr", "removexattr", "mount", "umount2", "bind"),
)


@dataclass(frozen=True, slots=True)
class Call:
    """One system call on files."""

    process: int
    line: str
    name: str
    worked: bool
    #: Where an opened descriptor really leads, links resolved; empty when nothing was opened.
    opened: str
    #: Every path among the arguments, absolute; links as they were named.
    paths: tuple[str, ...]
    #: Whether the process had given up its privileges: it parses foreign bytes from then on.
    confined: bool

    @property
    def reads(self) -> bool:
        """Whether bytes behind a name came into reach."""
        return self.worked and self.name in _OPENS and "O_PATH" not in self.line

    @property
    def changes(self) -> bool:
        """Whether it changed a name, or could have changed bytes."""
        return self.worked and (self.name in _CHANGES or (self.name in _OPENS and bool(_WRITING.search(self.line))))

    @property
    def dials(self) -> bool:
        """Whether it asked for a way out over a network, with or without success."""
        return self.name in ("socket", "connect") and "AF_INET" in self.line


def calls(log: Path) -> Iterator[Call]:
    """Every call of every process, in order within each."""
    for file in sorted(log.parent.glob(f"{log.name}.*")):
        confined = False
        for line in file.read_text(errors="replace").splitlines():
            match = _CALL.fullmatch(line)
            if match is None:
                continue
            confined = confined or "PR_SET_NO_NEW_PRIVS" in line
            yield Call(
                process=int(file.suffix[1:]),
                line=line,
                name=match["name"],
                worked=not match["result"].startswith(("-", "?")),
                opened=(match["opened"] or "").removesuffix(" (deleted)") if match["name"] in _OPENS else "",
                paths=tuple(_paths(match["arguments"])),
                confined=confined,
            )


def _paths(arguments: str) -> Iterator[str]:
    for match in _PATH.finditer(arguments):
        path = match["path"].encode("latin-1", "backslashreplace").decode("unicode_escape")
        yield posixpath.normpath(posixpath.join(match["folder"] or "/", path))


def is_below(path: str, roots: tuple[str | Path, ...]) -> bool:
    """Whether ``path`` is one of ``roots`` or stands below one."""
    return any(path == (root := os.fspath(each)) or path.startswith(f"{root.rstrip('/')}/") for each in roots)
