"""The whole chain on the command line.

Technique: batches along sensing time for two worker processes, each with database sessions of its own; one pass over
the bytes for all checksums; parsers in a confined child to which tasks are sent ahead; rows by COPY; files are linked,
not copied, and one syncfs makes a batch durable.
Limit: of large files the announced checksum, or the disk where only our own is needed; of small ones what each costs
however small it is: its parser, its rows, and the start of the command and its workers.
Tried: one process (on two cores 1.7 times slower on small files), a commit or an fsync for each file (30 to 90 times
slower), rows one by one (6 times slower than COPY).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.deliveries import Delivery, forget, jpss, land
from benchmarks.site import Bench, command, over_files
from benchmarks.stage import Case, Done, Side, Stage
from orbitory.settings import Settings


def _ingest(bench: Bench, delivery: Delivery, program: Sequence[str], *, from_disk: bool = False) -> Case:
    fresh: list[Settings] = []
    files: list[Path] = []

    def ready(side: Side) -> None:
        fresh[:] = [bench.site("chain")]
        land(delivery, fresh[0])  # both read files that were written a moment ago
        files[:] = sorted(fresh[0].landing.rglob("*.h5"))
        if from_disk:
            forget(files)

    def ours() -> Done:
        told = json.loads(command(fresh[0], "ingest", "idps", "--workers", "2", "--json"))
        sidecars = told["archived"] - len(delivery.files)
        if told["rejected"] or sidecars not in (0, len(delivery.files)):
            raise RuntimeError(f"the ingest went wrong: {told}")
        return Done(units=len(delivery.files))

    held = ", not in the kernel's memory" if from_disk else ""
    return Case(
        what=f"{delivery}{held}, 2 worker processes against 1 process of {program[0]}",
        ours=ours,
        theirs=lambda: over_files(program, files),
        ready=ready,
    )


def _small(bench: Bench) -> Case:
    return _ingest(bench, jpss(bench, "small", bench.pick(200, 12_000, 12_000)), ["sha256sum"])


def _announced(bench: Bench) -> Case:
    size = bench.pick(2_000_000, 20_000_000, 20_000_000)
    files = jpss(bench, "announced", bench.pick(6, 60, 120), size, announced=True)
    return _ingest(bench, files, ["sha256sum"])


def _own_digest(bench: Bench) -> Case:
    size = bench.pick(2_000_000, 20_000_000, 20_000_000)
    files = jpss(bench, "bare", bench.pick(6, 60, 120), size)
    return _ingest(bench, files, ["b3sum", "--num-threads", "1"], from_disk=True)


# A start of the command line and of two workers takes a second or two, which counts where the files are few.
STAGES = (
    Stage(
        name="chain-small-files",
        yardstick="sha256sum, one process, same files",
        goal=0.6,
        unit="files",
        prepare=_small,
        floor=0.002,
    ),
    Stage(
        name="chain-large-files-sha256",
        yardstick="sha256sum, one process, same files",
        goal=1.6,
        unit="files",
        prepare=_announced,
        floor=0.002,
    ),
    Stage(
        name="chain-large-files",
        yardstick="b3sum, one thread, same files, from disk",
        goal=0.9,
        unit="files",
        prepare=_own_digest,
        slow=True,
        needs=("b3sum",),
        floor=0.001,
    ),
)
