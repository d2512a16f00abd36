"""How much has expired and may go: what a person must approve is told from all that is overdue, never from one slice.

A mistake in a rule lets everything expire at once. It would pass unseen in slices, so a product type counts whole, and
what is left of all types counts together. What somebody needs does not go, and does not count.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from orbitory.errors import ConfigurationError
from orbitory.removal.guard import Limits, Share
from orbitory.site import Site

#: In the place of a product type: those that need no approval one by one, but together. No product type is called so.
ALL_TYPES = "all-types"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """What has expired by a moment and nobody needs."""

    limits: Limits
    #: By product type.
    shares: tuple[Share, ...]
    #: Of all types that need no approval by themselves.
    rest: Share
    #: Products of which something has, by product type.
    products: Mapping[str, tuple[str, ...]]

    @property
    def asked(self) -> dict[str, Share]:
        """What a person must approve: product types, and ``ALL_TYPES``."""
        found = {share.sensor: share for share in self.shares if self.limits.exceeded(share)}
        return found | ({ALL_TYPES: self.rest} if self.limits.exceeded(self.rest) else {})

    @property
    def free(self) -> list[str]:
        """Products that go by themselves."""
        asked = self.asked
        if ALL_TYPES in asked:
            return []
        return [each for name, products in self.products.items() if name not in asked for each in products]

    def shares_of(self, products: Sequence[str]) -> tuple[Share, ...]:
        """The shares by which a set of these products (none: of all) is judged."""
        wanted = {name for name, has in self.products.items() if not products or set(has) & set(products)}
        chosen = tuple(share for share in self.shares if share.sensor in wanted)
        small = any(not self.limits.exceeded(share) for share in chosen)
        return (*chosen, self.rest) if small and self.limits.exceeded(self.rest) else chosen


def limits_of(site: Site) -> Limits:
    """How much of a product type may expire without approval, as the catalogue says."""
    told = site.catalogue.keeping()
    return Limits(share=told.approve_share, items=told.approve_granules, both=True)


def overdue(site: Site, until: str | datetime, as_of: datetime | None = None, without: Sequence[int] = ()) -> Overdue:
    """What has expired by ``until``, or by a moment to come; ``without`` granules that leave in any case."""
    limits = limits_of(site)
    items: dict[str, int] = defaultdict(int)
    products: dict[str, list[str]] = defaultdict(list)
    for row in site.inventory.all("retention_due", until=until, as_of=as_of, without=list(without)):
        name = type_name(site, row["product"])
        items[name] += row["items"]
        products[name].append(row["product"])
    known: dict[str, list[str]] = defaultdict(list)
    if any(count > limits.items for count in items.values()):
        for row in site.inventory.all("removal_known_products"):
            known[type_name(site, row["product"])].append(row["product"])
    shares = tuple(
        Share(sensor=name, items=count, held=_held(site, limits, count, known[name]))
        for name, count in sorted(items.items())
    )
    count = sum(share.items for share in shares if not limits.exceeded(share))
    return Overdue(
        limits=limits,
        shares=shares,
        rest=Share(sensor=ALL_TYPES, items=count, held=_held(site, limits, count, None)),
        products={name: tuple(each) for name, each in sorted(products.items())},
    )


def _held(site: Site, limits: Limits, items: int, products: Sequence[str] | None) -> int:
    """How many are held; counted only where it matters, and no further than it does."""
    if items <= limits.items:
        return 0
    most = math.ceil(items / limits.share) + 1 if limits.share else items
    chosen = None if products is None else list(products)
    row = site.inventory.one("removal_held_of_products", products=chosen, most=most)
    assert row is not None
    held: int = row["held"]
    return held


def products_of(site: Site, name: str) -> list[str]:
    """All products of a product type that were ever held; of ``ALL_TYPES``: of those that need no approval one by one.

    Raises ConfigurationError when there is none: no products at all would mean every product.
    """
    known = [row["product"] for row in site.inventory.all("removal_known_products")]
    if name == ALL_TYPES:
        asked = overdue(site, "infinity").asked
        found = [product for product in known if type_name(site, product) not in asked]
    else:
        found = [product for product in known if type_name(site, product) == name]
    if not found:
        raise ConfigurationError(f"nothing of the product type {name!r} was ever held: see `orbitory expire --dry-run`")
    return found


def type_name(site: Site, product: str) -> str:
    """The product type of a product id or strip code; where the catalogue has none, the product itself."""
    kind = site.catalogue.type_of_product(product)
    return kind.name if kind else product
