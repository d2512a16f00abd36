"""Where a strip's name and its metadata disagree. The content is believed; that they disagree is worth a look."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from orbitory.errors import DataError
from orbitory.extract import warning
from orbitory.extract.strips.facts import StripFacts
from orbitory.model import Finding, Identity

#: Vendors round where archives truncate, so that one second is no contradiction (real names, DOMAIN).
_TOLERANCE = timedelta(seconds=2)
#: GeoEye-1 names are 18 to 21 s off; IKONOS texts leave seconds out.
_SENSOR_TOLERANCES = {"GE01": timedelta(seconds=30), "IK01": timedelta(seconds=90), "OV03": timedelta(seconds=90)}
#: All tiles bear the strip's time in their names, and their own within: a strip is scanned in less.
_TILE_TOLERANCE = timedelta(minutes=5)
_ORDER = re.compile(r"\d{12}_\d{2}(?:_P\d{3})?")
#: Of the others the metadata do not always say what they are.
_TOLD_APART = ("Panchromatic", "Multispectral")
_HEX = re.compile(r"[0-9A-F]{16}")


def name_findings(identity: Identity, facts: StripFacts) -> list[Finding]:
    """At most one finding about contradictions within the name, and one about those between name and metadata.

    Raises DataError("metadata") when what tells images apart (time, and catalog id or else order) is all another
    image's: then there are no metadata of this one.
    """
    within = identity.details.get("contradictions", "").replace(" ", ", ")
    findings = [warning("name_contradiction", f"parts of the name contradict each other: {within}")] if within else []
    found: dict[str, str] = {}
    for what, named, told in _pairs(identity, facts):
        if named and told and named != told:
            found[what] = f"{what}: {named} in the name, {told} in the metadata"
    if (gap := _gap(identity, facts)) > _tolerance(identity, facts):
        found["time"] = f"time: {identity.sensing_start:%Y-%m-%dT%H:%M:%SZ} in the name, {gap} from {facts.acq_time}"
    if not found:
        return findings
    reason = "; ".join(found.values())
    named_catalog = _comparable(identity.details.get("catalog_id"), facts.catalog_id)
    if "time" in found and ("catalog id" if named_catalog else "order") in found:
        raise DataError("metadata", f"the metadata speak of another image: {reason}")
    hint = "is it the right metadata file? The content was believed"
    return [*findings, warning("name_content_mismatch", reason, hint)]


def _pairs(identity: Identity, facts: StripFacts) -> list[tuple[str, str | None, str | None]]:
    details = identity.details
    catalog = details.get("catalog_id")
    order, told_order = ((each or "").upper() for each in (details.get("order_id"), facts.order_id))
    if not _ORDER.fullmatch(order) or not _ORDER.fullmatch(told_order):
        order = told_order = ""
    length = min(len(order), len(told_order))
    return [
        ("sensor", identity.platform or None, facts.sensor),
        ("catalog id", _plain(catalog) if _comparable(catalog, facts.catalog_id) else None, _plain(facts.catalog_id)),
        ("order", order[:length], told_order[:length]),
        ("level", details.get("level"), facts.prod_short),
        ("spectrum", _told_apart(details.get("spec_type")), _told_apart(facts.spec_type)),
    ]


def _told_apart(spectrum: str | None) -> str | None:
    return spectrum if spectrum in _TOLD_APART else None


def _plain(catalog: str | None) -> str:
    return (catalog or "").upper().lstrip("0")


def _comparable(name: str | None, told: str | None) -> bool:
    """Both there and of one era: hexadecimal, or not (UUID, decimal); all zeros tell nothing."""
    if not _plain(name) or not _plain(told):
        return False
    return bool(_HEX.fullmatch((name or "").upper())) == bool(_HEX.fullmatch((told or "").upper()))


def _gap(identity: Identity, facts: StripFacts) -> timedelta:
    """How far the time in the metadata lies outside of that in the name."""
    start, told = identity.sensing_start, [at for at in (facts.acq_time, facts.earliest_acq_time) if at]
    if start is None or not told:
        return timedelta(0)
    end = identity.sensing_end or start
    return min(_outside(at, start, end) for at in told)


def _outside(at: datetime, start: datetime, end: datetime) -> timedelta:
    return max(start - at, at - end, timedelta(0))


def _tolerance(identity: Identity, facts: StripFacts) -> timedelta:
    if identity.details.get("tile"):
        return _TILE_TOLERANCE
    sensor = facts.sensor or identity.platform
    return max(_SENSOR_TOLERANCES.get(sensor, _TOLERANCE), timedelta(seconds=facts.acq_precision_s))
