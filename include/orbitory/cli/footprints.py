"""mfp: the master footprints evaluated, explained, and placed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orbitory.cli import boundaries, deployment, reporting
from orbitory.cli.output import moment, say, write_json, write_lines, write_pairs, write_table

if TYPE_CHECKING:
    from orbitory.mfp import Parameters
    from orbitory.mfp.evaluate import Outcome

#: So many findings are shown to people; with ``--json`` all.
_SHOWN = 40
_MOST_RUNS = 10_000
#: Options that stand for a parameter, with the type of their value.
_PARAMETERS: dict[str, tuple[type, str]] = {
    "linux_root": (str, "where users of Linux find what stands in storage"),
    "windows_root": (str, "where users of Windows find it"),
    "search_radius_km": (float, "a footprint in no country or zone takes the nearest within so much"),
    "horizontal_distance_threshold_m": (float, "how far a footprint may stand from where its metadata put it"),
    "max_cloud": (float, "images with more cloud (fraction) are never preferred to one with less"),
    "min_sun": (float, "images with a lower sun (degrees) likewise"),
    "target_day": (str, "MM-DD: prefer images taken about this day of any year"),
    "overlap": (float, "share of the smaller image that two of one scene both show"),
    "environment": (str, "written beside the results: alpha, dev-nccs, prod-nccs, dev-drg, prod-drg"),
}


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verb and its parts."""
    verb = verbs.add_parser("mfp", help="master footprints: evaluate, explain a choice, history, boundaries")
    parts = verb.add_subparsers(dest="part", metavar="PART", required=True)

    evaluate = parts.add_parser(
        "evaluate",
        help="check every footprint, choose the best of each image anew, measure coverage; status 4 on errors",
        description="Rows are never corrected; a choice only moves them between master and archive, and back. With "
        "other values than the deployment's for --max-cloud, --min-sun, --target-day or --overlap it is a trial: it "
        "tells how many rows would move. Repeating it says the same. The DAG `mfp_evaluation` does the same.",
    )
    evaluate.add_argument("--sensor", action="append", default=[], metavar="S", help="only this one; may be repeated")
    evaluate.add_argument("--sample", type=_sample, metavar="N", help="files of each sensor to hash (default 20)")
    evaluate.add_argument("--area", metavar="W,S,E,N", help="tell the share of this area that is covered")
    _add_parameters(evaluate)
    deployment.add_json(evaluate)
    evaluate.set_defaults(run=_evaluate)

    explain = parts.add_parser("explain", help="why one order of an image is preferred, and what would change it")
    explain.add_argument("catalog_id", metavar="CATALOG_ID", help="for example 1030010002BB6200")
    _add_parameters(explain)
    deployment.add_json(explain)
    explain.set_defaults(run=_explain)

    history = parts.add_parser("history", help="earlier evaluations, the newest first")
    history.add_argument("--limit", type=deployment.number(_MOST_RUNS), default=20, metavar="N", help="how many")
    deployment.add_json(history)
    history.set_defaults(run=_history)

    boundaries.add(parts)
    reporting.add(parts)


def _sample(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def _add_parameters(verb: argparse.ArgumentParser) -> None:
    for name, (kind, meaning) in _PARAMETERS.items():
        verb.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="V", help=meaning)


def _parameters(options: argparse.Namespace) -> Parameters:
    from orbitory.mfp import Parameters

    return Parameters.of_deployment().changed(**{name: getattr(options, name) for name in _PARAMETERS})


def _evaluate(options: argparse.Namespace) -> int:
    from orbitory.mfp.coverage import Area
    from orbitory.mfp.evaluate import SAMPLE, Request
    from orbitory.mfp.run import evaluate
    from orbitory.settings import Settings

    request = Request(
        parameters=_parameters(options),
        sensors=tuple(options.sensor),
        sample=SAMPLE if options.sample is None else options.sample,
        area=Area.of(options.area) if options.area else None,
    )
    with deployment.inventory():  # the schema is the one that this code expects
        pass
    settings = Settings.from_environment()
    outcome = evaluate(settings, request, settings.workers)
    with deployment.site() as site:
        found = site.inventory.stream("mfp_findings", run=outcome.run)
        if options.json:
            _write_findings(outcome, found)
        else:
            _show(outcome, found)
    outcome.require_sound()
    return 0


def _write_findings(outcome: Outcome, found: Iterator[dict[str, Any]]) -> None:
    """One JSON document, written while the findings are read: there may be a million."""
    head = json.dumps(outcome.as_dict())
    sys.stdout.write(f'{head[:-1]}, "findings": [')
    separator = ""
    for row in found:
        sys.stdout.write(separator + json.dumps(row))
        separator = ",\n"
    sys.stdout.write("]}\n")


def _show(outcome: Outcome, found: Iterator[dict[str, Any]]) -> None:
    from orbitory.mfp.findings import CODES

    rows = [row for row, _ in zip(found, range(_SHOWN), strict=False)]
    if rows:
        cells = [(row["level"], row["code"], row["key"], row["reason"]) for row in rows]
        write_table(("LEVEL", "CODE", "IMAGE", "REASON"), cells)
        write_lines([""])
        write_pairs({f"{code} {found:,}": CODES.get(code, "") for code, found in outcome.counts["codes"].items()})
        write_lines([""])
    head = ("SENSOR", "ROWS", "AREA KM²", "SHOWN KM²", "OVERLAP", "CLOUD-FREE", "OF AREA")
    write_table(head, [_covered(sensor, row) for sensor, row in sorted(outcome.coverage["sensors"].items())])
    write_lines(["", outcome.message, f"digest {outcome.digest}"])
    say(f"`orbitory mfp report {outcome.run}` writes it as a page with a map, and for GIS")
    if (total := sum(outcome.counts["codes"].values())) > len(rows):
        say(f"and {total - len(rows):,} more findings: `orbitory mfp evaluate --json` lists them")


def _covered(sensor: str, row: dict[str, Any]) -> tuple[str, ...]:
    shares = [row.get(name) for name in ("overlap", "cloud_free", "area_of_interest")]
    told = ["" if share is None else f"{share:.1%}" for share in shares]
    return (sensor, f"{row['rows']:,}", f"{row['area_km2']:,.0f}", f"{row['union_km2']:,.0f}", *told)


def _explain(options: argparse.Namespace) -> int:
    from orbitory.mfp.explain import explain

    with deployment.site() as site:
        found = explain(site, options.catalog_id, _parameters(options))
    if options.json:
        write_json([each.as_dict() for each in found])
        return 0
    for each in found:
        fate = "preferred" if each.preferred else each.reason or "put aside"
        rejected = f", rejected: {each.score.rejected}" if each.score.rejected else ""
        write_lines([f"{each.scene_id or each.key}: {fate}; score {each.score.total:.6g}{rejected}"])
        terms = (f"    {term.name} {term.value:.4g}: {term.points:.4g} of {term.most:g}" for term in each.score.terms)
        write_lines([*terms, *(f"  {sentence}" for sentence in each.words)])
    return 0


def _history(options: argparse.Namespace) -> int:
    with deployment.inventory() as inventory:
        rows = inventory.all("mfp_history", limit=options.limit)
    if options.json:
        write_json(rows)
        return 0
    cells = []
    for row in rows:
        counts = row["counts"] or {}
        figures = [f"{counts[name]:,}" if name in counts else "" for name in ("rows", "errors", "warnings")]
        cells.append(
            (row["id"], moment(row["started_at"]), row["verdict"] or "open", *figures, (row["digest"] or "")[:12])
        )
    write_table(("RUN", "STARTED", "VERDICT", "ROWS", "ERRORS", "WARNINGS", "DIGEST"), cells)
    return 0
