"""One PGE instance from its inputs to its delivery, with real programs: good ones, and every kind of bad ones."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from orbitory.ingest.run import ingest
from orbitory.pge.recovery import settle
from orbitory.pge.runner import run
from orbitory.provenance import read
from orbitory.settings import Settings
from pge_runs import GOOD, Bench, bench_at


@pytest.fixture
def bench(settings: Settings, tmp_path: Path) -> Iterator[Bench]:
    made = bench_at(settings, tmp_path)
    with made.holdings:
        yield made


@pytest.mark.req("G13", "G17")
def test_outputs_are_delivered_whole_with_checksums_and_provenance_then_archived_and_the_instance_is_done(
    bench: Bench,
) -> None:
    bench.define(GOOD)
    number = bench.instance(contents=(b"alpha", b"beta"))
    with bench.site() as site:
        result = run(site, number)
        assert (result.state, result.run["exit_status"]) == ("delivered", 0), result
        files = bench.delivered(number)
        name = "VQLKM.probe.1.P000001.txt"
        assert files[name] == b"alphabeta"
        assert set(files) == {name, f"{name}.meta.json", "SHA256SUMS"}
        for line in files["SHA256SUMS"].decode().splitlines():
            value, _, file = line.partition("  ")
            assert hashlib.sha256(files[file]).hexdigest() == value
        told = read(files[f"{name}.meta.json"])
        assert [each.blake3 for each in told.inputs] == [blake3(each).hexdigest() for each in (b"alpha", b"beta")]
        assert settle(site) == [] and bench.row(number)["state"] == "delivered"
    report = ingest(bench.settings, "pge")
    assert (report.rejected, report.conflict) == (0, 0), report
    row = bench.row(number)
    assert row["state"] == "done" and row["reason"] is None, (report, bench.arrivals())
    assert row["run"]["wall_seconds"] > 0 and row["run"]["peak_bytes"] > 0 and row["claim"] is None
    assert not bench.delivered(number) and not list((bench.settings.work / "pge").iterdir())


@pytest.mark.fault("F53", how="a PGE fails, hangs, or leaves what it did not promise")
@pytest.mark.req("F53")
@pytest.mark.parametrize(
    ("script", "keys", "code"),
    [
        ("", {"command": ["/no/such/program"]}, "executable_absent"),
        ("", {"command": ["{python}", "{pges}/no_such.py"]}, "executable_absent"),
        ("", {"command": ["/etc/hostname"]}, "not_executable"),
        ("sys.exit(3)", {}, "exit"),
        ("os.kill(os.getpid(), signal.SIGKILL)", {}, "killed"),
        ("time.sleep(60)", {"wall_seconds": 1.0}, "timeout"),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); time.sleep(60)", {"wall_seconds": 1.0}, "timeout"),
        ("x = bytearray(400 << 20); time.sleep(20)", {}, "memory"),
        ("f = open(out / 'x', 'wb')\nwhile True: f.write(bytes(1 << 20))", {}, "disk"),
        ("for n in range(99): (out / str(n)).write_bytes(bytes(1 << 20)); time.sleep(.05)", {}, "disk"),
        ("open('/var/tmp/orbitory-evil', 'w')", {}, "outside"),
        ("inputs[0].write_bytes(b'changed')", {}, "outside"),
        ("os.unlink(inputs[0])", {}, "outside"),
        ("os.link(inputs[0], product())", {}, "exit"),
        ("", {}, "no_output"),
        ("product().touch()", {}, "wrong_output"),
        ("product().write_text('a'); product(period='X').write_text('b')", {}, "wrong_output"),
        ("(out / 'VQLKM.other.1.P1.txt').write_text('a')", {}, "wrong_output"),
        ("product().write_text('a'); (out / 'notes.log').write_text('b')", {}, "foreign_output"),
        ("(out / 'VQLKM.\\u202e.txt').write_text('b')", {}, "foreign_output"),
        ("os.mkdir(product())", {}, "foreign_output"),
        ("os.symlink('/etc/passwd', product())", {}, "foreign_output"),
        ("os.mkfifo(product())", {}, "foreign_output"),
    ],
)
def test_a_bad_pge_fails_with_a_stated_reason_and_nothing_of_it_is_delivered(
    bench: Bench, script: str, keys: dict[str, object], code: str
) -> None:
    bench.define(script, **keys)
    number = bench.instance()
    with bench.site() as site:
        result = run(site, number)
    row = bench.row(number)
    assert (result.state, result.reason, row["state"], row["reason"]) == ("failed", code, "failed", code), row
    assert row["claim"] is None and row["detail"]
    assert not (bench.settings.landing / "pge").exists() or not list((bench.settings.landing / "pge").iterdir())
    assert bench.messages() == [f"PGE probe failed: instance {number}, {code}"]
    assert not Path("/var/tmp/orbitory-evil").exists()
    assert (bench.settings.work / "pge" / row["folder"]).is_dir(), "its work folder is kept for a person to look at"
    archived = bench.settings.storage / "idps" / "P000001_0.h5"
    assert archived.read_bytes() == b"alpha" and archived.stat().st_nlink <= 2
    nothing_of_it_is_archived(bench)


def nothing_of_it_is_archived(bench: Bench) -> None:
    """The ingest finds nothing, and inventory, storage and history agree."""
    assert ingest(bench.settings, "pge").detected == 0 and not bench.arrivals()
    assert not bench.violations()


@pytest.mark.fault("F53", how="a PGE delivers in part")
@pytest.mark.req("F53")
def test_an_output_kind_that_is_not_complete_is_partial(bench: Bench) -> None:
    two = (
        '[[outputs]]\nname = "a"\nproduct = "pge_viirs_quicklook"\npattern = "VQLKM.*.txt"\nmin = 2\nmax = 2\n'
        '[[outputs]]\nname = "b"\nproduct = "pge_viirs_quicklook"\npattern = "VQLKM.*.png"\nmin = 0\n'
    )
    bench.define("product().write_text('a')", outputs=two)
    number = bench.instance()
    with bench.site() as site:
        assert run(site, number).reason == "partial_output"
    nothing_of_it_is_archived(bench)


def test_the_log_is_bounded_and_its_end_is_kept(bench: Bench) -> None:
    bench.define("sys.stdout.write('x' * (6 << 20)); print('last words \\0'); sys.stdout.flush(); sys.exit(1)")
    number = bench.instance()
    with bench.site() as site:
        run(site, number)
    row = bench.row(number)
    assert row["log_tail"].endswith("last words \\x00\n") and len(row["log_tail"]) < 10_001
    log = bench.settings.work / "pge" / row["folder"] / "log"
    assert 4 << 20 < log.stat().st_size < 5 << 20 and "last words" in row["detail"]


@pytest.mark.fault("F53", how="a PGE that fails every time")
@pytest.mark.req("F53")
def test_what_failed_is_tried_again_as_often_as_its_definition_says_then_a_person_is_told(bench: Bench) -> None:
    bench.define("sys.exit(3)", retries=2)
    number = bench.instance()
    with bench.site() as site:
        assert [run(site, number).state for _ in range(3)] == ["ready", "ready", "failed"]
        assert len(bench.messages()) == 1 and bench.row(number)["tries"] == 3
        bench.define(GOOD)
    with bench.site() as site:
        assert run(site, number).state == "delivered", "asked for by a person it starts afresh"
    assert bench.row(number)["tries"] == 1


@pytest.mark.fault("F53", how="an input is missing or damaged when the PGE starts")
@pytest.mark.req("F53")
@pytest.mark.parametrize(
    ("damage", "code"), [("gone", "input_missing"), ("other bytes", "input_damaged"), ("withdrawn", "input_missing")]
)
def test_an_input_that_is_not_what_was_planned_with_is_not_used(bench: Bench, damage: str, code: str) -> None:
    bench.define(GOOD, retries=5)
    number = bench.instance()
    victim = bench.settings.storage / "idps" / "P000001_0.h5"
    if damage == "gone":
        victim.unlink()
    elif damage == "other bytes":
        victim.write_bytes(b"alphb")
    else:
        bench.holdings.sql("UPDATE asset SET state = 'deleted', removal = 'withdrawn'")
    with bench.site() as site:
        result = run(site, number)
    assert (result.state, result.reason) == ("failed", code)
    assert bench.messages() == [f"PGE probe failed: instance {number}, {code}"]
    assert ingest(bench.settings, "pge").detected == 0 and not bench.arrivals()


def test_an_instance_whose_pge_was_removed_or_renewed_says_so(bench: Bench) -> None:
    bench.define(GOOD)
    number, of_another_version = bench.instance(), bench.instance(version="0")
    (bench.settings.catalogue / "pges" / "broken.toml").write_text('name = "broken"')
    broken = bench.instance("broken")
    with bench.site() as site:
        assert "for another" in str(run(site, of_another_version).detail)
        assert "disabled" in str(run(site, broken).detail)
    (bench.settings.catalogue / "pges" / "probe.toml").unlink()
    with bench.site() as site:
        result = run(site, number)
    assert (result.state, result.reason) == ("failed", "definition")


@pytest.mark.fault("F53", how="an input is replaced while the PGE runs")
@pytest.mark.req("F53")
def test_an_input_that_somebody_replaces_while_it_is_read_spoils_the_run(bench: Bench) -> None:
    bench.define("time.sleep(2); " + GOOD)
    number = bench.instance()

    def spoil() -> None:
        while not (found := list(bench.settings.work.glob("pge/*/log"))):
            time.sleep(0.05)
        (found[0].parent / "in" / "main" / "P000001_0.h5").write_bytes(b"other")

    spoiler = threading.Thread(target=spoil)
    spoiler.start()
    with bench.site() as site:
        result = run(site, number)
    spoiler.join()
    assert (result.state, result.reason) == ("failed", "input_changed") and not bench.delivered(number)
    assert ingest(bench.settings, "pge").detected == 0 and not bench.arrivals()


def test_nothing_of_our_environment_reaches_a_pge(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORBITORY_DATABASE", "postgresql://secret")
    monkeypatch.setenv("AWS_SECRET", "secret")
    bench.define("product().write_text(json.dumps(dict(os.environ)))", environment={"MODE": "fast"})
    number = bench.instance()
    with bench.site() as site:
        assert run(site, number).state == "delivered"
    seen = json.loads(bench.delivered(number)["VQLKM.probe.1.P000001.txt"])
    assert seen["MODE"] == "fast" and "secret" not in json.dumps(seen)
