"""Two sites, the one configured as the other's production, and archives to export between them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from blake3 import blake3

from cloning import Clone
from footprints import Strips, strips
from orbitory import export, removal
from orbitory.audit import audit
from orbitory.digest import Digest, digest
from orbitory.export import Outcome, Preview, Selection
from orbitory.settings import Settings
from orbitory.site import open_site

FIRST = "(SELECT min(id) FROM granule)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Development with an archive of strips, and production."""

    dev: Strips
    prod: Strips

    def preview(self, *, files: bool = True, **selection: Any) -> Preview:
        return export.preview(self.dev.site, export.remote("prod"), Selection(**selection), files=files)

    def run(self, *, files: bool = True, approval: str = "", batch: int = 5_000, **selection: Any) -> Outcome:
        shown = self.preview(files=files, **selection)
        return export.run(self.dev.site, export.remote("prod"), shown.hash, approval=approval, batch=batch)

    def undo(self, number: int) -> int:
        return export.undo(self.dev.site, number).granules

    def digests(self) -> tuple[Digest, Digest]:
        return digest_of(self.dev), digest_of(self.prod)


def digest_of(archive: Strips) -> Digest:
    return digest(archive.site.inventory, archive.site.storage)


def wrong(archive: Strips) -> list[str]:
    return [f"{each.invariant} {each.name}: {each.detail}" for each in audit(archive.site)]


def wrong_at(settings: Settings) -> list[str]:
    with open_site(actor="test", settings=settings) as site:
        return [f"{each.invariant} {each.name}: {each.detail}" for each in audit(site)]


def configure(monkeypatch: pytest.MonkeyPatch, name: str, settings: Settings) -> None:
    monkeypatch.setenv(f"ORBITORY_SITE_{name}_DATABASE", settings.database)
    monkeypatch.setenv(f"ORBITORY_SITE_{name}_ROOT", str(settings.landing.parent))


@contextmanager
def pair(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    for name in [each for each in os.environ if each.startswith("ORBITORY_SITE_")]:
        monkeypatch.delenv(name)
    here, there = clone("dev"), clone("prod")
    configure(monkeypatch, "PROD", there)
    with strips(here) as dev, strips(there) as prod:
        yield Pair(dev=dev, prod=prod)


def validate(archive: Strips) -> None:
    """As an evaluation without findings leaves them."""
    archive.sql("UPDATE footprint_master SET status = 'validated'")


@pytest.fixture
def sites(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """Twenty granules that may go, and a site that is still empty."""
    with pair(clone, monkeypatch) as both:
        both.dev.make(20)
        validate(both.dev)
        yield both


def remove(archive: Strips, where: str = f"id = {FIRST}") -> str:
    """Granules leave as by a list of a person's; the set's hash."""
    keys = tuple(row["key"] for row in archive.sql(f"SELECT key FROM granule WHERE {where}"))
    found = removal.plan(archive.site, removal.Selection(kind="list", names=keys))
    removal.apply(archive.site, found.hash, approval="test")
    return found.hash


def make(archive: Strips, made: str, state: str) -> None:
    """An instance that made one granule of itself and another one."""
    archive.sql(
        "WITH i AS (INSERT INTO pge_instance (pge, version, period_key, sensing, state, input_hash)"
        " VALUES ('p', '1', 'k', '[2024-02-10, 2024-02-11)', %(state)s, 'hash') RETURNING id), o AS ("
        " INSERT INTO pge_output SELECT i.id, 'a.ntf', 'strip', s.digest, s.size, l.granule_id"
        " FROM i, granule_asset l JOIN asset s"
        f" ON s.id = l.asset_id AND s.role = 'data' WHERE l.granule_id = {made})"
        " INSERT INTO pge_input SELECT i.id, 'one', 1, l.granule_id, s.id, NULL, s.digest"
        " FROM i, granule_asset l JOIN asset s ON s.id = l.asset_id AND s.role = 'data'"
        " WHERE l.granule_id = (SELECT max(id) FROM granule)",
        state=state,
    )


def deliver_again(archive: Strips, key: str, content: str = "") -> None:
    """What was removed comes again, under the same names."""
    archive.sql(
        "INSERT INTO granule (source, product, key, created, state, platform, sensor, sensing, footprint, area_km2,"
        " search) SELECT source, product, key, created, 'archived', platform, sensor, sensing, footprint, area_km2,"
        " search FROM granule WHERE state = 'deleted' AND key = %(key)s",
        key=key,
    )
    for row in archive.sql(
        "WITH n AS (INSERT INTO asset (path, role, state, kind, size, digest)"
        " SELECT path, role, 'archived', kind, size, '\\x' FROM asset WHERE state = 'deleted' AND id IN ("
        " SELECT asset_id FROM granule_asset l JOIN granule g ON g.id = l.granule_id WHERE g.key = %(key)s)"
        " RETURNING id, path)"
        " INSERT INTO granule_asset (granule_id, asset_id) SELECT g.id, n.id FROM n,"
        " (SELECT max(id) AS id FROM granule) g RETURNING asset_id",
        key=key,
    ):
        archive.sql("UPDATE asset SET size = length(path) WHERE id = %(n)s", n=row["asset_id"])
    archive.write()
    if content:
        for row in archive.sql(
            "SELECT s.id, s.path FROM asset s JOIN granule_asset l ON l.asset_id = s.id"
            " WHERE l.granule_id = (SELECT max(id) FROM granule)"
        ):
            text = f"{content}{row['path']}".encode()
            (archive.site.settings.storage / row["path"]).write_bytes(text)
            values = {"d": blake3(text).digest(), "n": row["id"], "s": len(text)}
            archive.sql("UPDATE asset SET digest = %(d)s, size = %(s)s WHERE id = %(n)s", **values)
    archive.follow()
    validate(archive)
