"""What an export costs does not depend on what the database has found out about its tables by then."""

from __future__ import annotations

import pytest

from benchmarks.seeds import fill
from cloning import Clone
from exporting import configure
from orbitory import export
from orbitory.settings import Settings
from orbitory.site import open_site
from private_stack.postgres import Cluster

_GRANULES = 2_000


def rows_read(postgres: Cluster, settings: Settings) -> int:
    """By scans of whole tables, of files."""
    statement = "SELECT pg_stat_force_next_flush(); SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname='asset'"
    return int(postgres.sql(statement, settings.database.rpartition("/")[2]).splitlines()[-1])


@pytest.mark.req("N8")
def test_a_preview_right_after_the_first_export_reads_the_files_once_and_not_once_for_each_granule(
    clone: Clone, postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = clone("dev"), clone("prod")
    configure(monkeypatch, "PROD", there)
    fill(here, _GRANULES)
    for _ in range(2):
        with open_site(actor="test", settings=here) as site:
            shown = export.preview(site, export.remote("prod"), export.Selection(), report=False)
            if not shown.empty:
                assert export.run(site, export.remote("prod"), shown.hash).granules == _GRANULES
                before = rows_read(postgres, there)
    assert shown.empty
    assert rows_read(postgres, there) - before <= 10 * _GRANULES
