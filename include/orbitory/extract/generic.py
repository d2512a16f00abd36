"""Anything: read as far as its kind allows; one file is one granule. What nothing here reads is archived as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from orbitory.extract import ExtractTask, OpenFile, open_file, quick_check, sole_granule, warning
from orbitory.extract.container import is_set_member
from orbitory.extract.hdf5_objects import hdf5_findings
from orbitory.extract.header import Header, text
from orbitory.extract.netcdf import netcdf_findings
from orbitory.extract.raster import DRIVERS, read_raster
from orbitory.extract.structure import CHECKS, Bytes
from orbitory.footprint import Footprint, UnusableRing, from_bounds
from orbitory.model import Extraction, Finding, GranuleFacts

_LACKING = {"hdf4": "no library for HDF4 is installed"}


def extract(task: ExtractTask) -> Extraction:
    """Read the file by what its first bytes are. Raises DataError for a bad one."""
    with open_file(task) as source:
        kind = quick_check(task.name, source.head, source.size)
        if kind in ("hdf5", "opaque") and is_set_member(task.name, kind, source.head):
            return _part(task, kind)
        if kind in CHECKS:
            CHECKS[kind](Bytes(source.descriptor, source.size))
        if kind in DRIVERS:
            return read_raster(task, source, kind)
        if kind in ("hdf5", "netcdf3"):
            return _arrays(task, source, kind)
        findings = (warning("unsupported", _LACKING[kind]),) if kind in _LACKING else ()
        return Extraction(kind=kind, granules=(sole_granule(task, kind),), findings=findings)


def _part(task: ExtractTask, kind: str) -> Extraction:
    finding = warning(
        "part_of_set",
        "one file of an HDF5 family or multi-file set: it cannot be checked alone",
        "deliver the whole set; it is read only together",
    )
    return Extraction(kind=kind, granules=(sole_granule(task, kind),), findings=(finding,))


def _arrays(task: ExtractTask, source: OpenFile, kind: str) -> Extraction:
    header = Header()
    findings = (hdf5_findings if kind == "hdf5" else netcdf_findings)(source, header)
    granule = _discovered(sole_granule(task, kind), header.of("/"), findings)
    return Extraction(kind=kind, granules=(granule,), findings=tuple(findings), header=header.packed())


def _discovered(granule: GranuleFacts, attributes: Mapping[str, Any], findings: list[Finding]) -> GranuleFacts:
    """Place and time by the Attribute Convention for Data Discovery (ACDD 1.3), where the file follows it."""
    start, end = (_time(attributes.get(f"time_coverage_{edge}")) for edge in ("start", "end"))
    if start and end and end >= start and granule.sensing_start is None:
        granule = replace(granule, sensing_start=start, sensing_end=end)
    bounds = [attributes.get(f"geospatial_{edge}") for edge in ("lon_min", "lat_min", "lon_max", "lat_max")]
    footprint = _box(bounds, findings)
    if footprint is not None:
        granule = replace(granule, footprint=footprint.ewkb, area_km2=footprint.area_km2)
    return granule


def _time(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _box(bounds: list[Any], findings: list[Finding]) -> Footprint | None:
    try:
        west, south, east, north = (float(value) for value in bounds)
    except (TypeError, ValueError):
        return None
    try:
        return from_bounds(west, south, east, north)
    except UnusableRing as error:
        findings.append(warning("bad_footprint", f"geospatial bounds: {text(str(error))}"))
        return None
