"""Rules by which granules are chosen for removal: conditions joined by ``and``, each about one field.

What is not known fulfils no condition, whatever it asks for: nothing is removed because something about it is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from orbitory.errors import ConfigurationError
from orbitory.search import read_time

#: Fields by what they are compared as. Each is read by ``removal_choose_ruled`` in inventory/removal_plan.sql.
TEXTS = (
    *("source", "product", "sensor", "platform", "collection", "classification", "key", "version", "superseded"),
    *("strip_id", "scene_id", "catalog_id", "order_id", "prod_code", "spec_type", "name_form", "footprint", "verdict"),
)
NUMBERS = ("year", "orbit", "area_km2", "cloudcover", "off_nadir", "sun_elev", "prod_gsd")
TIMES = ("sensed", "created", "stored", "expires")
FIELDS = (*TEXTS, *NUMBERS, *TIMES)

#: Where the value may lie, seen from the one that is asked for: below, at it, above.
_SIGNS = {"=": [0], "!=": [-1, 1], "<": [-1], "<=": [-1, 0], ">": [1], ">=": [0, 1], "~": [0]}
_CONDITION = re.compile(
    r"""\s*(?P<field>\w+)\s*(?P<op><=|>=|!=|=|<|>|~)\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s"]+))\s*"""
)
_AND = re.compile(r"and(?=\s)", re.IGNORECASE)
_LONGEST = 4_000


def parse(rule: str) -> list[dict[str, Any]]:
    """The conditions of a rule, as the inventory takes them. Raises ConfigurationError that says where it goes wrong.

    >>> [each["field"] for each in parse('sensor = WV02 and cloudcover > 0.9 and key ~ "strip/09DEC*"')]
    ['sensor', 'cloudcover', 'key']
    """
    if len(rule) > _LONGEST:
        raise ConfigurationError(f"the rule has {len(rule)} letters: at most {_LONGEST} are read")
    return list(_conditions(rule))


def _conditions(rule: str) -> Iterator[dict[str, Any]]:
    at = 0
    while True:
        found = _CONDITION.match(rule, at)
        if found is None:
            raise _wrong(rule, at, 'a condition such as: sensor = WV02, cloudcover > 0.9, key ~ "strip/09DEC*"')
        quoted = found["quoted"]
        yield _condition(found["field"], found["op"], found["bare"] if quoted is None else quoted)
        at = found.end()
        if at == len(rule):
            return
        joined = _AND.match(rule, at)
        if joined is None:
            raise _wrong(rule, at, "`and` or the end of the rule (a value with spaces in it needs quotes)")
        at = joined.end()


def _wrong(rule: str, at: int, expected: str) -> ConfigurationError:
    return ConfigurationError(
        f"the rule cannot be read at {rule[at : at + 30]!r}, letter {at + 1}: expected {expected}"
    )


def _condition(field: str, op: str, value: str) -> dict[str, Any]:
    if field not in FIELDS:
        raise ConfigurationError(f"a rule knows no field {field!r}: it may ask for {', '.join(FIELDS)}")
    condition: dict[str, Any] = {"field": field, "signs": _SIGNS[op], "alike": op == "~"}
    if field in TEXTS:
        if op in ("<", "<=", ">", ">="):
            raise ConfigurationError(f"{field} {op} {value}: {field} is text, which is compared by =, != and ~ alone")
        return condition | {"text": _pattern(value) if op == "~" else value}
    if op == "~":
        raise ConfigurationError(f"{field} ~ {value}: only text is compared by ~")
    if field in TIMES:
        return condition | {"time": read_time(value).isoformat()}
    if not re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", value, re.ASCII):
        raise ConfigurationError(f"{field} {op} {value}: {value!r} is no number")
    return condition | {"number": float(value)}


def _pattern(text: str) -> str:
    r"""``*`` and ``?`` as LIKE writes them.

    >>> _pattern("a_b*?%")
    'a\\_b%_\\%'
    """
    plain = re.sub(r"([\\%_])", r"\\\1", text)
    return plain.replace("*", "%").replace("?", "_")
