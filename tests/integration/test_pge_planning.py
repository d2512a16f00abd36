"""Planning: each product is due exactly once, when its inputs are there, whatever came first."""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import psycopg
import pytest

from orbitory.errors import ConfigurationError
from orbitory.inventory import QUERIES, connect
from orbitory.pge import planner
from orbitory.pge.planner import plan
from orbitory.pge.stale import stale
from orbitory.pge.why import why
from orbitory.site import open_site
from planning import DAILY, QUICKLOOK, T0, VIIRS, Archive, granule_key, granule_start

NEIGHBOURS = QUICKLOOK.replace('"quick"', '"composite"').replace(
    'products = ["SVM05"]', 'products = ["SVM05"]\nselect = "neighbours"'
)
OPTIONAL = """[[inputs]]
name = "atms"
products = ["SATMS"]
select = "valintersect"
optional = true
timeout_minutes = 30
[[outputs]]"""
WITH_OPTION = QUICKLOOK.replace('"quick"', '"option"').replace("[[outputs]]", OPTIONAL)
WITH_ANCILLARY = QUICKLOOK.replace('"quick"', '"model"').replace(
    "[[outputs]]",
    """[[inputs]]
name = "model"
kind = "ancillary"
products = ["model_output"]
select = "latest_before"
before_seconds = 3600
[[outputs]]""",
)
ORBIT = DAILY.replace('"daily"', '"orbit"').replace('kind = "time"', 'kind = "orbit"').replace("hours = 24\n", "")
FOUR = (
    DAILY.replace('"daily"', '"four"')
    .replace('kind = "time"', 'kind = "granules"')
    .replace("hours = 24", "size = 4")
    .replace("timeout_minutes = 60", "timeout_minutes = 10\nmin_count = 3")
)


def told(archive: Archive, instance: int) -> str:
    with connect(archive.settings.database, actor="test") as inventory:
        return why(inventory, instance).why


@pytest.mark.req("G12")
def test_an_instance_is_ready_exactly_when_all_required_inputs_are_there(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    archive.viirs("SVM05", 0)
    archive.plan()
    (row,) = archive.rows()
    assert row["state"] == "waiting" and row["input_hash"] is None
    name = granule_key("GMTCO", 0).rpartition("/")[2]
    assert row["period_key"] == name
    assert f"geo: have 0 of 1: missing {name}" in told(archive, row["id"])
    archive.viirs("GMTCO", 1)
    archive.plan()
    assert archive.states() == ["waiting"]
    archive.viirs("GMTCO", 0)
    archive.plan()
    (row,) = archive.rows()
    assert row["state"] == "ready" and row["input_hash"] and row["missing"] == [] and row["wake_at"] is None
    frozen = archive.rows(
        "SELECT input, granule_id, p.digest, a.digest AS own FROM pge_input p JOIN asset a ON a.id = asset_id"
    )
    assert {each["input"] for each in frozen} == {"sdr", "geo"}
    assert all(each["digest"] == each["own"] for each in frozen)


@pytest.mark.req("G12")
def test_planning_again_changes_nothing(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK, NEIGHBOURS, WITH_OPTION, DAILY)
    for number in range(3):
        archive.viirs("SVM05", number)
        archive.viirs("GMTCO", number)
    assert archive.plan().written > 0
    before = archive.rows()
    assert archive.plan().written == 0
    assert archive.plan(T0, T0 + timedelta(days=1)).written == 0
    assert archive.rows() == before


@pytest.mark.req("G12")
def test_fifty_orders_of_arrival_give_the_same_instances(make: Callable[..., Archive], owner_uri: str) -> None:
    """Planning happens after some arrivals; a later version comes before the first one or after it."""
    archive = make(QUICKLOOK, NEIGHBOURS, WITH_OPTION, FOUR, WITH_ANCILLARY)
    arrivals: list[tuple[str, int, int]] = [(each, number, 0) for each in ("SVM05", "GMTCO") for number in range(6)]
    arrivals += [("SATMS", 2, 0), ("GMTCO", 3, 1), ("model_output", 0, 0), ("model_output", 2, 0)]
    outcomes = set()
    with psycopg.connect(owner_uri, autocommit=True) as owner, archive.site() as site:
        for order in range(50):
            chance = random.Random(order)
            for product, number, rank in chance.sample(arrivals, len(arrivals)):
                archive.viirs(product, number, version_rank=rank)
                if chance.random() < 0.4:
                    plan(site)
            plan(site)
            rows = archive.rows("SELECT pge, period_key, state, input_hash, sensing, missing FROM pge_instance")
            outcomes.add(tuple(sorted(re.sub(r"'until': '[^']*'", "", str(row)) for row in rows)))
            owner.execute("TRUNCATE granule, asset, pge_instance, pge_input CASCADE")
    assert len(outcomes) == 1
    (outcome,) = outcomes
    states = Counter(tuple(re.findall(r"'(?:pge|state)': '(\w+)'", row)) for row in outcome)
    assert states["quick", "ready"] == 6
    assert states["composite", "ready"] == 4, "of N granules in a row N-2 are made"
    assert states["option", "ready"] == 1 and states["option", "waiting"] == 5
    assert states["model", "ready"] == 6


@pytest.mark.req("G12")
def test_an_optional_input_is_waited_for_until_its_time_out_and_not_longer(make: Callable[..., Archive]) -> None:
    archive = make(WITH_OPTION)
    archive.viirs("SVM05", 0)
    archive.plan()
    assert "optional atms (SATMS) is waited for once the others are there" in told(archive, 1)
    archive.viirs("GMTCO", 0)
    archive.plan()
    (row,) = archive.rows()
    assert row["state"] == "waiting" and row["wake_at"] - row["settled_at"] == timedelta(minutes=30)
    assert f"optional atms (SATMS) expires {row['wake_at']:%Y-%m-%d %H:%M} UTC" in told(archive, 1)
    archive.later(minutes=29)
    archive.plan()
    assert archive.states() == ["waiting"]
    archive.later(minutes=1)
    archive.plan()
    assert archive.states() == ["ready"]


@pytest.mark.req("G12")
def test_an_optional_input_that_comes_in_time_ends_the_wait(make: Callable[..., Archive]) -> None:
    archive = make(WITH_OPTION)
    archive.viirs("SVM05", 0)
    archive.viirs("GMTCO", 0)
    archive.plan()
    first, length = granule_start(0) - timedelta(seconds=10), timedelta(seconds=32)
    for number in range(2):
        start = first + number * length
        archive.granule("SATMS", f"NPP/ATMS-SDR/{number}", start, start + length, platform="NPP", sensor="ATMS")
    archive.plan()
    assert archive.states() == ["waiting"] and archive.rows()[0]["missing"][0]["have"] == 2
    for number in (2, 3):
        start = first + number * length
        archive.granule("SATMS", f"NPP/ATMS-SDR/{number}", start, start + length, platform="NPP", sensor="ATMS")
    archive.plan()
    assert archive.states() == ["ready"], "the period is covered: no more can come"
    assert len(archive.rows("SELECT * FROM pge_input")) == 2 + 3


@pytest.mark.req("G12")
def test_a_waiting_instance_says_in_words_what_is_missing_and_until_when(make: Callable[..., Archive]) -> None:
    few = 'select = "neighbours"\nmin_count = 2\ntimeout_minutes = 30'
    archive = make(WITH_OPTION.replace('products = ["SVM05"]', f'products = ["SVM05"]\n{few}'))
    archive.viirs("SVM05", 1)
    archive.plan()
    before, own, after = (granule_key("SVM05", number).rpartition("/")[2] for number in range(3))
    assert told(archive, 1).startswith(
        f"waiting: sdr: have 1 of 3: missing {before}, {after}; geo: have 0 of 1: missing {own};"
        " optional atms (SATMS) is waited for once the others are there; given up "
    )
    archive.viirs("GMTCO", 1)
    archive.viirs("SVM05", 2)
    archive.plan()
    row = next(each for each in archive.rows() if each["period_key"] == own)
    until = f"{row['wake_at']:%Y-%m-%d %H:%M} UTC"
    assert told(archive, row["id"]).startswith(
        f"waiting: sdr: have 2 of 3: missing {before}; what is there will do at {until};"
        f" optional atms (SATMS) expires {until}; given up "
    )
    archive.later(minutes=30)
    archive.plan()
    assert archive.rows("SELECT state FROM pge_instance WHERE id = %s", row["id"]) == [{"state": "ready"}]
    taken = archive.rows(
        "SELECT input, count(*) AS n FROM pge_input WHERE instance_id = %s GROUP BY 1 ORDER BY 1", row["id"]
    )
    assert [(each["input"], each["n"]) for each in taken] == [("geo", 1), ("sdr", 2)]


@pytest.mark.req("G12")
def test_a_second_choice_serves_once_the_first_was_waited_for(make: Callable[..., Archive]) -> None:
    choices = 'alternatives = [["GMTCO"], ["GMODO"]]\ntimeout_minutes = 15'
    archive = make(QUICKLOOK.replace('products = ["GMTCO"]', choices))
    for number in range(2):
        archive.viirs("SVM05", number)
        archive.viirs("GMODO", number)
    archive.plan()
    assert archive.states() == ["waiting", "waiting"]
    first = archive.viirs("GMTCO", 0)
    archive.plan()
    assert archive.states() == ["ready", "waiting"]
    archive.later(minutes=15)
    archive.plan()
    assert archive.states() == ["ready", "ready"]
    taken = archive.rows(
        "SELECT product, granule_id = %s AS first FROM pge_input JOIN granule g ON g.id = granule_id"
        " WHERE input = 'geo' ORDER BY instance_id",
        first,
    )
    assert [(each["product"], each["first"]) for each in taken] == [("GMTCO", True), ("GMODO", False)]


@pytest.mark.req("G12")
def test_the_latest_valid_before_the_period_is_taken_and_a_later_one_replaces_it(make: Callable[..., Archive]) -> None:
    archive = make(WITH_ANCILLARY)
    archive.viirs("SVM05", 0)
    archive.viirs("GMTCO", 0)
    start = granule_start(0)

    def forecast(minutes: int) -> int:
        moment = start + timedelta(minutes=minutes)
        return archive.granule("model_output", f"m/{minutes}", moment, moment, platform="any")

    forecast(5)
    forecast(-90)
    archive.plan()
    assert archive.states() == ["waiting"], "one is too young, one too old"
    best = 0
    for minutes in (-50, -10, -30):
        number = forecast(minutes)
        archive.plan()
        assert archive.states() == ["ready"]
        best = best if minutes == -30 else number
        (row,) = archive.rows("SELECT granule_id FROM pge_input WHERE input = 'model'")
        assert row["granule_id"] == best


@pytest.mark.req("G12")
def test_a_type_of_strips_means_every_product_code_with_its_letter(make: Callable[..., Archive]) -> None:
    """Also a code that nobody has seen before; each image makes an instance of its own."""
    text = QUICKLOOK.replace('products = ["SVM05"]', 'products = ["strip_pan", "strip_msi"]')
    archive = make(re.sub(r'\[\[inputs\]\]\nname = "geo"\nproducts = \["GMTCO"\]\n', "", text))
    for number, product in enumerate(("P1BS", "S2AS", "strip_msi", "A1BS")):
        archive.granule(product, f"strip/{number}", T0, T0 + timedelta(seconds=4), platform="WV02")
    archive.plan()
    assert [(row["period_key"], row["state"]) for row in archive.rows()] == [("0", "ready"), ("2", "ready")]
    archive.granule("M9ZZ", "strip/4", T0, T0 + timedelta(seconds=4), platform="WV02")
    archive.plan()
    assert [row["period_key"] for row in archive.rows()] == ["0", "2", "4"]


@pytest.mark.req("G12")
def test_what_is_hopeless_expires_and_says_why_and_a_late_arrival_revives_it(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    archive.viirs("SVM05", 0)
    archive.plan()
    archive.later(hours=73)
    archive.plan()
    (row,) = archive.rows()
    assert row["state"] == "expired" and row["reason"] == "expired" and row["finished_at"]
    assert "given up: geo: have 0 of 1" in told(archive, 1)
    archive.plan()
    (message,) = archive.rows("SELECT kind, source, subject, text FROM outbox")
    assert (message["kind"], message["subject"]) == ("pge_expired", "PGE quick: 1 instance given up")
    assert f"1  {row['period_key']}  given up: geo: have 0 of 1: missing {row['period_key']}" in message["text"]
    archive.viirs("GMTCO", 1)
    archive.plan()
    assert archive.states() == ["expired"], "what does not help begins nothing"
    archive.viirs("GMTCO", 0)
    archive.plan()
    assert archive.states() == ["expired", "ready"]
    archive.viirs("GMTCO", 2)
    archive.plan()
    assert archive.states() == ["expired", "ready"]


def test_a_late_arrival_revives_nothing_where_the_definition_ignores_what_is_late(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK.replace("[run]", '[run]\nlate = "ignore"\nexpiry = "quiet"'))
    archive.viirs("SVM05", 0)
    archive.plan()
    archive.later(hours=73)
    archive.plan()
    archive.viirs("GMTCO", 0)
    archive.plan()
    assert archive.states() == ["expired"]
    archive.plan(T0, T0 + timedelta(hours=1))
    assert archive.states() == ["expired", "ready"], "on request it is made"
    assert archive.rows("SELECT * FROM outbox") == [], "nobody wanted to be told"


@pytest.mark.req("G12")
def test_a_file_outside_the_archive_is_needed_too(make: Callable[..., Archive], site_root) -> None:  # type: ignore[no-untyped-def]
    table = site_root / "table.lut"
    archive = make(
        QUICKLOOK.replace("[[outputs]]", f'[[inputs]]\nname = "table"\nkind = "file"\npath = "{table}"\n[[outputs]]')
    )
    archive.viirs("SVM05", 0)
    archive.viirs("GMTCO", 0)
    archive.plan()
    assert archive.states() == ["waiting"] and f"table: have 0 of 1: missing {table}" in told(archive, 1)
    table.write_bytes(b"numbers")
    archive.plan(T0, T0 + timedelta(hours=1))
    (row,) = archive.rows()
    assert row["state"] == "ready"
    (file,) = archive.rows("SELECT * FROM pge_input WHERE input = 'table'")
    assert file["path"] == str(table) and file["granule_id"] is None
    table.write_bytes(b"other numbers")
    archive.set_state(1, "done")
    archive.plan(T0, T0 + timedelta(hours=1))
    assert archive.states() == ["superseded", "ready"]


@pytest.mark.req("G12")
def test_a_waiting_instance_finds_a_file_that_appeared_without_any_arrival(
    make: Callable[..., Archive],
    site_root,  # type: ignore[no-untyped-def]
) -> None:
    table = site_root / "table.lut"
    archive = make(
        QUICKLOOK.replace("[[outputs]]", f'[[inputs]]\nname = "table"\nkind = "file"\npath = "{table}"\n[[outputs]]')
    )
    archive.viirs("SVM05", 0)
    archive.viirs("GMTCO", 0)
    archive.plan()
    table.write_bytes(b"numbers")
    archive.later(minutes=15)
    archive.plan()
    assert archive.states() == ["ready"]


@pytest.mark.req("G12")
def test_a_better_version_before_the_run_is_simply_taken(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    archive.viirs("SVM05", 0)
    archive.viirs("GMTCO", 0)
    archive.plan()
    (before,) = archive.rows()
    better = archive.viirs("GMTCO", 0, version="A2", version_rank=2)
    archive.plan()
    (row,) = archive.rows()
    assert row["id"] == before["id"] and row["state"] == "ready" and row["input_hash"] != before["input_hash"]
    inputs = archive.rows("SELECT granule_id FROM pge_input WHERE input = 'geo'")
    assert [each["granule_id"] for each in inputs] == [better]


@pytest.mark.req("G12")
def test_a_better_version_during_the_run_waits_for_its_end(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    archive.viirs("SVM05", 0)
    archive.viirs("GMTCO", 0)
    archive.plan()
    archive.set_state(1, "running")
    archive.viirs("GMTCO", 0, version="A2", version_rank=2)
    archive.plan()
    (row,) = archive.rows()
    assert row["state"] == "running" and row["stale_at"] is not None
    archive.set_state(1, "done")
    archive.plan()
    assert archive.states() == ["superseded", "ready"]
    assert archive.rows()[1]["supersedes"] == 1
    assert "superseded by instance 2: better inputs came" in told(archive, 1)


@pytest.mark.req("G12")
@pytest.mark.parametrize("state", ["done", "failed"])
def test_what_ended_is_made_anew_from_better_inputs_and_never_from_the_same(
    make: Callable[..., Archive], state: str
) -> None:
    archive = make(QUICKLOOK)
    archive.viirs("SVM05", 0)
    archive.viirs("GMTCO", 0)
    archive.plan()
    archive.set_state(1, state)
    archive.viirs("GMTCO", 1)
    archive.plan()
    archive.plan(T0, T0 + timedelta(hours=1))
    assert archive.states() == [state]
    archive.viirs("SVM05", 0, version="A2", version_rank=2)
    archive.plan()
    assert archive.states() == ["superseded", "ready"]


@pytest.mark.req("G12")
def test_stale_outputs_are_found_where_the_definition_leaves_them_alone(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK.replace('"{pges}/quick.py"]', '"{pges}/quick.py"]\nlate = "ignore"'))
    archive.viirs("SVM05", 0)
    archive.viirs("GMTCO", 0)
    archive.plan()
    archive.set_state(1, "done")
    archive.viirs("GMTCO", 0, version="A2", version_rank=2)
    archive.plan()
    archive.plan()
    assert archive.states() == ["done"]
    with archive.site() as site:
        (found,) = stale(site.inventory, site.catalogue)
    assert (found.instance, found.reason) == (1, "inputs")
    assert found.detail == f"geo: {granule_key('GMTCO', 0)} A1 → A2"


def test_what_was_made_from_more_than_is_left_is_not_made_anew_from_less(make: Callable[..., Archive]) -> None:
    archive = make(DAILY)
    first = archive.viirs("SVM05", 0)
    archive.plan()
    archive.later(minutes=60)
    archive.plan()
    archive.set_state(1, "done")
    archive.db.execute("UPDATE granule SET state = 'deleted' WHERE id = %s", [first])
    archive.viirs("SVM05", 1)
    archive.plan()
    (row,) = archive.rows()
    assert row["state"] == "done" and row["stale_at"] is not None


def test_a_cancelled_instance_is_not_planned_again_for_the_same_inputs(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    archive.viirs("SVM05", 0)
    archive.viirs("GMTCO", 0)
    archive.plan()
    archive.set_state(1, "cancelled")
    archive.plan(T0, T0 + timedelta(hours=1))
    assert archive.states() == ["cancelled"]
    archive.viirs("GMTCO", 0, version="A2", version_rank=2)
    archive.plan(T0, T0 + timedelta(hours=1))
    assert archive.states() == ["cancelled", "ready"]


def test_another_packaging_of_the_same_granule_makes_nothing_anew(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    number = archive.viirs("SVM05", 0)
    archive.viirs("GMTCO", 0)
    archive.plan()
    before = archive.rows()[0]["input_hash"]
    archive.set_state(1, "done")
    archive.db.execute(
        "WITH a AS (INSERT INTO asset (path, role, state, kind, size, digest)"
        " VALUES ('other', 'data', 'archived', 'hdf5', 1, 'x') RETURNING id)"
        " INSERT INTO granule_asset SELECT %s, id FROM a",
        [number],
    )
    archive.plan(T0, T0 + timedelta(hours=1))
    assert archive.states() == ["done"] and archive.rows()[0]["input_hash"] == before


def test_a_day_is_made_when_its_granules_stop_coming(make: Callable[..., Archive]) -> None:
    archive = make(DAILY)
    archive.viirs("SVM05", 0)
    archive.viirs("SVM05", 1, platform="J01")
    archive.plan()
    (row,) = archive.rows()
    assert row["period_key"] == "20240210" and row["state"] == "waiting"
    archive.later(minutes=50)
    archive.viirs("SVM05", 2)
    archive.plan()
    archive.later(minutes=50)
    archive.plan()
    assert archive.states() == ["waiting"], "what came meanwhile began the wait anew"
    archive.later(minutes=10)
    archive.plan()
    assert archive.states() == ["ready"] and len(archive.rows("SELECT * FROM pge_input")) == 3
    archive.viirs("SVM05", 2_000)
    archive.plan()
    assert [row["period_key"] for row in archive.rows()] == ["20240210", "20240212"]


def test_an_orbit_gathers_its_granules_of_one_platform(make: Callable[..., Archive]) -> None:
    archive = make(ORBIT)
    for number, orbit in ((0, 7), (1, 7), (2, 8)):
        archive.viirs("SVM05", number, orbit=orbit)
        archive.plan()
    archive.viirs("SVM05", 1, platform="J01", orbit=7)
    archive.later(minutes=60)
    archive.plan()
    archive.plan()
    rows = archive.rows("SELECT period_key, state, sensing FROM pge_instance ORDER BY 1")
    assert [row["period_key"] for row in rows] == ["J01-orbit7", "NPP-orbit7", "NPP-orbit8"]
    assert rows[1]["sensing"].lower == granule_start(0) and rows[1]["sensing"].upper > granule_start(1)
    assert rows[1]["state"] == "ready"


@pytest.mark.req("G12")
def test_granules_in_a_row_are_ready_at_once_when_whole_and_later_from_mincover_on(
    make: Callable[..., Archive],
) -> None:
    archive = make(FOUR)
    for number in range(12):
        archive.viirs("SVM05", number)
    archive.plan()
    states = [row["state"] for row in archive.rows("SELECT * FROM pge_instance ORDER BY lower(sensing)")]
    assert states.count("ready") >= 2 and len(states) in (3, 4)
    whole = archive.rows("SELECT instance_id, count(*) AS n FROM pge_input GROUP BY 1")
    assert {row["n"] for row in whole} == {4}
    archive.later(minutes=10)
    archive.plan()
    partly = archive.rows("SELECT count(*) AS n FROM pge_input GROUP BY instance_id")
    assert {row["n"] for row in partly} <= {3, 4}


def test_only_granules_that_touch_the_area_make_instances(make: Callable[..., Archive]) -> None:
    archive = make(
        QUICKLOOK.replace('kind = "granule"', 'kind = "area"\narea = "10,40,20,50"'),
        DAILY.replace("hours = 24", 'hours = 24\narea = "10,40,20,50"').replace("timeout_minutes = 60", ""),
    )
    inside, outside = "POLYGON((9 39,12 39,12 42,9 42,9 39))", "POLYGON((0 0,1 0,1 1,0 1,0 0))"
    archive.viirs("SVM05", 0, footprint=inside)
    archive.viirs("SVM05", 1, footprint=outside)
    archive.viirs("SVM05", 2)
    archive.plan()
    rows = archive.rows()
    assert {(row["pge"], row["state"]) for row in rows} == {("quick", "waiting"), ("daily", "ready")}
    assert len(archive.rows("SELECT * FROM pge_input")) == 1


@pytest.mark.req("G12")
def test_ancillary_data_of_any_platform_are_the_newest_that_cover_the_period(make: Callable[..., Archive]) -> None:
    ancillary = (
        '[[inputs]]\nname = "leap"\nkind = "ancillary"\nproducts = ["model_output"]\nselect = "latest_valcover"\n'
    )
    ancillary += "longest_seconds = 2000000\n"
    archive = make(QUICKLOOK.replace("[[outputs]]", f"{ancillary}[[outputs]]"))
    archive.viirs("SVM05", 0)
    archive.viirs("GMTCO", 0)
    archive.plan()
    assert archive.states() == ["waiting"]
    week = timedelta(days=7)
    archive.granule("model_output", "m/1", T0 - week, T0 + week, created=T0 - week)
    archive.plan()
    newest = archive.granule("model_output", "m/2", T0 - week, T0 + week, created=T0)
    archive.granule("model_output", "m/3", T0 - week, T0, created=T0 + week)
    archive.plan()
    assert archive.states() == ["ready"]
    (row,) = archive.rows("SELECT granule_id FROM pge_input WHERE input = 'leap'")
    assert row["granule_id"] == newest


def test_a_new_version_makes_anew_what_waited_and_the_rest_on_request(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    archive.viirs("SVM05", 0)
    archive.viirs("GMTCO", 0)
    archive.viirs("SVM05", 1)
    archive.plan()
    archive.set_state(1, "done")
    archive.define(QUICKLOOK.replace('version = "1"', 'version = "2"'))
    archive.plan()
    assert [(row["version"], row["state"]) for row in archive.rows()] == [
        *(("1", "done"), ("1", "superseded"), ("2", "waiting"))
    ]
    with archive.site() as site:
        assert [each.reason for each in stale(site.inventory, site.catalogue)] == ["version"]
    archive.plan(T0, T0 + timedelta(hours=1))
    assert archive.states() == ["done", "superseded", "waiting", "ready"]
    archive.set_state(4, "done")
    with archive.site() as site:
        assert stale(site.inventory, site.catalogue) == [], "the new version has made it"


@pytest.mark.req("G12")
def test_a_broken_definition_catches_up_when_it_is_repaired_and_a_disabled_one_does_not(
    make: Callable[..., Archive],
) -> None:
    other = QUICKLOOK.replace('"quick"', '"other"')
    archive = make(QUICKLOOK, other)
    archive.viirs("SVM05", 0)
    archive.plan()
    archive.define(QUICKLOOK.replace("[period]", "[peroid]"))
    archive.define(other.replace('version = "1"', 'version = "1"\nenabled = false'))
    archive.viirs("SVM05", 1)
    with pytest.raises(AssertionError):
        archive.plan()  # the helper insists on a sound catalogue
    with open_site(actor="test", settings=archive.settings) as site:
        assert set(site.catalogue.pges) == {"other"}
        plan(site)
    archive.define(QUICKLOOK)
    archive.define(other)
    archive.viirs("SVM05", 2)
    archive.plan()
    keys = {name: {row["period_key"] for row in archive.rows() if row["pge"] == name} for name in ("quick", "other")}
    names = [granule_key("SVM05", number).rpartition("/")[2] for number in range(3)]
    assert keys == {"quick": set(names), "other": {names[0], names[2]}}


def test_what_waits_for_a_pge_that_is_gone_expires_in_time_and_for_a_broken_one_it_waits(
    make: Callable[..., Archive],
) -> None:
    archive = make(QUICKLOOK)
    archive.viirs("SVM05", 0)
    archive.plan()
    archive.later(hours=73)
    archive.define(QUICKLOOK.replace("[period]", "[peroid]"))
    with open_site(actor="test", settings=archive.settings) as site:
        plan(site)
    assert archive.states() == ["waiting"]
    (archive.settings.catalogue / "pges" / "quick.toml").unlink()
    archive.plan()
    assert archive.states() == ["expired"]
    assert "the catalogue has no such PGE any more" in told(archive, 1)


@pytest.mark.req("G12")
def test_many_small_rounds_plan_the_same_as_one(make: Callable[..., Archive], monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make(QUICKLOOK, NEIGHBOURS)
    for number in range(7):
        archive.viirs("SVM05", number)
        archive.viirs("GMTCO", number)
    monkeypatch.setattr(planner, "MOST_GRANULES", 3)
    monkeypatch.setattr(planner, "_MOST_EVENTS", 2)
    assert archive.plan().granules == 14
    states = [(row["pge"], row["state"]) for row in archive.rows()]
    assert states.count(("quick", "ready")) == 7 and states.count(("composite", "ready")) == 5
    archive.db.execute("UPDATE pge_instance SET state = 'done' WHERE state = 'ready'")
    archive.define(QUICKLOOK.replace('version = "1"', 'version = "2"'))
    assert archive.plan(T0, granule_start(6)).granules == 6, "the end is excluded"
    assert len(archive.rows("SELECT id FROM pge_instance WHERE version = '2' AND state = 'ready'")) == 6


@pytest.mark.req("G12")
def test_a_new_pge_begins_where_planning_stands_and_the_past_is_planned_on_request(
    make: Callable[..., Archive],
) -> None:
    archive = make(QUICKLOOK)
    archive.viirs("SVM05", 0)
    archive.plan()
    archive.define(QUICKLOOK.replace('"quick"', '"other"'))
    archive.plan()
    assert {row["pge"] for row in archive.rows()} == {"quick"}
    archive.plan(granule_start(0), granule_start(1))
    assert {row["pge"] for row in archive.rows()} == {"quick", "other"}


def test_granules_that_are_committed_late_are_not_passed_by(make: Callable[..., Archive]) -> None:
    """Whoever makes granules visible and commits after a younger one must not be overtaken by the watermark."""
    archive = make(QUICKLOOK)
    with psycopg.connect(archive.settings.database) as slow:
        slow.execute(
            "INSERT INTO granule (source, product, key, state, sensing, sensor, platform)"
            " VALUES ('idps', 'SVM05', %s, 'archived', tstzrange(%s, %s, '[]'), 'VIIRS', 'NPP')",
            [granule_key("SVM05", 0), granule_start(0), granule_start(0) + VIIRS],
        )
        archive.viirs("SVM05", 1)  # a younger one is already committed
        other = threading.Thread(target=archive.plan)
        other.start()
        other.join(1)
        assert other.is_alive(), "the planner waits until what is under way is told"
        slow.commit()
        other.join(30)
    archive.plan()
    assert len(archive.rows()) == 2


@pytest.mark.req("G12")
def test_two_planners_at_once_make_each_instance_once(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK, NEIGHBOURS, DAILY)
    for number in range(20):
        archive.viirs("SVM05", number)
        archive.viirs("GMTCO", number)
    failures: list[BaseException] = []

    def run(*span: datetime) -> None:
        try:
            archive.plan(*span)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    day = (T0, T0 + timedelta(days=1))  # as a backfill asks for, beside the schedule
    threads = [threading.Thread(target=run, args=span) for span in ((), day, (), day)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(archive.rows()) == 20 + 20 + 1
    twice = archive.rows("SELECT 1 FROM pge_instance GROUP BY pge, version, period_key HAVING count(*) > 1")
    assert twice == []


@pytest.mark.req("G12")
def test_the_same_inputs_are_refused_twice_by_the_inventory_itself(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    archive.viirs("SVM05", 0)
    archive.viirs("GMTCO", 0)
    archive.plan()
    with pytest.raises(psycopg.errors.UniqueViolation, match="pge_instance_inputs"):
        archive.db.execute(
            "INSERT INTO pge_instance (pge, version, period_key, sensing, state, input_hash)"
            " SELECT pge, version, 'other', sensing, state, input_hash FROM pge_instance"
        )
    with pytest.raises(psycopg.errors.UniqueViolation, match="pge_instance_period"):
        archive.db.execute(
            "INSERT INTO pge_instance (pge, version, period_key, sensing, state)"
            " SELECT pge, version, period_key, sensing, 'waiting' FROM pge_instance"
        )


def test_every_change_of_state_is_in_the_history(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    archive.viirs("SVM05", 0)
    archive.plan()
    archive.viirs("GMTCO", 0)
    archive.plan()
    rows = archive.rows("SELECT from_state, to_state FROM event WHERE subject = 'pge_instance' ORDER BY id")
    assert [(row["from_state"], row["to_state"]) for row in rows] == [(None, "waiting"), ("waiting", "ready")]


def test_an_empty_range_and_an_unknown_instance_are_refused(make: Callable[..., Archive]) -> None:
    archive = make(QUICKLOOK)
    with pytest.raises(ConfigurationError, match="range is empty"):
        archive.plan(T0, T0)
    with pytest.raises(ConfigurationError, match="no PGE instance 7"):
        told(archive, 7)


@pytest.mark.parametrize("analysed", [False, True])
def test_planning_never_reads_the_whole_inventory(make: Callable[..., Archive], owner_uri: str, analysed: bool) -> None:
    """Each statement reaches granules, files and instances by an index, so its cost does not grow with the archive."""
    archive = make(QUICKLOOK)
    with archive.db.transaction():
        archive.db.execute(
            "INSERT INTO granule (source, product, key, state, sensing, sensor, platform)"
            " SELECT 'idps', p, 'NPP/' || p || '/' || n, 'archived',"
            " tstzrange(%s + n * interval '85 s', %s + n * interval '85 s' + interval '84 s', '[]'), 'VIIRS', 'NPP'"
            " FROM unnest(ARRAY['SVM05', 'GMTCO', 'SVM01', 'SVM02']) p, generate_series(1, 4000) n",
            [T0, T0],
        )
        archive.db.execute(
            "INSERT INTO asset (path, role, state, kind, size, digest)"
            " SELECT key, 'data', 'archived', 'hdf5', 1, 'x' FROM granule"
        )
        archive.db.execute("INSERT INTO granule_asset SELECT g.id, a.id FROM granule g JOIN asset a ON a.path = g.key")
    archive.plan(T0, T0 + timedelta(days=4))
    if analysed:
        with psycopg.connect(owner_uri, autocommit=True) as owner:
            owner.execute("ANALYZE granule, asset, granule_asset, pge_instance, pge_input, event")
    (row,) = archive.rows("SELECT array_agg(id) AS ids FROM (SELECT id FROM granule ORDER BY id LIMIT 500) g")
    times = [T0 + n * timedelta(hours=6) for n in range(4)]
    names, stops = ["quick"] * 4, [each + timedelta(hours=1) for each in times]
    spans = {"starts": times, "stops": stops}
    values: dict[str, dict[str, object]] = {
        "plan_arrived": {"ids": row["ids"], "products": ["SVM05", "GMTCO"]},
        "plan_candidates": {"products": ["SVM05"] * 4, **spans},
        "plan_files": {"granules": row["ids"]},
        "plan_touched": {"pges": names, "versions": ["1"] * 4, "platforms": ["NPP"] * 4, "firsts": times, **spans},
        "plan_known": {"pges": names, "versions": ["1"] * 4, "keys": ["1", "2", "3", "4"]},
        "plan_made": {"pges": names, "versions": ["1"] * 4, "hashes": [b"x"] * 4},
        "plan_events": {"after": 0, "horizon": 10, "limit": 10},
        "plan_range": {"products": ["SVM05"], "start": T0, "stop": stops[0], "after": 0, "limit": 100},
        "plan_products": {},
        "plan_lost": {"instances": [1, 2, 3]},
        "plan_woken": {"pges": names, "current": ["quick 1"], "after": T0, "last": 0, "limit": 10},
        "plan_stale": {
            **{"pges": names, "replanned": names, "current": ["quick 1"]},
            **{"after": T0, "last": 0, "limit": 10},
        },
    }
    for name, bound in values.items():
        told = archive.db.execute(b"EXPLAIN " + QUERIES[name].encode(), bound).fetchall()
        text = "\n".join(line["QUERY PLAN"] for line in told)
        assert not re.search(r"Seq Scan on (granule|asset|pge_)", text), f"{name}:\n{text}"
