"""The form that comes with every uploaded file: what it is, whose it is, how long to keep it (docs/upload.md).

Written here; read, as foreign bytes, in the isolated child alone (``extract.upload``).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree

#: ``<file name>.upload.xml`` stands beside the file.
ENDING = ".upload.xml"
VERSION = "1"
#: Bytes of the largest form that is read.
FORM_BYTES = 65_536
#: Two repeat cycles of 17 days, as GRAVITE keeps uploads (NASA Tech Briefs, GSC-16828).
DEFAULT_EXPIRES = "34d"
#: As ``definitions.Classification``, from anyone to the fewest; the isolated child does not load the catalogue.
CLASSES = ("unrestricted", "proprietary", "licensed", "itar")
#: Elements in the order in which they are written → whether a form must hold them.
ELEMENTS = {
    "file": True,
    "size": True,
    "type": True,
    "expires": True,
    "class": False,
    "sender": True,
    "created": True,
    "sha256": False,
    "title": False,
    "comment": False,
}

_LONGEST_DAYS = 36_500
_DURATION = re.compile(r"([1-9][0-9]{0,4})([dw])")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})")
_DAYS = {"d": 1, "w": 7}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MOST = {"file": 200, "sender": 100, "title": 200, "comment": 2000}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadForm:
    """What the sender of one file says of it. ValueError when it cannot be meant."""

    #: The file's own name, without folder.
    file: str
    #: Bytes.
    size: int
    product_type: str
    #: Days from archiving until expiry.
    keep_days: int
    sender: str
    #: When it was sent.
    created: datetime
    #: One of ``CLASSES``; None leaves it to the archive, which then takes the most restricted.
    classification: str | None = None
    #: Lower-case hex digits.
    sha256: str | None = None
    title: str = ""
    comment: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, or cannot be written."""
        for name in _MOST:
            check_text(name, getattr(self, name))
        for name in ("file", "sender", "product_type"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty")
        if "/" in self.file:
            raise ValueError(f"file is {self.file!r}: expected a name without folder")
        if self.size < 1:
            raise ValueError(f"size is {self.size}: expected a number of bytes above 0")
        if not 1 <= self.keep_days <= _LONGEST_DAYS:
            raise ValueError(f"expires is {self.keep_days} days: expected 1 to {_LONGEST_DAYS}")
        if self.created.utcoffset() is None:
            raise ValueError(f"created is {self.created.isoformat()}: expected a time with its zone, such as Z")
        check_class(self.classification)
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 is {self.sha256[:80]!r}: expected 64 lower-case hex digits")


def check_text(name: str, value: str) -> None:
    """ValueError when ``value`` is too long for the element ``name``, or holds what XML 1.0 cannot."""
    if len(value) > _MOST[name]:
        raise ValueError(f"{name} has {len(value)} characters, at most {_MOST[name]} are accepted")
    if wrong := _NOT_XML.search(value):
        raise ValueError(f"{name} holds U+{ord(wrong[0]):04X}, which no XML form can carry")
    if name != "comment" and ("\n" in value or "\r" in value):
        raise ValueError(f"{name} has more than one line")


def check_class(value: str | None) -> None:
    """ValueError when ``value`` is neither one of ``CLASSES`` nor None."""
    if value is not None and value not in CLASSES:
        raise ValueError(f"class is {value!r}: expected {', '.join(CLASSES)}{_meant(value, CLASSES)}")


def days_of(duration: str) -> int:
    """Days or weeks as days. Raises ValueError.

    >>> days_of("34d"), days_of("2w")
    (34, 14)
    """
    match = _DURATION.fullmatch(duration)
    days = int(match[1]) * _DAYS[match[2]] if match else 0
    if not 1 <= days <= _LONGEST_DAYS:
        raise ValueError(f"expires is {duration[:40]!r}: expected days or weeks, such as 34d or 2w, at least 1d")
    return days


def refusal(product_type: str, keep_days: int, limits: Mapping[str, int]) -> str | None:
    """Why the archive does not take this; None when it does. ``limits``: type → most days, 0 for no limit."""
    if product_type not in limits:
        known = ", ".join(sorted(limits))
        return f"type is {product_type[:80]!r}: expected {known}{_meant(product_type, limits)}"
    most = limits[product_type]
    if most and keep_days > most:
        return f"expires is {keep_days} days: {product_type} is kept for at most {most}"
    return None


def written(form: UploadForm) -> bytes:
    """The form as XML."""
    root = ElementTree.Element("upload", version=VERSION)
    values = {
        "file": form.file,
        "size": str(form.size),
        "type": form.product_type,
        "expires": f"{form.keep_days}d",
        "class": form.classification or "",
        "sender": form.sender,
        "created": form.created.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "sha256": form.sha256 or "",
        "title": form.title,
        "comment": form.comment,
    }
    for name in ELEMENTS:
        if values[name]:
            ElementTree.SubElement(root, name).text = values[name]
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def from_texts(texts: Mapping[str, str]) -> UploadForm:
    """The form whose elements hold ``texts``. Raises ValueError that names the element."""
    if missing := [name for name, needed in ELEMENTS.items() if needed and name not in texts]:
        raise ValueError(f"lacks {', '.join(missing)}")
    value = {name: text if name == "file" else text.strip() for name, text in texts.items()}
    if not re.fullmatch(r"[0-9]{1,18}", value["size"]):
        raise ValueError(f"size is {value['size'][:40]!r}: expected a number of bytes")
    try:
        created = _moment(value["created"])
    except (ValueError, OverflowError):
        raise ValueError(
            f"created is {value['created'][:40]!r}: expected a time such as 2024-02-10T12:00:00Z"
        ) from None
    return UploadForm(
        file=value["file"],
        size=int(value["size"]),
        product_type=value["type"],
        keep_days=days_of(value["expires"]),
        sender=value["sender"],
        created=created,
        classification=value.get("class"),
        sha256=value["sha256"].lower() if "sha256" in value else None,
        title=value.get("title", ""),
        comment=value.get("comment", ""),
    )


def _moment(text: str) -> datetime:
    """What the schema takes for a time; ``fromisoformat`` also reads weeks, and drops digits where none belong."""
    if not _MOMENT.fullmatch(text):
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    moment.astimezone(UTC)  # the first and the last day of all time have no other zone
    return moment


def _meant(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
