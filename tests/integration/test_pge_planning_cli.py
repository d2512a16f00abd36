"""`orbitory plan`, `why` and `stale`: what programs and people get."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from orbitory.cli import main
from orbitory.settings import Settings
from planning import QUICKLOOK, Archive, granule_key


@pytest.fixture
def archive(settings: Settings, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """One granule has all its inputs, one has not; the command line sees them."""
    made = Archive(settings, QUICKLOOK)
    made.viirs("SVM05", 0)
    made.viirs("GMTCO", 0)
    made.viirs("SVM05", 1)
    for name, value in {**environment, "ORBITORY_CATALOGUE": str(made.settings.catalogue)}.items():
        if name.startswith("ORBITORY_"):
            monkeypatch.setenv(name, value)
    yield made
    made.db.close()


Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str]) -> Said:
    """Run a verb in this process: exit status, standard output, standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        return main(words), *capfd.readouterr()

    return run


@pytest.mark.req("G12")
def test_plan_tells_programs_every_instance_with_what_it_lacks(archive: Archive, say: Said) -> None:
    status, out, _ = say("plan", "--json")
    ready, waiting = json.loads(out)
    assert status == 0
    assert {"instance", "pge", "state", "input_hash", "missing"} <= ready.keys()
    assert (ready["pge"], ready["state"], ready["missing"]) == ("quick", "ready", [])
    assert len(ready["input_hash"]) == 64 and waiting["input_hash"] is None
    (lack,) = waiting["missing"]
    assert (lack["input"], lack["have"], lack["need"]) == ("geo", 0, 1)
    assert lack["expected"] == [granule_key("GMTCO", 1).rpartition("/")[2]]
    assert json.loads(say("plan", "--json")[1]) == [ready, waiting]


@pytest.mark.req("G12")
def test_people_read_what_an_instance_waits_for(archive: Archive, say: Said) -> None:
    name = granule_key("GMTCO", 1).rpartition("/")[2]
    _, table, told = say("plan")
    assert f"geo: have 0 of 1: missing {name}" in table
    assert "3 granules looked at, 2 instances written" in told
    status, out, _ = say("why", "2")
    assert status == 0 and out.startswith(f"quick 1, {name}: waiting: geo: have 0 of 1: missing {name}; given up ")
    status, out, _ = say("why", "1", "--json")
    assert json.loads(out)["state"] == "ready" and "next in queue default" in json.loads(out)["why"]
    status, _, err = say("why", "99")
    assert status != 0 and "no PGE instance 99" in err


@pytest.mark.req("G12")
def test_stale_outputs_are_told_with_both_versions(archive: Archive, say: Said) -> None:
    archive.define(QUICKLOOK.replace("[run]", '[run]\nlate = "ignore"'))
    say("plan")
    archive.set_state(1, "done")
    assert json.loads(say("stale", "--json")[1]) == []
    archive.viirs("SVM05", 0, version="A2", version_rank=2)
    say("plan")
    (told,) = json.loads(say("stale", "--json")[1])
    assert (told["instance"], told["reason"]) == (1, "inputs")
    assert told["detail"] == f"sdr: {granule_key('SVM05', 0)} A1 → A2"
    assert told["detail"].split(" ")[1] in say("stale")[1]


@pytest.mark.req("G12")
def test_a_broken_definition_is_told_with_file_key_and_hint_while_others_are_planned(
    archive: Archive, say: Said
) -> None:
    archive.define(QUICKLOOK.replace('"quick"', '"other"').replace("products =", "product ="))
    status, out, err = say("plan", "--json")
    assert status == 0 and {row["pge"] for row in json.loads(out)} == {"quick"}
    assert "not planned: pges/other.toml, inputs.product: " in err and "did you mean 'products'?" in err


def test_a_range_without_an_end_or_upside_down_is_refused(archive: Archive, say: Said) -> None:
    for words in (("--from", "2024-02-10"), ("--from", "2024-02-11", "--to", "2024-02-10")):
        status, _, err = say("plan", *words)
        assert status != 0 and "the range is empty" in err
