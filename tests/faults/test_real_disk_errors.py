"""A device that runs out of room behind the back of its file system: the kernel answers with real errors, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloning import Clone
from faults import kills
from faults.delivering import at_once, at_rest, deliver, ingest
from faults.disks import filled, make_image, mounted, needs_images, pull_the_plug, tmpfs
from faults.oracle import acknowledged, archived

pytestmark = [*kills.marks, pytest.mark.long, pytest.mark.timeout(600), needs_images]


@pytest.mark.fault("F15", "F18", "F19", how="storage on ext4 in a sparse image on a full tmpfs; then the power is cut")
def test_what_a_device_did_not_take_is_not_acknowledged_and_is_archived_once_it_can(
    clone: Clone, tmp_path: Path, record_property: kills.Record
) -> None:
    settings = clone("site")
    with tmpfs(tmp_path / "small", "size=48m") as small:
        image = make_image(small / "image", 128)
        with mounted(image, settings.storage):
            assert ingest(settings).returncode == 0  # makes what stands in an empty storage
            truth = deliver(settings, count=20, size=60_000)
            with filled(small):
                done = ingest(settings)
                assert done.returncode in (2, 3), done.stderr
                assert "archive into" in done.stderr and "Traceback" not in done.stderr
                assert archived(settings.database) == {}
                copy = pull_the_plug(image, tmp_path / "copy")
    gone = acknowledged(truth, settings.landing.parent)
    record_property("figure", f"device full for real: {len(gone)} names taken out of landing (rejected), 0 files lost")
    with mounted(copy, settings.storage):
        assert at_once(settings, truth) == []
        assert ingest(settings).returncode in (0, 1)
        assert at_rest(settings, truth) == []
