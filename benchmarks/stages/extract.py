"""extract: what a JPSS file says about itself.

Technique: the parser works in a confined process that may die; tasks are sent ahead of its answers, so a small file
costs no round trip. Where an announced checksum vouches for the bytes, as here, attributes alone are read. Files of one
product have one layout: all but values is compared at once.
Limit: some seventy attributes a granule, each decoded by itself; its footprint; three system calls and a header packed.
Tried: the high-level interface of h5py (half as fast), netCDF4 (little faster), attributes by number (slower than by
name), an image of the file in memory (slower than its path).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lxml import etree

from benchmarks.deliveries import SOURCE, Delivery, jpss
from benchmarks.site import Bench, tool
from benchmarks.stage import Case, Done, Stage
from orbitory import names
from orbitory.extract import ExtractTask, Member
from orbitory.ingest.extract import task_of
from orbitory.site import Site, open_site
from orbitory.workers import Isolated


def _task(site: Site, files: Delivery, number: int, file: Path) -> ExtractTask:
    source, name = site.catalogue.source(SOURCE), str(file.relative_to(files.folder))
    identity = names.identify(name, source, site.catalogue)
    member = Member(id=number, path=os.fsencode(file), name=name, identity=identity, checksummed=True)
    return task_of(site, source, member, ())


def _parse(dump: str, file: Path) -> None:
    told = subprocess.run([dump, "-A", "--xml", file], capture_output=True, check=True).stdout
    etree.fromstring(told, etree.XMLParser(huge_tree=True))


def _extract(bench: Bench) -> Case:
    files = jpss(bench, "extract", bench.pick(300, 2_000, 12_000))
    few = files.files[: bench.pick(10, 60, 300)]
    site = bench.opened("extract", open_site(actor="benchmark", settings=bench.site("extract")))

    def ours() -> Done:
        with Isolated(files.folder) as child:
            tasks = (_task(site, files, number, file) for number, file in enumerate(files.files))
            good = sum(result.extraction is not None for result in child.map(tasks))
        if good != len(files.files):
            raise RuntimeError(f"{good} of {len(files.files)} files were read")
        return Done(units=good)

    def theirs() -> Done:
        dump = tool("h5dump")
        for file in few:
            _parse(dump, file)
        return Done(units=len(few))

    return Case(
        what=f"{files} in a confined child process; the yardstick takes {len(few)} of them, by processor time",
        ours=ours,
        theirs=theirs,
    )


STAGES = (
    Stage(
        name="extract-hdf5",
        yardstick="h5dump -A --xml for each file, parsed with lxml",
        goal=30,
        unit="files",
        prepare=_extract,
        basis="cpu",
        needs=("h5dump",),
        floor=0.5,
    ),
)
