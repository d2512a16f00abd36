"""Which mirrors there should be, what belongs into each, and how they stand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orbitory.catalogue import ProductType
from orbitory.errors import OrbitoryError
from orbitory.mirror.place import ready
from orbitory.site import Site


def mirrors_of(site: Site) -> dict[str, list[tuple[str, str]]]:
    """Every mirror that the catalogue names or a setting places, with each (source, product) to be copied there."""
    wanted: dict[str, list[tuple[str, str]]] = {name: [] for name in sorted(site.settings.mirrors)}
    for row in site.inventory.all("mirror_products"):
        kind = _type_of(site, row["source"], row["product"])
        if kind is not None and kind.mirror:
            name = "default" if kind.mirror is True else kind.mirror
            wanted.setdefault(name, []).append((row["source"], row["product"]))
    return wanted


def _type_of(site: Site, source: str, product: str) -> ProductType | None:
    """The product type of a granule; where names tell none, the only one that its source may deliver."""
    known = site.catalogue.sources.get(source)
    if known is None:
        return site.catalogue.type_of_product(product)
    types = site.catalogue.types_of(known)
    return site.catalogue.find_product(known, product) or (types[0] if len(types) == 1 else None)


def pairs(products: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """The same as a statement takes them."""
    return {"sources": [source for source, _ in products], "products": [product for _, product in products]}


def status(site: Site) -> list[dict[str, Any]]:
    """Of every mirror: where it is, what it holds, what waits, and what is wrong with it. Changes nothing."""
    told = []
    for name, products in mirrors_of(site).items():
        held = site.inventory.one("mirror_figures", mirror=name)
        waiting = site.inventory.one("mirror_waiting", mirror=name, **pairs(products))
        assert held is not None and waiting is not None
        root = site.settings.mirrors.get(name)
        told.append(
            {
                "mirror": name,
                "root": str(root) if root else None,
                "products": [f"{source}/{product}" for source, product in products],
                "files": held["files"],
                "bytes": held["bytes"],
                "oldest_verified": held["oldest_verified"],
                "waiting_files": waiting["files"],
                "waiting_bytes": waiting["bytes"],
                "bad_files": held["bad"],
                "left_archive": held["left_archive"],
                "own_disk": root is None or _disk_of(root) != _disk_of(site.settings.storage),
                "problem": _problem(site, name, used=bool(held["files"])),
            }
        )
    return told


def _problem(site: Site, name: str, *, used: bool) -> str:
    root = site.settings.mirrors.get(name)
    if not used and root is not None and site.inventory.one("mirror_number", mirror=name) is None:
        return ""  # the first run prepares it
    try:
        ready(site, name)
    except OrbitoryError as error:
        return str(error)
    return ""


def _disk_of(folder: Path) -> int | None:
    """The file system of a folder, or of the first one above it that stands."""
    for each in (folder, *folder.parents):
        if each.is_dir():
            return each.stat().st_dev
    return None
