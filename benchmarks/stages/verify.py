"""verify: the bytes are what was announced.

Technique: one pass with two reused buffers of 1 MB; of large files the announced algorithm, by OpenSSL, has this
thread, while a second one computes our BLAKE3 and reads ahead; where two cores are two threads of one it gains little.
Limit: the announced algorithm. SHA-256 without instructions of its own does some 0.3 GB a second and core.
Tried: a buffer for each file (up to 5 times slower on small files), mmap (no gain), O_DIRECT (no gain, on small files
many times slower), BLAKE3 with threads of its own (slower on small files), several files at once with vector
instructions (5 times as fast, but needs a C extension).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from benchmarks.deliveries import Delivery, Step, jpss
from benchmarks.site import Bench, over_files
from benchmarks.stage import Case, Done, Stage
from orbitory import ingest
from orbitory.checksum import Hasher


def _files(bench: Bench) -> Delivery:
    size = bench.pick(2_000_000, 20_000_000, 20_000_000)
    return jpss(bench, "verify", bench.pick(6, 20, 100), size, announced=True)


def _step(bench: Bench) -> Case:
    files = bench.once(_files)
    step = Step(bench=bench, delivery=files, step=ingest.verify, name="verify")

    return Case(
        what=f"{files}, SHA-256 announced, one process each",
        ours=step.run,
        theirs=lambda: over_files(["openssl", "dgst", "-sha256"], files.files),
        ready=step.ready,
    )


def _own(bench: Bench) -> Case:
    files = bench.once(_files)
    hasher, buffer = Hasher(), bytearray(1 << 20)

    def ours() -> Done:
        for file in files.files:
            with file.open("rb", buffering=0) as handle:
                hasher.digest(handle.fileno(), ["sha256"])
        return Done(units=len(files.files))

    def theirs() -> Done:
        view = memoryview(buffer)
        for file in files.files:
            with file.open("rb", buffering=0) as handle:
                alone = hashlib.sha256()
                while count := os.readv(handle.fileno(), [buffer]):
                    alone.update(view[:count])
                alone.hexdigest()
        return Done(units=len(files.files))

    return Case(what=f"{files}", ours=ours, theirs=theirs)


def _one_pass(bench: Bench) -> Case:
    files = bench.once(_files)
    step = Step(bench=bench, delivery=files, step=ingest.verify, name="verify")
    read: list[int] = []

    def ours() -> Done:
        before = _bytes_read()
        step.run()
        read.append(_bytes_read() - before)
        return Done(units=1, cost=float(read[-1]))

    def more() -> dict[str, Any]:
        return {"bytes_of_files": files.bytes, "bytes_read_each_round": read}

    return Case(
        what=f"{files}: bytes that the process reads, not seconds",
        ours=ours,
        theirs=lambda: Done(units=1, cost=float(files.bytes)),
        ready=step.ready,
        more=more,
    )


def _bytes_read() -> int:
    """Of this process alone."""
    return int(Path("/proc/self/io").read_text().split()[1])


STAGES = (
    Stage(
        name="verify-announced",
        yardstick="openssl dgst -sha256, same files",
        goal=0.95,
        unit="files",
        prepare=_step,
        needs=("openssl",),
        floor=0.2,
    ),
    Stage(
        name="verify-own-digest",
        yardstick="the same loop with SHA-256 alone",
        goal=1 / 1.15,
        unit="files",
        prepare=_own,
    ),
    Stage(
        name="verify-one-pass",
        yardstick="size of the files",
        goal=0.95,
        unit="",
        prepare=_one_pass,
    ),
)
