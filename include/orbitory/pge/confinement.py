"""What a PGE's program sees of the machine: the system, itself, its inputs, and two folders that it may write to.

The same for every kind of confinement. What is not listed here does not exist for it: storage, landing zone, inventory,
the sockets and settings of whatever else runs here.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

#: Programs and libraries of the system, and what they cannot do without; no sockets, no secrets.
SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime"),
    *("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/fonts", "/etc/mime.types", "/etc/magic"),
)
#: Devices that any program may read and write.
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
#: Folders that many programs expect; they are empty, and stay so.
_EMPTY = ("/tmp", "/var/tmp", "/run")
_LINKS = 10


@functools.cache
def bubblewrap() -> str | None:
    """The bubblewrap that works here; many containers refuse the namespaces that it needs."""
    program = shutil.which("bwrap")
    if program is None:
        return None
    probe = [program, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    done = subprocess.run([*probe, "true"], capture_output=True, check=False)
    return program if done.returncode == 0 else None


def visible(work: Path, command: Sequence[str], environment: Mapping[str, str]) -> list[Path]:
    """What a program may read: the system, its work folder, and what command and environment name by absolute paths.

    Of a file that the command names its folder is seen too, of a program in ``bin`` the folder above, where its
    libraries are; but never all that the archive stands in. ``command``: begins with the path of the program.
    """
    named = [each for word in command if word.startswith("/") for each in _around(Path(word))]
    named += [Path(each) for value in environment.values() for each in value.split(":") if each.startswith("/")]
    for program in _programs(Path(command[0])):
        named += _around(program)
    if command[0] == sys.executable:
        named.append(Path(sys.base_prefix))  # where no link tells
    found = {Path(each) for each in SYSTEM} | {work}
    found |= {path for each in named if not _holds(path := Path(os.path.abspath(each)), work)}  # noqa: PTH100
    return [each for each in sorted(found) if os.access(each, os.F_OK) and found.isdisjoint(each.parents)]


def _holds(path: Path, work: Path) -> bool:
    return work.is_relative_to(path) or work.resolve().is_relative_to(path.resolve())


def _around(path: Path) -> Iterator[Path]:
    yield path
    if os.access(path, os.F_OK) and path.is_file():
        folder = path.parent
        yield folder.parent if folder.name == "bin" and (folder.parent / "lib").is_dir() else folder


def _programs(path: Path) -> Iterator[Path]:
    """The program and its interpreter, by all names that links give them."""
    for named in (path, *_interpreter(path)):
        program = named
        yield program
        for _ in range(_LINKS):
            if not program.is_symlink():
                break
            program = program.parent / program.readlink()
            yield program


def _interpreter(path: Path) -> Iterator[Path]:
    with suppress(OSError), path.open("rb") as file:
        if file.read(2) == b"#!" and (words := file.readline(256).split()):
            yield Path(os.fsdecode(words[0]))


def wrapped(folder: Path, readable: Iterable[Path], writable: Iterable[Path], memory_bytes: int) -> list[str]:
    """The command that runs what follows it under bubblewrap, from ``folder``."""
    program = bubblewrap()
    assert program is not None, "asked for a bubblewrap that does not work here"
    empty = [word for each in _EMPTY for word in ("--dir", each)]
    seen = [word for each in readable for word in ("--ro-bind-try", str(each), str(each))]
    own = [word for each in writable for word in ("--bind", str(each), str(each))]
    return [
        *(program, "--unshare-all", "--die-with-parent", "--cap-drop", "ALL"),
        *("--dev", "/dev", "--size", str(memory_bytes), "--tmpfs", "/dev/shm", "--proc", "/proc"),
        *(*empty, *seen, *own),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(folder), "--"),
    ]


def is_program(path: str) -> bool:
    """Whether the kernel would start it; bubblewrap hands anything else to a shell."""
    try:
        with Path(path).open("rb") as file:
            return file.read(4).startswith((b"#!", b"\x7fELF"))
    except OSError:
        return True  # what may be executed but not read is for the kernel to judge
