"""Which files belong together, and is each set complete? Pure decisions over what a scan found."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orbitory import announcements, names
from orbitory.catalogue import Catalogue, Source
from orbitory.errors import DataError
from orbitory.model import Identity, Stat, State

_SIDECAR_BYTES = 1 << 20
_MANIFEST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A file in the landing zone that no batch holds yet. Durations in seconds, by the database's clock."""

    path: bytes
    name: str
    stat: Stat
    regular: bool
    #: Since the last modification that the file itself records.
    age: float
    #: Since a scan first saw it; 0 when this one did.
    waited: float
    #: Since a scan last saw size, times or inode change; 0 when this one did.
    unchanged: float


@dataclass(slots=True, kw_only=True)
class Unit:
    """A data file with its checksum sidecars, or a folder manifest: what shares one fate."""

    main: Candidate
    role: str
    sidecars: list[Candidate] = field(default_factory=list)
    announced: list[dict[str, object]] = field(default_factory=list)
    identity: Identity | None = None
    state: State = State.WAITING
    #: Why it waits, or the code under which verify will reject it.
    reason: str | None = None
    detail: str | None = None

    @property
    def files(self) -> int:
        """Files in the unit."""
        return 1 + len(self.sidecars)

    @property
    def bytes(self) -> int:
        """Bytes in the unit."""
        return self.main.stat.size + sum(sidecar.stat.size for sidecar in self.sidecars)

    @property
    def sensor(self) -> str:
        """The partition it belongs to."""
        if self.identity is not None:
            return self.identity.sensor
        return "manifest" if self.role == "manifest" else "unrecognised"

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """Sensing interval that the name tells."""
        identity = self.identity
        if identity is None or identity.sensing_start is None:
            return None
        return identity.sensing_start, identity.sensing_end or identity.sensing_start

    def doom(self, code: str, detail: str) -> None:
        """Let verify reject it under ``code``."""
        self.state, self.reason, self.detail = State.DETECTED, code, detail

    def wait(self, reason: str, detail: str) -> None:
        """Leave it in the landing zone for a later run."""
        self.state, self.reason, self.detail = State.WAITING, reason, detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The few things a decision must ask of the world."""

    #: Content of a small landing file by path and size limit; None when it cannot be had.
    read: Callable[[bytes, int], bytes | None]
    #: Which of these names were ever seen at this source.
    ever_seen: Callable[[Sequence[str]], set[str]]


def group(files: Sequence[Candidate], source: Source, catalogue: Catalogue, look: Look) -> list[Unit]:
    """Group ``files`` into units and decide for each whether it is complete (``detected``) or must wait."""
    by_name = {file.name: file for file in files}
    roles = {file.name: announcements.role_of(file.name, source) if file.regular else "data" for file in files}
    units: dict[str, Unit] = {}
    orphans: list[Unit] = []
    for name, file in by_name.items():
        if roles[name] == "data":
            units[name] = Unit(main=file, role="data" if file.regular else "unknown")
    manifests = [Unit(main=by_name[name], role="manifest") for name, role in roles.items() if role == "manifest"]
    for name, role in roles.items():
        if role == "checksum" and not _temporary(by_name[name], source):
            target = announcements.target_of(name, source)
            if target is not None and target in units:
                units[target].sidecars.append(by_name[name])
                continue
        if role == "checksum":
            orphans.append(Unit(main=by_name[name], role="checksum"))
    for manifest in manifests:
        _read_manifest(manifest, units, source, look)
    for unit in units.values():
        _decide_data(unit, source, catalogue, look)
    for orphan in orphans:
        _decide_orphan(orphan, source)
    return [*units.values(), *manifests, *orphans]


def _temporary(file: Candidate, source: Source) -> bool:
    return announcements.is_temporary(file.name, source)


def _young(file: Candidate, source: Source) -> bool:
    minimum = source.completeness.minimum_age_seconds
    return file.age < minimum and file.unchanged < minimum


def _past_grace(file: Candidate, source: Source) -> bool:
    return file.waited > source.completeness.grace_hours * 3600


def _wait_or_give_up(unit: Unit, source: Source, reason: str, detail: str) -> None:
    if _past_grace(unit.main, source):
        unit.doom("incomplete", f"{detail}; waited {unit.main.waited / 3600:.0f} h")
    else:
        unit.wait(reason, detail)


def _read_manifest(manifest: Unit, units: Mapping[str, Unit], source: Source, look: Look) -> None:
    """Give the announced checksums to the files they name; the manifest waits until all of them were seen."""
    file = manifest.main
    if _temporary(file, source):
        return _wait_or_give_up(manifest, source, "temporary", "still under a temporary name")
    if _young(file, source):
        return manifest.wait("young", "changed a moment ago")
    content = look.read(file.path, _MANIFEST_BYTES)
    if content is None:
        return manifest.doom("checksum", f"the manifest cannot be read or is larger than {_MANIFEST_BYTES} bytes")
    try:
        announced = announcements.parse(file.name, content, source)
    except DataError as error:
        return manifest.doom(error.code, error.detail)
    folder = posixpath.dirname(file.name)
    targets = set()
    for each in announced:
        name = posixpath.normpath(posixpath.join(folder, each.target))
        targets.add(name)
        if name in units:
            units[name].announced.append(_as_json(each, file.name))
    absent = [name for name in targets if name not in units]
    missing = set(absent) - look.ever_seen(absent) if absent else set()
    if missing:
        return _wait_or_give_up(
            manifest,
            source,
            "set",
            f"{len(missing)} of {len(targets)} files it names are not here, first {min(missing)}",
        )
    manifest.state = State.DETECTED


def _as_json(announced: announcements.Announced, origin: str) -> dict[str, object]:
    return {
        "algorithm": announced.algorithm,
        "value": announced.value,
        "size": announced.size,
        "origin": posixpath.basename(origin),
    }


def _decide_data(unit: Unit, source: Source, catalogue: Catalogue, look: Look) -> None:
    file = unit.main
    if not file.regular:
        return unit.doom("type", "not a regular file: links, FIFOs, sockets and devices are not accepted")
    if _temporary(file, source):
        return _wait_or_give_up(unit, source, "temporary", "still under a temporary name")
    fault = _read_sidecars(unit, source, look)
    if _young(file, source) and not unit.announced:
        return unit.wait("young", "changed a moment ago")
    if fault and any(_young(sidecar, source) for sidecar in unit.sidecars):
        return unit.wait("young", "its checksum sidecar changed a moment ago")
    if source.checksums.required and not unit.announced and not fault:
        return _wait_or_give_up(unit, source, "no_checksum", "no checksum was announced and this source requires one")
    try:
        names.check_storable(file.path)
        unit.identity = names.identify(posixpath.basename(file.name), source, catalogue)
    except DataError as error:
        return unit.doom(error.code, error.detail)
    if fault:
        return unit.doom("checksum", fault)
    unit.state = State.DETECTED


def _read_sidecars(unit: Unit, source: Source, look: Look) -> str | None:
    """Collect what the sidecars announce; returns what is wrong with one of them, if anything."""
    own_name = posixpath.basename(unit.main.name)
    for sidecar in sorted(unit.sidecars, key=lambda file: file.path):
        label = posixpath.basename(sidecar.name)
        content = look.read(sidecar.path, _SIDECAR_BYTES)
        if content is None:
            return f"sidecar {label} cannot be read or is larger than {_SIDECAR_BYTES} bytes"
        try:
            announced = announcements.parse(sidecar.name, content, source)
        except DataError as error:
            return f"sidecar {label}: {error.detail}"
        for each in announced:
            if posixpath.basename(each.target) != own_name:
                return f"sidecar {label} speaks of another file: {each.target}"
            unit.announced.append(_as_json(each, label))
    values: dict[object, object] = {}
    for entry in unit.announced:
        known = values.setdefault(entry["algorithm"], entry["value"])
        if known != entry["value"]:
            return f"two announcements disagree: {entry['algorithm']} {known} and {entry['value']} ({entry['origin']})"
    return None


def _decide_orphan(orphan: Unit, source: Source) -> None:
    if _temporary(orphan.main, source):
        return _wait_or_give_up(orphan, source, "temporary", "still under a temporary name")
    target = announcements.target_of(orphan.main.name, source)
    _wait_or_give_up(orphan, source, "no_data", f"a checksum sidecar whose data file {target} is not here")
