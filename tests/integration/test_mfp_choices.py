"""What an evaluation may move, what it may call validated, and what it must not overlook."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from psycopg.types.json import Jsonb

import orbitory.mfp.decide
import orbitory.mfp.evaluate
from footprints import Strips, evaluate
from orbitory.mfp import Parameters
from orbitory.mfp.evaluate import Outcome, Request, begin, finish, work
from orbitory.mfp.explain import explain
from orbitory.mfp.rows import refresh
from orbitory.settings import Settings
from orbitory.site import open_site

ORDER = "500060999100_01"


def found(archive: Strips, outcome: Outcome) -> list[tuple[str, str]]:
    return [(row["code"], row["reason"]) for row in archive.site.inventory.all("mfp_findings", run=outcome.run)]


def aside(archive: Strips) -> dict[int, int]:
    return {row["granule_id"]: row["keeper_id"] for row in archive.sql("SELECT * FROM footprint_archive")}


def metadata(archive: Strips, granule: int, **search: object) -> None:
    """Reprocessing has read other metadata."""
    archive.sql("UPDATE granule SET search = search || %(s)s WHERE id = %(g)s", s=Jsonb(search), g=granule)
    archive.follow()


def clip(archive: Strips, granule: int, width: float) -> None:
    """It shows only the western part of what it showed, made a year later."""
    archive.sql(
        "UPDATE granule SET footprint = ST_Multi(ST_Intersection(footprint, ST_MakeEnvelope(ST_XMin(footprint), -90,"
        " ST_XMin(footprint) + %(w)s, 90, 4326))), created = created + interval '1 year' WHERE id = %(g)s",
        g=granule,
        w=width,
    )
    archive.sql("UPDATE granule SET area_km2 = ST_Area(footprint::geography, false) / 1e6 WHERE id = %(g)s", g=granule)
    archive.follow()


def meanwhile(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, act: Callable[[], None]) -> None:
    """Something happens once, before the function ``name`` begins."""
    real, done = getattr(module, name), []

    def delayed(*values: Any, **named: Any) -> Any:
        if not done:
            done.append(True)
            act()
        return real(*values, **named)

    monkeypatch.setattr(module, name, delayed)


@pytest.mark.req("N5", "N9")
def test_a_whole_image_is_put_aside_for_no_clip_of_it_newer_or_better_and_explain_says_so(archive: Strips) -> None:
    archive.make(5)
    part = archive.again(1, ORDER)
    clip(archive, part, 0.06)
    evaluate(archive)
    assert aside(archive) == {part: 1}, "newer, but no better, and nothing is lost from sight without it"
    metadata(archive, 1, cloudcover=0.39)
    outcome = evaluate(archive)
    assert not outcome.failed and aside(archive) == {} and part in archive.preferred(), "a better one shows more"
    (catalog,) = archive.sql("SELECT catalog_id FROM footprint_master WHERE granule_id = 1")
    told = {each.granule: each for each in explain(archive.site, catalog["catalog_id"])}
    assert told[1].preferred and told[part].preferred
    assert any("both stay" in word and "100.0% of that" in word for word in told[1].words), told[1].words


@pytest.mark.req("N9")
def test_nothing_stands_aside_for_a_keeper_that_leaves_while_the_evaluation_thinks(
    archive: Strips, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.make(5)
    loser = archive.again(1, ORDER, cloudcover=0.39, sun_elev=5.0)

    def leave() -> None:
        archive.sql("UPDATE granule SET state = 'deleted' WHERE id = 1")
        archive.sql(
            "UPDATE asset SET state = 'deleted', removal = 'expired' WHERE id IN"
            " (SELECT asset_id FROM granule_asset WHERE granule_id = 1)"
        )
        with open_site(actor="other", settings=settings) as other:
            refresh(other, granules=[1])

    meanwhile(monkeypatch, orbitory.mfp.decide, "judge", leave)
    evaluate(archive)
    assert loser in archive.preferred() and loser not in aside(archive)


@pytest.mark.req("N9")
def test_a_row_that_changes_while_the_evaluation_thinks_is_left_to_the_next_one(
    archive: Strips, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.make(5)
    other = archive.again(1, ORDER, cloudcover=0.39)
    meanwhile(
        monkeypatch, orbitory.mfp.decide, "judge", lambda: metadata(archive, other, cloudcover=0.0, sun_elev=80.0)
    )
    evaluate(archive)
    assert aside(archive) == {}
    evaluate(archive)
    assert aside(archive) == {1: other}


@pytest.mark.req("N8", "N9")
def test_a_row_that_changes_after_it_was_checked_is_not_called_validated(
    archive: Strips, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.make(20)
    changed = {3: {"cloudcover": -999}}
    meanwhile(monkeypatch, orbitory.mfp.evaluate, "measure", lambda: metadata(archive, 3, **changed[3]))
    evaluate(archive)
    states = {row["granule_id"]: row["status"] for row in archive.sql("SELECT * FROM footprint_master")}
    assert states.pop(3) == "unvalidated" and set(states.values()) == {"validated"}
    assert [code for code, _ in found(archive, evaluate(archive))] == ["E03"]


@pytest.mark.req("N8", "N9")
def test_a_row_of_a_transaction_that_began_before_the_check_and_ended_after_it_is_not_called_validated(
    archive: Strips, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number is older than the check, but the row is not."""
    archive.make(20)
    with open_site(actor="ingest", settings=settings) as ingest, ExitStack() as ending:
        ending.enter_context(ingest.inventory.transaction())
        ingest.inventory.one("plan_lock")
        ingest.inventory.run("removal_forget_old_plans")  # writes, so that it has a number
        ingest.inventory.run("mfp_finish", run=0, verdict="failed", counts="{}", coverage="{}", digest=b"")

        def end() -> None:
            archive.sql("UPDATE granule SET search = search || '{\"sun_elev\": 12.0}' WHERE id = 3")
            refresh(ingest, granules=[3])
            ending.close()

        meanwhile(monkeypatch, orbitory.mfp.evaluate, "measure", end)
        evaluate(archive)
    rows = archive.sql("SELECT granule_id, status, sun_elev FROM footprint_master WHERE status <> 'validated'")
    assert rows == [{"granule_id": 3, "status": "unvalidated", "sun_elev": 12.0}]


@pytest.mark.req("N9")
def test_an_image_that_is_held_and_has_no_row_is_found(archive: Strips) -> None:
    archive.make(20)
    archive.sql("DELETE FROM footprint_master WHERE granule_id = 7")
    archive.sql(
        "WITH gone AS (DELETE FROM footprint_master WHERE granule_id = 12 RETURNING *)"
        " INSERT INTO footprint_archive SELECT gone.*, NULL, 'removed', now() FROM gone"
    )
    outcome = evaluate(archive)
    keys = [row["key"] for row in archive.sql("SELECT key FROM granule WHERE id IN (7, 12) ORDER BY key")]
    rows = archive.site.inventory.all("mfp_findings", run=outcome.run)
    assert [(row["code"], row["key"]) for row in rows] == [("E01", key) for key in keys] and outcome.failed
    archive.follow()
    assert not evaluate(archive).failed


@pytest.mark.req("N9")
def test_an_archive_whose_footprints_were_never_made_fails_with_one_finding_a_sensor(archive: Strips) -> None:
    archive.make(20)
    archive.make(5, sensor="WV01", prefix="102", first=1000)
    archive.sql("DELETE FROM footprint_master")
    outcome = evaluate(archive)
    told = [f"{count} images are held, and none of them has a footprint" for count in (5, 20)]
    assert sorted(found(archive, outcome)) == sorted(("E01", reason) for reason in told) and outcome.failed


#: Cells that decide who is preferred, or are counted, changed by hand.
CELLS = (
    *(
        "order_id = NULL",
        "strip_id = 'x'",
        "spec_type = 'Multispectral'",
        "cloudcover = NULL",
        "tdi = 99",
        "tdi = NULL",
    ),
    *("generated = '2030-01-01'", "generated = NULL", "area_km2 = 1", "area_km2 = 'NaN'", "acq_year = 1999"),
    *("acq_month = 13", "acq_date = NULL", "bands = 7", "bands = NULL", "prod_gsd = 3", "cent_lat = cent_lat + 5"),
    *("columns = 2147483647", "added_date = 'infinity'", "acq_time = 'infinity'", "part = NULL", "file_fmt = 'PNG'"),
    *("stereopair = 'zzz', pairname = 'zz'", "pairname = 'zz'", "previewjpg = '/css/nga/x.jpg'", "source = 'maxar'"),
    *("avsunazim = NULL", "prod_short = '3X'", "off_nadir = off_nadir + 1", "asset_id = (SELECT max(id) FROM asset)"),
)


@pytest.mark.req("N9")
def test_every_cell_that_was_changed_by_hand_is_found(archive: Strips) -> None:
    archive.make(40)
    for granule, change in enumerate(CELLS, 1):
        archive.sql(f"UPDATE footprint_master SET {change} WHERE granule_id = %(g)s", g=granule)
    archive.sql("UPDATE footprint_master SET file_sz = NULL WHERE granule_id = 40")
    archive.sql("UPDATE footprint_master SET file_sz = 'Infinity' WHERE granule_id = 39")
    outcome = evaluate(archive)
    rows = archive.sql(
        "SELECT granule_id, string_agg(code, ' ' ORDER BY code) AS codes, string_agg(reason, '; ') AS reasons"
        " FROM mfp_finding WHERE run_id = %(r)s GROUP BY granule_id",
        r=outcome.run,
    )
    told = {row["granule_id"]: row for row in rows}
    assert told.pop(40)["codes"] == told.pop(39)["codes"] == "E11"
    assert {CELLS[number - 1] for number in told} == set(CELLS)
    for number, row in told.items():
        assert "E04" in row["codes"], (CELLS[number - 1], row)
    reason = told[1 + CELLS.index("acq_year = 1999")]["reasons"]
    assert reason == "acq_year: 1999 in the row, 2010 by its metadata"


@pytest.mark.fault("F51", how="a part of an evaluation dies")
@pytest.mark.req("N9")
def test_a_part_that_is_repeated_and_dies_makes_the_run_fail_again(
    archive: Strips, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.make(10)
    (part,) = begin(archive.site, Request())
    work(archive.site, part.run, part.sensor)
    assert not finish(archive.site, part.run).failed

    def die(*_: object) -> None:
        raise RuntimeError("dead")

    monkeypatch.setattr(orbitory.mfp.evaluate, "check_rows", die)
    with pytest.raises(RuntimeError):
        work(archive.site, part.run, part.sensor)
    (run,) = archive.sql("SELECT verdict, finished_at FROM mfp_run")
    assert run == {"verdict": None, "finished_at": None}, "it is open again"
    assert finish(archive.site, part.run).problems == ("Sensor WV02 was not evaluated to its end.",)


@pytest.mark.req("N15")
def test_files_that_stand_in_place_are_paged_through_in_the_order_of_their_index(archive: Strips) -> None:
    archive.make(100, files=False)
    archive.make(50, sensor="WV01", prefix="102", first=1000, files=False)
    archive.sql("UPDATE asset SET in_place = true, path = '/old/' || path")
    seen: list[str] = []
    after = "/"
    while rows := archive.site.inventory.all("mfp_assets_in_place", sensor="WV02", after=after, limit=70):
        seen += [row["path"] for row in rows if row["ours"]]
        after = rows[-1]["path"]
    expected = archive.sql("SELECT path FROM asset WHERE path ~ '/WV02/' ORDER BY path")
    assert seen == [row["path"] for row in expected] and len(seen) == 200


@pytest.mark.req("N9", "N12")
def test_a_run_that_asks_for_the_best_image_in_its_own_way_moves_no_row(archive: Strips) -> None:
    archive.make(5)
    other = archive.again(1, ORDER, cloudcover=0.3)
    evaluate(archive)
    before = aside(archive)
    assert before == {other: 1}
    outcome = evaluate(archive, parameters=Parameters(max_cloud=0.0, overlap=0.9))
    metadata(archive, other, cloudcover=0.0, sun_elev=80.0, off_nadir=0)
    trial = evaluate(archive, parameters=Parameters(min_sun=70.0))
    assert aside(archive) == before and "No row was moved" in outcome.message
    counts = trial.counts["sensors"]["WV02"]
    assert trial.counts["trial"] and (counts["put_aside"], counts["would_put_aside"]) == (0, 1)
    assert not evaluate(archive).counts["trial"] and aside(archive) == {1: other}


def test_what_the_deployment_says_of_the_choice_is_what_every_run_goes_by() -> None:
    told = {"ORBITORY_MFP_MAX_CLOUD": "0.2", "ORBITORY_MFP_TARGET_DAY": "07-15", "ORBITORY_MFP_OVERLAP": "0.9"}
    deployed = Parameters.of_deployment(told)
    assert (deployed.max_cloud, deployed.target_day, deployed.overlap) == (0.2, "07-15", 0.9)
    assert Parameters(max_cloud=0.2).chooses_otherwise() and not Parameters(search_radius_km=5.0).chooses_otherwise()


@pytest.mark.req("N9")
def test_a_third_row_that_overtakes_its_keeper_is_told_as_e13(archive: Strips) -> None:
    """Its keeper now stands aside for another one that is better still, but shows little of the third."""
    archive.make(5)
    metadata(archive, 1, cloudcover=0.0)
    second, third = (archive.again(1, f"5000609991{n}_01", cloudcover=0.3) for n in ("01", "02"))
    evaluate(archive)
    assert aside(archive) == {second: 1, third: 1}
    for granule, west in ((second, 0.0), (third, 0.04)):
        archive.sql(
            "UPDATE granule SET footprint = ST_Multi(ST_MakeEnvelope(ST_XMin(footprint) + %(w)s, ST_YMin(footprint),"
            " ST_XMin(footprint) + %(w)s + 0.12, ST_YMax(footprint), 4326)) WHERE id = %(g)s",
            g=granule,
            w=west,
        )
    metadata(archive, 1, cloudcover=0.45, sun_elev=5.0)
    archive.sql(
        "UPDATE granule SET footprint = (SELECT ST_Multi(ST_MakeEnvelope(ST_XMin(footprint) + 0.02,"
        " ST_YMin(footprint), ST_XMin(footprint) + 0.14, ST_YMax(footprint), 4326))) WHERE id = 1"
    )
    archive.follow()
    outcome = evaluate(archive)
    assert aside(archive) == {1: second}
    assert [code for code, _ in found(archive, outcome)] == ["E13", "E13"]


def test_explain_takes_a_catalog_id_in_either_case_and_tells_of_the_target_day(archive: Strips) -> None:
    archive.make(5)
    number = archive.sql("SELECT catalog_id FROM footprint_master WHERE granule_id = 1")[0]["catalog_id"]
    archive.sql(
        "UPDATE granule SET search = search || jsonb_build_object('catalog_id', lower(search ->> 'catalog_id'))"
    )
    loser = archive.again(1, ORDER, cloudcover=0.39)
    archive.follow()
    by_case = [explain(archive.site, text) for text in (number, number.lower())]
    assert by_case[0] == by_case[1] and {each.granule for each in by_case[0]} >= {1, loser}
    day = explain(archive.site, number, Parameters(target_day="07-15"))
    (words,) = [each.words for each in day if each.granule == loser]
    assert any("days from the target day below" in word for word in words), words
