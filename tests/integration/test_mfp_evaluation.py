"""Evaluation of master footprints: every kind of fault is found, nothing else is, and a repetition says the same."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from psycopg.types.json import Jsonb

from footprints import Strips, evaluate, strips
from orbitory.catalogue import load
from orbitory.errors import ConfigurationError, NotReady
from orbitory.ingest.run import ingest
from orbitory.mfp.coverage import Area
from orbitory.mfp.evaluate import Outcome, Request, begin, finish, work
from orbitory.mfp.rows import refresh
from orbitory.mfp.run import evaluate as evaluate_all
from orbitory.settings import CHECKOUT, Settings
from orbitory.simulate import simulate
from orbitory.site import open_site


def found(archive: Strips, outcome: Outcome) -> list[tuple[str, str]]:
    rows = archive.site.inventory.all("mfp_findings", run=outcome.run)
    return [(row["code"], row["key"]) for row in rows]


@pytest.mark.req("N9")
def test_a_sound_archive_has_no_findings_and_every_evaluation_has_the_same_digest(archive: Strips) -> None:
    archive.make(1000)
    first, second = evaluate(archive), evaluate(archive)
    assert archive.site.inventory.all("mfp_findings", run=first.run) == []
    assert not first.failed and first.counts["rows"] == 1000
    assert first.digest == second.digest
    assert {row["status"] for row in archive.sql("SELECT status FROM footprint_master")} == {"validated"}


def _metadata(archive: Strips, granule: int, **search: object) -> None:
    """Reprocessing has read other metadata."""
    archive.sql("UPDATE granule SET search = search || %(s)s WHERE id = %(g)s", s=Jsonb(search), g=granule)
    archive.follow()


def _shape(archive: Strips, granule: int, change: str, *, both: bool = False) -> None:
    """Change a stored footprint; ``both``: the metadata told it so."""
    for table, column, key in (("footprint_master", "shape", "granule_id"), ("granule", "footprint", "id"))[: 1 + both]:
        archive.sql(f"UPDATE {table} SET {column} = {change.format(column)} WHERE {key} = %(g)s", g=granule)


def _paths(archive: Strips, granule: int) -> dict[str, Path]:
    rows = archive.sql(
        "SELECT s.role, s.path FROM granule_asset l JOIN asset s ON s.id = l.asset_id WHERE l.granule_id = %(g)s",
        g=granule,
    )
    return {row["role"]: archive.site.settings.storage / row["path"] for row in rows}


def _gone(archive: Strips, granule: int) -> None:
    _paths(archive, granule)["data"].unlink()


def _no_metadata_file(archive: Strips, granule: int) -> None:
    _paths(archive, granule)["metadata"].unlink()


def _shorter(archive: Strips, granule: int) -> None:
    file = _paths(archive, granule)["data"]
    file.write_bytes(file.read_bytes()[:-1])


def _flipped(archive: Strips, granule: int) -> None:
    file = _paths(archive, granule)["data"]
    file.write_bytes(b"X" + file.read_bytes()[1:])
    archive.sql(
        "UPDATE asset SET fixity_at = now() - interval '1 year' WHERE id IN"
        " (SELECT asset_id FROM granule_asset WHERE granule_id = %(g)s)",
        g=granule,
    )


def _twice(archive: Strips, granule: int) -> None:
    older = archive.sql("SELECT min(granule_id) AS id FROM footprint_master")[0]["id"]
    archive.sql(
        "UPDATE granule SET search = search || jsonb_build_object('scene_id', (SELECT search ->> 'scene_id'"
        " FROM granule WHERE id = %(o)s)) WHERE id = %(g)s",
        o=older,
        g=granule,
    )
    archive.sql(
        "UPDATE footprint_master SET scene_id = (SELECT scene_id FROM footprint_master WHERE granule_id = %(o)s)"
        " WHERE granule_id = %(g)s",
        o=older,
        g=granule,
    )


def _in_both(archive: Strips, granule: int) -> None:
    archive.sql(
        "INSERT INTO footprint_archive SELECT m.*, m.granule_id, 'removed', now() FROM footprint_master m"
        " WHERE granule_id = %(g)s",
        g=granule,
    )


def _better_aside(archive: Strips, granule: int) -> None:
    other = archive.again(granule, "500060999100_01", sun_elev=2.5)
    archive.sql(
        "WITH gone AS (DELETE FROM footprint_master WHERE granule_id = %(g)s RETURNING *)"
        " INSERT INTO footprint_archive SELECT gone.*, %(o)s, 're-order', now() FROM gone",
        g=granule,
        o=other,
    )


def _set(text: str) -> Callable[[Strips, int], None]:
    return lambda archive, granule: (
        archive.sql(f"UPDATE footprint_master SET {text} WHERE granule_id = %(g)s", g=granule) and None
    )


#: What is done to one row of a thousand, and the only code that may be found.
FAULTS: dict[str, tuple[str, Callable[[Strips, int], None]]] = {
    "better one stands aside": ("E13", _better_aside),  # the first: it brings all rows up to date
    "file gone": ("E01", _gone),
    "path of another root": ("E02", _set("s_filepath = '/att/pubrepo/' || s_filename")),
    "path of another drive": ("E02", _set("p_filepath = replace(p_filepath, 'P:', 'Q:')")),
    "Windows path": ("E02", _set("s_filepath = replace(s_filepath, '/', E'\\\\')")),
    "other file name": ("E02", _set("s_filename = 'x' || s_filename")),
    "no scene id": ("E03", _set("scene_id = NULL")),
    "no sun": ("E03", _set("sun_elev = NULL")),
    "cloud is NaN": ("E03", _set("cloudcover = 'NaN'")),
    "cloud is -999": ("E03", _set("cloudcover = -999")),
    "off-nadir is -999": ("E03", _set("off_nadir = -999")),
    "other catalog id": ("E04", _set("catalog_id = '1030010000000BAD'")),
    "other cloud": ("E04", _set("cloudcover = 0.99")),
    "other time": ("E04", _set("acq_time = acq_time + interval '1 hour'")),
    "no footprint": ("E05", lambda a, g: _shape(a, g, "NULL")),
    "empty footprint": ("E05", lambda a, g: _shape(a, g, "ST_GeomFromText('MULTIPOLYGON EMPTY', 4326)")),
    "bow tie": ("E05", lambda a, g: _shape(a, g, f"'SRID=4326;{BOW_TIE}'::geometry")),
    "no area": ("E05", lambda a, g: _shape(a, g, "'SRID=4326;MULTIPOLYGON(((1 1,2 2,1 1,1 1)))'::geometry")),
    "NaN in the ring": ("E05", lambda a, g: _shape(a, g, "ST_Translate({}, 'NaN', 0)")),
    "off the Earth": ("E05", lambda a, g: _shape(a, g, "ST_Translate({}, 0, 160)")),
    "axes exchanged": ("E05", lambda a, g: _shape(a, g, "ST_FlipCoordinates({})")),
    "moved by a kilometre": ("E06", lambda a, g: _shape(a, g, "ST_Translate({}, 0, 0.009)")),
    "same scene twice": ("E07", _twice),
    "in both tables": ("E08", _in_both),
    "other country": ("E09", _set("country = CASE country WHEN 'Fiji' THEN 'Peru' ELSE 'Fiji' END")),
    "other zone": ("E09", _set("zone_id = CASE zone_id WHEN 32601 THEN 32602 ELSE 32601 END")),
    "beyond 180°": ("E10", lambda a, g: _shape(a, g, "ST_Translate({}, 360, 0)")),
    "around the world": ("E10", lambda a, g: _shape(a, g, f"'SRID=4326;{AROUND}'::geometry")),
    "one byte less": ("E11", _shorter),
    "other size in the row": ("E11", _set("file_sz = file_sz * 2")),
    "one byte changed": ("E12", _flipped),
    "metadata gone": ("E14", _no_metadata_file),
}
#: Faults that do not make an image unusable.
WARNINGS = {
    "better one stands aside",
    "no sun",
    "cloud is NaN",
    "cloud is -999",
    "off-nadir is -999",
    "other country",
    "other zone",
}
BOW_TIE = "MULTIPOLYGON(((1 1,2 2,2 1,1 2,1 1)))"
AROUND = "MULTIPOLYGON(((-179.9 0,179.9 0,179.9 1,-179.9 1,-179.9 0)))"


@pytest.mark.req("N9")
def test_each_injected_fault_among_a_thousand_rows_is_found_under_its_code_and_nothing_else(archive: Strips) -> None:
    archive.make(1000)
    numbers = sorted(archive.preferred())[7::31]  # of different strips
    faults = dict(zip(FAULTS, numbers, strict=False))
    keys = {row["id"]: row["key"] for row in archive.sql("SELECT id, key FROM granule")}
    injected = {(FAULTS[name][0], keys[granule], name) for name, granule in faults.items()}
    for name, granule in faults.items():
        FAULTS[name][1](archive, granule)
    stray = archive.site.settings.storage / "nga/WV02/1B/2010/001/stray.xml"
    stray.write_text("<isd/>")
    outcome = evaluate(archive)
    got = sorted(found(archive, outcome))
    expected = sorted([(code, key) for code, key, _ in injected] + [("E14", "nga/WV02/1B/2010/001/stray.xml")])
    assert got == expected
    assert len(faults) == len(FAULTS)
    assert outcome.failed and "E01 1" in outcome.problems[0]
    faulty = {row["id"] for row in archive.sql("SELECT granule_id AS id FROM footprint_master WHERE status = 'faulty'")}
    assert faulty == {granule for name, granule in faults.items() if name not in WARNINGS}
    again = evaluate(archive)
    assert sorted(found(archive, again)) == [each for each in got if each[0] != "E13"], "that one has changed places"
    assert again.digest == outcome.digest


@pytest.mark.req("N5", "N9")
def test_of_two_orders_of_an_image_the_newer_is_preferred_and_the_other_put_aside_with_its_keeper(
    archive: Strips,
) -> None:
    """DOMAIN 4.5, the real pair: one catalog id, time, product and part; other order, made later, fewer rows."""
    archive.make(10)
    old = min(archive.preferred())
    new = archive.again(old, "500060999100_01", rows=30720)
    archive.sql("UPDATE granule SET created = created + interval '100 days' WHERE id = %(n)s", n=new)
    archive.follow()
    outcome = evaluate(archive)
    assert outcome.counts["sensors"]["WV02"]["put_aside"] == 1 and not outcome.failed
    (row,) = archive.sql("SELECT granule_id, keeper_id, reason FROM footprint_archive")
    assert row == {"granule_id": old, "keeper_id": new, "reason": "re-order"}
    assert archive.preferred() == set(range(min(archive.preferred()), new + 1)) - {old}
    again = evaluate(archive)
    assert again.digest == outcome.digest and again.counts["sensors"]["WV02"]["put_aside"] == 0


@pytest.mark.req("N5")
def test_another_item_of_the_same_order_is_a_re_delivery(archive: Strips) -> None:
    archive.make(5)
    first = min(archive.preferred())
    ordered = archive.sql("SELECT search ->> 'order_id' AS o FROM granule WHERE id = %(n)s", n=first)[0]["o"][:12]
    archive.again(first, f"{ordered}_02")
    evaluate(archive)
    assert [row["reason"] for row in archive.sql("SELECT reason FROM footprint_archive")] == ["re-delivery"]


@pytest.mark.req("N5")
def test_siblings_other_bands_and_stereo_partners_are_never_put_aside(archive: Strips) -> None:
    """The same second and even the same ground: only sensor, catalog id, product and another order make a duplicate."""
    archive.make(5)
    first, second, *_ = sorted(archive.preferred())
    multi = archive.again(first, "500060999100_01", prod_code="M1BS", spec_type="Multispectral")
    partner = archive.again(first, "500060999200_01", catalog_id="1030010000000ABC")
    later = archive.again(first, "500060999300_01")
    archive.sql(
        "UPDATE granule SET sensing = tstzrange(lower(sensing) + interval '2 s', lower(sensing) + interval '2 s', '[]')"
        " WHERE id = %(n)s",
        n=later,
    )
    aside = archive.again(first, "500060999400_01")
    archive.sql("UPDATE granule SET footprint = ST_Translate(footprint, 0.05, 0) WHERE id = %(n)s", n=aside)
    archive.sql(  # two parts of one order in the same second, over the same ground
        "UPDATE granule a SET sensing = b.sensing, footprint = b.footprint FROM granule b"
        " WHERE a.id = %(a)s AND b.id = %(b)s",
        a=second,
        b=first,
    )
    archive.follow()
    before = archive.preferred()
    evaluate(archive)
    assert archive.preferred() == before >= {multi, partner, later, aside}
    assert archive.sql("SELECT FROM footprint_archive") == []


@pytest.mark.req("N9")
def test_a_row_that_stood_aside_comes_back_when_it_is_better_and_is_told_as_e13(archive: Strips) -> None:
    archive.make(5)
    old = min(archive.preferred())
    new = archive.again(old, "500060999100_01", cloudcover=0.01)
    _metadata(archive, old, cloudcover=0.2)
    evaluate(archive)
    assert new in archive.preferred() and old not in archive.preferred()
    _metadata(archive, new, cloudcover=0.3)
    outcome = evaluate(archive)
    assert old in archive.preferred() and new not in archive.preferred()
    ((code, _),) = found(archive, outcome)
    assert code == "E13" and not outcome.failed
    counts = outcome.counts["sensors"]["WV02"]
    assert (counts["put_aside"], counts["brought_back"]) == (1, 1)
    assert evaluate(archive).digest == outcome.digest


@pytest.mark.req("N9")
def test_a_row_comes_back_when_its_keeper_has_left_the_archive(archive: Strips) -> None:
    archive.make(5)
    old = min(archive.preferred())
    new = archive.again(old, "500060999100_01", cloudcover=0.0)
    _metadata(archive, old, cloudcover=0.4)
    evaluate(archive)
    assert old not in archive.preferred()
    archive.sql("UPDATE granule SET state = 'deleted' WHERE id = %(n)s", n=new)
    archive.sql(
        "UPDATE asset SET state = 'deleted', removal = 'expired' WHERE id IN"
        " (SELECT asset_id FROM granule_asset WHERE granule_id = %(n)s)",
        n=new,
    )
    archive.follow()
    evaluate(archive)
    assert old in archive.preferred() and new not in archive.preferred()


@pytest.mark.req("N15")
def test_only_the_chosen_sensors_are_touched(archive: Strips) -> None:
    archive.make(10)
    archive.make(10, sensor="WV01", prefix="102", first=1000)
    outcome = evaluate(archive, sensors=("WV01",))
    assert set(outcome.counts["sensors"]) == {"WV01"} and outcome.counts["rows"] == 10
    states = archive.sql("SELECT DISTINCT sensor, status FROM footprint_master ORDER BY sensor")
    assert states == [{"sensor": "WV01", "status": "validated"}, {"sensor": "WV02", "status": "unvalidated"}]
    with pytest.raises(ConfigurationError, match="no footprint is of sensor 'QB02': there are WV01, WV02"):
        begin(archive.site, Request(sensors=("QB02",)))


@pytest.mark.req("N9")
def test_coverage_counts_what_overlaps_once_and_measures_an_area_of_interest(archive: Strips) -> None:
    archive.make(5)
    whole = evaluate(archive).coverage["sensors"]["WV02"]
    (truth,) = archive.sql(
        "SELECT sum(area_km2) AS area, ST_Area(ST_Union(shape)::geography, false) / 1e6 AS shown,"
        " sum(area_km2 * (1 - cloudcover)) / sum(area_km2) AS free, ST_XMin(ST_Extent(shape)) AS west,"
        " ST_YMin(ST_Extent(shape)) AS south FROM footprint_master"
    )
    assert whole["area_km2"] == pytest.approx(truth["area"], rel=1e-6)
    assert whole["union_km2"] == pytest.approx(truth["shown"], rel=0.02)
    assert whole["overlap"] == pytest.approx(1 - truth["shown"] / truth["area"], abs=0.02)
    assert whole["cloud_free"] == pytest.approx(truth["free"])
    assert [year["year"] for year in whole["years"]] == [2010]
    west, south = truth["west"], truth["south"]
    inside = Area(west=west + 0.05, south=south + 0.05, east=west + 0.1, north=south + 0.1)
    assert evaluate(archive, area=inside).coverage["sensors"]["WV02"]["area_of_interest"] == pytest.approx(1)
    beside = Area(west=west - 2, south=south, east=west - 1, north=south + 1)
    assert evaluate(archive, area=beside).coverage["sensors"]["WV02"]["area_of_interest"] == 0


def test_a_part_that_was_not_evaluated_makes_the_run_fail(archive: Strips) -> None:
    archive.make(5)
    archive.make(5, sensor="WV01", prefix="102", first=1000)
    first, _ = begin(archive.site, Request())
    work(archive.site, first.run, first.sensor)
    assert begin(archive.site, Request())[0].run == first.run, "a repeated task finds its run again"
    outcome = finish(archive.site, first.run)
    assert outcome.problems == ("Sensor WV02 was not evaluated to its end.",)


def test_an_archive_without_strips_has_nothing_to_evaluate(archive: Strips) -> None:
    with pytest.raises(NotReady, match="no footprints"):
        begin(archive.site, Request())


def test_storage_that_is_not_mounted_is_one_finding_not_a_thousand(archive: Strips) -> None:
    archive.make(20)
    (archive.site.settings.storage / ".orbitory-storage").unlink()
    outcome = evaluate(archive, sample=0)
    assert found(archive, outcome) == [("E01", ".orbitory-storage")]


@pytest.mark.req("N9")
@pytest.mark.parametrize(("source", "seed"), [("nga", 3), ("maxar", 5)])
def test_a_delivery_of_every_form_of_name_is_evaluated_without_a_false_alarm(
    settings: Settings, source: str, seed: int
) -> None:
    """Tiles, parts, pan and multispectral, NITF and TIFF twins, legacy satellites, bundles, poles and 180°."""
    simulate(load(CHECKOUT / "include" / "catalogue"), source, 40, seed, "", settings.landing / source)
    ingest(settings, source)
    with strips(settings) as archive:
        outcome = evaluate(archive)
        rows = archive.site.inventory.all("mfp_findings", run=outcome.run)
        assert rows == []
        assert outcome.counts["rows"] >= 30 and len(outcome.counts["sensors"]) > 2
        assert evaluate(archive).digest == outcome.digest


@pytest.mark.req("N9", "N15", "W10")
def test_sensors_evaluated_at_once_or_one_after_the_other_give_the_same_digest(archive: Strips) -> None:
    for number, sensor in enumerate(("WV01", "WV02", "WV03")):
        archive.make(50, sensor=sensor, prefix=f"10{2 + number}", first=1000 * number)
    first = min(archive.preferred())
    archive.again(first, "500060999100_01", cloudcover=0.0)
    _shape(archive, first + 70, "NULL")
    settings = archive.site.settings
    several = evaluate_all(settings, Request(), 2)
    alone = evaluate_all(settings, Request(), 1)
    assert several.digest == alone.digest and several.counts["errors"] == alone.counts["errors"] == 1
    assert several.counts["rows"] == 150, "one of 151 stands aside"


@pytest.mark.fault("F14", how="an evaluation during an ingest")
def test_ingest_that_goes_on_meanwhile_never_deadlocks_with_an_evaluation(archive: Strips) -> None:
    archive.make(200)
    settings = archive.site.settings
    granules = sorted(archive.preferred())
    with ThreadPoolExecutor(1) as pool, open_site(actor="ingest", settings=settings) as other:
        going = pool.submit(evaluate_all, settings, Request(sample=0), 1)
        rounds = 0
        while not going.done():
            for number in granules[:: 7 + rounds % 3]:
                with other.inventory.transaction():
                    refresh(other, granules=[number, granules[-1]])
            rounds += 1
        assert not going.result().failed and rounds
