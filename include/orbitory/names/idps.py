"""Names of JPSS files as IDPS and its relatives write them (JPSS CDFCB-X volume I, 3.4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from orbitory.catalogue import Catalogue, ProductType, Source
from orbitory.errors import DataError
from orbitory.model import Identity
from orbitory.names.products import product_type

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


def idps_identity(name: str, source: Source, catalogue: Catalogue) -> Identity:
    """What the file name ``name`` tells by the IDPS grammar. Raises DataError ``unrecognised`` or ``time``."""
    parts = read_idps(name)
    products = tuple(parts["products"].split("-"))
    types = [product_type(product_id, source, catalogue) for product_id in products]
    lead, sensors = _lead(types)
    start = idps_time(parts["date"], parts["start"])
    end = idps_time(parts["date"], parts["end"])
    if (
        parts["end"] < parts["start"]
    ):  # the end's date is not in the name: it ran over midnight (satpy reads it so, too)
        end = _shifted(end, days=1)
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
    return _shifted(moment, seconds=1) if leap else moment


def _shifted(moment: datetime, **by: int) -> datetime:
    try:
        return moment + timedelta(**by)
    except OverflowError:
        raise DataError("time", f"nothing can be sensed after {moment:%Y-%m-%d}") from None
