"""Carry out a preview: exactly those differences, batch by batch, and then what is checked about them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from orbitory.errors import ConfigurationError
from orbitory.export.checks import check
from orbitory.export.compare import Selection
from orbitory.export.lanes import bring, side_by_side
from orbitory.export.ledger import get, hash_of, one_at_a_time, there_of
from orbitory.export.preview import Preview, keep, look
from orbitory.export.settle import settle
from orbitory.export.sites import Remote, remote
from orbitory.export.trail import trail
from orbitory.export.work import Work, work_of
from orbitory.inventory import Row
from orbitory.mfp import Parameters
from orbitory.site import Site
from orbitory.zones import INCOMING

#: Granules of one batch; versions of a granule and orders of an image are never parted.
BATCH = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an export went."""

    export: int
    site: str
    state: str
    #: Of all tables that were written, and granules.
    rows: int
    granules: int
    seconds: float
    #: What is wrong there now.
    problems: tuple[str, ...] = field(default=())
    #: Granules that stay as the other side has them.
    conflicts: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return {
            "export": self.export,
            "site": self.site,
            "state": self.state,
            "rows": self.rows,
            "granules": self.granules,
            "seconds": round(self.seconds, 3),
            "conflicts": self.conflicts,
            "problems": list(self.problems),
        }


def begin(
    here: Site, to: Remote, preview_hash: str, *, approval: str = "", batch: int = BATCH
) -> tuple[int, list[Row]]:
    """Find the differences anew; if they are those of this hash, from here on they are to go. Returns number and parts.

    An export of this hash that was cut short goes on. Raises ConfigurationError when there is no such preview, when
    either side has changed, or when it needs approval and has none; then nothing was changed.
    """
    value = hash_of(preview_hash)
    if here.inventory.one("export_find", hash=value, site=to.name) is None:
        raise ConfigurationError(
            f"there is no preview {preview_hash} for {to.name}: run `orbitory export preview` first"
        )
    with to.open(here) as there, one_at_a_time(there):
        _follow(here, there, to)
        row = here.inventory.one("export_find", hash=value, site=to.name)
        assert row is not None
        there.storage.prepare(holds_assets=there.inventory.one("any_asset") is not None)
        if row["state"] != "running":
            _close_others(here, there, to)
            with here.inventory.transaction():
                number, fresh = _find_anew(here, there, to, row)
                _require_approval(fresh, approval)
                here.inventory.run("export_cut", export=number, size=batch)
                here.inventory.run("export_plan_batches", export=number)
                here.inventory.run("export_begin", id=number, approval=approval, actor=here.actor)
                here.inventory.run("export_drop_found")
            here.inventory.run("export_weigh_items")
            row = get(here.inventory, number)
        counts = dict(row["counts"]) | {"samples": []}
        there.inventory.one(
            "export_arrive",
            **{name: row[name] for name in ("token", "hash", "files", "actor", "approval")},
            site=Parameters.of_deployment().environment,
            selection=json.dumps(row["selection"]),
            counts=json.dumps(counts),
        )
    return int(row["id"]), here.inventory.all("export_parts", export=row["id"])


def _follow(here: Site, there: Site, to: Remote) -> None:
    """What was taken back from the other side is taken back here, too; nothing goes while that is at work."""
    tokens = [row["token"] for row in there.inventory.all("export_undone_tokens")]
    here.inventory.run("export_follow_undone", tokens=tokens)
    if taking := there.inventory.one("export_undoing"):
        raise ConfigurationError(
            f"export {taking['id']} of {to.name} is being taken back: finish that first (`orbitory export list` shows "
            "its number here, `orbitory export undo` goes on)"
        )


def _find_anew(here: Site, there: Site, to: Remote, row: Row) -> tuple[int, Preview]:
    """The differences now, in ``export_found``, which must be those of the preview; the number of their export."""
    selection = Selection.of_dict(row["selection"])
    again = row["state"] != "previewed"
    fresh = look(here, there, to, selection, files=row["files"], shown=again)
    if fresh.hash != row["hex"] and not (fresh.empty and row["state"] in ("done", "undone")):
        raise ConfigurationError(_changed(row, fresh))
    if again:
        return keep(here, fresh, selection), fresh  # it was brought over before: this one is another
    return int(row["id"]), fresh


def _require_approval(fresh: Preview, approval: str) -> None:
    if fresh.too_much and not approval:
        raise ConfigurationError(
            f"{fresh.too_much}. Nothing was copied. Approve it in the DAG `dev_to_prod_export`, or give --force "
            "once you have looked at the preview"
        )


def _changed(row: Row, fresh: Preview) -> str:
    old = row["counts"]
    was = ", ".join(f"{old[name]:,} {name}" for name in ("added", "changed", "removed", "conflicts"))
    now = ", ".join(f"{fresh.as_dict()[name]:,} {name}" for name in ("added", "changed", "removed", "conflicts"))
    return (
        f"the differences are no longer those of preview {row['hex'][:16]} ({was}; now {now}): a side has changed "
        "since. Nothing was copied; look at a new preview"
    )


def _close_others(here: Site, there: Site, to: Remote) -> None:
    """Earlier exports that a change has stopped: what has arrived as a whole stays, the new one brings the rest."""
    settle(here, there, to)
    for row in here.inventory.all("export_running", site=to.name):
        told = json.dumps({"problems": ["it was left unfinished, and a later export has brought the rest"]})
        if (there_id := there_of(there, row["token"])) is not None:
            there.inventory.run("export_finish", id=there_id, counts=told)
        here.inventory.run("export_let_go", export=row["id"], owner=here.actor)
        here.inventory.run("export_finish", id=row["id"], counts=told)


@contextmanager
def _work(here: Site, number: int) -> Iterator[Work | None]:
    """The export at work; None when it is done. Both sides must say so, for somebody may have taken it back."""
    to = remote(get(here.inventory, number)["site"])
    with to.open(here) as there, one_at_a_time(there):
        row = get(here.inventory, number)
        work = work_of(here, there, to, row)
        states = {row["state"], get(there.inventory, work.there_id)["state"]}
        if not states <= {"running", "done"}:
            raise ConfigurationError(
                f"export {number} is {' and '.join(sorted(states))}: nothing more is copied. Look at a new preview"
            )
        yield None if row["state"] == "done" else work


def copy(here: Site, number: int, part: str | None = None) -> int:
    """Bring over what is left of a part (a sensor; None: of all); how many rows that were. May be repeated.

    Raises ConfigurationError when the export was taken back, or closed by a later one.
    """
    rows = 0
    with _work(here, number) as work:
        if work is not None and not work.files:
            rows += side_by_side(work, part)
        while batch := here.inventory.one("export_next", export=number, part=part):
            if work is None:
                raise ConfigurationError(f"a later export has brought the rest of export {number}")
            rows += bring(work, batch)
    return rows


def finish(here: Site, number: int) -> Outcome:
    """Bring over what comes last, check what stands there, and close the export. May be repeated.

    Raises ConfigurationError when batches have not arrived.
    """
    with _work(here, number) as work:
        if work is not None:
            _require_arrived(work)
            trail(work)
            problems = tuple(check(work))
            incoming = work.there.settings.storage / INCOMING / f"export-{work.token}"
            shutil.rmtree(incoming, ignore_errors=True)
            told = json.dumps({"problems": list(problems)})
            work.there.inventory.run("export_close_runs", actor=f"export/{work.token}")
            work.there.inventory.run("export_finish", id=work.there_id, counts=told)
            here.inventory.run("export_finish", id=number, counts=told)
    row = get(here.inventory, number)
    written = here.inventory.one("export_rows_written", export=number)
    assert written is not None
    spent = (row["finished_at"] - row["started_at"]).total_seconds() if row["finished_at"] else 0.0
    return Outcome(
        export=number,
        site=row["site"],
        state=row["state"],
        rows=written["rows"],
        granules=written["items"],
        seconds=spent,
        problems=tuple(row["counts"].get("problems", ())),
        conflicts=row["counts"]["conflicts"],
    )


def _require_arrived(work: Work) -> None:
    if open_ := work.here.inventory.all("export_open_batches", export=work.id, limit=5):
        numbers = ", ".join(str(row["number"]) for row in open_)
        raise ConfigurationError(
            f"export {work.id} is not finished: batches {numbers} have not arrived at {work.site}. Go on by "
            "`orbitory export run` with the same hash, or clear `copy`"
        )


def run(here: Site, to: Remote, preview_hash: str, *, approval: str = "", batch: int = BATCH) -> Outcome:
    """Bring over what this preview showed, check it, and write the report. The same call goes on after a crash."""
    from orbitory.export.report import write_outcome

    number, _ = begin(here, to, preview_hash, approval=approval, batch=batch)
    copy(here, number)
    outcome = finish(here, number)
    write_outcome(here, number, outcome)
    return outcome
