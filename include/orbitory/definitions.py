"""What a source and a product type may say: one strict, frozen model per kind of catalogue file.

A key that is not here, a wrong type or a value outside its range is refused; nothing is converted silently.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator

from orbitory.cron import check_cron

#: Who may see data, from anyone to the fewest.
Classification = Literal["unrestricted", "proprietary", "licensed", "itar"]

#: What a storage template may name, and what each stands for.
STORAGE_VARIABLES: Mapping[str, str] = {
    "source": "name of the source",
    "platform": "platform code, for example NPP",
    "sensor": "sensor by which work is partitioned, for example WV02",
    "level": "processing level that the name tells, for example 1B",
    "strip": "strip id, or the order where the name tells no strip",
    "product": "product ids joined by '-', in the order of the name",
    "year": "start of sensing: year, or 'undated'",
    "doy": "start of sensing: day of year, 001 to 366",
    "month": "start of sensing: month, 01 to 12",
    "day": "start of sensing: day of month, 01 to 31",
    "kind": "what the bytes are, for example hdf5",
    "folder": "the file's folder below the landing folder",
    "name": "the file's own name",
}


class Refused(ValueError):
    """A value that a person must change, with a hint where one can be given."""

    def __init__(self, message: str, hint: str = "") -> None:
        """``message`` says what was expected and found."""
        super().__init__(message)
        self.hint = hint


def _matching(pattern: str, expected: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise Refused(f"expected {expected}, got {value!r}")
        return value

    return AfterValidator(check)


def _check_storage(template: str) -> str:
    """A relative path that ends in the file's own name, made of plain text and known variables."""
    for segment in template.split("/"):
        for variable in re.findall(r"\{([^{}]*)\}", segment):
            if variable not in STORAGE_VARIABLES:
                known = ", ".join(f"{{{name}}}" for name in STORAGE_VARIABLES)
                raise Refused(f"unknown variable {{{variable}}} in {template!r}", f"known are {known}")
        if "{folder}" in segment and segment != "{folder}":
            raise Refused(f"{{folder}} must stand alone between slashes, got {segment!r} in {template!r}")
        if not re.fullmatch(r"(?![.-])[A-Za-z0-9._+-]+", re.sub(r"\{[^{}]*\}", "x", segment)):
            raise Refused(f"expected letters, digits and ._+- between slashes, got {segment!r} in {template!r}")
    if "{name}" not in template.rpartition("/")[2]:
        raise Refused(f"the last part must hold {{name}}, or files would collide, got {template!r}")
    return template


def _check_schedule(expression: str) -> str:
    if problem := check_cron(expression):
        raise Refused(f"{problem}, got {expression!r}", 'for example "*/10 * * * *" for every ten minutes')
    return expression


def _check_mirror(value: object) -> bool | str:
    if isinstance(value, bool) or (isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9_]{0,39}", value)):
        return value
    raise Refused(
        f"expected true, false, or the name of a mirror, got {value!r}", "names are like ORBITORY_MIRROR_<NAME>"
    )


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if twice := next((value for value in values if values.count(value) > 1), None):
        raise Refused(f"{twice!r} stands twice")
    return values


Name = Annotated[
    str, _matching(r"[a-z][a-z0-9_]{0,39}", "a lower-case letter, then letters, digits and _ (at most 40)")
]
Title = Annotated[str, _matching(r"[^\x00-\x1f\x7f]{1,200}", "one line of 1 to 200 characters")]
FolderName = Annotated[
    str, _matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "one plain folder name (no slash, no leading dot)")
]
Sensor = Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", "a sensor name of letters, digits, _ and -")]
ProductId = Annotated[str, _matching(r"[A-Z0-9]{5}", "a product id of five capital letters or digits")]
#: A strip's product code: bands (P1BS is panchromatic), level of processing (1B), kind (S is standard).
STRIP_CODE = re.compile(r"[A-Z][1-9][A-Z][A-Z0-9]")
Collection = Annotated[
    str, _matching(r"[A-Za-z0-9][A-Za-z0-9_-]{1,79}", "a collection short name such as VIIRS-M1-SDR")
]
Mail = Annotated[str, _matching(r"[^\s@,;:<>\"()]+@[^\s@,;:<>\"()]+", "one mail address")]
Mirror = Annotated[bool | str, PlainValidator(_check_mirror)]
Glob = Annotated[str, _matching(r"[^/\x00-\x1f]+", "a pattern for one file name (no slash)")]
Storage = Annotated[str, AfterValidator(_check_storage)]
Schedule = Annotated[str, AfterValidator(_check_schedule)]
#: Roles that a unit may be told to need; checksums have a rule of their own.
UnitRole = Literal["data", "metadata", "bundle", "browse", "document"]
KeepDays = Annotated[int, Field(ge=0, le=36_500)]
#: TOML has arrays, we keep tuples; what stands in them stays strict.
_LIST = Field(strict=False)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Completeness(_Strict):
    """When a file in the landing zone counts as completely delivered."""

    #: Untouched for so long, unless an announced checksum proves it complete earlier.
    minimum_age_seconds: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    #: How long half a set, a sidecar without its file or a temporary name may wait before it is rejected.
    grace_hours: Annotated[float, Field(gt=0, le=8_760)] = 24.0
    #: Of each list, a unit must hold a file of one of these roles: [["data"], ["metadata", "bundle"]] is an image with
    #: its metadata, loose or bundled.
    needs: Annotated[tuple[Annotated[tuple[UnitRole, ...], _LIST], ...], _LIST] = ()
    #: Names under which senders write what is not finished; upper and lower case are the same.
    temporary: Annotated[tuple[Glob, ...], _LIST] = ("*.part", "*.tmp", ".*")


class Checksums(_Strict):
    """How the source announces checksums."""

    #: Endings of checksum sidecars: ``<data file>.<ending>``.
    sidecars: Annotated[
        tuple[Literal["md5", "sha1", "sha256", "sha512", "blake3", "crc", "crc32", "cksum"], ...], _LIST
    ] = ("md5", "sha1", "sha256", "sha512", "crc", "crc32", "cksum")
    #: Names of manifests that speak for files of their own folder and below.
    manifests: Annotated[tuple[Glob, ...], _LIST] = (
        *("MD5SUMS", "SHA1SUMS", "SHA256SUMS", "SHA512SUMS"),
        "manifest*.txt",
    )
    #: Whether ``*.PDR`` files are Product Delivery Records (ESDS-RFC-030).
    pdr: bool = True
    #: Whether each of them is answered by a notice of acceptance (PAN) in ``links/receipts/<source>/``.
    receipts: bool = False
    #: Whether a file without an announced checksum waits, and is rejected after the grace time.
    required: bool = False


class Batch(_Strict):
    """How much one task takes at a time."""

    max_files: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    max_bytes: Annotated[int, Field(ge=1)] = 8 << 30


class Source(_Strict):
    """Who delivers, and how its files are taken in: one ``sources/<name>.toml``."""

    #: As the file's stem.
    name: Name
    title: Title
    #: Folder below the landing zone that only this source writes to.
    landing: FolderName
    #: How file names are read: ``any`` takes every storable name, the others are strict. ``nga`` reads strips under
    #: the names of NGA, of archives that renamed them and of the vendors; ``maxar`` vendors' names and whole orders.
    grammar: Literal["idps", "nga", "maxar", "pge", "upload", "any"]
    #: How contents are read.
    extractor: Literal["jpss", "strip", "pge", "upload", "generic"]
    #: Product types it may deliver; grammar ``any`` takes exactly one.
    products: Annotated[tuple[Name, ...], _LIST, AfterValidator(_distinct), Field(min_length=1)]
    #: By what a run is cut into parts.
    partition: Literal["sensor"] = "sensor"
    #: Path of an archived file below storage, made of STORAGE_VARIABLES.
    storage: Storage
    #: What happens to a known identity with other content.
    duplicates: Literal["error", "skip", "replace", "version"] = "error"
    #: What happens to a version older than the archived one.
    late: Literal["archive", "skip"] = "archive"
    #: Days until expiry; 0 keeps for ever.
    keep_days: KeepDays = 0
    #: Days that rejected files stay in quarantine; None leaves what ``retention.toml`` says, 0 keeps for ever.
    quarantine_days: KeepDays | None = None
    #: Most restricted unless the file says otherwise.
    classification: Classification = "itar"
    #: Fraction 0..1 of a run's files that may be rejected before the run counts as failed: 0.02 is 2 %.
    reject_tolerance: Annotated[float, Field(ge=0, le=1)] = 0.0
    #: When the ingest runs: a cron expression of five fields, UTC.
    schedule: Schedule = "*/15 * * * *"
    #: Who gets the mail about a failed run.
    notify: Annotated[tuple[Mail, ...], _LIST] = ()
    completeness: Completeness = Completeness()
    checksums: Checksums = Checksums()
    batch: Batch = Batch()


class ProductType(_Strict):
    """One family of products with a common sensor: one ``products/<name>.toml``."""

    #: As the file's stem.
    name: Name
    title: Title
    #: Instrument by which work is partitioned.
    sensor: Sensor
    #: Sensors that share this type and that names tell apart; ``sensor`` is then for names that do not.
    sensors: Annotated[tuple[Sensor, ...], _LIST, AfterValidator(_distinct)] = ()
    #: Product id of file names → collection short name inside the file, for example SVM01 → VIIRS-M1-SDR.
    ids: Mapping[ProductId, Collection] = {}
    #: First letters of the strips' product codes that it holds, for example P for P1BS and P2AS.
    letters: Annotated[tuple[Literal["P", "M", "S", "A", "C", "X"], ...], _LIST, AfterValidator(_distinct)] = ()
    #: Nominal length of one granule in seconds.
    granule_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None
    #: Rides along with the products it serves (geolocation, spacecraft diary): never names a packed file's type.
    companion: bool = False
    #: Overrides the source's; None leaves it.
    keep_days: KeepDays | None = None
    #: Overrides the source's; None leaves it.
    classification: Classification | None = None
    #: Whether a second copy is kept of its files: in the mirror of that name, or in the only one.
    mirror: Mirror = False


class Retention(_Strict):
    """How long is kept what no source or product type rules: ``retention.toml``, which may be absent.

    Seven days for links and work folders are GRAVITE's (GSC-16828); 0 keeps for ever.
    """

    #: Links and files handed out to users, and their folders.
    links_days: KeepDays = 7
    #: Work folders of PGEs, of tries that failed too.
    work_days: KeepDays = 7
    #: Rejected files; a source may say otherwise. Conflicts stay until a person decides.
    quarantine_days: KeepDays = 90
    #: What left the archive can be brought back for so long.
    trash_days: KeepDays = 30
    #: Granules that were withdrawn.
    withdrawn_days: KeepDays = 30
    #: So many granules leave in one run, those first that expired first.
    most_granules: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    #: When more than so many of a product type have expired, and more than ``approve_share`` of it, a person is asked.
    approve_granules: Annotated[int, Field(ge=0)] = 1_000
    approve_share: Annotated[float, Field(ge=0, le=1)] = 0.01
