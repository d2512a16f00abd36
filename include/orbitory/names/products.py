"""From a product id in a name to the product type in the catalogue."""

from __future__ import annotations

from orbitory.catalogue import Catalogue, ProductType, Source
from orbitory.definitions import STRIP_CODE
from orbitory.errors import DataError


def product_type(product_id: str, source: Source, catalogue: Catalogue) -> ProductType:
    """The product type of ``source`` that holds ``product_id``; DataError ``unrecognised`` says where to add it."""
    if found := catalogue.find_product(source, product_id):
        return found
    where = "letters" if STRIP_CODE.fullmatch(product_id) else "[ids]"
    raise DataError(
        "unrecognised",
        f"product id {product_id} is in no product type of source {source.name}: add it under {where} of a file "
        f"catalogue/products/<type>.toml that catalogue/sources/{source.name}.toml lists under products",
    )
