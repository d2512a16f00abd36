"""Files that keep their reader busy for ever, or are far larger than what they stand for, through all steps."""

from __future__ import annotations

import importlib
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from faults.delivering import SOURCE, at_rest, put
from ingesting import ledger
from orbitory.extract import nursery as nurseries
from orbitory.ingest.run import ingest
from orbitory.settings import CHECKOUT, Settings
from orbitory.workers import Isolated

pytestmark = pytest.mark.faults

#: Bytes of address space for the process that parses: a quarter of what it has by default.
MEMORY = 512 << 20
#: Loaded by the process that parses before it serves: a file of this name never lets go of its reader.
ENDLESS = """
import time
from orbitory.extract import generic
sound = generic.extract
def extract(task):
    while "busy" in task.name:
        pass
    while "asleep" in task.name:
        time.sleep(1)
    return sound(task)
generic.extract = extract
"""


@pytest.fixture
def confine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give the process that parses, in the step ``extract``, other limits than the usual ones."""

    def set_limits(**limits: float) -> None:
        step = importlib.import_module("orbitory.ingest.extract")
        monkeypatch.setattr(step, "Isolated", partial(Isolated, **limits))

    return set_limits


@pytest.fixture
def endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A parser that some files keep for ever: one at work, one waiting."""
    (tmp_path / "sitecustomize.py").write_text(ENDLESS)
    monkeypatch.setitem(nurseries._SETTINGS, "PYTHONPATH", f"{tmp_path}:{CHECKOUT / 'include'}")
    monkeypatch.setattr(nurseries, "_own", None)
    yield
    assert nurseries._own is not None
    nurseries._own.close()


@pytest.mark.fault("F41", how="a reader that never ends, at work and waiting, amid sound files, through all steps")
@pytest.mark.usefixtures("endless")
def test_a_reader_that_never_ends_is_ended_the_file_rejected_and_the_others_go_on(
    settings: Settings, confine: Callable[..., None]
) -> None:
    confine(timeout_seconds=4)
    names = ("0.txt", "bad_busy.txt", "1.txt", "bad_asleep.txt", "2.txt")
    truth = put(settings.landing / SOURCE, {name: name.encode() for name in names})
    report = ingest(settings, SOURCE)
    assert (report.archived, report.rejected) == (3, 2)
    assert {ledger(settings)[name] for name in ("bad_busy.txt", "bad_asleep.txt")} == {("rejected", "timeout")}
    assert at_rest(settings, truth) == []
    more = put(settings.landing / SOURCE, {f"more/{number}.txt": b"%d" % number for number in range(9)})
    assert ingest(settings, SOURCE).archived == 9, "the same process goes on with a new reader"
    assert at_rest(settings, more) == []


@pytest.mark.fault("F35", how="200,000 members beside an image, through all steps")
def test_a_bundle_of_200_000_members_is_refused_with_its_image_in_bounded_memory(
    settings: Settings, confine: Callable[..., None]
) -> None:
    confine(memory_bytes=MEMORY)
    scene = "WV02_20100902221603_1030010007C2B700_10SEP02221603-M1BS-052807128030_01_P001"
    landing = settings.landing / "nga"
    landing.mkdir(parents=True)
    options = {"driver": "NITF", "width": 4, "height": 4, "count": 1, "dtype": "uint8"}
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(landing / f"{scene}.ntf", "w", **options) as image:
        image.write(np.ones((1, 4, 4), "u1"))
    member = tarfile.TarInfo(f"{scene}.xml").tobuf(tarfile.GNU_FORMAT)
    put(landing, {f"{scene}.ntf": (landing / f"{scene}.ntf").read_bytes(), f"{scene}.tar": member * 200_000})
    report = ingest(settings, "nga")
    assert report.archived == 0
    assert set(ledger(settings).values()) == {("rejected", "policy")}


@pytest.mark.fault("F39", how="an attribute of 100 MB, through all steps")
def test_an_attribute_of_100_megabytes_is_archived_and_read_in_bounded_memory(
    settings: Settings, tmp_path: Path, confine: Callable[..., None]
) -> None:
    confine(memory_bytes=MEMORY)
    with h5py.File(tmp_path / "made.h5", "w", libver="latest") as file:
        file["x"] = 1
        file["x"].attrs.create("vast", np.arange(100 << 20, dtype="u1"))
    truth = put(settings.landing / SOURCE, {"vast.h5": (tmp_path / "made.h5").read_bytes(), "small.txt": b"small"})
    assert ingest(settings, SOURCE).archived == 2
    assert at_rest(settings, truth) == []
