"""What a waiting instance lacks: as data, and in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from orbitory.pge.granules import Need
from orbitory.pge.selection import Found

#: So many names are kept; how many are missing is always told.
_NAMED = 10
_SHOWN = 3


def lack(need: Need, found: Found, until: datetime | None = None) -> dict[str, Any]:
    """One entry of ``pge_instance.missing``. ``until``: when the time-out passes; None: it has not begun."""
    return {
        "input": need.input.name,
        "have": found.have,
        "need": found.need,
        "expected": list(found.expected[:_NAMED]),
        "products": list(_listed(need)),
        "optional": need.input.optional,
        "until": until.astimezone(UTC).isoformat().replace("+00:00", "Z") if until else None,
    }


def lack_of_file(name: str, path: str) -> dict[str, Any]:
    """The same for a file outside the archive."""
    return {
        "input": name,
        "have": 0,
        "need": 1,
        "expected": [path],
        "products": [],
        "optional": False,
        "until": None,
    }


def _listed(need: Need) -> Iterable[str]:
    """The products that would do, as a person would name them."""
    return (entry[-1] if len(entry) > 1 else entry[0] for choice in need.choices[:1] for entry in choice)


def in_words(missing: Iterable[Mapping[str, Any]]) -> str:
    """For people, for example ``geo: have 2 of 3: missing NPP000650598298; optional atms expires 14:32``."""
    return "; ".join(_sentence(each) for each in missing)


def _sentence(each: Mapping[str, Any]) -> str:
    names = [*each["expected"]] or [*each["products"]]
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    until = f"{datetime.fromisoformat(each['until']):%Y-%m-%d %H:%M} UTC" if each["until"] else ""
    if each["optional"]:
        ending = f"expires {until}" if until else "is waited for once the others are there"
        return f"optional {each['input']} ({shown}) {ending}"
    if each["have"] >= each["need"]:
        return f"{each['input']}: has {each['have']}, more may come" + (f" until {until}" if until else "")
    told = f"{each['input']}: have {each['have']} of {each['need']}: missing {shown}"
    return f"{told}; what is there will do at {until}" if until else told
