"""What PGEs make: ``<product>.<pge>.<version>.<period>.<kind>``, with ``<file>.meta.json`` beside each file.

    VQLKM.viirs_quicklook.1.NPP000650598298.tif

The product id leads, as in the names of IDPS. The period is written in letters, digits, ``_``, ``+`` and ``-``; times
and place stand in the metadata (``provenance``) and in the content. All files of one folder are one delivery, a unit:
they are archived all or none.
"""

from __future__ import annotations

import re

from orbitory.catalogue import Catalogue, Source
from orbitory.errors import DataError
from orbitory.model import Identity
from orbitory.names.products import product_type
from orbitory.provenance import ENDING

#: A version may hold dots, each before a digit; a period holds none.
_NAME = re.compile(
    r"(?P<product>[A-Z0-9]{5})\.(?P<pge>[a-z][a-z0-9_]{0,39})\.(?P<version>[A-Za-z0-9][A-Za-z0-9+-]*(?:\.[0-9][A-Za-z0-9+-]*)*)"
    r"\.(?P<period>[A-Za-z0-9][A-Za-z0-9_+-]{0,119})\.(?P<kind>[a-z0-9]{1,8})"
)
_PICTURES = frozenset({"png", "jpg"})
_UNNAMED = re.compile(r"[^A-Za-z0-9_+-]+")
_LONGEST_PERIOD = 120


def period_name(period: str) -> str:
    """How names tell a period of the planner.

    >>> period_name("NPP/2024-02-10T12:00:00Z")
    'NPP-2024-02-10T12-00-00Z'
    """
    return _UNNAMED.sub("-", period).strip("-+_")[-_LONGEST_PERIOD:].lstrip("-+_")


def pge_identity(base: str, source: Source, catalogue: Catalogue) -> Identity:
    """What the name of an output, or of the metadata beside it, tells. Raises DataError ``unrecognised``."""
    file = base.removesuffix(ENDING)
    match = _NAME.fullmatch(file)
    if match is None:
        raise DataError(
            "unrecognised",
            f"{base!r} is not named as outputs of PGEs are: <product id>.<pge>.<version>.<period>.<kind>, such as "
            "VQLKM.viirs_quicklook.1.NPP000650598298.tif",
        )
    kind = product_type(match["product"], source, catalogue)
    return Identity(
        form="pge",
        product_type=kind.name,
        products=(match["product"],),
        sensor=kind.sensor,
        details={
            **{name: match[name] for name in ("pge", "version", "period")},
            "family": f"pge/{match['product']}/{match['pge']}/{match['period']}",
        },
        unit="delivery",
        role="metadata" if file != base else "browse" if match["kind"] in _PICTURES else "data",
    )
