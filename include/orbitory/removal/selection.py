"""What a removal is about: duplicates that an evaluation has put aside, names, a rule, or what has expired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from orbitory.errors import ConfigurationError
from orbitory.mfp import Parameters
from orbitory.mfp.paths import NoSuchPair, to_linux
from orbitory.removal.rules import parse

Kind = Literal["duplicates", "list", "rule", "expired"]
_MOST_NAMES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which granules are asked for; what is really removed is for ``plan`` to find out."""

    kind: Kind = "duplicates"
    #: Only these; none: all.
    sensors: tuple[str, ...] = ()
    #: Of a list: keys of granules; files by path (in storage, on Linux, on Windows) or by the name they came with.
    names: tuple[str, ...] = ()
    #: See ``rules``.
    rule: str = ""
    #: Of what has expired: only these product ids; none: all.
    products: tuple[str, ...] = ()
    #: Of what has expired: what had by this moment (ISO 8601, of the database's clock), so that a set stays the same.
    until: str = ""
    #: Of what has expired: so many, those first that expired first, and what shares a file with them.
    limit: int = 10_000

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, above all a list or a rule that would be about everything."""
        if self.kind not in get_args(Kind):
            raise ConfigurationError(f"a removal is about {', '.join(get_args(Kind))}, not about {self.kind!r}")
        if (self.kind == "list") != bool(self.names):
            raise ConfigurationError("the list holds no name" if self.kind == "list" else "only a list holds names")
        if (self.kind == "rule") != bool(self.rule):
            raise ConfigurationError("the rule is empty" if self.kind == "rule" else "a rule was given, too")
        if (self.kind == "expired") != bool(self.until) or (self.products and self.kind != "expired"):
            raise ConfigurationError(
                "only what has expired is asked for by products and by a moment; it needs the moment"
            )
        if len(self.names) > _MOST_NAMES:
            raise ConfigurationError(f"the list holds {len(self.names)} names: give at most {_MOST_NAMES} at a time")
        if self.rule:
            parse(self.rule)

    @classmethod
    def of_dict(cls, told: Mapping[str, Any]) -> Selection:
        """What ``as_dict`` wrote."""
        listed = {name: tuple(told.get(name, ())) for name in ("sensors", "names", "products")}
        return cls(**{**told, **listed})

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return asdict(self)


def names_of(lines: Iterable[str]) -> tuple[str, ...]:
    """The names of a list, one a line, each once; empty lines and those that begin with ``#`` say nothing.

    >>> names_of(["# to go", "nga/a.ntf  ", "", "nga/a.ntf"])
    ('nga/a.ntf',)
    """
    stripped = (line.strip().removeprefix("\ufeff") for line in lines)
    return tuple(dict.fromkeys(line for line in stripped if line and not line.startswith("#")))


def stored_path(name: str, parameters: Parameters) -> str:
    r"""The path in storage that a name of a list may mean.

    >>> stored_path("/css/nga/WV01/a.ntf", Parameters()), stored_path("p:\\data\\WV01\\a.ntf", Parameters())
    ('WV01/a.ntf', 'WV01/a.ntf')
    """
    with suppress(NoSuchPair):
        name = to_linux(name, parameters)
    return name.removeprefix(parameters.linux_root)
