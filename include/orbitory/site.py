"""One deployment at work: its zones, its catalogue and one open inventory."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orbitory.catalogue import Catalogue, Source, load
from orbitory.inventory import Inventory, connect
from orbitory.settings import Settings
from orbitory.storage import Storage
from orbitory.zones import own_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What every step gets. Holds a database connection: one process, one task, never sent anywhere."""

    settings: Settings
    catalogue: Catalogue
    inventory: Inventory
    #: Who acts, as written into the history: ``dag_id/run_id``, or user, host and process.
    actor: str
    storage: Storage = field(init=False)

    def __post_init__(self) -> None:
        """Derive the storage from the settings."""
        object.__setattr__(self, "storage", Storage(self.settings.storage))

    def landing_of(self, source: Source) -> Path:
        """The landing folder of ``source``."""
        return self.settings.landing / source.landing

    def prepare(self, source: Source) -> None:
        """Make sure the zones stand.

        Raises IntegrityError when storage looks unmounted, Transient or ConfigurationError when one cannot be made.
        """
        self.storage.prepare(holds_assets=self.inventory.one("any_asset") is not None)
        for folder in (self.landing_of(source), self.settings.quarantine, self.settings.trash, self.settings.work):
            with own_errors(f"create {folder}"):
                folder.mkdir(parents=True, exist_ok=True)


def person() -> str:
    """Who runs this command: user, host and process."""
    return f"{getpass.getuser()}@{socket.gethostname()}/{os.getpid()}"


def is_person(actor: str) -> bool:
    """Whether this is a command of somebody's, not a DAG run."""
    return "@" in actor.partition("/")[0]


@contextmanager
def open_site(
    *, actor: str, database: str | None = None, run_id: int | None = None, settings: Settings | None = None
) -> Iterator[Site]:
    """Open the site that the environment describes. ``database`` overrides ORBITORY_DATABASE.

    Raises ConfigurationError for a wrong setting or catalogue folder, Transient when the server is away.
    """
    settings = settings or Settings.from_environment(database=database)
    catalogue = load(settings.catalogue)
    with connect(settings.database, actor=actor, run_id=run_id) as inventory:
        yield Site(settings=settings, catalogue=catalogue, inventory=inventory, actor=actor)
