"""Uploads: any storable name, with its form ``<name>.upload.xml`` beside it; what the file is, the form alone tells."""

from __future__ import annotations

from orbitory.catalogue import Catalogue, Source
from orbitory.model import Identity
from orbitory.upload_form import ENDING


def upload_identity(name: str, source: Source, catalogue: Catalogue) -> Identity:
    """File or form, by the last part of ``name``; both are of one unit. The type stands for all of ``source``'s."""
    base = name.rpartition("/")[2]
    file = base.removesuffix(ENDING) or base
    first = catalogue.types_of(source)[0]
    return Identity(
        form="upload",
        product_type=first.name,
        products=(),
        sensor=first.sensor,
        unit=f"upload/{file}",
        role="data" if file == base else "metadata",
    )
