"""Satellite strips: images with the vendor's metadata beside them or in a TAR, read as one unit.

Every image is a granule: the main file, and each tile beside it. The order's documents and what others derived from
strips have no metadata of their own.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from orbitory.errors import DataError
from orbitory.extract import ExtractTask, Member, OpenFile, generic, open_file, quick_check, sniff, warning
from orbitory.extract.header import Header
from orbitory.extract.strips.facts import StripFacts
from orbitory.extract.strips.images import IMAGES, Image, check_sibling, read_image
from orbitory.extract.strips.name_checks import name_findings
from orbitory.extract.strips.placement import Place, place
from orbitory.extract.strips.sidecars import Sidecars
from orbitory.model import Extraction, Finding, GranuleFacts, Identity
from orbitory.names.scenes import strip_key

_FORMATS = {"nitf": "NITF", "geotiff": "GTiff", "jpeg2000": "JP2OpenJPEG"}
_DERIVED = "strip_derived"
#: What the name tells under the names of the master footprint.
_NAME_FACTS = ("scene_id", "strip_id", "catalog_id", "order_id", "tile", "spec_type")
#: A unit of a hundred tiles may say the same a hundred times.
_FINDINGS_OF_A_CODE = 8
#: ``052869840050_01``: an order and its item.
_ORDER_DIGITS = 15


def extract(task: ExtractTask) -> Extraction:
    """One granule for each image of the unit. Raises DataError for a bad file: the whole unit shares its fate."""
    if task.identity.role == "document":
        return _documents(task)
    if task.identity.product_type == _DERIVED:
        return _derived(task)
    if task.identity.role != "data":
        raise DataError("incomplete", f"{task.name} came without the image that it belongs to")
    header, findings = Header(), list[Finding]()
    sidecars = Sidecars(task)
    kinds, granules = [], []
    images: list[ExtractTask | Member] = [task]
    images += [member for member in task.members if member.identity.role == "data"]
    for file in images:
        with _about(file, task):
            kind, granule, found = _image(task, file, sidecars, header)
        kinds.append(kind)
        granules.append(granule)
        findings += found if file is task else [_of(file, each) for each in found]
    for member in task.members:
        if member.identity.role == "sibling":
            with _about(member, task), open_file(member) as source:
                findings += [_of(member, each) for each in check_sibling(source, _kind(member, source))]
    sidecars.add_to(header)
    return Extraction(kind=kinds[0], granules=tuple(granules), findings=_distinct(findings), header=header.packed())


def _documents(task: ExtractTask) -> Extraction:
    """What comes with a whole order: readme, layout, shapes. Nothing in it is read."""
    with open_file(task) as source:
        kind = sniff(source.head)
    identity = task.identity
    granule = GranuleFacts(
        product="order", key=strip_key(identity), sensor=identity.sensor, search=_name_facts(identity)
    )
    return Extraction(kind=kind, granules=(granule,))


def _derived(task: ExtractTask) -> Extraction:
    """What somebody made of a strip, of any kind: read as such, found under the scene that its name tells."""
    extraction = generic.extract(task)
    identity = task.identity
    granules = (
        replace(
            granule,
            product=_DERIVED,
            key=strip_key(identity),
            sensing_end=granule.sensing_end or granule.sensing_start,
            search={**granule.search, **_name_facts(identity)},
        )
        for granule in extraction.granules
    )
    return replace(extraction, granules=tuple(granules))


def _image(
    task: ExtractTask, file: ExtractTask | Member, sidecars: Sidecars, header: Header
) -> tuple[str, GranuleFacts, list[Finding]]:
    findings, own = list[Finding](), Header()
    with open_file(file) as source:
        kind = _kind(file, source)
        described, of_strip = sidecars.describe(file)
        image = read_image(source, kind, own, findings, vouched=file.checksummed)
        findings += described.findings
        located = place(image, described, findings, of_strip=of_strip)
    header.add("/" if file is task else posixpath.basename(file.name), own.of("/"))
    facts = described.facts
    findings += name_findings(file.identity, facts)
    if not of_strip:
        findings += _size_findings(image, facts)
    facts = replace(
        facts,
        columns=image.columns or facts.columns,
        rows=image.rows or facts.rows,
        bands=image.bands or facts.bands,
        bits_pixel=facts.bits_pixel or image.bits or None,
        file_fmt=_FORMATS[kind],
        spec_type=file.identity.details.get("spec_type") or facts.spec_type,
    )
    return kind, _granule(file, facts, located, 0 if file is task else file.id), findings


def _kind(file: ExtractTask | Member, source: OpenFile) -> str:
    kind = quick_check(file.name, source.head, source.size)
    if kind not in IMAGES:
        raise DataError("type", f"the first bytes are {kind} ({source.head[:8]!r}): expected {' or '.join(IMAGES)}")
    return kind


def _size_findings(image: Image, facts: StripFacts) -> list[Finding]:
    told, found = (facts.columns, facts.rows), (image.columns, image.rows)
    if None in told or None in found or told == found:
        return []
    reason = f"{found[0]} x {found[1]} pixels, by its metadata {told[0]} x {told[1]}"
    return [warning("size_mismatch", reason, "is it the right metadata file?")]


def _granule(file: ExtractTask | Member, facts: StripFacts, located: Place | None, number: int) -> GranuleFacts:
    """By name and content; of what both tell the content is believed, but the sensor that the name tells stays."""
    identity = file.identity
    named = _name_facts(identity)
    sensor = identity.platform or facts.sensor or ""
    code, order = _product(identity), identity.details.get("order") or (facts.order_id or "")[:_ORDER_DIGITS]
    catalog = facts.catalog_id or named.get("catalog_id", "")
    if sensor and catalog and order:
        named.setdefault("strip_id", "_".join((sensor, catalog, code, order)))
    search = {**named, **facts.search(), "image": _image_id(identity, facts, sensor, catalog)}
    if located is not None:
        search["footprint_source"] = located.source
        search["cent_lat"], search["cent_long"] = located.centre
    start = facts.acq_time or identity.sensing_start
    return GranuleFacts(
        product=code,
        key=strip_key(identity),
        sensor=sensor or identity.sensor,
        platform=sensor,
        created=facts.generation_time or identity.created,
        sensing_start=start,
        sensing_end=facts.acq_time or identity.sensing_end or start,
        footprint=located.footprint.ewkb if located else None,
        area_km2=located.footprint.area_km2 if located else None,
        search=search,
        file=number,
    )


def _image_id(identity: Identity, facts: StripFacts, sensor: str, catalog: str) -> str:
    """What the same image has in common under all orders (DOMAIN 4.5): sensor, catalog, time, product, tile, part."""
    details, start = identity.details, identity.sensing_start
    only_day = start is None or (identity.sensing_end or start) > start
    at = details.get("vendor_time") or (facts.acq_time if only_day else None) or start
    parts = (
        sensor,
        catalog,
        at and re.sub(r"\D", "", str(at))[:14],
        _product(identity),
        details.get("tile"),
        details.get("part"),
    )
    return "/".join(part or "" for part in parts)


def _product(identity: Identity) -> str:
    return identity.products[0] if identity.products else identity.product_type


def _name_facts(identity: Identity) -> dict[str, Any]:
    told: dict[str, Any] = {each: identity.details[each] for each in _NAME_FACTS if identity.details.get(each)}
    if identity.products:
        told["prod_code"] = identity.products[0]
    return {**told, "name_form": identity.form}


@contextmanager
def _about(file: ExtractTask | Member, task: ExtractTask) -> Iterator[None]:
    """Let a refusal name the file that caused it, unless it is the unit's main file."""
    try:
        yield
    except DataError as error:
        if file is task:
            raise
        raise DataError(error.code, f"{posixpath.basename(file.name)}: {error.detail}") from error


def _of(file: ExtractTask | Member, finding: Finding) -> Finding:
    return replace(finding, reason=f"{posixpath.basename(file.name)}: {finding.reason}"[:2000])


def _distinct(findings: list[Finding]) -> tuple[Finding, ...]:
    """At most ``_FINDINGS_OF_A_CODE`` of each code, the last of which counts those left out."""
    kept: dict[str, list[Finding]] = {}
    for each in findings:
        kept.setdefault(each.code, []).append(each)
    for same in kept.values():
        if (more := len(same) - _FINDINGS_OF_A_CODE) > 0:
            last = same[_FINDINGS_OF_A_CODE - 1]
            same[_FINDINGS_OF_A_CODE - 1 :] = [replace(last, reason=f"{last.reason[:1900]} (and {more} more)")]
    return tuple(each for same in kept.values() for each in same)
