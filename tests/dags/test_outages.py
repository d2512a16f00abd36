"""A place that stops a source is told once; landing stays as it is; work resumes by itself, and that is told, too."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_world import World, html_of, mail_server

SOURCE = "correlative"
#: More than a full storage takes.
CONTENT = os.urandom(200_000)
Change = Callable[[str], None]


@pytest.fixture
def disk(world: World) -> Iterator[Change]:
    """Storage on a file system of its own, which holds one file; remounts it with other options; ``{inodes}``: as
    many as are in use."""
    folder = world.root / "storage"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    world.land(SOURCE, "first.txt", b"reading")
    assert world.run(SOURCE).state == "success"

    def change(options: str) -> None:
        room = os.statvfs(folder)
        told = options.format(inodes=room.f_files - room.f_ffree)
        subprocess.run(["mount", "-o", f"remount,{told}", folder], check=True)

    yield change
    subprocess.run(["umount", folder], check=True)


def subjects(world: World) -> list[str]:
    return [row["subject"] for row in world.rows("SELECT subject FROM outbox ORDER BY id")]


def standing(root: Path) -> dict[str, tuple[int, int, int]]:
    """Names in landing and what tells their bytes from others."""
    landing = root / "landing" / SOURCE
    return {f.name: (f.stat().st_ino, f.stat().st_size, f.stat().st_mtime_ns) for f in landing.iterdir()}


@pytest.mark.req("W5", "W8", "N11")
@pytest.mark.faults
@pytest.mark.parametrize(
    ("cause", "breaks", "heals"),
    [
        pytest.param("unmounted", None, None, marks=pytest.mark.fault("F20", how="the sentinel of storage is gone")),
        pytest.param("full", "size=64k", "size=1m", marks=pytest.mark.fault("F15", how="storage on a tmpfs of 64 kB")),
        pytest.param(
            "full", "nr_inodes={inodes}", "nr_inodes=99", marks=pytest.mark.fault("F16", how="a tmpfs without inodes")
        ),
        pytest.param("read-only", "ro", "rw", marks=pytest.mark.fault("F20", how="storage remounted read-only")),
    ],
    ids=["unmounted", "full", "no inodes", "read-only"],
)
def test_an_outage_of_storage_is_told_once_and_once_that_it_is_over(
    world: World, disk: Change, cause: str, breaks: str | None, heals: str | None
) -> None:
    sentinel = world.root / "storage" / ".orbitory-storage"
    world.land(SOURCE, "large.bin", CONTENT)
    world.land(SOURCE, "small.txt", b"another reading")
    before = standing(world.root)
    if breaks:
        disk(breaks)
    else:
        sentinel.unlink()
    for _ in range(3):
        assert world.run(SOURCE).state == "failed"
        assert standing(world.root) == before
    assert subjects(world) == [f"[Orbitory] ingest of {SOURCE} has stopped: {cause}"]
    (outage,) = world.rows("SELECT cause, runs, ended_at FROM outage")
    assert outage == {"cause": cause, "runs": 3, "ended_at": None}
    if heals:
        disk(heals)
    else:
        sentinel.touch()
    assert world.run(SOURCE).state == "success"
    assert world.states() == {"archived": 3}
    assert subjects(world)[1:] == [f"[Orbitory] ingest of {SOURCE} is well again"]
    assert world.rows("SELECT id FROM outage WHERE ended_at IS NULL") == []
    assert world.run(SOURCE).state == "success"
    assert len(subjects(world)) == 2


@pytest.mark.req("W8")
def test_bad_files_are_told_also_while_an_outage_lasts_and_another_source_goes_on(world: World, disk: Change) -> None:
    disk("size=64k")
    world.land(SOURCE, "large.bin", CONTENT)
    world.land(SOURCE, "empty.txt", b"")
    for _ in range(2):
        assert world.run(SOURCE).state == "failed"
    told = subjects(world)
    assert len(told) == 2 and "has stopped: full" in told[0] and "1 rejected" in told[1]
    assert world.run("idps").state == "success"
    assert world.rows("SELECT source FROM outage") == [{"source": SOURCE}]


@pytest.mark.req("W8", "N11")
@pytest.mark.fault("F13", "F54", how="no server where the inventory should be, for two runs")
def test_that_the_inventory_is_away_is_mailed_once_and_once_that_it_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.land(SOURCE, "one.txt", b"reading")
    with monkeypatch.context() as away:
        away.setenv("AIRFLOW_CONN_ORBITORY", "postgresql://orbitory@127.0.0.1:9/orbitory")
        for _ in range(2):
            assert world.run(SOURCE).state == "failed"
    (mail,) = world.inbox.mails
    assert "the only message" in html_of(mail)
    assert world.run(SOURCE).state == "success"
    assert subjects(world) == [f"[Orbitory] ingest of {SOURCE} is well again"]
    assert world.run(SOURCE).state == "success"
    assert len(subjects(world)) == 1


@pytest.mark.fault("F54", how="no mail server while the inventory is away")
def test_that_the_inventory_is_away_is_mailed_by_the_next_run_when_no_mail_server_took_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ORBITORY", "postgresql://orbitory@127.0.0.1:9/orbitory")
    with monkeypatch.context() as silent:
        silent.setenv("AIRFLOW_CONN_ORBITORY_SMTP", mail_server(9, timeout_seconds=1))
        assert world.run("idps").state == "failed"
    assert world.inbox.mails == []
    assert world.run("idps").state == "failed"
    assert len(world.inbox.mails) == 1
