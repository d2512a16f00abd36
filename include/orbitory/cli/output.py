"""What the command line writes: JSON or plain tables on standard output, messages on standard error, no secrets."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

_PASSWORDS = (
    (re.compile(r"(://[^\s:/@]*):[^\s@]*@"), r"\1:***@"),
    (re.compile(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)", re.I), r"\1***"),
)
#: Shorter ones would blank out parts of ordinary words.
_SHORTEST_SECRET = 3


def write_json(document: object) -> None:
    """One JSON document, ASCII only, so that no foreign name can steer a terminal."""
    json.dump(document, sys.stdout, default=_plain, indent=1 if sys.stdout.isatty() else None)
    sys.stdout.write("\n")


def write_json_array(items: Iterable[object]) -> None:
    """One JSON array, written while it is read."""
    separator = "["
    for item in items:
        sys.stdout.write(f"{separator}{json.dumps(item, default=_plain)}")
        separator = ",\n"
    sys.stdout.write("[]\n" if separator == "[" else "]\n")


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def moment(value: datetime | None) -> str:
    """A time in UTC as ISO 8601; empty for none."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value is not None else ""


def write_lines(lines: Iterable[str]) -> None:
    """Lines of text for people; unprintable characters are shown as escapes."""
    sys.stdout.writelines(f"{printable(line)}\n" for line in lines)


def write_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A plain table for people; nothing but its head when there are no rows."""
    cells = [[printable("" if cell is None else str(cell)) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


def write_pairs(pairs: Mapping[str, object]) -> None:
    """Names and values, one a line."""
    width = max((len(name) for name in pairs), default=0)
    write_lines(f"{name.ljust(width)}  {value}" for name, value in pairs.items())


def printable(text: str) -> str:
    r"""The text as one harmless line.

    >>> printable("a\nb\x1b[31m\u202ec")
    'a\\nb\\x1b[31m\\u202ec'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def say(message: str) -> None:
    """A message for people, on standard error."""
    for line in redact(message).splitlines():
        sys.stderr.write(f"orbitory: {printable(line)}\n")
    sys.stderr.flush()


def redact(text: str) -> str:
    """The text without passwords: those of URIs in it, and those this process was given.

    >>> redact("cannot reach postgresql://me:s3cret@host/db?password=s3cret")
    'cannot reach postgresql://me:***@host/db?password=***'
    """
    for secret in _secrets(os.environ):
        text = text.replace(secret, "***")
    for pattern, instead in _PASSWORDS:
        text = pattern.sub(instead, text)
    return text


def _secrets(environment: Mapping[str, str]) -> list[str]:
    found = {environment.get("PGPASSWORD", "")}
    for name in environment:
        if not (name.startswith("ORBITORY_") and name.endswith("_DATABASE")):
            continue
        uri = environment[name]
        found |= set(re.findall(r"://[^:/@?]*:([^/?]*)@", uri))
        found |= {value.strip("'") for value in re.findall(r"password\s*=\s*('[^']*'|[^\s&]+)", uri)}
    found |= {unquote(secret) for secret in found}
    return sorted((secret for secret in found if len(secret) >= _SHORTEST_SECRET), key=len, reverse=True)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


def follow_log(*, verbose: bool) -> None:
    """Let what the steps log reach standard error: warnings, or everything they tell."""
    logger = logging.getLogger("orbitory")
    logger.handlers = [_Handler()]
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    logger.propagate = False


def amount(size: float) -> str:
    """Bytes for people.

    >>> amount(0), amount(1536), amount(5 << 40)
    ('0 B', '1.5 KiB', '5.0 TiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def age(seconds: float | None) -> str:
    """A duration for people.

    >>> age(40), age(5400), age(200_000), age(None)
    ('40 s', '1.5 h', '2.3 d', '')
    """
    if seconds is None:
        return ""
    for least, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= least:
            return f"{seconds / least:.1f} {unit}"
    return f"{seconds:.0f} s"


def listed(counts: Mapping[str, Any]) -> str:
    """Counts by word on one line.

    >>> listed({"size": 2, "name": 1})
    'size 2, name 1'
    """
    return ", ".join(f"{word} {count}" for word, count in counts.items())
