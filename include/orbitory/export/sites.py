"""Other sites that this one may export to: whoever is configured here, and nobody else.

``ORBITORY_SITE_<NAME>_DATABASE`` (libpq URI) and ``ORBITORY_SITE_<NAME>_ROOT`` (folder of its zones) configure the site
``<name>``, in capitals and with ``_`` for ``-``. ``ORBITORY_SITE_<NAME>_PATHS`` says under which root its users find
what stands in its storage, in the style of Linux (``/css/nga/``), of Windows (``P:/data/``), or both
(``/css/prod/,Q:/data/``); by default as users of this one do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orbitory.errors import ConfigurationError, Transient
from orbitory.inventory import Inventory
from orbitory.mfp import Parameters
from orbitory.reading import require_schema
from orbitory.site import Site, open_site

_ZONES = ("landing", "storage", "quarantine", "trash", "work", "links", "reports")
_VARIABLE = re.compile(r"ORBITORY_SITE_(?P<name>[A-Z0-9_]+)_DATABASE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A site to export to. Holds its URI, which may hold a password: never log it."""

    name: str
    database: str = field(repr=False)
    root: Path
    #: As its footprints tell the paths of files, in both styles.
    paths: Parameters

    @property
    def roots(self) -> list[str]:
        """Before the path in storage of each file, for users of Linux and of Windows."""
        return [self.paths.linux_root, self.paths.windows_root]

    @contextmanager
    def open(self, here: Site) -> Iterator[Site]:
        """The other site, at work on behalf of this one.

        Raises ConfigurationError when it is this very site, or its schema is another.
        """
        zones: dict[str, Any] = {zone: self.root / zone for zone in _ZONES}
        settings = replace(here.settings, database=self.database, owner_database=self.database, **zones)
        with ExitStack() as stack:
            try:
                there = stack.enter_context(open_site(actor=here.actor, settings=settings))
            except (ConfigurationError, Transient) as error:
                variable = f"ORBITORY_SITE_{self.name.upper().replace('-', '_')}_DATABASE"
                raise type(error)(f"site {self.name} ({variable}): {error}") from error
            _require_other(here, there, self.name)
            _require_same_schema(here.inventory, there.inventory, self.name)
            yield there


def remotes(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Names of the sites that are configured."""
    found = (match["name"] for name in environment if (match := _VARIABLE.fullmatch(name)))
    return tuple(sorted(name.lower().replace("_", "-") for name in found))


def remote(name: str, environment: Mapping[str, str] = os.environ) -> Remote:
    """The site of that name. Raises ConfigurationError that says what to set."""
    prefix = f"ORBITORY_SITE_{name.upper().replace('-', '_')}_"
    told = {part: environment.get(f"{prefix}{part}", "") for part in ("DATABASE", "ROOT", "PATHS")}
    for part, meaning in (("DATABASE", "the libpq URI of its inventory"), ("ROOT", "the folder of its zones")):
        if not told[part]:
            known = ", ".join(remotes(environment)) or "none"
            raise ConfigurationError(
                f"{prefix}{part} is not set, so nothing may be exported to {name!r}: give {meaning} "
                f"(configured: {known})"
            )
    return Remote(
        name=name.lower().replace("_", "-"),
        database=told["DATABASE"],
        root=Path(told["ROOT"]).absolute(),
        paths=_paths(told["PATHS"], f"{prefix}PATHS", environment),
    )


def _paths(text: str, variable: str, environment: Mapping[str, str]) -> Parameters:
    """
    >>> found = [_paths(each, "X", {}) for each in ("/css/prod/", "Q:/data/", "Q:/data/,/css/prod/", "")]
    >>> [(each.linux_root, each.windows_root) for each in found]
    ... # doctest: +NORMALIZE_WHITESPACE
    [('/css/prod/', 'P:/data/'), ('/css/nga/', 'Q:/data/'), ('/css/prod/', 'Q:/data/'), ('/css/nga/', 'P:/data/')]
    """
    found = Parameters.of_deployment(environment)
    try:
        for root in text.split(",") if text else ():
            linux = root[:1] == "/" and root[1:2] != "/"
            found = found.changed(linux_root=root) if linux else found.changed(windows_root=root)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{variable} is {text!r}: expected a root such as /css/nga/ or P:/data/, or both with a comma between"
        ) from error
    return found


def _require_other(here: Site, there: Site, name: str) -> None:
    ours, theirs = here.inventory.one("export_identity"), there.inventory.one("export_identity")
    if ours == theirs:
        raise ConfigurationError(f"site {name!r} has the database of this very site: an export goes to another one")
    roots = [each.settings.storage.resolve() for each in (here, there)]
    if roots[0].is_relative_to(roots[1]) or roots[1].is_relative_to(roots[0]):
        raise ConfigurationError(
            f"site {name!r} has its storage ({roots[1]}) within that of this site ({roots[0]}), or around it, or it is "
            "this very one: give it one of its own"
        )


def _require_same_schema(here: Inventory, there: Inventory, name: str) -> None:
    require_schema(here)
    ours, theirs = (each.one("export_schema") for each in (here, there))
    assert ours is not None
    theirs = theirs or {"newest": "none", "digest": ""}
    if ours["digest"] != theirs["digest"]:
        raise ConfigurationError(
            f"the schemas differ: here it is {ours['newest']}, at {name} {theirs['newest']}"
            f"{'' if ours['newest'] != theirs['newest'] else ' with other contents'}. Nothing was compared or copied: "
            "bring both to one version of Orbitory by `orbitory migrate`"
        )
    if ours["columns"] != theirs["columns"]:
        raise ConfigurationError(
            f"tables here and at {name} have their columns in another order, so rows cannot be copied: make the "
            f"inventory of {name} anew by `orbitory migrate`, and fill it from a dump of data alone"
        )
    if ours["hashing"] != theirs["hashing"]:
        raise ConfigurationError(
            f"the database servers hash rows differently (PostgreSQL {ours['server']} here, {theirs['server']} at "
            f"{name}), so rows cannot be compared: run the same major version on both"
        )
