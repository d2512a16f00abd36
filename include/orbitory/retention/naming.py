"""The granules that people mean: by names, or by a rule of removal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from orbitory.errors import ConfigurationError
from orbitory.inventory import Row
from orbitory.mfp import Parameters
from orbitory.removal.rules import parse
from orbitory.removal.selection import stored_path
from orbitory.search import read_time
from orbitory.site import Site

#: Granules that are here, and not about to leave.
HERE = ("stored", "archived", "withdrawn")
_TOLD = 5


def named(site: Site, names: Sequence[str], states: Sequence[str] = HERE) -> list[Row]:
    """Granules by key, or all of a file by its path (in storage, on Linux, on Windows) or delivered name.

    Raises ConfigurationError that names what the archive does not hold in one of ``states``.
    """
    return list({row["id"]: row for row in _rows(site, names, states)}.values())


def named_by(site: Site, names: Sequence[str], states: Sequence[str] = HERE) -> dict[str, list[int]]:
    """The numbers of the same, by name."""
    found: dict[str, list[int]] = {}
    for row in _rows(site, names, states):
        found.setdefault(row["name"], []).append(row["id"])
    return found


def _rows(site: Site, names: Sequence[str], states: Sequence[str]) -> list[Row]:
    if not names:
        raise ConfigurationError("no name was given: a granule's key, a path in storage, or a delivered name")
    told = Parameters.of_deployment()
    paths = [stored_path(name, told) for name in names]
    rows = site.inventory.all("retention_named", names=list(names), paths=paths, states=list(states))
    unknown = sorted(set(names) - {row["name"] for row in rows})
    if unknown:
        more = f", and {len(unknown) - _TOLD} more" if len(unknown) > _TOLD else ""
        state = "has no such granule" if "deleted" in states else "holds no such granule (any more)"
        raise ConfigurationError(
            f"the archive {state}: {', '.join(unknown[:_TOLD])}{more}. Nothing was changed; see `orbitory show NAME`"
        )
    return rows


def ruled(site: Site, rule: str) -> list[Row]:
    """Archived granules that fulfil a rule such as ``orbitory delete`` takes."""
    inventory = site.inventory
    with inventory.transaction():
        inventory.run("removal_drop_plan")
        inventory.run("removal_create_chosen")
        inventory.run("removal_choose_ruled", sensors=None, among=None, rule=json.dumps(parse(rule)), reason="rule")
        rows = inventory.all("retention_ruled")
        inventory.run("removal_drop_plan")
    return rows


def moment(site: Site, text: str) -> datetime | None:
    """A time to come, by the database's clock; None for ``never``. Raises ConfigurationError."""
    if text == "never":
        return None
    found, now = read_time(text), clock(site)
    if found <= now:
        raise ConfigurationError(f"{text} is over: it is {now:%Y-%m-%dT%H:%M:%SZ}; give a time to come, or never")
    return found


def clock(site: Site) -> datetime:
    """What time it is: the database's clock, whatever this machine's says."""
    row = site.inventory.one("retention_clock")
    assert row is not None
    now: datetime = row["now"]
    return now
