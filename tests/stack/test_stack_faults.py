"""Parts of a running Airflow die in the middle of a run: it ends as a quiet run ends, each file in its one place."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_world import Stage, running
from faults.oracle import Truth
from stack import breaking

SOURCE = "correlative"
#: The same, but with a schedule.
BUSY = "busy"
pytestmark = [pytest.mark.faults, pytest.mark.req("W5")]
Record = Callable[[str, object], None]


def _add_busy(catalogue: Path, home: Path) -> None:
    text = (catalogue / "sources" / f"{SOURCE}.toml").read_text()
    text = text.replace(f'"{SOURCE}"\ntitle', f'"{BUSY}"\ntitle').replace(
        f'landing = "{SOURCE}"', f'landing = "{BUSY}"'
    )
    (catalogue / "sources" / f"{BUSY}.toml").write_text(text.replace("0 0 29 2 *", "* * * * *"))
    shutil.rmtree(catalogue / "pges")
    (catalogue / "pges").mkdir()


@pytest.fixture(scope="module")
def whole() -> Iterator[Stage]:
    """A stack of this module's own: its parts are killed, and its site is emptied."""
    with running("faults", _add_busy) as stage:
        for dag_id in ("outbox", f"ingest_{SOURCE}", f"ingest_{BUSY}"):
            stage.api.await_dag(dag_id)
        breaking.keep_empty(stage)
        yield stage


@pytest.fixture
def site(whole: Stage) -> Stage:
    """A site to which nothing was ever delivered."""
    breaking.restart(whole)
    # What a test that failed has left.
    whole.until(lambda: not any(whole.api.active_runs(f"ingest_{source}") for source in (SOURCE, BUSY)), 300)
    breaking.begin_anew(whole)
    return whole


@pytest.fixture(scope="module")
def quiet(whole: Stage) -> Callable[[str, int], dict[str, str]]:
    """Digests after one run without Airflow and without trouble over the same delivery."""
    known: dict[tuple[str, int], dict[str, str]] = {}

    def digest(source: str, plain: int) -> dict[str, str]:
        if (source, plain) not in known:
            breaking.begin_anew(whole)
            truth = breaking.deliver(whole, source, plain)
            whole.orbitory("ingest", source, "--workers", "1", expect=1)
            assert breaking.violations(whole, truth) == []
            known[source, plain] = whole.orbitory("digest")
            breaking.begin_anew(whole)
        return known[source, plain]

    return digest


def ends_as_quiet(stage: Stage, truth: Truth, digest: dict[str, str]) -> None:
    """The judge is content, nothing is held any more, and the archive is that of a quiet run."""
    assert breaking.violations(stage, truth) == []
    assert stage.rows("SELECT id, claim FROM batch WHERE done_at IS NULL") == []
    assert stage.orbitory("digest") == digest


def only_report_failed(stage: Stage, run: tuple[str, str]) -> None:
    """Bad files were delivered, so the verdict is red; all else went well."""
    assert stage.finish(*run) == "failed"
    assert {task for (task, _), state in stage.tasks(*run).items() if state != "success"} == {"report"}


COMPONENTS = ("scheduler", "triggerer", "api-server", "dag-processor")


@pytest.mark.fault("F09", "F10", how="kill -9 of a part of Airflow in mid-run")
@pytest.mark.parametrize(
    "victim",
    [
        pytest.param(name, marks=() if name == "worker" else pytest.mark.long)
        for name in ("worker", "task", *COMPONENTS)
    ],
)
def test_a_part_of_airflow_is_killed_in_mid_run_and_the_run_ends_as_a_quiet_one(
    quiet: Callable[[str, int], dict[str, str]], site: Stage, victim: str, record_property: Record
) -> None:
    digest = quiet(SOURCE, breaking.PLAIN)
    truth = breaking.deliver(site, SOURCE)
    with breaking.Claims(site.uri) as claims:
        run = site.start(SOURCE, workers=2)
        task = site.await_running(*run, task_id="partition.extract")
        began = time.monotonic()
        if victim in COMPONENTS:
            breaking.kill_component(site, victim)
            site.stack.up(timeout_seconds=300)
        else:
            os.kill(task["pid"] if victim == "task" else breaking.parent_of(task["pid"]), signal.SIGKILL)
            site.until(lambda: any(each["try_number"] > 1 for each in site.api.tasks(*run)), 120)
        back = time.monotonic() - began
        only_report_failed(site, run)
    ended = time.monotonic() - began
    ends_as_quiet(site, truth, digest)
    record_property(
        "figure",
        f"{victim}: at work again {back:.0f} s after its kill, the run ended after {ended:.0f} s; "
        f"no claim stood still longer than {claims.longest:.0f} s",
    )


@pytest.mark.long
@pytest.mark.fault("F10", how="SIGSTOP of a try in mid-step, which goes on when another try has done its work")
@pytest.mark.parametrize("why", ["no sign of life", "cleared"])
def test_a_try_that_goes_on_after_another_one_is_overtaken_and_writes_nothing(
    quiet: Callable[[str, int], dict[str, str]], site: Stage, why: str
) -> None:
    digest = quiet(SOURCE, breaking.PLAIN)
    truth = breaking.deliver(site, SOURCE)
    run = site.start(SOURCE, pattern="plain_*", workers=1)  # one batch
    task = site.await_running(*run, task_id="partition.extract")["pid"]
    supervisor = breaking.parent_of(task)
    site.until(lambda: breaking.has_children(task))  # it has its claim, and waits for the process of the parsers
    with breaking.stopped(site, supervisor, task):
        assert "verified" in site.states(), "the step had ended"
        first = breaking.sessions(site).keys()
        if why == "cleared":
            site.api.clear(*run, "partition.extract", 0)
        assert site.finish(*run) == "success"
        assert site.states() == {"archived": breaking.PLAIN}
        (again,) = [each for each in site.api.tasks(*run) if each["task_id"] == "partition.extract"]
        assert again["try_number"] == 2
        history = site.rows("SELECT * FROM event ORDER BY id")
        assert first & breaking.sessions(site).keys(), "the first try is connected no more"
        os.kill(task, signal.SIGCONT)  # before its supervisor learns that nobody wants it any more
        site.until(lambda: not first & breaking.sessions(site).keys())
    site.until(lambda: "another try has taken over batch" in log_of(site, *run, "partition.extract", 1))
    assert site.rows("SELECT * FROM event ORDER BY id") == history
    site.orbitory("ingest", SOURCE, "--workers", "1", expect=1)
    ends_as_quiet(site, truth, digest)


def log_of(stage: Stage, dag_id: str, run_id: str, task_id: str, attempt: int) -> str:
    folder = stage.stack.places.airflow / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
    return "".join(file.read_text() for file in folder.rglob(f"attempt={attempt}.log"))


@pytest.mark.fault("F46", "F47", how="scheduled runs, a manual one, a backfill and a command line at once")
def test_runs_at_once_share_the_work_and_end_as_one_quiet_run(
    quiet: Callable[[str, int], dict[str, str]], site: Stage, record_property: Record
) -> None:
    digest = quiet(BUSY, breaking.PLAIN)
    truth = breaking.deliver(site, BUSY)
    dag_id = f"ingest_{BUSY}"
    with breaking.Claims(site.uri) as claims:
        manual = site.start(BUSY, workers=3)
        period = {"from_date": "2026-02-01T00:00:00Z", "to_date": "2026-02-01T00:02:00Z"}
        body = {"dag_id": dag_id, "max_active_runs": 2, "reprocess_behavior": "none", "run_backwards": False}
        site.api.call("POST", "/api/v2/backfills", body | period | {"dag_run_conf": {"workers": 2}})
        site.orbitory("ingest", BUSY, "--workers", "1", expect=1)
        site.finish(*manual)
        site.until(lambda: {"manual", "scheduled", "backfill"} <= kinds(site, dag_id), 180)
        site.api.pause(dag_id)
        site.until(lambda: not site.api.active_runs(dag_id), 180)
    ended = site.rows("SELECT id FROM batch WHERE done_at IS NULL")
    assert ended == []
    ends_as_quiet(site, truth, digest)
    deadlocks = site.rows("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert deadlocks == [{"deadlocks": 0}]
    runs = site.rows("SELECT count(*) AS n, count(DISTINCT run_id) AS with_work FROM batch")[0]
    record_property(
        "figure",
        f"{len(site.api.runs(dag_id))} runs at once, {runs['with_work']} with work, 0 deadlocks; "
        f"no claim stood still longer than {claims.longest:.0f} s",
    )


def kinds(stage: Stage, dag_id: str) -> set[str]:
    """Kinds of runs that have ended."""
    return {run["run_type"] for run in stage.api.runs(dag_id) if run["state"] in ("success", "failed")}


@pytest.mark.long
@pytest.mark.fault("F13", how="PostgreSQL ended at once (immediate) in mid-run, started again later")
def test_a_database_that_dies_in_mid_run_costs_nothing_but_time(
    quiet: Callable[[str, int], dict[str, str]], site: Stage, record_property: Record
) -> None:
    digest = quiet(SOURCE, breaking.PLAIN)
    truth = breaking.deliver(site, SOURCE)
    run = site.start(SOURCE, workers=2)
    site.await_running(*run, task_id="partition.extract")
    began = time.monotonic()
    pid = site.stack.cluster.pid()
    assert pid is not None
    os.kill(pid, signal.SIGQUIT)  # immediate
    site.until(lambda: site.stack.cluster.pid() is None)
    time.sleep(10)
    breaking.restart(site)
    only_report_failed(site, run)
    ended = time.monotonic() - began
    ends_as_quiet(site, truth, digest)
    record_property("figure", f"the run ended {ended:.0f} s after the database was ended, which was away for 10 s")


@pytest.mark.long
@pytest.mark.fault("F13", how="the inventory refuses connections in mid-run, then takes them again")
def test_an_inventory_that_refuses_in_mid_run_costs_nothing_but_time(
    quiet: Callable[[str, int], dict[str, str]], site: Stage
) -> None:
    digest = quiet(SOURCE, breaking.PLAIN)
    truth = breaking.deliver(site, SOURCE)
    run = site.start(SOURCE, workers=2)
    site.await_running(*run, task_id="partition.extract")
    with breaking.refusing(site):
        site.until(lambda: any(each["state"] == "up_for_retry" for each in site.api.tasks(*run)), 120)
    only_report_failed(site, run)
    ends_as_quiet(site, truth, digest)


@pytest.mark.req("W8", "N11")
@pytest.mark.fault("F20", "F54", how="storage without its sentinel for two runs, and kill -9 of the mail server")
def test_an_outage_is_one_mail_and_another_when_it_is_over_once_mail_goes_again(site: Stage) -> None:
    site.land(SOURCE, "first.txt", b"reading")
    assert site.finish(*site.start(SOURCE)) == "success"
    sentinel, before = site.root / "storage" / ".orbitory-storage", len(site.mails())
    sentinel.unlink()
    late = site.land(SOURCE, "late.txt", b"another reading")
    status = late.stat()
    breaking.kill_component(site, "mail")
    for _ in range(2):
        assert site.finish(*site.start(SOURCE)) == "failed"
        assert late.stat() == status
    assert len(site.rows("SELECT id FROM outbox WHERE state = 'pending'")) == 1
    sentinel.touch()
    assert site.finish(*site.start(SOURCE)) == "success"
    assert site.states() == {"archived": 2}
    site.stack.up(timeout_seconds=300)
    site.orbitory("outbox", "retry")
    site.until(lambda: len(site.mails()) == before + 2, 200)
    told = [str(mail["Subject"]) for mail in site.mails()[before:]]
    assert sorted(told) == [
        f"[Orbitory] ingest of {SOURCE} has stopped: unmounted",
        f"[Orbitory] ingest of {SOURCE} is well again",
    ]
