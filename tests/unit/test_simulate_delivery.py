"""Simulated deliveries are repeatable, and their ground truth is the truth."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ingesting import sizes_and_sums
from orbitory import announcements
from orbitory.catalogue import Catalogue, load
from orbitory.errors import ConfigurationError, DataError
from orbitory.extract import HEAD_BYTES, quick_check
from orbitory.model import REASONS
from orbitory.names import check_storable, identify
from orbitory.settings import CHECKOUT
from orbitory.simulate import fault_names, simulate

Truth = list[dict[str, object]]
SOURCES = ("idps", "correlative")
WAITING = {"young", "temporary", "no_data", "set"}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load(CHECKOUT / "include" / "catalogue")


@pytest.fixture(scope="module", params=SOURCES)
def faulty(request: pytest.FixtureRequest, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory):
    """A delivery of 40 files with every fault: source, folder, ground truth."""
    out = tmp_path_factory.mktemp(request.param)
    return request.param, out, simulate(catalogue, request.param, 40, 11, "all", out)


def _changed(catalogue: Catalogue, name: str, **changes: object) -> Catalogue:
    source = catalogue.source(name).model_copy(update=changes)
    return replace(catalogue, sources={**catalogue.sources, name: source})


def _role(entry: dict[str, object], catalogue: Catalogue, source: str) -> str:
    return announcements.role_of(str(entry["name"]), catalogue.source(source))


def _named(truth: Truth, part: str) -> list[dict[str, object]]:
    return [entry for entry in truth if part in str(entry["name"])]


def test_the_ground_truth_names_every_file_with_its_size_and_sum(faulty) -> None:
    _, out, truth = faulty
    assert {entry["name"]: (entry["size"], entry["sha256"]) for entry in truth} == sizes_and_sums(out)
    assert json.loads(json.dumps(truth)) == truth


def test_the_number_of_files_counts_data_files_alone(faulty, catalogue: Catalogue) -> None:
    source, _, truth = faulty
    roles = Counter(_role(entry, catalogue, source) for entry in truth)
    assert roles["data"] == 40
    assert roles["manifest"] == 2
    assert roles["checksum"] >= 8


def test_every_fault_is_there_and_has_a_fate_that_ingest_knows(faulty, catalogue: Catalogue) -> None:
    source, _, truth = faulty
    for entry in truth:
        match entry["fate"]:
            case "archived" | "duplicate":
                assert entry["reason"] == ""
            case "rejected" | "conflict":
                assert entry["reason"] in REASONS
            case fate:
                assert (fate, entry["reason"]) in {("waiting", reason) for reason in WAITING}
    data = Counter(entry["reason"] for entry in truth if _role(entry, catalogue, source) == "data")
    expected = {"structure": 1, "size": 1, "type": 3, "name": 2, "checksum": 4, "young": 1, "temporary": 1}
    special = {
        "idps": {"structure": 2, "unrecognised": 1, "conflict": 1, "metadata": 1, "time": 1},
        "correlative": {"policy": 2},
    }
    assert {reason: data[reason] for reason in data if reason} == expected | special[source]
    fates = Counter(entry["fate"] for entry in truth if entry["reason"] == "")
    assert fates["duplicate"] == (source == "idps")
    assert {entry["reason"] for entry in truth if entry["fate"] == "waiting"} == WAITING


def test_good_names_are_recognised_and_bad_ones_are_not(faulty, catalogue: Catalogue) -> None:
    source, _, truth = faulty
    for entry in truth:
        name = str(entry["name"])
        if _role(entry, catalogue, source) == "data" and entry["fate"] != "waiting":
            try:
                check_storable(os.fsencode(name))
                identify(Path(name).name, catalogue.source(source), catalogue)
                problem = ""
            except DataError as error:
                problem = error.code
            assert problem == (entry["reason"] if entry["reason"] in ("name", "unrecognised") else ""), name


def test_containers_are_sound_unless_the_truth_says_otherwise(faulty, catalogue: Catalogue) -> None:
    source, out, truth = faulty
    for entry in truth:
        path = out / str(entry["name"])
        if _role(entry, catalogue, source) == "data" and entry["size"] and entry["fate"] != "waiting":
            content = path.read_bytes()
            try:
                quick_check(path.name, content[:HEAD_BYTES], len(content))
                problem = ""
            except DataError as error:
                problem = error.code
            assert problem == (entry["reason"] if entry["reason"] in ("structure", "type") else ""), entry["name"]


def test_sidecars_tell_the_truth_unless_their_file_is_rejected(faulty, catalogue: Catalogue) -> None:
    source, out, truth = faulty
    fates = {entry["name"]: entry for entry in truth}
    algorithms, lies = set(), Counter()
    for entry in truth:
        if _role(entry, catalogue, source) != "checksum" or entry["fate"] == "waiting":
            continue
        path = out / str(entry["name"])
        data = path.with_suffix("")
        assert {key: fates[str(data.relative_to(out))][key] for key in ("fate", "reason")} == {
            key: entry[key] for key in ("fate", "reason")
        }
        try:
            (announced,) = announcements.parse(path.name, path.read_bytes(), catalogue.source(source))
        except DataError as error:
            lies[error.code] += 1
            continue
        assert announced.target == data.name
        true = hashlib.new(announced.algorithm, data.read_bytes()).hexdigest() == announced.value
        algorithms.add(announced.algorithm)
        lies["true" if true else "false", entry["fate"]] += 1
    assert lies["true", "archived"] >= 3
    assert lies["false", "archived"] == 0
    assert lies["checksum"] == 1
    assert lies["false", "rejected"] == 3
    assert lies["true", "rejected"] == 1
    assert len(algorithms) > 1


def test_a_manifest_waits_exactly_when_it_names_an_absent_file(faulty, catalogue: Catalogue) -> None:
    source, out, truth = faulty
    for entry in (entry for entry in truth if _role(entry, catalogue, source) == "manifest"):
        path = out / str(entry["name"])
        announced = announcements.parse(path.name, path.read_bytes(), catalogue.source(source))
        here = [each for each in announced if (path.parent / each.target).is_file()]
        assert all(hashlib.md5((path.parent / each.target).read_bytes()).hexdigest() == each.value for each in here)
        assert here
        assert entry["fate"] == ("archived" if len(here) == len(announced) else "waiting")


def test_complete_files_look_old_and_waiting_ones_new(faulty) -> None:
    _, out, truth = faulty
    for entry in truth:
        age = time.time() - (out / str(entry["name"])).lstat().st_mtime
        if entry["fate"] == "waiting" and entry["reason"] != "set":
            assert age < 60
        else:
            assert 80_000 < age < 90_000


@pytest.mark.parametrize("source", [*SOURCES, "nga", "maxar", "upload"])
def test_the_same_arguments_give_the_same_bytes_in_another_process(
    source: str, catalogue: Catalogue, tmp_path: Path
) -> None:
    first = simulate(catalogue, source, 32, 5, "all", tmp_path / "first")
    script = (
        "import json, sys\nfrom pathlib import Path\nfrom orbitory.catalogue import load\n"
        "from orbitory.simulate import simulate\n"
        "print(json.dumps(simulate(load(Path(sys.argv[1])), sys.argv[2], 32, 5, 'all', Path(sys.argv[3]))))\n"
    )
    # Another hash seed and freed memory full of rubbish: neither may reach the files.
    environment = {**os.environ, "PYTHONHASHSEED": "77", "MALLOC_PERTURB_": "85", "TZ": "Asia/Tokyo"}
    environment["PYTHONPATH"] = str(CHECKOUT / "include")
    arguments = [str(CHECKOUT / "include" / "catalogue"), source, str(tmp_path / "second")]
    done = subprocess.run([sys.executable, "-c", script, *arguments], env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout) == first
    assert simulate(catalogue, source, 32, 6, "all", tmp_path / "third") != first


@pytest.mark.parametrize("source", SOURCES)
def test_without_faults_all_is_good(source: str, catalogue: Catalogue, tmp_path: Path) -> None:
    truth = simulate(catalogue, source, 25, 3, None, tmp_path)
    assert {(entry["fate"], entry["reason"]) for entry in truth} == {("archived", "")}
    assert sum(_role(entry, catalogue, source) == "data" for entry in truth) == 25


def test_a_delivery_spans_sensors_pole_and_antimeridian(catalogue: Catalogue, tmp_path: Path) -> None:
    truth = simulate(catalogue, "idps", 12, 8, None, tmp_path)
    sensors, windings, jumps = set(), [], []
    for entry in truth:
        if _role(entry, catalogue, "idps") != "data":
            continue
        name = Path(str(entry["name"])).name
        sensors.add(identify(name, catalogue.source("idps"), catalogue).sensor)
        with h5py.File(tmp_path / str(entry["name"])) as h5:
            for group in h5["Data_Products"].values():
                for granule in group.values():
                    if "G-Ring_Longitude" in granule.attrs:
                        ring = granule.attrs["G-Ring_Longitude"].ravel().astype(float)
                        steps = np.diff(ring, append=ring[0])
                        windings.append(abs(float(((steps + 180) % 360 - 180).sum())))
                        jumps.append(np.abs(steps).max() > 180 and windings[-1] < 1)
    assert sensors >= {"VIIRS", "ATMS", "CrIS", "OMPS"}
    assert max(windings) == pytest.approx(360, abs=0.01)
    assert any(jumps)
    assert not all(jumps)


def test_geolocation_partners_name_each_other(catalogue: Catalogue, tmp_path: Path) -> None:
    truth = simulate(catalogue, "idps", 12, 8, None, tmp_path)
    names = {Path(str(entry["name"])).name for entry in truth}
    paired = 0
    for entry in _named(truth, "_j01_"):
        if not str(entry["name"]).endswith(".h5"):
            continue
        with h5py.File(tmp_path / str(entry["name"])) as h5:
            if "N_GEO_Ref" in h5.attrs:
                paired += h5.attrs["N_GEO_Ref"][0, 0].decode() in names
    assert paired == 3


def test_repeats_share_granules_with_good_files_and_stand_behind_them(catalogue: Catalogue, tmp_path: Path) -> None:
    wanted = ["duplicate", "conflict", "newer_version", "older_late", "repackaged"]
    truth = simulate(catalogue, "idps", 14, 2, wanted, tmp_path)

    def editions(entry: dict[str, object]) -> set[tuple[str, str, str]]:
        with h5py.File(tmp_path / str(entry["name"])) as h5:
            (group,) = h5["Data_Products"].values()
            (granule,) = (value for name, value in group.items() if "_Gran_" in name)
            words = ("N_Granule_ID", "N_Granule_Version", "N_Creation_Date", "N_Creation_Time")
            texts = [granule.attrs[word][0, 0].decode() for word in words]
            return {(group.attrs["N_Collection_Short_Name"][0, 0].decode(), texts[0], " ".join(texts[1:]))}

    data = [entry for entry in _named(truth, "_j01_") if str(entry["name"]).endswith(".h5")]
    granules: dict[tuple[str, str], list[tuple[str, dict[str, object]]]] = {}
    for entry in data:
        for collection, granule, edition in editions(entry):
            granules.setdefault((collection, granule), []).append((edition, entry))
    twice = [sorted(pair, key=lambda each: str(each[1]["name"])) for pair in granules.values() if len(pair) == 2]
    assert len(twice) == 5
    kinds = Counter()
    for (first, one), (second, other) in twice:
        same_name = Path(str(one["name"])).name == Path(str(other["name"])).name
        kinds[first == second, same_name, one["sha256"] == other["sha256"], other["fate"]] += 1
        assert one["fate"] == "archived"
    assert kinds == {
        (True, True, True, "duplicate"): 1,
        (True, True, False, "conflict"): 1,
        (True, False, False, "archived"): 1,  # repackaged
        (False, False, False, "archived"): 2,  # newer version, older late comer
    }


def test_granules_of_a_pass_follow_each_other(catalogue: Catalogue, tmp_path: Path) -> None:
    truth = simulate(catalogue, "idps", 48, 4, None, tmp_path)
    identities = [
        identify(Path(str(entry["name"])).name, catalogue.source("idps"), catalogue)
        for entry in _named(truth, "SVM01_j01")
        if str(entry["name"]).endswith(".h5")
    ]
    spans = sorted((each.sensing_start, each.sensing_end) for each in identities)
    assert len(spans) == 4
    assert all(0 < (after[0] - before[1]).total_seconds() < 2.1 for before, after in itertools.pairwise(spans))


def test_fewer_files_than_faults_bring_as_many_faults_as_fit(catalogue: Catalogue, tmp_path: Path) -> None:
    truth = simulate(catalogue, "idps", 3, 1, "all", tmp_path)
    data = [entry for entry in truth if _role(entry, catalogue, "idps") == "data"]
    assert [entry["fate"] for entry in data].count("rejected") == 3 == len(data)


def test_a_list_of_faults_brings_those_and_no_others(catalogue: Catalogue, tmp_path: Path) -> None:
    truth = simulate(catalogue, "correlative", 10, 1, " truncated, external_raw ,", tmp_path)
    assert Counter(entry["reason"] for entry in truth if entry["fate"] != "archived") == {"structure": 1, "policy": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", 5, 1, None), "there is no source 'nowhere'"),
        (("idps", 5, 1, "truncated,melted"), "unknown fault melted; known for this source: all, truncated, "),
        (("correlative", 5, 1, ["duplicate"]), "unknown fault duplicate; .*external_raw, virtual_dataset$"),
        (("idps", 1, 1, "duplicate"), "fault duplicate cannot be made: 1 files are too few"),
        (("idps", 0, 1, None), "at least one file .* got 0 files"),
        (("idps", 1, -1, None), "seed of 0 or more, got 1 files and seed -1"),
    ],
)
def test_what_cannot_be_simulated_is_refused_and_nothing_is_written(arguments, message, catalogue, tmp_path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        simulate(catalogue, *arguments, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_refused_and_kept(catalogue: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "mine.h5").write_bytes(b"precious")
    with pytest.raises(ConfigurationError, match=r"is not empty \(it holds mine.h5\)"):
        simulate(catalogue, "idps", 2, 1, None, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.h5"]
    with pytest.raises(ConfigurationError, match=r"cannot write a delivery to .*: (Not a directory|File exists)"):
        simulate(catalogue, "idps", 2, 1, None, tmp_path / "mine.h5")


@pytest.mark.parametrize(
    ("fault", "changes", "why"),
    [
        ("conflict", {"duplicates": "skip"}, "policy for duplicates is skip"),
        ("conflict", {"storage": "{source}/{folder}/{name}"}, "storage template keeps the folder"),
        ("older_late", {"late": "skip"}, "policy for late comers is not archive"),
    ],
)
def test_a_fault_whose_fate_the_source_leaves_open_is_refused(fault, changes, why, catalogue, tmp_path) -> None:
    other = _changed(catalogue, "idps", **changes)
    with pytest.raises(ConfigurationError, match=f"fault {fault} cannot be made: .*{why}"):
        simulate(other, "idps", 10, 1, [fault], tmp_path)
    assert fault in fault_names(other, "idps")
    truth = simulate(other, "idps", 40, 1, "all", tmp_path)
    assert fault != "conflict" or "conflict" not in {entry["fate"] for entry in truth}


def test_sources_differ_in_the_announcements_and_products_they_take(catalogue: Catalogue, tmp_path: Path) -> None:
    source = catalogue.source("idps")
    bare = source.checksums.model_copy(update={"sidecars": ("md5",), "manifests": ()})
    other = _changed(catalogue, "idps", checksums=bare, products=("atms_sdr",))
    truth = simulate(other, "idps", 12, 1, None, tmp_path / "narrow")
    assert {Path(str(entry["name"])).name[:5] for entry in truth} == {"SATMS"}
    assert {Path(str(entry["name"])).suffix for entry in truth} == {".h5", ".md5"}
    with pytest.raises(ConfigurationError, match=r"two_sidecars_disagree cannot be made: .* fewer than 2 kinds"):
        simulate(other, "idps", 5, 1, "two_sidecars_disagree", tmp_path / "sidecars")
    with pytest.raises(ConfigurationError, match=r"lists none of the products that can be simulated: .*GATMO"):
        simulate(_changed(catalogue, "idps", products=("viirs_ip",)), "idps", 5, 1, None, tmp_path / "none")
    strict = source.checksums.model_copy(update={"required": True})
    with pytest.raises(ConfigurationError, match="requires checksums"):
        simulate(_changed(catalogue, "idps", checksums=strict), "idps", 5, 1, None, tmp_path / "strict")
