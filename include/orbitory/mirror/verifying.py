"""Copies read again, longest unread first, so many bytes a day: a copy that has rotted would repair nothing."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from orbitory.mirror.place import Place, path_in_mirror, ready
from orbitory.site import Site

log = logging.getLogger(__name__)

_PAGE = 200


def verify_copies(site: Site, name: str, place: Place) -> tuple[int, list[tuple[str, str]]]:
    """Read what today's bytes (UTC, those of the setting, as much as of the day has begun) leave.

    How many agreed, and which are damaged, gone or unreadable: those are made anew where the original is whole.
    """
    spent = site.inventory.one("mirror_spent", mirror=name)
    assert spent is not None
    left, good, bad = site.settings.fixity_daily_bytes * float(spent["share"]) - spent["bytes"], 0, []
    after, number = datetime(1970, 1, 1, tzinfo=UTC), 0
    asked = {"mirror": name, "since": spent["midnight"], "limit": _PAGE}
    while left > 0 and (rows := site.inventory.all("mirror_oldest", after=after, after_id=number, **asked)):
        after, number = rows[-1]["verified_at"], rows[-1]["id"]
        agreeing: list[int] = []
        wrong: list[int] = []
        for row in rows:
            if left <= 0:
                break
            if why := what_is_wrong(place, row["path"], row["digest"]):
                log.error("the copy of %s in the mirror %s %s", row["path"], name, why)
                bad.append((row["path"], f"its copy in the mirror {name} {why}"))
                wrong.append(row["id"])
            else:
                agreeing.append(row["id"])
            left -= row["size"]
        if wrong:
            ready(site, name)  # raises when it was unmounted meanwhile: then nothing is wrong with the copies
        with site.inventory.transaction():
            site.inventory.run("mirror_verified", mirror=name, assets=agreeing)
            site.inventory.run("mirror_bad", mirror=name, assets=wrong)
        good += len(agreeing)
    return good, bad


def what_is_wrong(place: Place, path: str, digest: bytes) -> str:
    """Why a copy is of no use; empty: every byte agrees. ``path`` as the inventory has it."""
    try:
        found = place.digest(path_in_mirror(path))
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if found == digest else "is missing" if found is None else "is damaged"
