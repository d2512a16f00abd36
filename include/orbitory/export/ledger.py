"""What is written down about exports, on both sides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from orbitory.errors import ConfigurationError
from orbitory.inventory import Inventory, Row
from orbitory.inventory.locks import Lock, alone
from orbitory.removal.outcome import Busy
from orbitory.site import Site


def hash_of(text: str) -> bytes:
    """A preview's hash as people give it. Raises ConfigurationError."""
    with suppress(ValueError):
        if len(value := bytes.fromhex(text)) == 32:
            return value
    raise ConfigurationError(f"{text!r} is no hash of a preview: expected the 64 digits that `export preview` showed")


def get(inventory: Inventory, number: int) -> Row:
    """The export of this number. Raises ConfigurationError when there is none that began."""
    row = inventory.one("export_get", id=number)
    if row is None or row["state"] == "previewed":
        raise ConfigurationError(f"there is no export {number} here: `orbitory export list` shows those there are")
    return row


def there_of(there: Site, token: Any) -> int | None:
    """The number of the same export on the other side; None when it never arrived."""
    row = there.inventory.one("export_by_token", token=token)
    return None if row is None else int(row["id"])


@contextmanager
def one_at_a_time(there: Site) -> Iterator[None]:
    """No two exports into one site at once: each counts on what it has compared. Raises Busy."""
    with alone(there.inventory, Lock.EXPORT) as taken:
        if not taken:
            raise Busy("another export into that site is at work: wait for its end and try again")
        yield


def history(site: Site, limit: int = 100) -> list[dict[str, Any]]:
    """The newest exports, out of this site and into it, the newest first."""
    return site.inventory.all("export_history", limit=limit)


def findings(site: Site, limit: int = 1_000) -> list[dict[str, Any]]:
    """Granules that cannot go because another site has edited them or has them from elsewhere, the oldest first."""
    return site.inventory.all("export_findings", limit=limit)
