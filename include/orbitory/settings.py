"""Where this deployment lives and how much it may use: the environment, read once into one frozen object."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orbitory.errors import ConfigurationError

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One deployment. All paths are absolute."""

    #: libpq URI of the inventory, as the role that does the daily work.
    database: str
    #: libpq URI of the role that owns the schema; used by ``migrate`` alone.
    owner_database: str
    #: Holds one folder per source; nothing in it is trusted.
    landing: Path
    #: Where archived files stand.
    storage: Path
    #: Where rejected arrivals stand, with their reasons.
    quarantine: Path
    #: What was replaced or removed and may still be restored.
    trash: Path
    #: Scratch space of running steps.
    work: Path
    #: Links handed out to users.
    links: Path
    #: What evaluations tell people.
    reports: Path
    #: Folder of ``sources/*.toml`` and ``products/*.toml``.
    catalogue: Path
    #: Worker processes of one command-line run.
    workers: int
    #: Bytes of storage that the audit reads again each day.
    fixity_daily_bytes: int = 500 * 10**9
    #: Folders of second copies by the name of the mirror; ``default`` is that of ``mirror = true``.
    mirrors: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, *, database: str | None = None) -> Settings:
        """Read ``ORBITORY_*``. ``database`` overrides the URI (Airflow tasks take it from a Connection).

        Raises ConfigurationError that names the variable to set.
        """
        uri = database or environment.get("ORBITORY_DATABASE", "")
        if not uri:
            raise ConfigurationError(
                "ORBITORY_DATABASE is not set: give the libpq URI of the inventory, "
                "for example postgresql://orbitory@localhost/orbitory"
            )
        root = environment.get("ORBITORY_ROOT", "")

        def zone(name: str) -> Path:
            own = environment.get(f"ORBITORY_{name.upper()}", "")
            if not own and not root:
                raise ConfigurationError(
                    f"neither ORBITORY_ROOT nor ORBITORY_{name.upper()} is set: say where {name}/ is"
                )
            return Path(own or Path(root) / name).absolute()

        workers = environment.get("ORBITORY_WORKERS", "") or str(min(os.cpu_count() or 1, 8))
        if not workers.isascii() or not workers.isdigit() or not 1 <= int(workers) <= 256:
            raise ConfigurationError(f"ORBITORY_WORKERS is {workers!r}: expected a whole number from 1 to 256")
        gigabytes = environment.get("ORBITORY_FIXITY_GIGABYTES", "") or "500"
        if not gigabytes.isascii() or not gigabytes.isdigit():
            raise ConfigurationError(f"ORBITORY_FIXITY_GIGABYTES is {gigabytes!r}: expected a whole number, GB a day")
        return cls(
            database=uri,
            owner_database=environment.get("ORBITORY_OWNER_DATABASE", "") or uri,
            landing=zone("landing"),
            storage=zone("storage"),
            quarantine=zone("quarantine"),
            trash=zone("trash"),
            work=zone("work"),
            links=zone("links"),
            reports=zone("reports"),
            catalogue=Path(environment.get("ORBITORY_CATALOGUE", "") or CHECKOUT / "include" / "catalogue").absolute(),
            workers=int(workers),
            fixity_daily_bytes=int(gigabytes) * 10**9,
            mirrors=_mirrors(environment),
        )


def _mirrors(environment: Mapping[str, str]) -> dict[str, Path]:
    """``ORBITORY_MIRROR`` and ``ORBITORY_MIRROR_<NAME>``, by name in small letters.

    >>> _mirrors({"ORBITORY_MIRROR": "/second", "ORBITORY_MIRROR_FAR": "/far"})
    {'default': PosixPath('/second'), 'far': PosixPath('/far')}
    """
    found: dict[str, Path] = {}
    for variable, value in sorted(environment.items()):
        if value and (variable == "ORBITORY_MIRROR" or variable.startswith("ORBITORY_MIRROR_")):
            found[variable.removeprefix("ORBITORY_MIRROR").removeprefix("_").lower() or "default"] = Path(
                value
            ).absolute()
    return found
