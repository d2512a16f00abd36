"""From simulated passes to archived products: what the PGEs that come with the archive make of a whole delivery."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from orbitory.catalogue import load
from orbitory.ingest.run import ingest
from orbitory.pge.crew import run_ready
from orbitory.pge.planner import plan
from orbitory.settings import Settings
from orbitory.simulate import simulate
from orbitory.site import open_site


def rows(settings: Settings, statement: str) -> list[dict[str, Any]]:
    with psycopg.connect(settings.database, row_factory=dict_row) as connection:
        return connection.execute(statement).fetchall()


def planned(settings: Settings) -> None:
    with open_site(actor="test", settings=settings) as site:
        plan(site)


def states(settings: Settings, pge: str) -> list[str]:
    found = rows(settings, "SELECT pge, state FROM pge_instance ORDER BY id")
    return [row["state"] for row in found if row["pge"] == pge]


@pytest.mark.slow
@pytest.mark.req("G12", "G17")
def test_every_granule_gets_its_picture_and_each_with_two_neighbours_its_composite(settings: Settings) -> None:
    simulate(load(settings.catalogue), "idps", 36, 1, None, settings.landing / "idps")
    simulate(load(settings.catalogue), "nga", 6, 1, None, settings.landing / "nga")
    for source in ("idps", "nga"):
        assert not ingest(settings, source).failed
    planned(settings)
    results = run_ready(settings, "test", 2)
    assert {each.state for each in results} == {"delivered"}, [each.detail for each in results if each.detail]
    assert not ingest(settings, "pge").failed
    planned(settings)
    seen = rows(settings, "SELECT platform, count(*) FROM granule WHERE product = 'SVM01' GROUP BY 1 ORDER BY 1")
    assert [row["count"] for row in seen] == [3, 12]
    assert states(settings, "viirs_quicklook") == ["done"] * 15
    assert states(settings, "viirs_composite").count("done") == 1, "S-NPP's may still get better geolocation"
    assert states(settings, "viirs_composite").count("waiting") == 14
    assert set(states(settings, "daily_coverage")) == {"waiting"}, "more of the day may still come"
    strips = rows(settings, "SELECT key FROM granule WHERE source = 'nga' AND product NOT IN ('manifest', 'order')")
    assert len(states(settings, "strip_ortho_preview")) == len(strips)
    made = rows(
        settings,
        "SELECT product, count(*) FROM granule WHERE source = 'pge' AND footprint IS NOT NULL GROUP BY 1 ORDER BY 1",
    )
    assert {row["product"]: row["count"] for row in made} == {"SORTP": len(strips), "VCMPM": 1, "VQLKM": 15}
    doubts = rows(settings, "SELECT path, findings FROM asset WHERE path LIKE 'pge/%' AND findings <> '[]'")
    assert not doubts
