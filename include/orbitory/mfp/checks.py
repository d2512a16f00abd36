"""Checks of the rows of one sensor: set by set in the database, names letter by letter where that does not suffice."""

from __future__ import annotations

from collections.abc import Iterator

from orbitory.catalogue import Catalogue
from orbitory.errors import DataError
from orbitory.extract.strips.facts import StripFacts
from orbitory.extract.strips.name_checks import name_findings
from orbitory.inventory import Row
from orbitory.mfp import Parameters
from orbitory.mfp.findings import Found, add
from orbitory.model import Finding, Level
from orbitory.names import identify
from orbitory.site import Site

#: In this order: E04 leaves out what E03 has found, E06 and E10 what E05 has.
_STATEMENTS = ("e01", "missing", "e02", "e03", "e04", "stereo", "e05", "e10", "e06", "e07", "e08", "e11", "e14")
#: So many footprints are placed at once.
_PLACED_AT_ONCE = 10_000
_CONTRADICTS = "what the file says was believed; is it called rightly?"


def check_rows(site: Site, sensor: str, parameters: Parameters) -> None:
    """Find what is wrong with the sensor's rows in the master, without looking at any file."""
    values = {
        "sensor": sensor,
        "linux_root": parameters.linux_root,
        "windows_root": parameters.windows_root,
        "metres": parameters.horizontal_distance_threshold_m,
    }
    for statement in _STATEMENTS:
        site.inventory.run(f"mfp_check_{statement}", **values)
    _check_places(site, sensor, parameters)
    doubtful = site.inventory.all("mfp_doubtful_names", sensor=sensor)
    add(site.inventory, (found for row in doubtful for found in check_name(row, site.catalogue)))


def _check_places(site: Site, sensor: str, parameters: Parameters) -> None:
    radius = parameters.search_radius_km
    rows = site.inventory.all("mfp_doubtful_places", sensor=sensor, radius_km=radius)
    doubtful = [row["granule_id"] for row in rows]
    for first in range(0, len(doubtful), _PLACED_AT_ONCE):
        granules = doubtful[first : first + _PLACED_AT_ONCE]
        site.inventory.run("mfp_check_e09", sensor=sensor, granules=granules, radius_km=radius)


def check_name(row: Row, catalogue: Catalogue) -> Iterator[Found]:
    """E04: where the name of the row's file and the row contradict each other, or the name itself.

    Catalog ids are compared with those of their own era only: hexadecimal, decimal, UUID.
    """
    source = catalogue.sources.get(row["source"])
    if source is None:
        return
    found: list[Finding] = []
    level = Level.WARNING
    try:
        identity = identify(row["s_filename"], source, catalogue)
        code = identity.products[0] if identity.products else None
        if code and row["prod_code"] and code != row["prod_code"]:
            reason = f"product: {code} in the name, {row['prod_code']} in the row"
            found.append(Finding(level=level, code="E04", reason=reason))
        facts = StripFacts(**{each: row[each] for each in _COMPARED})
        found += name_findings(identity, facts)
    except DataError as error:
        level = Level.ERROR
        found.append(Finding(level=level, code="E04", reason=error.detail))
    if found:
        reason = "; ".join(each.reason.replace("in the metadata", "in the row") for each in found)
        yield Found(
            code="E04", level=level, reason=reason, hint=_CONTRADICTS, fpuid=row["fpuid"], granule=row["granule_id"]
        )


_COMPARED = ("catalog_id", "order_id", "sensor", "acq_time", "spec_type", "prod_short")
