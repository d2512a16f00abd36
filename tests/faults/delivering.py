"""A small delivery with its ground truth, and an ingest of it: what most faults of storage and database meet."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from faults import kills
from faults.oracle import Truth, violations_at_any_instant, violations_at_rest
from orbitory.settings import Settings

SOURCE = "correlative"


def deliver(settings: Settings, count: int = 3, size: int = 6) -> Truth:
    """Good files of ``size`` bytes, one in a folder and one with a sidecar, and a bad one."""
    contents = {f"sub/{n}.txt" if n == 1 else f"{n}.txt": f"{n:05} ".encode() * (size // 6) for n in range(count)}
    contents["0.txt.sha256"] = hashlib.sha256(contents["0.txt"]).hexdigest().encode()
    contents |= {"bad.txt": b"delta\n", "bad.txt.md5": b"0" * 32}
    return put(settings.landing / SOURCE, contents)


def put(landing: Path, contents: dict[str, bytes]) -> Truth:
    """Files that came to rest long ago."""
    files = {}
    for name, content in contents.items():
        (landing / name).parent.mkdir(parents=True, exist_ok=True)
        (landing / name).write_bytes(content)
        os.utime(landing / name, (1_700_000_000, 1_700_000_000))
        files[name] = hashlib.sha256(content).hexdigest(), "rejected" if name.startswith("bad") else "archived"
    return Truth(SOURCE, files)


def ingest(settings: Settings, strace: Sequence[str] = (), **more: str) -> kills.Done:
    """The command, with one worker."""
    return kills.orbitory(settings, "ingest", SOURCE, "--workers", "1", strace=strace, **more)


def let_go(settings: Settings) -> None:
    """Wait until the database has noticed that whoever was killed is gone: until then it is taken to be at work."""
    with psycopg.connect(settings.database, autocommit=True) as connection:
        for _ in range(600):
            others = connection.execute(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            ).rowcount
            if not others:
                return
            time.sleep(0.05)
    raise AssertionError("somebody is still at work in the inventory")


def at_once(settings: Settings, truth: Truth) -> list[str]:
    """What the judge says while work is unfinished."""
    return violations_at_any_instant(truth, settings.landing.parent, settings.database)


def at_rest(settings: Settings, truth: Truth) -> list[str]:
    """What the judge says once all is done."""
    return violations_at_rest(truth, settings.landing.parent, settings.database)
