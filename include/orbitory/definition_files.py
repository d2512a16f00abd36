"""Folders of definitions, one TOML file each: read strictly, and file by file.

What is wrong in one is told with file, line and key in words that a data manager understands; the others are read.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orbitory.definitions import ProductType, Refused, Retention, Source
from orbitory.errors import ConfigurationError
from orbitory.pge_definition import Pge

_Model = TypeVar("_Model", Source, ProductType, Pge)
_Any = TypeVar("_Any", Source, ProductType, Pge, Retention)

#: What a person would call the type that pydantic expected.
_EXPECTED = {
    "tuple_type": "a list",
    "model_type": "a table",
    "mapping_type": "a table",
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "too_short": "at least one entry",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in the catalogue that a person must change."""

    #: Relative to the catalogue folder.
    file: str
    #: Dotted, for example ``completeness.grace_hours``; empty when the whole file is meant.
    key: str
    message: str
    hint: str = ""
    #: Sources that cannot be used until it is solved.
    disables: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for people."""
        where = f"{self.file}, {self.key}" if self.key else self.file
        return f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


def read_folder(folder: Path, kind: str, model: type[_Model]) -> tuple[dict[str, _Model], list[Problem]]:
    """Every file of one kind that is right in itself, and the problems of the others.

    Raises ConfigurationError when the folder itself cannot be read.
    """
    try:
        files = sorted(file for file in (folder / kind).iterdir() if file.suffix == ".toml" and file.name[0] != ".")
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the catalogue folder {folder / kind}: {error.strerror}; "
            "ORBITORY_CATALOGUE must name the folder that holds sources/ and products/"
        ) from error
    values: dict[str, _Model] = {}
    problems: list[Problem] = []
    for file in files:
        shown = f"{kind}/{file.name}"
        value, wrong = read_file(file, shown, model)
        problems += wrong
        if value is not None and value.name == file.stem:
            values[value.name] = value
        elif value is not None:
            message = f"expected {file.stem!r} as the file is called, got {value.name!r}"
            problems.append(Problem(file=shown, key="name", message=message))
    return values, problems


def read_file(file: Path, shown: str, model: type[_Any]) -> tuple[_Any | None, list[Problem]]:
    """What one file says, or what is wrong with it; ``shown``: how problems call it."""
    text = ""
    try:
        text = file.read_text(encoding="utf-8")
        return model.model_validate(tomllib.loads(text)), []
    except OSError as error:
        return None, [Problem(file=shown, key="", message=f"cannot be read: {error.strerror}")]
    except ValidationError as error:
        return None, [_explain(shown, each, model, text) for each in error.errors() if not _is_echo(each)]
    except ValueError as error:  # not TOML, or not UTF-8
        return None, [Problem(file=shown, key="", message=f"is not valid TOML: {error}")]


def _is_echo(error: ErrorDetails) -> bool:
    """A list whose entries are wrong counts as too short besides: that is no problem of its own."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _explain(file: str, error: ErrorDetails, model: type[BaseModel], text: str) -> Problem:
    """Turn what pydantic reports into what a data manager understands."""
    path = [part for part in error["loc"] if isinstance(part, str) and part != "[key]"]
    key, got = ".".join(path), f"got {_short(error['input'])}"
    hint = ""
    match error["type"]:
        case "missing":
            message = "this key is required"
        case "extra_forbidden":
            message, hint = "unknown key", meant(path[-1], _keys_beside(model, path))
        case "literal_error":
            expected = error["ctx"]["expected"]
            message, hint = (
                f"expected {expected}, {got}",
                meant(str(error["input"]), re.findall(r"'([^']*)'", expected)),
            )
        case "value_error":
            refused = error["ctx"]["error"]
            message, hint = str(refused), refused.hint if isinstance(refused, Refused) else ""
        case "too_short" if error["ctx"]["min_length"] > 1:
            message = f"expected at least {error['ctx']['min_length']} entries, {got}"
        case kind if kind in _EXPECTED:
            message = f"expected {_EXPECTED[kind]}, {got}"
        case _:
            message = f"{error['msg'].replace('Input should be', 'expected')}, {got}"
    line = _line_of(path, text)
    return Problem(file=file, key=key, message=f"line {line}: {message}" if line else message, hint=hint)


def _keys_beside(model: type[BaseModel], path: list[str]) -> Iterable[str]:
    """The keys that may stand where ``path`` ends."""
    for part in path[:-1]:
        annotation = model.model_fields[part].annotation
        if get_origin(annotation) is tuple:  # a list of tables
            annotation = get_args(annotation)[0]
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel), "only tables forbid keys"
        model = annotation
    return model.model_fields


def _line_of(path: list[str], text: str) -> int | None:
    """The line on which the key stands; None when it is absent or written in another form than ``key = value``."""
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("["):
            table = line.partition("]")[0].strip("[ ").split(".")
            if table == path:
                return number
        elif [*table, line.partition("=")[0].strip(" \t\"'")] == path:
            return number
    return None


def meant(word: str, known: Iterable[str], before: str = "") -> str:
    """What a person may have meant by ``word``, as a hint; empty when nothing known is near."""
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"{before}did you mean {close[0]!r}?" if close else ""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
