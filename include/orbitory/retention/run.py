"""One run of the incinerator: every rule once, whatever becomes of the others, and its ledger.

A rule that fails is told and tried again by the next run; three failed runs in a row are told in a mail, and nothing is
ever switched off by them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from orbitory import tree
from orbitory.errors import ConfigurationError, IntegrityError
from orbitory.inventory import Row
from orbitory.listing import readable
from orbitory.priority import giving_way
from orbitory.removal.notice import send
from orbitory.removal.outcome import Busy
from orbitory.retention import files, granules, stores
from orbitory.retention.naming import clock
from orbitory.retention.outcome import Done, Item, Pass, Rule
from orbitory.site import Site
from orbitory.zones import SENTINEL

log = logging.getLogger(__name__)

#: In this order on a command line; in Airflow side by side.
RULES: Mapping[str, Rule] = {
    granules.RULE: granules.expire,
    "links": files.links,
    "work": files.work_folders,
    "quarantine": stores.quarantine,
    "trash": stores.trash,
}
_FAILURES_IN_A_ROW = 3
#: Who is at work where a rule has something to do may be so long; and so long may no run come to its end.
_MOST_WAITING_HOURS, _MOST_SILENT_HOURS = 6, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a whole run found and did."""

    rules: tuple[Done, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """Everything whose time is over."""
        return tuple(item for done in self.rules for item in done.items)

    @property
    def failed(self) -> tuple[tuple[str, str], ...]:
        """What should have gone and did not."""
        return tuple(each for done in self.rules for each in done.failed)

    def as_dict(self) -> dict[str, Any]:
        """JSON shape."""
        return {
            "items": [item.as_dict() for item in self.items],
            "removed": sum(done.removed for done in self.rules),
            "bytes": sum(done.bytes for done in self.rules),
            "failed": [{"name": name, "why": why} for name, why in self.failed],
            "approve": {name: set_hash for done in self.rules for name, set_hash in done.asked},
        }


def expire(site: Site, *, dry: bool = False, as_of: datetime | None = None) -> Run:
    """Run every rule; ``dry``: only look, at exactly what a run would remove now, or ``as_of`` a moment to come.

    Raises IntegrityError when storage looks unmounted: then nothing was looked at.
    """
    require_mounted(site)
    now = clock(site)
    if as_of is not None and not dry:
        raise ConfigurationError("only a dry run looks at another moment than now: give --dry-run with --as-of")
    if as_of is not None and as_of < now:
        raise ConfigurationError(f"{as_of:%Y-%m-%dT%H:%MZ} is over: a dry run looks at now, or at a moment to come")
    look = Pass(now=as_of or now, dry=dry, ahead=as_of is not None and as_of > now)
    if dry:
        return Run(rules=tuple(_safely(site, rule, look) for rule in RULES))
    number = begin(site, anew=True)
    rules = tuple(clean(site, number, rule) for rule in RULES)
    finish(site, number)
    return Run(rules=rules)


def require_mounted(site: Site) -> None:
    """Raise IntegrityError when the archive holds files and its storage does not stand: nothing may be removed then."""
    if tree.expects_files(site.inventory) and not (site.settings.storage / SENTINEL).exists():
        raise IntegrityError(
            f"storage {site.settings.storage} has no {SENTINEL}: it looks unmounted. Nothing was removed anywhere; "
            f"mount it, or, if this really is the right folder, create that empty file"
        )


def begin(site: Site, *, anew: bool = False) -> int:
    """Open the run of this actor, or, unless ``anew``, find it again."""
    row = site.inventory.one("retention_run_begin", actor=site.actor, anew=anew)
    assert row is not None
    number: int = row["id"]
    return number


@giving_way()
def clean(site: Site, run: int, rule: str, *, listing: bool = True) -> Done:
    """Carry out one rule and write down what it did. It may be repeated; what fails is in the result."""
    done = _safely(site, rule, Pass(now=clock(site), listing=listing))
    if done.skipped:
        done = _waited(site, done)
    blocked = max(done.blocked, sum(bool(item.blocked_by) for item in done.items))
    site.inventory.run(
        "retention_run_note",
        run=run,
        rule=rule,
        removed=done.removed,
        bytes=done.bytes,
        blocked=blocked,
        failed=len(done.failed),
        trouble=readable(done.trouble, 2000),
        skipped=bool(done.skipped),
    )
    log.info(
        "retention %s: removed=%d bytes=%d blocked=%d failed=%d",
        rule,
        done.removed,
        done.bytes,
        blocked,
        len(done.failed),
    )
    return done


def _safely(site: Site, rule: str, look: Pass) -> Done:
    """A rule that cannot work stops no other one, whatever is wrong with it."""
    try:
        require_mounted(site)
        return RULES[rule](site, look)
    except Busy as error:
        return Done(rule=rule, skipped=str(error))
    except Exception as error:
        log.exception("retention %s", rule)
        return Done(rule=rule, failed=((rule, str(error) or type(error).__name__),))


def _waited(site: Site, done: Done) -> Done:
    """To wait for somebody else is no failure, unless it lasts."""
    row = site.inventory.one("retention_skipped_long", rule=done.rule, hours=_MOST_WAITING_HOURS)
    if row == {"long": True}:
        why = f"{done.skipped}, for more than {_MOST_WAITING_HOURS} hours by now"
        return replace(done, skipped="", failed=((done.rule, why),))
    log.info("retention %s waits: %s", done.rule, done.skipped)
    return done


def finish(site: Site, run: int, link: str = "", trouble: str = "") -> list[Row]:
    """Give the verdict by what the rules wrote down, and by ``trouble`` that kept others from being asked.

    From the third failure in a row on a mail a day tells of it.
    """
    inventory = site.inventory
    with inventory.transaction():
        rules = inventory.all("retention_run_rules", run=run)
        missing = sorted(set(RULES) - {row["rule"] for row in rules})
        told = [f"{row['rule']}: {readable(row['trouble'], 1000)}" for row in rules if row["failed"]]
        told += [f"{rule}: did not run to its end" for rule in missing]
        told += [trouble] if trouble else []
        inventory.run("retention_run_finish", run=run, verdict="failed" if told else "success")
        streak = inventory.one("retention_streak")
        if streak and streak["failures"] >= _FAILURES_IN_A_ROW:
            _alert(site, told, streak, link)
    return rules


def _alert(site: Site, told: list[str], streak: Row, link: str) -> None:
    lines = [f"{streak['failures']} runs of retention in a row could not do all they should. It goes on trying.", ""]
    lines += [f"  {each}" for each in told]
    lines += ["", "`orbitory expire --history` lists the runs.", *([f"Run and log: {link}"] if link else [])]
    series = replace(site, actor=f"retention since run {streak['first']}, {streak['day']}")  # one message a day
    send(series, "retention_failing", "[Orbitory] retention fails again and again", lines)


def watch(site: Site) -> bool:
    """Whether retention has come to its end lately; if not, a mail a day says so.

    It cannot tell by itself that it was paused, starves, or is killed each time. Where it never ran it is not watched.
    """
    row = site.inventory.one("retention_silence", hours=_MOST_SILENT_HOURS)
    if row is None:
        return True
    lines = [
        f"No run of retention has come to its end since {row['since']:%Y-%m-%d %H:%M} UTC: nothing expires.",
        "",
        "Is the DAG `retention` paused, do its tasks wait for slots, does the scheduler run?",
        "`orbitory expire --history` lists the runs; `orbitory expire` does the same by hand.",
    ]
    send(
        replace(site, actor=f"retention silent, {row['day']}"),
        "retention_silent",
        "[Orbitory] retention stands still",
        lines,
    )
    return False


def history(site: Site, limit: int = 20) -> list[Row]:
    """The newest runs, newest first."""
    return site.inventory.all("retention_history", limit=limit)
