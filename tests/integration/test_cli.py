"""The command line: one JSON document, messages apart, exit codes that mean something, no secrets, no surprises."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from answers import Answer, Orbitory
from holdings import Granule, Holdings
from orbitory import search
from orbitory.cli import parser
from orbitory.settings import Settings
from private_stack.postgres import Cluster

NOON = datetime(2024, 2, 10, 12, tzinfo=UTC)
SVM = "SVM01_npp_d20240210_t2355021_e0000427_b00001_c20240211000000000000_noac_ops.h5"


@pytest.fixture
def holdings(settings: Settings) -> Iterator[Holdings]:
    with Holdings(settings) as made:
        made.archive("a.bin", b"alpha", Granule(product="SVM01", start=NOON, search={"day_night": "Day"}))
        made.reject("bad.bin", reason="size")
        made.wait("half.bin")
        made.finish()
        yield made


def command(environment: dict[str, str], *arguments: str, **more: Any) -> subprocess.Popen[str]:
    """Start the real program. It heeds an interrupt even where a shell has put the whole test run in the background."""
    return subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-m", "orbitory", *arguments],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **more,
    )


def told(answer: Answer, *words: str) -> None:
    """Messages are on standard error alone, each line under the program's name."""
    __tracebackhide__ = True
    assert answer.err and all(line.startswith("orbitory: ") for line in answer.err.splitlines()), answer.err
    for word in words:
        assert word in answer.err, answer.err


# Usage


def test_help_tells_every_verb_and_costs_little(environment: dict[str, str]) -> None:
    imports = "import sys, orbitory.cli; orbitory.cli.parser(); print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", imports], env=environment, text=True, capture_output=True, check=True
    )
    heavy = {"psycopg", "pydantic", "numpy", "h5py", "rasterio", "shapely", "rich", "orbitory.inventory"}
    assert not heavy & set(loaded.stdout.split())
    with command(environment, "--help") as helped:
        out, _ = helped.communicate()
    assert helped.returncode == 0
    for verb in ("migrate", "simulate", "ingest", "status", "quarantine", "identify", "show", "search", "catalogue"):
        assert f"    {verb} " in out
    assert "audit" in out and "digest" in out and "4 violations" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "VERB"),
        (["fetch"], "invalid choice: 'fetch'"),
        (["ingest"], "SOURCE"),
        (["ingest", "idps", "--work", "2"], "unrecognized arguments: --work 2"),
        (["ingest", "idps", "--workers", "0"], "'0' is no whole number from 1 to 256"),
        (["search", "--limit", "ten"], "'ten' is no whole number from 1 to 10000"),
        (["search", "--bbox"], "expected one argument"),
        (["quarantine"], "list|show|redrive"),
        (["quarantine", "show", "x"], "'x' is no whole number"),
    ],
)
def test_wrong_usage_is_told_in_one_line_and_gives_2(spoken: Orbitory, arguments: list[str], words: str) -> None:
    answer = spoken(*arguments)
    assert (answer.status, answer.out) == (2, "")
    told(answer, words, "--help`")


IMPOSSIBLE = [
    (["search", "--bbox", "-10,5,10,0"], "the box is '-10,5,10,0'"),
    (["search", "--from", "tomorrow"], "'tomorrow' is not a time"),
    (["search", "--from", "2024-02-02", "--to", "2024-02-01"], "ends (2024-02-01) before it starts (2024-02-02)"),
    (["search", "--where", "day_night"], "expected KEY=VALUE"),
    (["search", "--page", "zzz"], "is not a page token"),
    (["quarantine", "redrive"], "nothing was chosen"),
    (["quarantine", "redrive", "4711"], "there is no arrival 4711"),
    (["ingest", "ipds"], "there is no source 'ipds'"),
    (["status", "ipds"], "there is no source 'ipds'"),
]


def test_what_cannot_be_meant_is_explained_and_gives_2(orbitory: Orbitory) -> None:
    for arguments, words in IMPOSSIBLE:
        answer = orbitory(*arguments)
        assert (answer.status, answer.out) == (2, ""), arguments
        told(answer, words)


def test_a_missing_setting_is_named(spoken: Orbitory) -> None:
    answer = spoken("search")
    assert answer.status == 2
    told(answer, "ORBITORY_DATABASE is not set")


def test_verbs_that_need_no_database_ask_for_none(spoken: Orbitory) -> None:
    assert spoken("identify", SVM).status == 0
    assert spoken("catalogue", "check").status == 0


def test_verbs_that_touch_no_zone_need_not_know_where_they_are(
    orbitory: Orbitory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORBITORY_ROOT")
    assert orbitory("migrate").status == 0
    assert orbitory("search", "--json").json == {"items": [], "next": None}


# Failures


@pytest.mark.fault("F13", how="nobody listens where the database should")
def test_a_server_that_is_away_gives_3_and_no_password(
    spoken: Orbitory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ORBITORY_DATABASE", f"postgresql://me:hunter2@/x?host={tmp_path}&password=hunter2")
    answer = spoken("search")
    assert (answer.status, answer.out) == (3, "")
    told(answer, "the inventory is not available now")
    assert "hunter2" not in answer.err


@pytest.mark.req("W11")
@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://me:correct horse@/x",
        "postgresql://me:correct%zzhorse@/x",
        "postgresql://me:correct/horse@h:port/x",
        "host=/nowhere password='correct horse' nonsense=1",
        "correct horse",
    ],
)
@pytest.mark.parametrize("verb", ["search", "migrate"])
def test_no_message_and_no_traceback_shows_a_password(
    spoken: Orbitory, monkeypatch: pytest.MonkeyPatch, uri: str, verb: str
) -> None:
    monkeypatch.setenv("ORBITORY_DATABASE", uri)
    monkeypatch.setenv("ORBITORY_OWNER_DATABASE", uri)
    answer = spoken(verb)
    assert answer.status in (2, 3, 70) and answer.out == ""
    assert "horse" not in answer.err or uri == "correct horse"


def test_a_bug_is_told_in_full_and_gives_70(
    orbitory: Orbitory, monkeypatch: pytest.MonkeyPatch, holdings: Holdings
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("postgresql://me:hunter2@h/x")

    monkeypatch.setattr(search, "search", broken)
    answer = orbitory("search", "--json")
    assert (answer.status, answer.out) == (70, "")
    assert "Traceback" in answer.err and "ZeroDivisionError" in answer.err and "this is a bug" in answer.err
    assert "hunter2" not in answer.err


@pytest.mark.fault("F57", how="an inventory of another version")
def test_an_inventory_of_another_version_is_refused_before_anything_else(
    orbitory: Orbitory, postgres: Cluster, database: str, settings: Settings
) -> None:
    postgres.sql("INSERT INTO schema_migration (name, digest) VALUES ('9999_later.sql', '')", database)
    for verb in (["ingest", "correlative"], ["search"], ["audit"], ["digest"], ["show", "x"]):
        answer = orbitory(*verb)
        assert answer.status == 2, verb
        told(answer, "migrated by newer code (9999_later.sql)")
    assert not settings.landing.exists()
    status = orbitory("status", "--json").json
    assert status["ok"] is False and status["schema"]["unknown"] == ["9999_later.sql"]


def test_a_reader_that_goes_away_is_no_error_to_shout_about(environment: dict[str, str], holdings: Holdings) -> None:
    for number in range(40):
        holdings.archive(f"long name {number} {'x' * 120}", b"%d" % number)
    with command(environment, "search", "--json", "--limit", "1000", bufsize=0) as searching:
        assert searching.stdout is not None and searching.stderr is not None
        searching.stdout.read(1)
        searching.stdout.close()
        assert searching.stderr.read() == ""
    assert searching.returncode in (0, 141)


def test_an_interrupt_is_one_line_and_130(environment: dict[str, str], holdings: Holdings, owner_uri: str) -> None:
    import psycopg

    with psycopg.connect(owner_uri) as blocking:
        blocking.execute("LOCK TABLE granule IN ACCESS EXCLUSIVE MODE")
        with command(environment, "search") as searching, psycopg.connect(owner_uri, autocommit=True) as watching:
            for _ in range(600):
                if watching.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall():
                    break
                time.sleep(0.05)
            else:
                pytest.fail("the search never reached the locked table")
            searching.send_signal(signal.SIGINT)
            _, err = searching.communicate(timeout=30)
    assert searching.returncode == 130
    assert err == "orbitory: interrupted; what was begun is finished by the next run\n"


# Answers


def test_migrate_tells_what_it_applied(orbitory: Orbitory) -> None:
    answer = orbitory("migrate", "--json")
    assert answer.status == 0 and answer.json["applied"] == []
    assert answer.json["version"].startswith("00")
    assert "nothing to do" in orbitory("migrate").out


def test_simulate_writes_a_delivery_and_its_truth(spoken: Orbitory, tmp_path: Path) -> None:
    out, manifest = tmp_path / "out", tmp_path / "deep" / "truth.json"
    arguments = ("simulate", "--source", "correlative", "--files", "12", "--seed", "3")
    answer = spoken(*arguments, "--out", str(out), "--manifest", str(manifest), "--json")
    truth = json.loads(manifest.read_text())
    assert answer.status == 0 and answer.json["files"] == len(truth) >= 12
    assert sum(answer.json["fates"].values()) == len(truth)
    for file in truth:
        assert {"name", "size", "sha256", "fate", "reason"} <= set(file)
        assert (out / file["name"]).lstat().st_size == file["size"]
    again = spoken(*arguments, "--out", str(out), "--manifest", str(manifest))
    assert again.status == 2
    told(again, "is not empty")


def test_simulate_names_the_faults_it_knows(spoken: Orbitory, tmp_path: Path) -> None:
    answer = spoken("simulate", "--source", "idps", "--files", "3", "--seed", "1", "--faults", "flood",
                      "--out", str(tmp_path / "o"), "--manifest", str(tmp_path / "m"))  # fmt: skip
    assert answer.status == 2
    told(answer, "unknown fault flood; known for this source: all,")


def test_identify_answers_for_each_name_with_no_file_at_hand(spoken: Orbitory) -> None:
    answer = spoken("identify", "--json", f"some/folder/{SVM}", "holiday.jpg")
    known, unknown = answer.json
    assert answer.status == 0
    assert known["name"].endswith(SVM) and (known["source"], known["form"]) == ("idps", "idps")
    assert (known["product_type"], known["products"], known["sensor"]) == ("viirs_sdr", ["SVM01"], "VIIRS")
    assert (known["platform"], known["orbit"]) == ("NPP", 1)
    assert known["sensing_start"] == "2024-02-10T23:55:02.100000Z"
    assert known["sensing_end"] == "2024-02-11T00:00:42.700000Z"
    assert unknown["name"] == "holiday.jpg" and unknown["form"] == "unrecognised" and unknown["reason"]
    people = spoken("identify", SVM, "holiday.jpg").out
    assert "viirs_sdr" in people and "holiday.jpg: unrecognised" in people


@pytest.mark.fault("F38", how="control sequences for terminals in names")
def test_foreign_names_cannot_steer_a_terminal(spoken: Orbitory) -> None:
    answer = spoken("identify", "\x1b[31mred\u202e\udcff.h5", "two\nlines.h5")
    assert answer.out.isascii() and "\x1b" not in answer.out
    assert len(answer.out.splitlines()) == 2
    assert spoken("identify", "--json", "\udcff\u202e.h5").out.isascii()


def test_search_answers_in_pages(orbitory: Orbitory, holdings: Holdings) -> None:
    holdings.archive("b.bin", b"beta")
    first = orbitory("search", "--limit", "1", "--json")
    assert first.status == 0 and [item["key"] for item in first.json["items"]] == ["correlative/a.bin"]
    assert first.json["items"][0]["sensing_start"] == "2024-02-10T12:00:00Z"
    second = orbitory("search", "--limit", "1", "--page", first.json["next"], "--json").json
    assert [item["key"] for item in second["items"]] == ["correlative/b.bin"] and second["next"] is None
    narrow = orbitory("search", "--product", "SVM01", "--where", "day_night=Day", "--from", "2024-02-10", "--json").json
    assert len(narrow["items"]) == 1
    assert orbitory("search", "--bbox", "-10,-10,10,10", "--json").json["items"] == []
    people = orbitory("search", "--limit", "1")
    assert "correlative/a.bin" in people.out and "--page" in people.err


def test_show_tells_everything_about_a_name_a_path_a_key_or_a_number(orbitory: Orbitory, holdings: Holdings) -> None:
    holdings.archive("twin.bin", b"alpha")
    for name in ("a.bin", "correlative/a.bin", "1"):
        check_everything(orbitory, holdings, name)


def check_everything(orbitory: Orbitory, holdings: Holdings, name: str) -> None:
    answer = orbitory("show", name, "--json")
    assert answer.status == 0
    (arrival,), (granule,), (asset,) = (answer.json[kind] for kind in ("arrivals", "granules", "assets"))
    assert [step["to"] for step in arrival["history"]] == ["detected", "verified", "extracted", "stored", "archived"]
    assert arrival["where"] == asset["where"] == str(holdings.stored("a.bin"))
    assert asset["same_content"] == ["correlative/twin.bin"]
    assert granule["key"] == "correlative/a.bin" and [v["state"] for v in granule["versions"]] == ["archived"]
    assert "detected -> verified" in orbitory("show", name).out


def test_show_tells_where_a_file_is_that_is_not_archived(orbitory: Orbitory, holdings: Holdings) -> None:
    (bad,) = orbitory("show", "bad.bin", "--json").json["arrivals"]
    assert Path(bad["where"]).read_bytes() == b"bad" and bad["reason"] == "size"
    (half,) = orbitory("show", "half.bin", "--json").json["arrivals"]
    assert half["where"] == str(holdings.landing / "half.bin")


def test_show_finds_a_name_in_a_folder_by_its_last_part(orbitory: Orbitory, holdings: Holdings) -> None:
    holdings.archive("deep/down/c.bin", b"c")
    assert orbitory("show", "c.bin", "--json").json["arrivals"][0]["name"] == "deep/down/c.bin"
    assert orbitory("show", "own/c.bin", "--json").status == 1


def test_show_says_that_nothing_is_known(orbitory: Orbitory, holdings: Holdings) -> None:
    for name in ("never.bin", "'; DROP TABLE arrival; --", "%", "99999999999999999999", "\udcff"):
        answer = orbitory("show", name, "--json")
        assert answer.status == 1
        assert answer.json["arrivals"] == answer.json["granules"] == answer.json["assets"] == []
        told(answer, "nothing is known of")


def test_status_counts_what_the_ledger_holds(orbitory: Orbitory, holdings: Holdings) -> None:
    answer = orbitory("status", "--json")
    assert answer.status == 0
    source = answer.json["sources"]["correlative"]
    assert source["landing"] == {"waiting": 1} and source["quarantine"] == {"size": 1}
    assert source["archived"] == {"files": 1, "bytes": 5} and source["lost"] == 0
    assert source["waiting"]["files"] == 1 and source["waiting"]["reasons"] == {"young": 1}
    assert 0 <= source["waiting"]["oldest_seconds"] < 600
    assert source["last_run"]["run"] == holdings.run and source["last_run"]["verdict"] == "success"
    assert answer.json["sources"]["idps"]["archived"] == {"files": 0, "bytes": 0}
    assert answer.json["schema"]["missing"] == [] and answer.json["catalogue"] == {"problems": []}
    assert answer.json["sandbox"]["landlock_abi"] >= 0
    assert {"landing", "storage", "quarantine"} <= set(answer.json["zones"])
    assert answer.json["zones"]["storage"]["free_bytes"] > 0
    assert answer.json["ok"] is True and answer.json["problems"] == []
    people = orbitory("status", "correlative").out
    assert "all is well" in people and "idps" not in people


def test_status_says_what_needs_a_person(
    orbitory: Orbitory, holdings: Holdings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arrival = holdings.arrive("gone.bin")
    holdings.sql("UPDATE arrival SET state = 'lost', landed = false WHERE id = %s", arrival)
    holdings.sql("UPDATE ingest_run SET verdict = 'failed'")
    (holdings.settings.storage / ".orbitory-storage").unlink()
    broken_catalogue(tmp_path, monkeypatch)
    status = orbitory("status", "--json").json
    assert status["ok"] is False
    problems = "\n".join(status["problems"])
    for words in ("1 files of correlative are lost", "the last run of correlative", "looks unmounted", "gramar"):
        assert words in problems
    assert status["sources"]["idps"]["enabled"] is False
    assert "idps (disabled)" in orbitory("status").out


def broken_catalogue(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the catalogue in which one source has a typing error."""
    ours = Path(__file__).resolve().parents[2] / "include" / "catalogue"
    for file in ours.rglob("*.toml"):
        copy = folder / "catalogue" / file.relative_to(ours)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text()
        copy.write_text(text.replace("grammar =", "gramar =") if file.name == "idps.toml" else text)
    monkeypatch.setenv("ORBITORY_CATALOGUE", str(folder / "catalogue"))


@pytest.mark.fault("F58", how="a broken source file, on the command line")
def test_a_broken_catalogue_file_disables_its_source_alone(
    orbitory: Orbitory, holdings: Holdings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert orbitory("catalogue", "check").status == 0
    broken_catalogue(tmp_path, monkeypatch)
    answer = orbitory("catalogue", "check", "--json")
    assert answer.status == 2
    problem = next(problem for problem in answer.json["problems"] if problem["key"] == "gramar")
    assert problem["file"] == "sources/idps.toml" and problem["disables"] == ["idps"] and "grammar" in problem["hint"]
    assert "sources/idps.toml, gramar" in orbitory("catalogue", "check").out
    refused = orbitory("ingest", "idps")
    assert refused.status == 2
    told(refused, "source 'idps' is disabled", "gramar")
    assert orbitory("search", "--json").status == 0


def test_quarantine_lists_shows_and_gives_back(orbitory: Orbitory, holdings: Holdings) -> None:
    (file,) = orbitory("quarantine", "list", "--json").json
    assert {"path", "source", "reason", "stage", "detail"} <= set(file)
    assert (holdings.settings.quarantine / file["path"]).read_bytes() == b"bad"
    assert orbitory("quarantine", "list", "--json", "--reason", "checksum").json == []
    shown = orbitory("quarantine", "show", str(file["id"]), "--json")
    assert shown.status == 0 and [step["to"] for step in shown.json["history"]] == ["detected", "rejected"]
    assert "bad.bin" in orbitory("quarantine", "list").out
    (holdings.landing / "bad.bin").write_bytes(b"newer")
    kept = orbitory("quarantine", "redrive", str(file["id"]), "--json")
    assert kept.status == 1 and kept.json[0]["result"] == "kept"
    (holdings.landing / "bad.bin").unlink()
    given = orbitory("quarantine", "redrive", "--all", "--json")
    assert given.status == 0 and given.json[0]["result"] == "re-driven"
    assert (holdings.landing / "bad.bin").read_bytes() == b"bad"
    assert orbitory("quarantine", "list", "--json").json == []
    gone = orbitory("quarantine", "show", str(file["id"]))
    assert gone.status == 1
    told(gone, "does not stand in quarantine")


def test_audit_gives_0_when_all_promises_are_kept_and_4_when_not(orbitory: Orbitory, holdings: Holdings) -> None:
    assert orbitory("audit", "--json").json == {"violations": [], "checked_bytes": len(b"alpha")}
    assert orbitory("audit").out == "no violations\n"
    holdings.stored("a.bin").write_bytes(b"ALPHA")
    answer = orbitory("audit", "--json")
    assert answer.status == 4
    (violation,) = answer.json["violations"]
    assert set(violation) == {"invariant", "name", "detail"} and violation["invariant"] == "I2"
    assert "correlative/a.bin" in orbitory("audit").out
    assert orbitory("audit", "--no-hash").status == 0


def test_digest_prints_one_hash_and_its_parts_on_demand(orbitory: Orbitory, holdings: Holdings) -> None:
    parts = orbitory("digest", "--json").json
    assert set(parts) == {"digest", "inventory", "storage"}
    assert orbitory("digest").out == f"{parts['digest']}\n"


def test_ingest_reports_a_balanced_run_and_gives_1_for_rejected_files(orbitory: Orbitory, settings: Settings) -> None:
    landing = settings.landing / "correlative"
    landing.mkdir(parents=True)
    for name, content in (("good.txt", b"good\n"), ("empty.txt", b"")):
        (landing / name).write_bytes(content)
        os.utime(landing / name, (0, 0))
    answer = orbitory("ingest", "correlative", "--workers", "1", "--json")
    assert answer.status == 1
    told(answer, "1 files were rejected")
    run = answer.json
    assert set(run) == {
        *("run", "detected", "archived", "duplicate", "conflict", "rejected", "waiting", "bytes", "seconds")
    }
    assert (run["detected"], run["archived"], run["rejected"], run["bytes"]) == (2, 1, 1, 5)
    again = orbitory("ingest", "correlative", "--json")
    assert again.status == 0 and again.json["detected"] == 0
    assert orbitory("audit", "--json").json["violations"] == []


def test_every_verb_that_reports_knows_json() -> None:
    def leaves(verb: Any, name: str) -> Iterator[tuple[str, Any]]:
        groups = [action for action in verb._actions if hasattr(action, "choices") and isinstance(action.choices, dict)]
        if not groups:
            yield name, verb
        for group in groups:
            for inner, child in group.choices.items():
                yield from leaves(child, f"{name} {inner}".strip())

    verbs = dict(leaves(parser(), ""))
    assert {"ingest", "quarantine redrive", "catalogue check"} <= set(verbs)
    for name, verb in verbs.items():
        assert any("--json" in action.option_strings for action in verb._actions), name
