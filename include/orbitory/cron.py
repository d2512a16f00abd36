"""Cron expressions of five fields: the common subset that every cron agrees on."""

from __future__ import annotations

import re
from collections.abc import Mapping

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: number for number, name in enumerate(_DAY_NAMES)}
#: Field, lowest and highest value, names.
_FIELDS: tuple[tuple[str, int, int, Mapping[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _DAYS),
)
_LONGEST = {month: 29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31 for month in range(1, 13)}
_ITEM = re.compile(
    r"(?:\*|(?P<first>[a-z]{3}|[0-9]{1,2})(?:-(?P<last>[a-z]{3}|[0-9]{1,2}))?)(?:/(?P<step>[0-9]{1,2}))?"
)


def check_cron(expression: str) -> str | None:
    """What is wrong with ``expression``, or None.

    >>> check_cron("*/10 * * * mon-fri")
    >>> check_cron("61 * * * *")
    "minute '61' is not in 0 to 59"
    >>> check_cron("0 0 30 2 *")
    'no listed month has such a day'
    """
    parts = expression.lower().split()
    if len(parts) != len(_FIELDS):
        return f"expected five fields (minute, hour, day of month, month, day of week), found {len(parts)}"
    values: list[set[int]] = []
    for text, (field, low, high, names) in zip(parts, _FIELDS, strict=True):
        chosen: set[int] = set()
        for item in text.split(","):
            numbers = _expand(item, low, high, names)
            if not numbers:
                return f"{field} {item!r} is not in {low} to {high}"
            chosen |= numbers
        values.append(chosen)
    _, _, days, months, _ = values
    if parts[4] == "*" and min(days) > max(_LONGEST[month] for month in months):
        return "no listed month has such a day"
    return None


def _expand(item: str, low: int, high: int, names: Mapping[str, int]) -> set[int]:
    """The values of ``*``, ``a``, ``a-b``, ``*/n`` or ``a-b/n``; empty when it is none of these."""
    match = _ITEM.fullmatch(item)
    if not match:
        return set()
    first, last = (
        _number(match["first"], low, names),
        _number(match["last"] or match["first"], high, names),
    )
    step = int(match["step"] or 1)
    if match["step"] and match["first"] and not match["last"]:
        return set()
    if not low <= first <= last <= high or not 1 <= step <= high:
        return set()
    return set(range(first, last + 1, step))


def _number(text: str | None, default: int, names: Mapping[str, int]) -> int:
    if text is None:
        return default
    return int(text) if text.isdigit() else names.get(text, -1)
