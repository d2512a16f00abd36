"""The catalogue: sources and product types as TOML files that a data manager edits.

Read strictly, and file by file: what is wrong in one disables that source (or the sources that use that product type)
and is told with file, line and key; the others go on.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orbitory.definitions import STRIP_CODE, Classification, ProductType, Refused, Source
from orbitory.errors import ConfigurationError

__all__ = ["Catalogue", "Problem", "ProductType", "Source", "load"]

_Model = TypeVar("_Model", Source, ProductType)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What the archive holds and where it comes from. ``sources`` are only those that can be used."""

    sources: Mapping[str, Source]
    products: Mapping[str, ProductType]
    problems: tuple[Problem, ...] = ()

    def source(self, name: str) -> Source:
        """The source of that name. Raises ConfigurationError when it is unknown or disabled, and says why."""
        if name in self.sources:
            return self.sources[name]
        if reasons := [str(problem) for problem in self.problems if name in problem.disables]:
            raise ConfigurationError(
                f"source {name!r} is disabled: {'; '.join(reasons)}. Correct it, then run `orbitory catalogue check`"
            )
        known = ", ".join(sorted(self.sources)) or "none"
        raise ConfigurationError(
            f"there is no source {name!r}; the catalogue has {known}{_meant(name, self.sources, '. ')}"
        )

    def product_type(self, name: str) -> ProductType:
        """The product type of that name. Raises ConfigurationError when there is none."""
        if name in self.products:
            return self.products[name]
        raise ConfigurationError(f"there is no product type {name!r}{_meant(name, self.products, '; ')}")

    def types_of(self, source: Source) -> tuple[ProductType, ...]:
        """The product types that ``source`` may deliver, in the order in which it lists them."""
        return tuple(self.products[name] for name in source.products)

    def find_product(self, source: Source, product_id: str) -> ProductType | None:
        """The product type of ``source`` that holds ``product_id``, by its whole or by the letter of a strip's code."""
        letter = product_id[0] if STRIP_CODE.fullmatch(product_id) else None
        return next((each for each in self.types_of(source) if product_id in each.ids or letter in each.letters), None)

    def sensors_of(self, source: Source) -> list[str]:
        """Every sensor by which the work of ``source`` can be partitioned, in alphabetical order."""
        return sorted({sensor for each in self.types_of(source) for sensor in (each.sensor, *each.sensors)})

    def classification(self, source: Source, product_type: ProductType) -> Classification:
        """Who may see a product of ``source``: the product type's word, else the source's."""
        return product_type.classification or source.classification

    def keep_days(self, source: Source, product_type: ProductType) -> int:
        """Days until a product of ``source`` expires, 0 for never: the product type's word, else the source's."""
        return source.keep_days if product_type.keep_days is None else product_type.keep_days


def load(folder: Path) -> Catalogue:
    """Read ``sources/*.toml`` and ``products/*.toml`` below ``folder``.

    Problems are kept in the result. Raises ConfigurationError only when the folders themselves cannot be read.
    """
    products, product_problems = _read(folder, "products", ProductType)
    sources, problems = _read(folder, "sources", Source)
    problems = [replace(each, disables=(Path(each.file).stem,)) for each in problems]
    broken: dict[str, list[str]] = defaultdict(list)
    for source in sources.values():
        for name in source.products:
            broken[f"products/{name}.toml"].append(source.name)
    problems += [replace(each, disables=tuple(broken[each.file])) for each in product_problems]
    known = {Path(each.file).stem for each in product_problems} | set(products)
    problems += _shared_landings(sources.values())
    for source in sources.values():
        problems += _wrong_products(source, products, known)
    disabled = {name for problem in problems for name in problem.disables}
    return Catalogue(
        sources={name: source for name, source in sources.items() if name not in disabled},
        products=products,
        problems=tuple(sorted(problems, key=lambda each: (each.file, each.key))),
    )


def _read(folder: Path, kind: str, model: type[_Model]) -> tuple[dict[str, _Model], list[Problem]]:
    """Every file of one kind that is right in itself, and the problems of the others."""
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
        shown, text = f"{kind}/{file.name}", ""
        try:
            text = file.read_text(encoding="utf-8")
            value = model.model_validate(tomllib.loads(text))
        except OSError as error:
            problems.append(Problem(file=shown, key="", message=f"cannot be read: {error.strerror}"))
        except ValidationError as error:
            problems += [_explain(shown, each, model, text) for each in error.errors()]
        except ValueError as error:  # not TOML, or not UTF-8
            problems.append(Problem(file=shown, key="", message=f"is not valid TOML: {error}"))
        else:
            if value.name == file.stem:
                values[value.name] = value
            else:
                message = f"expected {file.stem!r} as the file is called, got {value.name!r}"
                problems.append(Problem(file=shown, key="name", message=message))
    return values, problems


def _explain(file: str, error: ErrorDetails, model: type[BaseModel], text: str) -> Problem:
    """Turn what pydantic reports into what a data manager understands."""
    path = [part for part in error["loc"] if isinstance(part, str) and part != "[key]"]
    key, got = ".".join(path), f"got {_short(error['input'])}"
    hint = ""
    match error["type"]:
        case "missing":
            message = "this key is required"
        case "extra_forbidden":
            message, hint = "unknown key", _meant(path[-1], _keys_beside(model, path))
        case "literal_error":
            expected = error["ctx"]["expected"]
            message, hint = (
                f"expected {expected}, {got}",
                _meant(str(error["input"]), re.findall(r"'([^']*)'", expected)),
            )
        case "value_error":
            refused = error["ctx"]["error"]
            message, hint = str(refused), refused.hint if isinstance(refused, Refused) else ""
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


def _shared_landings(sources: Iterable[Source]) -> list[Problem]:
    """Two sources must not take each other's files: which of them is wrong only a person knows, so both stop."""
    owners: dict[str, list[str]] = defaultdict(list)
    for source in sources:
        owners[source.landing.casefold()].append(source.name)
    return [
        Problem(
            file=f"sources/{name}.toml",
            key="landing",
            message=f"{', '.join(names)} share one landing folder",
            hint="give each source a folder of its own",
            disables=(name,),
        )
        for names in owners.values()
        if len(names) > 1
        for name in names
    ]


def _wrong_products(source: Source, products: Mapping[str, ProductType], known: set[str]) -> list[Problem]:
    """Product types that ``source`` lists but that do not exist, contradict each other, or do not suit its grammar."""

    def problem(message: str, hint: str = "") -> Problem:
        return Problem(
            file=f"sources/{source.name}.toml", key="products", message=message, hint=hint, disables=(source.name,)
        )

    found = [
        problem(f"there is no file products/{name}.toml", _meant(name, products))
        for name in source.products
        if name not in known
    ]
    owner: dict[str, str] = {}
    for name in source.products:
        kind = products.get(name)
        claims = (
            [f"product id {each}" for each in kind.ids] + [f"letter {each}" for each in kind.letters] if kind else []
        )
        for claim in claims:
            if owner.setdefault(claim, name) != name:
                found.append(problem(f"{claim} stands in both {owner[claim]} and {name}"))
    if source.grammar == "any" and len(source.products) > 1:
        found.append(problem(f"grammar 'any' cannot tell {len(source.products)} product types apart: list one"))
    return found


def _meant(word: str, known: Iterable[str], before: str = "") -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"{before}did you mean {close[0]!r}?" if close else ""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
