"""One batch of an export: all of its granules, with their files and footprints, arrive together or not at all.

Where files move, too, there are two transactions with the files between them, as in ``ingest.archive``: rows announce
what will stand there, files are placed durably, then the rows count. A crash at any instant leaves what the same call
finishes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from orbitory.errors import ConfigurationError, IntegrityError, Transient
from orbitory.export.files import place, put_away
from orbitory.export.work import Work, hold, let_go, set_hash
from orbitory.inventory import Row
from orbitory.inventory.locks import let_nothing_lean
from orbitory.removal import blocked_by
from orbitory.removal.back import relink
from orbitory.removal.outcome import one_at_a_time, require_trash, trash_path

log = logging.getLogger(__name__)

_TOLD = 5
#: So long a batch that makes something leave waits for a removal there that is at work.
_PATIENCE_SECONDS = 60.0
#: Of the other side's tables, in the order of their foreign keys: (from here, straight in, beside first).
_TABLES = (
    ("export_out_granules", "export_in_granules", "export_beside_granules"),
    ("export_out_links", "export_in_links", "export_beside_links"),
    ("export_out_masters", "export_in_masters", "export_beside_masters"),
    ("export_out_asides", "export_in_asides", "export_beside_asides"),
)
_REFERENCE = {"numbers": "granule_id", "keys": "key", "ranks": "version_rank", "created": "created"}


def carry(work: Work, number: int, part: str, items: int) -> int:
    """Bring one batch over, or finish what a crash has cut off; returns how many rows it is. May be repeated."""
    here = work.here.inventory
    row = here.one("export_replaces", export=work.id, number=number)
    assert row is not None
    alone = one_at_a_time(work.there, patience_seconds=_PATIENCE_SECONDS) if row["any"] else nullcontext()
    with alone:
        held = hold(work, number) if work.files else []
        try:
            known = _announced(work, number, part, items)
        except (ConfigurationError, IntegrityError):  # nothing of it is on its way
            let_go(work, held)
            raise
        if known["state"] == "placing":
            _place(work, number, known["rows"])
        here.run("export_close_batch", export=work.id, number=number, rows=known["rows"])
        let_go(work, held)
    return int(known["rows"])


def _announced(work: Work, number: int, part: str, items: int) -> Row:
    """The batch as it stands there, its rows written; by now or before."""
    of = {"export": work.there_id, "number": number}
    known = work.there.inventory.one("export_batch_state", **of)
    if known is None:
        _announce(work, number, part, items)
        known = work.there.inventory.one("export_batch_state", **of)
    assert known is not None
    if known["state"] not in ("placing", "done"):
        raise ConfigurationError(
            f"batch {number} of export {work.id} was taken back, or is about to be: look at a new preview, or go "
            f"on with `orbitory export undo {work.id}`"
        )
    return known


def _announce(work: Work, number: int, part: str, items: int) -> None:
    """Write the rows; where no file has to move, that is all. Raises ConfigurationError when a side has changed."""
    here, there = work.here.inventory, work.there.inventory
    with here.transaction(), there.transaction():
        changed = bool(here.one("export_replaces", export=work.id, number=number) == {"any": True})
        if changed:
            there.all("plan_lock")  # nobody plans to make something of what is about to go
        there.one("lock_store" if changed else "lock_store_shared")  # nobody decides about newcomers meanwhile
        there.one("export_without_scans")
        count = here.one("export_count_batch", export=work.id, number=number)
        assert count is not None
        met = _take(work, number, count)
        _require_unchanged(work, files=changed or bool(met), footprints=changed or bool(count["footprints"]))
        there.run("export_note" if changed else "export_note_simple", export=work.there_id, number=number)
        leaving = _beside(work) if changed else []
        if any(not row["same"] for row in met):
            _require_free_paths(work)
        rows = items + here.pipe("export_out_fresh", there, "export_in_fresh")
        here.run("export_create_pass", added=True)
        (out, into, _), *others = _TABLES
        rows += here.pipe(out, there, into)
        if changed:
            there.one("export_renew_granules")
        rows += sum(here.pipe(out, there, into) for out, into, _ in others)
        if changed:
            _renew(work)
        fresh = here.one("export_fresh")
        assert fresh is not None
        came, arrivals = _bring_arrivals(work)
        there.one("export_by_index")
        if wrong := there.all("export_unlike", limit=_TOLD):
            raise ConfigurationError(
                f"{_names(wrong)} changed here since they were compared: nothing of batch {number} was copied. Go on "
                "by a new preview: what has arrived already is not copied again"
            )
        told = {"export": work.there_id, "number": number, "part": part, "items": items, "files": work.files}
        told |= {"rows": rows + came, "assets": fresh["ids"], "arrivals": arrivals}
        told |= {"changed": changed, "leaving": bool(leaving)}
        there.run("export_note_batch", **told)


def _take(work: Work, number: int, count: Row) -> list[Row]:
    """Gather the batch here, and give its rows their numbers there; returns what stands under names of its files."""
    here, there = work.here.inventory, work.there.inventory
    ours, theirs = work.paths
    roots = {"linux": ours.linux_root, "windows": ours.windows_root}
    roots |= {"new_linux": theirs.linux_root, "new_windows": theirs.windows_root}
    living = "stored" if work.files else "archived"
    new = {f"{kind}s": _numbers(work, kind, count[f"{kind}s"]) for kind in ("granule", "footprint")}
    here.run("export_take_batch", export=work.id, number=number, living=living, **roots, **new)
    here.run("export_take_assets")
    here.run("export_take_references")
    here.run("export_weigh_batch")
    if references := here.all("export_references"):
        columns = {name: [row[column] for row in references] for name, column in _REFERENCE.items()}
        found = there.all("export_find_granules", **columns)
        here.run("export_number_references", numbers=[r["granule_id"] for r in found], ids=[r["id"] for r in found])
    there.run("export_create_asked")
    here.pipe("export_ask_assets", there, "export_copy_asked")
    there.run("export_weigh_asked")
    met = there.all("export_met_assets")
    for row in met:
        if row["busy"]:
            raise Transient(
                f"{row['path']} is on its way in or out at {work.site} just now: try again when that is over"
            )
    known = [row for row in met if row["same"]]
    told = {"numbers": [row["asset_id"] for row in known], "ids": [row["id"] for row in known]}
    there.run("export_note_known", **told)
    files = here.one("export_count_files")
    assert files is not None
    here.run("export_number_assets", fresh=_numbers(work, "asset", files["files"] - len(known)), **told)
    here.run("export_weigh_assets")
    there.run("export_create_coming")
    here.pipe("export_out_items", there, "export_copy_coming")
    there.run("export_weigh_coming")
    return met


def _numbers(work: Work, kind: str, count: int) -> str:
    """So many numbers there for new rows, as ranges."""
    row = work.there.inventory.one(f"export_{kind}_numbers", count=count)
    assert row is not None
    return str(row["ids"])


def _bring_arrivals(work: Work) -> tuple[int, str]:
    """By which deliveries new files had come: they count for one run of each source there, that of this export.

    Returns how many, and their numbers there as ranges.
    """
    here, there = work.here.inventory, work.there.inventory
    here.run("export_take_arrivals")
    sources = here.all("export_sources")
    count = sum(row["arrivals"] for row in sources)
    arrivals = _numbers(work, "arrival", count)
    if count:
        runs: dict[str, int] = {}
        for row in sources:
            opened = there.one("export_open_run", source=row["source"], actor=f"export/{work.token}")
            assert opened is not None
            runs[row["source"]] = opened["id"]
        here.run("export_number_arrivals", ids=arrivals, sources=list(runs), runs=list(runs.values()))
        here.run("export_weigh_arrivals")
        here.pipe("export_out_arrivals", there, "export_in_arrivals")
        there.run("export_count_arrivals", arrivals=arrivals)
    return count, arrivals


def _require_unchanged(work: Work, *, files: bool, footprints: bool) -> None:
    """Under lock: what is there must be what was compared, and what leaves must not be needed.

    ``files``, ``footprints``: it concerns files that stand there, and footprints.
    """
    there = work.there.inventory
    if files:
        there.all("export_lock_rows")
    there.one("export_by_index")
    if files:
        there.all("export_lock_files")
    if footprints:
        there.one("lock_footprints")  # after the rows, as everybody takes it
    strayed = there.all("export_strayed", limit=_TOLD)
    there.one("export_as_usual")
    there.one("export_without_scans")
    if strayed:
        raise ConfigurationError(
            f"{_names(strayed)} changed at {work.site} since they were compared: nothing of this batch was copied. "
            "Go on by a new preview: what has arrived already is not copied again"
        )


def _require_free_paths(work: Work) -> None:
    if taken := work.there.inventory.all("export_taken_paths", limit=_TOLD):
        raise IntegrityError(
            f"{work.site} has other bytes under {', '.join(row['path'] for row in taken)} (asset_path): nothing of "
            "this batch was copied. Find out there which is right (`orbitory show`), and remove the other one"
        )


def _names(rows: Sequence[Row]) -> str:
    names = [str(row["key"]) for row in rows]
    return ", ".join(names[: _TOLD - 1]) + (", and more" if len(names) >= _TOLD else "")


def _beside(work: Work) -> list[Row]:
    """Rows that take the place of others wait beside the tables; returns files that leave."""
    here, there = work.here.inventory, work.there.inventory
    here.run("export_create_pass", added=False)
    for each in ("", "_asset", "_link", "_master", "_aside"):
        there.run(f"export_create_beside{each}")
    for out, _, beside in _TABLES:
        here.pipe(out, there, beside)
    here.pipe("export_out_known", there, "export_beside_assets")
    here.run("export_drop_pass")
    there.run("export_keep_own", linux=work.paths[1].linux_root, windows=work.paths[1].windows_root)
    there.run("export_forget_footprints")
    leaving = there.all("export_lose_assets")
    going = [row["id"] for row in there.all("export_leaving", assets=[row["id"] for row in leaving])]
    if going and (blocked := blocked_by(work.there, going)):
        raise ConfigurationError(
            f"{len(blocked)} granules cannot leave {work.site}, or give up a file there, now: "
            f"{next(iter(blocked.values()))}. Nothing of this batch was copied; a new preview leaves them out"
        )
    if going:
        _note_removal(work, leaving)
        there.run("export_clear_paths", assets=[row["id"] for row in leaving])
    there.one("export_renew_assets")
    return leaving


def _renew(work: Work) -> None:
    for statement in ("drop_links", "renew_links", "renew_masters", "renew_asides", "turn_granules", "hide_waiting"):
        work.there.inventory.run(f"export_{statement}")


def _note_removal(work: Work, departing: Sequence[Row]) -> None:
    """By whose decision granules leave, and where their files will stand; known before anything is moved."""
    require_trash(work.there)  # before any row says that something of it stands there
    there, name = work.there.inventory, set_hash(work.token)
    selection = {"kind": "list", "sensors": [], "names": ["export"], "rule": ""}
    row = there.one(
        "export_removal_set",
        hash=bytes.fromhex(name),
        actor=work.there.actor,
        counts=json.dumps({"selection": selection, "why": "export"}),
        reason=f"export {work.there_id}: it was removed or replaced where it came from",
    )
    assert row is not None
    ids = [each["id"] for each in departing]
    paths = [None if each["in_place"] else trash_path(name, each["path"]) for each in departing]
    there.run("export_removal_items", set=row["id"], assets=ids, paths=paths)


def _place(work: Work, number: int, rows: int) -> None:
    """Files out, files in, durably; then the rows say so."""
    there = work.there.inventory
    values: dict[str, Any] = {"export": work.there_id, "number": number}
    leaving = {**values, "hash": bytes.fromhex(set_hash(work.token))}
    departing = there.all("export_departing", **leaving)
    missing = put_away(work.there, departing, trash_path(set_hash(work.token), "").rstrip("/"))
    place(work.here, work.there, there.all("export_expected", **values), part=f"export-{work.token}/{number}")
    with there.transaction():
        let_nothing_lean(there)
        there.one("export_by_index")
        there.run("export_show_assets", **values)
        there.run("export_show_granules", **values)
        there.run("export_bury_assets", assets=[row["id"] for row in departing])
        there.run("export_bury_granules", **values)
        there.run("export_bury_items", missing=list(missing), **leaving)
        if wrong := there.all("export_unfinished", limit=_TOLD, **values):
            raise IntegrityError(
                f"{_names(wrong)} did not become what they should in batch {number}: run `orbitory audit` at "
                f"{work.site}; `orbitory export undo {work.id}` takes the export back"
            )
        turned = [row["id"] for row in there.all("export_turned", **values)]
        there.one("export_as_usual")
        if turned:  # as after any removal there
            relink(work.there, turned, work.paths[1])
        there.run("export_close_batch", rows=rows, **values)
