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
#: The most that a process of a run may have in memory, whatever the size of a file.
MOST_MB = 400
#: Detect holds every name that it found until it has cut the batches; that is so much of each.
MOST_BYTES_A_NAME = 1_700
#: Before a command: an interpreter of its own, whose memory holds nothing else.
FRESH = ("env",)
#: Most memory that this process ever had, in MB. Not ru_maxrss: through vfork and exec that tells the parent's, too.
PEAK = r"""
import re
from pathlib import Path
def peak(pid="self"):
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) // 1024
"""
DETECT = f"""{PEAK}
import json
from orbitory.ingest import detect
from orbitory.site import open_site
with open_site(actor="dag/many") as site:
    found = detect(site, "correlative")
print(json.dumps({{"batches": len(found.batches), "files": sum(each.count for each in found.batches),
    "peak_mb": peak()}}))
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
    # The process that reads foreign files lives as long as the one that asked it.
    script = f"""{PEAK}
import os, sys
from orbitory.cli import main
code = main(sys.argv[1:])
children = Path(f"/proc/self/task/{{os.getpid()}}/children").read_text().split()
print("peak", *(peak(pid) for pid in ("self", *children)), file=sys.stderr)
sys.exit(code)
"""
    words = ("-c", script, "ingest", "correlative", "--workers", "1", "--json")
    done = kills.python(settings, *words, strace=FRESH, patience=2_500)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["archived"] == 1
    peak = re.search(r"peak (\d+) (\d+)", done.stderr)
    assert peak is not None, done.stderr
    most = max(int(each) for each in peak.groups())
    assert most < MOST_MB
    record_property("figure", f"a file of {LARGE / 1e9:.0f} GB: {most} MB of memory at most")
