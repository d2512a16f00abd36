"""expire, hold, retain, withdraw and restore, as people and other programs call them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from answers import Orbitory
from footprints import Strips
from orbitory import priority
from orbitory.settings import Settings
from retaining import archive, expire_at, key, keys

__all__ = ["archive"]


@pytest.mark.req("G22", "N10")
def test_expire_tells_the_same_before_and_after_and_holds_in_between(archive: Strips, orbitory: Orbitory) -> None:
    archive.make(12)
    expire_at(archive, [1, 2, 3])
    names = [key(archive, number) for number in range(1, 13)]
    assert orbitory("hold", "add", names[0], "--reason", "campaign", "--until", "never").status == 0
    shown = orbitory("expire", "--dry-run", "--json").json
    assert set(shown) >= {"items", "removed", "bytes"} and shown["removed"] == 0
    assert [set(item) for item in shown["items"]] == [{"kind", "name", "rule", "expires", "blocked_by"}] * 3
    blocked = {item["name"]: bool(item["blocked_by"]) for item in shown["items"]}
    assert blocked == {names[0]: True, names[1]: False, names[2]: False}
    done = orbitory("expire", "--json").json
    assert done["items"] == shown["items"] and done["removed"] == 2 and done["bytes"] > 0
    assert keys(archive, "deleted") == set(names[1:3])
    listed = orbitory("hold", "list", "--json").json
    assert [(row["name"], row["kind"], row["reason"]) for row in listed] == [(names[0], "person", "campaign")]
    assert orbitory("hold", "release", names[0]).status == 0
    assert orbitory("hold", "release", names[0]).status == 1, "nobody holds it any more"
    (back,) = orbitory("restore", names[1], "--json").json
    assert (back["state"], back["count"]) == ("undone", 1) and keys(archive, "deleted") == {names[2]}
    runs = orbitory("expire", "--history", "--json").json
    assert [run["verdict"] for run in runs] == ["success"] and runs[0]["removed"] == 2 and runs[0]["blocked"] == 1


def test_another_moment_is_for_a_dry_run_alone(archive: Strips, orbitory: Orbitory) -> None:
    archive.make(3)
    expire_at(archive, [1], "'2998-01-01'")
    assert orbitory("expire", "--as-of", "2999-01-01").status == 2
    assert len(orbitory("expire", "--dry-run", "--as-of", "2999-01-01", "--json").json["items"]) == 1
    assert orbitory("expire", "--json").json["items"] == [] and len(keys(archive)) == 3
    assert orbitory("expire", "--calendar", "--json").json == []


def test_words_for_people_name_what_stays_and_how_to_approve(
    archive: Strips, orbitory: Orbitory, tmp_path: Path
) -> None:
    archive.make(1100)
    expire_at(archive, range(1, 1051))
    told = orbitory("expire")
    assert told.status == 0 and "strip_pan needs approval: `orbitory delete --apply " in told.out
    set_hash = told.out.rpartition("--apply ")[2].partition(" ")[0]
    refused = orbitory("delete", "--apply", set_hash)
    assert refused.status == 2 and "more than 1 % and 1,000 of a product type" in refused.err
    kept = tmp_path / "keep.txt"
    kept.write_text("\n".join(key(archive, number) for number in range(1, 101)))
    assert orbitory("retain", "--list", str(kept), "--until", "never", "--reason", "test site").status == 0
    assert orbitory("delete", "--apply", set_hash, "--force").status == 2, "it is another set now"
    assert orbitory("expire", "--json").json["removed"] == 950
    assert "day" in str(orbitory("expire", "--calendar").out).lower()


def test_withdraw_hides_tells_and_shows_again(archive: Strips, orbitory: Orbitory) -> None:
    archive.make(3)
    name = key(archive, 1)
    told = orbitory("withdraw", name, "--reason", "bad", "--json").json
    assert told == {"granules": [name], "made_from_it": []} and keys(archive, "withdrawn") == {name}
    assert orbitory("withdraw", name, "--undo", "--json").json == {"granules": [name]} and len(keys(archive)) == 3
    assert orbitory("withdraw", name).status == 2
    assert orbitory("restore", name).status == 2
    assert orbitory("retain", name, "--rule", "sensor = WV02", "--until", "never", "--reason", "x").status == 2


def test_upkeep_gives_way_and_rests_before_it_begins_while_an_ingest_is_at_work(
    archive: Strips, orbitory: Orbitory, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.make(2)
    rested: list[tuple[bool, object]] = []

    def begun() -> object:
        return archive.sql("SELECT (SELECT count(*) FROM retention_run) AS runs, (SELECT count(*) FROM scan) AS scans")

    def sleep(_: float) -> None:
        rested.append((os.getpriority(os.PRIO_PROCESS, 0) == 19, begun()))

    monkeypatch.setattr(priority, "time", SimpleNamespace(sleep=sleep, process_time=time.process_time))
    commands = (["expire"], ["audit", "--reconcile"], ["audit", "--fixity"])
    for command in commands:
        assert orbitory(*command).status == 0
    assert rested == [], "nobody is at work beside them"
    with psycopg.connect(settings.owner_database, autocommit=True) as owner:
        owner.execute("INSERT INTO ingest_run (source, actor, session) VALUES ('nga', 'beside', false)")
        owner.execute(
            "INSERT INTO batch (run_id, source, partition, files, bytes, claim, lease_until)"
            " SELECT id, 'nga', 'WV02', 1, 1, gen_random_uuid(), now() + interval '1 hour' FROM ingest_run"
        )
        for command in commands:
            rested.clear()
            before = begun()
            assert orbitory(*command).status == 0
            assert rested[0] == (True, before), command
        owner.execute("DELETE FROM batch")
        owner.execute("DELETE FROM ingest_run")
