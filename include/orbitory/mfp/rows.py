"""Rows of the master footprints: kept in step with the granules, in the transaction that changes these.

A strip image that is held, in its newest version, has one row in ``footprint_master``, or in ``footprint_archive`` when
an evaluation prefers the same image of another order. Rows of older versions, and of images that left the archive,
stand in ``footprint_archive`` with the reason. So no row is ever made by hand, and any set of them can be made again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from orbitory.catalogue import Source
from orbitory.mfp import Parameters
from orbitory.site import Site

log = logging.getLogger(__name__)

#: Stereo partners are taken within one pass, and show a tenth of each other (DOMAIN 4.6).
_PASS = "10 minutes"
_STEREO_SHARE = 0.1
#: All at once would keep ingest, and planning behind it, waiting: so many take about a second.
_PAGE = 2_000


def has_footprints(source: Source) -> bool:
    """Whether images of ``source`` are strips, whose footprints are kept."""
    return source.extractor == "strip"


def refresh(
    site: Site, *, granules: Iterable[int] = (), assets: Iterable[int] = (), parameters: Parameters | None = None
) -> int:
    """Bring the footprints of these granules, and of those that these files hold, up to date; how many rows changed.

    Call it in the transaction that has changed them, last: only one at a time keeps footprints. It may be repeated.
    """
    granules, assets = list(granules), list(assets)
    if not granules and not assets:
        return 0
    told = parameters or Parameters.of_deployment()
    inventory = site.inventory
    with inventory.transaction():
        inventory.one("lock_footprints")
        touched = {"granules": granules, "assets": assets}
        if inventory.one("images_among", **touched) is None:
            return 0
        from orbitory.mfp.places import ensure_places  # shapely: a third of a second, for images alone

        ensure_places(site)
        inventory.run("create_footprint_scope", radius_km=told.search_radius_km, **touched)
        inventory.run("weigh_footprint_scope")
        roots = {"linux_root": told.linux_root, "windows_root": told.windows_root}
        changed = inventory.run("create_footprint_change", **roots)
        if changed:
            inventory.run("weigh_footprint_change")
            inventory.run("forget_preferred")
            inventory.run("forget_put_aside")
            inventory.run("prefer_footprints")
            inventory.run("put_footprints_aside")
            inventory.run("pair_footprints", share=_STEREO_SHARE, **{"pass": _PASS})
        inventory.run("drop_footprint_change")
    return changed


def refresh_all(site: Site, parameters: Parameters | None = None, progress: Callable[[int], None] | None = None) -> int:
    """The same for every strip image of the archive, page by page: after new boundaries, a new root, or an upgrade."""
    changed, after, looked = 0, 0, 0
    while rows := site.inventory.all("next_images", after=after, limit=_PAGE):
        changed += refresh(site, granules=[row["id"] for row in rows], parameters=parameters)
        after, looked = rows[-1]["id"], looked + len(rows)
        if progress:
            progress(looked)
    log.info("footprints looked=%d changed=%d", looked, changed)
    return changed
