"""From what products were made, once they stand there. Inputs that did not come along are told by their file.

With each batch go the instances that it completes, so that nobody there plans to make the same from the inputs that
came. At the end they are looked for among all that made what was ever brought: a product may be archived here before
its instance is done, and an export may have been left unfinished.
"""

from __future__ import annotations

import logging

from orbitory.export.work import Work
from orbitory.inventory import Inventory
from orbitory.inventory.locks import let_nothing_lean
from orbitory.site import Site

log = logging.getLogger(__name__)

#: Its part in the list of batches; no sensor is called so.
PART = "~instances"
_AT_ONCE = 2_000


def trail(work: Work, batch: int | None = None) -> int:
    """Bring over the PGE instances that made what stands there, unless known there; how many. May be repeated.

    ``batch``: only those that this batch may have completed.
    """
    here, there = work.here.inventory, work.there.inventory
    brought, after = 0, 0
    while True:
        with here.transaction():
            last = _take(here, work.site, after, None if batch is None else {"export": work.id, "batch": batch})
            if last is None:
                return brought
            after = last
            with there.transaction():
                let_nothing_lean(there)  # nor plans to make the same meanwhile
                _compare(here, there, work.site)
                brought += _bring(work)


def lagging(here: Site, there: Site, site: str) -> int:
    """How many would come; nothing is changed."""
    count, after = 0, 0
    with there.inventory.transaction():
        while (last := _take(here.inventory, site, after)) is not None:
            after = last
            _compare(here.inventory, there.inventory, site)
            row = here.inventory.one("export_count_instances")
            assert row is not None
            count += int(row["instances"])
            here.inventory.run("export_drop_instances")
            there.inventory.run("export_drop_asked")
        here.inventory.run("export_drop_instances")
    return count


def _take(here: Inventory, site: str, after: int, near: dict[str, int] | None = None) -> int | None:
    """The next instances that may come, in a temporary table of here; where the ones after them begin."""
    taking = "export_take_instances" if near is None else "export_take_near"
    here.run(taking, site=site, after=after, limit=_AT_ONCE, **(near or {}))
    last = here.one("export_last_taken")
    return None if last is None or last["id"] is None else int(last["id"])


def _compare(here: Inventory, there: Inventory, site: str) -> None:
    """Leave out those that are known there, or cannot come yet."""
    here.run("export_create_answers")
    for kind in ("instances", "granules", "files"):
        there.run(f"export_create_asked_{kind}")
        here.pipe(f"export_ask_{kind}", there, f"export_copy_asked_{kind}")
        there.pipe(f"export_answer_{kind}", here, "export_copy_answers")
    here.run("export_drop_known_instances")
    here.run("export_drop_unready_instances", site=site)


def _bring(work: Work) -> int:
    here, there = work.here.inventory, work.there.inventory
    row = here.one("export_count_instances")
    assert row is not None
    if not (count := int(row["instances"])):
        return 0
    given = there.one("export_instance_numbers", count=count)
    assert given is not None
    here.run("export_number_instances", ids=given["ids"])
    ways = here.all("export_giving_way")
    there.run(
        "export_give_way",
        superseded=[each["id"] for each in ways if each["kind"] == "other"],
        waiting=[each["id"] for each in ways if each["kind"] == "waiting"],
        token=work.token,
    )
    rows = sum(
        here.pipe(f"export_out_{kind}", there, f"export_in_{kind}") for kind in ("instances", "inputs", "outputs")
    )
    values = {"number": _next_number(work), "part": PART, "items": count, "rows": rows}
    there.run("export_note_trail", export=work.there_id, instances=given["ids"], **values)
    ours = [each["id"] for each in here.all("export_brought")]
    here.run("export_note_trail", export=work.id, instances=ours, **values)
    log.info("export=%d instances=%d", work.id, count)
    return count


def _next_number(work: Work) -> int:
    """After the last batch of either side: a crash may have left one more there."""
    sides = ((work.here, work.id), (work.there, work.there_id))
    rows = [site.inventory.one("export_last_number", export=number) for site, number in sides]
    return max(int(row["number"]) for row in rows if row) + 1
