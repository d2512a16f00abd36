"""Links handed out to users, and work folders of PGEs."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta

from orbitory.pge.staging import ZONE
from orbitory.retention import walking
from orbitory.retention.outcome import Done, Item, Pass
from orbitory.retention.taking import Work, moment_of, require_clock, whole_folders
from orbitory.site import Site


def links(site: Site, look: Pass) -> Done:
    """Links and files handed out to users, and folders that this empties."""
    root, days = site.settings.links, site.catalogue.keeping().links_days
    if not days or not root.is_dir():
        return Done(rule="links")
    work = Work("links", look)
    with walking.opened(root) as folder:
        require_clock(site, folder, root)
        cutoff = (look.now - timedelta(days=days)).timestamp()

        def trouble(path: str, status: os.stat_result, error: OSError) -> None:
            if walking.changed(status) <= cutoff:  # whose time is not over is nobody's trouble
                work.fail(path, error)

        for met in walking.walk(folder, trouble=trouble):
            if walking.changed(met.status) > cutoff:
                continue
            if met.is_folder:
                if not look.dry:
                    with suppress(OSError):  # something young is still in it
                        os.rmdir(met.name, dir_fd=met.parent)
                continue
            if _is_young(met, cutoff):
                continue
            work.take(
                Item(
                    kind="link",
                    name=met.shown,
                    rule=f"links are kept for {days} days",
                    expires=moment_of(walking.changed(met.status), days),
                    bytes=met.status.st_size,
                ),
                met.parent,
                met.name,
            )
    return work.done()


def _is_young(met: walking.Met, cutoff: float) -> bool:
    """Whether it has gone or was written anew since its folder was read, which may be a while ago."""
    try:
        return walking.changed(os.stat(met.name, dir_fd=met.parent, follow_symlinks=False)) > cutoff
    except OSError:
        return True


def work_folders(site: Site, look: Pass) -> Done:
    """Work folders of PGEs in which nobody works, whole."""
    days = site.catalogue.keeping().work_days
    used = {row["folder"] for row in site.inventory.all("pge_folders_in_use")}
    work = Work("work", look)
    if days:
        whole_folders(site, work, site.settings.work / ZONE, days, used)
    return work.done()
