"""The digest is the same for equal content and differs for any other, whatever the way that led there."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from cloning import Clone
from holdings import SQUARE, SQUARE_KM2, Granule, Holdings
from orbitory import digest as digesting
from orbitory.digest import Digest, digest
from orbitory.errors import IntegrityError
from orbitory.settings import Settings
from orbitory.site import open_site

NOON = datetime(2024, 2, 10, 12, tzinfo=UTC)
FILES = {
    "a.bin": Granule(start=NOON, footprint=SQUARE, area_km2=SQUARE_KM2, search={"day_night": "Day"}),
    "b/c.bin": Granule(version="A1", created=NOON, orbit=7),
    "d.bin": Granule(),
}


def fill(site: Holdings, names: list[str]) -> None:
    for name in names:
        site.archive(name, name.encode(), FILES[name])
    site.reject("bad.bin", sidecar=b"0")


def of(settings: Settings) -> Digest:
    with open_site(actor="test", settings=settings) as site:
        return digest(site.inventory, site.storage)


@pytest.mark.req("W10")
def test_another_order_other_ids_other_runs_and_other_hours_give_the_same_digest(clone: Clone) -> None:
    with Holdings(clone("one")) as one, Holdings(clone("two")) as two:
        fill(one, ["a.bin", "b/c.bin", "d.bin"])
        for table in ("granule", "asset", "arrival", "batch", "ingest_run"):
            two.sql(f"SELECT nextval('{table}_id_seq') FROM generate_series(1, 1000)")
        two.begin()
        two.reject("bad.bin", sidecar=b"0")
        for name in ("d.bin", "a.bin", "b/c.bin"):
            two.begin()
            two.archive(name, name.encode(), FILES[name])
        two.sql("UPDATE granule SET stored_at = now() - interval '9 days'")
        two.sql("UPDATE asset SET fixity_at = now() - interval '9 days'")
        two.sql("UPDATE arrival SET first_seen = now() - interval '9 days', detail = 'another wording'")
        two.wait("half.bin")
        shutil.copytree(two.settings.storage, two.settings.storage / ".incoming" / "7")
        assert of(one.settings) == of(two.settings)


CHANGES = [
    "UPDATE granule SET orbit = 8 WHERE version = 'A1'",
    "UPDATE granule SET search = search || '{\"day_night\": \"Night\"}' WHERE key LIKE '%%a.bin'",
    "UPDATE granule SET footprint = ST_Translate(footprint, 1, 0)",
    "UPDATE granule SET sensing = tstzrange(lower(sensing), upper(sensing) + interval '1 microsecond', '[]')",
    "UPDATE granule SET classification = 'unrestricted' WHERE version = 'A1'",
    "UPDATE granule o SET superseded_by = n.id FROM granule n WHERE o.version = 'A1' AND n.key LIKE '%%d.bin'",
    "UPDATE granule SET state = 'withdrawn' WHERE version = 'A1'",
    "UPDATE asset SET digest = decode(repeat('00', 32), 'hex') WHERE path LIKE '%%d.bin'",
    """UPDATE asset SET findings = '[{"code": "x"}]' WHERE path LIKE '%%d.bin'""",
    "UPDATE asset SET kind = 'hdf5' WHERE path LIKE '%%d.bin'",
    "UPDATE granule_asset SET preferred = false WHERE granule_id = (SELECT id FROM granule WHERE version = 'A1')",
    "DELETE FROM granule_asset WHERE granule_id = (SELECT id FROM granule WHERE version = 'A1')",
]
#: What each site rules or meets for itself: other sites that hold the same may differ in it.
FATES = [
    "UPDATE granule SET expires_at = now() + interval '1 day' WHERE version = 'A1'",
    "UPDATE arrival SET state = 'conflict' WHERE name = 'bad.bin'",
    "UPDATE arrival SET reason = 'size' WHERE name = 'bad.bin'",
    "UPDATE arrival SET quarantine_path = NULL WHERE name = 'bad.bin'",
    "UPDATE arrival SET name = 'e.bin', path = 'e.bin' WHERE name = 'd.bin'",
]


def test_any_change_of_content_in_a_row_changes_the_inventory_part_and_fates_alone_not_the_whole(
    settings: Settings,
) -> None:
    with Holdings(settings) as site:
        fill(site, list(FILES))
        before = of(settings)
        seen, wholes = {before.inventory}, {before.digest}
        for change in CHANGES:
            site.sql(change)
            after = of(settings)
            assert after.inventory not in seen and after.digest not in wholes, change
            seen.add(after.inventory)
            wholes.add(after.digest)
            assert after.storage == before.storage
        for change in FATES:
            site.sql(change)
            fate = of(settings)
            assert fate.inventory not in seen, change
            seen.add(fate.inventory)
            assert (fate.storage, fate.digest) == (after.storage, after.digest), change


def test_any_change_in_storage_changes_the_storage_part(settings: Settings) -> None:
    with Holdings(settings) as site:
        fill(site, list(FILES))
        seen = {of(settings).storage}
        changes: list[Callable[[], object]] = [
            lambda: site.stored("a.bin").write_bytes(b"A.bin"),
            lambda: site.stored("a.bin").rename(site.stored("z.bin")),
            lambda: site.stored("d.bin").unlink(),
            lambda: (settings.storage / "dark").write_bytes(b""),
            lambda: (settings.storage / "link").symlink_to("dark"),
        ]
        for number, change in enumerate(changes, 2):
            change()
            seen.add(of(settings).storage)
            assert len(seen) == number
        inventories = of(settings).inventory
    assert inventories == of(settings).inventory


def test_moving_bytes_between_name_and_content_is_noticed(clone: Clone) -> None:
    made = []
    for label, files in (("one", {"ab": b"c"}), ("two", {"a": b"bc"}), ("three", {"a": b"", "b": b"c"})):
        site = clone(label)
        with Holdings(site):
            for name, content in files.items():
                (site.storage / name).write_bytes(content)
        made.append(of(site).storage)
    assert len(set(made)) == 3


def test_a_header_counts_by_its_text_not_by_how_it_was_packed(settings: Settings) -> None:
    text = json.dumps({"attribute": "value" * 900_000}).encode()  # larger than one piece when unpacked
    digests = []
    with Holdings(settings) as site:
        site.archive("a.bin")
        for header in (zlib.compress(text, 1), zlib.compress(text, 9), zlib.compress(text.upper()), b""):
            site.sql("UPDATE asset SET header = %s", header)
            digests.append(of(settings).inventory)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize("damage", [lambda packed: packed[:-5], lambda packed: b"\0" + packed])
def test_a_damaged_header_is_told(settings: Settings, damage: Callable[[bytes], bytes]) -> None:
    with Holdings(settings) as site:
        site.archive("a.bin")
        site.sql("UPDATE asset SET header = %s", damage(zlib.compress(b"{}" * 1000)))
        with pytest.raises(IntegrityError, match=r"header kept for correlative/a\.bin is damaged"):
            of(settings)


def test_headers_are_summed_alike_in_pages_of_any_size(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with Holdings(settings) as site:
        fill(site, list(FILES))
        site.sql("UPDATE asset SET header = %s", zlib.compress(b"{}"))
        before = of(settings)
        monkeypatch.setattr(digesting, "_HEADERS_AT_ONCE", 1)
        assert of(settings) == before


def test_an_intent_that_was_taken_back_leaves_no_trace(settings: Settings) -> None:
    with Holdings(settings) as site:
        fill(site, list(FILES))
        before = of(settings)
        site.sql("INSERT INTO granule (source, product, key, state, sensor) VALUES ('s', 'p', 'k', 'stored', 's')")
        assert of(settings) != before
        site.sql("UPDATE granule SET state = 'deleted' WHERE key = 'k'")
        assert of(settings) == before


def test_what_was_archived_and_deleted_leaves_its_tombstone(settings: Settings) -> None:
    with Holdings(settings) as site:
        fill(site, list(FILES))
        before = of(settings).inventory
        site.sql("UPDATE granule SET state = 'deleted' WHERE orbit = 7")
        tombstone = of(settings).inventory
        site.sql("UPDATE granule SET key = 'other' WHERE orbit = 7")
        assert len({before, tombstone, of(settings).inventory}) == 3


@pytest.mark.fault("F50", how="the mark of storage is gone before a digest")
def test_unmounted_storage_is_no_empty_storage(settings: Settings) -> None:
    with Holdings(settings) as site:
        fill(site, list(FILES))
        shutil.rmtree(settings.storage)
        with pytest.raises(IntegrityError, match="looks unmounted"):
            of(settings)


def test_a_site_that_never_ran_has_a_digest(settings: Settings) -> None:
    assert len(of(settings).digest) == 64
