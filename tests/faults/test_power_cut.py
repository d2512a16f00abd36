"""The plug is pulled: what was acknowledged is on the disk, and from the rest the next run goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cloning import Clone
from faults import kills
from faults.delivering import at_once, at_rest, deliver, ingest
from faults.disks import make_image, mounted, needs_images, pull_the_plug
from faults.oracle import acknowledged, archived
from orbitory.settings import Settings

pytestmark = [*kills.marks, needs_images]


def standing_at(settings: Settings, root: Path) -> Settings:
    """The same inventory, with its zones elsewhere."""
    zones = ("landing", "storage", "quarantine", "trash", "work", "links", "reports")
    return dataclasses.replace(settings, **{zone: root / zone for zone in zones})


@pytest.mark.fault("F11", how="the disk as it is, without what the kernel remembers, before a call and after a run")
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("call", "number"),
    [("linkat", 100), ("syncfs", 3), ("unlink", 1), ("unlink", 80), ("unlink", 10_000)],
    ids=["links", "sync", "commit", "clearing", "end"],
)
def test_after_a_power_cut_everything_acknowledged_is_on_disk_and_the_next_run_goes_on(
    clone: Clone, tmp_path: Path, record_property: kills.Record, call: str, number: int
) -> None:
    site = clone("site")
    image = make_image(tmp_path / "image", 64)
    with mounted(image, tmp_path / "disk") as disk:
        settings = standing_at(site, disk)
        truth = deliver(settings, count=160)
        kills.python(settings, "-c", "import os; os.sync()")  # senders have done their part
        done = ingest(settings, kills.injecting(call, number, "signal=KILL"))
        assert done.returncode in ((0, 1) if number == 10_000 else (-9, 137)), done.stderr
        kept = archived(settings.database)
        gone = acknowledged(truth, disk)
        copy = pull_the_plug(image, tmp_path / "copy")
    with mounted(copy, tmp_path / "after") as disk:
        after = standing_at(site, disk)
        back = gone - acknowledged(truth, disk) if number == 10_000 else set()
        wrong = at_once(after, truth)
        record_property("points", 1)
        record_property("violations", len(wrong))
        record_property(
            "figure", f"power cut at {call} #{number}: {len(kept)} files archived, {len(gone)} out of landing, 0 lost"
        )
        assert wrong == []
        assert call != "unlink" or len(kept) >= 150
        assert ingest(after).returncode in (0, 1)
        # A name whose removal was not on disk yet is there again, and then a duplicate of what is archived.
        assert set(at_rest(after, truth)) == {f"{name} is duplicate in the ledger, expected archived" for name in back}
