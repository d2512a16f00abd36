"""Very many names and very large files: memory stays bounded, and so does what Airflow is told."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable

import pytest

from faults import kills
from orbitory.settings import Settings

pytestmark = [pytest.mark.faults, pytest.mark.long]

NAMES = 1_000_000
#: Bytes of one sparse file.
LARGE = 100 * 10**9
#: The most that any process of a run may have in memory, whatever the size of a file.
MOST_MB = 1_500
#: Detect holds every name that it found until it has cut the batches; that is so much of each.
MOST_BYTES_A_NAME = 2_500
#: Before a command: an interpreter of its own, whose memory holds nothing else.
FRESH = ("env",)
DETECT = """
import json, resource, sys
from orbitory.ingest import detect
from orbitory.site import open_site
with open_site(actor="dag/many") as site:
    found = detect(site, "correlative")
print(json.dumps({"batches": len(found.batches), "files": sum(each.count for each in found.batches),
    "told": len(json.dumps([each.id for each in found.batches])),
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
"""


@pytest.mark.timeout(3_000)
@pytest.mark.fault("F59", how="a million names in one folder")
def test_a_million_names_in_one_folder_are_few_batches_in_bounded_memory(
    settings: Settings, record_property: Callable[[str, object], None]
) -> None:
    landing = settings.landing / "correlative"
    landing.mkdir(parents=True)
    (landing / "0").write_bytes(b"x")
    os.utime(landing / "0", (0, 0))
    folder = os.open(landing, os.O_RDONLY)
    for number in range(NAMES):
        os.mknod(name := f"{number:07}.txt", dir_fd=folder)
        os.utime(name, (0, 0), dir_fd=folder)
    os.close(folder)
    told = json.loads(kills.python(settings, "-c", DETECT, strace=FRESH, patience=2_500).stdout)
    print(told)
    assert told["files"] == NAMES + 1
    assert told["batches"] <= 1_000
    assert told["peak_mb"] * 1_000_000 < NAMES * MOST_BYTES_A_NAME
    record_property("figure", f"{NAMES:,} names in one folder: {told['batches']} batches, {told['peak_mb']} MB at most")


@pytest.mark.timeout(3_000)
@pytest.mark.fault("F59", how="one sparse file of 100 GB")
def test_a_file_of_100_gigabytes_is_read_in_bounded_memory(
    settings: Settings, record_property: Callable[[str, object], None]
) -> None:
    landing = settings.landing / "correlative"
    landing.mkdir(parents=True)
    with (landing / "large.bin").open("wb") as file:
        file.truncate(LARGE)
    os.utime(landing / "large.bin", (0, 0))
    script = (
        "import resource, sys; from orbitory.cli import main; code = main(sys.argv[1:]);"
        "print('peak', *(resource.getrusage(who).ru_maxrss // 1024"
        " for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)), file=sys.stderr); sys.exit(code)"
    )
    words = ("-c", script, "ingest", "correlative", "--workers", "1", "--json")
    done = kills.python(settings, *words, strace=FRESH, patience=2_500)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["archived"] == 1
    peak = re.search(r"peak (\d+) (\d+)", done.stderr)
    assert peak is not None
    most = max(int(each) for each in peak.groups())
    assert most < MOST_MB
    record_property("figure", f"a file of {LARGE / 1e9:.0f} GB: {most} MB of memory at most")
