"""archive: every file under its final name, durably.

Technique: a hard link of the open landing file under its final name, which refuses to overwrite; one syncfs for the
whole batch; one commit that makes all of it visible; then the landing names go.
Limit: the file system's journal, which both sides write; ours writes two names for each file and waits for the disk.
Tried: rename (can overwrite, and leaves no second name while the row is not visible), an fsync for each file and folder
(90 times slower), copies (4 times slower), folders by hash (no gain on ext4).
"""

from __future__ import annotations

import os
import shutil
import subprocess

from benchmarks.deliveries import Step, jpss
from benchmarks.site import Bench, tool
from benchmarks.stage import Case, Done, Side, Stage
from orbitory import ingest


def _archive(bench: Bench) -> Case:
    delivery = jpss(bench, "archive", bench.pick(200, 4_000, 12_000))
    step = Step(bench=bench, delivery=delivery, step=ingest.archive, name="archive")
    source, target = bench.home / "work" / "source", bench.home / "work" / "target"

    def ready(side: Side) -> None:
        step.ready(side)
        if side == "theirs":
            shutil.rmtree(source, ignore_errors=True)
            subprocess.run(["cp", "-a", delivery.folder, source], check=True)
            bench.folder("target")

    def theirs() -> Done:
        names = b"\0".join(os.fsencode(source / file.relative_to(delivery.folder)) for file in delivery.files)
        subprocess.run(["xargs", "-0", tool("mv"), "-t", target], input=names, check=True)
        return Done(units=len(delivery.files))

    return Case(what=f"{delivery}, rows and sync included", ours=step.run, theirs=theirs, ready=ready)


STAGES = (
    Stage(
        name="archive",
        yardstick="xargs mv on the same file system, without a sync",
        goal=0.7,
        unit="files",
        prepare=_archive,
        floor=0.005,
    ),
)
