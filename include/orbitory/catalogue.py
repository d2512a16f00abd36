"""The catalogue: sources, product types and PGEs as TOML files that a data manager edits.

Read strictly, and file by file: what is wrong in one disables that source or PGE (or the sources that use that product
type) and is told with file, line and key; the others go on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from orbitory.definition_files import Problem, meant, read_file, read_folder
from orbitory.definitions import STRIP_CODE, Classification, ProductType, Retention, Source
from orbitory.errors import ConfigurationError
from orbitory.pge_definition import Pge

__all__ = ["Catalogue", "Pge", "Problem", "ProductType", "Retention", "Source", "load"]

#: The source through which comes back what PGEs made.
_OUTPUTS = "pge"
_RETENTION = "retention.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What the archive holds, where it comes from, what is made of it. Only what can be used: the rest has problems."""

    sources: Mapping[str, Source]
    products: Mapping[str, ProductType]
    problems: tuple[Problem, ...] = ()
    #: Those that can be planned and run, also when they are not enabled.
    pges: Mapping[str, Pge] = field(default_factory=dict)
    #: None: its file is broken, so nothing may be taken to have expired.
    retention: Retention | None = field(default_factory=Retention)

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
            f"there is no source {name!r}; the catalogue has {known}{meant(name, self.sources, '. ')}"
        )

    def product_type(self, name: str) -> ProductType:
        """The product type of that name. Raises ConfigurationError when there is none."""
        if name in self.products:
            return self.products[name]
        raise ConfigurationError(f"there is no product type {name!r}{meant(name, self.products, '; ')}")

    def pge(self, name: str) -> Pge:
        """The PGE of that name. Raises ConfigurationError when it is unknown or broken, and says why."""
        if name in self.pges:
            return self.pges[name]
        if reasons := [str(problem) for problem in self.problems if problem.file == f"pges/{name}.toml"]:
            raise ConfigurationError(f"PGE {name!r} is disabled: {'; '.join(reasons)}")
        raise ConfigurationError(
            f"there is no PGE {name!r} that can be used{meant(name, self.pges, '; ')}; see `orbitory catalogue check`"
        )

    def keeping(self) -> Retention:
        """How long is kept what no source or product type rules. Raises ConfigurationError when its file is broken."""
        if self.retention is not None:
            return self.retention
        reasons = "; ".join(str(problem) for problem in self.problems if problem.file == _RETENTION)
        raise ConfigurationError(f"nothing is taken to have expired while the catalogue is in doubt: {reasons}")

    def product_ids(self, product: str, codes: Iterable[str] = ()) -> tuple[str, ...]:
        """The product ids that a PGE means by ``product``: of a product type all that it lists, and its own name.

        Of a type of strips also those of ``codes`` that begin with one of its letters: nobody can list all codes.
        """
        kind = self.products.get(product)
        if kind is None:
            return (product,)
        strips = sorted(code for code in codes if STRIP_CODE.fullmatch(code) and code[0] in kind.letters)
        return (*kind.ids, kind.name, *strips)

    def type_of_product(self, product: str) -> ProductType | None:
        """The product type called so, or one that holds this product id or strip code; None when nobody does."""
        letter = product[0] if STRIP_CODE.fullmatch(product) else None
        holders = (each for each in self.products.values() if product in each.ids or letter in each.letters)
        return self.products.get(product) or next(holders, None)

    def sources_of_kinds(self, product: str) -> set[str]:
        """Sources of this type in which names tell no product: granules carry the kind of their bytes instead."""
        return {each.name for each in self.sources.values() if each.grammar == "any" and product in each.products}

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
    """Read ``sources/*.toml``, ``products/*.toml`` and, where there are any, ``pges/*.toml`` below ``folder``.

    Problems are kept in the result. Raises ConfigurationError only when the folders themselves cannot be read.
    """
    products, product_problems = read_folder(folder, "products", ProductType)
    sources, problems = read_folder(folder, "sources", Source)
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
    pges, more = read_folder(folder, "pges", Pge) if (folder / "pges").is_dir() else ({}, [])
    unfit = set()
    made = set(sources[_OUTPUTS].products) if _OUTPUTS in sources else known
    for pge in pges.values():
        found = [*_wrong_inputs(pge, products, known), *_wrong_outputs(pge, products, known, made)]
        unfit |= {pge.name} if found else set()
        # What nobody delivers may stand in a product file that is broken, which is told already.
        more += [each for each in found if known == set(products) or each.key != "inputs.products"]
    problems += more
    disabled = {name for problem in problems for name in problem.disables}
    retention: Retention | None = Retention()
    if (folder / _RETENTION).exists():
        retention, wrong = read_file(folder / _RETENTION, _RETENTION, Retention)
        problems += wrong
    return Catalogue(
        sources={name: source for name, source in sources.items() if name not in disabled},
        products=products,
        problems=tuple(sorted(problems, key=lambda each: (each.file, each.key))),
        pges={name: pge for name, pge in pges.items() if name not in unfit},
        retention=retention,
    )


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
        problem(f"there is no file products/{name}.toml", meant(name, products))
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


def _wrong_inputs(pge: Pge, products: Mapping[str, ProductType], known: set[str]) -> list[Problem]:
    """Products that it takes and nobody delivers."""
    whole, found = Catalogue(sources={}, products=products), []
    ids = [*products, *(each for kind in products.values() for each in kind.ids)]
    for each in pge.inputs:
        for product in dict.fromkeys(product for choice in each.choices for product in choice):
            if whole.type_of_product(product) is None and product not in known:
                message = f"input {each.name!r}: nobody delivers the product {product!r}"
                found.append(Problem(file=_file(pge), key="inputs.products", message=message, hint=meant(product, ids)))
    return found


def _wrong_outputs(pge: Pge, products: Mapping[str, ProductType], known: set[str], made: set[str]) -> Iterator[Problem]:
    """Product types that it makes and that do not exist, or that what it delivers may not hold (``made``)."""
    for output in pge.outputs:
        message, hint = "", meant(output.product, sorted(made & set(products)))
        if output.product not in known:
            message = f"there is no file products/{output.product}.toml"
        elif output.product not in made:
            message = f"the product type {output.product!r} is not listed in sources/{_OUTPUTS}.toml"
            hint = hint or "every run would be refused: list it there"
        if message:
            message = f"output {output.name!r}: {message}"
            yield Problem(file=_file(pge), key="outputs.product", message=message, hint=hint)


def _file(pge: Pge) -> str:
    return f"pges/{pge.name}.toml"
