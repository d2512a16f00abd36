"""How much may go unseen: a person is asked by what is overdue as a whole, and a dry run shows exactly what goes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from footprints import Strips
from holdings import Granule, Holdings
from orbitory import retention
from orbitory.errors import ConfigurationError
from orbitory.removal import apply, found, undo
from orbitory.removal.leaving import Leaving
from orbitory.removal.overdue import ALL_TYPES
from orbitory.retention import granules, questions
from orbitory.settings import Settings
from orbitory.site import open_site
from retaining import archive, expire_at, key, keys, ruled, wrong

__all__ = ["archive"]


def going(run: retention.Run) -> set[str]:
    return {item.name for item in run.items if item.kind == "granule" and not item.blocked_by}


@pytest.mark.fault("F49", how="what expired by mistake is asked for in slices")
@pytest.mark.req("G22", "F49")
def test_no_slice_of_what_expired_by_mistake_passes_for_less_than_it_is(
    archive: Strips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(granules, "MOST_ASKED", 10)
    monkeypatch.setattr(questions, "MOST_ASKED", 10)
    archive.make(100)
    expire_at(archive, range(1, 81))
    site = ruled(archive.site, approve_share=0.5, approve_granules=5)
    done = retention.expire(site)
    ((name, set_hash),) = done.as_dict()["approve"].items()
    assert (name, going(done)) == ("strip_pan", set())
    with pytest.raises(ConfigurationError, match=r"80 of 100 of strip_pan .* DAG `expiry_approval`"):
        apply(site, set_hash)
    assert apply(site, set_hash, approval="somebody").count == 10
    assert going(retention.expire(site)) == set(), "the next slice needs a word of its own"
    assert len(keys(archive, "deleted")) == 10


@pytest.mark.fault("F49", how="many small types expire at once")
@pytest.mark.req("G22", "F49")
def test_many_small_types_that_expire_at_once_need_approval_together(archive: Strips) -> None:
    archive.make(60)
    archive.sql("UPDATE granule SET product = 'X' || id % 12")
    expire_at(archive, range(1, 61))
    site = ruled(archive.site, approve_granules=10)
    done = retention.expire(site)
    assert going(done) == set() and len(keys(archive)) == 60
    assert list(done.as_dict()["approve"]) == [ALL_TYPES]
    assert all("needs approval: 60 of 60 of all-types" in str(item.blocked_by) for item in done.items)
    (question,) = questions.ask(site)
    assert question.run_id.startswith(ALL_TYPES)
    with pytest.raises(ConfigurationError, match="60 of 60 of all-types"):
        apply(site, done.as_dict()["approve"][ALL_TYPES])
    assert apply(site, done.as_dict()["approve"][ALL_TYPES], approval="somebody").count == 60


@pytest.mark.req("G22", "F48")
def test_what_somebody_holds_neither_counts_against_the_guard_nor_stands_in_the_way(archive: Strips) -> None:
    archive.make(40)
    expire_at(archive, range(1, 31), "now() - interval '2 days'")
    expire_at(archive, range(31, 34))
    site = ruled(archive.site, approve_granules=5, most_granules=2)
    retention.hold(site, [key(archive, n) for n in range(1, 31)], reason="court", until="never", kind="legal")
    shown, done = retention.expire(site, dry=True), retention.expire(site)
    assert going(shown) == going(done) == {key(archive, 31), key(archive, 32)}
    assert len(done.items) == 32 and sum("court" in item.blocked_by for item in done.items) == 30
    assert questions.ask(site) == [] and retention.history(site)[0]["blocked"] == 30


@pytest.mark.req("G22", "F50")
def test_what_cannot_go_takes_no_room_from_what_can_and_leaves_nothing_behind(archive: Strips) -> None:
    archive.make(12)
    expire_at(archive, range(1, 9), "now() - interval '2 days'")
    expire_at(archive, range(9, 12))
    site = ruled(archive.site, most_granules=3)
    rows = archive.sql("SELECT path FROM asset JOIN granule_asset ON asset_id = id WHERE granule_id < 9")
    moved = {site.settings.storage / row["path"]: site.settings.storage.parent / str(n) for n, row in enumerate(rows)}
    for file, aside in moved.items():
        file.rename(aside)
    run = retention.expire(site)
    assert keys(archive, "deleted") == {key(archive, number) for number in (9, 10, 11)} and len(run.failed) == 8
    for _ in range(3):
        retention.expire(site)
    sets = archive.sql(
        "SELECT count(*) AS sets, (SELECT count(*) FROM removal_item WHERE state = 'spared') AS spared FROM removal_set"
    )
    assert sets[0]["sets"] <= 2 and sets[0]["spared"] == 0
    for file, aside in moved.items():
        aside.rename(file)


@pytest.mark.req("G22")
def test_what_the_audit_doubts_does_not_count_against_the_guard(archive: Strips) -> None:
    archive.make(20)
    expire_at(archive, range(1, 10))
    archive.sql(
        "UPDATE asset SET state = 'suspect' WHERE id IN (SELECT asset_id FROM granule_asset WHERE granule_id < 7)"
    )
    site = ruled(archive.site, approve_granules=5)
    assert questions.ask(site) == []
    assert retention.expire(site).as_dict()["removed"] == 3
    archive.sql("UPDATE asset SET state = 'archived' WHERE state = 'suspect'")


@pytest.mark.req("G22")
def test_all_that_is_overdue_is_counted_once_a_run(archive: Strips, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.make(12)
    expire_at(archive, range(1, 11))
    site = ruled(archive.site, most_granules=10)
    retention.hold(site, [key(archive, 1)], reason="court", until="never", kind="legal")
    asked, counted = site.inventory.all, list[str]()

    def counting(query: str, **values: Any) -> Any:
        counted.append(query)
        return asked(query, **values)

    monkeypatch.setattr(site.inventory, "all", counting)
    assert retention.expire(site).as_dict()["removed"] == 9
    assert counted.count("retention_due") == 1


@pytest.mark.req("G22")
def test_nobody_can_ask_for_everything_by_a_product_type_that_does_not_exist(archive: Strips) -> None:
    archive.make(3)
    expire_at(archive, [1])
    with pytest.raises(ConfigurationError, match="'tpyo' was ever held"):
        questions.selection(archive.site, "tpyo")


@pytest.mark.req("G22", "F49")
def test_a_question_is_answered_by_its_own_run_alone_and_put_again_in_its_time(archive: Strips) -> None:
    archive.make(20)
    expire_at(archive, range(1, 20))
    site = ruled(archive.site, approve_granules=5)
    (first,) = questions.ask(site)
    assert questions.ask(site) == [first]
    questions.answered(site, "strip_pan", "2001-01-01T00:00:00Z", approved=True)
    assert questions.ask(site) == [first], "another run's answer"
    for approved, days in ((None, 1), (False, 7)):
        (waiting,) = questions.ask(site)
        questions.answered(site, **waiting.conf, approved=approved)
        assert questions.ask(site) == []
        archive.sql(f"UPDATE expiry_question SET next_at = next_at - interval '{days} days' + interval '1 minute'")
        assert questions.ask(site) == []
        archive.sql("UPDATE expiry_question SET next_at = next_at - interval '1 minute'")
        (again,) = questions.ask(site)
        assert again.run_id != waiting.run_id or again.asked_at > waiting.asked_at
    questions.answered(site, **again.conf, approved=True)
    (more,) = questions.ask(site)
    questions.answered(site, **more.conf, approved=True, left=True)
    assert questions.ask(site) == [], "what could not go is not asked about again at once"


@pytest.mark.req("G22")
def test_a_dry_run_looks_at_no_moment_that_is_over(archive: Strips) -> None:
    archive.make(2)
    with pytest.raises(ConfigurationError, match="is over"):
        retention.expire(archive.site, dry=True, as_of=_row(archive, "SELECT now() - interval '1 minute' AS at")["at"])


@pytest.mark.req("G22")
def test_a_dry_run_tells_what_is_still_on_its_way_out(archive: Strips, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.make(20)
    expire_at(archive, range(1, 5))
    site = ruled(archive.site, approve_granules=4)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Leaving, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            retention.expire(site)
    expire_at(archive, range(5, 9))
    shown = retention.expire(site, dry=True)
    done = retention.expire(site)
    assert going(shown) == going(done) == {key(archive, number) for number in range(1, 9)}


def _row(archive: Strips, statement: str) -> dict[str, Any]:
    return archive.sql(statement)[0]


@pytest.mark.req("G22")
def test_of_two_versions_of_one_name_that_is_told_which_stayed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_site(actor="test", settings=settings) as site, Holdings(settings) as hand:
        hand.archive("a1.bin", b"one", Granule(version="A1", rank=1), key="k")
        hand.archive("a2.bin", b"two", Granule(version="A2", rank=2), key="k")
        site.inventory.run("rank_versions", keys=["k"])
        hand.finish()
        hand.sql("UPDATE granule SET expires_at = now() - interval '1 hour'")
        choose = found._choose_expired

        def held_meanwhile(*asked: Any) -> None:
            choose(*asked)
            hand.sql(
                "INSERT INTO hold (granule_id, kind, reason, owner)"
                " SELECT id, 'person', 'last second', 'ada' FROM granule WHERE version = 'A2'"
            )

        monkeypatch.setattr(found, "_choose_expired", held_meanwhile)
        done = retention.expire(site)
        told = {item.name: item.blocked_by for item in done.items}
        assert set(told) == {"k A1", "k A2"} and told["k A1"] == "" and "last second" in told["k A2"]
        assert wrong(site) == []


LINKS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=6)


@pytest.mark.req("G22")
@given(
    shared=LINKS,
    held=st.sets(st.integers(1, 12), max_size=5),
    suspect=st.sets(st.integers(1, 12), max_size=2),
    order=st.permutations(range(1, 13)),
    room=st.integers(1, 6),
)
@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=25, deadline=None
)
def test_the_dry_run_is_the_real_set_whatever_is_shared_held_or_in_doubt(
    archive: Strips, shared: list[tuple[int, int]], held: set[int], suspect: set[int], order: list[int], room: int
) -> None:
    """Brought back at the end, so that each example finds the same archive."""
    if not keys(archive):
        archive.make(14)
    site, before = ruled(archive.site, most_granules=room), keys(archive)
    own = {row["granule_id"]: row["asset_id"] for row in archive.sql(_OWN)}
    links = {(one, own[other]) for one, other in shared if one != other}
    for at, number in enumerate(order):
        expire_at(archive, [number], f"now() - interval '{100 - at} minutes'")
    for granule, asset in links:
        archive.sql("INSERT INTO granule_asset VALUES (%(g)s, %(a)s)", g=granule, a=asset)
    retention.place(site, sorted(held), kind="legal", reason="x", until=None)
    archive.sql("UPDATE asset SET state = 'suspect' WHERE id = ANY (%(n)s)", n=[own[number] for number in suspect])
    try:
        shown, done = retention.expire(site, dry=True), retention.expire(site)
        assert going(shown) == going(done) == before - keys(archive)
        assert not done.failed
    finally:
        for row in archive.sql("SELECT encode(hash, 'hex') AS hash FROM removal_set WHERE state = 'applied'"):
            undo(archive.site, row["hash"])
        archive.sql("UPDATE asset SET state = 'archived' WHERE state = 'suspect'")
        archive.sql("UPDATE hold SET released = now(), released_by = 'test' WHERE released IS NULL")
        for granule, asset in links:
            archive.sql("DELETE FROM granule_asset WHERE granule_id = %(g)s AND asset_id = %(a)s", g=granule, a=asset)


_OWN = """
SELECT l.granule_id, l.asset_id FROM granule_asset l JOIN asset s ON s.id = l.asset_id
WHERE s.role = 'data' AND s.state = 'archived'
"""
