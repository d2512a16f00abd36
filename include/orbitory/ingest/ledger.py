"""A batch under claim: its files grouped into units, and the only way to move them on."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from orbitory.catalogue import Source
from orbitory.errors import Transient
from orbitory.inventory import Row
from orbitory.model import Stat, State
from orbitory.site import Site

#: How long a claim is respected without a sign of life, by the database's clock.
LEASE = "30 minutes"


class Overtaken(Transient):
    """Another try has taken the batch over: this one stops at once and has written nothing. Never tried again here."""


@dataclass(frozen=True, slots=True)
class Work:
    """One unit of a batch: the row of the file that speaks for it, and those of the others, checksums included."""

    main: Row
    others: tuple[Row, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All its files."""
        return (self.main, *self.others)

    @property
    def members(self) -> tuple[Row, ...]:
        """Its files that are read beside the main one."""
        return tuple(row for row in self.others if row["role"] != "checksum")

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(row["size"] for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Where one file goes next."""

    id: int
    state: State
    reason: str | None = None
    detail: str | None = None
    digest: bytes | None = None
    quarantine_path: bytes | None = None


def stat_in(row: Row) -> Stat:
    """The identity of the bytes as the ledger knows it."""
    return Stat(row["dev"], row["ino"], row["size"], row["mtime_ns"], row["ctime_ns"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to write about one batch until another try takes it over."""

    site: Site
    source: Source
    batch: int
    token: UUID
    stage: str
    careful: bool
    #: The batch was finished earlier; there is nothing to do.
    done: bool
    #: Folder that the files' paths are relative to.
    folder: Path
    #: An archive that is registered where it stands: nothing is moved, renamed or removed.
    in_place: bool

    def rows(self, state: State) -> list[Row]:
        """The batch's files that stand in ``state``, in the order in which winners are decided."""
        return self.site.inventory.all("batch_arrivals", batch=self.batch, state=state.value)

    def units(self, state: State) -> list[Work]:
        """The batch's units that stand in ``state``, in the order in which winners are decided."""
        rows = self.rows(state)
        others: dict[int, list[Row]] = {}
        for row in rows:
            if row["unit_id"] is not None:
                others.setdefault(row["unit_id"], []).append(row)
        return [Work(row, tuple(others.get(row["id"], ()))) for row in rows if row["unit_id"] is None]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction that holds only while the claim does.

        Raises Overtaken when another try has taken the batch over.
        """
        with self.site.inventory.transaction():
            if not self.site.inventory.run("fence", batch=self.batch, claim=self.token, lease=LEASE):
                raise Overtaken(f"another try has taken over batch {self.batch}: this one stops, nothing was written")
            yield

    def apply(self, outcomes: Sequence[Outcome]) -> None:
        """Move the files on, inside ``writing``. Raises Overtaken when some were moved by another."""
        if not outcomes:
            return
        inventory = self.site.inventory
        inventory.run("create_outcome")
        inventory.copy_in(
            "copy_outcome",
            ((o.id, o.state.value, o.reason, self.stage, o.detail, o.digest, o.quarantine_path) for o in outcomes),
        )
        moved = inventory.run("apply_outcome", batch=self.batch)
        if moved != len(outcomes):
            raise Overtaken(
                f"batch {self.batch}: {len(outcomes) - moved} files were moved on by another try; nothing written"
            )
        inventory.run("drop_outcome")


def claim(site: Site, batch: int, stage: str) -> Claim:
    """Take the batch for ``stage``, from whoever held it. Raises Transient when it does not exist."""
    row = site.inventory.one("claim_batch", batch=batch, owner=site.actor, lease=LEASE)
    if row is None:
        raise Transient(f"there is no batch {batch}: was the inventory replaced while the run went on?")
    site.inventory.one("set_run", run=row["run_id"])
    source = site.catalogue.source(row["source"])
    return Claim(
        site=site,
        source=source,
        batch=batch,
        token=row["claim"],
        stage=stage,
        careful=row["careful"],
        done=row["done_at"] is not None,
        folder=Path(row["root"]) if row["root"] else site.landing_of(source),
        in_place=row["root"] is not None,
    )


def reject(held: Claim, work: Work, code: str, detail: str, state: State = State.REJECTED) -> Iterator[Outcome]:
    """Send the whole unit to quarantine (or into conflict), into a folder of its own; what is in place stays there."""
    taken: set[bytes] = set()
    for row in work.rows:
        name = posixpath.basename(bytes(row["path"]))
        if name in taken:  # the same name in two folders of one unit
            name = b"%d_%s" % (row["id"], name)
        taken.add(name)
        target = None if held.in_place else f"{held.source.name}/{work.main['id']}/".encode() + name
        yield Outcome(id=row["id"], state=state, reason=code, detail=detail[:2000], quarantine_path=target)


def move_on(rows: Iterable[Row], state: State) -> Iterator[Outcome]:
    """These files reach ``state``."""
    return (Outcome(id=row["id"], state=state) for row in rows)


def set_back(held: Claim, rows: Iterable[Row], reason: str, detail: str) -> Iterator[Outcome]:
    """These files wait again: a later detect looks at them afresh. What is registered in place cannot wait."""
    if held.in_place:
        state, reason, detail = State.REJECTED, "incomplete", f"changed while it was registered: {detail}"
    else:
        state = State.WAITING
    return (Outcome(id=row["id"], state=state, reason=reason, detail=detail) for row in rows)


def ids(works: Iterable[Work]) -> list[int]:
    """Numbers of the units' main files."""
    return [work.main["id"] for work in works]
