"""What differs between two sites: both are read as streams in one order, never held in memory.

Each granule, with its files and its footprint, is one number that the database computes (view ``export_content``); only
keys and numbers leave it. A granule is known by its key, version and time of creation, never by its row number. Keys
fall into buckets, and of those in which both sides sum up to the same nothing is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from blake3 import blake3

from orbitory.errors import ConfigurationError
from orbitory.inventory import Inventory, connect
from orbitory.removal import blocked_by
from orbitory.site import Site

_TYPES = ("text", "int4", "int8", "int8", "int8", "int4")
_KEY = itemgetter(0)
#: Kinds of differences. ``kept`` stays as the other side has it, by its own rules; ``held`` does not go yet.
ACTIONS = ("added", "changed", "removed", "conflict", "kept", "held")
_GOING = ("added", "changed", "removed")
_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What may go; whatever is not given is not asked for. Both intervals exclude their end."""

    #: Product types or product ids.
    products: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    sensed: tuple[datetime | None, datetime | None] = (None, None)
    ingested: tuple[datetime | None, datetime | None] = (None, None)
    #: When it was first looked at: what has arrived since is another export's. None: everything is looked at.
    before: datetime | None = None
    #: Granules that were just arriving then: likewise.
    without: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an interval that holds nothing."""
        for name, (start, end) in (("sensing", self.sensed), ("ingest", self.ingested)):
            if start and end and end <= start:
                raise ConfigurationError(f"the {name} interval ends ({end:%FT%TZ}) before it starts ({start:%FT%TZ})")

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Selection(before=self.before, without=self.without)

    @classmethod
    def of_dict(cls, told: Mapping[str, Any]) -> Selection:
        """What ``as_dict`` wrote."""
        intervals = {
            name: tuple(datetime.fromisoformat(each) if each else None for each in told[name])
            for name in ("sensed", "ingested")
        }
        before = datetime.fromisoformat(told["before"]) if told.get("before") else None
        lists = {name: tuple(told[name]) for name in ("products", "sensors")}
        return cls(**lists, **intervals, before=before, without=tuple(told.get("without", ())))  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        intervals = {
            name: [each and each.isoformat() for each in getattr(self, name)] for name in ("sensed", "ingested")
        }
        before = self.before and self.before.isoformat()
        told = {"products": list(self.products), "sensors": list(self.sensors), **intervals, "before": before}
        return {**told, "without": list(self.without)}

    def values(self, site: Site) -> dict[str, Any]:
        """As statement ``export_choose`` takes it. Raises ConfigurationError for a product that nobody knows."""
        return {
            "products": sorted({i for name in self.products for i in _ids(site, name)}) or None,
            "sources": sorted({s for name in self.products for s in site.catalogue.sources_of_kinds(name)}),
            "sensors": list(self.sensors) or None,
            "sensed": _range(*self.sensed),
            "ingested": _range(*self.ingested),
            "before": self.before,
            "without": list(self.without),
        }


def _ids(site: Site, name: str) -> tuple[str, ...]:
    codes = [row["product"] for row in site.inventory.all("export_products")]
    ids = (name, *site.catalogue.product_ids(name, codes))
    if name not in site.catalogue.products and not set(ids) & set(codes):
        raise ConfigurationError(f"nothing of product {name!r} is held, and the catalogue has no such product type")
    return ids


def _range(start: datetime | None, end: datetime | None) -> str | None:
    if start is None and end is None:
        return None
    return f"[{start.isoformat() if start else ''},{end.isoformat() if end else ''})"


def find(here: Site, there: Site, selection: Selection, *, files: bool) -> str:
    """Fill the temporary table ``export_found`` of ``here``'s transaction; returns the hash (BLAKE3, hex) of what
    differs.

    What is equal adds nothing to the hash, so whatever happens to it makes a difference, and another hash. What stays
    as it is adds nothing either; that more or less of it does changes how much goes.
    """
    hasher = blake3()
    inventory = here.inventory
    with (
        connect(here.settings.database, actor=here.actor) as reader,
        reader.transaction(),
        there.inventory.transaction(),
    ):
        _choose(here, reader, there.inventory, selection)
        with ThreadPoolExecutor(1) as beside:  # both servers at once
            telling = beside.submit(_tell_there, there.inventory, files)
            _tell_here(reader)
            telling.result()
        _leave_out_what_is_alike(reader, there.inventory)
        there.inventory.run("export_create_mine")
        reader.pipe("export_tokens", there.inventory, "export_copy_mine")
        there.inventory.run("export_weigh_mine")
        inventory.run("export_create_found")
        rows = _found(_stream(reader, "here", "text"), _stream(there.inventory, "there", "int8"), hasher)
        inventory.copy_in("export_copy_found", rows, types=("int8", "int8", "text", "int8", "int8", "text"))
        inventory.run("export_weigh_found")
        _keep_what_is_needed(here, there)
        there.inventory.run("export_drop_chosen")
    while inventory.run("export_spread_conflicts") + inventory.run("export_spread_kept"):
        pass
    for row in inventory.all("export_counts"):
        hasher.update(repr([row[name] for name in ("sensor", "added", "changed", "removed")]).encode())
    return hasher.hexdigest()


def _keep_what_is_needed(here: Site, there: Site) -> None:
    """Whatever somebody there holds, uses or shares stays, with its files, as it is there."""
    there.inventory.run("export_create_losing")
    here.inventory.pipe("export_found_losing", there.inventory, "export_copy_losing")
    after = 0
    while rows := there.inventory.all("export_losing", after=after, limit=_AT_ONCE):
        after = rows[-1]["there_id"]
        asked = [row["there_id"] for row in rows]
        whys = {row["granule_id"]: row["why"] for row in there.inventory.all("export_sharing", granules=asked)}
        whys |= blocked_by(there, asked)
        kept = {row["granule_id"]: whys[row["there_id"]] for row in rows if row["there_id"] in whys}
        if kept:
            here.inventory.run("export_keep_needed", granules=list(kept), whys=list(kept.values()))


def _choose(here: Site, reader: Inventory, there: Inventory, selection: Selection) -> None:
    values = selection.values(here)
    reader.run("export_choose", **values)
    if selection.everything:
        there.run("export_choose", **{name: None for name in values} | {"sources": [], "without": []})
    else:
        without = {"without": values["without"]}
        while reader.run("export_widen_versions", **without) + reader.run("export_widen_keepers"):
            pass
        there.run("export_create_key")
        reader.pipe("export_chosen_keys", there, "export_copy_key")
        there.run("export_choose_keys")


def _tell_here(reader: Inventory) -> None:
    reader.run("export_weigh_chosen")
    reader.run("export_create_scope")
    reader.run("export_weigh_scope")
    while reader.run("export_hold_keepers") + reader.run("export_hold_versions"):
        pass
    reader.run("export_tell_here")


def _tell_there(there: Inventory, files: bool) -> None:
    there.run("export_weigh_chosen")
    there.run("export_create_bare", files=files)
    there.run("export_weigh_bare")
    there.run("export_tell_there")


def _leave_out_what_is_alike(reader: Inventory, there: Inventory) -> None:
    reader.run("export_create_sum")
    there.pipe("export_sums", reader, "export_copy_sum")
    reader.run("export_create_unlike")
    there.run("export_create_bucket")
    reader.pipe("export_buckets", there, "export_copy_bucket")
    for side in (reader, there):
        side.run("export_weigh_buckets")


@dataclass(frozen=True, slots=True)
class _Told:
    """One granule as one side tells it."""

    digest: int
    id: int
    #: How it stands, as below.
    state: int
    #: Here: why it stays. There: what the newest export has left.
    more: Any

    @property
    def gone(self) -> bool:
        """Whether it is not there, or not shown, any more."""
        return self.state in (_REMOVED, _EXPIRED, _WITHDRAWN)


_REMOVED, _EXPIRED, _WITHDRAWN, _BARE = 1, 2, 3, 4
_Identities = dict[tuple[int, int | None], _Told]
_Difference = tuple[int, int | None, str, int, int | None, str | None]


def _stream(inventory: Inventory, side: str, last: str) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    rows = inventory.copy_out(f"export_contents_{side}", (*_TYPES, last))
    for key, group in groupby(rows, _KEY):
        yield key, list(group)


def _identities(rows: list[tuple[Any, ...]]) -> _Identities:
    """The rows of one key by version and creation; of equal ones the first, which is the living one."""
    found: _Identities = {}
    for _, rank, created, digest, number, gone, more in rows:
        found.setdefault((rank, created), _Told(digest, number, gone, more))
    return found


def _found(
    here: Iterator[tuple[str, list[tuple[Any, ...]]]], there: Iterator[tuple[str, list[tuple[Any, ...]]]], hasher: Any
) -> Iterator[_Difference]:
    """Merge both streams, key by key, both to their ends: who stops reading cuts the other side's transaction off."""
    end: tuple[None, list[tuple[Any, ...]]] = (None, [])
    other, others = next(there, end)
    for key, rows in here:
        while other is not None and other < key:  # it has granules of its own: they are no concern of ours
            other, others = next(there, end)
        theirs = others if other == key else []
        if len(rows) == 1 and len(theirs) == 1 and _alike(rows[0], theirs[0]):
            continue
        for identity, row in _differences(_identities(rows), _identities(theirs)):
            if row[2] not in ("kept", "held"):  # what stays may change while somebody decides
                hasher.update(repr((key, identity, row[2:])).encode())
            yield row
    for _ in there:
        pass


def _alike(ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> bool:
    """The ordinary case, told at once: the same, which may go, and with its files there."""
    return ours[:4] == theirs[:4] and ours[6] is None and theirs[5] != _BARE


def _differences(ours: _Identities, theirs: _Identities) -> list[tuple[tuple[int, int | None], _Difference]]:
    """Of all versions of a granule: where one is a conflict, none of them goes."""
    own = [identity for identity, each in theirs.items() if identity not in ours and not each.gone]
    found = []
    for identity, us in ours.items():
        them = theirs.get(identity)
        if us.more is not None:
            action, why = ("held", us.more) if not us.gone else ("", None)
        elif own:
            action, why = "conflict", "the other side has another version of it that is not here"
        else:
            action, why = _judge(us, them)
        if action:
            row = (us.id, them.id if them else None, action, us.digest, them.digest if them else None, why)
            found.append((identity, row))
    if any(row[2] == "conflict" for _, row in found):
        why = "another version of it is a conflict"
        found = [
            (identity, (*row[:2], "conflict", *row[3:5], why) if row[2] in _GOING else row) for identity, row in found
        ]
    return found


def _judge(us: _Told, them: _Told | None) -> tuple[str, str | None]:
    if them is None:
        return "added", None
    if us.digest == them.digest:  # its rows may have come without its files
        return ("changed" if them.state == _BARE and not us.gone else ""), None
    if them.more is None:
        if us.gone or them.gone:
            return "kept", "it was never exported, and one side has removed it"
        return "conflict", "the other side has it with other contents, not from here"
    if them.more != them.digest and them.gone:
        return "kept", f"the other side has {'withdrawn it' if them.state == _WITHDRAWN else 'let it go'}"
    if us.state == _EXPIRED and not them.gone:
        return "kept", "it has expired here; the other side rules for itself"
    if them.more != them.digest:
        return "conflict", "the other side has edited it since the last export"
    return ("removed" if us.gone and not them.gone else "changed"), None
