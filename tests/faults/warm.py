"""Python commands without the second in which an interpreter starts and imports us.

One interpreter of each test process has imported everything and forks a process for each command, which a test may then
kill or let fail for real. strace is attached before the first line of the command runs.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing import popen_fork
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from socket import socket
from types import SimpleNamespace

import pytest

from orbitory.extract import child, nursery

Done = subprocess.CompletedProcess[str]


def run(words: Sequence[str], environment: Mapping[str, str], strace: Sequence[str], patience: float) -> Done:
    """``python WORDS`` in this environment, under ``strace`` and its options, which may be none."""
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        told = (tuple(words), dict(environment), (out.name, err.name), bool(strace))
        process = _server().Process(target=_become, args=told)
        process.start()
        tracer = None
        try:
            tracer = _attach(process, strace) if strace else None
            process.join(patience)
            if process.exitcode is None:
                raise subprocess.TimeoutExpired([*words], patience)
        finally:
            process.kill()
            process.join()
            if tracer is not None:
                tracer.wait()
        status = process.exitcode
        assert status is not None
        return Done([*strace, *words], status, out.read().decode(), err.read().decode())


@cache
def _server() -> ForkServerContext:
    """The interpreter that forks; it ends when we do."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["faults.everything", __name__])
    with pytest.MonkeyPatch.context() as patch:  # Python 3.13 tells it our path too late
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        ensure_running()
    return context


def _attach(process: ForkServerProcess, strace: Sequence[str]) -> subprocess.Popen[bytes]:
    """strace, at work on a process that stopped itself to wait for it."""
    assert process.pid is not None
    status = Path(f"/proc/{process.pid}/status")
    _await(status, "State:\tT (stopped)")
    tracer = subprocess.Popen([*strace, "-p", str(process.pid)])
    _await(status, f"TracerPid:\t{tracer.pid}\n")
    os.kill(process.pid, signal.SIGCONT)
    return tracer


def _await(status: Path, words: str) -> None:
    deadline = time.monotonic() + 60
    while words not in status.read_text():
        assert time.monotonic() < deadline, status.read_text()
        time.sleep(0.001)


def _become(words: Sequence[str], environment: Mapping[str, str], outputs: Sequence[str], traced: bool) -> None:
    """Do in this fork what ``python WORDS`` does."""
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, name in enumerate(outputs, 1):
        os.dup2(os.open(name, os.O_WRONLY), descriptor)
    fork_parsers()
    if traced:
        os.kill(os.getpid(), signal.SIGSTOP)
    match words:
        case "-m", module, *rest:
            sys.argv = [module, *rest]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case "-c", code, *rest:
            sys.argv = ["-c", *rest]
            exec(code, {"__name__": "__main__"})
        case file, *rest:
            sys.argv = [file, *rest]
            runpy.run_path(file, run_name="__main__")


def fork_parsers() -> None:
    """In a fork of a process that has imported everything: let the process of the parsers be one, too."""
    nursery.subprocess = _Forks  # type: ignore[attr-defined]


class _Forks:
    """Stands for ``subprocess`` where the process of the parsers is started: forks it, without what is ours."""

    DEVNULL, TimeoutExpired = subprocess.DEVNULL, subprocess.TimeoutExpired

    class Popen(popen_fork.Popen):
        def __init__(self, command: Sequence[str], *, env: Mapping[str, str], cwd: str, **_: object) -> None:
            def serve(**_: object) -> None:
                sys.setprofile(None)
                control = int(command[-1])
                os.closerange(0, control)
                os.closerange(control + 1, 1 << 16)
                for _ in range(3):
                    os.open(os.devnull, os.O_RDWR)
                os.environ.clear()
                os.environ.update(env)
                os.chdir(cwd)
                child.nursery(socket(fileno=control))

            super().__init__(SimpleNamespace(_bootstrap=serve))
