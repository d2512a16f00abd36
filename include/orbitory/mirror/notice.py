"""What people are told when second copies are in trouble: one message a day for each kind, however often one tries."""

from __future__ import annotations

from collections.abc import Sequence

from orbitory.listing import readable
from orbitory.notices import plain
from orbitory.outbox import tell_all
from orbitory.site import Site

_SHOWN = 20


def tell(site: Site, troubles: Sequence[tuple[str, str]], *, link: str) -> None:
    """Put a message into the outbox; ``troubles``: file or mirror, and what is wrong with it."""
    today = site.inventory.one("mirror_today")
    assert today is not None
    # Another mirror in trouble, or files after a mirror, is told the same day; other files are not.
    about = ",".join(sorted({name if name.startswith("mirror ") else "files" for name, _ in troubles}))
    lines = ["Second copies could not be made, or are of no use", ""]
    lines += [f"  {readable(name)}: {readable(why)}" for name, why in troubles[:_SHOWN]]
    lines += [f"  and {len(troubles) - _SHOWN:,} more"] if len(troubles) > _SHOWN else []
    lines += ["", "`orbitory mirror status` tells how the mirrors stand. Ingest goes on.", f"Run and log: {link}", ""]
    notice = plain(f"[Orbitory] second copies: {len(troubles):,} troubles", "\n".join(lines))
    tell_all(site, "mirror_failed", "mirror", notice, actor=f"mirror/{today['day']}/{about}")
