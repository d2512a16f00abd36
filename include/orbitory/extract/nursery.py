"""Our side of the nursery: one fresh interpreter per process that extracts, from which workers are forked.

Fresh, because a fork of ours would carry database connections, credentials and locks of threads into the process that
parses foreign bytes. It ends when we do: it reads from a socket that only we hold.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from orbitory.errors import ConfigurationError
from orbitory.extract import EXTRACTORS

_START_SECONDS = 120.0
_INCLUDE = Path(__file__).resolve().parents[2]
#: Of our environment only this reaches the nursery; no credential does.
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")
_SETTINGS = {
    "PYTHONPATH": str(_INCLUDE),
    "PYTHONUTF8": "1",
    "TZ": "UTC",
    "HDF5_USE_FILE_LOCKING": "FALSE",  # we only read, and some file systems cannot lock
    "HDF5_PLUGIN_PRELOAD": "::",  # no filter is loaded from a folder
    "GDAL_PAM_ENABLED": "NO",
    "PROJ_NETWORK": "OFF",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # A worker keeps the memory of one file for the next: to get it anew, page by page, costs more than to inflate it.
    # glibc takes no more than 32 MB.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}


class Nursery:
    """A running nursery."""

    def __init__(self) -> None:
        """Start it and wait until it listens. Raises ConfigurationError if it does not."""
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", "-W", "ignore", "-m", "orbitory.extract.child", str(theirs.fileno())]
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _SETTINGS
        with theirs:
            self._process = subprocess.Popen(
                command,
                env=environment,
                cwd="/",
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._control.settimeout(_START_SECONDS)
        said = self._received()
        if "ready" not in said:
            self.close()
            raise _unusable("it ended at once", "orbitory.extract.child")

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def worker(self, readable: bytes, seconds: float, memory_bytes: int, extractor: str) -> tuple[socket.socket, int]:
        """A confined worker that can read the folder ``readable``: our end of its socket, and its process id.

        ``extractor``: key of ``EXTRACTORS``. Raises ConfigurationError if its parsers cannot be imported.
        """
        ours, theirs = socket.socketpair()
        request = {"readable": readable.hex(), "seconds": seconds, "memory": memory_bytes, "extractor": extractor}
        with theirs, self._lock:
            socket.send_fds(self._control, [json.dumps(request).encode()], [theirs.fileno()])
            said = self._received()
        if "failed" in said:
            ours.close()
            raise _unusable(said["failed"], EXTRACTORS[extractor])
        return ours, int(said["pid"])

    def end(self, pid: int) -> int:
        """End a worker; its wait status (killed, if the nursery itself is gone: then so are its workers)."""
        with self._lock, suppress(OSError, KeyError):
            self._control.send(json.dumps({"end": pid}).encode())
            return int(self._received()["status"])
        return int(signal.SIGKILL)

    def _received(self) -> dict[str, Any]:
        with suppress(ConnectionResetError):
            message = self._control.recv(65_536)
            return dict(json.loads(message)) if message else {}
        return {}

    def close(self) -> None:
        """End it and its workers."""
        self._control.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)

    def disown(self) -> None:
        """In a fork of its owner: let go of it without ending it."""
        self._control.close()
        self._process.returncode = 0


def _unusable(reason: str, module: str) -> ConfigurationError:
    return ConfigurationError(
        f"the process that reads foreign files cannot start: {reason}; "
        f"try PYTHONPATH={_INCLUDE} {sys.executable} -c 'import {module}'"
    )


_own: Nursery | None = None


def nursery() -> Nursery:
    """This process's nursery, started when there is none yet or it was killed."""
    global _own
    if _own is None or not _own.alive:
        if _own is not None:
            _own.close()
        _own = Nursery()
    return _own


def _forget() -> None:
    global _own
    if _own is not None:
        _own.disown()
        _own = None


@atexit.register
def _close() -> None:
    if _own is not None:
        _own.close()


os.register_at_fork(after_in_child=_forget)
