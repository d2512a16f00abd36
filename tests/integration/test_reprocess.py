"""What is archived is read again: damage is found, facts are renewed, and doing it twice is doing it once."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from answers import Orbitory
from orbitory.catalogue import load
from orbitory.digest import digest
from orbitory.errors import ConfigurationError, IntegrityError
from orbitory.ingest.run import ingest
from orbitory.register import register
from orbitory.reprocess import Mode, Outcome, Selection, begin, finish, plan, reprocess, request, work
from orbitory.settings import Settings
from orbitory.simulate import simulate
from orbitory.site import Site, open_site

EVER = {"start": datetime(1970, 1, 1, tzinfo=UTC), "stop": datetime(2100, 1, 1, tzinfo=UTC)}
#: Everything that re-reading may write.
FACTS = (
    "SELECT key, product, sensor, platform, collection, sensing, orbit, ST_AsText(footprint) AS footprint, area_km2,"
    " search FROM granule ORDER BY key, version_rank, created"
)


@pytest.fixture
def archive(settings: Settings) -> Settings:
    """A simulated delivery with copies, versions and repackaging, archived."""
    simulate(load(settings.catalogue), "idps", 60, 5, "all", settings.landing / "idps")
    ingest(settings, "idps")
    return settings


def rows(settings: Settings, statement: str) -> list[dict[str, Any]]:
    with psycopg.connect(settings.database, row_factory=dict_row, autocommit=True) as connection:
        found = connection.execute(statement.encode())
        return found.fetchall() if found.description else []


def writes(settings: Settings) -> list[dict[str, Any]]:
    """Where and when each row was last written."""
    return rows(settings, "SELECT 'g', id, xmin::text, ctid::text FROM granule") + rows(
        settings, "SELECT 'a', id, xmin::text, ctid::text FROM asset"
    )


def digest_of(settings: Settings) -> str:
    with open_site(actor="test", settings=settings) as site:
        return digest(site.inventory, site.storage).digest


def again(settings: Settings, mode: Mode, **narrower: Any) -> Outcome:
    with open_site(actor="test", settings=settings) as site:
        return reprocess(site, Selection(**{**EVER, "mode": mode, **narrower}))


def stored(settings: Settings) -> list[Path]:
    """Archived data files."""
    return sorted(file for file in settings.storage.rglob("*.h5") if file.is_file())


def spoil(settings: Settings) -> None:
    """What an old extractor, or an old mistake, might have left in the inventory."""
    rows(
        settings,
        "UPDATE granule SET sensing = tstzrange(lower(sensing) - interval '1 hour', upper(sensing), '[]'), orbit = 7,"
        " footprint = ST_Multi(ST_MakeEnvelope(0, 0, 1, 1, 4326)), area_km2 = 1, search = '{\"wrong\": true}',"
        " platform = 'XXX' WHERE lower(sensing) IS NOT NULL AND state = 'archived'",
    )
    rows(
        settings,
        "UPDATE asset SET kind = 'opaque', header = '', findings = '[]' FROM granule_asset l JOIN granule g"
        " ON g.id = l.granule_id WHERE l.asset_id = asset.id AND asset.state = 'archived' AND asset.role = 'data'"
        " AND g.state = 'archived' AND lower(g.sensing) IS NOT NULL",
    )


@pytest.mark.parametrize("source", ["nga", "maxar"])
def test_units_of_several_files_are_read_as_they_came(settings: Settings, source: str) -> None:
    simulate(load(settings.catalogue), source, 40, 5, "all", settings.landing / source)
    ingest(settings, source)
    before = digest_of(settings)
    (held,) = rows(
        settings, "SELECT count(*) AS n FROM granule WHERE state = 'archived' AND lower(sensing) IS NOT NULL"
    )
    assert held["n"] > 3
    outcome = again(settings, Mode.EXTRACT)
    assert (outcome.changed, outcome.problems) == (0, 0), outcome.found
    assert outcome.files >= held["n"]
    spoil(settings)
    assert again(settings, Mode.EXTRACT).changed > 0
    assert digest_of(settings) == before
    assert not again(settings, Mode.VERIFY).failed


def test_files_that_are_registered_where_they_stand_are_read_there(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "old archive"
    simulate(load(settings.catalogue), "nga", 20, 5, "", folder)
    register(settings, "nga", folder)
    tree = [(path, path.lstat().st_ino, path.lstat().st_ctime_ns) for path in sorted(folder.rglob("*"))]
    before = digest_of(settings)
    spoil(settings)
    outcome = again(settings, Mode.EXTRACT)
    assert outcome.changed > 0 and outcome.problems == 0, outcome.found
    assert digest_of(settings) == before
    assert not again(settings, Mode.VERIFY).failed
    assert [(path, path.lstat().st_ino, path.lstat().st_ctime_ns) for path in sorted(folder.rglob("*"))] == tree
    image = next(path for path in sorted(folder.rglob("*.[nN][tT][fF]")))
    image.unlink()
    (problem,) = again(settings, Mode.VERIFY).found
    assert problem == {"path": str(image), "code": "missing", "detail": "there is no such file"}


@pytest.mark.parametrize("mode", [Mode.EXTRACT, Mode.FOOTPRINTS])
def test_reading_a_sound_archive_again_writes_nothing(archive: Settings, mode: Mode) -> None:
    before, digest_before = writes(archive), digest_of(archive)
    outcome = again(archive, mode)
    assert outcome.files > 30 and (outcome.changed, outcome.problems, outcome.unfinished) == (0, 0, 0), outcome.found
    assert writes(archive) == before
    assert digest_of(archive) == digest_before


def test_facts_that_were_wrong_are_renewed_and_a_second_time_nothing_is_written(archive: Settings) -> None:
    facts, before = rows(archive, FACTS), digest_of(archive)
    identities = "SELECT key, version, created, state FROM granule ORDER BY id"
    identity = rows(archive, identities)
    spoil(archive)
    assert digest_of(archive) != before
    outcome = again(archive, Mode.EXTRACT)
    assert outcome.changed > 30 and outcome.problems == 0
    assert rows(archive, FACTS) == facts
    assert digest_of(archive) == before
    assert rows(archive, identities) == identity
    assert again(archive, Mode.EXTRACT).changed == 0


def test_footprints_mode_renews_footprints_and_areas_alone(archive: Settings) -> None:
    facts = rows(archive, FACTS)
    spoil(archive)
    spoiled = rows(archive, FACTS)
    assert again(archive, Mode.FOOTPRINTS).changed > 0
    found = rows(archive, FACTS)
    shapes = ("footprint", "area_km2")
    assert [[row[name] for name in shapes] for row in found] == [[row[name] for name in shapes] for row in facts]
    others = [name for name in facts[0] if name not in shapes]
    assert [[row[name] for name in others] for row in found] == [[row[name] for name in others] for row in spoiled]


def test_verify_dates_what_is_sound_and_names_what_is_damaged_or_missing(archive: Settings) -> None:
    rows(archive, "UPDATE asset SET fixity_at = '2000-01-01'")
    damaged, missing, cut, link, *_ = stored(archive)
    damaged.chmod(0o644)
    with damaged.open("r+b") as file:
        file.seek(100)
        file.write(b"?")
    missing.unlink()
    os.truncate(cut, 10)
    content = link.read_bytes()
    link.unlink()
    (archive.storage.parent / "elsewhere").write_bytes(content)
    link.symlink_to(archive.storage.parent / "elsewhere")
    before = writes(archive)
    outcome = again(archive, Mode.VERIFY)
    told = {each["path"]: each["code"] for each in outcome.found}
    names = {path: str(path.relative_to(archive.storage)) for path in (damaged, missing, cut, link)}
    assert told == {
        names[damaged]: "damaged",
        names[missing]: "missing",
        names[cut]: "damaged",
        names[link]: "unreadable",
    }
    assert outcome.problems == 4
    with pytest.raises(IntegrityError, match="4 archived files are missing or damaged"):
        outcome.require_sound()
    old = {row["path"] for row in rows(archive, "SELECT path FROM asset WHERE fixity_at < '2001-01-01'")}
    selected = {row["path"] for row in rows(archive, _SELECTED)}
    assert set(names.values()) <= old and old & selected == set(names.values())
    unchanged = {(row["id"], row["xmin"]) for row in writes(archive) if row["?column?"] == "g"}
    assert unchanged == {(row["id"], row["xmin"]) for row in before if row["?column?"] == "g"}


_SELECTED = (
    "SELECT DISTINCT s.path FROM granule_unit u JOIN arrival a ON coalesce(a.unit_id, a.id) = u.unit_id"
    " JOIN asset s ON s.id = a.asset_id WHERE u.sensing_start IS NOT NULL AND a.state = 'archived'"
    " AND s.state = 'archived'"
)


def test_a_file_that_no_longer_parses_is_told_and_its_rows_stay(archive: Settings) -> None:
    victim = stored(archive)[0]
    size = victim.stat().st_size
    victim.chmod(0o644)
    victim.write_bytes(b"\x89HDF\r\n\x1a\n".ljust(size, b"?"))
    before = digest_rows(archive)
    outcome = again(archive, Mode.EXTRACT)
    (problem,) = outcome.found
    assert problem["path"] == str(victim.relative_to(archive.storage)) and problem["code"] == "structure"
    assert outcome.failed and digest_rows(archive) == before
    outcome.require_sound()  # it is no loss: verify would say so


def digest_rows(settings: Settings) -> list[dict[str, Any]]:
    return rows(settings, FACTS)


def test_a_granule_that_is_another_one_by_now_is_told_and_its_row_stays(archive: Settings) -> None:
    rows(archive, "UPDATE granule SET created = created - interval '1 day' WHERE id = (SELECT min(id) FROM granule)")
    before = digest_of(archive)
    outcome = again(archive, Mode.EXTRACT)
    assert {each["code"] for each in outcome.found} == {"identity"}
    assert digest_of(archive) == before


def test_that_a_file_was_repaired_is_not_forgotten(archive: Settings) -> None:
    note = json.dumps([{"level": "warning", "code": "repaired", "reason": "x", "hint": ""}])
    rows(archive, f"UPDATE asset SET findings = findings || '{note}'::jsonb WHERE id = (SELECT min(id) FROM asset)")
    before = digest_of(archive)
    assert again(archive, Mode.EXTRACT).changed == 0
    spoiled = "UPDATE asset SET kind = 'opaque' WHERE id = (SELECT min(id) FROM asset WHERE role = 'data')"
    rows(archive, spoiled)
    assert again(archive, Mode.EXTRACT).changed == 1
    assert digest_of(archive) == before


@pytest.mark.req("W9")
def test_a_selection_is_a_range_of_sensing_a_product_a_sensor_or_a_list_of_names(archive: Settings) -> None:
    starts = [
        row["start"] for row in rows(archive, "SELECT lower(sensing) AS start FROM granule WHERE state = 'archived'")
    ]
    first, last = min(filter(None, starts)), max(filter(None, starts))
    (file,) = rows(
        archive,
        "SELECT a.name, g.product, g.sensor FROM arrival a JOIN granule_asset l USING (asset_id)"
        " JOIN granule g ON g.id = l.granule_id"
        " WHERE a.state = 'archived' AND a.role = 'data' AND g.state = 'archived' ORDER BY a.id LIMIT 1",
    )
    with open_site(actor="test", settings=archive) as site:

        def files(**chosen: Any) -> int:
            return plan(site, Selection(**{**EVER, **chosen})).files

        everything = files()
        moment = timedelta(microseconds=1)
        assert 0 < files(start=first, stop=first + moment) < everything == files(start=first, stop=last + moment)
        assert files(stop=first) == files(start=last + moment) == 0
        assert 0 < files(products=(file["product"],)) < everything
        assert 0 < files(sensors=(file["sensor"],)) < everything
        kind = next(name for name, each in site.catalogue.products.items() if file["product"] in each.ids)
        assert files(products=(kind,)) >= files(products=(file["product"],))
        sidecars = files(names=(file["name"],))
        assert 1 <= sidecars <= 3
        with pytest.raises(
            ConfigurationError, match="there is no product type or product 'SMV01'; did you mean 'SVM01'"
        ):
            files(products=("SMV01",))
        with pytest.raises(ConfigurationError, match="there is no sensor 'VIIR'; did you mean 'VIIRS'"):
            files(sensors=("VIIR",))
        with pytest.raises(ConfigurationError, match="the sensing time asked for is empty"):
            files(stop=EVER["start"])


def test_a_plan_is_cut_into_bounded_slices_that_hold_everything_once(
    archive: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "MOST_FILES", 10)
    with open_site(actor="test", settings=archive) as site:
        planned = plan(site, Selection(**EVER))
        assert len(planned.sizes) > 3
        together = rows(
            archive,
            "SELECT max(n) AS n FROM (SELECT count(DISTINCT a.id) AS n FROM granule_unit u JOIN arrival a"
            " ON coalesce(a.unit_id, a.id) = u.unit_id GROUP BY u.sensing_start) AS instant",
        )[0]["n"]
        assert max(files for files, _ in planned.sizes) <= 10 + together
        assert planned.files == len(rows(archive, _SELECTED))
        assert list(planned.starts) == sorted(set(planned.starts))
        monkeypatch.setattr(request, "MOST_BATCHES", 2)
        assert len(plan(site, Selection(**EVER)).sizes) <= 3


def test_a_request_cancelled_in_the_middle_is_finished_by_the_next(
    archive: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest_of(archive)
    spoil(archive)
    monkeypatch.setattr(request, "MOST_FILES", 10)
    with open_site(actor="first", settings=archive) as site:
        begun = begin(site, Selection(**EVER), "backfill")
        assert len(begun.batches) > 2
        work(site, begun.batches[0].request, begun.batches[0].number)
        outcome = finish(site)
        assert outcome.unfinished == len(begun.batches) - 1 and outcome.failed
    assert digest_of(archive) != before
    assert not again(archive, Mode.EXTRACT).failed
    assert digest_of(archive) == before
    verdicts = rows(archive, "SELECT actor, reason, verdict FROM reprocess_request ORDER BY id")
    assert [(row["actor"], row["reason"], row["verdict"]) for row in verdicts] == [
        ("first", "backfill", "failed"),
        ("test", "command", "success"),
    ]


def test_a_batch_tried_again_does_what_is_left_and_forgets_what_was_mended(
    archive: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = stored(archive)[0]
    content = victim.read_bytes()
    victim.unlink()
    with open_site(actor="test", settings=archive) as site:
        (batch,) = begin(site, Selection(**{**EVER, "mode": Mode.VERIFY})).batches
        monkeypatch.setattr(type(site.inventory), "run", _no_done(type(site.inventory).run))
        work(site, batch.request, batch.number)
        assert finish(site).problems == 1
        monkeypatch.undo()
        victim.write_bytes(content)
        work(site, batch.request, batch.number)
        assert finish(site).message.endswith("rows renewed") and not finish(site).failed
        assert work(site, batch.request, batch.number) == 0


def _no_done(run: Callable[..., int]) -> Callable[..., int]:
    """A worker killed just before it says that it has finished."""
    return lambda self, query, **values: 0 if query == "reprocess_done" else run(self, query, **values)


def test_two_at_once_end_as_one(archive: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest_of(archive)
    spoil(archive)
    monkeypatch.setattr(request, "MOST_FILES", 10)
    outcomes: list[Outcome] = []

    def one(mode: Mode, reverse: bool) -> None:
        with open_site(actor=f"{mode}-{reverse}", settings=archive) as site:
            begun = begin(site, Selection(**{**EVER, "mode": mode}))
            for batch in begun.batches[:: -1 if reverse else 1]:
                work(site, batch.request, batch.number)
            outcomes.append(finish(site))

    threads = [
        threading.Thread(target=one, args=each)
        for each in ((Mode.EXTRACT, False), (Mode.EXTRACT, True), (Mode.VERIFY, True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.failed for outcome in outcomes] == [False] * 3
    assert digest_of(archive) == before


def test_an_unmounted_storage_stops_it_before_anything_is_said(archive: Settings) -> None:
    with open_site(actor="test", settings=archive) as site:
        (batch,) = begin(site, Selection(**{**EVER, "mode": Mode.VERIFY})).batches
        archive.storage.rename(archive.storage.with_name("away"))
        archive.storage.mkdir()
        with pytest.raises(IntegrityError, match="looks unmounted"):
            work(site, batch.request, batch.number)
        with pytest.raises(IntegrityError, match="looks unmounted"):
            begin(site, Selection(**EVER))
    assert rows(archive, "SELECT * FROM reprocess_problem") == []


def test_nothing_selected_is_no_error(settings: Settings) -> None:
    outcome = again(settings, Mode.VERIFY)
    assert (outcome.files, outcome.failed) == (0, False)
    assert not settings.storage.exists()


def test_a_report_without_a_request_says_so(settings: Settings) -> None:
    with (
        open_site(actor="dag/never", settings=settings) as site,
        pytest.raises(ConfigurationError, match="asked for nothing"),
    ):
        finish(site)


# The command line


ALL = ("--product", "viirs_sdr", "--from", "1990-01-01", "--to", "2100-01-01")


@pytest.mark.req("W9")
def test_a_dry_run_says_how_much_and_writes_nothing(archive: Settings, orbitory: Orbitory) -> None:
    before = writes(archive)
    answer = orbitory("reprocess", *ALL, "--dry-run", "--json")
    told = answer.json
    assert answer.status == 0 and told["request"] is None
    assert told["files"] > 0 and told["bytes"] > 0 and set(told) == {"request", "files", "bytes"}
    assert rows(archive, "SELECT * FROM reprocess_request") == [] and writes(archive) == before
    answer = orbitory("reprocess", *ALL, "--json")
    done = answer.json
    assert (
        answer.status == 0 and done.items() >= {**told, "request": done["request"], "changed": 0, "problems": 0}.items()
    )
    (request_row,) = rows(archive, "SELECT * FROM reprocess_request")
    assert request_row["id"] == done["request"] and request_row["verdict"] == "success"
    assert request_row["reason"] == "command" and request_row["products"] == ["viirs_sdr"]


def test_damage_is_violation_and_what_no_longer_parses_is_rejected(archive: Settings, orbitory: Orbitory) -> None:
    victim = next(file for file in stored(archive) if file.name.startswith("SVM"))
    size = victim.stat().st_size
    victim.chmod(0o644)
    victim.write_bytes(b"?" * size)
    told = orbitory("reprocess", *ALL, "--mode", "verify", "--json")
    assert told.status == 4 and told.json["problems"] == 1
    assert "1 archived files are missing or damaged" in told.err and victim.name in told.err
    told = orbitory("reprocess", *ALL)
    assert told.status == 1 and "1 files with problems" in told.out and victim.name in told.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--product", "viirs_srd", "--from", "2024-01-01", "--to", "2024-02-01"), "did you mean 'viirs_sdr'"),
        (("--product", "SVM01", "--from", "yesterday", "--to", "2024-02-01"), "'yesterday' is not a time"),
        (("--product", "SVM01", "--from", "2024-02-01", "--to", "2024-02-01"), "give the day after the last one"),
        (("--product", "SVM01", "--from", "2024-02-02", "--to", "2024-02-01"), "asked for is empty"),
        (("--product", "SVM01", "--from", "2024-01-01"), "--to"),
        ((*ALL, "--sensor", "VIRS"), "did you mean 'VIIRS'"),
        ((*ALL, "--mode", "delete"), "invalid choice"),
    ],
)
def test_wrong_questions_are_told_what_is_wrong(
    settings: Settings, orbitory: Orbitory, words: tuple[str, ...], told: str
) -> None:
    answer = orbitory("reprocess", *words, "--json")
    assert (answer.status, answer.out) == (2, "") and told in answer.err


def test_a_site_is_what_work_takes(archive: Settings) -> None:
    with open_site(actor="test", settings=archive) as site:
        assert isinstance(site, Site)
        with pytest.raises(ConfigurationError, match="there is no batch 5 of request 99"):
            work(site, 99, 5)
