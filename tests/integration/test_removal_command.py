"""orbitory duplicates and orbitory delete, as people and other programs call them."""

from __future__ import annotations

from pathlib import Path

import pytest

from answers import Orbitory
from footprints import Strips, choose


def archived(archive: Strips) -> int:
    return int(archive.sql("SELECT count(*) AS n FROM granule WHERE state = 'archived'")[0]["n"])


@pytest.mark.req("N6")
def test_duplicates_shows_by_default_and_removes_and_brings_back_by_hash(archive: Strips, orbitory: Orbitory) -> None:
    archive.make(10)
    archive.again(1, "500060999100_01", cloudcover=0.39)
    choose(archive.site, "WV02")
    shown = orbitory("duplicates", "--json")
    assert shown.status == 0, shown.err
    assert shown.json["count"] == 1 and shown.json["bytes"] > 0 and archived(archive) == 11
    (item,) = shown.json["items"]
    assert item["loser"].startswith("strip/10JAN01000000-P1BS-500060999100_01")
    assert item["keeper"].startswith("strip/10JAN01000000-P1BS-050000000000_01") and "is above score" in item["reason"]
    assert orbitory("duplicates", "--sensor", "WV01", "--json").json["items"] == []
    plain = orbitory("duplicates")
    assert item["keeper"] in plain.out and f"--apply {shown.json['set_hash']}" in plain.out
    other = orbitory("duplicates", "--apply", "0" * 64, "--json")
    assert other.status == 2 and other.out == "" and "no plan" in other.err
    done = orbitory("duplicates", "--apply", shown.json["set_hash"], "--json")
    assert done.status == 0 and done.json["state"] == "applied" and archived(archive) == 10
    assert (done.json["count"], done.json["bytes"]) == (shown.json["count"], shown.json["bytes"])
    back = orbitory("duplicates", "--undo", shown.json["set_hash"], "--json")
    assert back.status == 0 and back.json["state"] == "undone" and archived(archive) == 11
    assert orbitory("audit").status == 0


@pytest.mark.req("N10")
def test_delete_refuses_much_without_force_and_says_which_names_it_does_not_know(
    archive: Strips, orbitory: Orbitory, tmp_path: Path
) -> None:
    archive.make(30)
    key = archive.sql("SELECT key FROM granule WHERE id = 3")[0]["key"]
    names = tmp_path / "names.txt"
    names.write_text(f"# to go\n{key}\n\nnga/nothing.ntf\n")
    shown = orbitory("delete", "--list", str(names), "--json")
    assert shown.status == 1 and [each["loser"] for each in shown.json["items"]] == [key]
    assert [each["name"] for each in shown.json["unknown"]] == ["nga/nothing.ntf"]
    assert orbitory("delete", "--list", str(names), "--apply", shown.json["set_hash"]).status == 0
    rule = orbitory("delete", "--rule", "sensor = WV02", "--json")
    assert rule.json["count"] == 29 and rule.json["needs_approval"] and "29 of 29 of WV02" in rule.err
    refused = orbitory("delete", "--rule", "sensor = WV02", "--apply", rule.json["set_hash"])
    assert refused.status == 2 and "--force" in refused.err and archived(archive) == 29
    forced = orbitory("delete", "--apply", rule.json["set_hash"], "--force", "--json")
    assert forced.status == 0 and archived(archive) == 0
    assert archive.sql("SELECT reason FROM removal_set ORDER BY id DESC LIMIT 1")[0]["reason"].startswith("--force by ")
    for wrong in (
        [],
        ["--rule", "sensor"],
        ["--list", str(tmp_path / "none")],
        ["--rule", "year < 2000", "--list", "-"],
    ):
        answer = orbitory("delete", *wrong)
        assert answer.status == 2 and answer.out == "" and "Traceback" not in answer.err
