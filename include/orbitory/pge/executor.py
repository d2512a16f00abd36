"""Where a PGE's program runs. ``LocalExecutor``: on this machine, in processes that can be watched, bounded and ended.

What holds for every executor: the program sees a plain environment, not ours; it writes below the folders that it was
given and nowhere else; it ends when its limits are reached or when it is not wanted any more, with all it has started.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from orbitory.errors import Transient
from orbitory.extract import seccomp
from orbitory.extract.sandbox import landlock_abi
from orbitory.pge.confinement import bubblewrap, is_program, visible, wrapped

#: Bytes of what it printed last that are kept in the inventory; the log file holds more. Escaped, they fit a pipe.
TAIL_BYTES = 8 << 10
#: What a program finds on its way, where its definition does not say otherwise.
PATH = "/usr/local/bin:/usr/bin:/bin"
_SIGXCPU, _SIGXFSZ = int(signal.SIGXCPU), int(signal.SIGXFSZ)
_BY_SIGNAL = 128
_INCLUDE = Path(__file__).resolve().parents[2]
#: Between two questions whether the PGE is still wanted.
_ASK_SECONDS = 1.0
_WARDEN = (sys.executable, "-P", "-W", "ignore", "-m", "orbitory.pge.warden")


class Ending(StrEnum):
    """How a program ended, as far as the machine can tell."""

    #: By itself, with an exit status.
    EXITED = "exited"
    #: By a signal that was not ours.
    KILLED = "killed"
    #: By us: wall time or CPU time used up.
    TIMEOUT = "timeout"
    MEMORY = "memory"
    DISK = "disk"
    #: By us: it was not wanted any more.
    CANCELLED = "cancelled"
    #: Never started: no such program, or its interpreter is missing.
    ABSENT = "absent"
    #: Never started: the file is no program, or may not be executed.
    NOT_EXECUTABLE = "not_executable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one run may use, with all the processes that it starts."""

    wall_seconds: float
    cpus: int
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One program to run."""

    #: Program, found as a shell would, and its arguments; no shell reads them.
    command: tuple[str, ...]
    #: Added to the plain environment.
    environment: Mapping[str, str]
    #: Where it starts. What stands beside, it may read.
    folder: Path
    #: The only folders below which it writes.
    writable: tuple[Path, ...]
    #: Where what it prints is kept.
    log: Path
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a job went."""

    ending: Ending
    #: Only of one that ended by itself.
    exit_status: int | None = None
    #: Number of the signal that ended it.
    signal: int | None = None
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    disk_bytes: int = 0
    #: What it printed last.
    log_tail: str = ""

    def figures(self) -> dict[str, Any]:
        """As kept in the inventory."""
        return {
            "exit_status": self.exit_status,
            "signal": self.signal,
            "wall_seconds": round(self.wall_seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "peak_bytes": self.peak_bytes,
            "disk_bytes": self.disk_bytes,
        }


class Executor(Protocol):
    """Runs jobs somewhere."""

    @property
    def protects_inputs(self) -> bool:
        """Whether a program cannot change files that it was given to read, even where they are links to the archive."""
        ...

    def run(self, job: Job, wanted: Callable[[], bool]) -> Run:
        """Run the job to its end; ended early when ``wanted`` says no. Raises Transient when the machine fails."""
        ...


class LocalExecutor:
    """On this machine: bubblewrap where it works, else Landlock, and limits in any case."""

    def __init__(self, *, confinement: str | None = None) -> None:
        """``confinement``: ``bubblewrap``, ``landlock`` or ``none`` instead of the best that there is."""
        landlock = landlock_abi() and seccomp.available()
        best = "bubblewrap" if bubblewrap() else "landlock" if landlock else "none"
        self.confinement = confinement or best

    @property
    def protects_inputs(self) -> bool:
        """Both kinds of confinement do."""
        return self.confinement != "none"

    def run(self, job: Job, wanted: Callable[[], bool]) -> Run:
        """Start it under a warden, which outlives neither it nor us."""
        environment = _environment(job)
        program = shutil.which(job.command[0], path=environment["PATH"])
        if program is None:
            file = Path(job.command[0])
            return Run(ending=Ending.NOT_EXECUTABLE if file.is_file() else Ending.ABSENT)
        in_bubblewrap = self.confinement == "bubblewrap"
        if in_bubblewrap and not is_program(program):
            return Run(ending=Ending.NOT_EXECUTABLE)
        command = [program, *job.command[1:]]
        readable = visible(job.folder.parent, command, environment)
        if in_bubblewrap:
            command = [*wrapped(job.folder, readable, job.writable, job.limits.memory_bytes), *command]
        task = {
            "command": command,
            "environment": environment,
            "readable": [str(each) for each in readable],
            "folder": str(job.folder),
            "writable": [str(each) for each in job.writable],
            "log": str(job.log),
            "confinement": self.confinement,
            "tail_bytes": TAIL_BYTES,
            "wall_seconds": job.limits.wall_seconds,
            "cpus": job.limits.cpus,
            "memory_bytes": job.limits.memory_bytes,
            "disk_bytes": job.limits.disk_bytes,
        }
        return _told(_supervised(task, wanted), job, in_bubblewrap=in_bubblewrap)


def _environment(job: Job) -> dict[str, str]:
    """Nothing of ours but the time zone's: passwords, tokens and Airflow's settings stay here."""
    threads = str(job.limits.cpus)
    scratch = str(job.folder)
    plain = {"PATH": PATH, "HOME": scratch, "TMPDIR": scratch, "LANG": "C.UTF-8", "TZ": "UTC"}
    plain |= {name: threads for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GDAL_NUM_THREADS")}
    return plain | dict(job.environment)


def _supervised(task: dict[str, Any], wanted: Callable[[], bool]) -> dict[str, Any]:
    """What the warden says in the end. Whatever happens here, it has ended when we leave."""
    environment = {"PYTHONPATH": str(_INCLUDE), "PATH": PATH, "LANG": "C.UTF-8"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        _WARDEN, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, cwd="/", start_new_session=True
    ) as warden:
        assert warden.stdin and warden.stdout and warden.stderr
        try:
            warden.stdin.write(json.dumps(task).encode() + b"\n")
            warden.stdin.flush()
            while wanted():
                try:
                    warden.wait(_ASK_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    continue
        except BrokenPipeError:
            pass  # it ended before it was told: its last words say why
        finally:
            with suppress(OSError):
                warden.stdin.close()  # its sign to end what still runs
            warden.wait()
        said, trouble = warden.stdout.read(), warden.stderr.read()
    try:
        if warden.returncode:
            raise ValueError("it did not end by itself")
        return dict(json.loads(said))
    except ValueError:
        last = trouble.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise Transient(f"the process that watches over the PGE ended early ({warden.returncode}): {last}") from None


def _told(answer: Mapping[str, Any], job: Job, *, in_bubblewrap: bool) -> Run:
    code = answer["code"]
    ending = _ending(answer, job)
    if in_bubblewrap and ending is Ending.EXITED and code > _BY_SIGNAL:  # as bubblewrap tells a signal
        ending, code = Ending.KILLED, _BY_SIGNAL - code
    return Run(
        ending=ending,
        exit_status=code if ending is Ending.EXITED else None,
        signal=-code if code is not None and code < 0 else None,
        wall_seconds=answer["wall_seconds"],
        cpu_seconds=answer["cpu_seconds"],
        peak_bytes=answer["peak_bytes"],
        disk_bytes=answer["disk_bytes"],
        log_tail=answer["tail"],
    )


def _ending(answer: Mapping[str, Any], job: Job) -> Ending:
    code = answer["code"]
    if refused := answer["refused"]:
        if refused in (errno.ENOENT, errno.ENOTDIR):
            return Ending.ABSENT
        if refused in (errno.EACCES, errno.ENOEXEC, errno.EPERM):
            return Ending.NOT_EXECUTABLE
        raise Transient(f"the PGE could not be started: {os.strerror(refused)}")
    if answer["reason"]:
        return Ending(answer["reason"])
    # Stopped by the kernel at the limit of one file, where most programs end with an error of their own.
    most, used = job.limits.disk_bytes, answer["disk_bytes"]
    if used > most or (code != 0 and (code == -_SIGXFSZ or used >= most)):
        return Ending.DISK
    if code == -_SIGXCPU:
        return Ending.TIMEOUT
    if code == 1 and answer["tail"].startswith("bwrap: execvp"):
        absent = os.strerror(errno.ENOENT) in answer["tail"]
        return Ending.ABSENT if absent else Ending.NOT_EXECUTABLE
    return Ending.KILLED if code < 0 else Ending.EXITED
