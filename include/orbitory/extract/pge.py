"""What a PGE delivered: files as far as ``generic`` reads them, and how they came to be by the metadata beside each."""

from __future__ import annotations

import json
import posixpath
import zlib
from collections.abc import Iterable
from dataclasses import replace

from orbitory.errors import DataError
from orbitory.extract import ExtractTask, Member, generic, read_whole, warning
from orbitory.extract.header import Header, text
from orbitory.model import Extraction, Finding
from orbitory.provenance import ENDING, PROVENANCE_BYTES, Provenance, read


def extract(task: ExtractTask) -> Extraction:
    """A granule for each data file: of its product, PGE and period; a later instance's is a newer edition of it.

    Raises DataError, for all of them: ``metadata`` where the provenance of one is missing, damaged, or speaks of
    another file or PGE.
    """
    first = _file(task)
    granules, findings, headers = [*first.granules], [*first.findings], [("", first.header)]
    for member in task.members:
        if member.identity.role == "data":
            base = posixpath.basename(member.name)
            try:
                found = _file(_alone(task, member))
            except DataError as error:
                raise DataError(error.code, f"{base}: {error.detail}") from error
            granules += [replace(granule, file=member.id) for granule in found.granules]
            findings += [replace(each, reason=f"{base}: {each.reason}"[:2000]) for each in found.findings]
            headers.append((base, found.header))
    return replace(first, granules=tuple(granules), findings=tuple(findings), header=_together(headers))


def _alone(task: ExtractTask, member: Member) -> ExtractTask:
    """The member as if it led its unit."""
    return replace(
        task,
        id=member.id,
        path=member.path,
        name=member.name,
        identity=member.identity,
        checksummed=member.checksummed,
        stat=member.stat,
    )


def _together(headers: Iterable[tuple[str, bytes]]) -> bytes:
    """The headers of all files in one, those of others than the first under their names."""
    whole = Header()
    for base, packed in headers:
        for path, attributes in json.loads(zlib.decompress(packed)).items() if packed else ():
            if isinstance(attributes, dict):
                whole.add(f"{base}{path}", attributes)
    return whole.packed()


def _file(task: ExtractTask) -> Extraction:
    provenance = _provenance(task)
    told = task.identity.details
    named, made = (told["pge"], told["version"]), (provenance.pge, provenance.version)
    if named != made:
        raise DataError(
            "metadata", f"the name says PGE {named[0]} {named[1]}, its metadata say {made[0][:80]} {made[1][:80]}"
        )
    extraction = generic.extract(task)
    (granule,) = extraction.granules
    product = task.identity.products[0]
    start, end = granule.sensing_start, granule.sensing_end
    granule = replace(
        granule,
        product=product,
        collection=dict(task.collections).get(product, ""),
        key=f"pge/{product}/{provenance.pge}/{told['period']}",
        version="",  # creation time alone decides which edition is newer: versions of programs have no order
        created=provenance.created,
        sensing_start=provenance.sensing_start or start,
        sensing_end=provenance.sensing_end or end,
        search={
            **granule.search,
            "pge": provenance.pge,
            "pge_version": provenance.version,
            "pge_instance": provenance.instance,
            "period": provenance.period,
            "inputs": len(provenance.inputs),
        },
    )
    findings = (*extraction.findings, *_outside(provenance, extraction))
    return replace(extraction, granules=(granule,), findings=findings)


def _provenance(task: ExtractTask) -> Provenance:
    name = task.name.rpartition("/")[2]
    beside = [member for member in task.members if member.name == f"{task.name}{ENDING}"]
    if task.identity.role != "data" or not beside:
        raise DataError("metadata", f"{name}{ENDING} is not beside it")
    try:
        provenance = read(read_whole(beside[0], PROVENANCE_BYTES, "the metadata have"))
    except (ValueError, RecursionError) as error:
        raise DataError("metadata", f"{name}{ENDING}: {text(str(error))[:500]}") from None
    if provenance.file != name:
        raise DataError("metadata", f"the metadata speak of {provenance.file!r}, but stand beside {name!r}")
    return provenance


def _outside(provenance: Provenance, extraction: Extraction) -> list[Finding]:
    """Content that tells other times than its period is doubtful; the period is believed."""
    (granule,) = extraction.granules
    start, end = provenance.sensing_start, provenance.sensing_end
    if not (start and end and granule.sensing_start and granule.sensing_end):
        return []
    if granule.sensing_start <= end and start <= granule.sensing_end:
        return []
    reason = f"its content tells {granule.sensing_start} to {granule.sensing_end}, its period is {start} to {end}"
    return [warning("time_mismatch", reason)]
