"""PGE instances that are ready to run, made by hand: a definition around a few lines of Python, and archived inputs."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blake3 import blake3

from holdings import Granule, Holdings
from orbitory.audit import audit
from orbitory.settings import CHECKOUT, Settings
from orbitory.site import Site, open_site

NAME = "probe"
#: Folder of the scripts in a stack's home.
SCRIPTS = "scripts"
START, END = datetime(2024, 2, 10, 12, tzinfo=UTC), datetime(2024, 2, 10, 12, 5, tzinfo=UTC)
#: What every script begins with.
_PRELUDE = """
import json, os, pathlib, signal, socket, sys, time
told = json.load(open(sys.argv[-1]))
out = pathlib.Path(told["output"])
inputs = [pathlib.Path(each["path"]) for each in told["inputs"].get("main", [])]
def product(kind="txt", period=None):
    named = "".join(c if c.isalnum() else "-" for c in period or told["period"])
    return out / f"VQLKM.{told['pge']}.{told['version']}.{named}.{kind}"
"""
#: A PGE as it should be.
GOOD = "product().write_bytes(b''.join(each.read_bytes() for each in inputs))"


@dataclass(slots=True)
class Bench:
    """A site with one archive and PGEs made of scripts."""

    settings: Settings
    holdings: Holdings
    folder: Path
    _made: int = 0

    def define(self, script: str, name: str = NAME, outputs: str = "", **run: Any) -> str:
        """A PGE in the catalogue that runs ``script``; ``run``: other keys of its table."""
        define(self.settings.catalogue, self.folder, script, name, outputs, **run)
        return name

    def instance(self, name: str = NAME, contents: tuple[bytes, ...] = (b"alpha",), **columns: Any) -> int:
        """A ready instance with inputs of its own, archived now."""
        self._made += 1
        period = f"P{self._made:06d}"
        row = {
            "pge": name,
            "version": "1",
            "period_key": period,
            "state": "ready",
            "input_hash": blake3(f"{name}{period}".encode()).digest(),
            **columns,
        }
        marks = ", ".join(["%s"] * len(row))
        number: int = self.holdings._one(
            f"INSERT INTO pge_instance ({', '.join(row)}, sensing, ready_at) VALUES ({marks}, tstzrange(%s, %s), now())"
            " RETURNING id",
            *row.values(),
            START,
            END,
        )
        for ordinal, content in enumerate(contents):
            self.feed(number, ordinal, f"{period}_{ordinal}.h5", content)
        return number

    def feed(self, instance: int, ordinal: int, file: str, content: bytes) -> None:
        """Archive a granule and freeze it as an input."""
        key = f"NPP/VIIRS-M1-SDR/{file}"
        self.holdings.archive(file, content, Granule(product="SVM01", sensor="VIIRS", start=START, end=END), key=key)
        self.holdings.sql(
            "INSERT INTO pge_input (instance_id, input, ordinal, granule_id, asset_id, digest)"
            " SELECT %s, 'main', %s, g.id, s.id, s.digest FROM granule g JOIN granule_asset l ON l.granule_id = g.id"
            " JOIN asset s ON s.id = l.asset_id WHERE g.key = %s",
            *(instance, ordinal, key),
        )

    def site(self, actor: str = "test") -> Any:
        """The site, opened."""
        return open_site(actor=actor, settings=self.settings)

    def row(self, instance: int) -> dict[str, Any]:
        """The instance as the inventory has it."""
        cursor = self.holdings.db.execute("SELECT * FROM pge_instance WHERE id = %s", [instance])
        assert cursor.description
        found = cursor.fetchone()
        assert found
        return dict(zip((each.name for each in cursor.description), found, strict=True))

    def delivered(self, instance: int) -> dict[str, bytes]:
        """Name → bytes of what stands in the landing zone."""
        folder = self.settings.landing / "pge" / f"{instance}-{self.row(instance)['delivery']}"
        return {file.name: file.read_bytes() for file in folder.iterdir()} if folder.is_dir() else {}

    def arrivals(self) -> list[tuple[str, str, str]]:
        """Name, state and reason of what came back."""
        return self.holdings.db.execute(
            "SELECT name, state, coalesce(reason, '') FROM arrival WHERE source = 'pge' ORDER BY id"
        ).fetchall()

    def violations(self) -> list[str]:
        """What the audit of the whole site finds, every byte read."""
        with self.site() as site:
            return [str(each) for each in audit(site)]

    def messages(self) -> list[str]:
        """Subjects of what waits in the outbox."""
        return [row[0] for row in self.holdings.db.execute("SELECT subject FROM outbox ORDER BY id").fetchall()]


def define(catalogue: Path, folder: Path, script: str, name: str = NAME, outputs: str = "", **run: Any) -> None:
    """Write the definition of a PGE and its program, which goes to ``folder``."""
    file = folder / f"{name}.py"
    file.write_text(_PRELUDE + script)
    keys = {
        "command": ["{python}", str(file)],
        "memory_mb": 256,
        "disk_mb": 16,
        "wall_seconds": 30.0,
        "retries": 0,
        **run,
    }
    lines = [f"{key} = {_toml(value)}" for key, value in keys.items()]
    outputs = outputs or '[[outputs]]\nname = "main"\nproduct = "pge_viirs_quicklook"\npattern = "VQLKM.*"\n'
    (catalogue / "pges" / f"{name}.toml").write_text(
        f'name = "{name}"\ntitle = "A probe"\nversion = "1"\n[run]\n'
        + "\n".join(lines)
        + '\n[period]\nkind = "granule"\nof = "main"\n'
        + '[[inputs]]\nname = "main"\nproducts = ["SVM01"]\n'
        + outputs
    )


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def bench_at(settings: Settings, folder: Path) -> Bench:
    """A bench on an empty site; its catalogue is its own, so that PGEs can be added."""
    own = replace(settings, catalogue=folder / "catalogue")
    shutil.copytree(CHECKOUT / "include" / "catalogue", own.catalogue)
    for file in (own.catalogue / "pges").glob("*.toml"):
        file.unlink()
    scripts = folder / "scripts"
    scripts.mkdir()
    return Bench(own, Holdings(own, "idps"), scripts)


__all__ = ["GOOD", "NAME", "Bench", "Site", "bench_at", "define"]
