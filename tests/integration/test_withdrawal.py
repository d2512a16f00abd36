"""What its provider calls bad is hidden at once, names what was made from it, and expires by rule."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_world import copy_catalogue
from footprints import Strips
from holdings import Granule, Holdings
from orbitory import retention
from orbitory.catalogue import load
from orbitory.definitions import Retention
from orbitory.errors import ConfigurationError
from orbitory.ingest.run import ingest
from orbitory.pge.runner import run
from orbitory.search import Query, search
from orbitory.settings import Settings
from orbitory.simulate import simulate
from orbitory.site import open_site
from pge_runs import GOOD, Bench, bench_at
from retaining import archive, digest_of, expire_at, files, key, keys, wrong

__all__ = ["archive"]


@pytest.fixture
def bench(settings: Settings, tmp_path: Path) -> Iterator[Bench]:
    made = bench_at(settings, tmp_path)
    with made.holdings:
        yield made


@pytest.mark.req("G22")
def test_a_withdrawn_granule_is_hidden_at_once_and_goes_after_the_days_of_the_rule(archive: Strips) -> None:
    archive.make(10)
    site, name = archive.site, key(archive, 1)
    expire_at(archive, [2], "now() + interval '5 days'")
    before = digest_of(site)
    done = retention.withdraw(site, [name, key(archive, 2)], reason="calibration was wrong")
    assert set(done.granules) == {name, key(archive, 2)} == keys(archive, "withdrawn") and done.made_from_it == ()
    assert len(search(site.inventory, Query()).items) == 8
    assert 1 not in archive.preferred() and wrong(site) == []
    aside = archive.sql("SELECT reason FROM footprint_archive WHERE granule_id = 1")
    assert [row["reason"] for row in aside] == ["withdrawn"]
    days = (
        "SELECT round(extract(epoch FROM expires_at - now()) / 86400)::int AS n FROM granule WHERE id < 3 ORDER BY id"
    )
    assert [row["n"] for row in archive.sql(days)] == [30, 5]
    assert retention.withdraw(site, [name], reason="again").granules == (name,)
    assert len(archive.sql("SELECT id FROM withdrawal")) == 2 and len(archive.sql("SELECT id FROM outbox")) == 1
    assert set(retention.undo_withdrawal(site, [name, key(archive, 2)])) == {name, key(archive, 2)}
    assert digest_of(site) == before and 1 in archive.preferred()
    retention.withdraw(site, [name], reason="it is bad after all")
    expire_at(archive, [1])
    assert [item.rule for item in retention.expire(site).items] == ["withdrawn: product type strip_pan"]
    assert keys(archive, "deleted") == {name}
    retention.restore(site, [name])
    assert keys(archive, "withdrawn") == {name}, "it comes back as it was: hidden"


def test_how_long_withdrawn_granules_are_kept_is_for_the_catalogue_to_say(archive: Strips) -> None:
    archive.make(2)
    for number, days in ((1, 3), (2, 0)):
        rules = replace(archive.site.catalogue, retention=Retention(withdrawn_days=days))
        retention.withdraw(replace(archive.site, catalogue=rules), [key(archive, number)], reason="bad")
    rows = archive.sql("SELECT expires_at - now() < interval '3 days 1 hour' AS soon FROM granule ORDER BY id")
    assert [row["soon"] for row in rows] == [True, None]


@pytest.mark.req("G22", "G17")
def test_everything_that_was_made_from_it_is_told_through_all_generations(bench: Bench) -> None:
    bench.define(GOOD)
    first = bench.instance(contents=(b"alpha", b"beta"))
    with bench.site() as site:
        assert run(site, first).state == "delivered"
    ingest(bench.settings, "pge")
    second = bench.instance(contents=())
    bench.holdings.sql(
        "INSERT INTO pge_input SELECT %s, 'main', 0, o.granule_id, l.asset_id, NULL, o.digest FROM pge_output o"
        " JOIN granule_asset l ON l.granule_id = o.granule_id"
        " JOIN asset s ON s.id = l.asset_id AND s.digest = o.digest",
        second,
    )
    other = bench.instance(contents=(b"gamma",))
    with bench.site() as site:
        told = retention.withdraw(site, ["NPP/VIIRS-M1-SDR/P000001_0.h5"], reason="bad bytes")
        assert [(each["instance"], each["state"]) for each in told.made_from_it] == [(first, "done"), (second, "ready")]
        assert told.made_from_it[0]["granule_state"] == "archived"
        assert other not in {each["instance"] for each in told.made_from_it}
        (message,) = site.inventory.all("outbox_list", all=True)
        assert message["kind"] == "withdrawal" and "1 granules were withdrawn" in message["subject"]


def deliver(settings: Settings, copies: dict[str, bytes]) -> None:
    """Hand in files, complete since an hour."""
    for name, content in copies.items():
        file = settings.landing / "idps" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        os.utime(file, (time.time() - 3600,) * 2)


def delivered(settings: Settings) -> dict[str, bytes]:
    """A delivery that was archived; its files."""
    landing = settings.landing / "idps"
    simulate(load(settings.catalogue), "idps", 6, 5, None, landing)
    copies = files(landing)
    ingest(settings, "idps")
    return copies


@pytest.mark.req("G22")
def test_a_late_copy_of_a_withdrawn_granule_is_recognised_and_stays_hidden(settings: Settings) -> None:
    copies = delivered(settings)
    with open_site(actor="test", settings=settings) as site:
        row = site.inventory.all("current_dump")[0]
        retention.withdraw(site, [row["path"]], reason="bad")
        hidden = site.inventory.all("current_dump")
        assert row not in hidden
        deliver(settings, copies)
        report = ingest(settings, "idps")
        assert report.archived == 0 and report.duplicate == report.detected == len(copies) == 8
        assert site.inventory.all("current_dump") == hidden and wrong(site) == []


@pytest.mark.req("G22")
@pytest.mark.parametrize("late", ["archive", "skip"])
def test_a_late_copy_of_an_expired_file_is_known_by_its_tombstone(
    settings: Settings, tmp_path: Path, late: str
) -> None:
    settings = replace(settings, catalogue=copy_catalogue(tmp_path / "catalogue", late=f'"{late}"'))
    copies = delivered(settings)
    with open_site(actor="test", settings=settings) as site:
        with Holdings(settings, "idps") as hand:
            hand.sql("UPDATE granule SET expires_at = now() - interval '1 h'")
        before = len(site.inventory.all("current_dump"))
        assert retention.expire(site).as_dict()["removed"] > 0 and site.inventory.all("current_dump") == []
        deliver(settings, copies)
        ingest(settings, "idps")
        assert len(site.inventory.all("current_dump")) == (before if late == "archive" else 0)
        assert wrong(site) == []


def test_names_that_mean_nothing_withdraw_nothing(archive: Strips) -> None:
    archive.make(2)
    with pytest.raises(ConfigurationError, match="Nothing was changed"):
        retention.withdraw(archive.site, [key(archive, 1), "nothing"], reason="x")
    with pytest.raises(ConfigurationError, match="say why"):
        retention.withdraw(archive.site, [key(archive, 1)], reason="")
    assert keys(archive, "withdrawn") == set()


@pytest.mark.req("G22")
def test_when_the_newest_version_is_withdrawn_the_one_before_is_current_again(settings: Settings) -> None:
    first, second = (datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2))
    with open_site(actor="test", settings=settings) as site, Holdings(settings) as hand:
        hand.archive("a1.bin", b"one", Granule(version="A1", rank=1, created=first), key="k")
        hand.archive("a2.bin", b"two", Granule(version="A2", rank=2, created=second), key="k")
        site.inventory.run("rank_versions", keys=["k"])
        hand.finish()
        assert [row["path"] for row in site.inventory.all("current_dump")] == ["correlative/a2.bin"]
        retention.withdraw(site, ["correlative/a2.bin"], reason="bad")
        assert [row["path"] for row in site.inventory.all("current_dump")] == ["correlative/a1.bin"]
        retention.undo_withdrawal(site, ["correlative/a2.bin"])
        assert [row["path"] for row in site.inventory.all("current_dump")] == ["correlative/a2.bin"]
        assert wrong(site) == []
