"""Which rasters are due, so much a day, longest unchecked first; a run from its plan to its verdict.

Whatever was checked since the run began is done, so a task that died goes on where it stopped, and what a day's budget
does not reach comes first the next day.
"""

from __future__ import annotations

import difflib
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from orbitory.errors import ConfigurationError, IntegrityError
from orbitory.inventory import Row
from orbitory.rasters.checking import check
from orbitory.rasters.judging import Verdict
from orbitory.rasters.sight import KINDS, Mode
from orbitory.site import Site

log = logging.getLogger(__name__)

#: Bytes that a check reads of a file at most, about.
_READS = {Mode.HEADER: 1 << 20, Mode.SAMPLE: 64 << 20, Mode.FULL: 1 << 62}
#: A part is no larger: some minutes of work.
MOST_FILES = 20_000
MOST_BYTES = 64 << 30
MOST_PARTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one mapped task gets: a share of one sensor's rasters."""

    sensor: str
    part: int
    parts: int
    #: Numbers of its first file and of its last.
    first: int
    last: int
    files: int
    #: Bytes that it may read; None: any number.
    budget: int | None
    mode: str
    #: When the run began, ISO 8601.
    since: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for XCom."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a run. ``found`` are all rasters that are not simply good, bad ones first."""

    checked: int
    #: Files by sensor and verdict, with their bytes.
    counts: Sequence[Row] = ()
    found: Sequence[Row] = field(default=())

    @property
    def bad(self) -> int:
        """How many a person must look at."""
        return sum(row["files"] for row in self.counts if row["verdict"] == Verdict.BAD.value)

    @property
    def message(self) -> str:
        """One sentence for people."""
        verdicts: Counter[str] = Counter()
        for row in self.counts:
            verdicts[row["verdict"]] += row["files"]
        told = ", ".join(f"{count:,} {verdict.replace('_', ' ')}" for verdict, count in sorted(verdicts.items()))
        return f"{self.checked:,} rasters checked" + (f": {told}" if told else "")

    def findings(self) -> Iterator[dict[str, Any]]:
        """JSON shape, one for each finding."""
        for row in self.found:
            about = {name: row[name] for name in ("key", "sensor", "path", "mode", "verdict")}
            for finding in row["findings"]:
                yield {**finding, **about, "asset": row["id"]}

    def require_sound(self) -> None:
        """Raises IntegrityError when rasters are bad."""
        if self.bad:
            names = ", ".join(row["path"] for row in self.found[: min(3, self.bad)])
            raise IntegrityError(
                f"{self.bad:,} of {self.checked:,} rasters are bad, first {names}: nothing was changed; "
                "docs/findings.md tells what each code means"
            )


def plan(
    site: Site, mode: Mode, sensors: Sequence[str] = (), *, daily_bytes: int | None = None, whole: bool = False
) -> list[Part]:
    """Parts of what is due: all, or what ``daily_bytes`` leave for today (UTC), longest unchecked first.

    ``whole``: one part for each sensor. Raises ConfigurationError for a sensor of which the archive holds nothing.
    """
    _require_known(site, sensors)
    row = site.inventory.one("rasters_now")
    assert row is not None
    now: datetime = row["moment"]
    budget = None
    if daily_bytes is not None:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        budget = max(0, daily_bytes - _spent(site, midnight))
    reached = site.inventory.all(
        "rasters_plan",
        since=now,
        most=_READS[mode],
        kinds=list(KINDS),
        sensors=list(sensors) or None,
        budget=budget,
        most_parts=1 if whole else MOST_PARTS,
        most_files=MOST_FILES,
        most_bytes=MOST_BYTES,
    )
    return [
        Part(
            sensor=row["sensor"],
            **{name: row[name] for name in ("part", "parts", "first", "last", "files")},
            budget=None if daily_bytes is None else row["bytes"],
            mode=mode.value,
            since=now.isoformat(),
        )
        for row in reached
    ]


def _require_known(site: Site, sensors: Sequence[str]) -> None:
    if not sensors:
        return
    known = {row["sensor"] for row in site.inventory.all("rasters_sensors")}
    known |= {sensor for source in site.catalogue.sources.values() for sensor in site.catalogue.sensors_of(source)}
    for sensor in sensors:
        if sensor not in known:
            close = difflib.get_close_matches(sensor, sorted(known), n=1)
            raise ConfigurationError(
                f"there is no sensor {sensor!r}" + (f"; did you mean {close[0]!r}?" if close else "")
            )


def _spent(site: Site, since: datetime) -> int:
    row = site.inventory.one("rasters_spent", since=since, header=_READS[Mode.HEADER], sample=_READS[Mode.SAMPLE])
    return int(row["bytes"]) if row else 0


def work(site: Site, part: Mapping[str, Any]) -> int:
    """Check what is still due of one part, given as ``Part.as_dict``; how many files that were.

    Raises IntegrityError when storage looks unmounted: its files are not missing.
    """
    mode = Mode(part["mode"])
    site.storage.prepare(holds_assets=True)
    started = time.monotonic()
    checked = check(site, _due(site, part), mode)
    seconds = max(time.monotonic() - started, 0.001)
    log.info(
        "rasters sensor=%s part=%d/%d mode=%s files=%d seconds=%.2f rate=%.1f",
        *(part["sensor"], part["part"] + 1, part["parts"], mode, checked, seconds, checked / seconds),
    )
    return checked


def _due(site: Site, part: Mapping[str, Any]) -> list[int]:
    values = {name: part[name] for name in ("sensor", "first", "last", "budget", "since")}
    rows = site.inventory.all("rasters_due", kinds=list(KINDS), most=_READS[Mode(part["mode"])], **values)
    return [row["id"] for row in rows]


def outcome(site: Site, since: str, sensors: Sequence[str] = ()) -> Outcome:
    """What was checked since a run began."""
    chosen = {"since": since, "sensors": list(sensors) or None}
    counts = site.inventory.all("rasters_counts", **chosen)
    return Outcome(
        checked=sum(row["files"] for row in counts),
        counts=counts,
        found=site.inventory.all("rasters_found", **chosen),
    )


def validate(site: Site, mode: Mode, sensors: Sequence[str] = (), *, daily_bytes: int | None = None) -> Outcome:
    """The whole run, one part after the other."""
    parts = plan(site, mode, sensors, daily_bytes=daily_bytes, whole=True)
    for part in parts:
        work(site, part.as_dict())
    return outcome(site, parts[0].since, sensors) if parts else Outcome(checked=0)
