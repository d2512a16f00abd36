"""A delivery that is cut short, refused, taken away or made again: what the inventory says of it is what there is."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from orbitory.ingest.run import ingest
from orbitory.pge import claims, delivery, heartbeat, staging
from orbitory.pge.lineage import lineage
from orbitory.pge.recovery import cancel, recover, settle
from orbitory.pge.runner import run
from orbitory.settings import Settings
from pge_runs import GOOD, Bench, bench_at

KIND = '[[outputs]]\nname = "{kind}"\nproduct = "pge_viirs_quicklook"\npattern = "VQLKM.*.{kind}"\n'
TWO = KIND.format(kind="txt") + KIND.format(kind="tif")
#: A text and an image that the ingest cannot read.
HALF_BAD = (
    "product('txt').write_bytes({text!r}); product('tif', told['period'] + '-b').write_bytes(b'II*\\0' + b'?' * 400)"
)


@pytest.fixture
def bench(settings: Settings, tmp_path: Path) -> Iterator[Bench]:
    made = bench_at(settings, tmp_path)
    with made.holdings:
        yield made


def half_good(bench: Bench, text: bytes) -> str:
    """As HALF_BAD, with an image that can be read."""
    file = bench.folder / "good.tif"
    shape = {"width": 8, "height": 8, "count": 1, "dtype": "uint8"}
    with rasterio.open(
        file, "w", driver="GTiff", crs="EPSG:4326", transform=from_origin(0, 10, 1, 1), **shape
    ) as image:
        image.write(np.ones((1, 8, 8), "uint8"))
    copied = f"product('tif', told['period'] + '-b').write_bytes(open({str(file)!r}, 'rb').read())"
    return f"product('txt').write_bytes({text!r}); {copied}"


def tried(bench: Bench, instance: int, actor: str = "test") -> str:
    with bench.site(actor) as site:
        return run(site, instance).state


def settled(bench: Bench) -> list[tuple[int, str]]:
    with bench.site() as site:
        return [(row["id"], row["state"]) for row in settle(site)]


def outputs(bench: Bench) -> list[tuple[str, bytes, bytes]]:
    """Of each output its name, its digest, and the digest of the archived file that its granule has under that name."""
    return bench.holdings.db.execute(
        "SELECT o.name, o.digest, s.digest FROM pge_output o JOIN granule_asset l USING (granule_id)"
        " JOIN asset s ON s.id = l.asset_id WHERE s.path LIKE '%/' || o.name ORDER BY 1"
    ).fetchall()


def end_after_rename(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens once the delivery stands in the landing zone, before anybody could say so."""

    def fail(folder: Path) -> None:
        raise error

    monkeypatch.setattr(delivery, "sync_folder", fail)


@pytest.mark.req("F53")
def test_a_delivery_with_a_rejected_file_is_rejected_whole(bench: Bench) -> None:
    bench.define(HALF_BAD.format(text=b"good"), outputs=TWO)
    number = bench.instance()
    assert tried(bench, number) == "delivered"
    ingest(bench.settings, "pge")
    assert bench.row(number)["reason"] == "output_rejected"
    files = [state for name, state, _ in bench.arrivals() if not name.endswith("SHA256SUMS")]
    assert files == ["rejected"] * 4, bench.arrivals()
    assert not bench.holdings.db.execute(
        "SELECT FROM granule WHERE key LIKE 'pge/VQ%' AND state = 'archived'"
    ).fetchall()


@pytest.mark.req("G17")
def test_all_data_of_a_delivery_are_granules_with_their_own_provenance(bench: Bench) -> None:
    bench.define(half_good(bench, b"text"), outputs=TWO)
    number = bench.instance()
    assert tried(bench, number) == "delivered"
    ingest(bench.settings, "pge")
    assert bench.row(number)["state"] == "done", bench.row(number)
    keys = bench.holdings.db.execute(
        "SELECT key, search ->> 'period' FROM granule WHERE source = 'pge' AND key LIKE 'pge/VQ%' ORDER BY key"
    ).fetchall()
    assert keys == [("pge/VQLKM/probe/P000001", "P000001"), ("pge/VQLKM/probe/P000001-b", "P000001")]
    assert [(name, ours == archived) for name, ours, archived in outputs(bench)] == [
        ("VQLKM.probe.1.P000001-b.tif", True),
        ("VQLKM.probe.1.P000001.txt", True),
    ]


@pytest.mark.req("G17", "F53")
def test_one_whose_output_was_rejected_is_run_again_and_done_by_its_new_files_alone(bench: Bench) -> None:
    bench.define(HALF_BAD.format(text=b"first"), outputs=TWO)
    number = bench.instance()
    assert tried(bench, number) == "delivered"
    ingest(bench.settings, "pge")
    assert bench.row(number)["state"] == "failed"
    bench.define(half_good(bench, b"repaired"), outputs=TWO)
    assert tried(bench, number) == "delivered"
    assert settled(bench) == [] and bench.row(number)["state"] == "delivered", "the earlier arrivals do not count"
    ingest(bench.settings, "pge")
    assert bench.row(number)["state"] == "done", bench.row(number)
    assert all(ours == archived for _, ours, archived in outputs(bench)) and len(outputs(bench)) == 2
    assert not [name for name, state, _ in bench.arrivals() if state == "conflict"]
    assert len(bench.messages()) == 1


@pytest.mark.req("G17")
def test_a_product_made_again_by_the_same_instance_is_a_newer_edition(bench: Bench) -> None:
    """Each delivery has a folder and a creation time of its own."""
    bench.define("product().write_text(str(time.time_ns()))")
    number = bench.instance()
    assert tried(bench, number) == "delivered"
    ingest(bench.settings, "pge")
    bench.holdings.sql("UPDATE pge_instance SET state = 'failed', reason = 'output_lost' WHERE id = %s", number)
    assert tried(bench, number) == "delivered"
    ingest(bench.settings, "pge")
    assert bench.row(number)["state"] == "done"
    first, second = bench.holdings.db.execute(
        "SELECT id, superseded_by, version_rank FROM granule WHERE key = 'pge/VQLKM/probe/P000001' ORDER BY created"
    ).fetchall()
    assert (first[1], second[1]) == (second[0], None)
    with bench.site() as site:
        (output,) = lineage(site.inventory, f"{number}-2/VQLKM.probe.1.P000001.txt")["instances"][0]["outputs"]
    assert f"/{number}-2/" in output["path"]


def test_one_whose_files_the_ingest_knows_with_other_bytes_is_not_done(bench: Bench) -> None:
    bench.define(GOOD)
    number = bench.instance()
    assert tried(bench, number) == "delivered"
    bench.holdings.sql("UPDATE pge_output SET digest = sha256('other') WHERE instance_id = %s", number)
    ingest(bench.settings, "pge")
    row = bench.row(number)
    assert (row["state"], row["reason"]) == ("failed", "output_rejected") and "other bytes" in row["detail"]


@pytest.mark.req("F51")
def test_an_error_after_the_delivery_appeared_leaves_it_delivered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.define(GOOD)
    number = bench.instance()
    with monkeypatch.context() as patch:
        end_after_rename(OSError(errno.EIO, "input/output error"), patch)
        assert tried(bench, number) == "delivered"
    assert bench.delivered(number) and bench.row(number)["state"] == "delivered"
    ingest(bench.settings, "pge")
    assert bench.row(number)["state"] == "done" and len(outputs(bench)) == 1


@pytest.mark.req("F51")
def test_a_task_ended_after_the_delivery_appeared_leaves_it_delivered_and_clearing_it_changes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.define("product().write_text(str(time.time_ns()))")
    number = bench.instance()
    with monkeypatch.context() as patch:
        end_after_rename(SystemExit(143), patch)
        with pytest.raises(SystemExit):
            tried(bench, number)
    assert bench.row(number)["state"] == "delivered"
    assert tried(bench, number) == "delivered"
    ingest(bench.settings, "pge")
    assert bench.row(number)["state"] == "done" and len(outputs(bench)) == 1


@pytest.mark.req("F51")
@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("state", ["ready", "cancelled", "running"])
def test_a_delivery_of_which_nobody_could_speak_is_found_by_the_next_who_takes_the_instance(
    bench: Bench, state: str, archived: bool
) -> None:
    bench.define(GOOD)
    number = bench.instance()
    assert tried(bench, number) == "delivered"
    if archived:
        ingest(bench.settings, "pge")
    bench.define("sys.exit(1)")
    bench.holdings.sql(
        "UPDATE pge_instance SET state = %s, lease_until = now() - interval '1 s' WHERE id = %s", state, number
    )
    assert tried(bench, number) == "delivered"
    ingest(bench.settings, "pge")
    assert bench.row(number)["state"] == "done"


def test_one_whose_delivery_stands_already_is_delivered_not_cancelled(bench: Bench) -> None:
    bench.define(GOOD)
    number = bench.instance()
    assert tried(bench, number) == "delivered"
    bench.holdings.sql("UPDATE pge_instance SET state = 'running' WHERE id = %s", number)
    with bench.site() as site:
        assert not cancel(site, number)
    assert bench.row(number)["state"] == "delivered"


@pytest.mark.req("F53")
@pytest.mark.parametrize("taken", ["folder", "file"])
def test_one_whose_delivery_was_taken_away_fails_and_a_person_is_told(bench: Bench, taken: str) -> None:
    bench.define(GOOD)
    number, other = bench.instance(), bench.instance()
    for each in (number, other):
        assert tried(bench, each) == "delivered"
    folder = bench.settings.landing / "pge" / f"{number}-1"
    away = bench.folder / "away"
    away.mkdir()
    moved = folder if taken == "folder" else next(folder.glob("*.txt"))
    moved.rename(away / moved.name)
    assert settled(bench) == [], "it may be on its way"
    bench.holdings.sql("UPDATE pge_instance SET finished_at = now() - interval '11 minutes'")
    assert settled(bench) == [(number, "failed")]
    row = bench.row(number)
    assert row["reason"] == "output_lost" and f"{number}-1/VQLKM" in row["detail"]
    assert bench.messages() == [f"PGE probe failed: instance {number}, output_lost"]
    assert bench.row(other)["state"] == "delivered"
    (away / moved.name).rename(moved)
    ingest(bench.settings, "pge")
    assert [bench.row(each)["state"] for each in (number, other)] == ["done", "done"], "it was brought back"


def test_a_landing_zone_that_is_not_mounted_tells_nothing(bench: Bench) -> None:
    bench.define(GOOD)
    assert tried(bench, bench.instance()) == "delivered"
    bench.holdings.sql("UPDATE pge_instance SET finished_at = now() - interval '11 minutes'")
    shutil.rmtree(bench.settings.landing / "pge")
    assert settled(bench) == []


@pytest.mark.req("F51")
def test_staging_may_take_longer_than_a_lease(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "LEASE", "2 seconds")
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.3)
    stage = staging.stage

    def slow(*given: object, **named: object) -> object:
        time.sleep(3)
        with bench.site("planning") as site:
            assert recover(site) == []
        return stage(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(staging, "stage", slow)
    bench.define(GOOD)
    assert tried(bench, bench.instance()) == "delivered"
