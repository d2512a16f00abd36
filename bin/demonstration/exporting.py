"""The demonstration's second site: what differs is shown, then goes there, rows and files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from orbitory.inventory.migrate import migrate
from private_stack.places import CHECKOUT
from private_stack.postgres import DAILY, OWNER, Cluster

NAME = "second"
_DATABASE = f"orbitory_{NAME}"


def follow(console: Console, cluster: Cluster, home: Path, environment: Mapping[str, str]) -> bool:
    """Make the site if it is not there, preview, export; whether all of it arrived. A second call brings nothing."""
    make_site(cluster)
    root = home / NAME
    root.mkdir(exist_ok=True)
    site = {
        f"ORBITORY_SITE_{NAME.upper()}_DATABASE": cluster.uri(_DATABASE),
        f"ORBITORY_SITE_{NAME.upper()}_ROOT": str(root),
    }
    told = {**environment, **site}
    shown = _call(told, "preview", "--to", NAME, "--files")
    much = ", ".join(f"{shown[name]:,} {name}" for name in ("added", "changed", "removed", "conflicts", "held"))
    console.print(f"[bold]Export[/]   to a second site: {much}")
    console.print(f"[dim]         {escape(shown['report'])}/preview.html[/]", soft_wrap=True)
    done = _call(told, "run", "--to", NAME, "--preview", shown["hash"], "--force")
    console.print(
        f"         export {done['export']}: {done['granules']:,} granules, {done['rows']:,} rows in {done['seconds']} s"
    )
    for problem in done["problems"]:
        console.print(f"[red]         {escape(problem)}[/]")
    return not done["problems"]


def make_site(cluster: Cluster) -> None:
    """A second inventory beside the first, empty."""
    if _DATABASE not in cluster.sql("SELECT datname FROM pg_database").splitlines():
        cluster.sql(f"CREATE DATABASE {_DATABASE} OWNER {OWNER} TEMPLATE template0 ENCODING 'UTF8'")
    cluster.sql("CREATE EXTENSION IF NOT EXISTS postgis; CREATE EXTENSION IF NOT EXISTS btree_gist", _DATABASE)
    migrate(cluster.uri(_DATABASE, OWNER), cluster.uri(_DATABASE, DAILY))


def _call(environment: Mapping[str, str], *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "orbitory", "export", *arguments, "--json"]
    path = {"PYTHONPATH": str(CHECKOUT / "include")}
    done = subprocess.run(
        command, env={**os.environ, **environment, **path}, capture_output=True, text=True, check=False
    )
    if not done.stdout:
        raise SystemExit(f"demo: export {arguments[0]} did not work: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
