"""The isolated side of ``workers``: a nursery that imports the parsers it is asked for, and the workers that it forks.

The nursery reads no foreign byte. A worker is confined, then answers tasks in order over its own socket. It sends JSON,
never pickles: what it says may be the words of a file that took it over. Run as
``python -m orbitory.extract.child DESCRIPTOR`` with a connected socket.
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import resource
import signal
import socket
import struct
import sys
import sysconfig
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from orbitory.errors import DataError, NotReady, Transient
from orbitory.extract import Extractor, ExtractTask, Member, load
from orbitory.extract.header import text
from orbitory.extract.sandbox import confine
from orbitory.model import Extraction

#: Task: length of the pickle. Answer: length of the JSON, length of the packed header behind it.
TASK_FRAME = struct.Struct(">I")
ANSWER_FRAME = struct.Struct(">II")
_DETAIL_LIMIT = 2000
_encode = msgspec.json.Encoder(enc_hook=lambda value: value.item()).encode  # numpy's numbers
#: CPU seconds per second of wall time allowed: a busy loop is told from a slow disk.
_CPU_SHARE = 0.8


def nursery(control: socket.socket) -> None:
    """Serve the parent until it closes the connection: fork workers, end them, say how they ended."""
    extractors: dict[str, Extractor] = {}
    libraries = _libraries()
    control.send(b'{"ready": true}')
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 65_536, 1)
        if not message:
            os._exit(0)
        request = json.loads(message)
        if "end" in request:
            control.send(json.dumps({"status": _end(request["end"])}).encode())
            continue
        with socket.socket(fileno=descriptors[0]) as channel:
            control.send(json.dumps(_worker(control, channel, request, libraries, extractors)).encode())


def _worker(
    control: socket.socket,
    channel: socket.socket,
    request: dict[str, Any],
    libraries: list[Path],
    extractors: dict[str, Extractor],
) -> dict[str, Any]:
    """Fork one; what to tell of it. It imports nothing that another has needed before."""
    name = request["extractor"]
    if name not in extractors:
        try:
            extractors[name] = load(name)
        except ImportError as error:
            return {"failed": str(error)}
        gc.collect()
        gc.freeze()
    pid = os.fork()
    if pid == 0:
        control.close()
        _work(channel, request, libraries, extractors)
    return {"pid": pid}


def _libraries() -> list[Path]:
    """What parsers may still load: Python's own folders, and the tables of GDAL and PROJ."""
    own = [sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return [Path(path) for path in sorted({*own, *sys.path[:1], "/usr/share/proj", "/usr/share/gdal"}) if path]


def _end(pid: int) -> int:
    os.kill(pid, signal.SIGKILL)  # not reaped before, so the number is still its own
    return os.waitpid(pid, 0)[1]


def _work(
    channel: socket.socket, request: dict[str, Any], libraries: list[Path], extractors: dict[str, Extractor]
) -> None:
    """Answer tasks until the parent closes the socket. Never returns."""
    try:
        try:
            confine([*libraries, Path(os.fsdecode(bytes.fromhex(request["readable"])))], request["memory"])
        except OSError as error:  # no file's fault
            channel.sendall(_frame({"unconfined": str(error)}))
            os._exit(70)
        stream = channel.makefile("rb")
        while frame := stream.read(TASK_FRAME.size):
            task: ExtractTask = pickle.loads(stream.read(*TASK_FRAME.unpack(frame)))  # from our parent
            _allow_seconds(request["seconds"], task)
            if task.extractor not in extractors:  # rare, and possible: libraries stay readable
                extractors[task.extractor] = load(task.extractor)
            channel.sendall(answer(task, extractors[task.extractor]))
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the top of a process: say why it ends, then end
        channel.sendall(_frame({"last_words": traceback.format_exc()[-_DETAIL_LIMIT:]}))
    finally:
        os._exit(70)


def _allow_seconds(seconds: float, task: ExtractTask) -> None:
    """CPU seconds that this unit may use, on top of what the process has used; SIGXCPU ends it.

    Where the machine allows less, that holds.
    """
    wanted = int(time.process_time() + _CPU_SHARE * allowance(seconds, unit_size(task))) + 1
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if wanted != soft:
        resource.setrlimit(resource.RLIMIT_CPU, (wanted, hard))


def unit_size(task: ExtractTask) -> int:
    """Bytes of the file and of those that are read with it; where they were not verified, as far as they are there."""
    size = 0
    files: tuple[ExtractTask | Member, ...] = (task, *task.members)
    for each in files:
        with suppress(OSError):
            size += each.stat.size if each.stat else os.stat(each.path, follow_symlinks=False).st_size
    return size


def allowance(seconds: float, size: int) -> float:
    """Seconds for a unit of ``size`` bytes: ``seconds``, and as much again for each GB."""
    return seconds * (1 + size / 1e9)


def answer(task: ExtractTask, extract: Extractor) -> bytes:
    """The frame that tells what became of one file."""
    try:
        return _told(task.id, extract(task))
    except DataError as error:
        return _frame({"id": task.id, "code": error.code, "detail": _clean(error.detail, task)})
    except NotReady as error:
        return _frame({"id": task.id, "not_ready": _clean(str(error), task)})
    except Transient as error:
        return _frame({"id": task.id, "transient": _clean(str(error), task)})
    except MemoryError:
        return _frame({"id": task.id, "code": "policy", "detail": "reading it needs more memory than one file may use"})


def _clean(detail: str, task: ExtractTask) -> str:
    return text(detail.replace("/proc/self/fd/", f"{task.name} as descriptor "))[:_DETAIL_LIMIT]


def _told(identifier: int, extraction: Extraction) -> bytes:
    told = {"kind": extraction.kind, "granules": extraction.granules, "findings": extraction.findings[:100]}
    return _frame({"id": identifier, "extraction": told}, extraction.header)


def _frame(message: dict[str, Any], header: bytes = b"") -> bytes:
    body = _encode(message)
    return ANSWER_FRAME.pack(len(body), len(header)) + body + header


if __name__ == "__main__":
    nursery(socket.socket(fileno=int(sys.argv[1])))
