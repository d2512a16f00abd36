"""The words of the domain as values: frozen, and impossible to build wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """The one state machine of an arrival (docs/glossary.md)."""

    #: Seen, not yet complete: young, half a set, or under a temporary name.
    WAITING = "waiting"
    #: Complete, in a batch.
    DETECTED = "detected"
    #: Bytes hashed, announced checksums agree, container plausible.
    VERIFIED = "verified"
    #: Metadata and footprint known.
    EXTRACTED = "extracted"
    #: Intent to archive (or to retire as duplicate) is committed with the final path.
    STORED = "stored"
    #: In storage and visible.
    ARCHIVED = "archived"
    #: In quarantine with a reason; may be re-driven.
    REJECTED = "rejected"
    #: The archive already holds it; the newcomer was removed after the stored copy was re-hashed.
    DUPLICATE = "duplicate"
    #: Same identity, other content: in quarantine until a person decides.
    CONFLICT = "conflict"
    #: Neither in landing nor in storage although never retired: alarm.
    LOST = "lost"


#: States in which a batch still has work to do.
OPEN_STATES = (State.DETECTED, State.VERIFIED, State.EXTRACTED, State.STORED)
#: States in which an arrival has met its fate.
FINAL_STATES = (State.ARCHIVED, State.REJECTED, State.DUPLICATE, State.CONFLICT, State.LOST)

#: What a file is within its unit. ``sibling`` is the same image in another format; ``unknown`` is not a regular file.
ROLES = ("data", "sibling", "metadata", "bundle", "browse", "document", "checksum", "manifest", "unknown")

#: Why an arrival is rejected or held: stable codes, each explained in docs/findings.md.
REASONS: dict[str, str] = {
    "name": "the file name cannot be stored safely (control characters, undecodable bytes, too long)",
    "unrecognised": "the file name fits no grammar of its source, or names an unknown product",
    "type": "not a regular file, or its first bytes are not what its name or source promises",
    "size": "empty, or not the announced size",
    "checksum": "an announced checksum differs, is malformed, or two announcements disagree",
    "structure": "the container is truncated, damaged, or followed by foreign bytes",
    "metadata": "required metadata are missing or unreadable",
    "time": "the sensing time is missing or impossible",
    "geometry": "the footprint contradicts itself or the Earth",
    "policy": "valid in form but refused: external raw storage, virtual dataset, over a limit",
    "parser_crashed": "reading it killed the isolated parser twice",
    "timeout": "reading it did not end in time",
    "incomplete": "its other half never came within the grace time",
    "conflict": "the archive holds the same identity with other content",
}


class Level(StrEnum):
    """How much a finding matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One result of a check that did not stop the file. Codes are explained in docs/findings.md."""

    level: Level
    code: str
    reason: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """JSON shape, as kept in ``asset.findings``."""
        return {"level": self.level.value, "code": self.code, "reason": self.reason, "hint": self.hint}


def _require_aware(name: str, value: datetime | None) -> None:
    if value is not None and value.utcoffset() is None:
        raise ValueError(f"{name} must be timezone-aware, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a file name alone tells. Times are UTC; a name without them has none."""

    #: Name of the grammar that matched, for example ``idps``.
    form: str
    #: Catalogue product type (file stem under ``catalogue/products``), for example ``viirs_sdr``.
    product_type: str
    #: Product ids in the order of the name, for example ``("GMODO", "SVM01")``.
    products: tuple[str, ...]
    sensor: str
    platform: str = ""
    sensing_start: datetime | None = None
    sensing_end: datetime | None = None
    orbit: int | None = None
    #: Creation time that the name carries.
    created: datetime | None = None
    #: Everything else the name says (origin, domain, …).
    details: dict[str, str] = field(default_factory=dict)
    #: Files of one folder that share this share one fate (a strip and what comes beside it); empty: the file is alone.
    unit: str = ""
    #: What the file is within its unit; one of ``ROLES``.
    role: str = "data"

    def __post_init__(self) -> None:
        """Refuse naive times and a sensing interval that ends before it starts."""
        for name in ("sensing_start", "sensing_end", "created"):
            _require_aware(name, getattr(self, name))
        if self.sensing_start and self.sensing_end and self.sensing_end < self.sensing_start:
            raise ValueError(f"sensing ends {self.sensing_end} before it starts {self.sensing_start}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GranuleFacts:
    """One granule as found inside a file. Several granules may share a file, and several files a granule."""

    #: Product id, for example ``SVM01``; for generic sources the kind of file (``hdf5``, ``geotiff``, …).
    product: str
    #: Identity within the product, for example ``NPP/VIIRS-M1-SDR/NPP000650598298``. Never changes with version.
    key: str
    sensor: str
    platform: str = ""
    collection: str = ""
    #: Producer's version as written (``A1``); empty where the product has none.
    version: str = ""
    #: Producer's creation time of the granule (``N_Creation_*``), never of the file.
    created: datetime | None = None
    sensing_start: datetime | None = None
    sensing_end: datetime | None = None
    orbit: int | None = None
    #: EWKB (hex) of a valid MultiPolygon, EPSG:4326, lon/lat, split at the antimeridian; None when unknown.
    footprint: str | None = None
    #: Area of ``footprint`` on the sphere in km²; None when unknown.
    area_km2: float | None = None
    #: Small, jsonb-safe search keys (day/night, ascending, percent missing, …).
    search: dict[str, Any] = field(default_factory=dict)
    #: Number of the member of the unit whose granule it is; 0: the unit's main file.
    file: int = 0
    #: Days until expiry where the sender rules it; None: as its product type and source say.
    keep_days: int | None = None
    #: Likewise, who may see it.
    classification: str | None = None

    def __post_init__(self) -> None:
        """Refuse naive times, an empty key and an inverted interval."""
        for name in ("sensing_start", "sensing_end", "created"):
            _require_aware(name, getattr(self, name))
        if not self.key:
            raise ValueError("a granule needs a key")
        if self.sensing_start and self.sensing_end and self.sensing_end < self.sensing_start:
            raise ValueError(f"sensing ends {self.sensing_end} before it starts {self.sensing_start}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """All that extract learned from one data file."""

    #: What the bytes are: ``hdf5``, ``netcdf3``, ``geotiff``, ``nitf``, ``jpeg2000``, ``opaque``, …
    kind: str
    granules: tuple[GranuleFacts, ...]
    findings: tuple[Finding, ...] = ()
    #: The file's full header as zlib-compressed UTF-8 JSON; empty when there is none.
    header: bytes = b""

    def __post_init__(self) -> None:
        """A file without a granule has no place in the inventory."""
        if not self.granules:
            raise ValueError("an extraction needs at least one granule")


@dataclass(frozen=True, slots=True)
class Stat:
    """Identity of the bytes behind a name: if any of these differs, it is not the file we looked at."""

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one step did with one batch, counted in data files (their sidecars share their fate)."""

    batch: int
    done: int = 0
    rejected: int = 0
    #: Left for a later run: still changing, or its keeper is not archived yet.
    left: int = 0
    bytes: int = 0


def utc_now() -> datetime:
    """Wall clock for messages and durations; decisions about time are made by the database's clock."""
    return datetime.now(UTC)
