"""Of two products of one period the one that was made last is the newer edition."""

from __future__ import annotations

from pathlib import Path

import pytest

from orbitory.ingest.run import ingest
from orbitory.pge.runner import run
from orbitory.settings import Settings
from pge_runs import GOOD, bench_at


@pytest.mark.req("G17")
@pytest.mark.parametrize("versions", [("1", "2.1"), ("2.1", "2.10"), ("B2", "A1")])
def test_what_another_version_made_later_is_newer_whatever_the_versions_are_called(
    settings: Settings, tmp_path: Path, versions: tuple[str, str]
) -> None:
    bench = bench_at(settings, tmp_path)
    with bench.holdings:
        bench.define(GOOD)
        definition = bench.settings.catalogue / "pges" / "probe.toml"
        text = definition.read_text()
        for version in versions:
            bench.define(f"product().write_bytes({version.encode()!r})")
            definition.write_text(text.replace('version = "1"', f'version = "{version}"'))
            number = bench.instance(period_key="SAME", version=version)
            with bench.site() as site:
                assert run(site, number).state == "delivered"
            ingest(bench.settings, "pge")
        rows = bench.holdings.db.execute(
            "SELECT id, superseded_by, search ->> 'pge_version' FROM granule"
            " WHERE key = 'pge/VQLKM/probe/SAME' ORDER BY id"
        ).fetchall()
    (_, newer, _), (second, newest, _) = rows
    assert (newer, newest) == (second, None) and [row[2] for row in rows] == list(versions)
