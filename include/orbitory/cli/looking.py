"""status, identify, show, search: the verbs that answer questions."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orbitory.cli import deployment
from orbitory.cli.output import age, amount, listed, moment, say, write_json, write_lines, write_pairs, write_table

if TYPE_CHECKING:
    from orbitory.catalogue import Catalogue
    from orbitory.search import Query


def add(verbs: deployment.Verbs[Any]) -> None:
    """Declare the verbs."""
    status = verbs.add_parser(
        "status", help="how the site stands: backlog, quarantine, runs, disks, what needs a person"
    )
    status.add_argument("source", nargs="?", metavar="SOURCE")
    deployment.add_json(status)
    status.set_defaults(run=_status)

    identify = verbs.add_parser("identify", help="what file names alone tell; no file and no database are needed")
    identify.add_argument("names", nargs="+", metavar="NAME")
    deployment.add_json(identify)
    identify.set_defaults(run=_identify)

    show = verbs.add_parser("show", help="everything known about a file or granule, with its history")
    show.add_argument("name", metavar="NAME", help="a file name, a path in storage, a granule's key or its number")
    deployment.add_json(show)
    show.set_defaults(run=_show)

    search = verbs.add_parser("search", help="find archived granules, newest first")
    search.add_argument("--product", action="append", default=[], metavar="P", help="may be repeated: any of them")
    search.add_argument("--sensor", action="append", default=[], metavar="S", help="may be repeated: any of them")
    search.add_argument("--source", metavar="S")
    search.add_argument("--bbox", metavar="W,S,E,N", help="degrees; W > E crosses the antimeridian")
    search.add_argument("--from", dest="start", metavar="T", help="sensed at or after T (ISO 8601, UTC)")
    search.add_argument("--to", dest="end", metavar="T", help="sensed before T; a date means to the end of that day")
    search.add_argument(
        "--where", action="append", default=[], metavar="KEY=VALUE", help="search key, orbit, version, …"
    )
    search.add_argument("--all-versions", action="store_true", help="superseded versions too")
    search.add_argument("--limit", default=100, type=deployment.number(10_000), metavar="N", help="per page (100)")
    search.add_argument("--page", metavar="TOKEN", help="the `next` of the page before")
    deployment.add_json(search)
    search.set_defaults(run=_search)


def _status(options: argparse.Namespace) -> int:
    from orbitory.pge.executor import LocalExecutor
    from orbitory.reading import status
    from orbitory.workers import landlock_abi

    with deployment.site(any_schema=True) as site:
        told = status(site, options.source, sandbox=landlock_abi(), isolation=LocalExecutor().confinement)
    if options.json:
        write_json(told)
        return 0
    write_table(
        ("SOURCE", "WAITING", "OLDEST", "UNDER WAY", "QUARANTINE", "ARCHIVED", "SIZE", "LAST RUN"),
        [_status_row(name, source) for name, source in told["sources"].items()],
    )
    write_lines([""])
    write_table(
        ("ZONE", "FREE", "OF", "PATH"),
        [(n, amount(z["free_bytes"]), amount(z["total_bytes"]), z["path"]) for n, z in told["zones"].items()],
    )
    abi = told["sandbox"]["landlock_abi"]
    sandbox = f"Landlock ABI {abi}" if abi else "resource limits only: this kernel has no Landlock"
    isolation = {"bubblewrap": "bubblewrap", "landlock": "Landlock"}.get(told["sandbox"]["pge"], "resource limits only")
    write_lines(["", f"schema {told['schema']['version']}; parsers run under {sandbox}; PGEs under {isolation}"])
    write_lines([f"! {problem}" for problem in told["problems"]] or ["all is well"])
    return 0


def _status_row(name: str, told: Mapping[str, Any]) -> tuple[object, ...]:
    run, waiting = told["last_run"], told["waiting"]
    under_way = {state: n for state, n in told["landing"].items() if state != "waiting"}
    return (
        name if told["enabled"] else f"{name} (disabled)",
        waiting["files"],
        age(waiting["oldest_seconds"]),
        listed(under_way),
        listed(told["quarantine"]),
        told["archived"]["files"],
        amount(told["archived"]["bytes"]),
        f"{run['run']} {run['verdict'] or 'under way'} {moment(run['finished_at'] or run['started_at'])}"
        if run
        else "",
    )


def _identify(options: argparse.Namespace) -> int:
    catalogue = deployment.catalogue_of_environment()
    told = [_identified(name, catalogue) for name in options.names]
    if options.json:
        write_json(told)
        return 0
    for one in told:
        if one["form"] == "unrecognised":
            write_lines([f"{one['name']}: unrecognised: {one['reason']}"])
        else:
            write_lines([f"{one['name']}:"])
            write_pairs({f"  {key}": _for_people(value) for key, value in one.items() if key != "name"})
    return 0


def _identified(argument: str, catalogue: Catalogue) -> dict[str, Any]:
    from dataclasses import asdict

    from orbitory.errors import DataError
    from orbitory.names import identify_any

    name = deployment.name_of(argument)
    try:
        # Some files are called alike everywhere, and only their folders tell what they are.
        parts = [part for part in name.split("/") if part not in ("", ".", "..")]
        source, identity = identify_any("/".join(parts), catalogue)
    except DataError as error:
        return {"name": name, "form": "unrecognised", "code": error.code, "reason": error.detail}
    return {"name": name, "source": source, **asdict(identity)}


def _for_people(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={inner}" for key, inner in value.items())
    if isinstance(value, (tuple, list)):
        return ", ".join(str(inner) for inner in value)
    if isinstance(value, datetime):
        return moment(value)
    return "" if value is None else str(value)


def _show(options: argparse.Namespace) -> int:
    from orbitory.reading import show

    name = deployment.name_of(options.name)
    with deployment.site() as site:
        told = show(site, name)
    known = any(told[kind] for kind in ("arrivals", "granules", "assets"))
    if options.json:
        write_json(told)
    else:
        _write_shown(told)
    if not known:
        say(f"nothing is known of {name!r}: no arrival, file or granule is called so, or ends in /{name}")
    return 0 if known else 1


_GRANULE = (
    "state",
    "sensor",
    "platform",
    "sensing_start",
    "sensing_end",
    "orbit",
    "area_km2",
    "classification",
    "files",
)
_FILE = ("state", "role", "kind", "size", "digest", "same_content", "where")
_ARRIVAL = ("state", "reason", "stage", "detail", "size", "digest", "where")


def _write_shown(told: Mapping[str, Any]) -> None:
    for granule in told["granules"]:
        write_lines([f"granule {granule['id']}: {granule['product']} {granule['key']} {granule['version']}".rstrip()])
        write_pairs({f"  {key}": _for_people(granule[key]) for key in _GRANULE})
        if len(granule["versions"]) > 1:
            write_lines(f"  version {v['version']} of {v['created']}: {v['state']}" for v in granule["versions"])
    for asset in told["assets"]:
        write_lines([f"file {asset['id']}: {asset['path']}"])
        write_pairs({f"  {key}": _for_people(asset[key]) for key in _FILE})
        write_lines(f"  {f['level']}: {f['code']}: {f['reason']}" for f in asset["findings"])
    for arrival in told["arrivals"]:
        write_lines([f"arrival {arrival['id']}: {arrival['name']} at {arrival['source']}"])
        write_pairs({f"  {key}": _for_people(arrival[key]) for key in _ARRIVAL})
        for step in arrival["history"]:
            change = f"{step['from'] or 'seen'} -> {step['to']}"
            write_lines([f"  {moment(step['at'])}  {change}  run {step['run']}  {step['actor']}"])


def _search(options: argparse.Namespace) -> int:
    from orbitory.search import search

    query = _query(options)
    with deployment.inventory() as inventory:
        page = search(inventory, query)
    if options.json:
        write_json(page.as_dict())
        return 0
    write_table(
        ("SENSED", "PRODUCT", "SENSOR", "VERSION", "GRANULE", "FILE"),
        [
            (moment(i["sensing_start"]), i["product"], i["sensor"], i["version"], i["key"], a["path"])
            for i in page.items
            for a in i["assets"] or [{"path": ""}]
            if a.get("role") != "checksum"
        ],
    )
    if page.next:
        say(f"there is more: --page {page.next}")
    return 0


def _query(options: argparse.Namespace) -> Query:
    from orbitory.errors import ConfigurationError
    from orbitory.search import Query, read_bbox, read_span

    where: dict[str, str] = {}
    for condition in options.where:
        key, equals, value = deployment.name_of(condition).partition("=")
        if not key or not equals:
            raise ConfigurationError(f"--where {condition!r}: expected KEY=VALUE, for example day_night=Day")
        where[key] = value
    start, end = read_span(options.start, options.end)
    return Query(
        products=tuple(map(deployment.name_of, options.product)),
        sensors=tuple(map(deployment.name_of, options.sensor)),
        source=deployment.name_of(options.source) if options.source is not None else None,
        bbox=read_bbox(options.bbox) if options.bbox is not None else None,
        start=start,
        end=end,
        where=where,
        all_versions=options.all_versions,
        limit=options.limit,
        page=options.page,
    )
