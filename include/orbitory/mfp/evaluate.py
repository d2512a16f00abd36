"""Evaluation of the master footprints: best choice, findings and coverage of each sensor, and one verdict.

``begin`` opens a run and names its sensors, ``work`` evaluates one of them, ``finish`` counts and judges. All may be
repeated: a sensor's results replace those of an earlier try. Rows are never corrected; only choices move them, between
``footprint_master`` and ``footprint_archive`` (see ``choice`` for the reasons), and ``status`` of each row says
``validated`` or ``faulty`` afterwards.

What a run leaves, for reports and trends:

- ``mfp_run.params``: ``parameters`` (as ``Parameters.as_dict``), ``sensors``, ``sample``, ``area`` (W,S,E,N or null),
  and ``trial``: it asked for the best image in another way than the deployment does, so no row was moved;
- ``mfp_run.counts``: ``rows``, ``errors``, ``warnings``, ``infos``, ``codes`` {E01: n, …}, ``trial``, and ``sensors``
  {WV02: rows, put_aside, brought_back, files, hashed, seconds, and of a trial would_put_aside, would_bring_back};
- ``mfp_run.coverage``: ``rows``, ``area_km2`` and ``sensors`` {WV02: rows, area_km2, union_km2, overlap, cloud_free,
  years [{year, …}], area_of_interest when an area was asked for};
- ``mfp_finding`` and ``mfp_statistic``: one row a finding, and a year of a sensor.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from blake3 import blake3

from orbitory.errors import ConfigurationError, IntegrityError, NotReady
from orbitory.inventory import Row
from orbitory.inventory.locks import Lock, alone
from orbitory.mfp import Parameters
from orbitory.mfp.checks import check_rows
from orbitory.mfp.coverage import Area, measure
from orbitory.mfp.decide import decide, snapshot
from orbitory.mfp.files import check_files, check_sample
from orbitory.site import Site

log = logging.getLogger(__name__)

#: Files of each sensor that are hashed by one run.
SAMPLE = 20
MOST_SAMPLED = 100_000
_JUDGED_AT_ONCE = 10_000
_TRIAL = "No row was moved: it asked for the best image in another way than the deployment does."


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What shall be evaluated, and how."""

    parameters: Parameters = field(default_factory=Parameters.of_deployment)
    #: None chosen means all.
    sensors: tuple[str, ...] = ()
    #: Files of each sensor whose bytes are hashed.
    sample: int = SAMPLE
    #: Whose share is told; None: of no area.
    area: Area | None = None

    def __post_init__(self) -> None:
        """Refuse a sample that cannot be meant."""
        if not 0 <= self.sample <= MOST_SAMPLED:
            raise ConfigurationError(f"sample is {self.sample}: expected 0 to {MOST_SAMPLED} files")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One sensor of a run: the unit of mapping."""

    run: int
    sensor: str
    #: Footprints in the master.
    rows: int

    def as_dict(self) -> dict[str, int | str]:
        """As it is handed from task to task."""
        return {"run": self.run, "sensor": self.sensor, "rows": self.rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished run."""

    run: int
    counts: dict[str, Any]
    coverage: dict[str, Any]
    digest: str
    #: Why it failed, in words; empty when all is well.
    problems: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether someone should look."""
        return bool(self.problems)

    @property
    def message(self) -> str:
        """One paragraph for the log and the alert."""
        counts = self.counts
        told = f"{counts['errors']:,} errors, {counts['warnings']:,} warnings"
        trial = [_TRIAL] if counts["trial"] else []
        return " ".join([f"Evaluation {self.run} of {counts['rows']:,} footprints: {told}.", *trial, *self.problems])

    def as_dict(self) -> dict[str, Any]:
        """JSON shape, without the findings."""
        return {
            "run": self.run,
            "rows": self.counts["rows"],
            "counts": self.counts,
            "coverage": self.coverage,
            "digest": self.digest,
        }

    def require_sound(self) -> None:
        """Raise IntegrityError when someone should look."""
        if self.failed:
            raise IntegrityError(self.message)


def begin(site: Site, request: Request) -> tuple[Part, ...]:
    """Open a run of this actor, or find its open one again, and tell what there is to evaluate.

    Raises NotReady when there are no footprints, ConfigurationError for a sensor that has none.
    """
    rows = {row["sensor"]: row["rows"] for row in site.inventory.all("mfp_sensors")}
    if unknown := sorted(set(request.sensors) - set(rows)):
        raise ConfigurationError(
            f"no footprint is of sensor {unknown[0]!r}: there are {', '.join(rows) or 'none at all'}"
        )
    if not rows:
        raise NotReady("there are no footprints to evaluate: strips become some when they are archived")
    sensors = [sensor for sensor in rows if not request.sensors or sensor in request.sensors]
    params = {
        "parameters": request.parameters.as_dict(),
        "sensors": sensors,
        "sample": request.sample,
        "area": asdict(request.area) if request.area else None,
        "trial": request.parameters.chooses_otherwise(),
    }
    with site.inventory.transaction():
        run = site.inventory.one("mfp_find_run", actor=site.actor)
        if run is None or run["verdict"] is not None:
            run = site.inventory.one("mfp_begin", actor=site.actor, params=json.dumps(params))
    assert run is not None
    return tuple(Part(run=run["id"], sensor=sensor, rows=rows[sensor]) for sensor in sensors)


def work(site: Site, run: int, sensor: str) -> None:
    """Evaluate one sensor: choose, check rows and files, measure, and keep what was found in place of an earlier try.

    Raises Transient when inventory or storage is away.
    """
    row = site.inventory.one("mfp_run_of", run=run)
    if row is None:
        raise ConfigurationError(f"there is no evaluation {run}: see `orbitory mfp history`")
    request = _request_of(row["params"])
    started = time.monotonic()
    site.inventory.run("mfp_forget_sensor", run=run, sensor=sensor)
    with alone(site.inventory, Lock.MFP_EVALUATION, sensor, patience_seconds=None):
        counts = _evaluate(site, run, sensor, request, trial=row["params"]["trial"])
    log.info("mfp run=%d sensor=%s %s seconds=%.1f", run, sensor, counts, time.monotonic() - started)


def _request_of(params: Row) -> Request:
    return Request(
        parameters=Parameters(**params["parameters"]),
        sensors=tuple(params["sensors"]),
        sample=params["sample"],
        area=Area(**params["area"]) if params["area"] else None,
    )


def _evaluate(site: Site, run: int, sensor: str, request: Request, *, trial: bool) -> dict[str, Any]:
    inventory, clock = site.inventory, _Clock()
    inventory.run("mfp_drop_found")
    inventory.run("mfp_create_found")
    moves = decide(site, sensor, request.parameters, trial=trial)
    clock.lap("choice")
    moment = snapshot(site)
    check_rows(site, sensor, request.parameters)
    clock.lap("rows")
    files = check_files(site, sensor)
    hashed = check_sample(site, sensor, request.sample)
    clock.lap("files")
    inventory.run("mfp_analyze_found")
    coverage = measure(site, sensor, request.area)
    clock.lap("coverage")
    counts = {**moves, "rows": coverage["rows"], "files": files, "hashed": hashed}
    with inventory.transaction():
        inventory.run("mfp_forget_findings", run=run, sensor=sensor)
        inventory.run("mfp_keep_findings", run=run, sensor=sensor)
        inventory.run("mfp_forget_statistics", run=run, sensor=sensor)
        for year in coverage["years"]:
            inventory.run("mfp_keep_statistic", run=run, sensor=sensor, **{name: year[name] for name in _STATISTIC})
    _judge(site, sensor, moment)
    clock.lap("keeping")
    told = json.dumps({**counts, "seconds": clock.laps})
    inventory.run("mfp_note_sensor", run=run, sensor=sensor, counts=told, coverage=json.dumps(coverage))
    inventory.run("mfp_drop_found")
    return {**counts, **clock.laps}


def _judge(site: Site, sensor: str, moment: str) -> None:
    """Write beside each row what this evaluation thinks of it, in small transactions: ingest waits for each.

    Rows that have changed since ``moment``, when the checks began, were not checked as they are.
    """
    rows = site.inventory.all("mfp_judgements", sensor=sensor)
    for status, faulty in (("validated", False), ("faulty", True)):
        fpuids = [row["fpuid"] for row in rows if row["faulty"] is faulty]
        for first in range(0, len(fpuids), _JUDGED_AT_ONCE):
            with site.inventory.transaction():
                site.inventory.one("lock_footprints")
                some = fpuids[first : first + _JUDGED_AT_ONCE]
                site.inventory.run("mfp_judge", status=status, fpuids=some, snapshot=moment)


_STATISTIC = ("year", "rows", "area_km2", "union_km2", "cloud_free")


class _Clock:
    """How long each part took."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(now - self._last, 3)
        self._last = now


def finish(site: Site, run: int, trouble: Sequence[str] = ()) -> Outcome:
    """Count the run and write its verdict; ``trouble``: what the caller knows of. May be repeated."""
    inventory = site.inventory
    row = inventory.one("mfp_run_of", run=run)
    if row is None:
        raise ConfigurationError(f"there is no evaluation {run}: see `orbitory mfp history`")
    sensors = row["params"]["sensors"]
    parts = (row["counts"] or {}).get("sensors", {})
    covered = (row["coverage"] or {}).get("sensors", {})
    totals = inventory.all("mfp_totals", run=run)
    levels = {level: sum(each["findings"] for each in totals if each["level"] == level) for level in _LEVELS}
    codes: dict[str, int] = {}
    for each in totals:
        codes[each["code"]] = codes.get(each["code"], 0) + each["findings"]
    counts = {
        "rows": sum(part["rows"] for part in parts.values()),
        **{f"{level}s": found for level, found in levels.items()},
        "codes": codes,
        "trial": row["params"]["trial"],
        "sensors": parts,
    }
    coverage = {
        "rows": counts["rows"],
        "area_km2": round(math.fsum(part["area_km2"] for part in covered.values()), 3),
        "sensors": covered,
    }
    problems = [*trouble, *(f"Sensor {each} was not evaluated to its end." for each in sensors if each not in parts)]
    if levels["error"]:
        wrong = ", ".join(f"{code} {found:,}" for code, found in codes.items() if _has_error(totals, code))
        problems.append(f"Errors were found: {wrong}.")
    digest = _digest(site, run, sensors)
    outcome = Outcome(run=run, counts=counts, coverage=coverage, digest=digest.hex(), problems=tuple(problems))
    verdict = "failed" if problems else "success"
    inventory.run(
        "mfp_finish",
        run=run,
        verdict=verdict,
        counts=json.dumps(counts),
        coverage=json.dumps(coverage),
        digest=digest,
    )
    return outcome


_LEVELS = ("error", "warning", "info")


def _has_error(totals: Sequence[Row], code: str) -> bool:
    return any(each["code"] == code and each["level"] == "error" for each in totals)


def _digest(site: Site, run: int, sensors: Sequence[str]) -> bytes:
    """Of what was found, chosen and measured: the same for the same archive, whenever and in how many parts."""
    hasher = blake3()
    for statement, values in (
        ("mfp_digest_findings", {"run": run}),
        ("mfp_digest_choices", {"sensors": list(sensors)}),
        ("mfp_digest_statistics", {"run": run}),
    ):
        hasher.update(f"{statement}\n".encode())
        for line in site.inventory.stream(statement, **values):
            hasher.update(f"{line['line']}\n".encode())
    return hasher.digest()
