"""Which files belong together, and is each set complete? Pure decisions over what a scan found."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orbitory import announcements, names
from orbitory.catalogue import Catalogue, Source
from orbitory.errors import DataError
from orbitory.model import Identity, Stat, State

_SIDECAR_BYTES = 1 << 20
MANIFEST_BYTES = 64 << 20
#: Preference among the images of one scene: the vendor's NITF before a TIFF made of it.
_NITF = (".ntf", ".nitf")
_TIFF = (".tif", ".tiff")
#: Folder of an order that holds shapes of what stands in the folder above it.
_SHAPES = "gis_files"


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
class Part:
    """A file with its checksum sidecars and all that was announced about it."""

    file: Candidate
    role: str
    identity: Identity | None = None
    sidecars: list[Candidate] = field(default_factory=list)
    announced: list[dict[str, object]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Unit:
    """What shares one fate: a data file, a strip with all that comes beside it, or a folder manifest."""

    parts: list[Part]
    state: State = State.WAITING
    #: Why it waits, or the code under which verify will reject it.
    reason: str | None = None
    detail: str | None = None

    @property
    def lead(self) -> Part:
        """The part that speaks for the unit."""
        return self.parts[0]

    @property
    def main(self) -> Candidate:
        """The file that speaks for the unit."""
        return self.lead.file

    @property
    def files(self) -> int:
        """Files in the unit."""
        return sum(1 + len(part.sidecars) for part in self.parts)

    @property
    def bytes(self) -> int:
        """Bytes in the unit."""
        return sum(file.stat.size for part in self.parts for file in (part.file, *part.sidecars))

    @property
    def sensor(self) -> str:
        """The partition it belongs to."""
        if self.lead.identity is not None:
            return self.lead.identity.sensor
        return "manifest" if self.lead.role == "manifest" else "unrecognised"

    @property
    def key(self) -> str:
        """The strip that it is a part of, by its name: parts and copies share it; empty where there is none."""
        return names.family(self.lead.identity) if self.lead.identity is not None else ""

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """Sensing interval that the name tells."""
        identity = self.lead.identity
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
    #: What was announced about files elsewhere, by name.
    announced: Mapping[str, Sequence[dict[str, object]]] = field(default_factory=dict)


def group(files: Sequence[Candidate], source: Source, catalogue: Catalogue, look: Look) -> list[Unit]:
    """Group ``files`` into units and decide for each whether it is complete (``detected``) or must wait."""
    roles = {file.name: announcements.role_of(file.name, source) if file.regular else "data" for file in files}
    parts = {
        file.name: Part(file=file, role="data" if file.regular else "unknown")
        for file in files
        if roles[file.name] == "data"
    }
    for name in look.announced.keys() & parts.keys():
        parts[name].announced += look.announced[name]
    manifests = [Unit(parts=[Part(file=file, role="manifest")]) for file in files if roles[file.name] == "manifest"]
    orphans: list[Unit] = []
    for file in files:
        if roles[file.name] == "checksum":
            target = None if _temporary(file, source) else announcements.target_of(file.name, source)
            if target in parts:
                parts[target].sidecars.append(file)
            else:
                orphans.append(Unit(parts=[Part(file=file, role="checksum")]))
    for manifest in manifests:
        _read_manifest(manifest, parts, source, look)
    for orphan in orphans:
        _decide_orphan(orphan, source)
    units = list(_join(parts.values(), source, catalogue))
    for unit in units:
        if unit.reason is None:
            _decide(unit, source, look)
    return [*units, *manifests, *orphans]


def _temporary(file: Candidate, source: Source) -> bool:
    return announcements.is_temporary(file.name, source)


def _young(file: Candidate, source: Source) -> bool:
    minimum = source.completeness.minimum_age_seconds
    return file.age < minimum and file.unchanged < minimum


def _wait_or_give_up(unit: Unit, source: Source, reason: str, detail: str) -> None:
    """Wait until the file that came last has waited longer than the source's grace."""
    waited = min(part.file.waited for part in unit.parts)
    if waited > source.completeness.grace_hours * 3600:
        unit.doom("incomplete", f"{detail}; waited {waited / 3600:.0f} h")
    else:
        unit.wait(reason, detail)


def _read_manifest(manifest: Unit, parts: dict[str, Part], source: Source, look: Look) -> None:
    """Give the announced checksums to the files they name; the manifest waits until all of them were seen."""
    file = manifest.main
    if _temporary(file, source):
        return _wait_or_give_up(manifest, source, "temporary", "still under a temporary name")
    if _young(file, source):
        return manifest.wait("young", "changed a moment ago")
    try:
        announced = read_manifest(file.name, look.read(file.path, MANIFEST_BYTES), source)
    except DataError as error:
        return manifest.doom(error.code, error.detail)
    targets = {name for name, _ in announced}
    for name, entry in announced:
        if name in parts:
            parts[name].announced.append(entry)
    absent = [name for name in targets if name not in parts]
    missing = set(absent) - look.ever_seen(absent) if absent else set()
    if missing:
        named = f"{len(missing)} of {len(targets)} files it names are not here, first {min(missing)}"
        return _wait_or_give_up(manifest, source, "set", named)
    manifest.state = State.DETECTED


def read_manifest(name: str, content: bytes | None, source: Source) -> list[tuple[str, dict[str, object]]]:
    """Names of files, relative to the landing folder, and what the manifest ``name`` announces of each.

    Raises DataError when it cannot be read.
    """
    if content is None:
        raise DataError("checksum", f"the manifest cannot be read or is larger than {MANIFEST_BYTES} bytes")
    folder = posixpath.dirname(name)
    announced = announcements.parse(name, content, source)
    return [(posixpath.normpath(posixpath.join(folder, each.target)), _as_json(each, name)) for each in announced]


def _as_json(announced: announcements.Announced, origin: str) -> dict[str, object]:
    return {
        "algorithm": announced.algorithm,
        "value": announced.value,
        "size": announced.size,
        "origin": posixpath.basename(origin),
    }


def _join(parts: Iterable[Part], source: Source, catalogue: Catalogue) -> Iterable[Unit]:
    """Units of parts whose names say that they belong together. What cannot belong anywhere stands alone, decided."""
    joined: dict[tuple[str, str], Unit] = {}
    for part in parts:
        unit = Unit(parts=[part])
        try:
            if not part.file.regular:
                raise DataError("type", "not a regular file: links, FIFOs, sockets and devices are not accepted")
            if _temporary(part.file, source):
                _wait_or_give_up(unit, source, "temporary", "still under a temporary name")
            else:
                names.check_storable(part.file.path)
                part.identity = names.identify(part.file.name, source, catalogue)
                part.role = part.identity.role
        except DataError as error:
            if part.file.regular and _young(part.file, source):
                unit.wait("young", "changed a moment ago")
            else:
                unit.doom(error.code, error.detail)
        if part.identity is not None and part.identity.unit:
            place = _home(part), part.identity.unit
            if place in joined:
                joined[place].parts.append(part)
                continue
            joined[place] = unit
        yield unit


def _home(part: Part) -> str:
    """The folder whose files may be one unit."""
    folder = posixpath.dirname(part.file.name)
    shapes = part.role == "document" and posixpath.basename(folder).lower() == _SHAPES
    return posixpath.dirname(folder) if shapes else folder


def _decide(unit: Unit, source: Source, look: Look) -> None:
    _order(unit)
    faults = [fault for part in unit.parts if (fault := _read_sidecars(part, source, look))]
    for part in unit.parts:
        if _young(part.file, source) and not part.announced:
            return unit.wait("young", "changed a moment ago")
        if faults and any(_young(sidecar, source) for sidecar in part.sidecars):
            return unit.wait("young", "its checksum sidecar changed a moment ago")
    unproven = any(part.role == unit.lead.role and not part.announced for part in unit.parts)
    if source.checksums.required and unproven and not faults:
        no_checksum = "no checksum was announced and this source requires one"
        return _wait_or_give_up(unit, source, "no_checksum", no_checksum)
    identity = unit.lead.identity
    if identity and identity.unit and unit.lead.role != "document" and (lacking := _lacking(unit, source)):
        return _wait_or_give_up(unit, source, "set", f"of {identity.unit} there is no {lacking} yet")
    if faults:
        return unit.doom("checksum", faults[0])
    unit.state = State.DETECTED


def _order(unit: Unit) -> None:
    """Lead with the image, a NITF before a TIFF; a TIFF of the same stem as a NITF is its sibling."""
    if len(unit.parts) == 1:
        return
    stems = {_stem(part) for part in unit.parts if part.role == "data" and _ends(part, _NITF)}
    for part in unit.parts:
        if part.role == "data" and _ends(part, _TIFF) and _stem(part) in stems:
            part.role = "sibling"
    unit.parts.sort(key=lambda part: (part.role != "data", not _ends(part, _NITF), part.file.path))


def _ends(part: Part, endings: tuple[str, ...]) -> bool:
    return part.file.name.lower().endswith(endings)


def _stem(part: Part) -> str:
    return posixpath.splitext(part.file.name.lower())[0]


def _lacking(unit: Unit, source: Source) -> str:
    roles = {part.role for part in unit.parts}
    return " and no ".join(" or ".join(need) for need in source.completeness.needs if not roles.intersection(need))


def _read_sidecars(part: Part, source: Source, look: Look) -> str | None:
    """Collect what the sidecars announce; returns what is wrong with one of them, if anything."""
    for sidecar in sorted(part.sidecars, key=lambda file: file.path):
        label = posixpath.basename(sidecar.name)
        content = look.read(sidecar.path, _SIDECAR_BYTES)
        if content is None:
            return f"sidecar {label} cannot be read or is larger than {_SIDECAR_BYTES} bytes"
        try:
            announced = announcements.parse(sidecar.name, content, source)
        except DataError as error:
            return f"sidecar {label}: {error.detail}"
        part.announced += [_as_json(each, label) for each in announced]
    values: dict[object, object] = {}
    for entry in part.announced:
        known = values.setdefault(entry["algorithm"], entry["value"])
        if known != entry["value"]:
            return f"two announcements disagree: {entry['algorithm']} {known} and {entry['value']} ({entry['origin']})"
    return None


def _decide_orphan(orphan: Unit, source: Source) -> None:
    if _temporary(orphan.main, source):
        return _wait_or_give_up(orphan, source, "temporary", "still under a temporary name")
    target = announcements.target_of(orphan.main.name, source)
    _wait_or_give_up(orphan, source, "no_data", f"a checksum sidecar whose data file {target} is not here")
