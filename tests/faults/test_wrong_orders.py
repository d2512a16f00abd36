"""Proof that the judge bites: wrong orders of the same steps are found wrong by the same sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from cloning import Clone
from faults import kills, wrong_orders
from faults.delivering import SOURCE, at_once, at_rest, put
from faults.disks import make_image, mounted, needs_images, pull_the_plug
from faults.oracle import Truth, archived, violations_at_any_instant
from orbitory.settings import Settings

pytestmark = [*kills.marks, pytest.mark.long, pytest.mark.timeout(600)]

CALLS = ("rename", "unlink", "fsync", "sendto", "recvfrom")


def deliver(settings: Settings, count: int = 3) -> Truth:
    return put(settings.landing / SOURCE, {f"{number:03}.txt": b"%05d" % number for number in range(count)})


def worker(settings: Settings, order: str, strace: Sequence[str] = (), root: Path | None = None) -> kills.Done:
    where = str(root or settings.landing.parent)
    return kills.python(settings, wrong_orders.__file__, order, where, settings.database, strace=strace)


def sweep(clone: Clone, order: str) -> kills.Sweep:
    """Kill before each call, judge, run again, judge."""
    quiet = clone(f"quiet_{order}")
    deliver(quiet)
    points = kills.points(
        partial(worker, quiet, order), quiet.landing.parent / "calls.log", CALLS, most=1_000, every=CALLS
    )
    found = kills.Sweep(points, what=order)
    for call, number in found:
        settings = clone(f"{order}_{call}_{number}")
        truth = deliver(settings)
        found.kill((call, number), partial(worker, settings, order))
        found.tell("at once", at_once(settings, truth))
        found.must_end(worker(settings, order))
        found.tell("after the next run", at_rest(settings, truth))
        clone.drop(settings)
    return found


@pytest.mark.fault("F05", "F06", "F07", how="wrong orders of file and row, which the same sweep must find wrong")
@pytest.mark.parametrize("order", ["move_then_row", "row_then_move", "move_in_transaction"])
def test_a_sweep_finds_what_a_wrong_order_of_file_and_row_loses(
    clone: Clone, record_property: kills.Record, order: str
) -> None:
    found = sweep(clone, order)
    wrong = {each.split(",")[0] for each in found.problems if "history" not in each and "figures" not in each}
    print("\n".join(found.problems))
    record_property("points", len(found.points))
    record_property("figure", f"{order}: found wrong at {len(wrong)} of {len(found.points)} points")
    assert wrong


@pytest.mark.fault("F19", how="a worker that repeats a failed fsync, whose bytes never reached the disk")
@needs_images
def test_the_judge_finds_what_a_repeated_fsync_loses(
    clone: Clone, tmp_path: Path, record_property: kills.Record
) -> None:
    # The kernel forgets pages that it could not write: to the next sync there is nothing to do.
    forgets = kills.injecting("fsync", "1+", "error=EIO", "fdatasync:retval=0:when=1+")
    wrong = after_power_cut(clone, tmp_path, "retried_sync", forgets)
    record_property("figure", f"retried_sync: {len(wrong)} violations after the power cut")
    assert any("with other bytes" in each or "without file" in each or "lost" in each for each in wrong)


@pytest.mark.fault("F11", how="a worker that syncs files and never their folder")
@needs_images
def test_the_judge_finds_what_a_missing_sync_of_the_folder_loses(
    clone: Clone, tmp_path: Path, record_property: kills.Record
) -> None:
    wrong = after_power_cut(clone, tmp_path, "file_without_folder")
    record_property("figure", f"file_without_folder: {len(wrong)} violations after the power cut")
    assert any("without file" in each for each in wrong)


def after_power_cut(clone: Clone, tmp_path: Path, order: str, strace: Sequence[str] = ()) -> list[str]:
    """What the judge says of the disk after a run and a power cut."""
    settings = clone(order)
    image = make_image(tmp_path / "image", 64)
    with mounted(image, tmp_path / "disk") as disk:
        files = {f"{number:03}.txt": b"%05d" % number for number in range(20)}
        truth = put(disk / "landing" / SOURCE, files)
        kills.python(settings, "-c", "import os; os.sync()")
        assert worker(settings, order, strace, root=disk).returncode == 0
        assert len(archived(settings.database)) == 20
        copy = pull_the_plug(image, tmp_path / "copy")
    with mounted(copy, tmp_path / "after") as disk:
        return violations_at_any_instant(truth, disk, settings.database)
