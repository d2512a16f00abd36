"""Names of commercial strips as NGA, their vendors and archives that renamed them write them: parts, not meaning.

Forms after PGC imagery_utils (``lib/utils.py``, ``lib/ortho_functions.py``), NCCS's listings of NGA deliveries, and
public names. Letters count alike in upper and lower case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orbitory.errors import DataError
from orbitory.names.strip_files import file_role
from orbitory.names.strip_times import MONTHS

_MONTH = f"(?:{'|'.join(MONTHS)})"
_CODE = r"[A-Z]{2,3}_[0-9A-Z]{12,13}(?![0-9A-Z])"
_HEX = r"[0-9A-F]{16}"
_UUID = r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}(?:-INV)?"


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a name, with the sign that ends it."""

    key: str
    #: Matches the part; its only group is the value.
    pattern: re.Pattern[str]
    meaning: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class _Form:
    """One way to write a scene: what was put before the vendor's name, that name, and what was put behind it."""

    before: tuple[_Part, ...]
    vendor: tuple[_Part, ...]
    behind: tuple[_Part, ...] = ()


def _part(key: str, pattern: str, meaning: str, *, optional: bool = False) -> _Part:
    return _Part(key, re.compile(pattern, re.IGNORECASE | re.ASCII), meaning, optional)


_SENSOR = _part("sensor", r"([A-Z]{2}\d{2})_", "a sensor (two letters and two digits) and '_'")
_TIME = _part("time", r"(\d{14})_", "the sensing time (YYYYMMDDHHMMSS) and '_'")
_PRODUCT = _part("product", r"([A-Z0-9]{4})", "a product code of four letters or digits")
_TILE = _part("tile", r"_?(R\d{1,4}C\d{1,4})", "a tile such as R1C1", optional=True)
_IKONOS_ID = _part("catalog", r"(\d{28})_", "an image id of 28 digits and '_'")

_DG = (
    _part("stamp", rf"(\d{{2}}{_MONTH}\d{{8}})-", "the vendor's time (YYMMMDDHHMMSS) and '-'"),
    _PRODUCT,
    _TILE,
    _part("order", r"-(\d{12}_\d{2})_", "'-', the order (12 digits, '_' and 2 digits) and '_'"),
    _part("part", r"(P\d{3})(?![0-9A-Z])", "the part (P and 3 digits)"),
)
#: Behind spacecraft and date: archive id, product level, id and image id, version, mono or stereo, product number.
_GE = (
    _part("craft", r"([35]V)(?=\d{6}[A-Z])", "5V (GeoEye-1) or 3V (OrbView-3) and a date"),
    _part("date", r"(\d{6})(?=[A-Z])", "the date (YYMMDD)"),
    _part("band", r"([A-Z])(?=\d)", "a band letter"),
    _part("archive", r"(\d{9})(?=\d[A-Z])", "the archive id (9 digits)"),
    _part("level", r"(\d[A-Z])", "the level (a digit and a letter)"),
    _part("kind", r"(\d{3})", "the product id (3 digits)"),
    _part("part", r"(\d{8})", "the image id (8 digits)"),
    _part("version", r"(\d)", "the version (1 digit)"),
    _part("mono", r"([A-Z0-9])_", "a letter for mono or stereo and '_'"),
    _part("order", r"(\d{8,9})(?![0-9A-Z])", "the product number (8 or 9 digits)"),
)
_IK = (
    _part("order", r"PO_(\d{5,7})(?![0-9A-Z])", "'po_' and the order (5 to 7 digits)"),
    _part("band", r"_([A-Z]{3,4})_(?=\d{7}(?![0-9A-Z]))", "the bands", optional=True),
    _part("part", r"(\d{7})(?![0-9A-Z])", "the component (7 digits)", optional=True),
)
_HEAD = (
    _part("head", rf"(\d{{2}}{_MONTH}\d{{2}})", "the date (DDMMMYY)"),
    _part("sensor", r"([A-Z]{2}\d{2})(?=\d)", "a sensor (two letters and two digits)"),
    _part("pad", r"(\d{5})", "5 digits"),
)
_DELIVERY = _part("code", rf"_+({_CODE})", "the delivery code", optional=True)

_RAW = {"raw_dg": _Form((), _DG), "raw_ge": _Form((), _GE), "raw_ik": _Form((), _IK)}
_FORMS: dict[str, dict[str, _Form]] = {
    "nga": {
        "nga_dg": _Form(_HEAD, _DG, (_DELIVERY,)),
        "nga_ge": _Form(_HEAD, _GE, (_DELIVERY,)),
        "renamed_dg": _Form(
            (_SENSOR, _TIME, _part("catalog", rf"({_HEX}|{_UUID})_", "a catalog id (16 hex digits or a UUID) and '_'")),
            _DG,
        ),
        "renamed_dg2": _Form(
            (_SENSOR,),
            (
                _part("stamp", rf"(\d{{2}}{_MONTH}\d{{9}})-", "the vendor's time (YYMMMDDHHMMSS and tenths) and '-'"),
                _PRODUCT,
                _TILE,
                _part("catalog", rf"-({_HEX})(?![0-9A-Z])", "'-' and a catalog id of 16 hex digits"),
            ),
        ),
        "renamed_ge": _Form((_SENSOR, _TIME, _part("catalog", r"(\d{1,9})_", "an archive id of digits and '_'")), _GE),
        "renamed_ge2": _Form((_SENSOR,), _GE[1:]),
        "renamed_ik": _Form((_SENSOR, _TIME, _IKONOS_ID), _IK),
        "renamed_ik2": _Form(
            (_SENSOR,),
            (
                _IKONOS_ID,
                _part("band", r"([A-Z]{3,4})_", "the bands and '_'"),
                _part("place", r"(\d{4}[NS])(?![0-9A-Z])", "the latitude (4 digits and N or S)"),
            ),
        ),
        **_RAW,
        "nga_any": _Form(
            _HEAD,
            (
                _part(
                    "vendor",
                    rf"([0-9A-Z][0-9A-Z._-]*?)_(?={_CODE})",
                    "the vendor's name and a delivery code behind '_'",
                ),
            ),
            (_part("code", rf"({_CODE})", "the delivery code"),),
        ),
    },
    "maxar": {
        **_RAW,
        "order": _Form(
            (),
            (
                _part("order", r"(\d{12}_\d{2})(?![0-9A-Z])", "an order (12 digits, '_' and 2 digits)"),
                _part("part", r"_(P\d{3})(?![0-9A-Z])", "a part", optional=True),
            ),
        ),
    },
}
#: Files that are called alike in every order: the licence (NEXTVIEW.TXT, INTERNAL.TXT, EDUCATIONAL.TXT, …) and what
#: was delivered. Only the order's folder tells them apart.
_NAMELESS = re.compile(r"(?:(DeliveryMetadata\.xml)|[A-Z]{3,20}\.txt)", re.IGNORECASE | re.ASCII)
_ORDER_FOLDER = re.compile(r"(\d{12}_\d{2})(?:_(P\d{3})_[A-Z]{3,5}|_\d{3})?", re.IGNORECASE | re.ASCII)


def read_strip(name: str, grammar: str) -> dict[str, str]:
    """The parts of a strip's file name as they are written, with ``form``, ``role``, ``tail`` and ``ending``.

    ``vendor`` is the name that the vendor gave. ``grammar`` is a key of the forms above: ``nga`` or ``maxar``.

    >>> parts = read_strip("WV02_10APR231908590-M2AS_R1C1-1030010005C7AF00.xml", "nga")
    >>> parts["form"], parts["sensor"], parts["product"], parts["tile"], parts["catalog"], parts["role"]
    ('renamed_dg2', 'WV02', 'M2AS', 'R1C1', '1030010005C7AF00', 'metadata')
    >>> read_strip("01APR12OV05010005V120401M0011531714A222000100272M_000842666___GA_E0AAAAAAJABA0.ntf", "nga")["code"]
    'GA_E0AAAAAAJABA0'
    >>> read_strip("WV02_20100804_1030010006A15800.ntf", "nga")
    Traceback (most recent call last):
    orbitory.errors.DataError: unrecognised: not a strip name: expected the sensing time (YYYYMMDDHHMMSS) and '_' or \
the vendor's time (YYMMMDDHHMMSS and tenths) and '-' or the date (YYMMDD) or an image id of 28 digits and '_', \
found '20100804_1030010006A15800.ntf'

    Raises DataError ``unrecognised`` that says what was expected where the best fitting form ends.
    """
    folders, _, base = name.rpartition("/")
    if grammar == "maxar" and (nameless := _NAMELESS.fullmatch(base)):
        return _nameless(folders, base, "delivery" if nameless[1] else "licence")
    furthest, expected = 0, list[str]()
    for form, shape in _FORMS[grammar].items():
        parts: dict[str, str] = {}
        start, missing = _walk(base, 0, shape.before, parts)
        end, missing = (start, missing) if missing else _walk(base, start, shape.vendor, parts)
        at, missing = (end, missing) if missing else _walk(base, end, shape.behind, parts)
        if missing is None:
            role, tail, ending = file_role(base[at:])
            known = {"form": form, "role": role, "tail": tail, "ending": ending}
            return {"vendor": base[start:end].rstrip("_"), **parts, **known}
        if at > furthest:
            furthest, expected = at, []
        if at == furthest and missing.meaning not in expected:
            expected.append(missing.meaning)
    found = base[furthest : furthest + 60] or "nothing"
    raise DataError("unrecognised", f"not a strip name: expected {' or '.join(expected)}, found {found!r}")


def _walk(text: str, at: int, parts: tuple[_Part, ...], values: dict[str, str]) -> tuple[int, _Part | None]:
    """Read ``parts`` from ``at`` on into ``values``; returns where it ended, and the part that is not there."""
    for part in parts:
        if match := part.pattern.match(text, at):
            values[part.key] = match[1]
            at = match.end()
        elif not part.optional:
            return at, part
    return at, None


def _nameless(folders: str, base: str, role: str) -> dict[str, str]:
    for folder in reversed(folders.split("/")):
        if match := _ORDER_FOLDER.fullmatch(folder):
            known = {"form": "order", "role": role, "tail": "", "ending": base.rpartition(".")[2].lower()}
            return {"vendor": folder, "order": match[1], "part": match[2] or "", **known}
    raise DataError(
        "unrecognised", f"not a strip name: {base!r} stands in every order and tells nothing outside its order folder"
    )
