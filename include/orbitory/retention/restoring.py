"""One granule back out of the trash, without the others it left with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from blake3 import blake3

from orbitory.errors import ConfigurationError
from orbitory.inventory import Row
from orbitory.removal import Outcome, undo
from orbitory.removal.outcome import one_at_a_time
from orbitory.retention.naming import named_by
from orbitory.site import Site

_GONE = ("deleting", "deleted")


def restore(site: Site, names: Sequence[str]) -> list[Outcome]:
    """Bring back what these names last stood for, and what shares a file with it; what has expired is held then.

    Of a granule that left and was delivered again more than once, the newest that is in the trash comes. Every byte is
    read; what is not whole any more is left and told. Raises ConfigurationError when nothing of a name is in the trash.
    May be repeated, also after a crash.
    """
    meant = named_by(site, names, _GONE)
    with one_at_a_time(site):
        hashes = [_carved(site, row, granules) for row, granules in _sets(site, meant)]
    return [undo(site, each) for each in hashes]


def _sets(site: Site, meant: Mapping[str, Sequence[int]]) -> list[tuple[Row, list[int]]]:
    """The sets that they left with, each with what must come back together."""
    asked = sorted({number for numbers in meant.values() for number in numbers})
    rows = {row["granule_id"]: row for row in site.inventory.all("restore_sets", granules=asked)}
    chosen: dict[int, Row] = {}
    for name, numbers in meant.items():
        left = [rows[number] for number in numbers if number in rows]
        newest: dict[object, Row] = {}
        for row in sorted(left, key=lambda each: int(each["granule_id"])):
            if not row["emptied"]:
                newest[row["key"], row["version_rank"], row["created"]] = row
        if not newest:
            raise _lost(name, left)
        chosen |= {row["granule_id"]: row for row in newest.values()}
    by_set: dict[int, list[int]] = defaultdict(list)
    for number, row in chosen.items():
        by_set[row["id"]].append(number)
    return [(chosen[numbers[0]], numbers) for numbers in by_set.values()]


def _lost(name: str, left: Sequence[Row]) -> ConfigurationError:
    """Why nothing brings it back."""
    if not left:
        why = "did not leave through the trash"
    else:
        why = f"left on {max(row['trashed_at'] for row in left):%Y-%m-%d} and the trash was emptied since"
    return ConfigurationError(f"{name} {why}: nothing can bring it back; ask its provider for it again")


def _carved(site: Site, row: Row, granules: list[int]) -> str:
    """Hash of a set of exactly these granules and what shares files with them, made from the one they left with."""
    inventory = site.inventory
    with inventory.transaction():
        closure = inventory.one("restore_closure", id=row["id"], granules=granules)
        assert closure is not None
        if not closure["others"] or row["state"] == "undone":
            return str(row["hash"])
        if row["state"] != "applied":
            raise ConfigurationError(
                f"the set {row['hash']} is still on its way out: repeat `orbitory delete --apply {row['hash']}`, then "
                f"`orbitory restore`"
            )
        told = f"{row['hash']} {closure['granules']}".encode()
        new_hash = blake3(told).digest()
        made = inventory.one("restore_carve", id=row["id"], new_hash=new_hash, actor=site.actor)
        assert made is not None
        inventory.run("restore_carve_items", id=row["id"], new=made["id"], granules=closure["granules"])
    return new_hash.hex()
