"""What a file name alone tells: grammars, and which names can be stored at all."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from orbitory.catalogue import Catalogue, ProductType, Source
from orbitory.errors import DataError
from orbitory.model import Identity

#: Longest last part of a name, in bytes: leaves room below the 255 of file systems for endings and temporary marks.
MAX_BASE_BYTES = 200
#: Longest name relative to the landing folder, in bytes, and most folders in it: stays far below PATH_MAX everywhere.
MAX_PATH_BYTES = 1_000
MAX_FOLDERS = 32

#: Control, format (bidi overrides, zero-width), surrogate, private use, line and paragraph separators.
_UNSTORABLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
#: IDPS origins since Block 2.0 (2017-03-08), as CLASS explains them: site, environment, string a to c, packing.
_ORIGIN = re.compile(r"[a-z]{2}[abc](?P<packing>[cu])")
_PACKING = {"c": "compressed", "u": "uncompressed"}
#: Dates within two days of 1958-01-01 mean "fill" in JPSS files (as satpy reads them); no satellite is older.
_FIRST_REAL_TIME = datetime(1958, 1, 3, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a name between underscores."""

    key: str
    #: Matches the whole part; its only group is the value.
    pattern: re.Pattern[str]
    meaning: str
    #: First letter of a part that may be left out; empty when it may not.
    optional: str = ""


#: JPSS CDFCB-X volume I, 3.4; orbit and creation time are missing in some writers' names (RDR, FNMOC).
_IDPS = (
    _Part(
        "products",
        re.compile(r"([A-Z0-9]{5}(?:-[A-Z0-9]{5})*)"),
        "product ids of five capitals or digits, joined by '-'",
    ),
    _Part("platform", re.compile(r"(npp|j0[1-4])"), "a platform (npp, j01, j02, j03 or j04)"),
    _Part("date", re.compile(r"d([0-9]{8})"), "the start date (d and 8 digits)"),
    _Part("start", re.compile(r"t([0-9]{7})"), "the start time (t and 7 digits)"),
    _Part("end", re.compile(r"e([0-9]{7})"), "the end time (e and 7 digits)"),
    _Part("orbit", re.compile(r"b([0-9]{5})"), "the orbit (b and 5 digits)", optional="b"),
    _Part("created", re.compile(r"c([0-9]{20})"), "the creation time (c and 20 digits)", optional="c"),
    _Part("origin", re.compile(r"([A-Za-z][A-Za-z0-9-]{2,4})"), "an origin of 3 to 5 letters"),
    _Part("domain", re.compile(r"([a-z]{3,5})"), "a domain of 3 to 5 lower-case letters"),
)


def identify(name: str, source: Source, catalogue: Catalogue) -> Identity:
    """What ``name`` tells by the grammar of ``source``; folders before it say nothing.

    Raises DataError: ``name`` when it cannot be stored, ``unrecognised`` when it fits no grammar or names a product
    that the source does not list, ``time`` when its times are impossible.
    """
    check_storable(name.encode("utf-8", "surrogatepass"))
    base = name.rpartition("/")[2]
    if source.grammar == "any":
        (product_type,) = catalogue.types_of(source)
        return Identity(form="any", product_type=product_type.name, products=(), sensor=product_type.sensor)
    return _idps_identity(read_idps(base), source, catalogue)


def identify_any(name: str, catalogue: Catalogue) -> tuple[str, Identity]:
    """The source whose grammar fits ``name``, and what it tells; grammar ``any`` fits everything, so it is not asked.

    Raises DataError as ``identify`` does, with the reason of every grammar.
    """
    reasons: list[str] = []
    for source in catalogue.sources.values():
        if source.grammar != "any":
            try:
                return source.name, identify(name, source, catalogue)
            except DataError as error:
                if error.code != "unrecognised":
                    raise
                reasons.append(f"{source.name}: {error.detail}")
    raise DataError("unrecognised", "; ".join(reasons) or "no source of this catalogue tells files by their names")


def check_storable(name: bytes) -> None:
    """Raise DataError ``name`` when a name relative to its landing folder cannot be kept, shown and typed safely.

    Spaces, quotes, shell characters and other scripts may pass: no step hands names to a shell, and storage paths are
    made from a safe alphabet (``layout``).
    """
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            "name", f"the name is not UTF-8: byte {error.object[error.start]:#04x} at {error.start}"
        ) from None
    *folders, base = text.split("/")
    if any(part in ("", ".", "..") for part in (*folders, base)):
        raise DataError("name", f"{text!r} is not a plain name below its folder")
    if len(base.encode()) > MAX_BASE_BYTES:
        raise DataError("name", f"the name has {len(base.encode())} bytes, at most {MAX_BASE_BYTES} are accepted")
    if len(name) > MAX_PATH_BYTES or len(folders) > MAX_FOLDERS:
        raise DataError(
            "name",
            f"{len(folders)} folders and {len(name)} bytes, at most {MAX_FOLDERS} and {MAX_PATH_BYTES} are accepted",
        )
    if not text.isprintable():
        for char in text:
            if unicodedata.category(char) in _UNSTORABLE:
                called = unicodedata.name(char, "a control character")
                raise DataError("name", f"the name {text!r} holds U+{ord(char):04X}, {called}")


def read_idps(name: str) -> dict[str, str]:
    """The parts of an IDPS file name as they are written; "" for those left out.

    >>> read_idps("SVM01_npp_d20131114_t0010303_e0011545_b10607_c20131114064119981830_noaa_ops.h5")["orbit"]
    '10607'
    >>> read_idps("SATMS_j01_d20210809_t0838266_e0838583_b19295_fnmoc_ops.h5")["created"]
    ''
    >>> read_idps("SVM01_npp_d20131114_t001030_e001154_den_OPS.h5")
    Traceback (most recent call last):
    orbitory.errors.DataError: unrecognised: not an IDPS name: expected the start time (t and 7 digits), found 't001030'

    Raises DataError ``unrecognised`` that says which part is not as the grammar wants it.
    """
    stem, _, ending = name.rpartition(".")
    if ending != "h5":
        raise DataError("unrecognised", f"not an IDPS name: expected the ending .h5, found {name!r}")
    found = stem.split("_")
    values: dict[str, str] = {}
    for part in _IDPS:
        text = found[0] if found else ""
        if match := part.pattern.fullmatch(text):
            values[part.key] = match[1]
            del found[0]
        elif part.optional and not (text[:1] == part.optional and text[1:].isdigit()):
            values[part.key] = ""
        else:
            raise DataError("unrecognised", f"not an IDPS name: expected {part.meaning}, found {text or 'nothing'!r}")
    if found:
        raise DataError("unrecognised", f"not an IDPS name: nothing may follow the domain, found {'_'.join(found)!r}")
    return values


def _idps_identity(parts: dict[str, str], source: Source, catalogue: Catalogue) -> Identity:
    products = tuple(parts["products"].split("-"))
    types = [_product_type(product_id, source, catalogue) for product_id in products]
    lead, sensors = _lead(types)
    start = idps_time(parts["date"], parts["start"])
    end = idps_time(parts["date"], parts["end"])
    if (
        parts["end"] < parts["start"]
    ):  # the end's date is not in the name: it ran over midnight (satpy reads it so, too)
        end = _shift(end, days=1)
    details = {"origin": parts["origin"], "domain": parts["domain"]}
    if match := _ORIGIN.fullmatch(parts["origin"]):
        details["packing"] = _PACKING[match["packing"]]
    if len(sensors) > 1:
        details["sensors"] = " ".join(sensors)
    created = parts["created"]
    return Identity(
        form="idps",
        product_type=lead.name,
        products=products,
        sensor=lead.sensor,
        platform=parts["platform"].upper(),
        sensing_start=start,
        sensing_end=end,
        orbit=int(parts["orbit"]) if parts["orbit"] else None,
        created=idps_time(created[:8], created[8:]) if created else None,
        details=details,
    )


def _product_type(product_id: str, source: Source, catalogue: Catalogue) -> ProductType:
    if found := catalogue.find_product(source, product_id):
        return found
    raise DataError(
        "unrecognised",
        f"product id {product_id} is in no product type of source {source.name}: add it under [ids] of a file "
        f"catalogue/products/<type>.toml that catalogue/sources/{source.name}.toml lists under products",
    )


def _lead(types: Sequence[ProductType]) -> tuple[ProductType, list[str]]:
    """The product type that speaks for a file of several products, and the sensors in it.

    It is the first one that is not a mere companion: GMODO-SVM01 is VIIRS SDR, RNSCA-RVIRS is VIIRS RDR. Companions
    alone speak for themselves.
    """
    speakers = [each for each in types if not each.companion] or list(types)
    return speakers[0], list(dict.fromkeys(each.sensor for each in speakers))


def idps_time(date: str, clock: str) -> datetime:
    """UTC of ``YYYYMMDD`` and ``HHMMSS`` with digits of a second behind it, which were truncated, not rounded.

    A leap second 23:59:60 is the first second of the next day, as POSIX counts.

    >>> idps_time("20131114", "0010303").isoformat()
    '2013-11-14T00:10:30.300000+00:00'
    >>> idps_time("20161231", "2359605").isoformat()
    '2017-01-01T00:00:00.500000+00:00'
    >>> idps_time("20130229", "0010303")
    Traceback (most recent call last):
    orbitory.errors.DataError: time: 20130229 0010303 is no date and time

    Raises DataError ``time`` when there is no such moment, or it is a fill value.
    """
    leap = clock[:6] == "235960"
    try:
        moment = datetime(
            *(int(date[:4]), int(date[4:6]), int(date[6:])),
            *(int(clock[:2]), int(clock[2:4]), 59 if leap else int(clock[4:6]), int(clock[6:].ljust(6, "0"))),
            tzinfo=UTC,
        )
    except ValueError:
        raise DataError("time", f"{date} {clock} is no date and time") from None
    if moment < _FIRST_REAL_TIME:
        raise DataError("time", f"{date} is a fill value, not a date")
    return _shift(moment, seconds=1) if leap else moment


def _shift(moment: datetime, **by: int) -> datetime:
    try:
        return moment + timedelta(**by)
    except OverflowError:
        raise DataError("time", f"nothing can be sensed after {moment:%Y-%m-%d}") from None
