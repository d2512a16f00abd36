"""Where the benchmark works: a private PostgreSQL, sites as many as a stage needs, and folders that go with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from benchmarks.seeds import fill
from benchmarks.stage import Done, NotInstalled, Size
from cloning import Clone
from orbitory.catalogue import Catalogue, load
from orbitory.inventory.migrate import migrate
from orbitory.settings import CHECKOUT, Settings
from private_stack.places import Places
from private_stack.postgres import DURABLE, OWNER, Cluster, binaries

_T = TypeVar("_T")
#: Name of the site that all stages share.
_FILLED = "filled"
#: Where peers that are Python packages are installed.
PEERS = CHECKOUT / ".bench" / "venv" / "bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every stage gets."""

    size: Size
    home: Path
    cluster: Cluster
    sites: Clone
    catalogue: Catalogue
    _made: dict[str, Any] = field(default_factory=dict)
    _open: dict[str, ExitStack] = field(default_factory=dict)
    _filled: list[Settings] = field(default_factory=list)

    def pick(self, tiny: _T, small: _T, full: _T) -> _T:
        """The value for the size of this run."""
        return {"tiny": tiny, "small": small, "full": full}[self.size]

    def once(self, make: Callable[[Bench], _T]) -> _T:
        """What several stages of a module share is made once."""
        if make.__qualname__ not in self._made:
            self._made[make.__qualname__] = make(self)
        made: _T = self._made[make.__qualname__]
        return made

    def folder(self, name: str) -> Path:
        """An empty folder of this name."""
        folder = self.home / "work" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def opened(self, name: str, context: AbstractContextManager[_T]) -> _T:
        """Enter this and leave it when the name is used again, or at the end of the module."""
        self.close(name)
        return self._open.setdefault(name, ExitStack()).enter_context(context)

    def close(self, name: str) -> None:
        """Leave what was entered under this name, if anything was."""
        if stack := self._open.pop(name, None):
            stack.close()

    def site(self, name: str) -> Settings:
        """An empty site of this name, in place of the one that had it."""
        self.drop(name)
        return self.sites(name)

    def copy(self, of: Settings, name: str) -> Settings:
        """A site of this name that holds the same as ``of``, in place of the one that had it."""
        self.drop(name)
        return self.sites.copy(of, name)

    def drop(self, name: str) -> None:
        """Delete a site with all that it holds."""
        self.close(name)
        database = f"clone_{name.lower()}"
        if database in self.sites.made:
            self.cluster.sql(f"DROP DATABASE {database} WITH (FORCE)")
            self.sites.made.remove(database)
        shutil.rmtree(self.sites.folder / name, ignore_errors=True)

    def sql(self, settings: Settings, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement at a site as the owner of its schema."""
        with psycopg.connect(settings.owner_database, autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def filled(self) -> Settings:
        """A site with many rows and no files, made once for all stages; whoever changes it takes a copy."""
        if not self._filled:
            self._filled.append(self.sites(_FILLED))
            fill(self._filled[0], self.rows)
        return self._filled[0]

    @property
    def rows(self) -> int:
        """How many granules a filled site holds."""
        return self.pick(5_000, 500_000, 5_000_000)

    def clear(self) -> None:
        """Delete what the stages of a module made."""
        self._made.clear()
        for name in list(self._open):
            self.close(name)
        for database in list(self.sites.made):
            if (name := database.removeprefix("clone_")) != _FILLED:
                self.drop(name)
        for folder in (self.home / "work").iterdir():
            if folder != self.sites.folder:
                shutil.rmtree(folder)


@contextmanager
def bench(size: Size, home: Path) -> Iterator[Bench]:
    """Everything made and, in the end, deleted again. The database is set up like a private stack's: durable."""
    shutil.rmtree(home / "work", ignore_errors=True)
    places = Places(home=home / "database")
    cluster = Cluster(places, DURABLE)
    cluster.stop()
    places.remove()
    sites = home / "work" / "sites"
    sites.mkdir(parents=True)
    try:
        cluster.start()
        cluster.databases()
        empty = cluster.uri("orbitory", OWNER)
        migrate(empty, cluster.uri("orbitory"))
        yield Bench(
            size=size,
            home=home,
            cluster=cluster,
            sites=Clone(postgres=cluster, migrated="orbitory", folder=sites),
            catalogue=load(CHECKOUT / "include" / "catalogue"),
        )
    finally:
        cluster.stop()
        places.remove()
        shutil.rmtree(home / "work", ignore_errors=True)


def environment(settings: Settings) -> dict[str, str]:
    """Environment for a command that works on this site, whatever the caller's says."""
    ours = ("ORBITORY_", "AIRFLOW", "PYTHON", "PG")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
        "ORBITORY_DATABASE": settings.database,
        "ORBITORY_OWNER_DATABASE": settings.owner_database,
        "ORBITORY_ROOT": str(settings.landing.parent),
    }


def command(settings: Settings, *words: str, codes: Sequence[int] = (0,)) -> str:
    """Run the product's command line as its users do; what it prints."""
    return _run([CHECKOUT / "bin" / "orbitory", *words], environment(settings), codes)


def tool(name: str) -> str:
    """Path of a program of others. Raises NotInstalled when there is none."""
    server = binaries()
    for folder in (PEERS, *([server] if server else [])):
        if (folder / name).exists():
            return str(folder / name)
    if found := shutil.which(name):
        return found
    raise NotInstalled(name)


def yardstick(*words: str | Path, folder: Path | None = None, codes: Sequence[int] = (0,)) -> str:
    """Run a program of others to its end; what it prints."""
    return _run([tool(str(words[0])), *words[1:]], None, codes, folder)


def over_files(words: Sequence[str | Path], files: Sequence[Path]) -> Done:
    """Run a program of others over these files, as few processes after one another as command lines allow."""
    names = b"\0".join(os.fsencode(each) for each in files)
    line = ["xargs", "-0", tool(str(words[0])), *words[1:]]
    subprocess.run(line, input=names, stdout=subprocess.DEVNULL, check=True)
    return Done(units=len(files))


def _run(
    line: Sequence[str | Path], variables: dict[str, str] | None, codes: Sequence[int], folder: Path | None = None
) -> str:
    done = subprocess.run(line, env=variables, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in codes:
        raise RuntimeError(f"{' '.join(map(str, line))} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def timed(call: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
